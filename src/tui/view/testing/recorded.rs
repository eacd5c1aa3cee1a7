//! A run file whose every allocation is known, and a screen that looks at it.

use std::sync::Arc;

use ratatui::layout::Rect;
use tempfile::TempDir;

use super::text;
use crate::app::{Action, App};
use crate::feed::{FeedEvent, Origin};
use crate::layout::{ParamLayout, TensorKind};
use crate::lca::histogram_edges;
use crate::query::Analyst;
use crate::record::{
    Allocation, HeldOutAllocation, Losses, Motion, ParamTotals, RunEnd, RunHeader, StartRecord,
    Status, StepRecord, Trace,
};
use crate::store::{RunReader, RunWriter, WriteOptions};
use crate::tui::theme::Theme;
use crate::tui::view::wants;

/// What a run has.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub steps: u64,
    pub layers: usize,
    /// Of each layer, with 4 weights and a bias each.
    pub units: usize,
    /// 0 for a run without allocations by class.
    pub classes: usize,
    pub held_out: bool,
    /// Every how many steps there is a snapshot of the totals.
    pub snapshots: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            steps: 40,
            layers: 3,
            units: 4,
            classes: 3,
            held_out: true,
            snapshots: 10,
        }
    }
}

/// A finished run in a file, and what is in it.
pub struct Run {
    pub app: App,
    pub shape: Shape,
    /// `[T][P]`: every allocation, in nats.
    pub lca: Vec<Vec<f64>>,
    /// `[T][C][L]`
    pub by_class: Vec<Vec<Vec<f64>>>,
    /// `[T][L]`: of the held-out loss.
    pub held_out: Vec<Vec<f64>>,
    /// `[T+1][C]`: losses of the classes.
    pub class_loss: Vec<Vec<f64>>,
    pub reader: RunReader,
    analyst: Analyst,
    folder: TempDir,
}

