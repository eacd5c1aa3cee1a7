//! Lists, the selection in them, and navigation into the network and back.

use super::overlays::Overlay;
use super::screen::{Depth, Here, Screen, Sort, SortKeys};
use super::state::App;
use crate::query::{Answer, Query, Topic, UnitParams};

impl App {
    /// Returns the layers as listed: filtered and sorted.
    #[must_use]
    pub fn listed_layers(&self) -> Vec<usize> {
        let layout = &self.model.header.layout;
        let passes = |name: &str| self.nav.passes(name);
        let mut layers: Vec<usize> = (0..layout.layers.len())
            .filter(|&layer| {
                let tensors = &layout.tensors[layout.layers[layer].tensors.clone()];
                passes(&layout.layers[layer].name)
                    || tensors.iter().any(|tensor| passes(&tensor.name))
            })
            .collect();
        if self.nav.sort == Sort::Order {
            return layers;
        }
        let window = self.model.timeline.stretch(&self.visible());
        self.nav.sort.arrange(&mut layers, |layer| {
            let sums = window.layer_sums(layer);
            SortKeys {
                total: sums.lca,
                help_share: sums.help_share(),
                steps_per_flip: sums.steps_per_flip(),
            }
        });
        layers
    }

    /// Returns a layer's tensors as listed, by their indices in the layout: those whose names match the filter. If only
    /// the layer's own name matches, all of them are listed.
    #[must_use]
    pub fn listed_tensors(&self, layer: usize) -> Vec<usize> {
        let layout = &self.model.header.layout;
        let Some(layer) = layout.layers.get(layer) else {
            return Vec::new();
        };
        let passes = |name: &str| self.nav.passes(name);
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
        let count = (self.model.header.layout.layers)
            .get(layer)
            .map_or(0, |l| l.units.len());
        let mut units: Vec<usize> = (0..count).collect();
        let like = self.about_window(units_of(layer), 1);
        if self.nav.sort != Sort::Order
            && let Some((_, Answer::Binned(binned))) = self.model.queries.answer(&like)
            && binned.groups.len() == count
        {
            self.nav.sort.arrange(&mut units, |unit| {
                let group = &binned.groups[unit];
                #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
                let share = |count: u64| count as f64 / group.steps as f64;
                SortKeys {
                    total: group.total,
                    help_share: share(group.helped),
                    steps_per_flip: 1.0 / share(group.crossings),
                }
            });
        }
        units
    }

    /// `↑` and `↓`: moves the selection, or scrolls.
    pub(super) fn select(&mut self, rows: isize) {
        if self.overlays.open == Some(Overlay::Events) {
            let last = self.listed_events().len().saturating_sub(1);
            self.overlays.event_row = self
                .overlays
                .event_row
                .min(last)
                .saturating_add_signed(rows)
                .min(last);
            return;
        }
        if self.overlays.open == Some(Overlay::Findings) {
            let last = self
                .findings()
                .map_or(0, |known| known.len().saturating_sub(1));
            let row = &mut self.overlays.finding_row;
            *row = (*row).min(last).saturating_add_signed(rows).min(last);
            return;
        }
        if self.overlays.open.is_some() {
            return self.overlays.help_scroll.scroll(rows);
        }
        if self.nav.here() == Here::Network(Screen::Run) {
            return self.nav.scroll_run(rows);
        }
        let (list, selected) = self.list();
        moved(selected, &list, rows);
        // An open parameter gives way to the next one of the same unit.
        if let Depth::Parameter { parameter, .. } = &mut self.nav.depth {
            *parameter = self.nav.parameter;
        }
    }

