//! Moments as marks: rows (layers) × steps, and the number of rows that share a step.
//!
//! ```text
//!    shared│  3      2          the most rows that share one step of the column
//!     conv1│· ┃   ▪  ┃  ·       · a step of this row alone, ▪ several of them
//!     conv2│  ┃      ┃          ┃ a step that other rows share, █ several of them
//!     dense▸  ┃  ·          ·
//!          └┴0────┴500─── step
//!
//!     ASCII: . : alone, | # shared
//! ```
//!
//! With fewer steps than columns, a mark is in the first column of its step, where the axis has its tick.

use std::collections::BTreeMap;
use std::ops::Range;

use ratatui::style::Style;
use ratatui::{buffer::Buffer, layout::Rect, widgets::Widget};

use super::axis::{self, XAxis};
use super::heat_map::plot_area;
use super::names;
use crate::analysis::bins;
use crate::tui::theme::{Glyphs, Theme};

/// The moments of one row in one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The number of steps that no other row shares.
    pub alone: u32,
    /// The number of steps that other rows share.
    pub shared: u32,
}

/// Moments of rows, counted by columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    rows: usize,
    columns: usize,
    /// The counts, rows × columns.
    cells: Vec<Mark>,
    /// For each column, the most rows that share one of its steps; 0 if none is shared.
    sharing: Vec<u32>,
}

impl Marks {
    /// Counts each row's moments within `steps`. A step given twice for a row counts once.
    #[must_use]
    pub fn new(moments: &[&[u64]], steps: &Range<u64>, columns: usize) -> Self {
        let mut owners: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (row, moments) in moments.iter().enumerate() {
            for &step in moments.iter().filter(|step| steps.contains(step)) {
                let rows = owners.entry(step).or_default();
                if rows.last() != Some(&row) {
                    rows.push(row);
                }
            }
        }
        let mut marks = Self {
            rows: moments.len(),
            columns,
            cells: vec![Mark::default(); moments.len() * columns],
            sharing: vec![0; columns],
        };
        let count = usize::try_from(steps.end.saturating_sub(steps.start)).unwrap_or(usize::MAX);
        for (step, rows) in owners {
            let index = usize::try_from(step - steps.start).unwrap_or(usize::MAX);
            let Some(column) = bins::column_of(index, count, columns).next() else {
                continue;
            };
            for &row in &rows {
                let cell = &mut marks.cells[row * columns + column];
                match rows.len() {
                    1 => cell.alone += 1,
                    _ => cell.shared += 1,
                }
            }
            if rows.len() > 1 {
                let sharing = u32::try_from(rows.len()).unwrap_or(u32::MAX);
                marks.sharing[column] = marks.sharing[column].max(sharing);
            }
        }
        marks
    }

    #[must_use]
    pub fn at(&self, row: usize, column: usize) -> Mark {
        let inside = row < self.rows && column < self.columns;
        let index = if inside {
            row * self.columns + column
        } else {
            usize::MAX
        };
        self.cells.get(index).copied().unwrap_or_default()
    }

    /// The most rows that share one step of the column; 0 if none is shared.
    #[must_use]
    pub fn sharing(&self, column: usize) -> u32 {
        self.sharing.get(column).copied().unwrap_or(0)
    }
}

/// Marks with names and axes; its plot is [`plot_area`].
#[derive(Clone, Debug)]
pub struct MarkGrid<'a> {
    pub theme: &'a Theme,
    pub marks: &'a Marks,
    /// The names, one for each row.
    pub names: &'a [&'a str],
    /// Width of the names and the line beside them.
    pub gutter: u16,
    /// The first row in view.
    pub first: usize,
    pub selected: Option<usize>,
    /// The cursor's column.
    pub cursor: Option<usize>,
    pub x_axis: XAxis<'a>,
}

