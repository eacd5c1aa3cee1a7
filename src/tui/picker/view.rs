//! Draws the run picker.
//!
//! ```text
//!  lcascope RUNS  runs · 12 of 43 files · 2 marked · sorted by loss
//!    file            status    done     loss  held-out  loss so far    differs in
//! ▸1 seed-3.h5       running    41%  0.07817    0.0912  ▇▅▃▂▂▁▁▁▁      lr=0.1
//!    torn.h5         is not an HDF5 file
//!  runs/seed-3.h5: …                                the selected run, whole
//!  ? help  q quit  Enter open  Space mark
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use crate::app::{Picker, PickerAction};
use crate::runs::{Column, Content, RunEntry, letter};
use crate::text::harmless;
use crate::tui::run::ScreenOptions;
use crate::tui::theme::{Glyphs, Theme};
use crate::tui::view::words::{either, elided, fitting, scrolled, width_of};

/// The parts of the picker that a click acts on.
#[derive(Debug, Default)]
pub struct Hits(pub(super) Vec<(Rect, PickerAction)>);

/// The smallest terminal on which the picker is drawn.
const SMALLEST: (u16, u16) = (40, 8);

/// The widest column of names, and its least width, in cells.
const NAMES: (u16, u16) = (44, 12);

/// The least width of the column of differences, in a terminal of less than 100 columns and in a wider one.
const DIFFERENCES: [u16; 2] = [12, 24];

/// A column on the screen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Of(Column),
    Curve,
}

/// The columns between the names and the differences, with their widths and ranks: those of the highest ranks are left
/// out first.
const COLUMNS: [(Shown, u16, u8); 12] = [
    (Shown::Of(Column::Status), 8, 0),
    (Shown::Of(Column::Progress), 4, 1),
    (Shown::Of(Column::Loss), 8, 0),
    (Shown::Of(Column::HeldOut), 8, 2),
    (Shown::Of(Column::Accuracy), 8, 4),
    (Shown::Curve, 11, 3),
    (Shown::Of(Column::Started), 16, 6),
    (Shown::Of(Column::Duration), 10, 7),
    (Shown::Of(Column::Seed), 5, 5),
    (Shown::Of(Column::Network), 14, 9),
    (Shown::Of(Column::Steps), 13, 8),
    (Shown::Of(Column::TimeLeft), 10, 10),
];

/// Draws the picker.
pub fn draw(area: Rect, buf: &mut Buffer, picker: &Picker, options: &ScreenOptions) -> Hits {
    let theme = &options.theme;
    let mut hits = Hits::default();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!("the list of runs needs {}x{} cells", SMALLEST.0, SMALLEST.1);
        Paragraph::new(text)
            .wrap(Wrap { trim: true })
            .render(area, buf);
        return hits;
    }
    let about = if area.height >= 16 { 3 } else { 1 };
    let rows = [Length(1), Fill(1), Length(about), Length(1)];
    let [title, table, below, footer] = Layout::vertical(rows).areas(area);
    draw_title(title, buf, picker, theme);
    if picker.help {
        draw_help(table, buf, theme);
    } else {
        Table::new(table, picker, theme).draw(buf, &mut hits);
    }
    draw_selected(below, buf, picker, theme);
    draw_footer(footer, buf, picker, theme);
    hits
}

fn draw_title(area: Rect, buf: &mut Buffer, picker: &Picker, theme: &Theme) {
    let (shown, all) = (picker.rows().len(), picker.count());
    let files = match (shown, all) {
        (_, 1) if shown == all => "1 file".to_owned(),
        _ if shown == all => format!("{all} files"),
        _ => format!("{shown} of {all} files"),
    };
    let (column, descending) = picker.sort();
    let order = if descending {
        "descending"
    } else {
        "ascending"
    };
    let mut parts = vec![
        (0, harmless(&picker.folder)),
        (1, files),
        (3, format!("by {}, {order}", column.title())),
    ];
    if picker.marked() > 0 {
        parts.push((2, format!("{} marked", picker.marked())));
    }
    if !picker.filter_text.is_empty() && !picker.typing {
        parts.push((2, format!("filter {}", harmless(&picker.filter_text))));
    }
    if picker.reading() > 0 {
        parts.push((1, format!("reading {}", picker.reading())));
    }
    let room = usize::from(area.width).saturating_sub(17);
    let text = fitting(parts, either(theme, " · ", " | "), room);
    let line = Line::from(vec![
        Span::styled(" lcascope ", theme.title),
        Span::styled("RUNS", theme.accent),
        Span::raw(format!("  {text}")),
    ]);
    line.render(area, buf);
}

