//! Two runs on one axis, and their difference by layer: the second run's LCA minus the first's.
//!
//! ```text
//!  A a.h5 400 steps   B b.h5 200 steps   B-A < 0: B lowers the loss more
//!  step 120  loss in nats: A 0.31201  B 0.35410  B-A +0.0421
//!  loss of both                            │ LCA of the selected layer in both
//!  layer    B-A in nats, steps 0-199           A view    B view   B-A    at 120   whole
//!  fc1      ▒▒░░''░░▒▒                     -0.812    -0.750  +0.062  +1.2e-5  +0.081
//!  fc9      only in A                      -0.2
//!  sum LCA                                 -1.327    -1.200  +0.127
//!  Δloss                                   -1.327    -1.200  +0.127
//!  residual                               +1.2e-5   +1.1e-5  -1e-6
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::sheet::residual_style;
use super::words::{self, either, elided};
use crate::analysis::bins::Extent;
use crate::analysis::numbers::format_signed;
use crate::analysis::scale::{Domain, Scale};
use crate::app::{App, Both, Comparison, Pairs, RunModel, Stretch};
use crate::tui::frame::{Frame, Hit};
use crate::tui::theme::Theme;
use crate::tui::widget::{LineChart, Pen, Series};

/// Width of a number's column, with a blank before it.
const NUMBER: u16 = 10;
/// The heading and the three closing rows of the table.
const FIXED_ROWS: u16 = 4;

/// The pens of the two runs, unlike those of the training and the held-out loss on other screens.
fn pens(theme: &Theme) -> [Pen; 2] {
    [theme.category(0), theme.category(1)]
}

/// Height of the table, leaving room for the two lines above it and for the charts.
fn table_height(area: Rect, pairs: &Pairs) -> u16 {
    let layers = pairs.both.len() + pairs.only_first.len() + pairs.only_second.len();
    let rows = u16::try_from(layers).unwrap_or(u16::MAX);
    let charts = (area.height * 3 / 10).max(4);
    let most = area.height.saturating_sub(2 + charts);
    rows.saturating_add(FIXED_ROWS).min(most)
}

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let Some(comparison) = app.compared() else {
        return;
    };
    let pairs = comparison.layer_pairs();
    let table = table_height(area, &pairs);
    let rows = [Length(1), Length(1), Fill(1), Length(table)];
    let [names, losses, charts, table] = Layout::vertical(rows).areas(area);
    frame.render(runs(&comparison, theme, area.width), names);
    frame.render(losses_at_cursor(&comparison, theme), losses);
    draw_charts(charts, frame.buffer, (app, &comparison), &pairs, theme);
    Table::new(table, app, comparison, theme).draw(&pairs, frame);
}

/// The line that names the runs, with caveats about comparing their numbers.
fn runs(comparison: &Comparison, theme: &Theme, width: u16) -> Line<'static> {
    let Comparison { first, second, .. } = comparison;
    let run = |mark: &'static str, name: &str, run: &RunModel| {
        let end = run.timeline.end();
        let name = elided(name, 28, theme);
        format!("{mark} {name} {end} steps")
    };
    let names = [
        run("A", &comparison.names[0], first),
        run("B", &comparison.names[1], second),
    ];
    let mut parts: Vec<(u8, String)> = names.iter().map(|name| (0, name.clone())).collect();
    if comparison.same_run() {
        parts.push((1, "the same run twice".to_owned()));
    } else if first.header.network != second.header.network {
        let (a, b) = (&first.header.network, &second.header.network);
        parts.push((1, format!("different networks: {a} and {b}")));
    }
    parts.push((2, "B-A < 0: B lowers the loss more".to_owned()));
    let trouble = second.message();
    if !trouble.is_empty() {
        parts.insert(0, (0, format!("B: {trouble}")));
    }
    let room = usize::from(width).saturating_sub(2);
    let between = either(theme, " · ", " | ");
    let text = words::fitting(parts, between, room);
    let mut spans = vec![Span::raw(" ")];
    for (place, part) in text.split(between).enumerate() {
        let run = names.iter().position(|name| name == part);
        let style = run.map_or(theme.header, |run| pens(theme)[run].style);
        let before = if place > 0 { between } else { "" };
        spans.push(Span::styled(before, theme.dim));
        spans.push(Span::styled(part.to_owned(), style));
    }
    Line::from(spans)
}

