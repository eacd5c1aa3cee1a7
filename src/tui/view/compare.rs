//! Several runs on one axis, and their differences by layer: each run's LCA minus the first's.
//!
//! ```text
//!  A a.h5 400 steps   B b.h5 200 steps   B-A < 0: B lowers the loss more
//!  step 120  loss in nats: A 0.31201  B 0.35410  B-A +0.0421
//!  B: fc3:freeze                           the settings that are not those of A
//!  training losses    │ held-out losses    │ LCA of the selected layer
//!  layer    B-A in nats, steps 0-199           A view    B view   B-A    at 120   whole
//!  fc1      ▒▒░░''░░▒▒                     -0.812    -0.750  +0.062  +1.2e-5  +0.081
//!  fc9      only in A                      -0.2
//!  sum LCA                                 -1.327    -1.200  +0.127
//!  Δloss                                   -1.327    -1.200  +0.127
//!  residual                               +1.2e-5   +1.1e-5  -1e-6
//! ```
//!
//! With more than two runs, the differences of all to the first come before the columns about the selected one. Runs
//! that differ only in their seeds can be shown as their mean: in charts with lines at the least and the greatest, in
//! the table with the standard error.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::sheet::residual_style;
use super::words::{self, either, elided, width_of};
use crate::analysis::bins::Extent;
use crate::analysis::numbers::format_signed;
use crate::analysis::scale::{Domain, Scale};
use crate::analysis::ttest::Mean;
use crate::app::{App, Comparison, RunModel, Stretch, letter};
use crate::tui::frame::{Frame, Hit};
use crate::tui::theme::Theme;
use crate::tui::widget::{LineChart, Pen, Series};

/// Width of a number's column, with a blank before it.
const NUMBER: u16 = 10;
/// The heading and the three closing rows of the table.
const FIXED_ROWS: u16 = 4;
/// The least width of the differences over the steps, with more than two runs.
const MAP: u16 = 14;

/// The pen of a run, unlike those of the training and the held-out loss on other screens. Without colours, its mark is
/// its letter.
fn pen(theme: &Theme, run: usize) -> Pen {
    let mark = letter(run).chars().next().unwrap_or('?');
    Pen {
        mark,
        ..theme.category(run)
    }
}

/// Height of the table, leaving room for the lines above it and for the charts.
fn table_height(area: Rect, layers: usize) -> u16 {
    let rows = u16::try_from(layers).unwrap_or(u16::MAX);
    let charts = (area.height * 3 / 10).max(4);
    let most = area.height.saturating_sub(3 + charts);
    rows.saturating_add(FIXED_ROWS).min(most)
}

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let Some(comparison) = app.compared() else {
        return;
    };
    let layers = comparison.layer_rows();
    let table = table_height(area, layers.len());
    let settings = differences(&comparison, theme, area.width);
    let said = u16::from(settings.width() > 0);
    let rows = [Length(1), Length(1), Length(said), Fill(1), Length(table)];
    let [names, losses, said, charts, table] = Layout::vertical(rows).areas(area);
    frame.render(runs(&comparison, theme, area.width), names);
    frame.render(losses_at_cursor(&comparison, theme, area.width), losses);
    frame.render(settings, said);
    Charts {
        app,
        comparison: &comparison,
        layers: &layers,
        theme,
    }
    .draw(charts, frame.buffer);
    Table::new(table, app, &comparison, layers, theme).draw(frame);
}

/// The line that names the runs, with caveats about comparing their numbers.
fn runs(comparison: &Comparison, theme: &Theme, width: u16) -> Line<'static> {
    let room = usize::from(width).saturating_sub(2);
    let between = either(theme, " · ", " | ");
    let all = |name: &dyn Fn(usize) -> String| -> Vec<String> {
        (0..comparison.runs.len()).map(name).collect()
    };
    let named = |run: usize, cells: usize| {
        let name = elided(comparison.names[run], cells, theme);
        format!("{} {name}", letter(run))
    };
    let steps = |run: usize| comparison.runs[run].timeline.end();
    // The longest form that fits.
    let forms = [
        all(&|run| format!("{} {} steps", named(run, 28), steps(run))),
        all(&|run| format!("{} {}", named(run, 20), steps(run))),
        all(&|run| named(run, 12)),
        all(&|run| named(run, 6)),
    ];
    let fits = |names: &&Vec<String>| {
        let cells = names.iter().map(|name| usize::from(width_of(name)));
        cells.sum::<usize>() + (names.len() - 1) * width_of(between) as usize <= room
    };
    let names = forms.iter().find(fits).cloned();
    let between = if names.is_some() { between } else { " " };
    let names = names.unwrap_or_else(|| all(&letter));
    let mut parts: Vec<(u8, String)> = names.iter().map(|name| (0, name.clone())).collect();
    let networks: Vec<&str> = (comparison.runs.iter())
        .map(|run| run.header.network.as_str())
        .collect();
    let selected = comparison.selected;
    if comparison.same_run() {
        parts.push((1, "the same run twice".to_owned()));
    } else if networks[0] != networks[selected] {
        let (a, b) = (networks[0], networks[selected]);
        parts.push((1, format!("different networks: {a} and {b}")));
    }
    let other = letter(selected);
    parts.push((2, format!("{other}-A < 0: {other} lowers the loss more")));
    let troubled =
        (comparison.runs.iter().enumerate().skip(1)).find(|(_, run)| !run.message().is_empty());
    if let Some((run, model)) = troubled {
        parts.insert(0, (0, format!("{}: {}", letter(run), model.message())));
    }
    let text = words::fitting(parts, between, room);
    let mut spans = vec![Span::raw(" ")];
    for (place, part) in text.split(between).enumerate() {
        let run = names.iter().position(|name| name == part);
        let mut style = run.map_or(theme.header, |run| pen(theme, run).style);
        if run == Some(selected) && comparison.runs.len() > 2 {
            style = style.add_modifier(Modifier::UNDERLINED);
        }
        let before = if place > 0 { between } else { "" };
        spans.push(Span::styled(before, theme.dim));
        spans.push(Span::styled(part.to_owned(), style));
    }
    Line::from(spans)
}