    /// Changes the order of the list on screen and selects its first row.
    pub(super) fn sort(&mut self, sort: Sort) {
        self.nav.sort = sort;
        let (list, selected) = self.list();
        if let Some(&first) = list.first() {
            *selected = first;
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
        match (self.nav.here(), self.nav.depth) {
            (Here::Network(Screen::Classes), _) => (
                (0..self.model.header.classes.len()).collect(),
                &mut self.nav.class,
            ),
            (Here::Comparison, _) | (_, Depth::Network) => {
                (self.listed_layers(), &mut self.nav.layer)
            }
            (_, Depth::Layer(layer)) => (self.listed_units(layer), &mut self.nav.unit),
            (_, Depth::Unit { layer, unit } | Depth::Parameter { layer, unit, .. }) => {
                (self.listed_parameters(layer, unit), &mut self.nav.parameter)
            }
        }
    }

    /// Returns a unit's parameters as listed: sorted by their totals up to the cursor, as far as these are known.
    #[must_use]
    pub fn listed_parameters(&self, layer: usize, unit: usize) -> Vec<usize> {
        let mut parameters = self.model.header.layout.unit_parameters(layer, unit);
        let Some(known) = self.unit_now(layer, unit) else {
            return parameters;
        };
        let Some(totals) = &known.totals else {
            return parameters;
        };
        if totals.lca_sum.len() != parameters.len() || self.nav.sort == Sort::Order {
            return parameters;
        }
        let mut places: Vec<usize> = (0..parameters.len()).collect();
        self.nav.sort.arrange(&mut places, |place| {
            #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
            let steps = totals.steps as f64;
            SortKeys {
                total: totals.lca_sum[place],
                help_share: f64::from(totals.helped[place]) / steps,
                steps_per_flip: steps / f64::from(totals.update_flips[place]),
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
        self.about_cursor(self.nav.unit_topic(layer, unit))
    }

    /// Returns what is known of a unit's parameters at the cursor.
    #[must_use]
    pub fn unit_now(&self, layer: usize, unit: usize) -> Option<&UnitParams> {
        match self.model.queries.answer(&self.about_unit(layer, unit)?) {
            Some((_, Answer::Unit(known))) => Some(known),
            _ => None,
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
    use crate::layout::{ParamLayout, TensorKind};
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
        let layout = &app().model.header.layout;
        assert_eq!(layout.unit_parameters(0, 1), [3, 4, 5, 7]);
        assert_eq!(layout.unit_parameters(1, 3), [14, 15, 19]);
        assert!(layout.unit_parameters(1, 4).is_empty());
        assert!(layout.unit_parameters(9, 0).is_empty());
    }

    #[test]
    fn drilling_down_and_back_keeps_the_cursor() {
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
        assert_eq!(app.nav.depth, bias);
        assert_eq!(app.nav.window.cursor(4), Some(1));
        app.act(Action::Back);
        assert_eq!(app.nav.depth, Depth::Unit { layer: 1, unit: 2 });
        app.act(Action::Screen(Screen::Run));
        assert_eq!(app.nav.depth, Depth::Network);
    }

    #[test]
    fn the_selection_stays_in_filtered_and_sorted_lists() {
        let mut app = app();
        assert_eq!(app.listed_layers(), [0, 1]);
        app.nav.sort = Sort::Helps;
        assert_eq!(app.listed_layers(), [1, 0]);
        app.act(Action::Filter);
        for letter in "FC.B".chars() {
            app.act(Action::Type(letter));
        }
        assert_eq!(app.listed_layers(), [1], "fc.bias");
        assert_eq!(app.nav.layer, 1);
        app.act(Action::Dismiss);
        assert_eq!(
            (app.nav.filter.as_str(), app.listed_layers().len()),
            ("", 2)
        );
    }

    #[test]
    fn classes_are_selected_where_they_are_listed() {
        let mut app = app();
        app.act(Action::Screen(Screen::Classes));
        app.act(Action::Select(2));
        assert_eq!((app.nav.class, app.nav.layer), (2, 0));
    }

    fn command(app: &mut App, line: &str) {
        app.act(Action::Command);
        for letter in line.chars() {
            app.act(Action::Type(letter));
        }
        app.act(Action::Submit);
    }

    #[test]
    fn sorting_selects_the_first_row() {
        let mut app = app();
        app.act(Action::Select(i64::MAX));
        assert_eq!(Some(&app.nav.layer), app.listed_layers().last());
        for _ in Sort::ALL {
            app.act(Action::Sort);
            assert_eq!(Some(&app.nav.layer), app.listed_layers().first());
            app.act(Action::Select(1));
        }
        app.act(Action::Select(i64::MAX));
        command(&mut app, "sort hurts");
        assert_eq!(Some(&app.nav.layer), app.listed_layers().first());
        app.act(Action::Select(i64::MAX));
        app.act(Action::Select(i64::MIN));
        assert_eq!(Some(&app.nav.layer), app.listed_layers().first());
    }

    #[test]
    fn commands_jump_to_steps_and_open_layers() {
        let mut app = app();
        command(&mut app, "2");
        assert_eq!(app.nav.window.cursor(4), Some(2));
        command(&mut app, "400");
        assert_eq!(app.nav.window.cursor(4), Some(3));
        assert_eq!(app.overlays.notice(), "the run has steps 0 to 3 so far");
        command(&mut app, "layer fc");
        assert_eq!(
            (app.nav.depth, app.overlays.notice()),
            (Depth::Layer(1), "")
        );
        command(&mut app, "overview");
        assert_eq!(app.nav.depth, Depth::Network);
        command(&mut app, "fly");
        assert!(app.overlays.notice().contains("unknown command 'fly'"));
    }

    #[test]
    fn bookmarks_are_jumped_to() {
        let mut app = app();
        for step in ["1", "3"] {
            command(&mut app, step);
            app.act(Action::Bookmark);
        }
        app.act(Action::PreviousEvent);
        assert_eq!(app.nav.window.cursor(4), Some(1));
        app.act(Action::NextEvent);
        assert_eq!(app.nav.window.cursor(4), Some(3));
        app.act(Action::Bookmark);
        assert_eq!(app.nav.bookmarks.len(), 1);
    }
}