impl MarkGrid<'_> {
    /// Draws a mark, in reverse video in the cursor's column, because its line looks like a mark in ASCII.
    fn cell(&self, mark: Mark, at_cursor: bool, (x, y): (u16, u16), buf: &mut Buffer) {
        let [alone, several, shared, many] = match self.theme.glyphs {
            Glyphs::Ascii => ['.', ':', '|', '#'],
            Glyphs::Braille | Glyphs::Blocks => ['·', '▪', '┃', '█'],
        };
        let cursor = if at_cursor {
            self.theme.cursor
        } else {
            Style::new()
        };
        // Shared steps matter most, so a cell with any shows those rather than unshared ones.
        let (symbol, style) = match mark {
            Mark { shared: 2.., .. } => (many, self.theme.accent),
            Mark { shared: 1, .. } => (shared, self.theme.accent),
            Mark { alone: 2.., .. } => (several, self.theme.neutral),
            Mark { alone: 1, .. } => (alone, self.theme.neutral),
            _ => return,
        };
        buf[(x, y)].set_char(symbol).set_style(style.patch(cursor));
    }

    /// Draws the row above the plot.
    fn strip(&self, area: Rect, plot: Rect, buf: &mut Buffer) {
        if plot.x > area.x {
            let room = plot.x - area.x - 1;
            let word = names::elided("shared", room.into(), self.theme.glyphs);
            let x = plot.x - 1 - names::cells_of(&word, room);
            buf.set_string(x, area.y, word, self.theme.dim);
        }
        for (column, x) in (plot.left()..plot.right()).enumerate() {
            let digit = match self.marks.sharing(column) {
                0 => continue,
                sharing => char::from_digit(sharing, 10).unwrap_or('+'),
            };
            buf[(x, area.y)]
                .set_char(digit)
                .set_style(self.theme.accent);
        }
    }
}

