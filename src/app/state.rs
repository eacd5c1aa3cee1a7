//! The explorer's state: what it knows about the run, and what it shows.

use std::sync::Arc;
use std::time::Duration;

use super::action::Action;
use super::compare::{Comparison, Other, Others};
use super::effect::{Effect, Shown};
use super::navigation::Navigation;
use super::overlays::{Overlay, Overlays, PromptKind};
use super::playback::Playback;
use super::run_model::RunModel;
use super::screen::{Here, Screen};
use super::scroll::LongText;
use crate::feed::{FeedEvent, Origin};
use crate::record::RunHeader;

/// Why the explorer was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quit {
    /// Quit; the training, if any, stops.
    Stop,
    /// Quit; the training goes on without the screen.
    Leave,
    /// Show the list of runs.
    Runs,
}

/// The explorer's whole state.
pub struct App {
    pub model: RunModel,
    pub nav: Navigation,
    /// The runs to compare with.
    pub others: Others,
    pub overlays: Overlays,
    pub playback: Playback,
    effects: Vec<Effect>,
    /// Set once the explorer is to close.
    pub quit: Option<Quit>,
}

impl App {
    #[must_use]
    pub fn new(header: Arc<RunHeader>, origin: Origin) -> Self {
        Self::of(RunModel::new(header, origin))
    }

    /// Shows a run.
    #[must_use]
    pub fn of(model: RunModel) -> Self {
        Self {
            model,
            nav: Navigation::default(),
            others: Others::default(),
            overlays: Overlays::default(),
            playback: Playback::default(),
            effects: Vec::new(),
            quit: None,
        }
    }

    /// Takes in an event of the feed.
    pub fn event(&mut self, event: FeedEvent) {
        match &event {
            FeedEvent::Status { .. } | FeedEvent::Controllable(false) | FeedEvent::Broken(_) => {
                self.overlays.close_question();
            }
            FeedEvent::OrderFailed(why) | FeedEvent::Notice(why) => self.overlays.say(why),
            FeedEvent::Disconnected(why) => self.overlays.say(format!(
                "no connection, trying again; the screen shows what was read before ({why})"
            )),
            FeedEvent::Reconnected => self.overlays.say("connected again"),
            _ => {}
        }
        self.model.event(event);
    }

    /// Advances the replay by the elapsed time. Returns true if the view changed.
    pub fn tick(&mut self, elapsed: Duration) -> bool {
        let end = self.model.timeline.end();
        self.playback.tick(elapsed, &mut self.nav.window, end)
    }

