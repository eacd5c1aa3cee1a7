//! A run on the screen while it happens, and the same run from its file: the screens are the same.

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::unbounded;
use lcascope::app::{Action, App};
use lcascope::data::{self, Batches, DataSource};
use lcascope::engine::RunData;
use lcascope::engine::cpu::CpuEngine;
use lcascope::feed::{self, FeedEvent, Origin};
use lcascope::lca::{Settings, histogram_edges};
use lcascope::model::{LayerSpec, Network, NetworkSpec, he_normal};
use lcascope::optim::Schedule;
use lcascope::record::{RunHeader, StartRecord, Status, StepRecord, StepSummary};
use lcascope::store::{Recorder, WriteOptions};
use lcascope::train::{
    self, OptimizerChoice, Sink, SinkClosed, TrainSettings, Trainer, choose_traced,
};
use lcascope::tui::keys::KeyMap;
use lcascope::tui::{ColorLevel, Glyphs, Theme, view};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

const STEPS: u64 = 40;
const TOLERANCE: f64 = 1e-3;

struct Both {
    recorder: Recorder,
    feed: feed::FeedSender,
}

impl Sink for Both {
    fn start(&mut self, record: StartRecord) -> Result<(), SinkClosed> {
        self.feed.start(&record);
        self.recorder.start(record).map_err(|_| SinkClosed)
    }

    fn step(&mut self, record: StepRecord) -> Result<(), SinkClosed> {
        self.feed.step(StepSummary::of(&record, TOLERANCE));
        self.recorder.step(record).map_err(|_| SinkClosed)
    }
}

fn run_data() -> (RunData, Vec<String>) {
    let dataset = data::load(&DataSource::Embedded).unwrap();
    let rows: Vec<u32> = (0..500).map(|i| i * 11).collect();
    let data = RunData {
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
        ..RunHeader::default()
    }
}

/// The screen's cells, symbols and styles, without the title's word for where the run comes from.
fn screen(app: &App, width: u16, height: u16) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    view::draw(
        area,
        &mut buffer,
        app,
        &Theme::new(ColorLevel::TrueColor, Glyphs::Braille),
        &KeyMap::default(),
    );
    for x in 0..width {
        buffer[(x, 0)].reset();
    }
    buffer
}

#[test]
fn a_replay_shows_what_the_live_run_showed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.h5");
    let (data, classes) = run_data();
    let spec = NetworkSpec {
        name: "small".to_owned(),
        layers: vec![
            LayerSpec::Linear {
                name: None,
                units: 20,
                bias: true,
            },
            LayerSpec::Relu {},
            LayerSpec::Linear {
                name: Some("readout".to_owned()),
                units: 10,
                bias: true,
            },
        ],
    };
    let network = Network::build(&spec, [1, 28, 28], 10).unwrap();
    let traced = choose_traced(&network.layout, 16, 0);
    let settings = TrainSettings {
        seed: 0,
        steps: STEPS,
        optimizer: OptimizerChoice::Sgd { momentum: 0.9 },
        learning_rate: 0.1,
        weight_decay: 0.0,
        layers: Vec::new(),
        schedule: Schedule::default(),
        integration: Settings::default(),
        held_out_lca: true,
        class_every: 0,
        test_every: 3,
        record_weights: 0,
        record_params: 0,
        traced: traced.clone(),
    };
    let engine = CpuEngine::new(&network, data, 64, 2, false);
    let batches = Batches::new(500, 50, 0).unwrap();
    let theta = he_normal(&network, 0);
    let mut trainer = Trainer::new(
        settings,
        &network.layout,
        Box::new(engine),
        batches,
        false,
        theta,
        Vec::new(),
    );
    let header = Arc::new(header(&network, classes, traced));

    let (controls, orders) = unbounded();
    let (sender, live_feed) = feed::live(header.clone(), controls);
    let recorder = Recorder::spawn(&path, &header, WriteOptions::default()).unwrap();
    let mut both = Both {
        recorder,
        feed: sender,
    };
    let end = train::run(&mut trainer, &orders, &mut both).unwrap();
    assert_eq!(end.status, Status::Finished);
    both.recorder.finish(end.clone()).unwrap();
    both.feed.end(&end);
    let mut live = App::new(live_feed.header.clone(), live_feed.origin);
    live_feed.events.iter().for_each(|event| live.event(event));

    let (file_feed, reader) = feed::open(&path).unwrap();
    assert_eq!(file_feed.origin, Origin::Replay);
    let mut replay = App::new(file_feed.header.clone(), file_feed.origin);
    for event in &file_feed.events {
        assert!(!matches!(event, FeedEvent::Broken(_)), "{event:?}");
        replay.event(event);
    }
    drop(file_feed);
    drop(reader);
    assert_eq!(replay.timeline.end(), STEPS);

    let keys = [
        None,
        Some(Action::Move(-7)),
        Some(Action::ZoomIn),
        Some(Action::Move(-10)),
        Some(Action::ToggleScale),
        Some(Action::Home),
        Some(Action::ZoomAll),
    ];
    for key in keys {
        if let Some(action) = key {
            live.act(action);
            replay.act(action);
        }
        for (width, height) in [(80, 24), (120, 40), (200, 60)] {
            // The footer calls Space by what it does: freeze live, play in a replay.
            let (mut a, mut b) = (screen(&live, width, height), screen(&replay, width, height));
            for x in 0..width {
                a[(x, height - 1)].reset();
                b[(x, height - 1)].reset();
            }
            assert_eq!(a, b, "after {key:?} at {width}x{height}");
        }
    }
    cannot_be_repeated(&path);
}

/// No configuration of the program made this run, so none can repeat it.
fn cannot_be_repeated(path: &Path) {
    let mut repeat = std::process::Command::new(env!("CARGO_BIN_EXE_lcascope"));
    let output = repeat.args(["train", "--headless", "--config"]).arg(path);
    let output = output.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("holds no configuration"), "{said}");
}
