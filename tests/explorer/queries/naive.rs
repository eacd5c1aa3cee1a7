//! Plain sums over the datasets of a run file.

use std::ops::Range;
use std::path::Path;

use lcascope::query::{AllocationHistogram, UnitParams};
use lcascope::record::StepSummary;

use tempfile::TempDir;

use crate::common::{Layout, RunFile};

/// Values by step; NaN where not measured.
pub type Series = Vec<(u64, f64)>;

pub struct Naive {
    _folder: TempDir,
    pub file: RunFile,
    pub layout: Layout,
    pub steps: u64,
    pub bytes: u64,
    pub classes: usize,
}

/// Expected statistics of a group.
pub struct Expected {
    pub total: f64,
    /// Steps, helped, hurt, crossings, turns.
    pub counts: [u64; 5],
}

/// The values in some steps.
pub fn within(series: &Series, steps: &Range<u64>) -> Vec<f64> {
    let inside = series.iter().filter(|(step, _)| steps.contains(step));
    inside.map(|&(_, a)| a).collect()
}

pub fn group(values: &[f64]) -> Expected {
    let known = || values.iter().filter(|a| !a.is_nan());
    let crossings = values.windows(2).filter(|x| x[0] * x[1] < 0.0).count();
    let turns = (values.windows(3)).filter(|x| (x[1] - x[0]) * (x[2] - x[1]) < 0.0);
    let counts = [
        known().count(),
        known().filter(|&&a| a < 0.0).count(),
        known().filter(|&&a| a > 0.0).count(),
        crossings,
        turns.count(),
    ];
    Expected {
        total: match counts[0] {
            0 => f64::NAN,
            _ => known().sum(),
        },
        counts: counts.map(|n| n as u64),
    }
}

/// Checks that numbers are equal except for the order in which `values` were added, or both NaN.
#[track_caller]
pub fn close(a: f64, b: f64, values: &[f64], what: &str) {
    let size: f64 = values.iter().map(|a| a.abs()).filter(|a| !a.is_nan()).sum();
    let both_nan = a.is_nan() && b.is_nan();
    assert!(both_nan || (a - b).abs() <= 1e-12 * size, "{what}: {a} {b}");
}

impl Naive {
    pub fn of(path: &Path) -> Self {
        // A copy: within a process the library opens a file only once, and the reader opens it differently.
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.h5");
        std::fs::copy(path, &copy).unwrap();
        let file = RunFile::open_any(&copy);
        let steps = file.counts("state/committed").values[0];
        Self {
            layout: Layout::of(&file),
            steps,
            bytes: std::fs::metadata(path).unwrap().len(),
            classes: file.names("layout/class/name").len(),
            file,
            _folder: folder,
        }
    }

    /// The part of these steps that exists.
    pub fn clip(&self, steps: &Range<u64>) -> Range<u64> {
        let end = steps.end.min(self.steps);
        steps.start.min(end)..end
    }

    /// Some columns of a dataset, one series each.
    pub fn columns(&self, path: &str, columns: Range<usize>) -> Vec<Series> {
        let table = self.file.reals(path);
        let rows = 0..table.rows();
        let series = |column: usize| {
            let at = |t: usize| (t as u64, table.row(t)[column]);
            rows.clone().map(at).collect()
        };
        columns.map(series).collect()
    }

    pub fn units(&self, layer: usize) -> Vec<Series> {
        let all = self.columns("lca/unit", 0..self.layout.unit_layer.len());
        let of_layer = all.into_iter().zip(&self.layout.unit_layer);
        of_layer
            .filter(|&(_, &l)| l == layer)
            .map(|(series, _)| series)
            .collect()
    }

    /// Whether allocations by class were measured in any of the steps.
    pub fn has_classes(&self, steps: &Range<u64>) -> bool {
        let layers = self.layout.layers;
        let all = || self.columns("lca/class_layer", 0..self.classes * layers);
        self.classes > 0 && (all().iter().flat_map(|s| within(s, steps))).any(|a| !a.is_nan())
    }

    /// Whether the range is empty in a run that has classes.
    pub fn says_nothing_of(&self, steps: &Range<u64>) -> bool {
        self.classes > 0 && steps.is_empty()
    }

    pub fn classes(&self, layer: Option<usize>) -> Vec<Series> {
        let layers = self.layout.layers;
        let chosen = layer.map_or(0..layers, |layer| layer..layer + 1);
        let all = self.columns("lca/class_layer", 0..self.classes * layers);
        let class = |class: usize| {
            let at = |t: usize| chosen.clone().map(|l| all[class * layers + l][t].1).sum();
            let steps = 0..usize::try_from(self.steps).unwrap();
            steps.map(|t| (t as u64, at(t))).collect()
        };
        (0..self.classes).map(class).collect()
    }