impl Widget for MarkGrid<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        let plot = plot_area(area, self.gutter);
        if plot.is_empty() {
            return;
        }
        let cursor = self.cursor.and_then(|column| u16::try_from(column).ok());
        let cursor = cursor.filter(|&column| column < plot.width);
        if let Some(column) = cursor {
            let line = axis::lines(self.theme).vertical;
            for y in plot.top()..plot.bottom() {
                buf.set_string(plot.x + column, y, line, self.theme.dim);
            }
        }
        let lines = usize::from(plot.height);
        let first = self.first.min(self.marks.rows.saturating_sub(lines));
        let shown = first..self.marks.rows.min(first + lines);
        for (y, row) in (plot.top()..plot.bottom()).zip(shown.clone()) {
            for (column, x) in (plot.left()..plot.right()).enumerate() {
                let at_cursor = self.cursor == Some(column);
                self.cell(self.marks.at(row, column), at_cursor, (x, y), buf);
            }
        }
        if plot.y > area.y {
            self.strip(area, plot, buf);
        }
        let rows = axis::Rows {
            theme: self.theme,
            names: self.names.get(shown.start..).unwrap_or_default(),
            shown,
            of: self.marks.rows,
            per_line: 1,
            selected: self.selected,
        };
        rows.draw(area, plot, (&self.x_axis, cursor), buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::ColorLevel;
    use crate::tui::widget::testing::{ALL, LEVELS, any_area, check, drawn, text};
    use proptest::prelude::*;
    use ratatui::style::Modifier;

    const NAMES: [&str; 4] = ["conv1", "conv2", "fc1", "fc2"];
    const MOMENTS: [&[u64]; 4] = [
        &[3, 50, 51, 200, 300, 301],
        &[50, 120, 200, 300, 301, 450],
        &[10, 12, 200, 400],
        &[90, 200, 405, 509],
    ];

    fn grid<'a>(theme: &'a Theme, marks: &'a Marks) -> MarkGrid<'a> {
        MarkGrid {
            theme,
            marks,
            names: &NAMES,
            gutter: axis::LEFT_AXIS,
            first: 0,
            selected: Some(2),
            cursor: Some(20),
            x_axis: XAxis::Steps(0..510),
        }
    }

    #[test]
    fn shared_steps_stand_out() {
        let marks = Marks::new(&MOMENTS, &(0..510), 51);
        let theme = Theme::new(ColorLevel::Ansi256, Glyphs::Braille);
        let buf = drawn(grid(&theme, &marks), 60, 12);
        assert_eq!(
            text(&buf),
            [
                "  shared      2              4         2",
                "   conv1│·    ┃              ┃         █",
                "   conv2│     ┃      ·       ┃         █              ·",
                "     fc1▸ ▪                  ┃                   ·",
                "     fc2│         ·          ┃                   ·         ·",
                "                             │",
                "                             │",
                "                             │",
                "                             │",
                "                             │",
                "                             │",
                "        └┴0────────┴100──────┴200──────┴300──────┴400──────┴",
            ]
        );
        let style = |x, y| (Some(buf[(x, y)].fg), buf[(x, y)].modifier);
        assert_eq!(style(14, 1).0, theme.accent.fg, "shared");
        assert_eq!(style(9, 1).0, theme.neutral.fg, "alone");
        assert!(style(29, 1).1.contains(Modifier::REVERSED), "the cursor");
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        assert_eq!(
            text(&drawn(grid(&theme, &marks), 60, 12)),
            [
                "  shared      2              4         2",
                "   conv1|.    |              |         #",
                "   conv2|     |      .       |         #              .",
                "     fc1> :                  |                   .",
                "     fc2|         .          |                   .         .",
                "                             |",
                "                             |",
                "                             |",
                "                             |",
                "                             |",
                "                             |",
                "        +|0--------|100------|200------|300------|400------|",
            ]
        );
        assert_eq!(
            text(&drawn(grid(&theme, &marks), 30, 4)),
            [
                "   conv1|.    |              |",
                "   conv2|     |      .       |",
                "     fc1> :                  |",
                "   1-3/4+|0------|200----|400-",
            ]
        );
    }

    #[test]
    fn marks_count_steps_not_columns() {
        // 7 and 8 share a column but are not one step.
        let marks = Marks::new(&[&[7, 7, 9], &[8, 9], &[]], &(6..12), 3);
        let mark = |alone, shared| Mark { alone, shared };
        assert_eq!(
            [0, 1, 2].map(|row| marks.at(row, 0)),
            [mark(1, 0), Mark::default(), Mark::default()]
        );
        assert_eq!(
            [0, 1, 2].map(|row| marks.at(row, 1)),
            [mark(0, 1), mark(1, 1), Mark::default()]
        );
        assert_eq!([0, 1, 2].map(|column| marks.sharing(column)), [0, 2, 0]);
        assert_eq!(
            (marks.at(3, 0), marks.at(0, 3), marks.sharing(3)),
            Default::default()
        );
    }

    #[test]
    fn few_steps_have_one_mark_each() {
        let marks = Marks::new(&[&[0, 1, 2]], &(0..3), 10);
        let marked: Vec<usize> = (0..10).filter(|&c| marks.at(0, c).alone > 0).collect();
        assert_eq!(marked, [0, 4, 7]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_moment_is_drawn(
            moments in prop::collection::vec(prop::collection::btree_set(0u64..300, 0..20), 0..9),
            columns in 1usize..100,
        ) {
            let rows: Vec<Vec<u64>> =
                moments.iter().map(|row| row.iter().copied().collect()).collect();
            let rows: Vec<&[u64]> = rows.iter().map(Vec::as_slice).collect();
            let marks = Marks::new(&rows, &(0..300), columns);
            for (row, own) in moments.iter().enumerate() {
                let is_shared = |step: &&u64| {
                    moments.iter().filter(|other| other.contains(step)).count() > 1
                };
                let cells = || (0..columns).map(|column| marks.at(row, column));
                let shared: u32 = cells().map(|mark| mark.shared).sum();
                let all: u32 = cells().map(|mark| mark.shared + mark.alone).sum();
                prop_assert_eq!(shared as usize, own.iter().filter(is_shared).count());
                prop_assert_eq!(all as usize, own.len());
            }
        }

        #[test]
        fn no_size_or_moments_panic(
            moments in prop::collection::vec(prop::collection::vec(0u64..99, 0..9), 0..30),
            (from, to) in (0u64..99, any::<u64>()),
            columns in 0usize..60,
            area in any_area(),
            glyphs in prop::sample::select(ALL.to_vec()),
            level in prop::sample::select(LEVELS.to_vec()),
            (first, cursor) in (any::<usize>(), any::<usize>()),
            gutter in 0u16..20,
        ) {
            let theme = Theme::new(level, glyphs);
            let rows: Vec<&[u64]> = moments.iter().map(Vec::as_slice).collect();
            for steps in [0..99, from..to] {
                let marks = Marks::new(&rows, &steps, columns);
                let grid = MarkGrid {
                    gutter,
                    first,
                    selected: Some(first % 30),
                    cursor: Some(cursor % 70),
                    x_axis: XAxis::Steps(steps),
                    ..grid(&theme, &marks)
                };
                check(grid, area, glyphs, level);
            }
        }
    }
}
