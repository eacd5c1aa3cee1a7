//! The table of a comparison: sums by layer of the runs and of their means, and their differences.

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::Length;
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Span;
use ratatui::widgets::Widget;

use super::super::sheet::residual_style;
use super::super::words::{self, either, elided};
use super::{FIXED_ROWS, group_name};
use crate::analysis::numbers::format_signed;
use crate::analysis::ttest::Mean;
use crate::app::{App, Comparison, Stretch};
use crate::layout::Layer;
use crate::runs::letter;
use crate::tui::frame::{Frame, Hit};
use crate::tui::theme::Theme;

/// Width of a number's column, with a blank before it.
pub(super) const NUMBER: u16 = 10;
/// The least width of the differences over the steps, with more than two runs.
const MAP: u16 = 14;

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

    /// Returns true if the number is the difference of two.
    fn is_difference(&self) -> bool {
        matches!(self.of, Of::Difference(_) | Of::MeanDifference(_))
    }
}

/// The table of all runs' layers, with its closing rows.
pub(super) struct Table<'a> {
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
    pub fn new(
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

    pub fn draw(&self, frame: &mut Frame) {
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
                    .map(|cell| cell.second.lca(b) - cell.first.lca(a))
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
    fn named(&self, row: &[Option<usize>]) -> Option<&'a Layer> {
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

    /// Returns true if a difference is missing because the runs' steps do not match.
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
            Some(stretch.lca(row[run]?))
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
            // A mean of fewer runs would be another number.
            let mean = |group: usize| {
                let runs = self.comparison.groups[group].iter();
                let values: Option<Vec<f64>> = runs.map(|&run| value(run)).collect();
                values.map(|values| Mean::of(&values))
            };
            let value = match column.of {
                Of::Run(run) => value(run)?,
                Of::Difference(_) if self.is_gap(column) => return None,
                Of::Difference(run) => value(run)? - value(0)?,
                Of::Mean(group) => mean(group)?.mean,
                Of::Error(group) => mean(group)?.error,
                Of::MeanDifference(group) => mean(group)?.mean - mean(0)?.mean,
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
