//! What the explorer asks of the world outside: that the numbers in view be copied or written to files.
//!
//! The state only says what; whoever runs the screen does it, and says what came of it.

use std::ops::Range;

use super::screen::{Depth, Screen};
use super::state::App;

/// What is in view, as far as it decides which numbers those are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub screen: Screen,
    pub depth: Depth,
    /// The selected layer.
    pub layer: usize,
    /// The steps in view.
    pub steps: Range<u64>,
    /// Those of a second run beside it.
    pub compared: Option<Range<u64>>,
}

/// Something that is done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The numbers in view to the clipboard.
    Copy(Shown),
    /// To files beside the run: a table and a picture or, where one is named, in this format.
    Export(Shown, Option<String>),
}

impl App {
    /// What is in view.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let compared = self.compared().map(|other| {
            let (steps, end) = (self.steps_compared(), other.app.timeline.end());
            steps.start.min(end)..steps.end.min(end)
        });
        Shown {
            screen: self.screen,
            depth: self.depth,
            layer: self.layer,
            steps: self.window.visible(self.timeline.end()),
            compared,
        }
    }

    pub(super) fn export(&mut self, format: Option<String>) {
        let shown = self.shown();
        self.effects.push(Effect::Export(shown, format));
    }

    /// What is to be done outside that has come up since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}