/// Numbers that look like noise, between −1 and 1, the same for the same places.
#[expect(clippy::cast_precision_loss, reason = "noise")]
fn noise(places: [usize; 3]) -> f64 {
    let mut mixed = 0x9e37_79b9_7f4a_7c15_u64;
    for place in places {
        mixed = (mixed ^ place as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^= mixed >> 29;
    }
    (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn header(shape: Shape) -> RunHeader {
    let mut layout = ParamLayout::default();
    for layer in 0..shape.layers {
        let tensors = [
            (TensorKind::Weight, vec![shape.units, 4]),
            (TensorKind::Bias, vec![shape.units]),
        ];
        layout.push_layer(&format!("fc{layer}"), "linear", shape.units, &tensors);
    }
    RunHeader {
        layout,
        classes: (0..shape.classes).map(|c| format!("class {c}")).collect(),
        histogram_edges: histogram_edges(),
        held_out_lca: shape.held_out,
        planned_steps: shape.steps,
        traced: vec![0, 1],
        record_params: 1,
        record_weights: 1,
        ..super::header(0)
    }
}

impl Run {
    /// Writes a run to its end and opens it.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "arrays over all parameters are f32"
    )]
    pub fn new(shape: Shape) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.h5");
        let header = header(shape);
        let params = header.layout.params();
        let size = |p: usize| 1e-3 * [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015_625][p % 7];
        let lca = (0..shape.steps as usize).map(|t| {
            let a = |p: usize| f64::from((size(p) * (noise([t, p, 0]) - 0.05)) as f32);
            (0..params).map(a).collect()
        });
        let mut maker = Maker {
            lca: lca.collect(),
            loss: 2.5,
            totals: ParamTotals::new(params),
            shape,
            header,
        };
        let mut writer = RunWriter::create(&path, &maker.header, WriteOptions::default()).unwrap();
        let start = StartRecord {
            losses: maker.losses(0),
            weights: Some(vec![0.5; params]),
        };
        writer.start(&start).unwrap();
        let mut class_loss = vec![start.losses.train_class];
        let (mut by_class, mut held_out) = (Vec::new(), Vec::new());
        let layers = shape.layers.max(1);
        for step in 0..shape.steps {
            let record = maker.step(step);
            writer.step(&record).unwrap();
            let classes = record.lca.class_layer.chunks(layers);
            let row = |row: &[f32]| row.iter().copied().map(f64::from).collect();
            by_class.push(classes.map(row).collect());
            held_out.extend(record.lca_held_out.map(|held_out| held_out.layer));
            class_loss.push(record.after.train_class);
        }
        let end = RunEnd {
            status: Status::Finished,
            message: String::new(),
            totals: Some(Box::new(maker.totals.clone())),
        };
        writer.finish(&end).unwrap();
        let reader = RunReader::open(&path).unwrap();
        let mut app = App::new(Arc::new(reader.header().clone()), Origin::Replay);
        app.event(FeedEvent::Start(reader.start().unwrap().unwrap()));
        app.event(FeedEvent::Steps(reader.steps(0..shape.steps).unwrap()));
        app.event(FeedEvent::Status {
            status: Status::Finished,
            message: String::new(),
        });
        Self {
            app,
            shape,
            lca: maker.lca,
            by_class,
            held_out,
            class_loss,
            reader,
            analyst: Analyst::new(),
            folder,
        }
    }

    /// The same run in a file without some datasets.
    pub fn without(&self, datasets: &[&str]) -> Self {
        let other = Self::new(self.shape);
        crate::store::without(&other.path(), datasets);
        let reader = RunReader::open(&other.path()).unwrap();
        Self { reader, ..other }
    }

    /// Its file.
    pub fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("run.h5")
    }

    pub fn act(&mut self, actions: &[Action]) {
        for &action in actions {
            self.app.act(action);
        }
    }

    /// Σ A of a layer in a step.
    pub fn layer(&self, step: usize, layer: usize) -> f64 {
        let range = self.app.header.layout.layers[layer].range.clone();
        self.lca[step][range].iter().sum()
    }

    /// Answers what the screen asks, until it knows all that it wants to know.
    pub fn settle(&mut self, width: u16, height: u16, theme: &Theme) {
        let area = Rect::new(0, 0, width, height);
        for _ in 0..100 {
            let wanted = wants(area, &self.app, theme);
            let Some(query) = self.app.wanted_answer(&wanted) else {
                return;
            };
            let answer = self.analyst.answer(&self.reader, &query, &|| false);
            let answer = Box::new(answer.unwrap());
            self.app.event(FeedEvent::Answer { query, answer });
        }
        panic!("it asks and asks");
    }

    /// The screen once everything is known.
    pub fn text(&mut self, width: u16, height: u16, theme: &Theme) -> String {
        self.settle(width, height, theme);
        text(&self.app, width, height, theme)
    }
}

/// Makes records of known allocations.
struct Maker {
    shape: Shape,
    header: RunHeader,
    lca: Vec<Vec<f64>>,
    loss: f64,
    totals: ParamTotals,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "few steps; arrays over all parameters are f32"
)]
impl Maker {
    /// After so many steps.
    fn losses(&self, steps: usize) -> Losses {
        let class = |c: usize| self.loss + 0.1 * noise([steps, c, 1]);
        Losses {
            train: self.loss,
            train_accuracy: 0.9,
            test: self.loss + 0.1,
            test_accuracy: 0.8,
            validation: f64::NAN,
            validation_accuracy: f64::NAN,
            train_class: (0..self.shape.classes).map(class).collect(),
        }
    }

    fn step(&mut self, step: u64) -> StepRecord {
        let t = step as usize;
        let lca = self.allocation(t);
        let (before, layers) = (self.loss, self.shape.layers);
        self.loss += lca.total + lca.residual;
        for (p, a) in self.lca[t].iter().enumerate() {
            self.totals.lca_sum[p] += a;
            self.totals.helped[p] += u32::from(*a < 0.0);
        }
        self.totals.steps = step + 1;
        let held_out = HeldOutAllocation {
            total: lca.layer.iter().map(|a| a / 2.0).sum(),
            residual: 1e-6,
            layer: (lca.layer.iter().enumerate())
                .map(|(l, a)| a / 2.0 + 1e-3 * noise([t, l, 2]))
                .collect(),
            tensor: lca.tensor.clone(),
            unit: lca.unit.clone(),
        };
        let params: Vec<f32> = self.lca[t].iter().map(|&a| a as f32).collect();
        StepRecord {
            step,
            epoch: step as f64 / 24.0,
            batch_loss: before,
            learning_rate: 0.05,
            seconds: (step + 1) as f64,
            gradient_evals: 2,
            segments: 2,
            loss_before: before,
            after: self.losses(t + 1),
            lca_held_out: self.shape.held_out.then_some(held_out),
            motion: Motion {
                update_flips: vec![2; layers],
                gradient_flips: vec![1; layers],
                ..Motion::zeros(layers)
            },
            trace: Trace {
                value: vec![0.5; 2],
                gradient: vec![-0.1; 2],
                lca: params[..2].to_vec(),
            },
            weights: Some(vec![0.5; params.len()]),
            lca_param: Some(params),
            totals: (step + 1)
                .is_multiple_of(self.shape.snapshots)
                .then(|| Box::new(self.totals.clone())),
            lca,
        }
    }

