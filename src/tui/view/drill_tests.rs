//! Tests of layers, units and parameters of every odd shape, at any size.

use std::sync::Arc;

use proptest::prelude::*;

use super::testing::{drawn, lines_of, queries};
use crate::app::{Action, App, Depth};
use crate::feed::{FeedEvent, Origin};
use crate::layout::{ParamLayout, TensorKind};
use crate::query::{
    Answer, Binned, GroupTotals, ParameterHistory, Query, RecordedSums, Topic, UnitParams, Weights,
};
use crate::record::{LayerSummary, Losses, ParamTotals, RunHeader, StepSummary};
use crate::tui::theme::{ColorLevel, Glyphs, Theme};

const STEPS: u64 = 40;

fn app() -> App {
    let mut layout = ParamLayout::default();
    let weight = |shape: &[usize]| (TensorKind::Weight, shape.to_vec());
    let bias = |units: usize| (TensorKind::Bias, vec![units]);
    layout.push_layer("fc", "linear", 3, &[weight(&[3, 784]), bias(3)]);
    layout.push_layer("conv", "conv", 4, &[weight(&[4, 3, 3, 3])]);
    let norm = [(TensorKind::Scale, vec![4]), (TensorKind::Shift, vec![4])];
    layout.push_layer("norm", "batch-norm", 4, &norm);
    layout.push_layer("point", "conv", 2, &[weight(&[2, 4, 1, 1]), bias(2)]);
    layout.push_layer("seq", "own", 2, &[weight(&[2, 5, 7])]);
    layout.push_layer("deep", "own", 2, &[weight(&[2, 2, 3, 2, 2])]);
    layout.push_layer("none", "own", 0, &[weight(&[0, 3])]);
    layout.push_layer("block", "own", 2, &vec![weight(&[2, 3]); 9]);
    let traced = vec![0, 2400];
    let header = RunHeader {
        snapshots: 8,
        planned_steps: STEPS,
        tolerance: 1e-3,
        layout,
        input_shape: vec![1, 28, 28],
        traced,
        ..RunHeader::default()
    };
    let mut app = App::new(Arc::new(header), Origin::Replay);
    let steps = (0..STEPS).map(summary).collect();
    app.event(FeedEvent::Steps(steps));
    app
}

fn summary(step: u64) -> StepSummary {
    let after = Losses {
        train: 1.0,
        train_accuracy: 0.5,
        test: f64::NAN,
        test_accuracy: f64::NAN,
        ..Losses::default()
    };
    StepSummary {
        learning_rate: 0.1,
        batch_loss: 1.0,
        gradient_evals: 2,
        segments: 2,
        loss_before: 1.0,
        layers: vec![LayerSummary::default(); 8],
        ..StepSummary::default()
    }
    .at_step(step, &after, 0.0, 1.0)
}

fn binned(query: &Query, groups: usize, value: f64) -> Binned {
    let count = (query.steps.end - query.steps.start).min(query.columns.into());
    let width = (query.steps.end - query.steps.start) / count.max(1);
    let n = usize::try_from(count).unwrap();
    let mut edges: Vec<u64> = (0..count).map(|c| query.steps.start + c * width).collect();
    edges.push(query.steps.end);
    let scaled = |i: usize| value * f64::from(u32::try_from(i % 7).unwrap() + 1);
    #[expect(clippy::cast_possible_truncation, reason = "a test")]
    let single = |i| scaled(i) as f32;
    Binned {
        edges,
        sums: (0..groups * n).map(scaled).collect(),
        least: (0..groups * n).map(single).collect(),
        most: (0..groups * n).map(single).collect(),
        groups: (0..groups)
            .map(|g| GroupTotals {
                total: scaled(g),
                steps: STEPS,
                helped: 21,
                crossings: 4,
                ..GroupTotals::default()
            })
            .collect(),
    }
}

