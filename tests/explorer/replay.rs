//! Compares a run on the screen while it happens with the same run from its file: the screens are identical, on every
//! level.

use crate::common::reader;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::scenes::{SIZES, draw, rich, scenes};
use crossbeam_channel::{Receiver, Sender, bounded};
use lcascope::app::{Action, App};
use lcascope::data::{self, Batches, DataSource};
use lcascope::engine::RunData;
use lcascope::engine::cpu::CpuEngine;
use lcascope::feed::{self, DetailClient, FeedEvent, Origin};
use lcascope::lca::{IntegratorSettings, histogram_edges};
use lcascope::model::{LayerSpec, Network, NetworkSpec, he_normal};
use lcascope::optim::Schedule;
use lcascope::query::{Answer, Query, Topic};
use lcascope::record::{RunEnd, RunHeader, StartRecord, Status, StepRecord, StepSummary};
use lcascope::store::{Recorder, WriteOptions};
use lcascope::train::{
    self, OptimizerChoice, Sink, SinkClosed, TrainSettings, Trainer, choose_traced,
};
use ratatui::buffer::Buffer;

const STEPS: u64 = 48;
/// The number of steps after which the training pauses to be examined. Allocations and weights of all parameters are
/// written that many steps at a time, and a live run does not show those not written yet.
const HALFWAY: u64 = 32;
const TOLERANCE: f64 = 1e-3;

/// A sink that records and shows.
struct Both {
    recorder: Recorder,
    feed: feed::FeedSender,
    /// Signals that the training is halfway, and waits until it may continue.
    halfway: Sender<()>,
    go_on: Receiver<()>,
}

impl Sink for Both {
    fn start(&mut self, record: StartRecord) -> Result<(), SinkClosed> {
        self.feed.start(&record);
        self.recorder.start(record).map_err(|_| SinkClosed)
    }

    fn step(&mut self, record: StepRecord) -> Result<(), SinkClosed> {
        let done = record.step + 1;
        self.feed.step(StepSummary::from_step(&record, TOLERANCE));
        self.recorder.step(record).map_err(|_| SinkClosed)?;
        if done == HALFWAY {
            self.halfway.send(()).unwrap();
            self.go_on.recv().unwrap();
        }
        Ok(())
    }
}

fn run_data() -> (RunData, Vec<String>) {
    let dataset = data::load(&DataSource::Embedded).unwrap();
    let rows: Vec<u32> = (0..500).map(|i| i * 11).collect();
    let data = RunData {
        drawn_from: None,
        train: dataset.train.select(&rows),
        test: dataset.test.select(&rows[..50]),
        validation: dataset.train.select(&[]),
    };
    (data, dataset.classes)
}

fn header(network: &Network, classes: Vec<String>, traced: Vec<u64>) -> RunHeader {
    RunHeader {
        producer: "test".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        device: "cpu".to_owned(),
        dataset: "MNIST sample".to_owned(),
        integrator: "adaptive".to_owned(),
        slice_size: 64,
        network: network.name.clone(),
        planned_steps: STEPS,
        steps_per_epoch: 10,
        tolerance: TOLERANCE,
        layout: network.layout.clone(),
        classes,
        train_index: (0..500).collect(),
        test_index: (0..50).collect(),
        traced,
        histogram_edges: histogram_edges(),
        held_out_lca: true,
        record_params: 1,
        record_weights: 1,
        ..RunHeader::default()
    }
}

fn network() -> Network {
    let conv = LayerSpec::Linear {
        name: None,
        units: 12,
        bias: true,
    };
    let readout = LayerSpec::Linear {
        name: Some("readout".to_owned()),
        units: 10,
        bias: true,
    };
    let spec = NetworkSpec {
        name: "small".to_owned(),
        layers: vec![conv, LayerSpec::Relu {}, readout],
    };
    Network::build(&spec, [1, 28, 28], 10).unwrap()
}

fn trainer(network: &Network, data: RunData, traced: Vec<u64>) -> Trainer {
    let settings = TrainSettings {
        seed: 0,
        steps: STEPS,
        optimizer: OptimizerChoice::Sgd { momentum: 0.9 },
        learning_rate: 0.1,
        weight_decay: 0.0,
        layers: Vec::new(),
        schedule: Schedule::default(),
        integration: IntegratorSettings::default(),
        held_out_lca: true,
        class_every: 1,
        every: 1,
        test_every: 3,
        record_weights: 1,
        record_params: 1,
        traced,
    };
    let engine = CpuEngine::new(network, data, 64, 2, true);
    let batches = Batches::new(500, 50, 0).unwrap();
    let theta = he_normal(network, 0);
    Trainer::new(
        settings,
        &network.layout,
        Box::new(engine),
        batches,
        true,
        theta,
        Vec::new(),
    )
}

/// A run up to its current step, and the source of answers about it.
struct Seen<'a> {
    header: Arc<RunHeader>,
    origin: Origin,
    events: Vec<FeedEvent>,
    details: &'a DetailClient,
}

