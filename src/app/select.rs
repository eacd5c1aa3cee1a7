//! Lists, the selection in them, and navigation into the network and back.

use super::reach::Here;
use super::screen::{Depth, Screen, Sort, SortKeys};
use super::state::{App, Overlay};
use crate::layout::{ParamLayout, Place};
use crate::query::{Answer, Query, Topic, UnitParams};

/// A part of the Run screen that can be shown in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunPart {
    Configuration,
    Log,
}

impl App {
    /// Returns the layers as listed: filtered and sorted.
    #[must_use]
    pub fn listed_layers(&self) -> Vec<usize> {
        let layout = &self.header.layout;
        let passes = |name: &str| self.passes(name);
        let mut layers: Vec<usize> = (0..layout.layers.len())
            .filter(|&layer| {
                let tensors = &layout.tensors[layout.layers[layer].tensors.clone()];
                passes(&layout.layers[layer].name)
                    || tensors.iter().any(|tensor| passes(&tensor.name))
            })
            .collect();
        if self.sort == Sort::Order {
            return layers;
        }
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

    /// Returns true if the filter matches a name.
    #[must_use]
    pub fn passes(&self, name: &str) -> bool {
        self.filter.is_empty() || name.to_lowercase().contains(&self.filter.to_lowercase())
    }

    /// Returns a layer's tensors as listed, by their indices in the layout: those whose names match the filter. If only
    /// the layer's own name matches, all of them are listed.
    #[must_use]
    pub fn listed_tensors(&self, layer: usize) -> Vec<usize> {
        let layout = &self.header.layout;
        let Some(layer) = layout.layers.get(layer) else {
            return Vec::new();
        };
        let passes = |name: &str| self.passes(name);
        let tensors = layer.tensors.clone();
        let listed: Vec<usize> = (tensors.clone())
            .filter(|&tensor| passes(&layout.tensors[tensor].name))
            .collect();
        if listed.is_empty() && passes(&layer.name) {
            tensors.collect()
        } else {
            listed
        }
    }

    /// Returns a layer's units as listed: sorted by their numbers in view, as far as these are known.
    #[must_use]
    pub fn listed_units(&self, layer: usize) -> Vec<usize> {
        let count = (self.header.layout.layers)
            .get(layer)
            .map_or(0, |l| l.units.len());
        let mut units: Vec<usize> = (0..count).collect();
        let like = self.about_window(units_of(layer), 1);
        if self.sort != Sort::Order
            && let Some((_, Answer::Binned(binned))) = self.queries.answer(&like)
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

    /// Returns a class's title: its name, or `class 3` if the name is a number.
    #[must_use]
    pub fn class_title(&self, class: usize) -> Option<String> {
        let name = self.header.classes.get(class)?;
        Some(match name.parse::<u64>() {
            Ok(_) => format!("class {name}"),
            Err(_) => name.clone(),
        })
    }

    /// `↑` and `↓`: moves the selection, or scrolls.
    pub(super) fn select(&mut self, rows: isize) {
        if self.overlay == Some(Overlay::Events) {
            let last = self.listed_events().len().saturating_sub(1);
            self.event_row = self
                .event_row
                .min(last)
                .saturating_add_signed(rows)
                .min(last);
            return;
        }
        if self.overlay.is_some() {
            return self.help_scroll.scroll(rows);
        }
        if self.here() == Here::Network(Screen::Run) {
            return self.scroll_run(rows);
        }
        let (list, selected) = self.list();
        moved(selected, &list, rows);
        // An open parameter gives way to the next one of the same unit.
        if let Depth::Parameter { parameter, .. } = &mut self.depth {
            *parameter = self.parameter;
        }
    }

    /// Selects an item of the list on screen.
    pub(super) fn choose(&mut self, item: usize) {
        let (list, selected) = self.list();
        if list.contains(&item) {
            *selected = item;
        }
    }

    /// Returns the list on screen, or that of the open parameter's unit, and the selected item.
    fn list(&mut self) -> (Vec<usize>, &mut usize) {
        match (self.here(), self.depth) {
            (Here::Network(Screen::Classes), _) => {
                ((0..self.header.classes.len()).collect(), &mut self.class)
            }
            (Here::Comparison, _) | (_, Depth::Network) => (self.listed_layers(), &mut self.layer),
            (_, Depth::Layer(layer)) => (self.listed_units(layer), &mut self.unit),
            (_, Depth::Unit { layer, unit } | Depth::Parameter { layer, unit, .. }) => {
                (self.listed_parameters(layer, unit), &mut self.parameter)
            }
        }
    }

    /// Scrolls the Run screen, which lists no layers: the log if it is shown in full, else the configuration.
    fn scroll_run(&mut self, rows: isize) {
        if self.run_focus() == Some(RunPart::Log) {
            self.log_scroll.scroll(rows.saturating_neg());
        } else {
            self.config_scroll.scroll(rows);
        }
    }

    /// Returns true if part of the scrolled text is out of view.
    pub(super) fn scrolls_run(&self) -> bool {
        match self.run_focus() {
            Some(RunPart::Log) => self.log_scroll.is_long(),
            Some(RunPart::Configuration) | None => self.config_scroll.is_long(),
        }
    }

    /// `:log`: shows the log in full.
    pub(super) fn show_log(&mut self) {
        (self.screen, self.depth) = (Screen::Run, Depth::Network);
        self.comparing = false;
        // The log is the second part.
        self.focus = 2;
    }

    /// Returns the part of the Run screen that is shown in full.
    #[must_use]
    pub fn run_focus(&self) -> Option<RunPart> {
        match self.focus % 3 {
            0 => None,
            1 => Some(RunPart::Configuration),
            _ => Some(RunPart::Log),
        }
    }

    /// Returns a unit's parameters as listed: sorted by their totals up to the cursor, as far as these are known.
    #[must_use]
    pub fn listed_parameters(&self, layer: usize, unit: usize) -> Vec<usize> {
        let mut parameters = unit_parameters(&self.header.layout, layer, unit);
        let Some(known) = self.unit_now(layer, unit) else {
            return parameters;
        };
        let Some(totals) = &known.totals else {
            return parameters;
        };
        if totals.lca_sum.len() != parameters.len() || self.sort == Sort::Order {
            return parameters;
        }
        let mut places: Vec<usize> = (0..parameters.len()).collect();
        self.sort.arrange(&mut places, |place| {
            #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
            let steps = totals.steps as f64;
            SortKeys {
                total: totals.lca_sum[place],
                help_share: f64::from(totals.helped[place]) / steps,
                steps_per_turn: steps / f64::from(totals.update_flips[place]),
            }
        });
        for place in &mut places {
            *place = parameters[*place];
        }
        parameters = places;
        parameters
    }

    /// Returns the query for a unit's parameters: their totals up to the cursor, and their positions.
    #[must_use]
    pub fn about_unit(&self, layer: usize, unit: usize) -> Option<Query> {
        self.about_cursor(self.unit_topic(layer, unit))
    }

    /// Returns the topic of queries about a unit's parameters.
    #[must_use]
    pub fn unit_topic(&self, layer: usize, unit: usize) -> Topic {
        let small = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        Topic::Unit {
            layer: small(layer),
            unit: small(unit),
            newest: self.window.follows(),
        }
    }

    /// Returns what is known of a unit's parameters at the cursor.
    #[must_use]
    pub fn unit_now(&self, layer: usize, unit: usize) -> Option<&UnitParams> {
        match self.queries.answer(&self.about_unit(layer, unit)?) {
            Some((_, Answer::Unit(known))) => Some(known),
            _ => None,
        }
    }

    /// `t`: opens the next traced parameter after the selected one, wrapping around.
    pub(super) fn next_traced(&mut self) {
        let traced = &self.header.traced;
        let at = match self.depth {
            Depth::Unit { .. } | Depth::Parameter { .. } => Some(self.parameter),
            Depth::Layer(layer) => {
                let rows = self.header.layout.unit_rows(layer, self.unit);
                rows.first().and_then(|row| row.start.checked_sub(1))
            }
            Depth::Network => {
                let layer = self.header.layout.layers.get(self.layer);
                layer.and_then(|layer| layer.range.start.checked_sub(1))
            }
        };
        let behind = traced
            .iter()
            .find(|&&index| at.is_none_or(|at| index > at as u64));
        let next = behind.or(traced.first()).copied();
        match next.and_then(|next| usize::try_from(next).ok()) {
            Some(next) => self.look_at(next),
            None => {
                self.say("no traced parameters; train with --trace N to record N at every step");
            }
        }
    }

    /// Opens a parameter; on the level of a unit, opens the parameter's unit.
    pub(super) fn look_at(&mut self, parameter: usize) {
        let Some(Place { layer, unit, .. }) = self.header.layout.place_of(parameter) else {
            return;
        };
        (self.layer, self.unit, self.parameter) = (layer, unit, parameter);
        self.comparing = false;
        self.depth = match self.depth {
            Depth::Unit { .. } => Depth::Unit { layer, unit },
            _ => Depth::Parameter {
                layer,
                unit,
                parameter,
            },
        };
    }

    /// `Enter`: opens the selected item. From a comparison it opens the selected layer.
    pub(super) fn enter(&mut self) {
        let depth = if std::mem::take(&mut self.comparing) {
            Depth::Network
        } else {
            self.depth
        };
        let layout = &self.header.layout;
        match depth {
            Depth::Network => {
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
            Depth::Parameter { .. } => {}
        }
    }
}

/// Returns the topic of queries about a layer's units.
#[must_use]
pub fn units_of(layer: usize) -> Topic {
    Topic::Units {
        layer: u32::try_from(layer).unwrap_or(u32::MAX),
    }
}

/// Returns a unit's parameters, tensor by tensor, as indices in the flat vector.
#[must_use]
pub fn unit_parameters(layout: &ParamLayout, layer: usize, unit: usize) -> Vec<usize> {
    layout
        .unit_rows(layer, unit)
        .into_iter()
        .flatten()
        .collect()
}

/// Moves a selection by this many rows in its list; if it is not in the list, selects the first row.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::app::{Action, Sort};
    use crate::feed::{FeedEvent, Origin};
    use crate::layout::TensorKind;
    use crate::record::RunHeader;

    fn app() -> App {
        let mut layout = ParamLayout::default();
        for (name, units, inputs) in [("conv", 2, 3), ("fc", 4, 2)] {
            let tensors = [
                (TensorKind::Weight, vec![units, inputs]),
                (TensorKind::Bias, vec![units]),
            ];
            layout.push_layer(name, "linear", units, &tensors);
        }
        let header = RunHeader {
            layout,
            classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
            ..RunHeader::default()
        };
        let mut app = App::new(Arc::new(header), Origin::Replay);
        let steps = (0..4).map(|t| crate::app::timeline::tests::step(t, [0.5, -1.0]));
        app.event(FeedEvent::Steps(steps.collect()));
        app
    }

    #[test]
    fn a_units_parameters_are_its_rows_of_every_tensor() {
        let layout = &app().header.layout;
        assert_eq!(unit_parameters(layout, 0, 1), [3, 4, 5, 7]);
        assert_eq!(unit_parameters(layout, 1, 3), [14, 15, 19]);
        assert!(unit_parameters(layout, 1, 4).is_empty());
        assert!(unit_parameters(layout, 9, 0).is_empty());
    }

    #[test]
    fn the_way_into_the_network_and_back_keeps_the_cursor() {
        let mut app = app();
        app.act(Action::Move(-2));
        for action in [
            Action::Select(1),
            Action::Enter,
            Action::Select(2),
            Action::Enter,
            Action::Select(1),
            Action::Enter,
            Action::Select(99),
        ] {
            app.act(action);
        }
        let bias = Depth::Parameter {
            layer: 1,
            unit: 2,
            parameter: 18,
        };
        assert_eq!(app.depth, bias);
        assert_eq!(app.window.cursor(4), Some(1));
        app.act(Action::Back);
        assert_eq!(app.depth, Depth::Unit { layer: 1, unit: 2 });
        app.act(Action::Screen(Screen::Run));
        assert_eq!(app.depth, Depth::Network);
    }

    #[test]
    fn lists_are_filtered_and_sorted_and_the_selection_stays_in_them() {
        let mut app = app();
        assert_eq!(app.listed_layers(), [0, 1]);
        app.sort = Sort::Helps;
        assert_eq!(app.listed_layers(), [1, 0]);
        app.act(Action::Filter);
        for letter in "FC.B".chars() {
            app.act(Action::Type(letter));
        }
        assert_eq!(app.listed_layers(), [1], "fc.bias");
        assert_eq!(app.layer, 1);
        app.act(Action::Dismiss);
        assert_eq!((app.filter.as_str(), app.listed_layers().len()), ("", 2));
    }

    #[test]
    fn classes_are_selected_where_they_are_listed() {
        let mut app = app();
        app.act(Action::Screen(Screen::Classes));
        app.act(Action::Select(2));
        assert_eq!((app.class, app.layer), (2, 0));
    }

    fn command(app: &mut App, line: &str) {
        app.act(Action::Command);
        for letter in line.chars() {
            app.act(Action::Type(letter));
        }
        app.act(Action::Submit);
    }

    #[test]
    fn commands_jump_and_look_into_layers() {
        let mut app = app();
        command(&mut app, "2");
        assert_eq!(app.window.cursor(4), Some(2));
        command(&mut app, "400");
        assert_eq!(app.window.cursor(4), Some(3));
        assert!(app.notice().contains("400"));
        command(&mut app, "layer fc");
        assert_eq!((app.depth, app.notice()), (Depth::Layer(1), ""));
        command(&mut app, "overview");
        assert_eq!(app.depth, Depth::Network);
        command(&mut app, "fly");
        assert!(app.notice().contains("unknown command 'fly'"));
    }

    #[test]
    fn bookmarks_are_jumped_to() {
        let mut app = app();
        for step in ["1", "3"] {
            command(&mut app, step);
            app.act(Action::Bookmark);
        }
        app.act(Action::PreviousEvent);
        assert_eq!(app.window.cursor(4), Some(1));
        app.act(Action::NextEvent);
        assert_eq!(app.window.cursor(4), Some(3));
        app.act(Action::Bookmark);
        assert_eq!(app.bookmarks.len(), 1);
    }
}
