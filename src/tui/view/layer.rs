//! Inside a layer: its tensors, those that the filter lets through, and its units over the steps.
//!
//! ```text
//!  fc1  linear, 78500 parameters, 100 units
//!  tensor       LCA in nats, steps 0-411        cursor   window      all of layer
//!  fc1.weight   ⠤⠤⣤⣤⡤⠤⠤⠤⠤                      -1.2e-3   -0.812   -0.812   99.1%
//!  fc1.bias     ⠤⠤⠤⠤⡤⠤⠤⠤⠤                      -1.1e-5   -0.007   -0.007    0.9%
//!  4 others                                        those without a row, added up
//!  units × steps, helps most first
//!   unit 17│▓▓▒▒░░  ''++
//!   unit 3 ▸▓▒▒░░░    ''
//!  unit 3  window -0.0123  cursor -1.2e-5  helped in 52.1% of steps  crosses zero every 6.7 steps
//!  sum of units -0.812, layer -0.812; residual of these steps +1.2e-5 belongs to no layer
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::cells::{self, lca, nats, often, put, put_column, row, sentence};
use super::unit_curves;
use super::words::{either, elided, percent};
use crate::analysis::bins::Extent;
use crate::app::{App, Depth, Sort, units_of};
use crate::layout::Layer;
use crate::query::{Answer, Binned, Query, Topic};
use crate::tui::theme::Theme;
use crate::tui::widget::heat_map::{self, HeatMap};
use crate::tui::widget::{SignedBars, XAxis};

/// Rows of tensors at most.
const MOST_TENSORS: u16 = 6;
/// Cells for a unit's name beside the heat map.
const GUTTER: u16 = 10;
/// Values that a heat map asks for at most: a layer may have any number of units.
const MOST_VALUES: usize = 1 << 21;
/// Columns of numbers beside a tensor's sparkline.
const NUMBERS: u16 = 4;

/// Where the parts are.
struct Parts {
    tensors: Rect,
    map: Rect,
    curves: Option<Rect>,
    lines: Rect,
}

/// In an area, with so many tensors listed.
fn parts(area: Rect, tensors: usize) -> Parts {
    let tensors = u16::try_from(tensors).unwrap_or(u16::MAX);
    // A header and the layer's own line; the heat map keeps some rows in any case.
    let tensors = tensors.min(MOST_TENSORS).min(area.height.saturating_sub(9)) + 2;
    let lines = 2;
    let rest = area.height.saturating_sub(tensors + lines);
    let curves = if rest >= 24 { rest * 2 / 5 } else { 0 };
    let at = |y: u16, height: u16| Rect {
        y: area.y + y,
        height,
        ..area
    };
    Parts {
        tensors: at(0, tensors),
        map: at(tensors, rest - curves),
        curves: (curves > 0).then(|| at(tensors + rest - curves, curves)),
        lines: at(tensors + rest, lines.min(area.height - tensors - rest)),
    }
}

fn layer_of(app: &App) -> Option<(usize, &Layer)> {
    let Depth::Layer(index) = app.depth else {
        return None;
    };
    Some((index, app.header.layout.layers.get(index)?))
}

/// The place of the heat map below its title.
fn map_below(map: Rect) -> Rect {
    Rect {
        y: map.y + 1.min(map.height),
        height: map.height.saturating_sub(1),
        ..map
    }
}

/// How many columns the units are asked for in.
fn unit_columns(map: Rect, units: usize) -> usize {
    let plot = usize::from(heat_map::plot_area(map_below(map), GUTTER).width);
    plot.min(MOST_VALUES / units.max(1)).max(1)
}

/// The sparklines of the tensors.
fn bars_of(row: Rect, names: u16) -> Rect {
    let numbers = NUMBERS * cells::NUMBER;
    Rect {
        x: row.x + names.min(row.width),
        width: row.width.saturating_sub(names + numbers + 1),
        ..row
    }
}

fn names_width(app: &App, layer: &Layer) -> u16 {
    let tensors = app.header.layout.tensors[layer.tensors.clone()].iter();
    let longest = tensors.map(|it| it.name.chars().count()).max().unwrap_or(0);
    u16::try_from(longest + 3).unwrap_or(u16::MAX).clamp(8, 26)
}

pub fn wants(area: Rect, app: &App, theme: &Theme) -> Vec<Query> {
    let Some((index, layer)) = layer_of(app) else {
        return Vec::new();
    };
    let Parts { tensors, map, .. } = parts(area, app.listed_tensors(index).len());
    let bars = bars_of(row(tensors, 0), names_width(app, layer));
    let columns = SignedBars::columns(bars.width, theme.glyphs);
    let units = units_of(index);
    let mut wanted = vec![
        app.about_window(units.clone(), unit_columns(map, layer.units.len())),
        app.about_window(Topic::Tensors, columns),
    ];
    wanted.extend(app.about_cursor(Topic::Tensors));
    wanted.extend(app.about_cursor(units));
    wanted.push(app.about_all(Topic::Tensors));
    wanted
}