/// The line with the settings of each run that are not those of the first; empty without any.
fn differences(comparison: &Comparison, theme: &Theme, width: u16) -> Line<'static> {
    let differing = (comparison.differences.iter().enumerate())
        .filter(|(_, difference)| !difference.is_empty());
    let differing: Vec<(usize, &String)> = differing.collect();
    let mut line = Line::default();
    let mut left = usize::from(width).saturating_sub(1);
    for (place, (run, difference)) in differing.iter().enumerate() {
        let name = format!("{}: ", letter(*run));
        // An equal share of the rest of the line.
        let share = left / (differing.len() - place);
        let text = elided(difference, share.saturating_sub(name.len() + 2), theme);
        left = left.saturating_sub(usize::from(width_of(&text)) + name.len() + 2);
        line.push_span(Span::raw(if place > 0 { "  " } else { " " }));
        line.push_span(Span::styled(name, pen(theme, *run).style));
        line.push_span(Span::raw(text));
    }
    line
}

/// The losses of all runs at the cursor.
fn losses_at_cursor(comparison: &Comparison, theme: &Theme, width: u16) -> Line<'static> {
    let Some(step) = comparison.cursor() else {
        return Line::styled(" A has no steps yet", theme.dim);
    };
    let losses = |held_out: bool| -> Vec<Option<f64>> {
        let of_run = |run: &&RunModel| {
            let entry = run
                .timeline
                .entry(step)
                .filter(|entry| entry.steps() == 1)?;
            Some(if held_out {
                entry.test_loss
            } else {
                entry.loss_after
            })
        };
        comparison.runs.iter().map(of_run).collect()
    };
    let selected = comparison.selected;
    // On a narrow screen, only the first run and the selected one.
    let all = comparison.runs.len() * 12 < usize::from(width).saturating_sub(36);
    let words = |losses: &[Option<f64>]| -> String {
        let word = |loss: &Option<f64>| loss.map_or_else(|| "-".to_owned(), words::loss);
        let runs = losses.iter().enumerate();
        let words: Vec<String> = runs
            .filter(|(run, _)| all || [0, selected].contains(run))
            .map(|(run, loss)| format!("{} {}", letter(run), word(loss)))
            .collect();
        words.join("  ")
    };
    let train = losses(false);
    let held_out = losses(true);
    let mut line = Line::from(vec![
        Span::styled(format!(" step {step}"), theme.header),
        Span::raw(format!("  loss in nats: {}", words(&train))),
    ]);
    if let Some((a, b)) = train[0].zip(train[selected]) {
        let difference = format_signed(b - a, 8);
        let style = theme.of_sign(b - a);
        line.push_span(Span::raw(format!("  {}-A ", letter(selected))));
        line.push_span(Span::styled(difference.trim_start().to_owned(), style));
    }
    let (first, second) = (comparison.first(), comparison.runs[selected]);
    let mut caveats = Line::default();
    if first.header.allocated_examples() != second.header.allocated_examples() {
        caveats.push_span(Span::styled("  different examples", theme.warning));
    }
    let end = second.timeline.end();
    if step >= end {
        let text = format!(" ({} has {end} steps)", letter(selected));
        caveats.push_span(Span::styled(text, theme.dim));
    }
    let known = held_out.iter().flatten().any(|loss| !loss.is_nan());
    let text = format!("  held-out: {}", words(&held_out));
    let wide = line.width() + usize::from(width_of(&text)) + caveats.width();
    if known && wide < usize::from(width) {
        line.push_span(Span::raw(text));
    }
    line.spans.extend(caveats.spans);
    line
}

/// The number that a chart shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chart {
    Train,
    HeldOut,
    /// LCA of the selected layer.
    Layer,
}

/// The charts of all runs.
struct Charts<'a> {
    app: &'a App,
    comparison: &'a Comparison<'a>,
    layers: &'a [Vec<Option<usize>>],
    theme: &'a Theme,
}

