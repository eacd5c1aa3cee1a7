//! Scenes for the tests of the explorer: a run as the program opens it, every screen and level of it,
//! and what is drawn.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

pub mod listed;
pub mod odd;
pub mod turned;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lcascope::app::{Action, App, Other, RunModel, Screen};
use lcascope::feed::{self, DetailClient, Feed, FeedEvent, FileFeed, Origin};
use lcascope::query::Query;
use lcascope::record::{LayerSummary, Losses, RunHeader};
use lcascope::tui::keys::KeyMap;
use lcascope::tui::{ColorLevel, Glyphs, Theme, view};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

/// Sizes of terminals: the smallest usual one, half a screen, a whole one.
pub const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

/// The recorded run with everything in it.
pub fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs/small.h5")
}

/// The wait for an answer; only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A run that is looked at, with whoever answers questions about it.
pub struct Look {
    pub app: App,
    feed: Feed,
    _reader: FileFeed,
}

impl Look {
    /// Opens a file, and takes in all there is.
    pub fn at(path: &Path) -> Self {
        let (feed, reader) = feed::open(path).unwrap();
        let mut app = App::new(feed.header.clone(), feed.origin);
        for event in &feed.events {
            assert!(!matches!(event, FeedEvent::Broken(_)), "{event:?}");
            app.event(event);
        }
        Self {
            app,
            feed,
            _reader: reader,
        }
    }

    /// Lets the screen ask for what it wants to know at this size, until it knows it all.
    pub fn settle(&mut self, size: (u16, u16), theme: &Theme) {
        let details = self.feed.details.as_ref().expect("a file has details");
        settle(&mut self.app, details, size, theme);
    }

    /// Does what keys do, and looks at each screen on the way long enough to know all that it shows.
    pub fn act(&mut self, actions: &[Action], size: (u16, u16), theme: &Theme) {
        for &action in actions {
            self.app.act(action);
            self.settle(size, theme);
        }
    }
}

/// Asks until everything is known that is wanted.
pub fn settle(app: &mut App, details: &DetailClient, size: (u16, u16), theme: &Theme) {
    for _ in 0..200 {
        let wanted = queries(app, size, theme);
        let Some(query) = next(app, &wanted) else {
            let lacks = |query: &Query| {
                (app.model.queries.answer(query)).is_none_or(|(asked, _)| asked != query)
            };
            // Between two questions about steps that grow it rests.
            let rest = app
                .model
                .queries
                .patience()
                .filter(|_| wanted.iter().any(lacks));
            let Some(rest) = rest else { return };
            std::thread::sleep(rest);
            continue;
        };
        details.requests.send(query).unwrap();
        let answer = details.answers.recv_timeout(PATIENCE);
        app.event(answer.expect("somebody answers"));
    }
    panic!("it asks and asks: {:?}", queries(app, size, theme));
}

fn next(app: &mut App, wanted: &[Query]) -> Option<Query> {
    app.wanted_detail().or_else(|| app.wanted_answer(wanted))
}

/// A screen, a level or something that lies over them, and how to get there from the start.
pub struct Scene {
    pub name: &'static str,
    pub actions: Vec<Action>,
}

/// Everything there is to see in one run.
pub fn scenes() -> Vec<Scene> {
    let scene = |name, actions: &[Action]| Scene {
        name,
        actions: actions.to_vec(),
    };
    let mut scenes = Vec::new();
    // The cursor stands in the middle, so that before and behind it can be told apart.
    for screen in Screen::ALL {
        let actions = [Action::Move(-17), Action::Select(1), Action::Screen(screen)];
        scenes.push(scene(screen.short_name(), &actions));
    }
    let into = |times: usize| {
        let mut actions = vec![Action::Move(-17), Action::Select(1)];
        for _ in 0..times {
            actions.extend([Action::Enter, Action::Select(1)]);
        }
        actions
    };
    scenes.push(scene("layer", &into(1)));
    scenes.push(scene("unit", &into(2)));
    scenes.push(scene("parameter", &into(3)));
    scenes.push(scene("traced", &[Action::NextTraced]));
    scenes.push(scene(
        "sync-class",
        &[Action::Screen(Screen::Synchronisation), Action::NextClass],
    ));
    scenes.push(scene("help", &[Action::Help]));
    scenes.push(scene("findings", &[Action::Findings, Action::Select(2)]));
    scenes.push(scene(
        "events",
        &[Action::Move(-17), Action::Bookmark, Action::Events],
    ));
    scenes.push(scene(
        "filter",
        &[Action::Filter, Action::Type('c'), Action::Type('o')],
    ));
    scenes.push(scene(
        "commands",
        &[
            Action::Command,
            Action::Type('h'),
            Action::Type('e'),
            Action::Type('l'),
            Action::Type('p'),
            Action::Submit,
        ],
    ));
    scenes
}

/// The recorded run beside itself without its last steps, as a run that was stopped early would be.
pub fn compared() -> Look {
    let mut look = Look::at(&recorded());
    let (feed, _reader) = feed::open(&recorded()).unwrap();
    let mut model = RunModel::new(feed.header.clone(), feed.origin);
    for event in &feed.events {
        match event {
            FeedEvent::Steps(steps) => {
                let kept = steps.into_iter().filter(|step| step.end <= 40);
                model.event(FeedEvent::Steps(kept.map(halved).collect()));
            }
            event => model.event(event),
        }
    }
    let name = "half.h5".to_owned();
    look.app
        .compare_with("small.h5", vec![Other { model, name }]);
    look
}

