//! A custom model as an engine: against the built-in engine on the same network, against finite differences, and in a
//! training whose allocations close.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "small counts and chosen numbers"
)]

use crate::evaluate;
use lcascope::data::{Batches, Examples};
use lcascope::engine::candle::candle_core::{self, D, Device as CandleDevice, Tensor};
use lcascope::engine::candle::{
    Batch, CandleEngine, CustomData, CustomEngine, CustomExamples, ModelOutput, Precision,
};
use lcascope::engine::{Device, EngineError, Evaluation, GradientEngine, RunData, Subset, Want};
use lcascope::layout::{ParamLayout, TensorKind};
use lcascope::lca::IntegratorSettings;
use lcascope::model::{Network, NetworkSpec, he_normal};
use lcascope::optim::Schedule;
use lcascope::record::StepRecord;
use lcascope::train::{OptimizerChoice, TrainSettings, Trainer};

const FEATURES: usize = 6;
const CLASSES: usize = 3;
const SLICE: usize = 5;

fn network() -> Network {
    let spec: NetworkSpec = toml::from_str(
        "name = 'test'\nlayer = [{kind = 'linear', units = 4}, {kind = 'relu'}, \
         {kind = 'linear', units = 3}]",
    )
    .unwrap();
    Network::build(&spec, [FEATURES, 1, 1], CLASSES).unwrap()
}

fn examples(n: usize, phase: f32) -> Examples {
    let inputs = (0..n * FEATURES).map(|i| (i as f32 * 1.7 + phase).sin());
    let labels = (0..n).map(|i| (i * i % 5 % CLASSES) as u8);
    Examples::new(inputs.collect(), labels.collect(), FEATURES).unwrap()
}

fn data() -> RunData {
    RunData {
        drawn_from: None,
        train: examples(23, 0.0),
        test: examples(8, 1.0),
        validation: examples(0, 2.0),
    }
}

fn custom_examples(examples: &Examples) -> CustomExamples {
    let shape = (examples.len(), FEATURES);
    let inputs = Tensor::from_slice(&examples.inputs, shape, &CandleDevice::Cpu).unwrap();
    let labels: Vec<u32> = examples.labels.iter().map(|&l| u32::from(l)).collect();
    let targets = Tensor::new(labels, &CandleDevice::Cpu).unwrap();
    CustomExamples::new(inputs, targets).in_classes(examples.labels.clone())
}

fn custom_data() -> CustomData {
    let data = data();
    CustomData {
        train: custom_examples(&data.train),
        test: Some(custom_examples(&data.test)),
        validation: None,
    }
}

/// The network of [`network`], written by hand.
fn perceptron(params: &[Tensor], batch: &Batch) -> candle_core::Result<ModelOutput> {
    let [w1, b1, w2, b2] = params else {
        candle_core::bail!("{} tensors", params.len());
    };
    let hidden = batch.inputs.matmul(&w1.t()?)?.broadcast_add(b1)?.relu()?;
    let scores = hidden.matmul(&w2.t()?)?.broadcast_add(b2)?;
    let largest = scores.detach().max_keepdim(D::Minus1)?;
    let scores = scores.broadcast_sub(&largest)?;
    let log_sum = scores.exp()?.sum(D::Minus1)?.log()?;
    let of_label = scores.gather(&batch.targets.unsqueeze(1)?, 1)?.squeeze(1)?;
    Ok(ModelOutput {
        loss: (log_sum - of_label)?,
        hits: Some(scores.argmax(D::Minus1)?.eq(&batch.targets)?),
    })
}

/// The network without hits, and with the mean loss.
fn mean_only(params: &[Tensor], batch: &Batch) -> candle_core::Result<ModelOutput> {
    Ok(perceptron(params, batch)?.loss.mean_all()?.into())
}

fn custom(precision: Precision) -> CustomEngine {
    let layout = network().layout;
    let (data, device) = (custom_data(), Device::Cpu);
    CustomEngine::new(layout, data, CLASSES, SLICE, device, precision, perceptron).unwrap()
}

fn built_in(by_class: bool) -> CandleEngine {
    let (network, device) = (network(), Device::Cpu);
    CandleEngine::new(
        &network,
        &data(),
        SLICE,
        device,
        Precision::Double,
        by_class,
    )
    .unwrap()
}

