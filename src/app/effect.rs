//! Effects outside the explorer: copying the numbers in view, or writing them to files.
//!
//! The state only describes an effect; the code that runs the screen carries it out and reports the outcome.

use std::ops::Range;

use super::reach::Here;
use super::screen::{Depth, Screen};
use super::state::App;

/// A description of the view that determines which numbers it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub screen: Screen,
    pub depth: Depth,
    /// The layer that the numbers are about, if it is a single one.
    pub layer: Option<usize>,
    /// The steps that the numbers cover: those in view, all steps so far, or those up to the cursor, depending on the
    /// screen.
    pub steps: Range<u64>,
    /// The steps of the second run, if it is compared.
    pub compared: Option<Range<u64>>,
}

/// An effect to carry out outside the explorer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Copy the numbers in view to the clipboard.
    Copy(Shown),
    /// Write them to files beside the run: a table and a picture, or only the given format.
    Export(Shown, Option<String>),
}

impl App {
    /// Returns a description of the view.
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

    /// Returns true if the numbers in view can be written as a table; if not, says why.
    fn can_be_written(&mut self) -> bool {
        let within = self.within_class && self.here() == Here::Network(Screen::Synchronisation);
        if within {
            self.say("moments are exported for all classes together; n and N return to these");
        }
        !within
    }

    /// Takes the effects requested since the last call.
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