/// The recorded run, its repeat with another seed, and two with other settings: one shorter, one that was stopped early.
pub fn compared_many() -> Look {
    let mut look = Look::at(&recorded());
    let (feed, _reader) = feed::open(&recorded()).unwrap();
    let events: Vec<FeedEvent> = feed.events.iter().collect();
    let other = |halvings: u32, end: u64, name: &str, settings: &[(&str, &str)]| {
        let mut header = RunHeader::clone(&feed.header);
        let mut config: toml::Table = header.config.parse().unwrap();
        for (key, value) in settings {
            let value = format!("value = {value}").parse::<toml::Table>().unwrap();
            config.insert((*key).to_owned(), value["value"].clone());
        }
        header.config = config.to_string();
        header.seed = halvings.into();
        let mut model = RunModel::new(Arc::new(header), feed.origin);
        for event in &events {
            match event {
                FeedEvent::Steps(steps) => {
                    let kept = steps.iter().filter(|step| step.end <= end).cloned();
                    let halved = |step| (0..halvings).fold(step, |step, _| halved(step));
                    model.event(FeedEvent::Steps(kept.map(halved).collect()));
                }
                event => model.event(event.clone()),
            }
        }
        Other {
            model,
            name: name.to_owned(),
        }
    };
    let others = vec![
        other(1, 48, "small-2.h5", &[("seed", "9")]),
        other(2, 40, "frozen.h5", &[("layer", "['conv1:freeze']")]),
        other(
            3,
            44,
            "faster.h5",
            &[("learning_rate", "0.5"), ("seed", "9")],
        ),
    ];
    look.app.compare_with("small.h5", others);
    look
}

/// A step that went half as far: everything that is measured in nats is half as large.
fn halved(mut step: lcascope::record::StepSummary) -> lcascope::record::StepSummary {
    for value in [
        &mut step.loss_before,
        &mut step.loss_after,
        &mut step.loss_min,
        &mut step.loss_max,
        &mut step.test_loss,
        &mut step.test_min,
        &mut step.test_max,
        &mut step.total,
        &mut step.residual,
        &mut step.worst_residual,
    ] {
        *value /= 2.0;
    }
    for layer in &mut step.layers {
        let LayerSummary {
            lca,
            lca_min,
            lca_max,
            lca_error,
            held_out_lca,
            ..
        } = layer;
        for value in [lca, lca_min, lca_max, lca_error, held_out_lca] {
            *value /= 2.0;
        }
    }
    step
}

/// A training of the same network that is asked whether to stop.
pub fn asked() -> App {
    let header: RunHeader = (*Look::at(&recorded()).app.model.header).clone();
    let mut app = App::new(Arc::new(header), Origin::Live);
    app.event(FeedEvent::Start(Losses {
        train: 2.5,
        ..Losses::default()
    }));
    app.act(Action::Quit);
    app
}

pub fn rich() -> Theme {
    Theme::new(ColorLevel::TrueColor, Glyphs::Braille)
}

pub fn draw(app: &App, (width, height): (u16, u16), theme: &Theme) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    view::draw(area, &mut buffer, app, theme, &KeyMap::default());
    buffer
}

/// The queries of the screen.
pub fn queries(app: &App, (width, height): (u16, u16), theme: &Theme) -> Vec<Query> {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    view::draw(area, &mut buffer, app, theme, &KeyMap::default()).queries
}

/// The symbols, line by line, without blanks at the ends.
pub fn symbols(buffer: &Buffer) -> String {
    let area = buffer.area;
    let line = |y| (0..area.width).map(move |x| buffer[(x, y)].symbol());
    let lines = (0..area.height).map(|y| line(y).collect::<String>());
    lines
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// Letters for styles; what is behind them gets two.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn letters(index: usize) -> String {
    let letter = |index: usize| char::from(LETTERS[index % LETTERS.len()]);
    match index / LETTERS.len() {
        0 => letter(index).to_string(),
        tens => format!("{}{}", letter(tens - 1), letter(index)),
    }
}

/// The symbols, and below them the styles: for each line its runs of equal cells, `.` for plain ones, and
/// what the letters mean.
pub fn portrait(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut known: Vec<String> = Vec::new();
    let mut runs = String::new();
    for y in 0..area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < area.width {
            let style = style_of(&buffer[(x, y)]);
            let from = x;
            while x < area.width && style_of(&buffer[(x, y)]) == style {
                x += 1;
            }
            let letter = match style.as_str() {
                "" => ".".to_owned(),
                _ => match known.iter().position(|it| *it == style) {
                    Some(at) => letters(at),
                    None => {
                        known.push(style);
                        letters(known.len() - 1)
                    }
                },
            };
            let _ = write!(line, " {letter}{}", x - from);
        }
        if line != format!(" .{}", area.width) {
            let _ = writeln!(runs, "{y:2}{line}");
        }
    }
    let mut text = symbols(buffer);
    let _ = writeln!(text, "{}\n{runs}", "─".repeat(area.width.into()));
    for (at, style) in known.iter().enumerate() {
        let _ = writeln!(text, "{} {style}", letters(at));
    }
    text
}

fn style_of(cell: &Cell) -> String {
    let Style {
        fg,
        bg,
        add_modifier,
        ..
    } = cell.style();
    let mut words = Vec::new();
    let color = |color: Option<Color>| color.filter(|color| *color != Color::Reset);
    if let Some(color) = color(fg) {
        words.push(color.to_string());
    }
    if let Some(color) = color(bg) {
        words.push(format!("on {color}"));
    }
    if add_modifier != Modifier::empty() {
        words.push(format!("{add_modifier:?}"));
    }
    words.join(" ")
}