    /// Carries out an action, if it applies in the current view.
    pub fn act(&mut self, action: Action) {
        let end = self.model.timeline.end();
        self.overlays.say("");
        if !matches!(action, Action::Select(_) | Action::Enter | Action::Quit) {
            self.overlays.close_findings();
        }
        if !self.offers(action) {
            return;
        }
        let (nav, overlays) = (&mut self.nav, &mut self.overlays);
        if matches!(action, Action::Move(_) | Action::Home) {
            self.playback.settle(&mut nav.window, end);
        }
        match action {
            Action::Move(steps) => nav.window.move_by(steps, end),
            Action::Home => nav.window.home(),
            Action::Follow => {
                self.playback.stop();
                nav.window.follow();
            }
            Action::ZoomIn => nav.window.zoom(true, end),
            Action::ZoomOut => nav.window.zoom(false, end),
            Action::ZoomAll => nav.window.zoom_out(),
            Action::Freeze if self.model.origin == Origin::Replay => {
                self.playback.play_or_pause(&mut nav.window, end);
            }
            Action::Freeze => nav.window.toggle_freeze(end),
            Action::Faster => overlays.say(self.playback.change_speed(true, end)),
            Action::Slower => overlays.say(self.playback.change_speed(false, end)),
            Action::PauseTraining => self.order_pause(!self.model.is_pausing()),
            Action::ToggleScale => self.toggle_scale(),
            Action::Screen(_) | Action::NextScreen | Action::PreviousScreen => nav.turn(action),
            Action::Select(rows) => self.select(isize::try_from(rows).unwrap_or(0)),
            Action::Choose(item) => self.choose(item),
            Action::Enter if overlays.open == Some(Overlay::Events) => self.enter_event(),
            Action::Enter if overlays.open == Some(Overlay::Findings) => self.enter_finding(),
            Action::Enter => nav.enter(&self.model.header.layout),
            Action::Back if nav.comparing => nav.comparing = false,
            Action::Back => nav.depth = nav.depth.up(),
            Action::Compare => self.toggle_comparison(),
            Action::Copy => self.request(Effect::Copy),
            Action::Export => self.request(|shown| Effect::Export(shown, None)),
            Action::Sort => self.sort(self.nav.sort.next()),
            Action::Pool if nav.comparing => nav.means = !nav.means,
            Action::Pool => nav.one_layer = !nav.one_layer,
            Action::Focus if nav.comparing => nav.chart = nav.chart.wrapping_add(1),
            Action::Focus => nav.focus = nav.focus.wrapping_add(1),
            Action::PreviousEvent => self.jump(false),
            Action::NextEvent => self.jump(true),
            Action::NextTraced => self.next_traced(),
            Action::Bookmark => self.toggle_bookmark(),
            Action::Events => overlays.show(Overlay::Events),
            Action::Findings => overlays.show(Overlay::Findings),
            Action::Worse => self.visit_worst(-1),
            Action::Milder => self.visit_worst(1),
            Action::NextClass => self.turn(true),
            Action::PreviousClass => self.turn(false),
            Action::Command => overlays.ask_for(PromptKind::Command, String::new()),
            Action::Filter => overlays.ask_for(PromptKind::Filter, nav.filter.clone()),
            Action::Type(_)
            | Action::Erase
            | Action::Submit
            | Action::Complete
            | Action::Recall(_) => self.edit(action),
            Action::Help => overlays.show(Overlay::Help),
            Action::Runs => self.quit = Some(Quit::Runs),
            Action::Quit if self.model.is_training() => overlays.show(Overlay::AskQuit),
            // A second request quits without an answer.
            Action::Quit
                if self.model.takes_orders() && overlays.open != Some(Overlay::AskLeave) =>
            {
                overlays.show(Overlay::AskLeave);
            }
            Action::StopAndQuit if self.model.origin != Origin::Live => {
                self.model.order_stop();
                overlays.open = None;
            }
            Action::Quit | Action::StopAndQuit => self.quit = Some(Quit::Stop),
            Action::LeaveRunning => self.quit = Some(Quit::Leave),
            Action::Dismiss if overlays.prompt.is_some() => self.leave_prompt(),
            Action::Dismiss => overlays.open = None,
        }
    }

    /// Toggles the scale and names it: not every chart has a scale to choose, and those that have may lack room for it.
    fn toggle_scale(&mut self) {
        self.nav.linear = !self.nav.linear;
        self.overlays.say(if self.nav.linear {
            "linear charts"
        } else {
            "logarithmic charts"
        });
    }

    /// `n` and `N`: restricts to the next or the previous class; in a comparison, selects the next or the previous run.
    fn turn(&mut self, forward: bool) {
        let others = self.others.runs.len();
        if self.nav.comparing {
            let step = if forward { 1 } else { others.saturating_sub(1) };
            self.nav.run = (self.nav.run + step).checked_rem(others).unwrap_or(0);
            return;
        }
        match self.model.header.classes.len() {
            0 => self.overlays.say("this run has no classes"),
            count => self.nav.turn_class(forward, count),
        }
    }

    /// `t`: opens the next traced parameter.
    fn next_traced(&mut self) {
        match self.nav.next_traced(&self.model.header) {
            Some(next) => self.nav.look_at(next, &self.model.header.layout),
            None => {
                self.overlays
                    .say("no traced parameters; train with --trace N to record N at every step");
            }
        }
    }