impl Charts<'_> {
    /// Draws as many charts as fit beside each other, or the one chosen in full.
    fn draw(&self, area: Rect, buf: &mut Buffer) {
        let all = [Chart::Train, Chart::HeldOut, Chart::Layer];
        let shown: Vec<Chart> = match self.app.nav.chart % 4 {
            0 if area.width >= 150 => all.to_vec(),
            0 if area.width >= 100 => vec![Chart::Train, Chart::Layer],
            0 => vec![Chart::Train],
            chart => vec![all[chart - 1]],
        };
        let shown: Vec<Chart> = shown.into_iter().filter(|chart| self.has(*chart)).collect();
        let areas = Layout::horizontal(shown.iter().map(|_| Fill(1))).split(area);
        let only = shown.len() == 1 && self.app.nav.chart.is_multiple_of(4);
        for (&chart, &area) in shown.iter().zip(areas.iter()) {
            // Room is scarce: the one chart of a narrow screen needs no title.
            let title = if only {
                String::new()
            } else {
                self.title(chart, area.width)
            };
            let said = u16::from(!title.is_empty());
            let [line, below] = Layout::vertical([Length(said), Fill(1)]).areas(area);
            Line::styled(title, self.theme.header).render(line, buf);
            self.chart(below, buf, chart);
        }
    }

    /// Returns true if a run has the numbers of a chart; the training losses are always shown.
    fn has(&self, chart: Chart) -> bool {
        match chart {
            Chart::Train => true,
            Chart::HeldOut => {
                let axis = axis_of(self.comparison);
                let runs = 0..self.comparison.runs.len();
                let extents = |run| self.extents(run, chart, &axis, 1);
                runs.flat_map(extents).any(|extent| extent.is_some())
            }
            Chart::Layer => self.app.nav.layer < self.app.model.header.layout.layers.len(),
        }
    }

    fn title(&self, chart: Chart, width: u16) -> String {
        match chart {
            Chart::Train => " training loss".to_owned(),
            Chart::HeldOut => " held-out loss".to_owned(),
            Chart::Layer => {
                let layers = &self.app.model.header.layout.layers;
                let name = &layers[self.app.nav.layer].name;
                let name = elided(name, usize::from(width / 2), self.theme);
                format!(" LCA of {name} per step")
            }
        }
    }

    /// The numbers of a run by column; empty if it lacks them.
    fn extents(
        &self,
        run: usize,
        chart: Chart,
        axis: &Range<u64>,
        columns: usize,
    ) -> Vec<Option<Extent>> {
        let steps = self.comparison.steps();
        let stretch = self.comparison.runs[run].timeline.stretch(&steps);
        let on = stretch.columns_on(axis, columns);
        match chart {
            Chart::Train => on.train_loss(),
            Chart::HeldOut => on.test_loss(),
            Chart::Layer => {
                let mut rows = self.layers.iter();
                let row = rows.find(|row| row[0] == Some(self.app.nav.layer));
                let layer = row.and_then(|row| row[run]);
                layer.map_or_else(|| vec![None; columns], |layer| on.layer(layer))
            }
        }
    }

    fn chart(&self, area: Rect, buf: &mut Buffer, chart: Chart) {
        let axis = axis_of(self.comparison);
        if axis.is_empty() || area.is_empty() {
            return;
        }
        let columns = LineChart::plot_columns(area, self.theme.glyphs);
        let runs = self.comparison.runs.len();
        let all: Vec<Vec<Option<Extent>>> = (0..runs)
            .map(|run| self.extents(run, chart, &axis, columns))
            .collect();
        let curves = if self.app.nav.means {
            self.means(&all, columns)
        } else {
            let curve = |(run, extents)| (letter(run), pen(self.theme, run), extents);
            all.into_iter().enumerate().map(curve).collect()
        };
        let ends = curves
            .iter()
            .flat_map(|(.., extents)| extents.iter().flatten());
        let domain = Domain::of(ends.flat_map(|e| [f64::from(e.min), f64::from(e.max)]));
        let largest = domain.min().abs().max(domain.max().abs());
        // The first run is drawn last, over the others.
        let series: Vec<Series> = (curves.iter().rev())
            .map(|(name, pen, extents)| Series {
                name,
                pen: *pen,
                extents,
            })
            .collect();
        let nav = &self.app.nav;
        let cursor = self.comparison.cursor();
        let cursor = cursor.filter(|step| axis.contains(step) && !nav.window.follows());
        let size = |steps: u64| usize::try_from(steps).unwrap_or(usize::MAX);
        let n = size(axis.end - axis.start);
        let column =
            |step: u64| crate::analysis::bins::column_of(size(step - axis.start), n, columns).start;
        let chart = LineChart {
            theme: self.theme,
            series: &series,
            scale: match chart {
                Chart::Layer => words::signed_scale(nav, largest),
                _ if nav.linear => Scale::Linear,
                _ => Scale::Log,
            },
            domain,
            unit: "nats",
            steps: axis.clone(),
            cursor: cursor.map(column),
        };
        chart.render(area, buf);
    }

    /// The mean of the runs of each configuration and, of several, lines at the least and the greatest.
    fn means(
        &self,
        all: &[Vec<Option<Extent>>],
        columns: usize,
    ) -> Vec<(String, Pen, Vec<Option<Extent>>)> {
        let mut curves = Vec::new();
        for group in self.comparison.groups {
            let at = |column: usize| -> Vec<Extent> {
                group.iter().filter_map(|&run| all[run][column]).collect()
            };
            let line = |of: fn(&[Extent]) -> f32| -> Vec<Option<Extent>> {
                let value = |column: usize| {
                    // A mean of fewer runs would jump where one ends.
                    let extents = at(column);
                    (extents.len() == group.len()).then(|| of(&extents))
                };
                let extent = |value: f32| Extent {
                    min: value,
                    max: value,
                };
                (0..columns)
                    .map(|column| value(column).map(extent))
                    .collect()
            };
            let pen = pen(self.theme, group[0]);
            curves.push((group_name(group), pen, line(middle)));
            if group.len() > 1 {
                let edge = Pen {
                    style: pen.style.add_modifier(Modifier::DIM),
                    mark: '.',
                };
                let least =
                    |all: &[Extent]| all.iter().fold(f32::MAX, |least, it| least.min(it.min));
                let most = |all: &[Extent]| all.iter().fold(f32::MIN, |most, it| most.max(it.max));
                curves.push((String::new(), edge, line(least)));
                curves.push((String::new(), edge, line(most)));
            }
        }
        curves
    }
}

/// The mean of the middles of some runs' extents.
#[expect(clippy::cast_precision_loss, reason = "a few runs")]
fn middle(extents: &[Extent]) -> f32 {
    let middles = extents
        .iter()
        .map(|extent| f32::midpoint(extent.min, extent.max));
    middles.sum::<f32>() / extents.len() as f32
}

/// The name of the runs of a configuration: the letter of the first and, of several, their number.
fn group_name(group: &[usize]) -> String {
    match group {
        [only] => letter(*only),
        [first, ..] => format!("{}x{}", letter(*first), group.len()),
        [] => String::new(),
    }
}

/// All steps shown that any run has: the axis of the charts.
fn axis_of(comparison: &Comparison) -> Range<u64> {
    let steps = comparison.steps();
    let stretches = comparison
        .runs
        .iter()
        .map(|run| run.timeline.stretch(&steps).steps());
    let ranges = stretches.filter(|steps| !steps.is_empty());
    let all = ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
    all.unwrap_or(0..0)
}