fn binned(app: &App, query: Option<Query>) -> Option<&Binned> {
    match app.desk.answer(&query?) {
        Some((_, Answer::Binned(binned))) => Some(binned),
        _ => None,
    }
}

/// What is known of the steps of a question, and what these are called: `name` where they are all of them,
/// else `before` and the last of them.
fn named<'a>(
    app: &'a App,
    query: Option<&Query>,
    (name, before): (&str, &str),
) -> (String, Option<&'a Binned>) {
    let known = query.and_then(|query| Some((query, app.known(query)?)));
    match known {
        Some((query, (steps, Answer::Binned(binned)))) => {
            let name = match (*steps == query.steps, steps.end.checked_sub(1)) {
                (false, Some(last)) if last < 100_000 => format!("{before} {last}"),
                (false, Some(last)) => last.to_string(),
                _ => name.to_owned(),
            };
            (name, Some(binned))
        }
        _ => (name.to_owned(), None),
    }
}

/// The tensors that have a row each, and those that are added up in the last of so many rows.
fn with_rows(listed: &[usize], rows: usize) -> (&[usize], &[usize]) {
    match listed.len() > rows {
        true => listed.split_at(rows.saturating_sub(1)),
        false => (listed, &[]),
    }
}

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    let Some((index, layer)) = layer_of(app) else {
        return;
    };
    let tensors = app.listed_tensors(index);
    let parts = parts(area, tensors.len());
    draw_tensors(parts.tensors, buf, (app, theme), layer, &tensors);
    let like = app.about_window(units_of(index), 1);
    match app.desk.answer(&like) {
        _ if layer.units.is_empty() => sentence(parts.map, buf, "this layer has no units", theme),
        Some((_, Answer::Binned(units))) if units.groups.len() == layer.units.len() => {
            let listed = app.listed_units(index);
            draw_map(parts.map, buf, (app, theme), &listed, units);
            if let Some(curves) = parts.curves {
                unit_curves::draw(curves, buf, (app, theme), units);
            }
            draw_lines(parts.lines, buf, (app, theme), index, units);
        }
        Some((_, Answer::Unknown(why))) => sentence(parts.map, buf, why, theme),
        _ => sentence(parts.map, buf, "reading the units …", theme),
    }
}

fn draw_tensors(
    area: Rect,
    buf: &mut Buffer,
    (app, theme): (&App, &Theme),
    layer: &Layer,
    tensors: &[usize],
) {
    let names = names_width(app, layer);
    let (count, units) = (layer.range.len(), layer.units.len());
    let name = elided(&layer.name, 40, theme);
    let text = format!("  {}, {count} parameters, {units} units", layer.kind);
    let title = Line::from(vec![
        Span::styled(format!(" {name}"), theme.header),
        Span::styled(text, theme.dim),
    ]);
    put(row(area, 0), buf, title);
    let window = binned(app, Some(app.about_window(Topic::Tensors, 1)));
    let cursor = app.about_cursor(Topic::Tensors);
    let (at_title, at) = named(app, cursor.as_ref(), ("cursor", "at"));
    let all = app.about_all(Topic::Tensors);
    let (all_title, all) = named(app, Some(&all), ("all", "to"));
    let head = row(area, 1);
    put(head, buf, Line::styled(" tensor", theme.header));
    let bars = bars_of(head, names);
    let steps = window.map_or_else(
        || either(theme, "reading …", "reading ...").to_owned(),
        |it| format!("LCA in nats, {}", cells::steps(&it.steps())),
    );
    let steps = match steps.chars().count() <= usize::from(bars.width) {
        true => steps,
        false => "LCA".to_owned(),
    };
    put(bars, buf, Line::styled(steps, theme.header));
    let titles = [(3, &*at_title), (2, "window"), (1, &*all_title)];
    for (from_right, title) in titles.into_iter().chain([(0, "of layer")]) {
        put_column(head, buf, from_right, title, theme.header);
    }
    let columns = SignedBars::columns(bars.width, theme.glyphs);
    let of = |binned: Option<&Binned>, k: usize| {
        binned
            .and_then(|it| it.groups.get(k))
            .map_or(f64::NAN, |group| group.total)
    };
    let extents = |k: usize| window.map_or_else(Vec::new, |it| cells::extents(it, k, columns));
    let (rows, others) = with_rows(tensors, usize::from(area.height.saturating_sub(2)));
    let all_bars: Vec<Vec<Option<Extent>>> = rows.iter().map(|&k| extents(k)).collect();
    let ends = all_bars.iter().flatten().flatten();
    let max = cells::largest(ends.flat_map(|it| [it.min.into(), it.max.into()]));
    let whole: f64 = layer.tensors.clone().map(|k| of(all, k)).sum();
    let numbers = |line: Rect, buf: &mut Buffer, name: &str, own: &[usize]| {
        let name = elided(name, usize::from(names) - 2, theme);
        put(line, buf, format!(" {name}"));
        let [at, window, all]: [f64; 3] =
            [at, window, all].map(|it| own.iter().map(|&k| of(it, k)).sum());
        for (from_right, value) in [(3, at), (2, window), (1, all)] {
            let style = cells::signed(theme, value);
            put_column(line, buf, from_right, &nats(value), style);
        }
        // Not a negative zero.
        let share = percent(all / whole + 0.0);
        put_column(line, buf, 0, &share, Style::default());
    };
    for ((y, &k), extents) in (2..area.height).zip(rows).zip(&all_bars) {
        let line = row(area, y);
        numbers(line, buf, &app.header.layout.tensors[k].name, &[k]);
        let chart = SignedBars {
            theme,
            extents,
            scale: cells::scale(app, max),
            max,
            cursor: window.and_then(|it| cells::cursor(app, &it.steps(), columns)),
        };
        chart.render(bars_of(line, names), buf);
    }
    if !others.is_empty() && area.height > 2 {
        let name = format!("{} others", others.len());
        numbers(row(area, area.height - 1), buf, &name, others);
    }
}