/// Checks that evaluations agree, except for the order of additions in double precision and one rounding to single.
#[track_caller]
fn assert_same(what: &str, got: &Evaluation, want: &Evaluation) {
    let numbers = |e: &Evaluation| [vec![e.loss, e.accuracy], e.class_loss.clone()].concat();
    for (got, want) in numbers(got).iter().zip(&numbers(want)) {
        let same = (got - want).abs() < 1e-12 || (got.is_nan() && want.is_nan());
        assert!(same, "{what}: {got} and {want}");
    }
    for (got, want) in [
        (&got.gradient, &want.gradient),
        (&got.class_gradient, &want.class_gradient),
    ] {
        assert_eq!(got.len(), want.len(), "{what}");
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-7, "{what}: {got} and {want}");
        }
    }
}

#[test]
fn a_custom_model_equals_the_built_in_network() {
    let params = he_normal(&network(), 3);
    let (mut custom, mut by_class) = (custom(Precision::Double), built_in(true));
    for (part, want) in [
        (Subset::Train, Want::Loss),
        (Subset::Train, Want::Gradient),
        (Subset::Train, Want::ClassGradient),
        (Subset::Test, Want::Gradient),
        (Subset::Validation, Want::Gradient),
    ] {
        let got = evaluate(&mut custom, part, &params, want);
        let truth = evaluate(&mut by_class, part, &params, want);
        assert_same(&format!("{part:?}, {want:?}"), &got, &truth);
    }
    let rows = [4, 0, 22, 7];
    let [mut got, mut truth] = [Evaluation::default(), Evaluation::default()];
    custom.evaluate_batch(&params, &rows, 1, &mut got).unwrap();
    built_in(false)
        .evaluate_batch(&params, &rows, 1, &mut truth)
        .unwrap();
    assert_same("mini-batch", &got, &truth);
    let accuracy = custom.accuracy(Subset::Test, &params, &[]).unwrap();
    assert_eq!(
        accuracy,
        by_class.accuracy(Subset::Test, &params, &[]).unwrap()
    );
}

#[test]
fn a_mean_loss_suffices_for_one_class() {
    let (layout, device) = (network().layout, Device::Cpu);
    let data = custom_data();
    let data = CustomData {
        train: data.train.in_classes(Vec::new()),
        test: None,
        validation: None,
    };
    let precision = Precision::Double;
    let mut engine =
        CustomEngine::new(layout, data, 1, SLICE, device, precision, mean_only).unwrap();
    let params = he_normal(&network(), 3);
    let got = evaluate(&mut engine, Subset::Train, &params, Want::ClassGradient);
    let truth = evaluate(&mut built_in(false), Subset::Train, &params, Want::Gradient);
    assert!((got.loss - truth.loss).abs() < 1e-12);
    assert_eq!(got.class_loss, [got.loss]);
    assert!(got.accuracy.is_nan());
    assert_eq!(got.class_gradient, got.gradient);
    for (got, want) in got.gradient.iter().zip(&truth.gradient) {
        assert!((got - want).abs() < 1e-7, "{got} and {want}");
    }
    let nothing = evaluate(&mut engine, Subset::Test, &params, Want::Gradient);
    assert!(nothing.loss.is_nan() && nothing.gradient.iter().all(|&g| g == 0.0));
}

#[test]
fn gradients_are_slopes_of_the_loss() {
    const H: f32 = 1.0 / 65_536.0;
    let grid = |x: f32| (x * 1024.0).round() / 1024.0;
    let params: Vec<f32> = he_normal(&network(), 3).into_iter().map(grid).collect();
    let mut engine = custom(Precision::Double);
    let got = evaluate(&mut engine, Subset::Train, &params, Want::Gradient);
    for i in 0..params.len() {
        let [up, down] = [H, -H].map(|h| {
            let mut at = params.clone();
            at[i] += h;
            evaluate(&mut engine, Subset::Train, &at, Want::Loss).loss
        });
        let slope = (up - down) / f64::from(2.0 * H);
        let gradient = f64::from(got.gradient[i]);
        assert!(
            (gradient - slope).abs() < 1e-6,
            "{i}: {gradient} and {slope}"
        );
    }
}

