//! A table of numbers beside a chart: rows that scroll, and closing rows below them.
//!
//! ```text
//!  layer        cursor  in view      as many columns as fit, from the left
//!  █ fc1      -1.20e-3   -0.812      the symbol of the row in the chart
//!  ▓ fc2      -3.10e-4   -0.211
//!  1-2/9                             the rows in view, if there are more
//!  sum        -1.51e-3   -1.023
//!  residual   +3.10e-7 +1.20e-5
//! ```

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;
use ratatui::widgets::Widget;

use super::words::{self, either, elided, number, width_of};
use crate::app::{RunModel, Stretch};
use crate::tui::frame::{Frame, Hit};
use crate::tui::theme::Theme;

pub use super::words::NUMBER;

/// A text and its style.
pub type Cell = (String, Style);

/// A row: its mark, its name and its cells.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub mark: Option<(char, Style)>,
    pub name: String,
    pub style: Style,
    pub cells: Vec<Cell>,
}

/// A table.
pub struct Sheet<'a> {
    pub theme: &'a Theme,
    /// The heading of the names.
    pub title: &'a str,
    /// Headings over this many columns each; empty for no such line.
    pub groups: Vec<(String, usize)>,
    /// The headings of the columns, and their widths.
    pub columns: Vec<(String, u16)>,
    pub rows: Vec<Row>,
    /// The items that a click on the rows selects; empty if the rows are no list.
    pub items: Vec<usize>,
    pub selected: Option<usize>,
    pub closing: Vec<Row>,
}

/// The layout of a table.
struct Plan {
    /// Cells before the first column, and the number of columns shown.
    left: u16,
    count: usize,
    /// The rows in view.
    shown: Range<usize>,
    /// Whether a line tells which rows are in view.
    noted: bool,
}

