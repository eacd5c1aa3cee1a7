//! Inside a layer: its tensors that pass the filter, and its units over the steps.
//!
//! ```text
//!  fc1  linear, 78500 parameters, 100 units
//!  tensor       LCA in nats, steps 0-411        at 410  in view    whole of layer
//!  fc1.weight   ⠤⠤⣤⣤⡤⠤⠤⠤⠤                      -1.2e-3   -0.812   -0.812   99.1%
//!  fc1.bias     ⠤⠤⠤⠤⡤⠤⠤⠤⠤                      -1.1e-5   -0.007   -0.007    0.9%
//!  4 others                                        the sum of those without a row
//!  units × steps, helps most first
//!   unit 17│▓▓▒▒░░  ''++
//!   unit 3 ▸▓▒▒░░░    ''
//!  unit 3  in view -0.0123  at 410 -1.2e-5  helped in 52.1% of steps  sign flip every 6.7 steps
//!  sum of units -0.812, layer -0.812; residual of these steps +1.2e-5 belongs to no layer
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::cells::{self, lca, put, put_column, row};
use super::spread::titled;
use super::unit_curves;
use super::words::{
    self, NUMBER, either, elided, number, often, percent, sentence, signed_scale, worded,
};
use crate::analysis::bins::Extent;
use crate::app::{Depth, RunModel, Sort, units_of};
use crate::layout::Layer;
use crate::query::{Answer, Binned, Topic};
use crate::tui::frame::Frame;
use crate::tui::widget::heat_map::{self, HeatMap};
use crate::tui::widget::{SignedBars, XAxis};

/// The most rows of tensors; if there are more tensors, the last row is the sum of the others.
const MOST_TENSORS: u16 = 6;
/// Width of a unit's name beside the heat map.
const GUTTER: u16 = 10;
/// The most values that a heat map requests: a layer may have any number of units.
const MOST_VALUES: usize = 1 << 21;
/// Columns of numbers beside a tensor's sparkline.
const NUMBERS: u16 = 4;

/// The areas of the parts.
struct Parts {
    tensors: Rect,
    map: Rect,
    /// Empty if there is little room.
    curves: Rect,
    lines: Rect,
}

/// Divides an area with this many tensors listed.
fn parts(area: Rect, tensors: usize) -> Parts {
    let tensors = u16::try_from(tensors).unwrap_or(u16::MAX);
    // Add a header and the layer's own line; the heat map always keeps some rows.
    let tensors = tensors.min(MOST_TENSORS).min(area.height.saturating_sub(9)) + 2;
    let lines = 2;
    let rest = area.height.saturating_sub(tensors + lines);
    let curves = if rest >= 24 { rest * 2 / 5 } else { 0 };
    let rows = [Length(tensors), Fill(1), Length(curves), Length(lines)];
    let [tensors, map, curves, lines] = Layout::vertical(rows).areas(area);
    Parts {
        tensors,
        map,
        curves,
        lines,
    }
}

/// The number of columns to request for the units.
fn unit_columns(map: Rect, units: usize) -> usize {
    let [_, map] = Layout::vertical([Length(1), Fill(1)]).areas(map);
    let plot = usize::from(heat_map::plot_area(map, GUTTER).width);
    plot.min(MOST_VALUES / units.max(1)).max(1)
}

fn names_width(model: &RunModel, layer: &Layer, width: u16) -> u16 {
    let tensors = model.header.layout.tensors[layer.tensors.clone()].iter();
    let longest = tensors.map(|it| it.name.chars().count()).max().unwrap_or(0);
    let most = width.saturating_sub(NUMBERS * NUMBER + 1).clamp(8, 26);
    u16::try_from(longest + 3)
        .unwrap_or(u16::MAX)
        .clamp(8, most)
}

/// The sums of an answer.
fn binned<T>(answer: Option<(T, &Answer)>) -> Option<&Binned> {
    match answer? {
        (_, Answer::Binned(binned)) => Some(binned),
        _ => None,
    }
}

/// Sums and the title of their column.
struct Sums<'a> {
    title: String,
    of: Option<&'a Binned>,
}

/// Asks about the step at the cursor; the title names the step, which no other line does.
fn at_cursor<'a>(rank: u8, topic: Topic, frame: &mut Frame<'a>) -> Sums<'a> {
    let query = frame.app.about_cursor(topic);
    let of = query.and_then(|query| binned(frame.ask_now(rank, query)));
    let title = of.map_or("cursor".to_owned(), |of| words::at(of.steps().start));
    Sums { title, of }
}