/// The losses of both runs at the cursor.
fn losses_at_cursor(comparison: &Comparison, theme: &Theme) -> Line<'static> {
    let Comparison { first, second, .. } = comparison;
    let Some(step) = comparison.cursor() else {
        return Line::styled(" A has no steps yet", theme.dim);
    };
    let loss = |run: &RunModel| {
        let entry = run.timeline.entry(step).filter(|entry| entry.steps() == 1);
        entry.map(|entry| entry.loss_after)
    };
    let (a, b) = (loss(first), loss(second));
    let word = |loss: Option<f64>| loss.map_or_else(|| "-".to_owned(), words::loss);
    let mut spans = vec![
        Span::styled(format!(" step {step}"), theme.header),
        Span::raw(format!("  loss in nats: A {}  B {}", word(a), word(b))),
    ];
    if let Some((a, b)) = a.zip(b) {
        let difference = format_signed(b - a, 8);
        let style = theme.of_sign(b - a);
        spans.push(Span::raw("  B-A "));
        spans.push(Span::styled(difference.trim_start().to_owned(), style));
    }
    if first.header.allocated_examples() != second.header.allocated_examples() {
        spans.push(Span::styled("  different examples", theme.warning));
    }
    let end = second.timeline.end();
    if step >= end {
        spans.push(Span::styled(format!(" (B has {end} steps)"), theme.dim));
    }
    Line::from(spans)
}

/// Draws the losses and, if there is room, the LCA of the selected layer.
fn draw_charts(
    area: Rect,
    buf: &mut Buffer,
    (app, comparison): (&App, &Comparison),
    pairs: &Pairs,
    theme: &Theme,
) {
    let losses = |stretch: &Stretch, axis: &std::ops::Range<u64>, columns| {
        stretch.columns_on(axis, columns).train_loss()
    };
    let layer = app.nav.layer;
    let chart = |area: Rect, buf: &mut Buffer, of_layer: Option<Option<usize>>| {
        let both = comparison.both(&comparison.steps());
        let axis = both.steps();
        if axis.is_empty() || area.is_empty() {
            return;
        }
        let columns = LineChart::plot_columns(area, theme.glyphs);
        let [a, b]: [Vec<Option<Extent>>; 2] = match of_layer {
            None => [&both.first, &both.second].map(|it| losses(it, &axis, columns)),
            Some(second) => [
                both.first.columns_on(&axis, columns).layer(layer),
                second.map_or_else(Vec::new, |second| {
                    both.second.columns_on(&axis, columns).layer(second)
                }),
            ],
        };
        let b = if b.is_empty() { vec![None; columns] } else { b };
        let ends = a.iter().chain(&b).flatten();
        let domain = Domain::of(ends.flat_map(|e| [f64::from(e.min), f64::from(e.max)]));
        let series = |name, pen, extents| Series { name, pen, extents };
        let [pen_a, pen_b] = pens(theme);
        let largest = domain.min().abs().max(domain.max().abs());
        let n = usize::try_from(axis.end - axis.start).unwrap_or(usize::MAX);
        let cursor = comparison.cursor();
        let cursor = cursor.filter(|step| axis.contains(step) && !app.nav.window.follows());
        let place = |step: u64| usize::try_from(step - axis.start).unwrap_or(0);
        let chart = LineChart {
            theme,
            series: &[series("B", pen_b, &b[..]), series("A", pen_a, &a[..])],
            scale: match (app.nav.linear, of_layer) {
                (true, None) => Scale::Linear,
                (false, None) => Scale::Log,
                (_, Some(_)) => words::signed_scale(&app.nav, largest),
            },
            domain,
            unit: "nats",
            steps: axis.clone(),
            cursor: cursor
                .map(|step| crate::analysis::bins::column_of(place(step), n, columns).start),
        };
        chart.render(area, buf);
    };
    let named = app.model.header.layout.layers.get(layer);
    let name = named.map(|layer| layer.name.as_str());
    let Some(name) = name.filter(|_| area.width >= 100) else {
        return chart(area, buf, None);
    };
    let half = area.width / 2;
    let [left, right] = Layout::horizontal([Length(half), Fill(1)]).areas(area);
    let title = |area: Rect, text: String, buf: &mut Buffer| {
        let [line, below] = Layout::vertical([Length(1), Fill(1)]).areas(area);
        Line::styled(text, theme.header).render(line, buf);
        below
    };
    let left = title(left, " training loss".to_owned(), buf);
    chart(left, buf, None);
    let name = elided(name, usize::from(half / 2), theme);
    let right = title(right, format!(" LCA of {name} per step"), buf);
    chart(right, buf, Some(pairs.second(layer)));
}

