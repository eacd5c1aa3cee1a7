//! The statistics beside the charts of the [distribution](super::distribution), for all layers and for the selected
//! one. They are defined in `analysis`: `help`, `octaves`, `concentration` and `tails`.

use ratatui::layout::Constraint::Length;
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;

use super::distribution_data::{Known, octaves};
use super::sheet::{Cell, Row, Sheet};
use super::spread::View;
use super::words::{self, percent};
use crate::analysis::octaves::{Octaves, Sign};
use crate::app::{App, GroupSums, Stretch};
use crate::query::{Answer, Snapshot, Topic};
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;

/// Width of a column.
const COLUMN: u16 = 11;
/// Width of the table.
pub const WIDTH: u16 = 18 + 2 * COLUMN;

/// A block of related numbers. If there is little room, rows of higher rank go first.
struct Block {
    /// The longer and the shorter title.
    titles: [String; 2],
    rows: Vec<(u8, Row)>,
}

fn blocks(view: &View<'_>, known: &Known<'_>, app: &App) -> [Block; 3] {
    let (window_titles, window) = window(view, app);
    let steps = window.steps();
    let window = [window.total_sums(), window.layer_sums(app.nav.layer)];
    let octaves = known.histograms.map(|found| {
        let found = found.ok()?;
        // If entries are coarse, the stretch reaches beyond the steps asked for.
        let own = found.steps == steps || found.steps == app.visible();
        octaves(found).filter(|_| own)
    });
    let of_octaves = |of: &dyn Fn(&Octaves) -> Option<f64>| {
        [0, 1].map(|side| figure(octaves[side].as_ref().and_then(of)))
    };
    let tail = |sign: Sign| of_octaves(&move |it| it.tail_index(sign));
    let [help, zero, hurt] = shares(window);
    let of_window = vec![
        (0, help),
        (2, zero),
        (1, hurt),
        (
            4,
            row("help of active", window.map(|sums| share(of_movers(&sums)))),
        ),
        (
            3,
            row("kurtosis approx", of_octaves(&|it| it.excess_kurtosis())),
        ),
        (4, row("tail (help)", tail(Sign::Helping))),
        (4, row("tail (hurt)", tail(Sign::Hurting))),
    ];
    let [help, zero, hurt] = shares([view.at.total_sums(), view.at.layer_sums(app.nav.layer)]);
    let of_cursor = vec![(3, help), (5, zero), (5, hurt)];
    let found = known.snapshots.map(Result::ok);
    let of = |cell: fn(&Snapshot) -> Cell| found.map(|it| it.map_or_else(none, cell));
    let of_totals = vec![
        (
            5,
            row(
                "parameters",
                of(|it| (it.params.to_string(), Style::default())),
            ),
        ),
        (3, row("helped (mean)", of(|it| share(it.mean_helped)))),
        (0, row("Gini (help)", of(|it| gini(it.helping.gini)))),
        (0, row("top 1% (help)", of(|it| share(it.helping.top)))),
        (1, row("params for 90%", of(|it| share(it.helping.ninety)))),
        (1, row("Gini (hurt)", of(|it| gini(it.hurting.gini)))),
        (2, row("top 1% (hurt)", of(|it| share(it.hurting.top)))),
        (4, row("kurtosis", of(|it| figure(Some(it.kurtosis))))),
        (4, row("tail index", of(|it| figure(it.tail_index)))),
    ];
    let at = match view.at.len() {
        0 => "no steps yet".to_owned(),
        _ => words::steps(&view.at.steps()),
    };
    let after = match found[0] {
        Some(found) => [
            format!("totals after {} steps", found.steps),
            format!("after {}", found.steps),
        ],
        None => ["totals of parameters", "totals"].map(str::to_owned),
    };
    let block = |titles, rows| Block { titles, rows };
    let at_cursor = view.cursor_title();
    [
        block(window_titles, of_window),
        block([format!("{at_cursor}, {at}"), at_cursor], of_cursor),
        block(after, of_totals),
    ]
}

fn shares(both: [GroupSums; 2]) -> [Row; 3] {
    let zero = |sums: &GroupSums| 1.0 - sums.help_share() - sums.hurt_share();
    [
        row("help", both.map(|sums| share(sums.help_share()))),
        row("idle", both.map(|sums| share(zero(&sums)))),
        row("hurt", both.map(|sums| share(sums.hurt_share()))),
    ]
}