#[test]
fn allocations_close_in_a_training() {
    let network = network();
    let settings = TrainSettings {
        seed: 0,
        steps: 6,
        optimizer: OptimizerChoice::Adam,
        learning_rate: 0.02,
        weight_decay: 0.0,
        schedule: Schedule::default(),
        integration: IntegratorSettings {
            tolerance: 1e-5,
            ..IntegratorSettings::default()
        },
        held_out_lca: true,
        layers: Vec::new(),
        class_every: 1,
        every: 1,
        test_every: 1,
        record_weights: 0,
        record_params: 0,
        traced: vec![0],
    };
    let mut trainer = Trainer::new(
        settings,
        &network.layout,
        Box::new(custom(Precision::Single)),
        Batches::new(23, 7, 0).unwrap(),
        false,
        he_normal(&network, 1),
        Vec::new(),
    );
    let start = trainer.start().unwrap().losses.train;
    let steps: Vec<StepRecord> = (0..6).map(|_| trainer.step().unwrap()).collect();
    let end = steps[5].after.train;
    assert!(end < start, "{start} to {end}");
    for step in &steps {
        let change = step.after.train - step.loss_before;
        assert!((step.lca.total + step.lca.residual - change).abs() < 1e-12);
        assert!(step.lca.residual.abs() < 1e-5, "{}", step.lca.residual);
        let by_class: f64 = step.lca.class_layer.iter().map(|&a| f64::from(a)).sum();
        assert!((by_class - step.lca.total).abs() < 1e-6);
    }
}

/// A model that returns anything else is told what is expected.
#[test]
fn mistakes_in_a_model_are_reported() {
    let make = |data: CustomData,
                classes,
                model: fn(&[Tensor], &Batch) -> candle_core::Result<ModelOutput>| {
        let (layout, device) = (network().layout, Device::Cpu);
        CustomEngine::new(
            layout,
            data,
            classes,
            SLICE,
            device,
            Precision::Single,
            model,
        )
    };
    let message = |engine: Result<CustomEngine, EngineError>| {
        let asked = engine.and_then(|mut engine| {
            let params = he_normal(&network(), 3);
            engine.evaluate(
                Subset::Train,
                &params,
                Want::Loss,
                &mut Evaluation::default(),
            )
        });
        asked.unwrap_err().to_string()
    };
    let mut uneven = custom_data();
    uneven.train = uneven.train.in_classes(vec![0]);
    for (message, needles) in [
        (
            message(make(custom_data(), CLASSES, mean_only)),
            ["shape []", "[5], one number"],
        ),
        (
            message(make(custom_data(), 1, perceptron)),
            ["has class 1", "there are 1 classes"],
        ),
        (
            message(make(uneven, CLASSES, perceptron)),
            ["23 training inputs", "1 classes"],
        ),
    ] {
        for needle in needles {
            assert!(message.contains(needle), "{message}");
        }
    }
}

/// Layouts for custom models are written by hand.
#[test]
fn params_come_in_the_shapes_of_the_layout() {
    let mut layout = ParamLayout::default();
    layout.push_layer(
        "embedding",
        "embedding",
        5,
        &[(TensorKind::Weight, vec![5, 2, 3])],
    );
    layout.push_layer(
        "norm",
        "layer-norm",
        4,
        &[(TensorKind::Scale, vec![4]), (TensorKind::Shift, vec![4])],
    );
    let one = Tensor::zeros((1, 1), candle_core::DType::U8, &CandleDevice::Cpu).unwrap();
    let data = CustomData {
        train: CustomExamples::new(one.clone(), one),
        test: None,
        validation: None,
    };
    let model = |params: &[Tensor], batch: &Batch| {
        let shapes: Vec<_> = params.iter().map(Tensor::dims).collect();
        assert_eq!(shapes, [&[5, 2, 3][..], &[4], &[4]]);
        assert_eq!(
            batch.inputs.dtype(),
            candle_core::DType::U8,
            "whole numbers stay"
        );
        Ok((params[0].sum_all()? + (&params[1] * &params[2])?.sum_all()?)?.into())
    };
    let (device, precision) = (Device::Cpu, Precision::Single);
    let mut engine = CustomEngine::new(layout, data, 1, 1, device, precision, model).unwrap();
    let params: Vec<f32> = (0..38_u8).map(f32::from).collect();
    let got = evaluate(&mut engine, Subset::Train, &params, Want::Gradient);
    assert_eq!(got.gradient[..30], [1.0; 30]);
    assert_eq!(
        got.gradient[30..],
        [34.0, 35.0, 36.0, 37.0, 30.0, 31.0, 32.0, 33.0]
    );
}