impl Sheet<'_> {
    /// Cells before the first column.
    fn left(&self, name: u16) -> u16 {
        let marked = self.rows.iter().any(|row| row.mark.is_some());
        name + 1 + if marked { 2 } else { 0 }
    }

    /// Lays the table out; `None` if there is too little room.
    fn plan(&self, area: Rect) -> Option<Plan> {
        let grouped = u16::from(!self.groups.is_empty());
        let fixed = u16::try_from(self.closing.len() + 1)
            .unwrap_or(u16::MAX)
            .saturating_add(grouped);
        if area.height < fixed || area.width < 12 {
            return None;
        }
        let names = self.rows.iter().chain(&self.closing);
        let names = names.filter(|row| !row.cells.is_empty());
        let longest = names.map(|row| width_of(&row.name)).max();
        let longest = longest.unwrap_or(0).max(width_of(self.title));
        // Columns are dropped before names are cut to less than eight letters, and groups of columns only whole.
        let mut count = self.columns.len();
        let wide = |count: usize| {
            let widths = self.columns[..count].iter().map(|(_, width)| *width);
            widths.fold(0, u16::saturating_add)
        };
        let ends = self.groups.iter().scan(0, |end, (_, columns)| {
            *end += columns;
            Some(*end)
        });
        let ends: Vec<usize> = ends.collect();
        let room = |count: usize| self.left(longest.min(8)).saturating_add(wide(count));
        while count > 1 && room(count) > area.width {
            let group = ends.iter().rev().find(|&&end| end < count && end > 0);
            count = group.copied().unwrap_or(count - 1);
        }
        let left = self
            .left(longest)
            .min(area.width.saturating_sub(wide(count)));
        let rows = usize::from(area.height - fixed);
        let all = self.rows.len();
        // A line says so if rows are left out.
        let fit = if all > rows {
            rows.saturating_sub(1)
        } else {
            all
        };
        let first = words::scrolled(self.selected.unwrap_or(0), fit, all);
        Some(Plan {
            left,
            count,
            shown: first..first + fit,
            noted: fit < all && rows > 0,
        })
    }

    pub fn draw(&self, area: Rect, frame: &mut Frame) {
        let area = area.intersection(frame.buffer.area);
        let Some(Plan {
            left,
            count,
            shown,
            noted,
        }) = self.plan(area)
        else {
            return;
        };
        let titles = self.columns.iter().map(|(title, width)| {
            // Elide a title visibly: a number cut off in it would be another number.
            let title = elided(title, usize::from(*width), self.theme);
            (title, self.theme.header)
        });
        let head = Row {
            name: self.title.to_owned(),
            style: self.theme.header,
            cells: titles.collect(),
            mark: None,
        };
        let note = noted.then(|| Row {
            name: format!("{}-{}/{}", shown.start + 1, shown.end, self.rows.len()),
            style: self.theme.warning,
            ..Row::default()
        });
        let mut lines = area.rows();
        if !self.groups.is_empty() {
            let line = lines.next().unwrap_or_default();
            self.group_names(line, left, count, frame.buffer);
        }
        let listed = shown.map(|index| (Some(index), &self.rows[index]));
        let others = note.iter().chain(&self.closing).map(|row| (None, row));
        let rows = std::iter::once((None, &head)).chain(listed).chain(others);
        for (line, (index, row)) in lines.zip(rows) {
            let style = if index.is_some() && index == self.selected {
                self.theme.selected
            } else {
                row.style
            };
            self.row(row, style, line, (left, count), frame.buffer);
            if let Some(&item) = index.and_then(|index| self.items.get(index)) {
                frame.hit(line, Hit::Row(item));
            }
        }
    }

    fn group_names(&self, area: Rect, left: u16, count: usize, buf: &mut Buffer) {
        let mut widths = self.columns[..count].iter().map(|(_, width)| *width);
        let mut x = area.x + left;
        for (name, columns) in &self.groups {
            let width: u16 = widths.by_ref().take(*columns).sum();
            // A blank, as between numbers.
            let own = Rect::new(x + 1, area.y, width.saturating_sub(1), 1).intersection(area);
            let name = elided(name, own.width.into(), self.theme);
            Span::styled(
                format!("{name:^width$}", width = own.width.into()),
                self.theme.header,
            )
            .render(own, buf);
            x += width;
        }
    }

    fn row(
        &self,
        row: &Row,
        style: Style,
        area: Rect,
        (left, count): (u16, usize),
        buf: &mut Buffer,
    ) {
        let mut x = area.x;
        // A row without cells has the full width.
        let mut room = if row.cells.is_empty() {
            area.width
        } else {
            left.saturating_sub(1)
        };
        if let Some((mark, style)) = row.mark {
            buf.set_stringn(x, area.y, mark.to_string(), 1, style);
            x += 2;
            room = room.saturating_sub(2);
        }
        let name = elided(&row.name, room.into(), self.theme);
        Span::styled(name, style).render(Rect::new(x, area.y, room, 1).intersection(area), buf);
        let mut x = area.x + left;
        for ((_, width), (text, style)) in self.columns[..count].iter().zip(&row.cells) {
            // A number cut off would be another number.
            let text = if width_of(text) > *width {
                "#".repeat(usize::from(*width).saturating_sub(1))
            } else {
                text.clone()
            };
            let own = width_of(&text);
            let cell = Rect::new(x + width - own, area.y, own, 1).intersection(area);
            Span::styled(text, *style).render(cell, buf);
            x += width;
        }
    }
}

/// An LCA value in nats, in the colour of its sign; a hyphen for NaN.
pub fn nats(value: f64, theme: &Theme) -> Cell {
    (number(value), theme.of_sign(value))
}

/// A column with this title, and its width.
pub fn column(title: impl Into<String>) -> (String, u16) {
    let title = title.into();
    let width = NUMBER.max(width_of(&title).saturating_add(1));
    (title, width)
}