/// The settings of the selected run that differ, or why it cannot be read.
fn draw_selected(area: Rect, buf: &mut Buffer, picker: &Picker, theme: &Theme) {
    let Some(entry) = picker.selected_entry() else {
        return;
    };
    let name = harmless(&entry.path.to_string_lossy());
    let (text, style) = match &entry.content {
        Content::Reading => (String::new(), theme.dim),
        Content::Unreadable(why) => (why.clone(), theme.error),
        Content::Run(facts) if !facts.status.message.is_empty() => {
            (harmless(&facts.status.message), theme.error)
        }
        Content::Run(_) => (harmless(picker.differences(&entry.path)), Style::default()),
    };
    let line = Line::from(vec![
        Span::styled(format!("{name}  "), theme.dim),
        Span::styled(text, style),
    ]);
    let [_, inside] = Layout::horizontal([Length(1), Fill(1)]).areas(area);
    Paragraph::new(line)
        .wrap(Wrap { trim: true })
        .render(inside, buf);
}

fn draw_footer(area: Rect, buf: &mut Buffer, picker: &Picker, theme: &Theme) {
    if !picker.notice.is_empty() {
        let notice = elided(&picker.notice, usize::from(area.width) - 1, theme);
        return Line::styled(format!(" {notice}"), theme.error).render(area, buf);
    }
    if picker.typing {
        let hint = "  such as: lenet lr<0.1 status:failed";
        let text = elided(&picker.filter_text, usize::from(area.width) - 4, theme);
        let mut spans = vec![
            Span::raw(format!(" /{text}")),
            Span::styled(" ", theme.cursor),
        ];
        if text.is_empty() {
            spans.push(Span::styled(hint, theme.dim));
        }
        return Line::from(spans).render(area, buf);
    }
    let arrows = either(theme, "← →", "left right");
    let keys = [
        ("?", "help"),
        ("q", "quit"),
        ("Enter", "open"),
        ("Space", "mark"),
        ("/", "filter"),
        (arrows, "column"),
        ("s", "sort by it"),
        ("Esc", "back"),
    ];
    let mut line = Line::default();
    for (key, word) in keys {
        let more = [
            Span::raw(if line.spans.is_empty() { " " } else { "  " }),
            Span::styled(key, theme.key),
            Span::raw(format!(" {word}")),
        ];
        let width: usize = more.iter().map(Span::width).sum();
        if line.width() + width > usize::from(area.width) {
            break;
        }
        line.spans.extend(more);
    }
    line.render(area, buf);
}

/// The lines of the help.
const HELP: [&str; 17] = [
    "Enter         open the marked runs together, or the selected one",
    "Space         mark the selected run, or remove its mark",
    "up down k j   select a run; PgUp PgDn: a page; Home End: the first, the last",
    "left right    select a column",
    "s             sort by the selected column; again: the other way round",
    "/             filter; Enter keeps it, Esc removes it",
    "Esc r         back",
    "q             quit",
    "",
    "A filter is one or more words, all of which must apply:",
    "lenet         part of the name, network, data set, status or settings",
    "status:failed part of one column or setting",
    "lr<0.1        a number of one column or setting: < <= > >= = !=",
    "Columns: file status steps done loss held-out accuracy started took seed",
    "Settings: as in the configuration, such as learning_rate (lr), batch_size (bs)",
    "",
    "Any other key closes the help.",
];

fn draw_help(area: Rect, buf: &mut Buffer, theme: &Theme) {
    let lines = HELP.map(|line| Line::raw(format!(" {line}")));
    let text = Text::from(lines.to_vec()).style(Style::default());
    let head = Line::styled(" List of runs", theme.header);
    let [first, below] = Layout::vertical([Length(1), Fill(1)]).areas(area);
    head.render(first, buf);
    Paragraph::new(text)
        .wrap(Wrap { trim: false })
        .render(below, buf);
}