/// Asks about the whole run; if the answer does not cover all steps, the title names the last one it does.
fn of_all<'a>(rank: u8, topic: Topic, frame: &mut Frame<'a>) -> Sums<'a> {
    let query = frame.app.about_all(topic);
    let all = query.steps.end;
    let of = binned(frame.ask_now(rank, query));
    let title = match of.map(|of| of.steps().end).filter(|&end| end != all) {
        Some(end) if end <= 100_000 => format!("to {}", end - 1),
        Some(end) => (end - 1).to_string(),
        None => "whole".to_owned(),
    };
    Sums { title, of }
}

/// Splits the tensors into those with a row of their own and those summed in the last of `rows` rows.
fn with_rows(listed: &[usize], rows: usize) -> (&[usize], &[usize]) {
    if listed.len() > rows {
        listed.split_at(rows.saturating_sub(1))
    } else {
        (listed, &[])
    }
}

pub fn draw(area: Rect, frame: &mut Frame) {
    let app = frame.app;
    let Depth::Layer(index) = app.nav.depth else {
        return;
    };
    let Some(layer) = app.model.header.layout.layers.get(index) else {
        return;
    };
    let tensors = app.listed_tensors(index);
    let parts = parts(area, tensors.len());
    let columns = unit_columns(parts.map, layer.units.len());
    let units = frame.ask(0, app.about_window(units_of(index), columns));
    draw_tensors(parts.tensors, frame, layer, &tensors);
    let unit_sums = at_cursor(3, units_of(index), frame);
    match units {
        _ if layer.units.is_empty() => {
            sentence(parts.map, "this layer has no units", frame);
        }
        Some((_, Answer::Binned(units))) if units.groups.len() == layer.units.len() => {
            draw_map(parts.map, frame, &app.listed_units(index), units);
            if !parts.curves.is_empty() {
                unit_curves::draw(parts.curves, frame, units);
            }
            draw_lines(parts.lines, frame, index, units, unit_sums);
        }
        Some((_, Answer::Unknown(why))) => sentence(parts.map, why, frame),
        _ => sentence(parts.map, "reading units …", frame),
    }
}

fn draw_tensors(area: Rect, frame: &mut Frame, layer: &Layer, tensors: &[usize]) {
    let (app, theme) = (frame.app, frame.theme);
    let names = names_width(&app.model, layer, area.width);
    let (count, units) = (layer.range.len(), layer.units.len());
    let name = elided(&layer.name, usize::from(area.width / 2), theme);
    let dim = |text: String| vec![Span::styled(text, theme.dim)];
    let title = vec![
        (0, vec![Span::styled(format!(" {name}"), theme.header)]),
        (3, dim(format!("  {},", layer.kind))),
        (2, dim(format!("  {count} parameters,"))),
        (1, dim(format!("  {units} units"))),
    ];
    let head = row(area, 1);
    let parts = [Length(names), Fill(1), Length(NUMBERS * NUMBER + 1)];
    let [_, bars, _] = Layout::horizontal(parts).areas(head);
    let columns = SignedBars::columns(bars.width, theme.glyphs);
    let window = binned(frame.ask(1, app.about_window(Topic::Tensors, columns)));
    let at = at_cursor(2, Topic::Tensors, frame);
    let all = of_all(4, Topic::Tensors, frame);
    let buf = &mut *frame.buffer;
    put(row(area, 0), buf, cells::fitting(title, area.width));
    put(head, buf, Line::styled(" tensor", theme.header));
    let steps = match window {
        None => vec![either(theme, "reading …", "reading ...").to_owned()],
        Some(it) => {
            let steps = words::steps(&it.steps());
            vec![
                format!("LCA in nats, {steps}"),
                format!("LCA, {steps}"),
                "LCA".to_owned(),
            ]
        }
    };
    if bars.width >= 3 {
        let steps = worded(&steps, usize::from(bars.width) - 1, theme);
        put(bars, buf, Line::styled(steps, theme.header));
    }
    let titles = [(3, &*at.title), (2, "in view"), (1, &*all.title)];
    for (from_right, title) in titles.into_iter().chain([(0, "of layer")]) {
        put_column(head, buf, from_right, title, theme.header);
    }
    let (at, all) = (at.of, all.of);
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
            put_column(line, buf, from_right, &number(value), theme.of_sign(value));
        }
        // Adding 0.0 turns a negative zero into a positive one.
        let share = percent(all / whole + 0.0);
        put_column(line, buf, 0, &share, Style::default());
    };
    for ((y, &k), extents) in (2..area.height).zip(rows).zip(&all_bars) {
        let line = row(area, y);
        numbers(line, buf, &app.model.header.layout.tensors[k].name, &[k]);
        let chart = SignedBars {
            theme,
            extents,
            scale: signed_scale(&app.nav, max),
            max,
            cursor: window.and_then(|it| cells::cursor(app, &it.steps(), columns)),
        };
        chart.render(Rect { y: line.y, ..bars }, buf);
    }
    if !others.is_empty() && area.height > 2 {
        let name = format!("{} others", others.len());
        numbers(row(area, area.height - 1), buf, &name, others);
    }
}