    fn allocation(&self, t: usize) -> Allocation {
        let layout = &self.header.layout;
        let edges = &self.header.histogram_edges;
        let bins = self.header.histogram_bins();
        let mut lca = Allocation {
            residual: 1e-6,
            layer_error: vec![1e-7; layout.layers.len()],
            unit: vec![0.0; layout.units()],
            tensor: vec![0.0; layout.tensors.len()],
            ..Allocation::default()
        };
        for layer in &layout.layers {
            let own = &self.lca[t][layer.range.clone()];
            let count = |holds: fn(f64) -> bool| own.iter().filter(|a| holds(**a)).count() as u64;
            lca.layer.push(own.iter().sum());
            lca.helped.push(count(|a| a < 0.0));
            lca.hurt.push(count(|a| a > 0.0));
            let mut counts = vec![0; bins];
            for a in own {
                counts[edges.partition_point(|edge| edge <= a) - 1] += 1;
            }
            lca.histogram.extend(counts);
        }
        layout.for_each_row(|row| {
            let sum: f64 = self.lca[t][row.range.clone()].iter().sum();
            lca.tensor[row.tensor] += sum;
            lca.unit[row.unit] += sum as f32;
        });
        lca.total = lca.layer.iter().sum();
        // The first class has what the others leave.
        let share = |c: usize, l: usize| noise([t, c, 3 + l]) + 0.2;
        for c in 0..self.shape.classes {
            lca.class_layer
                .extend((lca.layer.iter().enumerate()).map(|(l, a)| {
                    let others: f64 = (1..self.shape.classes).map(|c| share(c, l)).sum();
                    (a * if c == 0 { 1.0 - others } else { share(c, l) }) as f32
                }));
        }
        lca
    }
}

#[test]
fn what_a_run_has_is_in_its_file() {
    let run = Run::new(Shape::default());
    let whole = run.app.timeline.whole();
    let layers = 0..run.shape.layers;
    for layer in layers.clone() {
        let sum: f64 = (0..40).map(|t| run.layer(t, layer)).sum();
        assert!((whole.layer_sums(layer).lca - sum).abs() < 1e-12);
    }
    for t in 0..40 {
        for layer in layers.clone() {
            let classes = run.by_class[t].iter().map(|class| class[layer]);
            assert!((classes.sum::<f64>() - run.layer(t, layer)).abs() < 1e-8);
        }
    }
    let change = whole.loss_change() - whole.total_sums().lca;
    assert!((change - 40.0 * 1e-6).abs() < 1e-12);
}

#[test]
fn steps_that_are_not_written_yet_have_no_sums() {
    let mut run = Run::new(Shape::default());
    let theme = crate::tui::view::testing::plain();
    run.act(&[Action::Enter]);
    let cursor = |text: &str| {
        let tensors = text.lines().filter(|line| line.starts_with(" fc0.weight"));
        let cells: Vec<String> = tensors
            .flat_map(|line| line.split_whitespace().map(str::to_owned))
            .collect();
        // The last four are those at the cursor, in the window, of all steps, and of the layer.
        cells[cells.len() - 4].clone()
    };
    let written = run.text(120, 40, &theme);
    assert!(cursor(&written).parse::<f64>().is_ok(), "{written}");
    // The training is ten steps ahead of its file.
    let mut ahead = run.reader.steps(30..40).unwrap();
    for step in &mut ahead {
        step.first += 10;
        step.end += 10;
    }
    run.app.event(FeedEvent::Steps(ahead));
    let text = run.text(120, 40, &theme);
    assert_eq!(cursor(&text), "-", "{text}");
}