/// An answer that fits the query, with numbers of this size; `full` includes everything that can be recorded.
fn answer(app: &App, query: &Query, value: f64, full: bool) -> Answer {
    let layout = &app.model.header.layout;
    match query.topic {
        Topic::Tensors => Answer::Binned(binned(query, layout.tensors.len(), value)),
        Topic::Units { layer } => {
            let units = layout.layers[layer as usize].units.len();
            Answer::Binned(binned(query, units, value))
        }
        Topic::Unit { layer, unit, .. } => {
            let rows = layout.unit_rows(layer as usize, unit as usize);
            let n: usize = rows.iter().map(ExactSizeIterator::len).sum();
            #[expect(clippy::cast_possible_truncation, reason = "a test")]
            let weights = Weights {
                steps: 40,
                values: vec![value as f32; n],
            };
            Answer::Unit(UnitParams {
                until: query.steps.end,
                rows,
                totals: full.then(|| ParamTotals {
                    steps: STEPS,
                    lca_sum: vec![value; n],
                    helped: vec![20; n],
                    update_flips: vec![8; n],
                    gradient_flips: vec![0; n],
                }),
                recorded: full.then(|| RecordedSums {
                    steps: query.steps.clone(),
                    count: 1,
                    lca_sum: vec![value; n],
                    helped: vec![1; n],
                    hurt: vec![0; n],
                }),
                weights: full.then_some(weights),
            })
        }
        Topic::Parameter { .. } => {
            let curve = || full.then(|| binned(query, 1, value));
            Answer::History(ParameterHistory {
                until: query.steps.end,
                traced: full,
                value: curve(),
                gradient: curve(),
                lca: curve(),
            })
        }
        _ => Answer::Unknown("not asked here".to_owned()),
    }
}

fn text(app: &mut App, (width, height): (u16, u16), theme: &Theme, numbers: (f64, bool)) -> String {
    for query in queries(app, (width, height), theme) {
        let answer = Box::new(answer(app, &query, numbers.0, numbers.1));
        app.event(FeedEvent::Answer { query, answer });
    }
    lines_of(&drawn(app, (width, height), theme).0)
}

fn command(app: &mut App, line: &str) {
    app.act(Action::Command);
    for letter in line.chars() {
        app.act(Action::Type(letter));
    }
    app.act(Action::Submit);
}

fn braille() -> Theme {
    Theme::new(ColorLevel::TrueColor, Glyphs::Braille)
}

#[test]
fn a_layer_shows_tensors_units_and_how_it_closes() {
    let mut app = app();
    command(&mut app, "layer fc");
    let screen = text(&mut app, (100, 40), &braille(), (-1e-3, true));
    for needle in [
        "fc.weight",
        "fc.bias",
        "unit 2",
        "sign flip every 10.0 steps",
        "helped in 52.5% of steps",
        "sum of units",
        "running sums",
    ] {
        assert!(screen.contains(needle), "{needle}\n{screen}");
    }
    app.act(Action::Select(2));
    let screen = text(&mut app, (100, 40), &braille(), (-1e-3, true));
    assert!(screen.contains(" unit 2  in view"), "{screen}");
    command(&mut app, "layer none");
    let screen = text(&mut app, (100, 40), &braille(), (-1e-3, true));
    assert!(screen.contains("no units"), "{screen}");
}

/// A layer with more tensors than rows.
fn many_tensors() -> App {
    let mut layout = ParamLayout::default();
    let scale = [
        TensorKind::Weight,
        TensorKind::Bias,
        TensorKind::Scale,
        TensorKind::Shift,
    ];
    let tensors: Vec<(TensorKind, Vec<usize>)> =
        (0..10).map(|place| (scale[place % 4], vec![2])).collect();
    layout.push_layer("many", "own", 2, &tensors);
    let header = RunHeader {
        snapshots: 8,
        planned_steps: STEPS,
        layout,
        ..RunHeader::default()
    };
    let mut app = App::new(Arc::new(header), Origin::Replay);
    let step = |step| StepSummary {
        layers: vec![LayerSummary::default()],
        ..summary(step)
    };
    app.event(FeedEvent::Steps((0..STEPS).map(step).collect()));
    app
}

