//! The explorer's state: what it knows about the run, and what it shows.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::action::Action;
use super::compare::Other;
use super::effect::Effect;
use super::log::Log;
use super::playback::{Playback, Speed};
use super::queries::QueryCache;
use super::screen::{Depth, Prompt, PromptKind, Screen, Sort};
use super::scroll::{LongText, Scroll};
use super::stretch::Stretch;
use super::timeline::Timeline;
use super::window::Window;
use crate::feed::{FeedEvent, GpuUse, Origin, RecorderStats};
use crate::query::{Answer, DetailRequest, Part, Query, Topic};
use crate::record::{RunHeader, Status};
use crate::train::Control;

/// The open overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    Help,
    /// Events, lints and bookmarks.
    Events,
    /// The commands that can be typed after `:`.
    Commands,
    /// Quit during a training: stop it or leave it running?
    AskQuit,
    /// Quit while following a training in another process that takes orders: stop it or not?
    AskLeave,
}

/// Why the explorer was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quit {
    /// Quit; the training, if any, stops.
    Stop,
    /// Quit; the training goes on without the screen.
    Leave,
}

/// The status in the title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Live,
    /// Will pause after the current step.
    Pausing,
    Paused,
    Following,
    WriterLost,
    Replay,
    Finished,
    Stopped,
    Failed,
}

/// The pause of the training, as reported and as ordered.
#[derive(Clone, Copy, Debug, Default)]
struct Pause {
    /// As the feed reports it.
    now: bool,
    /// As ordered, until the feed confirms it.
    ordered: Option<bool>,
}

/// The explorer's whole state.
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that know nothing of each other"
)]
pub struct App {
    pub header: Arc<RunHeader>,
    pub origin: Origin,
    pub timeline: Timeline,
    pub window: Window,
    pub overlay: Option<Overlay>,
    /// Symmetric-logarithmic charts, rather than linear ones.
    pub log_scale: bool,
    pub screen: Screen,
    pub depth: Depth,
    /// The selection: a layer; a unit of the open layer; a parameter, by its index in the flat vector; a class.
    pub layer: usize,
    pub unit: usize,
    pub parameter: usize,
    pub class: usize,
    pub sort: Sort,
    /// Which of the screen's charts is shown in full, from 1 on; 0 shows all. Screens take it modulo their number of
    /// charts.
    pub focus: usize,
    /// All layers together in pooled charts, rather than the selected one.
    pub pooled: bool,
    /// Only layers and tensors whose names contain this text are listed.
    pub filter: String,
    /// The open prompt.
    pub prompt: Option<Prompt>,
    pub bookmarks: BTreeSet<u64>,
    /// The selected row in the list of events.
    pub event_row: usize,
    /// Whether moments of learning are restricted to the selected class.
    pub within_class: bool,
    /// Stray output, and the session's own messages.
    pub log: Log,
    /// The scroll positions of help and configuration, from the top, and of the log, from the end.
    pub help_scroll: Scroll,
    pub config_scroll: Scroll,
    pub log_scroll: Scroll,
    /// The write queue of a training in this process.
    pub recorder: Option<RecorderStats>,
    /// Use of the training's GPU, if it has one.
    pub gpu: Option<GpuUse>,
    /// The second run, and whether the comparison is shown.
    pub other: Option<Box<Other>>,
    pub comparing: bool,
    /// Command history, the latest last.
    pub(super) history: Vec<String>,
    /// Cache of queries and answers about the run.
    pub queries: QueryCache,
    /// Set once the explorer is to close.
    pub quit: Option<Quit>,
    status: Status,
    message: String,
    writer_lost: bool,
    pause: Pause,
    controllable: bool,
    /// A message in the last line, until the next key.
    notice: String,
    pub(super) speed: Speed,
    pub(super) playback: Option<Playback>,
    orders: Vec<Control>,
    pub(super) effects: Vec<Effect>,
}

