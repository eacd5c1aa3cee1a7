//! What the explorer asks of the world outside: that the numbers in view be copied or written to files.
//!
//! The state only says what; whoever runs the screen does it, and says what came of it.

use std::ops::Range;

use super::reach::Here;
use super::screen::{Depth, Screen};
use super::state::App;

/// What is in view, as far as it decides which numbers those are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub screen: Screen,
    pub depth: Depth,
    /// The layer that its numbers are of, where they are of one.
    pub layer: Option<usize>,
    /// The steps that its numbers are of: those in view or, on a screen that has the run so far, all of them.
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
        let end = self.timeline.end();
        let layer = match self.here() {
            Here::Layer | Here::Unit => self.depth.layer(),
            Here::Network(Screen::Distribution) if !self.pooled => Some(self.layer),
            Here::Comparison | Here::Network(_) | Here::Parameter => None,
        };
        let steps = match self.here() {
            Here::Network(Screen::Run | Screen::Synchronisation) => 0..self.window.shown(end),
            // Totals up to the cursor.
            Here::Unit => 0..self.window.cursor(end).map_or(0, |step| step + 1),
            _ => self.window.visible(end),
        };
        Shown {
            screen: self.screen,
            depth: self.depth,
            layer,
            steps,
            compared,
        }
    }

    pub(super) fn copy(&mut self) {
        if self.can_be_written() {
            let shown = self.shown();
            self.effects.push(Effect::Copy(shown));
        }
    }

    pub(super) fn export(&mut self, format: Option<String>) {
        if self.can_be_written() {
            let shown = self.shown();
            self.effects.push(Effect::Export(shown, format));
        }
    }

    /// Says why, if the numbers in view are in no table.
    fn can_be_written(&mut self) -> bool {
        let within = self.within_class && self.here() == Here::Network(Screen::Synchronisation);
        if within {
            self.say("moments are written of all classes together: n and N lead back to these");
        }
        !within
    }

    /// What is to be done outside that has come up since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::action::Action;
    use super::super::timeline::tests::step;
    use super::*;
    use crate::feed::{FeedEvent, Origin};
    use crate::layout::{ParamLayout, TensorKind};
    use crate::record::RunHeader;

    #[test]
    fn what_is_written_is_of_the_steps_and_the_layer_in_view() {
        let mut layout = ParamLayout::default();
        for name in ["a", "b"] {
            layout.push_layer(name, "linear", 4, &[(TensorKind::Bias, vec![4])]);
        }
        let header = RunHeader {
            layout,
            classes: vec!["cat".to_owned()],
            ..RunHeader::default()
        };
        let mut app = App::new(Arc::new(header), Origin::Replay);
        let steps = (0..50).map(|t| step(t, [-1.0, 0.5]));
        app.event(FeedEvent::Steps(steps.collect()));
        app.window.show(&(10..20));
        app.layer = 1;
        let mut of = |screen| {
            app.act(Action::Screen(screen));
            let shown = app.shown();
            (shown.steps, shown.layer)
        };
        assert_eq!(of(Screen::Overview), (10..20, None));
        assert_eq!(of(Screen::Synchronisation), (0..50, None));
        assert_eq!(of(Screen::Run), (0..50, None));
        assert_eq!(of(Screen::Distribution), (10..20, None));
        app.act(Action::Pool);
        assert_eq!(app.shown().layer, Some(1));
        app.act(Action::Screen(Screen::Overview));
        app.act(Action::Enter);
        assert_eq!((app.shown().steps, app.shown().layer), (10..20, Some(1)));
        app.act(Action::Enter);
        assert_eq!((app.shown().steps, app.shown().layer), (0..16, Some(1)));
        app.act(Action::Screen(Screen::Synchronisation));
        app.act(Action::NextClass);
        app.act(Action::Export);
        assert!(app.take_effects().is_empty() && app.notice().contains("all classes"));
    }
}