/// The steps that a column of numbers covers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Those in view that all runs have.
    View,
    Cursor,
    Whole,
}

/// The number in a column: of a run, of the runs of a configuration, or a difference to the first of these.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Run(usize),
    Difference(usize),
    Mean(usize),
    Error(usize),
    MeanDifference(usize),
}

struct Column {
    title: String,
    of: Of,
    part: Part,
}

impl Column {
    fn new(title: impl Into<String>, of: Of, part: Part) -> Self {
        Self {
            title: title.into(),
            of,
            part,
        }
    }

    /// Whether the number is the difference of two.
    fn is_difference(&self) -> bool {
        matches!(self.of, Of::Difference(_) | Of::MeanDifference(_))
    }
}

/// The table of all runs' layers, with its closing rows.
struct Table<'a> {
    area: Rect,
    app: &'a App,
    comparison: &'a Comparison<'a>,
    layers: Vec<Vec<Option<usize>>>,
    theme: &'a Theme,
    columns: Vec<Column>,
    /// Each run over the steps in view that all have, at the cursor, and whole.
    stretches: [Vec<Stretch<'a>>; 3],
    name: Rect,
    map: Rect,
}

impl<'a> Table<'a> {
    fn new(
        area: Rect,
        app: &'a App,
        comparison: &'a Comparison<'a>,
        layers: Vec<Vec<Option<usize>>>,
        theme: &'a Theme,
    ) -> Self {
        let step = comparison.cursor().map_or(0..0, |step| step..step + 1);
        let parts = [comparison.common_steps(), step, comparison.all_steps()];
        let stretches = parts.map(|steps| {
            let runs = comparison.runs.iter();
            runs.map(|run| run.timeline.stretch(&steps)).collect()
        });
        let all = comparison
            .runs
            .iter()
            .flat_map(|run| &run.header.layout.layers);
        let longest = all.map(|layer| layer.name.chars().count()).max();
        let longest = u16::try_from(longest.unwrap_or(0)).unwrap_or(u16::MAX);
        let least = longest.clamp(8, (area.width / 5).max(8));
        let room = area.width.saturating_sub(least + 3 + MAP) / NUMBER;
        let room = usize::from(room.max(2));
        let columns = if app.nav.means {
            mean_columns(comparison, room, theme)
        } else if comparison.runs.len() == 2 {
            columns_of_two(comparison, area.width)
        } else {
            columns_of_many(comparison, room)
        };
        let numbers = NUMBER * u16::try_from(columns.len()).unwrap_or(0);
        let spare = area.width.saturating_sub(numbers + 2);
        let name = least.min(spare);
        let map = spare.saturating_sub(name + 1);
        let [_, name, _, map] = Layout::horizontal([1, name, 1, map].map(Length)).areas(area);
        Self {
            area,
            app,
            comparison,
            layers,
            theme,
            columns,
            stretches,
            name,
            map,
        }
    }

    fn draw(&self, frame: &mut Frame) {
        if self.area.height <= FIXED_ROWS {
            return;
        }
        self.headings(frame.buffer);
        let listed = self.listed();
        let fit = usize::from(self.area.height - FIXED_ROWS).min(listed.len());
        let layer = Some(self.app.nav.layer);
        let selected = listed.iter().position(|row| row[0] == layer);
        let from = words::scrolled(selected.unwrap_or(0), fit, listed.len());
        let other = self.comparison.selected;
        let both = self.comparison.both(other, &self.comparison.common_steps());
        let cells = both.columns(usize::from(self.map.width));
        let shown = &listed[from..from + fit];
        let differences: Vec<Vec<f64>> = (shown.iter())
            .map(|row| match row[0].zip(row[other]) {
                Some((a, b)) => (cells.iter())
                    .map(|cell| cell.second.layer_sums(b).lca - cell.first.layer_sums(a).lca)
                    .collect(),
                None => Vec::new(),
            })
            .collect();
        let finite = differences
            .iter()
            .flatten()
            .filter(|value| value.is_finite());
        let max = finite.fold(0.0_f64, |max, value| max.max(value.abs()));
        let lines = self.area.rows().skip(1).zip(shown);
        for ((line, row), values) in lines.zip(&differences) {
            let (y, buf) = (line.y, &mut *frame.buffer);
            self.layer(y, row, buf);
            if row[0].is_some() && row[other].is_some() {
                self.map_row(y, values, max, buf);
            } else {
                let runs = row.iter().enumerate().filter(|(_, layer)| layer.is_some());
                let letters: Vec<String> = runs.map(|(run, _)| letter(run)).collect();
                let text = format!("only in {}", letters.join(", "));
                self.put(buf, y, self.map, &text, self.theme.dim);
            }
            if let Some(layer) = row[0] {
                frame.hit(line, Hit::Row(layer));
            }
        }
        self.closing_rows(frame.buffer);
    }

    /// The layers of A as listed; then those that only others have.
    fn listed(&self) -> Vec<&Vec<Option<usize>>> {
        let listed = self.app.listed_layers().into_iter();
        let first = listed.filter_map(|layer| self.layers.get(layer));
        let others = self.layers.iter().filter(|row| row[0].is_none());
        let others = others.filter(|row| {
            let name = self.named(row).map(|layer| &layer.name);
            name.is_some_and(|name| self.app.nav.passes(name))
        });
        first.chain(others).collect()
    }