#[test]
fn tensors_without_a_row_are_added_up_and_the_filter_finds_them() {
    let mut app = many_tensors();
    app.act(Action::Enter);
    let screen = text(&mut app, (120, 40), &braille(), (-1e-3, true));
    let line = |screen: &str, start: &str| {
        let line = screen.lines().find(|line| line.trim().starts_with(start));
        line.unwrap_or_default().to_owned()
    };
    assert_eq!(screen.matches("many.").count(), 5, "{screen}");
    let others = line(&screen, "5 others");
    // The answer has 1, 2, … 7 and again 1, 2, 3 thousandths: the last five are 6, 7, 1, 2, 3.
    assert!(others.contains("-0.0190"), "{screen}");
    assert!(others.contains("55.9%"), "{screen}");
    let all = app.listed_tensors(0).len();
    command(&mut app, "filter bias");
    let screen = text(&mut app, (120, 40), &braille(), (-1e-3, true));
    assert!(!screen.contains("many.weight"), "{screen}");
    let listed = app.listed_tensors(0).len();
    assert!(listed < all && listed > 0);
    command(&mut app, "filter many");
    assert_eq!(app.listed_tensors(0).len(), all);
}

/// After the cursor moves, no numbers of the old step are shown.
#[test]
fn numbers_at_the_cursor_belong_to_its_step() {
    for line in ["layer conv", "layer fc"] {
        let mut app = app();
        command(&mut app, line);
        let known = text(&mut app, (120, 40), &braille(), (-1e-3, true));
        app.act(Action::Move(-3));
        let (buf, _) = drawn(&app, (120, 40), &braille());
        let row = |y| (0..120).map(|x| buf[(x, y)].symbol()).collect::<String>();
        let rows: Vec<String> = (0..40).map(row).collect();
        let weight = rows.iter().find(|row| row.contains(".weight")).unwrap();
        let numbers: Vec<&str> = weight.split_whitespace().rev().take(4).collect();
        assert_eq!(numbers[3], "-", "{weight}");
        assert_ne!(numbers[2], "-", "the window is the same: {weight}");
        let unit = rows.iter().find(|row| row.contains("  in view -")).unwrap();
        assert!(unit.contains("  cursor -  "), "{unit}");
        assert!(!known.contains("  cursor -  "), "{known}");
        let again = text(&mut app, (120, 40), &braille(), (-1e-3, true));
        assert!(!again.contains("  cursor -  "), "{again}");
    }
}

#[test]
fn tensors_that_have_no_row_are_in_a_sum_and_the_cursor_has_its_step() {
    let mut app = app();
    command(&mut app, "layer block");
    app.act(Action::Move(-12));
    for size in [(60, 16), (80, 24), (200, 60)] {
        let screen = text(&mut app, size, &braille(), (-1e-3, true));
        let others = screen.lines().find(|line| line.contains(" others"));
        let others = others.unwrap_or_else(|| panic!("{screen}"));
        let count: usize = others.split_whitespace().next().unwrap().parse().unwrap();
        let rows = screen
            .lines()
            .filter(|line| line.starts_with(" block.weight"));
        assert_eq!(rows.count() + count, 9, "{screen}");
        assert!(screen.contains("at 27"), "{screen}");
        app.act(Action::Enter);
        let unit = text(&mut app, size, &braille(), (-1e-3, true));
        assert!(size.0 < 80 || unit.contains("  at 27 "), "{unit}");
        app.act(Action::Back);
    }
}

#[test]
fn names_in_the_list_of_a_unit_are_whole_and_a_column_says_of_how_many_steps_it_is() {
    let mut app = app();
    command(&mut app, "layer conv");
    app.act(Action::Enter);
    for size in [(60, 16), (80, 24), (120, 40)] {
        let screen = text(&mut app, size, &braille(), (-2e-3, true));
        let row = screen.lines().nth(4).unwrap();
        let whole = ["weight [0, 0, 0, 0] ", "weight [0,0,0,0] ", "w [0,0,0,0] "];
        assert!(whole.iter().any(|name| row.contains(name)), "{screen}");
        assert!(size.0 < 80 || screen.contains(" 1 st."), "{screen}");
    }
}

