//! Effects outside the explorer: copying the numbers in view, or writing them to files.
//!
//! The state only describes an effect; the code that runs the screen carries it out and reports the outcome.

use std::ops::Range;

use super::navigation::Navigation;
use super::screen::{Depth, Here, Screen};

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
    /// The steps of each other run, in a comparison.
    pub compared: Vec<Range<u64>>,
}

/// An effect to carry out outside the explorer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Copy the numbers in view to the clipboard.
    Copy(Shown),
    /// Write them to files beside the run: a table and a picture, or only the given format.
    Export(Shown, Option<String>),
}

impl Shown {
    /// The view of a run of `end` steps, beside these steps of other runs.
    #[must_use]
    pub fn of(nav: &Navigation, end: u64, compared: Vec<Range<u64>>) -> Self {
        let layer = match nav.here() {
            Here::Layer | Here::Unit => nav.depth.layer(),
            Here::Network(Screen::Distribution) if nav.one_layer => Some(nav.layer),
            Here::Comparison | Here::Network(_) | Here::Parameter => None,
        };
        let steps = match nav.here() {
            Here::Network(Screen::Run | Screen::Synchronisation) => 0..nav.window.shown(end),
            // Totals up to the cursor.
            Here::Unit => 0..nav.window.cursor(end).map_or(0, |step| step + 1),
            _ => nav.window.visible(end),
        };
        Self {
            screen: nav.screen,
            depth: nav.depth,
            layer,
            steps,
            compared,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::action::Action;
    use super::super::state::App;
    use super::super::timeline::tests::step;
    use super::*;
    use crate::feed::{FeedEvent, Origin};
    use crate::layout::{ParamLayout, TensorKind};
    use crate::record::RunHeader;

    #[test]
    fn exports_cover_the_steps_and_layer_in_view() {
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
        app.nav.window.show(&(10..20));
        app.nav.layer = 1;
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
        assert!(app.take_effects().is_empty() && app.overlays.notice().contains("all classes"));
    }
}