    /// The layer of a row, in the first run that has it.
    fn named(&self, row: &[Option<usize>]) -> Option<&'a crate::layout::Layer> {
        let runs = self.comparison.runs.iter().zip(row);
        let mut layers = runs.filter_map(|(run, layer)| run.header.layout.layers.get((*layer)?));
        layers.next()
    }

    fn headings(&self, buf: &mut Buffer) {
        let other = letter(self.comparison.selected);
        let steps = self.comparison.common_steps();
        let steps = self
            .comparison
            .both(self.comparison.selected, &steps)
            .steps();
        let texts = match steps.end.checked_sub(1) {
            Some(last) => [
                format!("{other}-A in nats, steps {}-{last}", steps.start),
                format!("{other}-A in nats"),
            ],
            None => ["no steps in common".to_owned(), "none in common".to_owned()],
        };
        let text = words::worded(&texts, self.map.width.into(), self.theme);
        self.put(buf, self.area.y, self.name, "layer", self.theme.header);
        self.put(buf, self.area.y, self.map, &text, self.theme.header);
        self.numbers(buf, self.area.y, |column| {
            // Until finer steps arrive, a sum covers some extra steps.
            let gap = if self.is_gap(column) { "?" } else { "" };
            Some((format!("{}{gap}", column.title), self.theme.header))
        });
    }

    /// Whether a difference is missing because the runs' steps do not match.
    fn is_gap(&self, column: &Column) -> bool {
        let stretches = &self.stretches[column.part as usize];
        let Of::Difference(run) = column.of else {
            return false;
        };
        let both = !stretches[0].is_empty() && !stretches[run].is_empty();
        both && column.part != Part::Whole && stretches[0].steps() != stretches[run].steps()
    }

    fn layer(&self, y: u16, row: &[Option<usize>], buf: &mut Buffer) {
        let Some(named) = self.named(row) else { return };
        let runs = self.comparison.runs.iter().zip(row);
        let sizes = runs.filter_map(|(run, layer)| run.header.layout.layers.get((*layer)?));
        let other_shape = sizes
            .map(|layer| layer.range.len())
            .any(|size| size != named.range.len());
        let mark = if other_shape { "*" } else { "" };
        let width = usize::from(self.name.width).saturating_sub(mark.len());
        let name = elided(&named.name, width, self.theme) + mark;
        let style = if row[0] == Some(self.app.nav.layer) {
            self.theme.selected
        } else {
            Style::default()
        };
        self.put(buf, y, self.name, &name, style);
        self.sums(buf, y, &self.signed(), |run, stretch| {
            Some(stretch.layer_sums(row[run]?).lca)
        });
    }

    /// Styles LCA, and differences of any kind, by their sign; a standard error has none.
    fn signed(&self) -> impl Fn(&Column, f64) -> Style + use<'a> {
        let theme = self.theme;
        move |column, value| match column.of {
            Of::Error(_) => theme.dim,
            _ => theme.of_sign(value),
        }
    }

    /// Draws differences as colours, or as glyphs of their sign and magnitude.
    fn map_row(&self, y: u16, values: &[f64], max: f64, buf: &mut Buffer) {
        let scale = words::signed_scale(&self.app.nav, max);
        for (x, &value) in (self.map.x..self.map.right()).zip(values) {
            let unit = scale.to_signed_unit(max, value).unwrap_or(f64::NAN);
            let (symbol, style) = self.theme.signed_cell(unit);
            buf[(x, y)].set_char(symbol).set_style(style);
        }
    }

    /// Draws the sum of LCA, the change of the loss and the residual: of all runs, and their differences.
    fn closing_rows(&self, buf: &mut Buffer) {
        let y = self.area.bottom() - 3;
        let delta = either(self.theme, "Δloss", "dloss");
        for (y, name) in (y..).zip(["sum LCA", delta, "residual"]) {
            self.put(buf, y, self.name, name, self.theme.header);
        }
        let residual = |column: &Column, _| match column.of {
            Of::Run(run) => {
                let stretch = &self.stretches[column.part as usize][run];
                residual_style(self.comparison.runs[run], self.theme, stretch)
            }
            _ => self.theme.dim,
        };
        // A difference compares two runs, so its sign has a colour; a run's own change of the loss has none.
        let change = |column: &Column, value| {
            if column.is_difference() {
                self.theme.of_sign(value)
            } else {
                Style::default()
            }
        };
        self.sums(buf, y, &self.signed(), |_, stretch| {
            Some(stretch.total_sums().lca)
        });
        self.sums(buf, y + 1, &change, |_, stretch| {
            Some(stretch.loss_change())
        });
        self.sums(buf, y + 2, &residual, |_, stretch| Some(stretch.residual()));
        let params = |run: usize, layer: usize| {
            self.comparison.runs[run].header.layout.layers[layer]
                .range
                .len()
        };
        let resized = self.layers.iter().any(|row| {
            let there = row.iter().enumerate();
            let mut sizes = there.filter_map(|(run, layer)| Some(params(run, (*layer)?)));
            let first = sizes.next();
            sizes.any(|size| Some(size) != first)
        });
        if resized {
            let text = "* different number of parameters";
            self.put(buf, y, self.map, text, self.theme.dim);
        }
    }

    /// Draws a row of numbers; `of` returns that of a run over some steps.
    fn sums(
        &self,
        buf: &mut Buffer,
        y: u16,
        style: &dyn Fn(&Column, f64) -> Style,
        of: impl Fn(usize, &Stretch) -> Option<f64>,
    ) {
        self.numbers(buf, y, |column| {
            let stretches = &self.stretches[column.part as usize];
            let value = |run: usize| {
                let stretch = &stretches[run];
                of(run, stretch).filter(|_| !stretch.is_empty())
            };
            let mean = |group: usize| {
                let runs = self.comparison.groups[group].iter();
                Mean::of(&runs.filter_map(|&run| value(run)).collect::<Vec<f64>>())
            };
            let value = match column.of {
                Of::Run(run) => value(run)?,
                Of::Difference(_) if self.is_gap(column) => return None,
                Of::Difference(run) => value(run)? - value(0)?,
                Of::Mean(group) => mean(group).mean,
                Of::Error(group) => mean(group).error,
                Of::MeanDifference(group) => mean(group).mean - mean(0).mean,
            };
            let text = if value.is_nan() {
                "-".to_owned()
            } else {
                format_signed(value, usize::from(NUMBER) - 2)
            };
            Some((text, style(column, value)))
        });
    }

    fn numbers(&self, buf: &mut Buffer, y: u16, text: impl Fn(&Column) -> Option<(String, Style)>) {
        let mut end = self.map.right();
        for column in &self.columns {
            end = end.saturating_add(NUMBER);
            if let Some((text, style)) = text(column) {
                let width = words::width_of(&text).min(NUMBER);
                let x = end - width;
                self.put(
                    buf,
                    y,
                    Rect {
                        x,
                        width,
                        ..self.area
                    },
                    &text,
                    style,
                );
            }
        }
    }

    fn put(&self, buf: &mut Buffer, y: u16, column: Rect, text: &str, style: Style) {
        let cell = Rect {
            y,
            height: 1,
            ..column
        };
        let cell = cell.intersection(self.area);
        let width = words::width_of(text).min(cell.width);
        Span::styled(text, style).render(Rect { width, ..cell }, buf);
    }
}