/// The run that a column of numbers describes, or the difference of both.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    First,
    Second,
    Difference,
}

struct Column<'a> {
    title: String,
    of: Of,
    steps: Both<'a>,
}

impl Column<'_> {
    /// A number of either run, or the difference of both. `None` where a run lacks the number, or for a difference if
    /// the two runs' steps do not match, unless `whole_runs` are compared.
    fn number(&self, (first, second): (Option<f64>, Option<f64>), whole_runs: bool) -> Option<f64> {
        let a = first.filter(|_| !self.steps.first.is_empty());
        let b = second.filter(|_| !self.steps.second.is_empty());
        match self.of {
            Of::First => a,
            Of::Second => b,
            Of::Difference if whole_runs || self.steps.agree() => Some(b? - a?),
            Of::Difference => None,
        }
    }
}

/// The table of both runs' layers, with its closing rows.
struct Table<'a> {
    area: Rect,
    app: &'a App,
    comparison: Comparison<'a>,
    theme: &'a Theme,
    columns: Vec<Column<'a>>,
    name: Rect,
    map: Rect,
}

impl<'a> Table<'a> {
    fn new(area: Rect, app: &'a App, comparison: Comparison<'a>, theme: &'a Theme) -> Self {
        let common = comparison.common_steps();
        let cursor = comparison.cursor();
        let step = cursor.map_or(0..0, |step| step..step + 1);
        let at = cursor.map_or_else(|| "cursor".to_owned(), |step| format!("at {step}"));
        let all = 0..app.shown_steps().end.max(comparison.second.timeline.end());
        let column = |title: &str, of, steps: &std::ops::Range<u64>| Column {
            title: title.to_owned(),
            of,
            steps: comparison.both(steps),
        };
        let (first, second, difference) = (Of::First, Of::Second, Of::Difference);
        let mut columns = vec![
            column("A view", first, &common),
            column("B view", second, &common),
            column("B-A", difference, &common),
            column(&at, difference, &step),
            column("B-A whole", difference, &all),
        ];
        if area.width >= 150 {
            columns.insert(4, column("A whole", first, &all));
            columns.insert(5, column("B whole", second, &all));
            columns.insert(3, column("A cursor", first, &step));
            columns.insert(4, column("B cursor", second, &step));
        }
        let Comparison { first, second, .. } = comparison;
        let layers = first.header.layout.layers.iter();
        let layers = layers.chain(&second.header.layout.layers);
        let longest = layers.map(|layer| layer.name.chars().count()).max();
        let longest = u16::try_from(longest.unwrap_or(0)).unwrap_or(u16::MAX);
        let numbers = NUMBER * u16::try_from(columns.len()).unwrap_or(0);
        let spare = area.width.saturating_sub(numbers + 2);
        let name = longest.clamp(8, (area.width / 5).max(8)).min(spare);
        let map = spare.saturating_sub(name + 1);
        let parts = [1, name, 1, map].map(Length);
        let [_, name, _, map] = Layout::horizontal(parts).areas(area);
        Self {
            area,
            app,
            comparison,
            theme,
            columns,
            name,
            map,
        }
    }