/// The table of runs.
struct Table<'a> {
    area: Rect,
    picker: &'a Picker,
    theme: &'a Theme,
    name: u16,
    columns: Vec<(Shown, u16)>,
    differences: u16,
}

impl<'a> Table<'a> {
    fn new(area: Rect, picker: &'a Picker, theme: &'a Theme) -> Self {
        let longest = u16::try_from(picker.longest_name()).unwrap_or(u16::MAX);
        let name = longest.clamp(NAMES.1, NAMES.0.min(area.width / 4).max(NAMES.1));
        let mut columns = COLUMNS.to_vec();
        // The marks and two blanks.
        let room = area.width.saturating_sub(name + 5);
        let wide = |columns: &[(Shown, u16, u8)]| -> u16 {
            columns.iter().map(|(_, width, _)| width + 2).sum()
        };
        let least = DIFFERENCES[usize::from(area.width >= 100)];
        while wide(&columns) + least > room {
            let worst = columns.iter().map(|(.., rank)| *rank).max().unwrap_or(0);
            if worst == 0 {
                break;
            }
            columns.retain(|(.., rank)| *rank != worst);
        }
        Self {
            area,
            picker,
            theme,
            name,
            differences: room.saturating_sub(wide(&columns)),
            columns: columns
                .into_iter()
                .map(|(shown, width, _)| (shown, width))
                .collect(),
        }
    }

    fn draw(&self, buf: &mut Buffer, hits: &mut Hits) {
        self.draw_head(buf, hits);
        let fit = usize::from(self.area.height - 1);
        let rows = self.picker.rows();
        if rows.is_empty() {
            let text = if self.picker.count() > 0 {
                " no match"
            } else {
                " no run files (*.h5) here"
            };
            let line = Rect {
                y: self.area.y + 1,
                height: 1,
                ..self.area
            };
            return Line::styled(text, self.theme.dim).render(line.intersection(self.area), buf);
        }
        let selected = self.picker.selected_row().unwrap_or(0);
        let from = scrolled(selected, fit, rows.len());
        let lines = self
            .area
            .rows()
            .skip(1)
            .zip(rows.iter().enumerate().skip(from));
        for (line, (row, path)) in lines {
            let Some(entry) = self.picker.entry(path) else {
                continue;
            };
            hits.0.push((
                line,
                if row == selected {
                    PickerAction::Open
                } else {
                    PickerAction::Choose(row)
                },
            ));
            self.draw_row(line, entry, row == selected, buf);
        }
    }

    fn draw_head(&self, buf: &mut Buffer, hits: &mut Hits) {
        let mut head = |buf: &mut Buffer, x: u16, column: Column, width: u16| {
            let (sorted, descending) = self.picker.sort();
            let sign = match (sorted == column, descending) {
                (false, _) => "",
                (true, true) => either(self.theme, "▾", "v"),
                (true, false) => either(self.theme, "▴", "^"),
            };
            let text = format!("{}{sign}", column.title());
            let text = elided(&text, usize::from(width), self.theme);
            let style = if column == self.picker.column {
                self.theme.header.add_modifier(Modifier::REVERSED)
            } else {
                self.theme.header
            };
            let area = Rect {
                x,
                width,
                height: 1,
                ..self.area
            };
            put(buf, area, &text, style, column.is_number());
            hits.0.push((area, PickerAction::SortBy(column)));
        };
        let mut x = self.area.x + 3;
        head(buf, x, Column::File, self.name);
        x += self.name + 2;
        for &(shown, width) in &self.columns {
            match shown {
                Shown::Of(column) => head(buf, x, column, width),
                Shown::Curve => {
                    let area = Rect {
                        x,
                        width,
                        height: 1,
                        ..self.area
                    };
                    put(buf, area, "loss so far", self.theme.header, false);
                }
            }
            x += width + 2;
        }
        let area = Rect {
            x,
            width: self.differences,
            height: 1,
            ..self.area
        };
        put(buf, area, "differs in", self.theme.header, false);
    }