/// The title of the columns about the step at the cursor.
fn at_cursor(comparison: &Comparison) -> String {
    let cursor = comparison.cursor();
    cursor.map_or_else(|| "cursor".to_owned(), |step| format!("at {step}"))
}

/// The columns of two runs.
fn columns_of_two(comparison: &Comparison, width: u16) -> Vec<Column> {
    let (a, b, difference) = (Of::Run(0), Of::Run(1), Of::Difference(1));
    let mut columns = vec![
        Column::new("A view", a, Part::View),
        Column::new("B view", b, Part::View),
        Column::new("B-A", difference, Part::View),
        Column::new(at_cursor(comparison), difference, Part::Cursor),
        Column::new("B-A whole", difference, Part::Whole),
    ];
    if width >= 150 {
        columns.insert(4, Column::new("A whole", a, Part::Whole));
        columns.insert(5, Column::new("B whole", b, Part::Whole));
        columns.insert(3, Column::new("A cursor", a, Part::Cursor));
        columns.insert(4, Column::new("B cursor", b, Part::Cursor));
    }
    columns
}

/// The columns of more than two runs, as many as fit: the first run, then the differences of all others, or of those
/// around the selected one; then more about the selected one, and the runs themselves.
fn columns_of_many(comparison: &Comparison, most: usize) -> Vec<Column> {
    let others = comparison.runs.len() - 1;
    let selected = comparison.selected;
    let fit = others.min(most - 1);
    let from = 1 + words::scrolled(selected - 1, fit, others);
    let difference = |run: usize, part| {
        let title = match part {
            Part::View => format!("{}-A", letter(run)),
            Part::Cursor => format!("{}-A cur.", letter(run)),
            Part::Whole => format!("{}-A whole", letter(run)),
        };
        Column::new(title, Of::Difference(run), part)
    };
    let view = |run: usize| Column::new(format!("{} view", letter(run)), Of::Run(run), Part::View);
    let mut columns = vec![view(0)];
    columns.extend((from..from + fit).map(|run| difference(run, Part::View)));
    columns.push(difference(selected, Part::Whole));
    columns.push(difference(selected, Part::Cursor));
    columns.extend((1..=others).map(view));
    columns.truncate(most);
    columns
}

