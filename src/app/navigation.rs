//! Navigation: screen, depth, selection, range in view, and the options of the charts.

use std::collections::BTreeSet;

use super::action::Action;
use super::screen::{Depth, Here, RunPart, Screen, Sort};
use super::scroll::Scroll;
use super::window::Window;
use crate::layout::{ParamLayout, ParamLocation};
use crate::query::Topic;
use crate::record::RunHeader;

/// The part of the run in view, and how it is shown.
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that know nothing of each other"
)]
#[derive(Debug, Default)]
pub struct Navigation {
    pub window: Window,
    pub screen: Screen,
    pub depth: Depth,
    /// Shows the comparison with other runs, if there are any.
    pub comparing: bool,
    /// In a comparison: the other run whose differences are shown over the steps; the chart shown in full, from 1 on,
    /// or 0 for all; whether runs that differ only in their seeds are shown as their mean.
    pub run: usize,
    pub chart: usize,
    pub means: bool,
    /// The selection: a layer; a unit of the open layer; a parameter, by its index in the flat vector; a class.
    pub layer: usize,
    pub unit: usize,
    pub parameter: usize,
    pub class: usize,
    pub sort: Sort,
    /// Only layers and tensors whose names contain this text are listed.
    pub filter: String,
    /// Which of the screen's charts is shown in full, from 1 on; 0 shows all. Screens take it modulo their number of
    /// charts.
    pub focus: usize,
    /// Linear charts, rather than symmetric-logarithmic ones.
    pub linear: bool,
    /// The selected layer in pooled charts, rather than all layers together.
    pub one_layer: bool,
    /// Restricts moments of learning to the selected class.
    pub within_class: bool,
    pub bookmarks: BTreeSet<u64>,
    /// The scroll positions of the configuration, from the top, and of the log, from the end.
    pub config_scroll: Scroll,
    pub log_scroll: Scroll,
}

impl Navigation {
    /// Returns the kind of view on screen.
    #[must_use]
    pub fn here(&self) -> Here {
        match self.depth {
            _ if self.comparing => Here::Comparison,
            Depth::Network => Here::Network(self.screen),
            Depth::Layer(_) => Here::Layer,
            Depth::Unit { .. } => Here::Unit,
            Depth::Parameter { .. } => Here::Parameter,
        }
    }

    /// Returns true if the filter matches a name.
    #[must_use]
    pub fn passes(&self, name: &str) -> bool {
        self.filter.is_empty() || name.to_lowercase().contains(&self.filter.to_lowercase())
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

    /// Goes to a screen.
    pub(super) fn turn(&mut self, action: Action) {
        let screen = match action {
            Action::Screen(screen) => screen,
            Action::NextScreen => self.screen.turned(1),
            _ => self.screen.turned(-1),
        };
        if self.screen != screen {
            self.focus = 0;
        }
        self.screen = screen;
        self.depth = Depth::Network;
        self.comparing = false;
    }

    /// Cycles through all classes together, then each of the `count` classes.
    pub(super) fn turn_class(&mut self, forward: bool, count: usize) {
        let next = match (self.within_class, forward) {
            (false, true) => Some(0),
            (false, false) => count.checked_sub(1),
            (true, true) => Some(self.class + 1).filter(|class| *class < count),
            (true, false) => self.class.checked_sub(1),
        };
        self.within_class = next.is_some();
        self.class = next.unwrap_or(self.class);
    }

    /// Scrolls the Run screen, which lists no layers: the log if it is shown in full, else the configuration.
    pub(super) fn scroll_run(&mut self, rows: isize) {
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

    /// Returns the next traced parameter after the selected one, wrapping around.
    pub(super) fn next_traced(&self, header: &RunHeader) -> Option<usize> {
        let traced = &header.traced;
        let at = match self.depth {
            Depth::Unit { .. } | Depth::Parameter { .. } => Some(self.parameter),
            Depth::Layer(layer) => {
                let rows = header.layout.unit_rows(layer, self.unit);
                rows.first().and_then(|row| row.start.checked_sub(1))
            }
            Depth::Network => {
                let layer = header.layout.layers.get(self.layer);
                layer.and_then(|layer| layer.range.start.checked_sub(1))
            }
        };
        let behind = traced
            .iter()
            .find(|&&index| at.is_none_or(|at| index > at as u64));
        let next = behind.or(traced.first()).copied();
        next.and_then(|next| usize::try_from(next).ok())
    }

    /// Opens a parameter; on the level of a unit, opens the parameter's unit.
    pub(super) fn look_at(&mut self, parameter: usize, layout: &ParamLayout) {
        let Some(ParamLocation { layer, unit, .. }) = layout.location_of(parameter) else {
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
    pub(super) fn enter(&mut self, layout: &ParamLayout) {
        let depth = if std::mem::take(&mut self.comparing) {
            Depth::Network
        } else {
            self.depth
        };
        match depth {
            Depth::Network => {
                let Some(layer) = layout.layers.get(self.layer) else {
                    return;
                };
                self.unit = self.unit.min(layer.units.len().saturating_sub(1));
                self.depth = Depth::Layer(self.layer);
            }
            Depth::Layer(layer) => {
                let parameters = layout.unit_parameters(layer, self.unit);
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