    /// Returns the comparison with the other runs if it is shown.
    #[must_use]
    pub fn compared(&self) -> Option<Comparison<'_>> {
        let shown = self.nav.comparing && !self.others.runs.is_empty();
        shown.then(|| {
            Comparison::new(
                &self.model,
                &self.others,
                self.nav.run + 1,
                &self.nav.window,
            )
        })
    }

    /// `c`: toggles the comparison.
    fn toggle_comparison(&mut self) {
        if self.others.runs.is_empty() {
            self.overlays
                .say("no other run to compare with; mark several in the list of runs (r)");
            return;
        }
        self.nav.comparing = !self.nav.comparing;
    }

    /// Returns a description of the view.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let others = self.compared().map(|comparison| {
            let steps = comparison.steps();
            let of_run = |run: &&RunModel| {
                let end = run.timeline.end();
                steps.start.min(end)..steps.end.min(end)
            };
            comparison.runs.iter().skip(1).map(of_run).collect()
        });
        let compared = others.unwrap_or_default();
        Shown::of(&self.nav, self.model.timeline.end(), compared)
    }

    /// Requests an effect with the numbers in view, or says why they cannot be written.
    pub(super) fn request(&mut self, effect: impl FnOnce(Shown) -> Effect) {
        if self.nav.within_class && self.nav.here() == Here::Network(Screen::Synchronisation) {
            self.overlays
                .say("moments are exported for all classes together; n and N return to these");
        } else {
            self.effects.push(effect(self.shown()));
        }
    }

    /// Takes the effects requested since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Adds other runs and shows the comparison. `name` is that of the run so far.
    pub fn compare_with(&mut self, name: impl Into<String>, others: Vec<Other>) {
        self.others = Others::new(name.into(), &self.model.header, others);
        self.nav.comparing = true;
    }

    /// Takes in the most rows by which a text can scroll, known once it is drawn.
    pub fn limit_scrolling(&mut self, text: LongText, most: usize) {
        match text {
            LongText::Help => self.overlays.help_scroll.limit(most),
            LongText::Configuration => self.nav.config_scroll.limit(most),
            LongText::Log => self.nav.log_scroll.limit(most),
        }
    }

    pub(super) fn order_pause(&mut self, pause: bool) {
        if let Err(why) = self.model.order_pause(pause) {
            self.overlays.say(why);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::run_model::Phase;
    use super::super::timeline::tests::step;
    use super::*;
    use crate::layout::{ParamLayout, TensorKind};
    use crate::record::Status;
    use crate::train::Control;

    pub fn app(origin: Origin) -> App {
        let mut layout = ParamLayout::default();
        for (name, units) in [("a", 10), ("b", 5)] {
            layout.push_layer(name, "linear", units, &[(TensorKind::Bias, vec![units])]);
        }
        let header = RunHeader {
            slice_size: 1,
            planned_steps: 20,
            steps_per_epoch: 5,
            tolerance: 1e-3,
            layout,
            ..RunHeader::default()
        };
        let mut app = App::new(Arc::new(header), origin);
        app.event(FeedEvent::Steps(
            (0..20).map(|t| step(t, [-1.0, 0.5])).collect(),
        ));
        app
    }

    pub fn finished() -> FeedEvent {
        FeedEvent::Status {
            status: Status::Finished,
            message: String::new(),
        }
    }

    #[test]
    fn a_chart_of_a_live_run_leaves_space_for_future_steps() {
        let mut app = app(Origin::Following);
        let mut header = RunHeader::clone(&app.model.header);
        header.planned_steps = 100;
        app.model.header = Arc::new(header);
        app.event(FeedEvent::Steps(vec![step(20, [-1.0, 0.5])]));
        let axis = |app: &App| {
            let steps = app.visible();
            app.model
                .axis(&app.nav.window, &app.model.timeline.stretch(&steps))
        };
        assert_eq!(axis(&app), 0..22);
        app.event(FeedEvent::WriterLost(true));
        assert_eq!(axis(&app), 0..21, "its writer was killed");
        app.event(FeedEvent::WriterLost(false));
        assert_eq!(axis(&app), 0..22);
        app.event(finished());
        assert_eq!(axis(&app), 0..21);
        // A replay looks like the training did.
        app.nav.window.set_head(17);
        assert_eq!(axis(&app), 0..18);
        app.nav.window.zoom(true, 21);
        assert_eq!(axis(&app), app.nav.window.visible(21));
    }

    #[test]
    fn quitting_a_live_training_asks_first() {
        let mut app = app(Origin::Live);
        app.act(Action::Quit);
        assert_eq!(
            (app.quit, app.overlays.open),
            (None, Some(Overlay::AskQuit))
        );
        app.event(finished());
        assert_eq!(app.overlays.open, None, "there is nothing left to ask");
        app.act(Action::Quit);
        assert_eq!(app.quit, Some(Quit::Stop));
    }

    #[test]
    fn pausing_gives_orders_only_to_a_live_training() {
        let mut live = app(Origin::Live);
        live.act(Action::PauseTraining);
        assert_eq!(
            live.model.phase(),
            Phase::Pausing,
            "the step is not done yet"
        );
        live.act(Action::PauseTraining);
        assert_eq!(live.model.phase(), Phase::Live);
        assert_eq!(live.model.take_orders(), [Control::Pause, Control::Resume]);
        live.event(FeedEvent::Paused(true));
        assert_eq!(live.model.phase(), Phase::Paused, "whoever has ordered it");
        live.event(FeedEvent::Paused(false));
        live.act(Action::PauseTraining);
        assert_eq!(live.model.take_orders(), [Control::Pause]);
        live.event(FeedEvent::Paused(true));
        live.act(Action::PauseTraining);
        assert_eq!(live.model.take_orders(), [Control::Resume]);
        let mut replay = app(Origin::Replay);
        replay.act(Action::PauseTraining);
        assert!(replay.model.take_orders().is_empty());
    }

    #[test]
    fn orders_reach_a_followed_training_with_a_socket() {
        let mut app = app(Origin::Following);
        app.act(Action::PauseTraining);
        assert!(app.model.take_orders().is_empty() && !app.overlays.notice().is_empty());
        app.event(FeedEvent::Controllable(true));
        app.act(Action::PauseTraining);
        assert_eq!(app.overlays.notice(), "");
        assert_eq!(app.model.take_orders(), [Control::Pause]);
        assert_eq!(app.model.phase(), Phase::Pausing);
        app.event(FeedEvent::OrderFailed("why".to_owned()));
        assert_eq!(
            (app.model.phase(), app.overlays.notice()),
            (Phase::Following, "why")
        );
        app.event(FeedEvent::Paused(true));
        assert_eq!(app.model.phase(), Phase::Paused);
        app.event(FeedEvent::WriterLost(true));
        assert_eq!(app.model.phase(), Phase::WriterLost);
    }

    #[test]
    fn leaving_a_followed_training_asks_whether_to_stop_it() {
        let mut app = app(Origin::Following);
        app.act(Action::Quit);
        assert!(app.quit.take().is_some(), "there is nothing to ask");
        app.event(FeedEvent::Controllable(true));
        app.act(Action::Quit);
        assert_eq!(
            (app.quit, app.overlays.open),
            (None, Some(Overlay::AskLeave))
        );
        app.act(Action::StopAndQuit);
        assert_eq!(
            (app.quit, app.overlays.open),
            (None, None),
            "stays to see it end"
        );
        assert_eq!(app.model.take_orders(), [Control::Stop]);
        app.act(Action::Quit);
        app.event(FeedEvent::Controllable(false));
        assert_eq!(app.overlays.open, None, "there is nothing left to ask");
        app.event(FeedEvent::Controllable(true));
        app.act(Action::Quit);
        app.act(Action::Quit);
        assert!(app.quit.is_some() && app.model.take_orders().is_empty());
    }

    #[test]
    fn a_broken_feed_leaves_nothing_to_ask() {
        let mut app = app(Origin::Following);
        app.event(FeedEvent::Controllable(true));
        app.act(Action::Quit);
        assert_eq!(app.overlays.open, Some(Overlay::AskLeave));
        app.event(FeedEvent::Broken(
            "the reader process was killed".to_owned(),
        ));
        assert_eq!(app.overlays.open, None);
    }

    #[test]
    fn the_phase_tells_live_from_replay() {
        assert_eq!(app(Origin::Live).model.phase(), Phase::Live);
        let mut follow = app(Origin::Following);
        assert_eq!(follow.model.phase(), Phase::Following);
        follow.event(FeedEvent::WriterLost(true));
        assert_eq!(follow.model.phase(), Phase::WriterLost);
        follow.event(finished());
        assert_eq!(follow.model.phase(), Phase::Finished);
        let mut replay = app(Origin::Replay);
        replay.event(finished());
        assert_eq!(replay.model.phase(), Phase::Replay);
    }
}