    fn draw_row(&self, line: Rect, entry: &RunEntry, selected: bool, buf: &mut Buffer) {
        let theme = self.theme;
        if selected {
            buf.set_style(line, theme.selected);
            put(buf, line, either(theme, "▸", ">"), Style::default(), false);
        }
        let mut x = line.x + 1;
        if let Some(place) = self.picker.mark(&entry.path) {
            let area = Rect {
                x,
                width: 2,
                ..line
            };
            put(buf, area, &letter(place), theme.accent, false);
        }
        x += 2;
        let name = elided(&entry.name, usize::from(self.name), theme);
        put(
            buf,
            Rect {
                x,
                width: self.name,
                ..line
            },
            &name,
            Style::default(),
            false,
        );
        x += self.name + 2;
        let Some(facts) = entry.facts() else {
            let width = line.right().saturating_sub(x);
            let text = elided(&Column::Status.text(entry), usize::from(width), theme);
            let style = match entry.content {
                Content::Reading => theme.dim,
                _ => theme.error,
            };
            return put(buf, Rect { x, width, ..line }, &text, style, false);
        };
        for &(shown, width) in &self.columns {
            let area = Rect { x, width, ..line };
            match shown {
                Shown::Curve => put(
                    buf,
                    area,
                    &sparkline(&facts.curve, width, theme),
                    Style::default(),
                    false,
                ),
                Shown::Of(column) => {
                    let text = elided(&column.text(entry), usize::from(width), theme);
                    let style = match column {
                        Column::Status => status_style(entry, theme),
                        _ => Style::default(),
                    };
                    put(buf, area, &text, style, column.is_number());
                }
            }
            x += width + 2;
        }
        let width = line.right().saturating_sub(x);
        let text = cut(self.picker.differences(&entry.path), width, theme);
        put(
            buf,
            Rect { x, width, ..line },
            &text,
            Style::default(),
            false,
        );
    }
}

/// A text in at most `width` cells, cut at its end.
fn cut(text: &str, width: u16, theme: &Theme) -> String {
    let mut text = harmless(text);
    if width_of(&text) > width {
        while width_of(&text) >= width && text.pop().is_some() {}
        text.push_str(either(theme, "…", "~"));
    }
    text
}

fn status_style(entry: &RunEntry, theme: &Theme) -> Style {
    match entry.facts().map_or("", |facts| facts.status.word()) {
        "running" => theme.live,
        "paused" | "stopped" => theme.warning,
        "failed" | "crashed" => theme.error,
        _ => Style::default(),
    }
}

/// Writes a text into an area of one line; keeps the reverse video of a selected row.
fn put(buf: &mut Buffer, area: Rect, text: &str, style: Style, right: bool) {
    let area = area.intersection(buf.area);
    let line = Line::styled(text.to_owned(), style);
    let line = if right { line.right_aligned() } else { line };
    line.render(area, buf);
}

/// A curve as bars, one for each cell, from the least value to the greatest on a logarithmic scale.
fn sparkline(curve: &[f32], width: u16, theme: &Theme) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 8] = ['_', '.', ',', '-', '=', '+', '*', '#'];
    let bars = if theme.glyphs == Glyphs::Ascii {
        ASCII
    } else {
        BARS
    };
    let scaled = |loss: f32| f64::from(loss).max(1e-12).ln();
    let finite = || {
        curve
            .iter()
            .copied()
            .filter(|loss| loss.is_finite())
            .map(scaled)
    };
    let (least, greatest) = (
        finite().fold(f64::MAX, f64::min),
        finite().fold(f64::MIN, f64::max),
    );
    let cells = usize::from(width).min(curve.len());
    let bar = |cell: usize| {
        let place = if cells > 1 {
            cell * (curve.len() - 1) / (cells - 1)
        } else {
            0
        };
        let loss = curve[place];
        if !loss.is_finite() {
            return if loss.is_nan() { ' ' } else { '!' };
        }
        let share = (scaled(loss) - least) / (greatest - least);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 7, and 0 for NaN"
        )]
        let height = (share * 7.0).round() as usize;
        bars[height.min(7)]
    };
    (0..cells).map(bar).collect()
}