#[test]
fn a_unit_shows_its_list_its_pictures_and_its_bias() {
    let mut app = app();
    command(&mut app, "layer fc");
    app.act(Action::Enter);
    let screen = text(&mut app, (120, 40), &braille(), (-2e-3, true));
    for needle in [
        "fc, unit 0",
        "785 parameters",
        "over the first 40 steps",
        "*weight [0, 0]",
        "input, 1×28×28",
        "weights after 40 steps",
        "-2.00e-3",
        "bias",
        "(1 of 40 steps)",
    ] {
        assert!(screen.contains(needle), "{needle}\n{screen}");
    }
    let screen = text(&mut app, (120, 40), &braille(), (-2e-3, false));
    assert!(screen.contains("no totals yet"), "{screen}");
}

#[test]
fn a_parameter_shows_its_curves_or_what_to_record() {
    let mut app = app();
    command(&mut app, "param 2400");
    let screen = text(&mut app, (120, 40), &braille(), (-2e-3, true));
    for needle in [
        "weight [1, 2, 0, 0] of conv",
        "traced at every step",
        "value at the start of step 39: -2.000000e-3",
        "full gradient at the start of step 39",
        "LCA in step 39: -2.000000e-3 nats",
        "residual of the step 0",
    ] {
        assert!(screen.contains(needle), "{needle}\n{screen}");
    }
    command(&mut app, "param 7");
    let screen = text(&mut app, (120, 40), &braille(), (-2e-3, false));
    assert!(
        screen.contains("not traced") && screen.contains("--trace N"),
        "{screen}"
    );
    app.act(Action::NextTraced);
    assert_eq!(app.nav.parameter, 2400);
    app.act(Action::NextTraced);
    assert_eq!(app.nav.parameter, 0, "behind the last comes the first");
}

#[test]
fn command_errors_list_the_choices() {
    let mut app = app();
    command(&mut app, "layer conv");
    command(&mut app, "unit 3");
    assert_eq!(app.nav.depth, Depth::Unit { layer: 1, unit: 3 });
    command(&mut app, "unit 4");
    assert!(
        app.overlays.notice().contains("0 to 3"),
        "{}",
        app.overlays.notice()
    );
    command(&mut app, "param 999999");
    assert!(
        app.overlays.notice().contains("has parameters 0"),
        "{}",
        app.overlays.notice()
    );
    app.act(Action::Back);
    assert_eq!(app.nav.depth, Depth::Layer(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn nothing_panics_and_ascii_stays_ascii(
        width in 60u16..260,
        height in 16u16..90,
        layer in 0usize..8,
        deeper in 0u8..3,
        full in any::<bool>(),
        ascii in any::<bool>(),
        moves in prop::collection::vec(-30i64..30, 0..4),
        sorts in 0usize..6,
        value in prop_oneof![
            -1e-3f64..1e-3, Just(0.0), Just(f64::NAN), Just(f64::INFINITY), any::<f64>(),
        ],
    ) {
        let mut app = app();
        app.nav.depth = Depth::Layer(layer);
        (app.nav.layer, app.nav.unit) = (layer, 1);
        for _ in 0..deeper {
            app.act(Action::Enter);
        }
        for rows in moves {
            app.act(Action::Select(rows));
            app.act(Action::Move(rows));
            app.act(Action::ZoomIn);
        }
        for _ in 0..sorts {
            app.act(Action::Sort);
        }
        let theme = if ascii {
            Theme::new(ColorLevel::None, Glyphs::Ascii)
        } else {
            Theme::new(ColorLevel::Ansi256, Glyphs::Blocks)
        };
        // Also before any answer.
        drawn(&app, (width, height), &theme);
        let screen = text(&mut app, (width, height), &theme, (value, full));
        prop_assert!(!ascii || screen.is_ascii(), "{}", screen);
    }
}
