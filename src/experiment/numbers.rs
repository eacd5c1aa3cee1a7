//! Results of a finished run, as numbers that can be compared between runs.

use crate::record::{LayerSummary, StepSummary, larger};
use crate::store::{RunReader, StoreError};

/// Steps read at once.
const BLOCK: u64 = 4096;

/// Subject of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuantityGroup {
    /// The whole run.
    Run,
    /// A layer's allocation of the training loss.
    Layer,
    /// A layer's allocation of the held-out loss.
    HeldOutLayer,
    /// A layer's allocation of the held-out loss minus that of the training loss.
    Gap,
    /// The estimated error of a layer's allocation, summed over steps.
    LayerError,
}

/// One number of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    pub group: QuantityGroup,
    /// A layer's name, or the quantity's own for [`QuantityGroup::Run`].
    pub name: String,
    pub unit: &'static str,
    /// NaN if it was not measured.
    pub value: f64,
}

/// Returns the numbers of a run: totals over its committed steps, losses after the last.
///
/// # Errors
/// The file cannot be read.
pub fn numbers_of(reader: &RunReader) -> Result<Vec<Quantity>, StoreError> {
    let steps = reader.refresh()?.committed;
    let layout = &reader.header().layout;
    let mut sums = StepTotals::new(layout.layers.len());
    let mut from = 0;
    while from < steps {
        let to = steps.min(from + BLOCK);
        for step in reader.steps(from..to)? {
            sums.add(step);
        }
        from = to;
    }
    let names: Vec<&str> = layout
        .layers
        .iter()
        .map(|layer| layer.name.as_str())
        .collect();
    Ok(sums.quantities(&names, layout.params() as u64))
}

/// Running sums over steps.
struct StepTotals {
    steps: u64,
    layers: Vec<LayerSummary>,
    residual: f64,
    /// Sum of the absolute residuals.
    residuals: f64,
    worst_residual: f64,
    gradient_evals: u64,
    /// The last step, whose losses are the final ones.
    last: Option<StepSummary>,
    /// Held-out loss and accuracy after the last step with an evaluation.
    held_out: (f64, f64),
}

impl StepTotals {
    fn new(layers: usize) -> Self {
        Self {
            steps: 0,
            layers: vec![LayerSummary::default(); layers],
            residual: 0.0,
            residuals: 0.0,
            worst_residual: 0.0,
            gradient_evals: 0,
            last: None,
            held_out: (f64::NAN, f64::NAN),
        }
    }

    fn add(&mut self, step: StepSummary) {
        for (sum, layer) in self.layers.iter_mut().zip(&step.layers) {
            sum.lca += layer.lca;
            sum.held_out_lca += layer.held_out_lca;
            sum.lca_error += layer.lca_error;
            sum.helped = sum.helped.saturating_add(layer.helped);
            sum.hurt = sum.hurt.saturating_add(layer.hurt);
        }
        self.steps += step.end - step.first;
        self.residual += step.residual;
        self.residuals += step.residual.abs();
        self.worst_residual = larger(self.worst_residual, step.worst_residual);
        self.gradient_evals = self.gradient_evals.saturating_add(step.gradient_evals);
        if step.test_loss.is_finite() {
            self.held_out = (step.test_loss, step.test_accuracy);
        }
        self.last = Some(step);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "shares of counts: their first 15 digits are enough"
    )]
    fn quantities(&self, names: &[&str], params: u64) -> Vec<Quantity> {
        let (loss, accuracy) = (self.last.as_ref()).map_or((f64::NAN, f64::NAN), |last| {
            (last.loss_after, last.train_accuracy)
        });
        let total = |of: fn(&LayerSummary) -> f64| self.layers.iter().map(of).sum::<f64>();
        let count = |of: fn(&LayerSummary) -> u64| {
            let counts = self.layers.iter().map(of);
            counts.fold(0, u64::saturating_add) as f64
        };
        let (helped, hurt) = (count(|layer| layer.helped), count(|layer| layer.hurt));
        let all = params as f64 * self.steps as f64;
        let run = |name: &str, unit, value| Quantity {
            group: QuantityGroup::Run,
            name: name.to_owned(),
            unit,
            value,
        };
        let mut out = vec![
            run("training loss", "nats", loss),
            run("held-out loss", "nats", self.held_out.0),
            run("training accuracy", "%", 100.0 * accuracy),
            run("held-out accuracy", "%", 100.0 * self.held_out.1),
            run("total LCA", "nats", total(|layer| layer.lca)),
            run("residual", "nats", self.residual),
            run(
                "mean |residual| of a step",
                "nats",
                self.residuals / self.steps as f64,
            ),
            run("largest |residual| of a step", "nats", self.worst_residual),
            run("parameters that helped", "%", 100.0 * helped / all),
            run("parameters that hurt", "%", 100.0 * hurt / all),
            run(
                "helping share of active",
                "%",
                100.0 * helped / (helped + hurt),
            ),
            run(
                "gradients per step",
                "",
                self.gradient_evals as f64 / self.steps as f64,
            ),
        ];
        let held_out = total(|layer| layer.held_out_lca);
        if held_out.is_finite() {
            out.push(run("total held-out LCA", "nats", held_out));
        }
        let mut by_layer = |group, of: fn(&LayerSummary) -> f64| {
            let named = names.iter().zip(&self.layers);
            out.extend(named.map(|(name, layer)| Quantity {
                group,
                name: (*name).to_owned(),
                unit: "nats",
                value: of(layer),
            }));
        };
        by_layer(QuantityGroup::Layer, |layer| layer.lca);
        if held_out.is_finite() {
            by_layer(QuantityGroup::HeldOutLayer, |layer| layer.held_out_lca);
            by_layer(QuantityGroup::Gap, |layer| layer.held_out_lca - layer.lca);
        }
        by_layer(QuantityGroup::LayerError, |layer| layer.lca_error);
        out
    }
}
