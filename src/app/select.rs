//! Lists, the selection in them, and the way into the network and back.

use super::screen::{Depth, Screen, SortKeys};
use super::state::App;
use crate::layout::ParamLayout;
use crate::query::{Answer, Topic};

impl App {
    /// The layers as they are listed: those that the filter lets through, sorted.
    #[must_use]
    pub fn listed_layers(&self) -> Vec<usize> {
        let layout = &self.header.layout;
        let filter = self.filter.to_lowercase();
        let passes = |name: &str| name.to_lowercase().contains(&filter);
        let mut layers: Vec<usize> = (0..layout.layers.len())
            .filter(|&layer| {
                let tensors = &layout.tensors[layout.layers[layer].tensors.clone()];
                passes(&layout.layers[layer].name)
                    || tensors.iter().any(|tensor| passes(&tensor.name))
            })
            .collect();
        let end = self.timeline.end();
        let window = self.timeline.stretch(&self.window.visible(end));
        self.sort.arrange(&mut layers, |layer| {
            let sums = window.layer_sums(layer);
            SortKeys {
                total: sums.lca,
                help_share: sums.help_share(),
                steps_per_turn: sums.steps_per_flip(),
            }
        });
        layers
    }

    /// The units of a layer as they are listed: sorted by what they did in the window, as far as that
    /// is known.
    #[must_use]
    pub fn listed_units(&self, layer: usize) -> Vec<usize> {
        let count = (self.header.layout.layers)
            .get(layer)
            .map_or(0, |l| l.units.len());
        let mut units: Vec<usize> = (0..count).collect();
        let like = self.about_window(units_of(layer), 1);
        if let Some((_, Answer::Binned(binned))) = self.desk.answer(&like)
            && binned.groups.len() == count
        {
            self.sort.arrange(&mut units, |unit| {
                let group = &binned.groups[unit];
                #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
                let share = |count: u64| count as f64 / group.steps as f64;
                SortKeys {
                    total: group.total,
                    help_share: share(group.helped),
                    steps_per_turn: 1.0 / share(group.crossings),
                }
            });
        }
        units
    }

    /// `↑` and `↓`.
    pub(super) fn select(&mut self, rows: isize) {
        if self.overlay.is_some() {
            self.help_scroll = self.help_scroll.saturating_add_signed(rows);
            return;
        }
        match (self.depth, self.screen) {
            (Depth::Network, Screen::Classes) => {
                let classes: Vec<usize> = (0..self.header.classes.len()).collect();
                moved(&mut self.class, &classes, rows);
            }
            (Depth::Network, _) => {
                let layers = self.listed_layers();
                moved(&mut self.layer, &layers, rows);
            }
            (Depth::Layer(layer), _) => {
                let units = self.listed_units(layer);
                moved(&mut self.unit, &units, rows);
            }
            (Depth::Unit { layer, unit }, _) => {
                let parameters = self.listed_parameters(layer, unit);
                moved(&mut self.parameter, &parameters, rows);
            }
            // The next parameter of the same unit.
            (Depth::Parameter { layer, unit, .. }, _) => {
                let parameters = self.listed_parameters(layer, unit);
                moved(&mut self.parameter, &parameters, rows);
                self.depth = Depth::Parameter {
                    layer,
                    unit,
                    parameter: self.parameter,
                };
            }
        }
    }

    /// The parameters of a unit as they are listed.
    #[must_use]
    pub fn listed_parameters(&self, layer: usize, unit: usize) -> Vec<usize> {
        unit_parameters(&self.header.layout, layer, unit)
    }

    /// `Enter`.
    pub(super) fn enter(&mut self) {
        let layout = &self.header.layout;
        match self.depth {
            Depth::Network if self.screen != Screen::Classes => {
                let Some(layer) = layout.layers.get(self.layer) else {
                    return;
                };
                self.unit = self.unit.min(layer.units.len().saturating_sub(1));
                self.depth = Depth::Layer(self.layer);
            }
            Depth::Layer(layer) => {
                let parameters = unit_parameters(layout, layer, self.unit);
                let Some(&first) = parameters.first() else {
                    return;
                };
                if !parameters.contains(&self.parameter) {
                    self.parameter = first;
                }
                self.depth = Depth::Unit {
                    layer,
                    unit: self.unit,
                };
            }
            Depth::Unit { layer, unit } => {
                self.depth = Depth::Parameter {
                    layer,
                    unit,
                    parameter: self.parameter,
                };
            }
            Depth::Network | Depth::Parameter { .. } => {}
        }
    }
}

/// The question about a layer's units.
#[must_use]
pub fn units_of(layer: usize) -> Topic {
    Topic::Units {
        layer: u32::try_from(layer).unwrap_or(u32::MAX),
    }
}

/// The parameters of a unit, tensor by tensor: places in the flat vector.
#[must_use]
pub fn unit_parameters(layout: &ParamLayout, layer: usize, unit: usize) -> Vec<usize> {
    let Some(layer) = layout.layers.get(layer) else {
        return Vec::new();
    };
    let tensors = layout.tensors[layer.tensors.clone()].iter();
    tensors
        .filter(|_| unit < layer.units.len())
        .flat_map(|tensor| {
            let start = tensor.range.start + unit * tensor.row_len();
            start..(start + tensor.row_len()).min(tensor.range.end)
        })
        .collect()
}

/// Moves a selection by so many rows of its list; what is not in the list counts as its first row.
fn moved(selected: &mut usize, list: &[usize], rows: isize) {
    let at = list.iter().position(|item| item == selected);
    let to = match at {
        Some(at) => at.saturating_add_signed(rows),
        None => 0,
    };
    if let Some(&item) = list.get(to.min(list.len().saturating_sub(1))) {
        *selected = item;
    }
}
