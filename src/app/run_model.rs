//! The model of one run: everything that its feed has reported.

use std::ops::Range;
use std::sync::Arc;

use super::log::Log;
use super::queries::QueryCache;
use super::screen::{Here, Screen};
use super::stretch::Stretch;
use super::timeline::Timeline;
use super::window::Window;
use crate::feed::{FeedEvent, GpuUse, Origin, RecorderStats};
use crate::query::{Answer, DetailRequest, Query, Topic};
use crate::record::{RunHeader, Status};
use crate::train::Control;

/// The status in the title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Live,
    /// Will pause after the current step.
    Pausing,
    Paused,
    Following,
    /// The machine with the file cannot be reached at the moment.
    Disconnected,
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

/// Everything known about one run.
pub struct RunModel {
    pub header: Arc<RunHeader>,
    pub origin: Origin,
    pub timeline: Timeline,
    /// Cache of queries and answers about the run.
    pub queries: QueryCache,
    /// Messages about the run, and stray output.
    pub log: Log,
    /// The write queue of a training in this process.
    pub recorder: Option<RecorderStats>,
    /// Use of the training's GPU, if it has one.
    pub gpu: Option<GpuUse>,
    status: Status,
    message: String,
    writer_lost: bool,
    disconnected: bool,
    controllable: bool,
    pause: Pause,
    orders: Vec<Control>,
}

impl RunModel {
    #[must_use]
    pub fn new(header: Arc<RunHeader>, origin: Origin) -> Self {
        let layers = header.layout.layers.iter();
        Self {
            timeline: Timeline::new(layers.map(|layer| layer.range.len() as u64)),
            header,
            origin,
            queries: QueryCache::default(),
            log: Log::default(),
            recorder: None,
            gpu: None,
            status: Status::Running,
            message: String::new(),
            writer_lost: false,
            disconnected: false,
            controllable: origin == Origin::Live,
            pause: Pause::default(),
            orders: Vec::new(),
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
                }
            }
            FeedEvent::OrderFailed(why) => {
                self.log.push(&why);
                self.pause.ordered = None;
            }
            FeedEvent::Notice(what) => self.log.push(&what),
            FeedEvent::WriterLost(lost) => self.writer_lost = lost,
            FeedEvent::Disconnected(why) => {
                self.log.push(&format!("connection lost: {why}"));
                self.disconnected = true;
            }
            FeedEvent::Reconnected => {
                self.log.push("connected again");
                self.disconnected = false;
            }
            FeedEvent::Broken(why) => {
                self.log.push(&why);
                self.status = Status::Failed;
                self.message = why;
                self.queries.retry();
            }
        }
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

    /// Returns a query for finer steps, if these steps and sums need them ([`Timeline::wanted`]).
    pub(super) fn wanted_detail(
        &mut self,
        visible: &Range<u64>,
        cursor: Option<u64>,
        shown: u64,
    ) -> Option<Query> {
        let DetailRequest { steps, width } = self.timeline.wanted(visible, cursor, shown)?;
        Some(Query::about(Topic::Steps { width }, steps, 1))
    }

    /// The query could not be sent: allows it to be made again.
    pub fn not_asked(&mut self, query: &Query) {
        match query.topic {
            Topic::Steps { .. } => self.timeline.not_asked(),
            _ => self.queries.not_asked(),
        }
    }

    /// Orders the training to pause or to resume.
    ///
    /// # Errors
    /// There is no training that takes orders.
    pub(super) fn order_pause(&mut self, pause: bool) -> Result<(), &'static str> {
        if self.takes_orders() {
            self.pause.ordered = Some(pause);
            self.orders.push(if pause {
                Control::Pause
            } else {
                Control::Resume
            });
            Ok(())
        } else if self.origin == Origin::Following && self.is_running() {
            Err("cannot control this training: its control socket is unreachable")
        } else {
            Err("no training is running")
        }
    }

    pub(super) fn order_stop(&mut self) {
        self.orders.push(Control::Stop);
    }

    /// Takes the orders given to the training since the last call.
    pub fn take_orders(&mut self) -> Vec<Control> {
        std::mem::take(&mut self.orders)
    }

    /// Returns true if a training is running that can be paused and stopped.
    #[must_use]
    pub fn takes_orders(&self) -> bool {
        self.controllable && self.is_running()
    }

    /// Returns true if the training is paused, counting an order that is not yet confirmed.
    pub(super) fn is_pausing(&self) -> bool {
        self.pause.ordered.unwrap_or(self.pause.now)
    }

    /// Returns true if a training is running in this process.
    #[must_use]
    pub fn is_training(&self) -> bool {
        self.origin == Origin::Live && self.is_running()
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
            _ if self.disconnected => Phase::Disconnected,
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

    /// Returns the number of planned steps that are not done yet.
    #[must_use]
    pub fn steps_left(&self) -> u64 {
        (self.header.planned_steps).saturating_sub(self.timeline.end())
    }

    /// Returns the axis of a chart of the stretch in view: its steps, with room for some more if it is the whole run so
    /// far.
    #[must_use]
    pub fn axis(&self, window: &Window, stretch: &Stretch) -> Range<u64> {
        let end = self.timeline.end();
        let whole = if self.is_running() && !self.writer_lost {
            self.header.planned_steps.max(end)
        } else {
            end
        };
        let (steps, axis) = (stretch.steps(), window.axis(end, whole));
        steps.start.min(axis.start)..steps.end.max(axis.end)
    }

    /// Returns true if the run has the numbers that a screen shows; otherwise the screen only says that they are
    /// missing.
    pub(super) fn has_numbers(&self, here: Here) -> bool {
        match here {
            Here::Network(Screen::Classes) => !self.header.classes.is_empty(),
            Here::Network(Screen::HeldOut) => self.header.held_out_lca,
            _ => true,
        }
    }

    /// Returns true if the view lists layers, in rows or in columns.
    pub(super) fn lists_layers(&self, here: Here) -> bool {
        match here {
            Here::Comparison => true,
            Here::Network(Screen::Distribution | Screen::Run)
            | Here::Layer
            | Here::Unit
            | Here::Parameter => false,
            Here::Network(_) => self.has_numbers(here),
        }
    }

    /// Returns a class's title: its name, or `class 3` if the name is a number.
    #[must_use]
    pub fn class_title(&self, class: usize) -> Option<String> {
        let name = self.header.classes.get(class)?;
        Some(match name.parse::<u64>() {
            Ok(_) => format!("class {name}"),
            Err(_) => name.clone(),
        })
    }
}