/// The columns of means over runs of one configuration, as many as fit.
fn mean_columns(comparison: &Comparison, most: usize, theme: &Theme) -> Vec<Column> {
    let mut columns = Vec::new();
    for (group, runs) in comparison.groups.iter().enumerate() {
        let name = group_name(runs);
        columns.push(Column::new(&name, Of::Mean(group), Part::View));
        if runs.len() > 1 {
            let title = format!("{name} {}", either(theme, "±", "+-"));
            columns.push(Column::new(title, Of::Error(group), Part::View));
        }
        if group > 0 {
            let title = format!("{}-A", letter(runs[0]));
            columns.push(Column::new(title, Of::MeanDifference(group), Part::View));
        }
    }
    columns.truncate(most);
    columns
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        any_glyphs, app, app_of, framed, header, odd_allocations, row, text, theme,
    };
    use super::*;
    use crate::app::{Action, Other};
    use crate::record::RunHeader;
    use crate::tui::theme::{ColorLevel, Glyphs};
    use proptest::prelude::*;

    fn compared(first: App, second: App) -> App {
        let mut app = first;
        let other = Other {
            model: second.model,
            name: "b.h5".to_owned(),
        };
        app.compare_with("a.h5", vec![other]);
        app
    }

    #[test]
    fn the_difference_closes_over_the_steps_that_both_have() {
        let one: Vec<f64> = (0..100).map(|t| -0.02 / f64::from(t + 1)).collect();
        let two: Vec<f64> = (0..60).map(|t| -0.03 / f64::from(t + 1)).collect();
        // Layers contribute a, −a/2 and a: 1.5 a in total; the residual is 1e-4 a step in both.
        let sum = |list: &[f64]| 1.5 * list.iter().sum::<f64>();
        let (a, b) = (sum(&one[..60]), sum(&two));
        let mut app = compared(app(3, &one), app(3, &two));
        app.act(Action::Move(-60));
        for (width, height) in [(80, 24), (120, 40)] {
            let screen = text(&app, width, height, &theme());
            let numbers = |name: &str| -> Vec<f64> {
                let words = row(&screen, name);
                words.iter().filter_map(|word| word.parse().ok()).collect()
            };
            let close = |a: f64, b: f64| (a - b).abs() <= 6e-3 * b.abs() + 1e-9;
            let lca = numbers("sum LCA");
            let whole = b - sum(&one);
            let at = 1.5 * (two[39] - one[39]);
            for (number, expected) in lca.iter().zip([a, b, b - a, at, whole]) {
                assert!(close(*number, expected), "{number} {expected}\n{screen}");
            }
            assert_eq!(lca.len(), 5, "{screen}");
            let change = numbers("Δloss");
            assert!(close(change[0], a + 60.0 * 1e-4), "{screen}");
            assert!(close(change[2], b - a), "{screen}");
            let residual = numbers("residual");
            assert!(close(residual[0], 60.0 * 1e-4), "{screen}");
            assert!(screen.contains("step 39"), "{screen}");
            assert!(
                screen.contains("B-A in nats, steps 0-59") || width < 100,
                "{screen}"
            );
        }
        let screen = text(&app, 200, 60, &theme());
        assert!(
            screen.contains("A whole") && screen.contains("B cursor"),
            "{screen}"
        );
        app.act(Action::Back);
        let screen = text(&app, 80, 24, &theme());
        assert!(!screen.contains("B-A"), "back to one run: {screen}");
    }

    #[test]
    fn different_layers_and_the_same_run_are_reported() {
        let same = compared(app(2, &[-0.1, -0.2]), app(2, &[-0.1, -0.2]));
        let screen = text(&same, 120, 30, &theme());
        assert!(screen.contains("the same run twice"), "{screen}");
        let more = compared(app(3, &[-0.1]), app(2, &[-0.1, -0.2]));
        let screen = text(&more, 120, 30, &theme());
        assert!(screen.contains("only in A"), "{screen}");
        let fewer = compared(app(2, &[-0.1]), app(3, &[]));
        let screen = text(&fewer, 120, 30, &theme());
        assert!(screen.contains("only in B"), "{screen}");
        assert!(screen.contains("no steps in common"), "{screen}");
        let ascii = Theme::new(ColorLevel::None, Glyphs::Ascii);
        assert!(text(&more, 120, 30, &ascii).is_ascii());
        let of_few = RunHeader {
            lca_index: vec![1, 2],
            ..header(2)
        };
        let other = compared(app(2, &[-0.1]), app_of(of_few, &[-0.2]));
        for screen in [(80, 24), (200, 60)].map(|(w, h)| text(&other, w, h, &theme())) {
            assert!(screen.contains("  different examples\n"), "{screen}");
        }
        assert!(!text(&same, 200, 60, &theme()).contains("different examples"));
    }

    /// Four runs of three layers: two of one configuration, and two others.
    fn four() -> (App, [Vec<f64>; 4]) {
        let lca = [-0.02, -0.03, -0.01, -0.005];
        let steps = [60, 50, 80, 40];
        let list = |run: usize| -> Vec<f64> {
            let step = |t: u32| lca[run] / f64::from(t + 1);
            (0..steps[run]).map(step).collect()
        };
        let lists = [0, 1, 2, 3].map(list);
        let mut first = app(3, &lists[0]);
        let others = [1, 2, 3].map(|run| {
            let mut header = header(3);
            header.seed = run as u64;
            header.config = match run {
                1 => "seed = 1".to_owned(),
                _ => format!("seed = {run}\nlearning_rate = 0.{run}"),
            };
            Other {
                model: app_of(header, &lists[run]).model,
                name: format!("run-{run}.h5"),
            }
        });
        first.compare_with("run-0.h5", others.into());
        (first, lists)
    }

    #[test]
    fn differences_of_many_runs_close_over_the_steps_that_all_have() {
        let (mut app, lists) = four();
        // Layers contribute a, −a/2 and a: 1.5 a in total.
        let sums = lists
            .each_ref()
            .map(|list| 1.5 * list[..40].iter().sum::<f64>());
        let numbers = |screen: &str, name: &str| -> Vec<f64> {
            let words = row(screen, name);
            words.iter().filter_map(|word| word.parse().ok()).collect()
        };
        let close = |a: f64, b: f64| (a - b).abs() <= 6e-3 * b.abs() + 1e-9;
        let screen = text(&app, 120, 40, &theme());
        let expected = [
            sums[0],
            sums[1] - sums[0],
            sums[2] - sums[0],
            sums[3] - sums[0],
        ];
        let shown = numbers(&screen, "sum LCA");
        for (number, expected) in shown.iter().zip(expected) {
            assert!(close(*number, expected), "{number} {expected}\n{screen}");
        }
        for word in ["A view", "B-A ", "C-A ", "D-A ", "B-A in nats"] {
            assert!(screen.contains(word), "{word}\n{screen}");
        }
        assert!(screen.contains("C: lr=0.2"), "{screen}");
        app.act(Action::NextClass);
        let screen = text(&app, 200, 50, &theme());
        assert!(screen.contains("C-A in nats, steps 0-39"), "{screen}");
        assert!(
            screen.contains("D view") && screen.contains("C-A whole"),
            "{screen}"
        );
        // Few columns fit: the selected run's is among them.
        let screen = text(&app, 60, 30, &theme());
        assert!(screen.contains("C-A "), "{screen}");

        app.act(Action::Pool);
        let screen = text(&app, 200, 50, &theme());
        let mean = f64::midpoint(sums[0], sums[1]);
        let error = (sums[0] - sums[1]).abs() / 2.0;
        let expected = [
            mean,
            error,
            sums[2],
            sums[2] - mean,
            sums[3],
            sums[3] - mean,
        ];
        let shown = numbers(&screen, "sum LCA");
        assert_eq!(shown.len(), expected.len(), "{screen}");
        for (number, expected) in shown.iter().zip(expected) {
            assert!(close(*number, expected), "{number} {expected}\n{screen}");
        }
        assert!(screen.contains("Ax2"), "{screen}");
    }

    #[test]
    fn charts_of_many_runs_take_turns_on_a_narrow_screen() {
        let (mut app, _) = four();
        let titles = ["training loss", "held-out loss", "LCA of block0.conv0"];
        let shown = |app: &mut App| {
            app.act(Action::Focus);
            let screen = text(app, 80, 24, &theme());
            titles.map(|title| screen.contains(title))
        };
        assert_eq!(shown(&mut app), [true, false, false]);
        assert_eq!(shown(&mut app), [false, true, false]);
        assert_eq!(shown(&mut app), [false, false, true]);
        assert_eq!(shown(&mut app), [false, false, false]);
        let screen = text(&app, 160, 40, &theme());
        assert!(
            titles.iter().all(|title| screen.contains(title)),
            "{screen}"
        );
    }

    #[test]
    fn sixteen_runs_have_sixteen_letters() {
        let mut first = app(3, &[-0.1, -0.2]);
        let other = |run: u32| Other {
            model: app(3, &[-0.1, -0.1 * f64::from(run)]).model,
            name: format!("a-long-name-of-a-run-{run}.h5"),
        };
        first.compare_with("a-long-name-of-a-run-0.h5", (1..16).map(other).collect());
        for size in [(60, 16), (80, 24), (120, 40), (200, 60)] {
            for glyphs in [Glyphs::Braille, Glyphs::Ascii] {
                let theme = Theme::new(ColorLevel::Ansi16, glyphs);
                let screen = text(&first, size.0, size.1, &theme);
                let line = screen.lines().nth(2).unwrap();
                for run in 0..16 {
                    let there = line.split(' ').any(|word| word == letter(run));
                    assert!(there, "{run}: {screen}");
                }
                assert!(glyphs != Glyphs::Ascii || screen.is_ascii(), "{screen}");
            }
        }
        for _ in 0..20 {
            first.act(Action::NextClass);
            first.act(Action::Pool);
            first.act(Action::Focus);
            text(&first, 120, 40, &theme());
        }
    }

    #[test]
    fn keys_act_only_on_the_comparison() {
        let mut app = compared(app(3, &[-0.1, -0.2]), app(3, &[-0.1, -0.3]));
        app.nav.comparing = false;
        for action in [Action::Enter, Action::Enter] {
            app.act(action);
        }
        let place = |app: &App| {
            let nav = &app.nav;
            (nav.depth, nav.unit, nav.parameter, nav.screen)
        };
        let below = place(&app);
        app.act(Action::Compare);
        for action in [
            Action::Select(1),
            Action::Focus,
            Action::Pool,
            Action::NextClass,
            Action::NextTraced,
        ] {
            app.act(action);
        }
        assert_eq!(place(&app), below);
        assert_eq!(
            (app.nav.layer, app.nav.focus, app.nav.one_layer),
            (1, 0, false)
        );
        assert!(app.nav.comparing);
        app.act(Action::Back);
        assert_eq!(app.nav.depth, below.0, "back to where it was");
        app.act(Action::Compare);
        app.act(Action::Enter);
        let inside = (app.nav.comparing, app.nav.depth);
        assert_eq!(inside, (false, crate::app::Depth::Layer(1)));
    }

    #[test]
    fn colours_say_what_numbers_are_and_units_stand_beside_them() {
        let theme = theme();
        let mut first = app(2, &[-0.1, -0.2]);
        let tolerance = |app: &mut App, tolerance| {
            let mut header = (*app.model.header).clone();
            header.tolerance = tolerance;
            app.model.header = std::sync::Arc::new(header);
        };
        tolerance(&mut first, 1.0);
        let mut second = app(2, &[-1e-6, -2e-6]);
        tolerance(&mut second, 1e-9);
        let app = compared(first, second);
        let (buf, _) = framed(&app, (120, 30), &theme, draw);
        let lines: Vec<String> = (0..30)
            .map(|y| (0..120).map(|x| buf[(x, y)].symbol()).collect())
            .collect();
        let row = |name: &str| lines.iter().position(|line| line.contains(name)).unwrap();
        let colour = |y: usize, from_right: u16| {
            let x = 118 - from_right * NUMBER;
            buf[(x, u16::try_from(y).unwrap())].fg
        };
        let fg = |style: Style| style.fg.unwrap_or_default();
        // A, B and B-A in view, at the cursor, whole.
        assert_eq!(colour(row("sum LCA"), 4), fg(theme.help));
        assert_eq!(
            colour(row("Δloss"), 4),
            Style::default().fg.unwrap_or_default()
        );
        assert_eq!(colour(row("Δloss"), 2), fg(theme.hurt), "B lowers it less");
        assert_eq!(colour(row("residual"), 4), fg(theme.dim));
        assert_eq!(
            colour(row("residual"), 3),
            fg(theme.warning),
            "its own tolerance"
        );
        let pens = [pen(&theme, 0), pen(&theme, 1)];
        for (pen, run) in pens.into_iter().zip(["A a.h5", "B b.h5"]) {
            let before = lines[0].split(run).next().unwrap().chars().count();
            let cell = &buf[(u16::try_from(before).unwrap(), 0)];
            assert_eq!(cell.fg, fg(pen.style));
            assert_ne!(cell.fg, fg(theme.held_out));
        }
        assert!(lines[1].contains("in nats"), "{}", lines[1]);
        assert!(lines.iter().any(|line| line.contains("B-A in nats")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn nothing_panics(
            width in 1u16..260,
            height in 1u16..90,
            layers in (0usize..9, 0usize..9),
            one in odd_allocations(),
            two in odd_allocations(),
            glyphs in any_glyphs(),
            moves in prop::collection::vec(-60i64..60, 0..4),
        ) {
            let mut app = compared(app(layers.0, &one), app(layers.1, &two));
            for steps in moves {
                app.act(Action::Move(steps));
                app.act(Action::ZoomIn);
                app.act(Action::Select(steps));
            }
            text(&app, width, height, &Theme::new(ColorLevel::Ansi16, glyphs));
        }
    }
}