/// The closing rows, with a cell for each of these stretches of steps: the sum over the layers, the actual change of
/// the loss, and the residual between the two.
pub fn closing_rows(model: &RunModel, theme: &Theme, columns: &[&Stretch<'_>]) -> Vec<Row> {
    let row = |name: &str, cell: &dyn Fn(&Stretch<'_>) -> Cell| Row {
        name: name.to_owned(),
        style: theme.header,
        cells: columns.iter().map(|steps| cell(steps)).collect(),
        mark: None,
    };
    vec![
        row("sum LCA", &|steps| nats(steps.total_sums().lca, theme)),
        row(either(theme, "Δloss", "dloss"), &|steps| {
            (number(steps.loss_change()), Style::default())
        }),
        row("residual", &|steps| {
            (
                number(steps.residual()),
                residual_style(model, theme, steps),
            )
        }),
    ]
}

/// The style of a residual: a warning if the sum cannot be trusted, because the residual exceeds the run's tolerance
/// and, over several steps, also a hundredth of the change of the loss.
pub fn residual_style(model: &RunModel, theme: &Theme, steps: &Stretch<'_>) -> Style {
    let tolerance = model.header.tolerance;
    let limit = match steps.len() {
        0 | 1 => tolerance,
        _ => tolerance.max(steps.loss_change().abs() / 100.0),
    };
    // Written so that NaN is a warning too.
    if steps.residual().abs() <= limit && !steps.loss_change().is_nan() {
        theme.dim
    } else {
        theme.warning
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::view::testing::{app, framed, lines_of, plain, theme};

    fn drawn(width: u16, height: u16, rows: usize) -> Vec<String> {
        let theme = plain();
        let row = |name: String, value: f64| Row {
            name,
            cells: vec![nats(value, &theme), nats(-value, &theme)],
            ..Row::default()
        };
        let columns = vec![("cursor".to_owned(), NUMBER), ("window".to_owned(), NUMBER)];
        let sheet = Sheet {
            theme: &theme,
            title: "layer",
            groups: Vec::new(),
            columns,
            rows: (0..rows)
                .map(|n| row(format!("layer number {n}"), 0.5))
                .collect(),
            items: Vec::new(),
            selected: Some(rows - 1),
            closing: vec![row("sum".to_owned(), f64::NAN)],
        };
        let (buf, _) = framed(&app(0, &[]), (width, height), &theme, |area, frame| {
            sheet.draw(area, frame);
        });
        lines_of(&buf).lines().map(str::to_owned).collect()
    }

    #[test]
    fn small_tables_scroll_cut_names_and_drop_columns() {
        assert_eq!(
            drawn(34, 4, 2),
            [
                "layer             cursor   window",
                "layer number 0    +0.500   -0.500",
                "layer number 1    +0.500   -0.500",
                "sum                    -        -"
            ]
        );
        assert_eq!(drawn(28, 3, 1)[1], "layer ~ 0    +0.500   -0.500");
        assert_eq!(drawn(18, 3, 1)[1], "layer~ 0    +0.500");
        assert_eq!(
            drawn(34, 4, 9)[1..3],
            ["layer number 8    +0.500   -0.500", "9-9/9"]
        );
    }

    #[test]
    fn column_groups_are_dropped_whole_and_no_number_is_cut() {
        let theme = plain();
        let sheet = Sheet {
            theme: &theme,
            title: "layer",
            groups: ["cursor", "window"]
                .map(|name| (name.to_owned(), 2))
                .to_vec(),
            columns: ["train", "held-out", "train", "held-out"]
                .map(column)
                .to_vec(),
            rows: vec![Row {
                name: "fc1".to_owned(),
                cells: vec![
                    ("+0.500".to_owned(), Style::default()),
                    ("12345678901".to_owned(), Style::default()),
                    nats(-0.5, &theme),
                    nats(0.5, &theme),
                ],
                ..Row::default()
            }],
            items: vec![5],
            selected: None,
            closing: Vec::new(),
        };
        let lines = |width| -> Vec<String> {
            let (buf, _) = framed(&app(0, &[]), (width, 3), &theme, |area, frame| {
                sheet.draw(area, frame);
            });
            lines_of(&buf).lines().map(str::to_owned).collect()
        };
        assert_eq!(
            lines(34),
            [
                "            cursor",
                "layer     train held-out",
                "fc1      +0.500 ########",
            ],
            "half of the second group would have room"
        );
        assert!(lines(44)[1].ends_with("train held-out"));
        let (_, drawn) = framed(&app(0, &[]), (50, 20), &theme, |_, frame| {
            sheet.draw(Rect::new(3, 7, 44, 9), frame);
        });
        let row = Rect::new(3, 9, 44, 1);
        for at in Rect::new(0, 0, 50, 20).positions() {
            let hit = row.contains(at).then_some(Hit::Row(5));
            assert_eq!(drawn.hit(at), hit, "{at:?}");
        }
    }

    #[test]
    fn a_nan_residual_is_a_warning() {
        let (good, bad) = (app(2, &[-0.1, -0.1]), app(2, &[-0.1, f64::NAN]));
        let style = |model: &RunModel| residual_style(model, &theme(), &model.timeline.whole());
        assert_eq!(style(&good.model), theme().dim);
        assert_eq!(style(&bad.model), theme().warning);
    }
}
