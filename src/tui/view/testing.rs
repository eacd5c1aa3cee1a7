//! Helpers for the screens' tests: synthetic runs, and the text of a screen.
//!
//! [`app`] makes a run of summaries only, however odd. A [`Run`] is a complete run file, with queries answered as in
//! the program.

mod recorded;

use std::sync::Arc;

use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub use recorded::{Run, RunShape};

use super::draw;
use crate::app::App;
use crate::feed::{FeedEvent, Origin};
use crate::layout::{ParamLayout, TensorKind};
use crate::query::Query;
use crate::record::{LayerSummary, Losses, RunHeader, StepSummary};
use crate::tui::frame::{Drawn, Frame};
use crate::tui::keys::KeyMap;
use crate::tui::theme::{ColorLevel, Glyphs, Theme};

/// A header with this many layers of 3 units with 4 weights each.
pub fn header(layers: usize) -> RunHeader {
    let mut layout = ParamLayout::default();
    for layer in 0..layers {
        let name = format!("block{}.conv{layer}", layer / 3);
        layout.push_layer(&name, "linear", 3, &[(TensorKind::Weight, vec![3, 4])]);
    }
    RunHeader {
        planned_steps: 500,
        layout,
        ..RunHeader::of_a_test()
    }
}

/// A live run in which every step changes the loss by the sum of its layers, a, −a/2, a, …, and a residual of 1e-4. Its
/// queries are never answered.
pub fn app(layers: usize, allocations: &[f64]) -> App {
    app_of(header(layers), allocations)
}

/// Like [`app`], with another header.
pub fn app_of(header: RunHeader, allocations: &[f64]) -> App {
    let layers = header.layout.layers.len();
    let held_out = header.held_out_lca;
    let mut app = App::new(Arc::new(header), Origin::Live);
    app.event(FeedEvent::Start(Losses {
        train: 2.5,
        ..Losses::default()
    }));
    let mut loss = 2.5;
    for (step, &a) in (0..).zip(allocations) {
        let layers: Vec<LayerSummary> = (0..layers)
            .map(|l| {
                let lca = if l % 2 == 0 { a } else { -a / 2.0 };
                LayerSummary {
                    lca,
                    lca_min: lca,
                    lca_max: lca,
                    helped: 6,
                    hurt: 4,
                    update_flips: 2,
                    held_out_lca: if held_out { a / 4.0 } else { f64::NAN },
                    ..LayerSummary::default()
                }
            })
            .collect();
        let total: f64 = layers.iter().map(|l| l.lca).sum();
        let before = loss;
        loss += total + 1e-4;
        let after = Losses {
            train: loss,
            train_accuracy: 0.9,
            test: loss + 0.1,
            test_accuracy: 0.8,
            ..Losses::default()
        };
        let summary = StepSummary {
            learning_rate: 0.05,
            batch_loss: before,
            seconds: 0.1,
            gradient_evals: 2,
            segments: 2,
            loss_before: before,
            total,
            layers,
            ..StepSummary::default()
        };
        let summary = summary.at_step(step, &after, 1e-4, 1.0);
        app.event(FeedEvent::Steps(vec![summary]));
    }
    app
}

/// Like [`app`], but each `width` steps arrive merged into one entry, as on a slow screen.
pub fn coarse_app(layers: usize, allocations: &[f64], width: usize) -> App {
    let fine = app(layers, allocations);
    let mut coarse = App::new(fine.model.header.clone(), Origin::Live);
    let steps: Vec<u64> = (0..allocations.len() as u64).collect();
    for steps in steps.chunks(width.max(1)) {
        let timeline = &fine.model.timeline;
        let mut entries = steps.iter().filter_map(|step| timeline.entry(*step));
        if let Some(mut merged) = entries.next().cloned() {
            entries.for_each(|entry| merged.merge(entry));
            coarse.event(FeedEvent::Steps(vec![merged]));
        }
    }
    coarse
}

pub fn theme() -> Theme {
    Theme::new(ColorLevel::TrueColor, Glyphs::Braille)
}

/// The theme of a terminal with neither colours nor Unicode.
pub fn plain() -> Theme {
    Theme::new(ColorLevel::None, Glyphs::Ascii)
}

/// Draws the screen.
pub fn drawn(app: &App, (width, height): (u16, u16), theme: &Theme) -> (Buffer, Drawn) {
    let area = Rect::new(0, 0, width, height);
    let mut buf = Buffer::empty(area);
    let drawn = draw(area, &mut buf, app, theme, &KeyMap::default());
    (buf, drawn)
}

/// Draws part of a screen.
pub fn framed(
    app: &App,
    (width, height): (u16, u16),
    theme: &Theme,
    draw: impl FnOnce(Rect, &mut Frame),
) -> (Buffer, Drawn) {
    let area = Rect::new(0, 0, width, height);
    let mut buf = Buffer::empty(area);
    let keys = KeyMap::default();
    let mut frame = Frame::new(&mut buf, app, theme, &keys);
    draw(area, &mut frame);
    let drawn = frame.finish();
    (buf, drawn)
}

/// The queries of the screen.
pub fn queries(app: &App, size: (u16, u16), theme: &Theme) -> Vec<Query> {
    drawn(app, size, theme).1.queries
}

/// Draws the screen and limits scrolling to what it shows, as the draw loop does.
pub fn seen(app: &mut App, size: (u16, u16)) -> Buffer {
    let (buf, drawn) = drawn(app, size, &theme());
    drawn.limit_scrolling(app);
    buf
}

/// The text of the screen, line by line, without trailing blanks.
pub fn text(app: &App, width: u16, height: u16, theme: &Theme) -> String {
    lines_of(&drawn(app, (width, height), theme).0)
}

/// The text of a buffer, line by line, without trailing blanks.
pub fn lines_of(buf: &Buffer) -> String {
    let Rect { width, height, .. } = buf.area;
    let line = |y| (0..width).map(|x| buf[(x, y)].symbol()).collect::<String>();
    (0..height)
        .map(|y| line(y).trim_end().to_owned() + "\n")
        .collect()
}

/// The words of the first line that begins with `name`.
pub fn row<'a>(screen: &'a str, name: &str) -> Vec<&'a str> {
    let line = screen
        .lines()
        .find(|line| line.trim_start().starts_with(name));
    line.unwrap_or_default().split_whitespace().collect()
}

/// Parses a word as a number, with or without a percent sign; NaN if it is not one.
pub fn number(word: &str) -> f64 {
    word.trim_end_matches('%').parse().unwrap_or(f64::NAN)
}

/// Whether a number shown with few digits is this one.
pub fn is_about(shown: f64, exact: f64) -> bool {
    (shown - exact).abs() <= 6e-3 * exact.abs()
}

/// LCA of some steps, including NaN and infinities.
pub fn odd_allocations() -> impl Strategy<Value = Vec<f64>> {
    let odd = prop_oneof![
        any::<f64>(),
        -1.0f64..1.0,
        Just(0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
    ];
    prop::collection::vec(odd, 0..40)
}

pub fn any_glyphs() -> impl Strategy<Value = Glyphs> {
    prop_oneof![
        Just(Glyphs::Braille),
        Just(Glyphs::Blocks),
        Just(Glyphs::Ascii)
    ]
}