fn draw_map(area: Rect, frame: &mut Frame, listed: &[usize], units: &Binned) {
    let (app, theme) = (frame.app, frame.theme);
    let times = either(theme, "×", "x");
    let order = match app.nav.sort {
        Sort::Order => "in network order".to_owned(),
        sort => format!("{} first", sort.name()),
    };
    let steps = words::steps(&units.steps());
    let titles = [
        format!("units {times} steps, {order}; {steps}"),
        format!("units, {order}; {steps}"),
        steps,
    ];
    let area = titled(area, &titles, frame);
    let plot = heat_map::plot_area(area, GUTTER);
    // Two units share a line if there are many.
    let dense = listed.len() > usize::from(plot.height);
    let per_line = heat_map::rows_per_cell(theme, dense);
    let fit = usize::from(plot.height) * per_line;
    let selected = listed.iter().position(|&unit| unit == app.nav.unit);
    let first = words::scrolled(selected.unwrap_or(0), fit, listed.len());
    let columns = usize::from(plot.width);
    let shown = &listed[first..listed.len().min(first + fit)];
    let mut values = Vec::with_capacity(columns * shown.len());
    for &unit in shown {
        let sums = units.row(unit);
        let at = cells::spread(units, columns);
        values.extend(at.map(|at| at.and_then(|at| sums.get(at).copied()).unwrap_or(f64::NAN)));
    }
    // The maximum of all units, so that scrolling does not change the meaning of a colour.
    let max = cells::largest(units.sums.iter().copied());
    let names: Vec<String> = shown.iter().map(|unit| format!("unit {unit}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let map = HeatMap {
        theme,
        values: &values,
        rows: listed.len(),
        columns,
        scale: signed_scale(&app.nav, max),
        max,
        unit: "nats",
        names: &names,
        gutter: GUTTER,
        first,
        selected,
        cursor: cells::cursor(app, &units.steps(), columns),
        dense,
        x_axis: XAxis::Steps(units.steps()),
    };
    frame.render(map, area);
    let lines = Rect {
        x: area.x,
        width: area.width,
        ..plot
    };
    // A click on a line with two units selects the upper one.
    frame.rows(lines, shown.iter().copied().step_by(per_line));
}

/// Draws the selected unit's numbers, and how the units add up to the layer.
fn draw_lines(
    area: Rect,
    frame: &mut Frame,
    layer: usize,
    units: &Binned,
    Sums { title, of }: Sums<'_>,
) {
    let (app, theme) = (frame.app, frame.theme);
    if let Some(group) = units.groups.get(app.nav.unit) {
        #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
        let share = |count: u64| count as f64 / group.steps as f64;
        let mut parts = vec![
            (
                0,
                vec![Span::styled(
                    format!(" unit {}", app.nav.unit),
                    theme.selected,
                )],
            ),
            (0, vec![Span::raw("  in view "), lca(theme, group.total)]),
        ];
        let at = of.and_then(|it| it.groups.get(app.nav.unit));
        let total = at.map_or(f64::NAN, |at| at.total);
        let title = Span::raw(format!("  {title} "));
        parts.push((1, vec![title, lca(theme, total)]));
        let helped = percent(share(group.helped));
        let helped = format!("  helped in {} of steps", helped.trim());
        let crosses = often("sign flip", 1.0 / share(group.crossings));
        parts.push((2, vec![Span::raw(helped)]));
        parts.push((3, vec![Span::raw(format!("  {crosses}"))]));
        frame.render(cells::fitting(parts, area.width), row(area, 0));
    }
    let sum: f64 = units.groups.iter().map(|group| group.total).sum();
    let stretch = app.model.timeline.stretch(&units.steps());
    let whole = stretch.lca(layer);
    let mut parts = vec![(0, vec![Span::raw(" sum of units "), lca(theme, sum)])];
    if stretch.steps() == units.steps() && !stretch.is_empty() {
        let (gap, residual) = (number(sum - whole), number(stretch.residual()));
        parts.push((0, vec![Span::raw(", layer "), lca(theme, whole)]));
        for (rank, text) in [
            (2, format!(", rounding error {}", gap.trim())),
            (4, " (float32)".to_owned()),
            (1, format!("; residual {}", residual.trim())),
            (3, " (belongs to no layer)".to_owned()),
        ] {
            parts.push((rank, vec![Span::styled(text, theme.dim)]));
        }
    }
    frame.render(cells::fitting(parts, area.width), row(area, 1));
}