impl App {
    #[must_use]
    pub fn new(header: Arc<RunHeader>, origin: Origin) -> Self {
        let layers = header.layout.layers.iter();
        Self {
            timeline: Timeline::new(layers.map(|layer| layer.range.len() as u64)),
            header,
            origin,
            controllable: origin == Origin::Live,
            notice: String::new(),
            window: Window::default(),
            overlay: None,
            log_scale: true,
            screen: Screen::default(),
            depth: Depth::default(),
            layer: 0,
            unit: 0,
            parameter: 0,
            class: 0,
            sort: Sort::default(),
            focus: 0,
            pooled: true,
            filter: String::new(),
            prompt: None,
            bookmarks: BTreeSet::new(),
            event_row: 0,
            within_class: false,
            log: Log::default(),
            help_scroll: Scroll::default(),
            config_scroll: Scroll::default(),
            log_scroll: Scroll::default(),
            recorder: None,
            gpu: None,
            other: None,
            comparing: false,
            history: Vec::new(),
            queries: QueryCache::default(),
            quit: None,
            status: Status::Running,
            message: String::new(),
            writer_lost: false,
            pause: Pause::default(),
            speed: Speed::default(),
            playback: None,
            orders: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Takes in an event of the feed.
    pub fn event(&mut self, event: FeedEvent) {
        match event {
            FeedEvent::Start(losses) => self.timeline.start(losses),
            FeedEvent::Steps(steps) => {
                for step in steps {
                    self.timeline.push(step);
                }
            }
            FeedEvent::Answer { query, answer } => self.answer(query, *answer),
            FeedEvent::CaughtUp => {}
            FeedEvent::Recorder(stats) => self.recorder = Some(stats),
            FeedEvent::Gpu(gpu) => self.gpu = Some(gpu),
            FeedEvent::Status { status, message } => {
                if !message.is_empty() {
                    self.log.push(&message);
                }
                self.status = status;
                self.message = message;
                self.writer_lost = false;
                self.gpu = None;
                self.pause = Pause::default();
                self.timeline.ended();
                self.queries.retry();
                self.ask_no_more();
            }
            FeedEvent::Paused(paused) => {
                self.pause.now = paused;
                if self.pause.ordered == Some(paused) {
                    self.pause.ordered = None;
                }
            }
            FeedEvent::Controllable(controllable) => {
                self.controllable = controllable;
                if !controllable {
                    self.pause.ordered = None;
                    self.ask_no_more();
                }
            }
            FeedEvent::OrderFailed(why) => {
                self.log.push(&why);
                self.notice = why;
                self.pause.ordered = None;
            }
            FeedEvent::WriterLost(lost) => self.writer_lost = lost,
            FeedEvent::Broken(why) => {
                self.log.push(&why);
                self.status = Status::Failed;
                self.message = why;
                self.queries.retry();
            }
        }
    }

    /// Carries out an action, if it applies in the current view.
    pub fn act(&mut self, action: Action) {
        let end = self.timeline.end();
        self.notice.clear();
        if !self.offers(action) {
            return;
        }
        match action {
            Action::Move(steps) => {
                self.settle();
                self.window.move_by(steps, end);
            }
            Action::Home => {
                self.settle();
                self.window.home();
            }
            Action::Follow => {
                self.playback = None;
                self.window.follow();
            }
            Action::ZoomIn => self.window.zoom(true, end),
            Action::ZoomOut => self.window.zoom(false, end),
            Action::ZoomAll => self.window.zoom_out(),
            Action::Freeze if self.origin == Origin::Replay => self.play_or_pause(),
            Action::Freeze => self.window.toggle_freeze(end),
            Action::Faster => self.play_faster(),
            Action::Slower => self.play_slower(),
            Action::PauseTraining => self.pause_or_resume(),
            Action::ToggleScale => self.toggle_scale(),
            Action::Screen(_) | Action::NextScreen | Action::PreviousScreen => self.turn(action),
            Action::Select(rows) => self.select(isize::try_from(rows).unwrap_or(0)),
            Action::Choose(item) => self.choose(item),
            Action::Enter if self.overlay == Some(Overlay::Events) => self.enter_event(),
            Action::Enter => self.enter(),
            Action::Back if self.comparing => self.comparing = false,
            Action::Back => self.depth = self.depth.up(),
            Action::Compare => self.toggle_comparison(),
            Action::Copy => self.copy(),
            Action::Export => self.export(None),
            Action::Sort => self.sort = self.sort.next(),
            Action::Pool => self.pooled = !self.pooled,
            Action::Focus => self.focus = self.focus.wrapping_add(1),
            Action::PreviousEvent => self.jump(false),
            Action::NextEvent => self.jump(true),
            Action::NextTraced => self.next_traced(),
            Action::Bookmark => self.toggle_bookmark(),
            Action::Events => {
                self.overlay = Some(Overlay::Events);
                self.event_row = 0;
            }
            Action::NextClass => self.turn_class(true),
            Action::PreviousClass => self.turn_class(false),
            Action::Command => self.ask_for(PromptKind::Command),
            Action::Filter => self.ask_for(PromptKind::Filter),
            Action::Type(_)
            | Action::Erase
            | Action::Submit
            | Action::Complete
            | Action::Recall(_) => self.edit(action),
            Action::Help => self.open_help(Overlay::Help),
            Action::Quit if self.is_training() => self.overlay = Some(Overlay::AskQuit),
            // A second request quits without an answer.
            Action::Quit if self.takes_orders() && self.overlay != Some(Overlay::AskLeave) => {
                self.overlay = Some(Overlay::AskLeave);
            }
            Action::StopAndQuit if self.origin != Origin::Live => {
                self.orders.push(Control::Stop);
                self.overlay = None;
            }
            Action::Quit | Action::StopAndQuit => self.quit = Some(Quit::Stop),
            Action::LeaveRunning => self.quit = Some(Quit::Leave),
            Action::Dismiss if self.prompt.is_some() => self.leave_prompt(),
            Action::Dismiss => self.overlay = None,
        }
    }

    /// Toggles the scale and names it: not every chart has a scale to choose, and those that have may lack room for it.
    fn toggle_scale(&mut self) {
        self.log_scale = !self.log_scale;
        self.say(if self.log_scale {
            "logarithmic charts"
        } else {
            "linear charts"
        });
    }

    /// Cycles through all classes together, then each class.
    fn turn_class(&mut self, forward: bool) {
        let count = self.header.classes.len();
        if count == 0 {
            return self.say("this run has no classes");
        }
        let last = count - 1;
        let next = match (self.within_class, forward) {
            (false, true) => Some(0),
            (false, false) => Some(last),
            (true, true) => Some(self.class + 1).filter(|class| *class <= last),
            (true, false) => self.class.checked_sub(1),
        };
        self.within_class = next.is_some();
        self.class = next.unwrap_or(self.class);
    }

    fn turn(&mut self, action: Action) {
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

    /// Takes in an answer, for the timeline or for the cache.
    fn answer(&mut self, query: Query, answer: Answer) {
        let Topic::Steps { width } = query.topic else {
            return self.queries.take(query, answer);
        };
        let request = DetailRequest {
            steps: query.steps,
            width,
        };
        let steps = match answer {
            Answer::Steps(steps) => steps,
            _ => Vec::new(),
        };
        self.timeline.detail(&request, steps);
    }

    /// Adds a second run and shows the comparison.
    pub fn compare_with(&mut self, other: Other) {
        self.other = Some(Box::new(other));
        self.comparing = true;
    }

    /// Takes in the most rows by which a text can scroll, known once it is drawn.
    pub fn limit_scrolling(&mut self, text: LongText, most: usize) {
        match text {
            LongText::Help => self.help_scroll.limit(most),
            LongText::Configuration => self.config_scroll.limit(most),
            LongText::Log => self.log_scroll.limit(most),
        }
    }

    /// Takes the orders given to the training since the last call.
    pub fn take_orders(&mut self) -> Vec<Control> {
        std::mem::take(&mut self.orders)
    }

    pub(super) fn open_help(&mut self, what: Overlay) {
        self.overlay = Some(what);
        self.help_scroll = Scroll::default();
    }

    /// `p`: toggles between pausing and resuming, counting an order that is not yet confirmed.
    fn pause_or_resume(&mut self) {
        self.order_pause(!self.pause.ordered.unwrap_or(self.pause.now));
    }

    pub(super) fn order_pause(&mut self, pause: bool) {
        if self.takes_orders() {
            self.pause.ordered = Some(pause);
            self.orders.push(if pause {
                Control::Pause
            } else {
                Control::Resume
            });
        } else if self.origin == Origin::Following && self.status == Status::Running {
            "cannot control this training: its control socket is unreachable"
                .clone_into(&mut self.notice);
        } else {
            "no training is running".clone_into(&mut self.notice);
        }
    }

    fn ask_no_more(&mut self) {
        if matches!(self.overlay, Some(Overlay::AskQuit | Overlay::AskLeave)) {
            self.overlay = None;
        }
    }

    /// Returns true if a training is running that can be paused and stopped.
    #[must_use]
    pub fn takes_orders(&self) -> bool {
        self.controllable && self.status == Status::Running
    }

    /// Returns a query for finer steps, if the view needs them.
    pub fn wanted_detail(&mut self) -> Option<Query> {
        let end = self.timeline.end();
        let (visible, cursor) = (self.window.visible(end), self.window.cursor(end));
        // A comparison sums up to the last step that both runs have.
        let shown = match self.compared() {
            Some(_) => self.steps_in_common().end,
            None => self.window.shown(end),
        };
        let request = self.timeline.wanted(&visible, cursor, shown)?;
        Some(Query {
            topic: Topic::Steps {
                width: request.width,
            },
            part: Part::Window,
            steps: request.steps,
            columns: 1,
        })
    }

    /// Returns the next query to make, given what the screen needs.
    pub fn wanted_answer(&mut self, wanted: &[Query]) -> Option<Query> {
        let (goes_on, end) = (self.is_running(), self.timeline.end());
        let window = self.window;
        self.queries
            .next(wanted, |part| !goes_on || window.stands(part, end))
    }

    /// Returns the known answer to a query, and the steps that it covers. These are the query's own steps, unless they
    /// change by themselves, as in a running training or a playing replay: then a slightly older answer stands in, and
    /// the caller must say so.
    #[must_use]
    pub fn known(&self, query: &Query) -> Option<(&Range<u64>, &Answer)> {
        let (asked, answer) = self.queries.answer(query)?;
        let end = self.timeline.end();
        let stands = !self.is_running() || self.window.stands(query.part, end);
        let own = asked.steps == query.steps || matches!(answer, Answer::Unknown(_));
        (own || !stands || self.play_rate().is_some()).then_some((&asked.steps, answer))
    }

    /// The query could not be sent: allows it to be made again.
    pub fn not_asked(&mut self, query: &Query) {
        match query.topic {
            Topic::Steps { .. } => self.timeline.not_asked(),
            _ => self.queries.not_asked(),
        }
    }

    /// Returns a query about the steps in view, in this many columns.
    #[must_use]
    pub fn about_window(&self, topic: Topic, columns: usize) -> Query {
        let columns = u32::try_from(columns).unwrap_or(u32::MAX).max(1);
        Query {
            topic,
            part: Part::Window,
            steps: self.window.visible(self.timeline.end()),
            columns,
        }
    }

    /// Returns a query about all steps up to the newest one shown, together.
    #[must_use]
    pub fn about_all(&self, topic: Topic) -> Query {
        Query {
            topic,
            part: Part::All,
            steps: 0..self.window.shown(self.timeline.end()),
            columns: 1,
        }
    }

    /// Returns the axis of a chart of the stretch in view: its steps, with room for some more if it is the whole run so
    /// far.
    #[must_use]
    pub fn axis(&self, stretch: &Stretch) -> Range<u64> {
        let end = self.timeline.end();
        let whole = if self.is_running() && !self.writer_lost {
            self.header.planned_steps.max(end)
        } else {
            end
        };
        let (steps, axis) = (stretch.steps(), self.window.axis(end, whole));
        steps.start.min(axis.start)..steps.end.max(axis.end)
    }

    /// Returns a query about the step at the cursor; `None` before the first step.
    #[must_use]
    pub fn about_cursor(&self, topic: Topic) -> Option<Query> {
        let step = self.window.cursor(self.timeline.end())?;
        Some(Query {
            topic,
            part: Part::Cursor,
            steps: step..step + 1,
            columns: 1,
        })
    }

    /// Returns true if a training is running in this process.
    #[must_use]
    pub fn is_training(&self) -> bool {
        self.origin == Origin::Live && self.status == Status::Running
    }

    /// Returns true if the run is still going on, here or elsewhere.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.status == Status::Running
    }

    #[must_use]
    pub fn phase(&self) -> Phase {
        match (self.origin, self.status) {
            (_, Status::Failed) => Phase::Failed,
            (_, Status::Running) if self.pause.now && !self.writer_lost => Phase::Paused,
            (_, Status::Running) if self.pause.ordered == Some(true) => Phase::Pausing,
            (Origin::Live, Status::Running) => Phase::Live,
            (Origin::Following | Origin::Replay, Status::Running) if self.writer_lost => {
                Phase::WriterLost
            }
            (Origin::Following, Status::Running) => Phase::Following,
            (Origin::Replay, _) => Phase::Replay,
            (_, Status::Stopped) => Phase::Stopped,
            (_, Status::Finished) => Phase::Finished,
        }
    }

    /// Returns the message with the run's final status, such as why it failed; may be empty.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the message in the last line, such as why an order failed; empty after the next key.
    #[must_use]
    pub fn notice(&self) -> &str {
        &self.notice
    }

    /// Shows a message in the last line, until the next key.
    pub fn say(&mut self, notice: impl Into<String>) {
        self.notice = notice.into();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::timeline::tests::step;
    use super::*;
    use crate::layout::{ParamLayout, TensorKind};

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
    fn a_chart_has_room_for_steps_that_will_come() {
        let mut app = app(Origin::Following);
        let mut header = RunHeader::clone(&app.header);
        header.planned_steps = 100;
        app.header = Arc::new(header);
        app.event(FeedEvent::Steps(vec![step(20, [-1.0, 0.5])]));
        let axis = |app: &App| {
            let steps = app.window.visible(app.timeline.end());
            app.axis(&app.timeline.stretch(&steps))
        };
        assert_eq!(axis(&app), 0..22);
        app.event(FeedEvent::WriterLost(true));
        assert_eq!(axis(&app), 0..21, "its writer was killed");
        app.event(FeedEvent::WriterLost(false));
        assert_eq!(axis(&app), 0..22);
        app.event(finished());
        assert_eq!(axis(&app), 0..21);
        // A replay looks like the training did.
        app.window.set_head(17);
        assert_eq!(axis(&app), 0..18);
        app.window.zoom(true, 21);
        assert_eq!(axis(&app), app.window.visible(21));
    }

    #[test]
    fn quitting_a_live_training_asks_first() {
        let mut app = app(Origin::Live);
        app.act(Action::Quit);
        assert_eq!((app.quit, app.overlay), (None, Some(Overlay::AskQuit)));
        app.event(finished());
        assert_eq!(app.overlay, None, "there is nothing left to ask");
        app.act(Action::Quit);
        assert_eq!(app.quit, Some(Quit::Stop));
    }

    #[test]
    fn pausing_gives_orders_only_to_a_live_training() {
        let mut live = app(Origin::Live);
        live.act(Action::PauseTraining);
        assert_eq!(live.phase(), Phase::Pausing, "the step is not done yet");
        live.act(Action::PauseTraining);
        assert_eq!(live.phase(), Phase::Live);
        assert_eq!(live.take_orders(), [Control::Pause, Control::Resume]);
        live.event(FeedEvent::Paused(true));
        assert_eq!(live.phase(), Phase::Paused, "whoever has ordered it");
        live.event(FeedEvent::Paused(false));
        live.act(Action::PauseTraining);
        assert_eq!(live.take_orders(), [Control::Pause]);
        live.event(FeedEvent::Paused(true));
        live.act(Action::PauseTraining);
        assert_eq!(live.take_orders(), [Control::Resume]);
        let mut replay = app(Origin::Replay);
        replay.act(Action::PauseTraining);
        assert!(replay.take_orders().is_empty());
    }

    #[test]
    fn a_followed_training_is_ordered_about_where_it_listens() {
        let mut app = app(Origin::Following);
        app.act(Action::PauseTraining);
        assert!(app.take_orders().is_empty() && !app.notice().is_empty());
        app.event(FeedEvent::Controllable(true));
        app.act(Action::PauseTraining);
        assert_eq!(app.notice(), "");
        assert_eq!(app.take_orders(), [Control::Pause]);
        assert_eq!(app.phase(), Phase::Pausing);
        app.event(FeedEvent::OrderFailed("why".to_owned()));
        assert_eq!((app.phase(), app.notice()), (Phase::Following, "why"));
        app.event(FeedEvent::Paused(true));
        assert_eq!(app.phase(), Phase::Paused);
        app.event(FeedEvent::WriterLost(true));
        assert_eq!(app.phase(), Phase::WriterLost);
    }

    #[test]
    fn leaving_a_followed_training_asks_where_it_could_be_stopped() {
        let mut app = app(Origin::Following);
        app.act(Action::Quit);
        assert!(app.quit.take().is_some(), "there is nothing to ask");
        app.event(FeedEvent::Controllable(true));
        app.act(Action::Quit);
        assert_eq!((app.quit, app.overlay), (None, Some(Overlay::AskLeave)));
        app.act(Action::StopAndQuit);
        assert_eq!((app.quit, app.overlay), (None, None), "stays to see it end");
        assert_eq!(app.take_orders(), [Control::Stop]);
        app.act(Action::Quit);
        app.event(FeedEvent::Controllable(false));
        assert_eq!(app.overlay, None, "there is nothing left to ask");
        app.event(FeedEvent::Controllable(true));
        app.act(Action::Quit);
        app.act(Action::Quit);
        assert!(app.quit.is_some() && app.take_orders().is_empty());
    }

    /// Counts the queries made, each answered at once, while a live run takes 20 more steps.
    fn asked_meanwhile(app: &mut App, wanted: impl Fn(&App) -> Vec<Query>) -> usize {
        let mut asked = 0;
        for t in app.timeline.end()..app.timeline.end() + 20 {
            while let Some(query) = app.wanted_answer(&wanted(app)) {
                asked += 1;
                let answer = Box::new(Answer::Unknown(String::new()));
                app.event(FeedEvent::Answer { query, answer });
            }
            app.event(FeedEvent::Steps(vec![step(t, [-1.0, 0.5])]));
        }
        asked
    }

    #[test]
    fn a_live_run_with_its_cursor_moved_back_is_not_asked_about_at_every_step() {
        let whole = |app: &App| {
            vec![
                app.about_window(Topic::Tensors, 10),
                app.about_all(Topic::Events),
            ]
        };
        let mut app = app(Origin::Live);
        app.act(Action::Move(-15));
        // Without throttling there would be 40.
        assert!(asked_meanwhile(&mut app, whole) < 20);
        let at = |app: &App| app.about_cursor(Topic::Tensors).into_iter().collect();
        assert_eq!(asked_meanwhile(&mut app, at), 1, "it does not change");
        app.act(Action::Move(-1));
        assert_eq!(asked_meanwhile(&mut app, at), 1, "asked at once");
    }

    #[test]
    fn the_phase_tells_live_from_replay() {
        assert_eq!(app(Origin::Live).phase(), Phase::Live);
        let mut follow = app(Origin::Following);
        assert_eq!(follow.phase(), Phase::Following);
        follow.event(FeedEvent::WriterLost(true));
        assert_eq!(follow.phase(), Phase::WriterLost);
        follow.event(finished());
        assert_eq!(follow.phase(), Phase::Finished);
        let mut replay = app(Origin::Replay);
        replay.event(finished());
        assert_eq!(replay.phase(), Phase::Replay);
    }
}