    pub fn layers_of_class(&self, class: usize) -> Vec<Series> {
        let layers = self.layout.layers;
        self.columns("lca/class_layer", class * layers..(class + 1) * layers)
    }

    /// One series per class and layer, class by class.
    pub fn class_layers(&self) -> Vec<Series> {
        self.columns("lca/class_layer", 0..self.classes * self.layout.layers)
    }

    /// The loss of a class after each step.
    pub fn class_loss(&self, class: usize) -> Vec<Series> {
        let mut losses = self.columns("loss/train_class", class..class + 1);
        for series in &mut losses {
            series.remove(0);
            for (step, _) in series {
                *step -= 1;
            }
        }
        losses
    }

    pub fn check_histogram(
        &self,
        found: &AllocationHistogram,
        layer: Option<usize>,
        steps: &Range<u64>,
    ) {
        let counts = self.file.counts("lca/histogram");
        let edges = self.file.reals("lca/histogram_edges").values;
        let bins = edges.len() - 1;
        let mut expected = vec![0; bins];
        for t in steps.clone() {
            let row = counts.row(usize::try_from(t).unwrap());
            for (l, of_layer) in row.chunks(bins).enumerate() {
                if layer.is_none_or(|layer| layer == l) {
                    expected.iter_mut().zip(of_layer).for_each(|(a, b)| *a += b);
                }
            }
        }
        assert_eq!((&found.counts, &found.edges), (&expected, &edges));
        assert_eq!(found.steps, *steps);
        let params = self.file.counts("layout/layer/params").values;
        let params: u64 = match layer {
            Some(layer) => params[layer],
            None => params.iter().sum(),
        };
        assert_eq!(found.param_steps, params * (steps.end - steps.start));
    }

    /// Checks that summaries are adjacent, cover the steps, and agree with them.
    pub fn check_summaries(&self, found: &[StepSummary], steps: &Range<u64>, width: u64) {
        if steps.is_empty() {
            // An empty range may touch the entry in which it lies.
            return assert!(found.len() <= 1, "{found:?}");
        }
        let (first, last) = (found[0].first, found[found.len() - 1].end);
        assert!(first <= steps.start && steps.end <= last && last <= self.steps);
        assert!(found.windows(2).all(|pair| pair[0].end == pair[1].first));
        let [loss, total, residual] =
            ["loss/train", "lca/total", "lca/residual"].map(|path| self.columns(path, 0..1));
        let layers = self.columns("lca/layer", 0..self.layout.layers);
        let counts = ["lca/helped", "lca/hurt"].map(|path| self.file.counts(path));
        let evals = self.file.counts("step/gradient_evals").values;
        for summary in found {
            assert!(summary.end - summary.first <= width, "{summary:?}");
            let range = summary.first..summary.end;
            let sum = |series: &Series, found: f64| {
                let values = within(series, &range);
                close(found, values.iter().sum(), &values, "a sum");
            };
            sum(&total[0], summary.total);
            sum(&residual[0], summary.residual);
            let worst = within(&residual[0], &range).into_iter().map(f64::abs);
            assert_eq!(summary.worst_residual, worst.fold(0.0, f64::max));
            let size = |step: u64| usize::try_from(step).unwrap();
            let range = size(range.start)..size(range.end);
            assert_eq!(summary.loss_before, loss[0][range.start].1);
            assert_eq!(summary.loss_after, loss[0][range.end].1);
            let after = loss[0][range.start + 1..=range.end].iter().map(|it| it.1);
            assert_eq!(summary.loss_max, after.clone().fold(f64::NAN, f64::max));
            assert_eq!(summary.loss_min, after.fold(f64::NAN, f64::min));
            assert_eq!(
                summary.gradient_evals,
                evals[range.clone()].iter().sum::<u64>()
            );
            for (l, layer) in summary.layers.iter().enumerate() {
                sum(&layers[l], layer.lca);
                let values = layers[l][range.clone()].iter().map(|it| it.1);
                assert_eq!(layer.lca_min, values.clone().fold(f64::NAN, f64::min));
                assert_eq!(layer.lca_max, values.fold(f64::NAN, f64::max));
                let count = |of: usize| range.clone().map(|t| counts[of].row(t)[l]).sum::<u64>();
                assert_eq!((layer.helped, layer.hurt), (count(0), count(1)));
            }
        }
    }