fn draw_map(
    area: Rect,
    buf: &mut Buffer,
    (app, theme): (&App, &Theme),
    listed: &[usize],
    units: &Binned,
) {
    let times = either(theme, "×", "x");
    let order = match app.sort {
        Sort::Order => "in the network's order".to_owned(),
        sort => format!("{} first", sort.name()),
    };
    let steps = cells::steps(&units.steps());
    let title = format!(" units {times} steps, {order}; {steps}");
    put(row(area, 0), buf, Line::styled(title, theme.header));
    let area = map_below(area);
    let plot = heat_map::plot_area(area, GUTTER);
    let columns = usize::from(plot.width);
    let mut values = Vec::with_capacity(columns * listed.len());
    for &unit in listed {
        let sums = units.row(unit);
        let at = cells::spread(units, columns);
        values.extend(at.map(|at| at.and_then(|at| sums.get(at).copied()).unwrap_or(f64::NAN)));
    }
    let max = cells::largest(values.iter().copied());
    let names: Vec<String> = listed.iter().map(|unit| format!("unit {unit}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let selected = listed.iter().position(|&unit| unit == app.unit);
    let dense = listed.len() > usize::from(plot.height);
    let fit = usize::from(plot.height) * heat_map::rows_per_cell(theme, dense);
    let map = HeatMap {
        theme,
        values: &values,
        rows: listed.len(),
        columns,
        scale: cells::scale(app, max),
        max,
        unit: "nats",
        names: &names,
        gutter: GUTTER,
        first: super::words::scrolled(selected.unwrap_or(0), fit, listed.len()),
        selected,
        cursor: cells::cursor(app, &units.steps(), columns),
        dense,
        x_axis: XAxis::Steps(units.steps()),
    };
    map.render(area, buf);
}

/// The selected unit's numbers, and how the units add up to the layer.
fn draw_lines(
    area: Rect,
    buf: &mut Buffer,
    (app, theme): (&App, &Theme),
    layer: usize,
    units: &Binned,
) {
    if let Some(group) = units.groups.get(app.unit) {
        #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
        let share = |count: u64| count as f64 / group.steps as f64;
        let mut parts = vec![
            (
                0,
                vec![Span::styled(format!(" unit {}", app.unit), theme.selected)],
            ),
            (0, vec![Span::raw("  window "), lca(theme, group.total)]),
        ];
        let cursor = app.about_cursor(units_of(layer));
        let (name, at) = named(app, cursor.as_ref(), ("cursor", "at"));
        let at = at.and_then(|it| it.groups.get(app.unit));
        let total = at.map_or(f64::NAN, |at| at.total);
        parts.push((1, vec![Span::raw(format!("  {name} ")), lca(theme, total)]));
        let helped = percent(share(group.helped));
        let helped = format!("  helped in {} of steps", helped.trim());
        let crosses = often("crosses zero", 1.0 / share(group.crossings));
        parts.push((2, vec![Span::raw(helped)]));
        parts.push((3, vec![Span::raw(format!("  {crosses}"))]));
        put(row(area, 0), buf, cells::fitting(parts, area.width));
    }
    let sum: f64 = units.groups.iter().map(|group| group.total).sum();
    let stretch = app.timeline.stretch(&units.steps());
    let whole = stretch.layer_sums(layer).lca;
    let mut parts = vec![(0, vec![Span::raw(" sum of units "), lca(theme, sum)])];
    if stretch.steps() == units.steps() && !stretch.is_empty() {
        let (gap, residual) = (nats(sum - whole), nats(stretch.residual()));
        let residual = format!("; the residual {} belongs to no layer", residual.trim());
        parts.push((0, vec![Span::raw(", layer "), lca(theme, whole)]));
        for (rank, text) in [
            (1, format!(", apart by {}", gap.trim())),
            (
                3,
                ": units are in f32, and hold weights, biases, scales and shifts".to_owned(),
            ),
            (2, residual),
        ] {
            parts.push((rank, vec![Span::styled(text, theme.dim)]));
        }
    }
    put(row(area, 1), buf, cells::fitting(parts, area.width));
}