impl Seen<'_> {
    /// A new screen, before the first key.
    fn app(&self) -> App {
        let mut app = App::new(self.header.clone(), self.origin);
        for event in &self.events {
            assert!(!matches!(event, FeedEvent::Broken(_)), "{event:?}");
            app.event(event.clone());
        }
        app
    }

    /// Every scene at every size, after some more keys, without the parts that only one of them shows: the run's origin
    /// in the title, the action of Space in the footer, and the last line of notices.
    fn everything(&self, head: Option<u64>) -> Vec<(String, Buffer)> {
        let mut drawn = Vec::new();
        let more: [&[Action]; 3] = [
            &[],
            &[Action::ZoomIn, Action::ToggleScale, Action::Focus],
            &[Action::Home, Action::Sort, Action::Pool],
        ];
        for scene in scenes() {
            for (at, size) in SIZES.into_iter().enumerate() {
                let mut app = self.app();
                if let Some(head) = head {
                    app.nav.window.set_head(head);
                }
                // If nothing else moves the cursor: one that follows is not drawn as a line in the charts.
                let first = [Action::Move(0)];
                for action in first.iter().chain(&scene.actions).chain(more[at]) {
                    app.act(*action);
                    crate::scenes::settle(&mut app, self.details, size, &rich());
                }
                let mut buffer = draw(&app, size, &rich());
                for x in 0..size.0 {
                    buffer[(x, 0)].reset();
                    buffer[(x, size.1 - 1)].reset();
                }
                drawn.push((format!("{} at {size:?}", scene.name), buffer));
            }
        }
        drawn
    }
}

/// Waits until this many steps are in the file.
fn wait_for_steps(details: &DetailClient, steps: u64) {
    let began = Instant::now();
    let query = Query::about(Topic::Steps { width: 1 }, 0..steps, 1);
    loop {
        details.requests.send(query.clone()).unwrap();
        let FeedEvent::Answer { answer, .. } = details.answers.recv().unwrap() else {
            panic!("no answer");
        };
        if matches!(&*answer, Answer::Steps(found) if found.len() as u64 == steps) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{answer:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn assert_same(live: &[(String, Buffer)], replay: &[(String, Buffer)], when: &str) {
    // The possible actions differ: a training is paused, a replay is played.
    let shows = |(name, _): &&(String, Buffer)| !name.starts_with("help ");
    let pairs = live.iter().filter(shows).zip(replay.iter().filter(shows));
    for ((name, live), (_, replay)) in pairs {
        let (one, two) = (
            crate::scenes::portrait(live),
            crate::scenes::portrait(replay),
        );
        assert!(one == two, "{when}: {name}\n{one}\n{two}");
    }
}

#[test]
fn a_replay_shows_what_the_live_run_showed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.h5");
    let (data, classes) = run_data();
    let network = network();
    let traced = choose_traced(&network.layout, 16, 0);
    let header = Arc::new(header(&network, classes, traced.clone()));
    let mut trainer = trainer(&network, data, traced);
    let (controls, orders) = train::controls();
    let (feed, live_feed) = feed::live(header.clone(), controls);
    let recorder = Recorder::spawn(&path, &header, WriteOptions::default()).unwrap();
    let (halfway, is_halfway) = bounded(0);
    let (may_go_on, go_on) = bounded(0);
    let mut both = Both {
        recorder,
        feed,
        halfway,
        go_on,
    };
    let training = thread::spawn(move || {
        let end = train::run(&mut trainer, &orders, &mut both).unwrap();
        assert_eq!(end.status, Status::Finished);
        let Both { recorder, feed, .. } = both;
        recorder.finish(end.clone()).unwrap();
        feed.end(&RunEnd {
            totals: None,
            ..end
        });
    });
    let file = path.clone();
    let asking = train::inquiries().0;
    let (details, reader) = feed::details(move || reader(&file, &["--details"]), asking).unwrap();
    let mut live = Seen {
        header,
        origin: Origin::Live,
        events: Vec::new(),
        details: &details,
    };
    is_halfway.recv().unwrap();
    live.events.extend(live_feed.events.try_iter());
    wait_for_steps(&details, HALFWAY);
    let live_halfway = live.everything(None);
    may_go_on.send(()).unwrap();
    training.join().unwrap();
    live.events.extend(live_feed.events.iter());
    let live_whole = live.everything(None);
    drop(reader);

    let (mut file_feed, reader) = feed::open(&path).unwrap();
    assert_eq!(file_feed.origin, Origin::Replay);
    let details = file_feed.details.take().unwrap();
    let replay = Seen {
        header: file_feed.header.clone(),
        origin: Origin::Replay,
        events: file_feed.events.iter().collect(),
        details: &details,
    };
    assert_eq!(replay.app().model.timeline.end(), STEPS);
    assert_same(&live_whole, &replay.everything(None), "at the end");
    // Played up to that point, it shows what the training showed then.
    let played = replay.everything(Some(HALFWAY));
    let of_steps = |seen: Vec<(String, Buffer)>| {
        let mut seen = seen;
        // The current state of the file is not that of then.
        seen.retain(|(name, _)| !name.starts_with("Run "));
        seen
    };
    assert_same(&of_steps(live_halfway), &of_steps(played), "halfway");
    drop(details);
    drop(file_feed);
    drop(reader);
    cannot_be_repeated(&path);
}

/// Checks that the run cannot be repeated, since no configuration of the program made it.
fn cannot_be_repeated(path: &Path) {
    let mut repeat = Command::new(env!("CARGO_BIN_EXE_lcascope"));
    let output = repeat.args(["train", "--headless", "--config"]).arg(path);
    let output = output.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("contains no configuration"), "{said}");
}
