//! Actions that apply in each view. The actions themselves, the help and the footer follow this table.

use super::action::Action;
use super::screen::{Depth, Here, Screen};
use super::state::App;
use crate::feed::Origin;

impl App {
    /// Returns true if an action changes something in view, or says why not. Any other action has no effect.
    #[must_use]
    pub fn offers(&self, action: Action) -> bool {
        let here = self.nav.here();
        let on = |screen| here == Here::Network(screen);
        match action {
            // An overlay scrolls whatever view is below it.
            Action::Select(_) | Action::Enter if self.overlays.open.is_some() => true,
            Action::Select(_) => self.has_choice(here),
            Action::Enter => self.leads_further(here),
            Action::Back => here == Here::Comparison || self.nav.depth != Depth::Network,
            Action::Move(_) | Action::Home | Action::ZoomIn | Action::ZoomOut | Action::ZoomAll => {
                !on(Screen::Run)
            }
            Action::Follow => !on(Screen::Run) || self.nav.window.frozen(),
            Action::Faster | Action::Slower => self.model.origin == Origin::Replay,
            Action::PauseTraining => self.model.origin != Origin::Replay && self.model.is_running(),
            Action::ToggleScale => match here {
                Here::Network(Screen::Synchronisation | Screen::HeldOut | Screen::Run) => false,
                _ => self.model.has_numbers(here),
            },
            Action::Focus => match here {
                Here::Comparison => true,
                Here::Network(screen) => screen != Screen::Overview && self.model.has_numbers(here),
                _ => false,
            },
            Action::Pool if here == Here::Comparison => self.others.have_repeats(),
            Action::Pool => on(Screen::Distribution),
            Action::NextClass | Action::PreviousClass if here == Here::Comparison => {
                self.others.runs.len() > 1
            }
            Action::NextClass | Action::PreviousClass => on(Screen::Synchronisation),
            Action::Sort => {
                here == Here::Unit || self.model.lists_layers(here) || here == Here::Layer
            }
            Action::Filter | Action::Worse | Action::Milder => {
                self.model.lists_layers(here) || here == Here::Layer
            }
            Action::NextTraced => here != Here::Comparison,
            _ => true,
        }
    }

    /// Returns true if there is something else to select or scroll to.
    fn has_choice(&self, here: Here) -> bool {
        match here {
            Here::Network(Screen::Run) => self.nav.scrolls_run(),
            Here::Network(Screen::Classes) => self.model.header.classes.len() > 1,
            Here::Comparison | Here::Network(_) => {
                let listed = self.listed_layers();
                self.model.has_numbers(here)
                    && (listed.len() > 1 || !listed.contains(&self.nav.layer))
            }
            Here::Layer => self.units_here() > 1,
            Here::Unit | Here::Parameter => self.parameters_here() > 1,
        }
    }

    fn leads_further(&self, here: Here) -> bool {
        match here {
            Here::Network(Screen::Classes | Screen::Run) | Here::Parameter => false,
            Here::Comparison | Here::Network(_) => {
                self.nav.layer < self.model.header.layout.layers.len()
            }
            Here::Layer | Here::Unit => self.parameters_here() > 0,
        }
    }

    /// Returns the number of units in the open layer.
    fn units_here(&self) -> usize {
        let layer = self.nav.depth.layer();
        let layer = layer.and_then(|layer| self.model.header.layout.layers.get(layer));
        layer.map_or(0, |layer| layer.units.len())
    }

    /// Returns the number of parameters in the selected or open unit.
    fn parameters_here(&self) -> usize {
        let unit = match self.nav.depth {
            Depth::Unit { unit, .. } | Depth::Parameter { unit, .. } => unit,
            Depth::Network | Depth::Layer(_) => self.nav.unit,
        };
        let rows = self
            .nav
            .depth
            .layer()
            .map(|layer| self.model.header.layout.unit_rows(layer, unit));
        rows.into_iter().flatten().map(|row| row.len()).sum()
    }
}
