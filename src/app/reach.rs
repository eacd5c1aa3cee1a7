//! Actions that apply in each view. The actions themselves, the help and the footer follow this table.

use super::action::Action;
use super::screen::{Depth, Screen};
use super::state::App;
use crate::feed::Origin;

/// The kind of view on screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    /// Two runs side by side.
    Comparison,
    /// A screen about all layers.
    Network(Screen),
    Layer,
    Unit,
    Parameter,
}

impl App {
    /// Returns the kind of view on screen.
    #[must_use]
    pub fn here(&self) -> Here {
        match self.depth {
            _ if self.compared().is_some() => Here::Comparison,
            Depth::Network => Here::Network(self.screen),
            Depth::Layer(_) => Here::Layer,
            Depth::Unit { .. } => Here::Unit,
            Depth::Parameter { .. } => Here::Parameter,
        }
    }

    /// Returns true if an action changes something in view, or says why not. Any other action has no effect.
    #[must_use]
    pub fn offers(&self, action: Action) -> bool {
        let here = self.here();
        let on = |screen| here == Here::Network(screen);
        match action {
            // An overlay scrolls whatever view is below it.
            Action::Select(_) | Action::Enter if self.overlay.is_some() => true,
            Action::Select(_) => self.has_choice(here),
            Action::Enter => self.leads_further(here),
            Action::Back => here == Here::Comparison || self.depth != Depth::Network,
            Action::Move(_) | Action::Home | Action::ZoomIn | Action::ZoomOut | Action::ZoomAll => {
                !on(Screen::Run)
            }
            Action::Follow => !on(Screen::Run) || self.window.frozen(),
            Action::Faster | Action::Slower => self.model.origin == Origin::Replay,
            Action::PauseTraining => self.model.origin != Origin::Replay && self.model.is_running(),
            Action::ToggleScale => match here {
                Here::Network(Screen::Synchronisation | Screen::HeldOut | Screen::Run) => false,
                _ => self.has_numbers(here),
            },
            Action::Focus => match here {
                Here::Network(screen) => screen != Screen::Overview && self.has_numbers(here),
                _ => false,
            },
            Action::Pool => on(Screen::Distribution),
            Action::NextClass | Action::PreviousClass => on(Screen::Synchronisation),
            Action::Sort => here == Here::Unit || self.lists_layers(here) || here == Here::Layer,
            Action::Filter => self.lists_layers(here) || here == Here::Layer,
            Action::NextTraced => here != Here::Comparison,
            _ => true,
        }
    }

    /// Returns true if the run has the numbers that a screen shows; otherwise the screen only says that they are
    /// missing.
    fn has_numbers(&self, here: Here) -> bool {
        match here {
            Here::Network(Screen::Classes) => !self.model.header.classes.is_empty(),
            Here::Network(Screen::HeldOut) => self.model.header.held_out_lca,
            _ => true,
        }
    }

    /// Returns true if the view lists layers, in rows or in columns.
    fn lists_layers(&self, here: Here) -> bool {
        match here {
            Here::Comparison => true,
            Here::Network(Screen::Distribution | Screen::Run)
            | Here::Layer
            | Here::Unit
            | Here::Parameter => false,
            Here::Network(_) => self.has_numbers(here),
        }
    }

    /// Returns true if there is something else to select or scroll to.
    fn has_choice(&self, here: Here) -> bool {
        match here {
            Here::Network(Screen::Run) => self.scrolls_run(),
            Here::Network(Screen::Classes) => self.model.header.classes.len() > 1,
            Here::Comparison | Here::Network(_) => {
                let listed = self.listed_layers();
                self.has_numbers(here) && (listed.len() > 1 || !listed.contains(&self.layer))
            }
            Here::Layer => self.units_here() > 1,
            Here::Unit | Here::Parameter => self.parameters_here() > 1,
        }
    }

    fn leads_further(&self, here: Here) -> bool {
        match here {
            Here::Network(Screen::Classes | Screen::Run) | Here::Parameter => false,
            Here::Comparison | Here::Network(_) => {
                self.layer < self.model.header.layout.layers.len()
            }
            Here::Layer | Here::Unit => self.parameters_here() > 0,
        }
    }

    /// Returns the number of units in the open layer.
    fn units_here(&self) -> usize {
        let layer = self.depth.layer();
        let layer = layer.and_then(|layer| self.model.header.layout.layers.get(layer));
        layer.map_or(0, |layer| layer.units.len())
    }

    /// Returns the number of parameters in the selected or open unit.
    fn parameters_here(&self) -> usize {
        let unit = match self.depth {
            Depth::Unit { unit, .. } | Depth::Parameter { unit, .. } => unit,
            Depth::Network | Depth::Layer(_) => self.unit,
        };
        let rows = self
            .depth
            .layer()
            .map(|layer| self.model.header.layout.unit_rows(layer, unit));
        rows.into_iter().flatten().map(|row| row.len()).sum()
    }
}
