//! The statistics beside the charts of the [distribution](super::distribution), of all layers and of the
//! selected one. What each is, `analysis` says: `help`, `octaves`, `concentration`, `tails`.

use std::ops::Range;

use ratatui::style::Style;

use super::cells;
use super::distribution::{histogram, octaves, selected, snapshot};
use super::sheet::{Cell, Row, Sheet};
use super::spread::View;
use super::words::{self, percent};
use crate::analysis::octaves::Sign;
use crate::app::{App, GroupSums, Stretch};
use crate::query::{Answer, Snapshot, Topic};
use crate::tui::theme::Theme;

/// Cells of a column.
const COLUMN: u16 = 11;
/// Cells of the table.
pub const WIDTH: u16 = 18 + 2 * COLUMN;

pub fn sheet<'a>(view: &View<'_>, app: &App, theme: &'a Theme) -> Sheet<'a> {
    let layer = app.header.layout.layers.get(app.layer);
    let name = layer.map_or("", |layer| layer.name.as_str());
    let (name_of_window, window) = window(view, app);
    let mut rows = vec![part(&name_of_window, theme)];
    let steps = window.steps();
    let window = [window.total_sums(), window.layer_sums(app.layer)];
    let at = [view.at.total_sums(), view.at.layer_sums(app.layer)];
    let zero = |sums: &GroupSums| 1.0 - sums.help_share() - sums.hurt_share();
    rows.push(row("help", window.map(|sums| share(sums.help_share()))));
    rows.push(row("zero", window.map(|sums| share(zero(&sums)))));
    rows.push(row("hurt", window.map(|sums| share(sums.hurt_share()))));
    rows.push(row(
        "help of movers",
        window.map(|sums| share(of_movers(&sums))),
    ));
    let octaves = [None, Some(selected(app))].map(|layer| {
        let found = histogram(app, layer).ok()?;
        // A coarse window reaches beyond what was asked for.
        let own = found.steps == steps || found.steps == visible(app);
        octaves(found).filter(|_| own)
    });
    let of_octaves = |of: &dyn Fn(&crate::analysis::octaves::Octaves) -> Option<f64>| {
        [0, 1].map(|side| figure(octaves[side].as_ref().and_then(of)))
    };
    rows.push(row(
        "kurtosis, about",
        of_octaves(&|it| it.excess_kurtosis()),
    ));
    let tail = |sign: Sign| of_octaves(&move |it| it.tail_index(sign));
    rows.push(row("tail, helping", tail(Sign::Helping)));
    rows.push(row("tail, hurting", tail(Sign::Hurting)));

    let at_cursor = match view.at.len() {
        0 | 1 => "at the cursor".to_owned(),
        _ => format!("in {}", cells::steps(&view.at.steps())),
    };
    rows.push(part(&at_cursor, theme));
    rows.push(row("help", at.map(|sums| share(sums.help_share()))));
    rows.push(row("zero", at.map(|sums| share(zero(&sums)))));
    rows.push(row("hurt", at.map(|sums| share(sums.hurt_share()))));

    let found = [None, Some(selected(app))].map(|layer| snapshot(app, layer).ok());
    let title = match found[0] {
        Some(found) => format!("totals after {} steps", found.steps),
        None => "totals of parameters".to_owned(),
    };
    rows.push(part(&title, theme));
    let of = |cell: fn(&Snapshot) -> Cell| found.map(|it| it.map_or_else(none, cell));
    rows.push(row(
        "parameters",
        of(|it| (it.params.to_string(), Style::default())),
    ));
    rows.push(row("helped, mean", of(|it| share(it.mean_helped))));
    rows.push(row("Gini helping", of(|it| gini(it.helping.gini))));
    rows.push(row("top 1% has", of(|it| share(it.helping.top))));
    rows.push(row("90% of it from", of(|it| share(it.helping.ninety))));
    rows.push(row("Gini hurting", of(|it| gini(it.hurting.gini))));
    rows.push(row("top 1% of hurt", of(|it| share(it.hurting.top))));
    rows.push(row("kurtosis", of(|it| figure(Some(it.kurtosis)))));
    rows.push(row("tail index", of(|it| figure(it.tail_index))));
    let room = usize::from(COLUMN) - 1;
    Sheet {
        theme,
        title: "",
        groups: &[],
        columns: vec![
            ("all layers".to_owned(), COLUMN),
            (words::elided(name, room, theme), COLUMN),
        ],
        rows,
        selected: None,
        closing: Vec::new(),
    }
}

fn visible(app: &App) -> Range<u64> {
    app.window.visible(app.timeline.end())
}

/// The steps of the first numbers: those in the window. While the window goes on with the run these are
/// those that its allocations are known of, so that all are of the same steps.
fn window<'a>(view: &View<'a>, app: &'a App) -> (String, Stretch<'a>) {
    let query = app.about_window(Topic::Histogram { layer: None }, 1);
    match app.known(&query) {
        Some((steps, Answer::Histogram(_))) if *steps != query.steps => (
            format!("in {}", cells::steps(steps)),
            app.timeline.stretch(steps),
        ),
        _ => ("in the window".to_owned(), view.window.clone()),
    }
}

/// A line over the numbers of a kind.
fn part(name: &str, theme: &Theme) -> Row {
    Row {
        mark: None,
        name: name.to_owned(),
        style: theme.header,
        cells: Vec::new(),
    }
}

fn row(name: &str, cells: [Cell; 2]) -> Row {
    Row {
        mark: None,
        name: name.to_owned(),
        style: Style::default(),
        cells: cells.into(),
    }
}

fn none() -> Cell {
    ("-".to_owned(), Style::default())
}

/// Of those that helped or hurt, the share that helped.
#[expect(clippy::cast_precision_loss, reason = "a share of counts")]
fn of_movers(sums: &GroupSums) -> f64 {
    let (helped, hurt) = (sums.helped as f64, sums.hurt as f64);
    helped / (helped + hurt)
}

fn share(share: f64) -> Cell {
    match share.is_finite() {
        true => (percent(share), Style::default()),
        false => none(),
    }
}

fn gini(gini: f64) -> Cell {
    match gini.is_finite() {
        true => (format!("{gini:.3}"), Style::default()),
        false => none(),
    }
}

/// Three digits.
fn figure(value: Option<f64>) -> Cell {
    match value.filter(|value| value.is_finite()) {
        None => none(),
        Some(value) if (0.01..1000.0).contains(&value.abs()) => {
            let digits = match value.abs() {
                0.0..10.0 => 2,
                10.0..100.0 => 1,
                _ => 0,
            };
            (format!("{value:.digits$}"), Style::default())
        }
        Some(value) => (format!("{value:.2e}"), Style::default()),
    }
}