/// Draws the table beside the charts: the most telling rows that fit, and how many are left out.
pub fn beside(area: Rect, view: &View<'_>, known: &Known<'_>, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let blocks = blocks(view, known, app);
    let room = usize::from(area.height).saturating_sub(1);
    let chosen = |least: u8| {
        let mut rows = Vec::new();
        let mut left_out = 0;
        for Block { titles, rows: own } in &blocks {
            let kept = own.iter().filter(|(rank, _)| *rank <= least);
            let kept: Vec<Row> = kept.map(|(_, row)| row.clone()).collect();
            left_out += own.len() - kept.len();
            if !kept.is_empty() {
                let width = usize::from(area.width);
                rows.push(part(&words::worded(titles, width, theme), theme));
                rows.extend(kept);
            }
        }
        (rows, left_out)
    };
    let fits = |least: &u8| {
        let (rows, left_out) = chosen(*least);
        rows.len() + usize::from(left_out > 0) <= room
    };
    let (rows, left_out) = chosen((0..=5).rev().find(fits).unwrap_or(0));
    let mut sheet = sheet("", rows, app, theme);
    if left_out > 0 {
        let text = format!("f: {left_out} more rows");
        sheet.closing.push(part(&text, theme));
    }
    sheet.draw(area, frame);
}

/// Draws all numbers in two tables side by side.
pub fn full(area: Rect, view: &View<'_>, known: &Known<'_>, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let half = area.width / 2;
    let width = half.saturating_sub(2).min(WIDTH);
    let gap = (half.saturating_sub(1 + width)).min(3);
    let parts = [1, width, gap, half.min(WIDTH)].map(Length);
    let [_, left, _, right] = Layout::horizontal(parts).areas(area);
    let [window, cursor, totals] = blocks(view, known, app);
    let title = |block: &Block| block.titles[1].clone();
    let rows = |block: Block| block.rows.into_iter().map(|(_, row)| row);
    let (first, then, last) = (title(&window), part(&title(&cursor), theme), title(&totals));
    let one: Vec<Row> = rows(window).chain([then]).chain(rows(cursor)).collect();
    sheet(&first, one, app, theme).draw(left, frame);
    sheet(&last, rows(totals).collect(), app, theme).draw(right, frame);
}

/// A table with a column for all layers and one for the selected layer; what the charts show comes first.
fn sheet<'a>(title: &'a str, rows: Vec<Row>, app: &App, theme: &'a Theme) -> Sheet<'a> {
    let layer = app.model.header.layout.layers.get(app.nav.layer);
    let name = layer.map_or("", |layer| layer.name.as_str());
    let room = usize::from(COLUMN) - 1;
    let mut columns = vec![
        ("all layers".to_owned(), COLUMN),
        (words::elided(name, room, theme), COLUMN),
    ];
    let mut rows = rows;
    if app.nav.one_layer {
        columns.reverse();
        for row in &mut rows {
            row.cells.reverse();
        }
    }
    Sheet {
        theme,
        title,
        groups: Vec::new(),
        columns,
        rows,
        items: Vec::new(),
        selected: None,
        closing: Vec::new(),
    }
}

/// The title and the steps of the first block: those in view. While these advance with the run, they are the steps that
/// the latest histogram covers, so that all numbers of the block are of the same steps.
fn window<'a>(view: &View<'a>, app: &'a App) -> ([String; 2], Stretch<'a>) {
    let query = app.about_window(Topic::Histogram { layer: None }, 1);
    match app.known(&query) {
        Some((steps, Answer::Histogram(_))) if *steps != query.steps => {
            let name = words::steps(steps);
            let steps = app.model.timeline.stretch(steps);
            ([format!("in {name}"), name], steps)
        }
        _ => {
            let name = view.window_title("in view");
            let steps = words::steps(&view.window.steps());
            ([format!("{name}, {steps}"), name], view.window.clone())
        }
    }
}

/// A heading row above a block.
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

/// The helping share of the parameters that help or hurt.
#[expect(clippy::cast_precision_loss, reason = "a share of counts")]
fn of_movers(sums: &GroupSums) -> f64 {
    let (helped, hurt) = (sums.helped as f64, sums.hurt as f64);
    helped / (helped + hurt)
}

fn share(share: f64) -> Cell {
    if share.is_finite() {
        (percent(share), Style::default())
    } else {
        none()
    }
}

fn gini(gini: f64) -> Cell {
    if gini.is_finite() {
        (format!("{gini:.3}"), Style::default())
    } else {
        none()
    }
}

/// A value with at most two decimals, in scientific notation from 1000 and below 0.01; a hyphen if there is none.
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