    /// The indices of a unit's parameters in the flat vector.
    fn params_of(&self, layer: usize, unit: usize) -> Vec<usize> {
        let units = self.layout.unit_layer.iter().filter(|&&l| l == layer);
        let units = units.count();
        let tensors = self
            .layout
            .tensors
            .iter()
            .filter(|tensor| tensor.0 == layer);
        tensors
            .flat_map(|&(_, offset, size)| {
                let row = size / units;
                offset + unit * row..offset + (unit + 1) * row
            })
            .collect()
    }

    /// The last row in a list of steps done that is not after `after`.
    pub fn row_until(&self, path: &str, after: u64) -> Option<(usize, u64)> {
        let steps = self.file.counts(path).values;
        let mut rows = steps.iter().copied().enumerate();
        rows.rfind(|it| it.1 <= after)
    }

    pub fn check_unit(
        &self,
        found: &UnitParams,
        (layer, unit): (usize, usize),
        steps: &Range<u64>,
        at_a_step: bool,
    ) {
        let params = self.params_of(layer, unit);
        assert_eq!(found.until, steps.end);
        let rows: Vec<usize> = found.rows.iter().cloned().flatten().collect();
        assert_eq!(rows, params);
        let after = |path: &str| {
            if at_a_step {
                self.row_until(path, steps.end)
            } else {
                None
            }
        };
        let snapshot = after("param/step");
        let totals = found.totals.as_ref();
        assert_eq!(totals.map(|totals| totals.steps), snapshot.map(|it| it.1));
        if let (Some(totals), Some((row, _))) = (totals, snapshot) {
            let sums = self.file.reals("param/lca_sum");
            let helped = self.file.counts("param/helped");
            let flips =
                ["param/update_flips", "param/gradient_flips"].map(|it| self.file.counts(it));
            for (i, &p) in params.iter().enumerate() {
                assert_eq!(totals.lca_sum[i], sums.row(row)[p]);
                assert_eq!(u64::from(totals.helped[i]), helped.row(row)[p]);
                let found = [totals.update_flips[i], totals.gradient_flips[i]].map(u64::from);
                assert_eq!(found, [flips[0].row(row)[p], flips[1].row(row)[p]]);
            }
        }
        let weights = after("weight/step");
        let found_weights = found.weights.as_ref();
        assert_eq!(found_weights.map(|it| it.steps), weights.map(|it| it.1));
        if let (Some(found), Some((row, _))) = (found_weights, weights) {
            let all = self.file.singles("weight/value");
            let expected: Vec<f32> = params.iter().map(|&p| all.row(row)[p]).collect();
            assert_eq!(found.values, expected);
        }
        let recorded = self.file.counts("lca/param_step").values;
        let there = recorded.iter().filter(|step| steps.contains(step)).count();
        assert_eq!(found.recorded.is_some(), there > 0);
        let Some(sums) = &found.recorded else { return };
        assert_eq!((sums.count, &sums.steps), (there as u64, steps));
        for (i, &p) in params.iter().enumerate() {
            let values = within(&self.recorded("lca/param", "lca/param_step", p), steps);
            let expected = group(&values);
            let total = values.iter().sum();
            close(sums.lca_sum[i], total, &values, "a recorded sum");
            let counts = [sums.helped[i], sums.hurt[i]].map(u64::from);
            assert_eq!(counts, expected.counts[1..3]);
        }
    }

    /// A parameter in the steps in which all parameters were recorded.
    fn recorded(&self, values: &str, steps: &str, parameter: usize) -> Series {
        let values = self.file.singles(values);
        let steps = self.file.counts(steps).values.into_iter().enumerate();
        steps
            .map(|(row, step)| (step, f64::from(values.row(row)[parameter])))
            .collect()
    }

    /// θ, gradient and A of a parameter, as far as recorded.
    pub fn history(&self, parameter: usize) -> [Option<Series>; 3] {
        let traced = self.file.counts("trace/parameter").values;
        if let Some(column) = traced.iter().position(|&p| p == parameter as u64) {
            return ["trace/value", "trace/gradient", "trace/lca"]
                .map(|path| self.columns(path, column..column + 1).pop());
        }
        let steps = self.file.counts("lca/param_step").rows();
        let known = |values, step| (steps > 0).then(|| self.recorded(values, step, parameter));
        [
            known("weight/value", "weight/step"),
            None,
            known("lca/param", "lca/param_step"),
        ]
    }
}