    fn draw(&self, pairs: &Pairs, frame: &mut Frame) {
        if self.area.height <= FIXED_ROWS {
            return;
        }
        self.headings(frame.buffer);
        let listed = self.listed(pairs);
        let fit = usize::from(self.area.height - FIXED_ROWS).min(listed.len());
        let layer = Some(self.app.nav.layer);
        let selected = listed.iter().position(|(a, _)| *a == layer);
        let from = words::scrolled(selected.unwrap_or(0), fit, listed.len());
        let both = self.comparison.both(&self.comparison.common_steps());
        let cells = both.columns(usize::from(self.map.width));
        let shown = &listed[from..from + fit];
        let differences: Vec<Vec<f64>> = (shown.iter())
            .map(|&(a, b)| match a.zip(b) {
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
        for ((line, &(a, b)), values) in lines.zip(&differences) {
            let (y, buf) = (line.y, &mut *frame.buffer);
            self.layer(y, (a, b), buf);
            match (a, b) {
                (Some(_), Some(_)) => self.map_row(y, values, max, buf),
                (Some(_), None) => self.put(buf, y, self.map, "only in A", self.theme.dim),
                _ => self.put(buf, y, self.map, "only in B", self.theme.dim),
            }
            if let Some(layer) = a {
                frame.hit(line, Hit::Row(layer));
            }
        }
        self.closing_rows(frame.buffer);
    }

    /// The layers of A as listed, each paired with its match in B; then those that only B has.
    fn listed(&self, pairs: &Pairs) -> Vec<(Option<usize>, Option<usize>)> {
        let listed = self.app.listed_layers().into_iter();
        let first = listed.map(|layer| (Some(layer), pairs.second(layer)));
        let names = &self.comparison.second.header.layout.layers;
        let second = pairs.only_second.iter();
        let second = second.filter(|&&layer| self.app.nav.passes(&names[layer].name));
        first
            .chain(second.map(|&layer| (None, Some(layer))))
            .collect()
    }

    fn headings(&self, buf: &mut Buffer) {
        let common = self.comparison.common_steps();
        let common = self.comparison.both(&common).steps();
        let texts = match common.end.checked_sub(1) {
            Some(last) => [
                format!("B-A in nats, steps {}-{last}", common.start),
                "B-A in nats".to_owned(),
            ],
            None => ["no steps in common".to_owned(), "none in common".to_owned()],
        };
        let text = words::worded(&texts, self.map.width.into(), self.theme);
        self.put(buf, self.area.y, self.name, "layer", self.theme.header);
        self.put(buf, self.area.y, self.map, &text, self.theme.header);
        self.numbers(buf, self.area.y, |column| {
            // Until finer steps arrive, a sum covers some extra steps.
            let Both { first, second } = &column.steps;
            let both = !first.is_empty() && !second.is_empty();
            let more = both && !column.steps.agree() && column.of == Of::Difference;
            let gap = if more && !column.title.ends_with("whole") {
                "?"
            } else {
                ""
            };
            Some((format!("{}{gap}", column.title), self.theme.header))
        });
    }

    fn layer(&self, y: u16, (a, b): (Option<usize>, Option<usize>), buf: &mut Buffer) {
        let Comparison { first, second, .. } = self.comparison;
        let of = |run: &'a RunModel, layer: Option<usize>| run.header.layout.layers.get(layer?);
        let (one, two) = (of(first, a), of(second, b));
        let Some(named) = one.or(two) else { return };
        let other_shape = one
            .zip(two)
            .is_some_and(|(a, b)| a.range.len() != b.range.len());
        let mark = if other_shape { "*" } else { "" };
        let width = usize::from(self.name.width).saturating_sub(mark.len());
        let name = elided(&named.name, width, self.theme) + mark;
        let style = if a == Some(self.app.nav.layer) {
            self.theme.selected
        } else {
            Style::default()
        };
        self.put(buf, y, self.name, &name, style);
        let lca = |stretch: &Stretch, layer: Option<usize>| {
            layer.map(|layer| stretch.layer_sums(layer).lca)
        };
        self.sums(buf, y, &self.signed(), |it| {
            (lca(&it.first, a), lca(&it.second, b))
        });
    }

    /// Styles LCA, and differences of any kind, by their sign.
    fn signed(&self) -> impl Fn(&Column<'a>, f64) -> Style + use<'a> {
        let theme = self.theme;
        move |_, value| theme.of_sign(value)
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

    /// Draws the sum of LCA, the change of the loss and the residual: of both runs, and their differences.
    fn closing_rows(&self, buf: &mut Buffer) {
        let y = self.area.bottom() - 3;
        let delta = either(self.theme, "Δloss", "dloss");
        for (y, name) in (y..).zip(["sum LCA", delta, "residual"]) {
            self.put(buf, y, self.name, name, self.theme.header);
        }
        let lca = |stretch: &Stretch| stretch.total_sums().lca;
        let Comparison { first, second, .. } = self.comparison;
        let residual = |column: &Column<'a>, _| match column.of {
            Of::First => residual_style(first, self.theme, &column.steps.first),
            Of::Second => residual_style(second, self.theme, &column.steps.second),
            Of::Difference => self.theme.dim,
        };
        // A difference compares the two runs, so its sign has a colour; a run's own change of the loss has none.
        let change = |column: &Column<'a>, value| match column.of {
            Of::First | Of::Second => Style::default(),
            Of::Difference => self.theme.of_sign(value),
        };
        self.sums(buf, y, &self.signed(), |it| {
            (Some(lca(&it.first)), Some(lca(&it.second)))
        });
        self.sums(buf, y + 1, &change, |it| {
            (Some(it.first.loss_change()), Some(it.second.loss_change()))
        });
        self.sums(buf, y + 2, &residual, |it| {
            (Some(it.first.residual()), Some(it.second.residual()))
        });
        let resized = self.comparison.layer_pairs().both.iter().any(|&(a, b)| {
            let params = |run: &RunModel, layer: usize| run.header.layout.layers[layer].range.len();
            params(first, a) != params(second, b)
        });
        if resized {
            let text = "* different number of parameters";
            self.put(buf, y, self.map, text, self.theme.dim);
        }
    }

    fn sums(
        &self,
        buf: &mut Buffer,
        y: u16,
        style: &dyn Fn(&Column<'a>, f64) -> Style,
        of: impl Fn(&Both) -> (Option<f64>, Option<f64>),
    ) {
        self.numbers(buf, y, |column| {
            let whole = column.title.ends_with("whole");
            let value = column.number(of(&column.steps), whole)?;
            let text = if value.is_nan() {
                "-".to_owned()
            } else {
                format_signed(value, usize::from(NUMBER) - 2)
            };
            Some((text, style(column, value)))
        });
    }

    fn numbers(
        &self,
        buf: &mut Buffer,
        y: u16,
        text: impl Fn(&Column<'a>) -> Option<(String, Style)>,
    ) {
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
        app.compare_with(Other {
            model: second.model,
            names: ["a.h5", "b.h5"].map(str::to_owned),
        });
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
        for (pen, run) in pens(&theme).into_iter().zip(["A a.h5", "B b.h5"]) {
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
