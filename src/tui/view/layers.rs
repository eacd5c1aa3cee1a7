//! The table of layers, with its closing rows.
//!
//! ```text
//!  layer    LCA over steps 0-411     cursor  in view   whole   share    help   flip
//!  fc1      ⠤⠤⣤⣤⡤⠤⠤⠤⠤⠤⠤⠤ ⠤⠤     -1.2e-3   -0.812   -0.812   61.2%  50.8%   6.7
//!  fc2      …
//!  sum      …                         -2.0e-3   -1.327   -1.327         50.9%   6.5
//!  Δloss                              -2.0e-3   -1.327   -1.327
//!  residual                           +3.1e-7  +1.2e-5  +1.2e-5
//! ```

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::Length;
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Span;
use ratatui::widgets::Widget;

use super::sheet::{nats, residual_style};
use super::spread::View;
use super::words::{self, NUMBER, either, elided, every, number, percent, width_of};
use crate::app::{App, GroupSums, Sort, Stretch};
use crate::tui::frame::{Frame, Hit};
use crate::tui::theme::Theme;
use crate::tui::widget::SignedBars;

/// Rows that are not layers: the header, the sum, the loss change, the residual.
const FIXED_ROWS: u16 = 4;
/// The most rows of screen for one layer.
const TALLEST: u16 = 7;
/// Width of the narrow number columns.
const SMALL: u16 = 7;
/// The narrowest sparkline worth drawing.
const NARROWEST: u16 = 8;

/// The height the table asks for on a screen of `available` rows: the loss keeps at least three tenths. All 22 layers
/// of a ResNet-20 then fit on 120×40.
pub fn height(layers: usize, available: u16) -> u16 {
    let layers = u16::try_from(layers).unwrap_or(u16::MAX);
    let most = available.saturating_sub((available * 3 / 10).max(5) + 1);
    let row = (most.saturating_sub(FIXED_ROWS) / layers.max(1)).clamp(1, TALLEST);
    layers
        .saturating_mul(row)
        .saturating_add(FIXED_ROWS)
        .min(most)
}

/// The areas of the table's columns.
struct Columns {
    name: Rect,
    bars: Rect,
    cursor: Rect,
    window: Rect,
    all: Rect,
    share: Rect,
    help: Rect,
    /// Empty on a screen narrower than 100 columns.
    hurt: Rect,
    flips: Rect,
    /// Empty on a screen narrower than 120 columns.
    gradient: Rect,
}

impl Columns {
    fn new(area: Rect, longest_name: u16) -> Self {
        let hurt = if area.width >= 100 { SMALL } else { 0 };
        let gradient = if area.width >= 120 { SMALL } else { 0 };
        let numbers = 3 * NUMBER + 3 * SMALL + hurt + gradient;
        let spare = area.width.saturating_sub(numbers + 3);
        let name = longest_name.clamp(8, (area.width / 4).max(8)).min(spare);
        let bars = spare - name;
        let bars = if bars < NARROWEST { 0 } else { bars };
        let [texts, numbers, small] = [[1, name + 1, bars], [NUMBER; 3], [SMALL, SMALL, hurt]];
        let widths = [texts, numbers, small].concat();
        let widths = widths.into_iter().chain([SMALL, gradient]).map(Length);
        let [
            _,
            name,
            bars,
            cursor,
            window,
            all,
            share,
            help,
            hurt,
            flips,
            gradient,
        ] = Layout::horizontal(widths).areas(area);
        Self {
            name,
            bars,
            cursor,
            window,
            all,
            share,
            help,
            hurt,
            flips,
            gradient,
        }
    }
}

pub fn draw(area: Rect, frame: &mut Frame) {
    if area.height <= FIXED_ROWS || frame.app.model.header.layout.layers.is_empty() {
        return;
    }
    let table = Table::new(area, frame.app, frame.theme);
    table.draw_header(frame.buffer);
    table.draw_bars(frame.buffer);
    for (place, &layer) in table.listed[table.shown.clone()].iter().enumerate() {
        let row = table.row(place, area);
        table.draw_layer(layer, row.y, frame.buffer);
        frame.hit(row, Hit::Row(layer));
    }
    table.draw_closing_rows(frame.buffer);
}

/// The layout of the table, and the steps of its numbers.
struct Table<'a> {
    area: Rect,
    app: &'a App,
    theme: &'a Theme,
    columns: Columns,
    row_height: u16,
    /// The layers as listed, and the range of them in view.
    listed: Vec<usize>,
    shown: Range<usize>,
    view: View<'a>,
    /// The LCA of the whole network over all steps.
    total: f64,
}

impl<'a> Table<'a> {
    fn new(area: Rect, app: &'a App, theme: &'a Theme) -> Self {
        let layers = &app.model.header.layout.layers;
        let listed = app.listed_layers();
        let rows = area.height - FIXED_ROWS;
        let count = u16::try_from(listed.len()).unwrap_or(u16::MAX);
        let row_height = (rows / count.max(1)).clamp(1, TALLEST);
        let fit = usize::from(rows / row_height).min(listed.len());
        let selected = listed.iter().position(|&layer| layer == app.nav.layer);
        let first = words::scrolled(selected.unwrap_or(0), fit, listed.len());
        let names = layers.iter().map(|layer| layer.name.chars().count());
        let name = u16::try_from(names.max().unwrap_or(0)).unwrap_or(u16::MAX);
        let view = View::of(app);
        Self {
            area,
            app,
            theme,
            columns: Columns::new(area, name),
            row_height,
            shown: first..first + fit,
            listed,
            total: view.all.total_sums().lca,
            view,
        }
    }

    /// All rows of screen of the layer at this place in view, across some columns.
    fn row(&self, place: usize, columns: Rect) -> Rect {
        let place = u16::try_from(place).unwrap_or(u16::MAX);
        let row = Rect {
            y: (self.area.y + 1).saturating_add(place.saturating_mul(self.row_height)),
            height: self.row_height,
            ..columns
        };
        row.intersection(self.area)
    }

    /// The three ranges of steps, in the order of their columns.
    fn ranges(&self) -> [(Rect, &Stretch<'a>); 3] {
        let columns = &self.columns;
        [
            (columns.cursor, &self.view.at),
            (columns.window, &self.view.window),
            (columns.all, &self.view.all),
        ]
    }

    fn draw_header(&self, buf: &mut Buffer) {
        let Self {
            area,
            theme,
            columns,
            ..
        } = self;
        let layers = self.app.model.timeline.layers();
        let name = match self.shown.len() {
            shown if shown == layers => "layer".to_owned(),
            0 => format!("0/{layers}"),
            _ => format!("{}-{}/{layers}", self.shown.start + 1, self.shown.end),
        };
        let steps = self.view.window.steps();
        let mut bars = vec!["LCA in nats".to_owned(), "LCA".to_owned()];
        if let Some(last) = steps.end.checked_sub(1) {
            let steps = format!("steps {}-{last}", steps.start);
            bars.insert(0, format!("LCA in nats, {steps}"));
            bars.insert(0, format!("Loss Change Allocation (LCA) in nats, {steps}"));
        }
        let room = usize::from(columns.bars.width).saturating_sub(1);
        let bars = words::worded(&bars, room, theme);
        self.left(buf, area.y, columns.name, &name, theme.header);
        self.left(buf, area.y, columns.bars, &bars, theme.header);
        let cursor = self.view.cursor_title();
        let window = self.view.window_title("in view");
        let all = self.view.all_title("whole");
        // The column that the list is sorted by.
        let sorted = match self.app.nav.sort {
            Sort::Order => Rect::ZERO,
            Sort::Helps | Sort::Hurts | Sort::Size => columns.window,
            Sort::HelpShare => columns.help,
            Sort::Oscillation => columns.flips,
        };
        for (column, title) in [
            (columns.cursor, cursor.as_str()),
            (columns.window, window.as_str()),
            (columns.all, all.as_str()),
            (columns.share, "share"),
            (columns.help, "help"),
            (columns.hurt, "hurt"),
            (columns.flips, "flip"),
            (columns.gradient, "g flip"),
        ] {
            if column == sorted {
                let title = format!("{}{title}", either(theme, "▾", "v"));
                self.right(buf, area.y, column, &title, theme.accent);
            } else {
                self.right(buf, area.y, column, title, theme.header);
            }
        }
    }

    /// Draws the sparklines, with one scale for all layers, so that rows can be compared.
    fn draw_bars(&self, buf: &mut Buffer) {
        let window = &self.view.window;
        let columns = SignedBars::columns(self.columns.bars.width, self.theme.glyphs);
        let axis = self.app.model.axis(&self.app.nav.window, window);
        let places = window.columns_on(&axis, columns);
        let layers = 0..self.app.model.timeline.layers();
        let extents = layers.filter_map(|layer| window.layer_extent(layer));
        let max = extents.fold(0.0_f64, |max, it| {
            max.max(f64::from(it.min).abs())
                .max(f64::from(it.max).abs())
        });
        let mark = self.view.mark();
        let cursor = mark.and_then(|step| window.column_on(&axis, step, columns));
        for (place, &layer) in self.listed[self.shown.clone()].iter().enumerate() {
            let chart = SignedBars {
                theme: self.theme,
                extents: &places.layer(layer),
                scale: words::signed_scale(&self.app.nav, max),
                max,
                cursor,
            };
            chart.render(self.row(place, self.columns.bars), buf);
        }
    }

    fn draw_layer(&self, layer: usize, top: u16, buf: &mut Buffer) {
        // The numbers are on the row of the bars' zero line.
        let y = top + (self.row_height - 1) / 2;
        let name = &self.app.model.header.layout.layers[layer].name;
        let width = usize::from(self.columns.name.width).saturating_sub(1);
        let name = elided(name, width, self.theme);
        let style = if layer == self.app.nav.layer {
            self.theme.selected
        } else {
            Style::default()
        };
        self.left(buf, y, self.columns.name, &name, style);
        if layer == self.app.nav.layer {
            let mark = either(self.theme, "▸", ">");
            buf.set_string(self.area.x, y, mark, self.theme.accent);
        }
        self.draw_numbers(buf, y, |steps| steps.layer_sums(layer));
        let share = self.view.all.lca(layer) / self.total;
        self.right(
            buf,
            y,
            self.columns.share,
            &percent(share),
            Style::default(),
        );
    }

    /// Draws LCA over the three ranges of steps, and how the parameters behaved in view.
    fn draw_numbers(&self, buf: &mut Buffer, y: u16, sums: impl Fn(&Stretch<'a>) -> GroupSums) {
        for (column, steps) in self.ranges() {
            let (text, style) = nats(sums(steps).lca, self.theme);
            self.right(buf, y, column, &text, style);
        }
        let window = sums(&self.view.window);
        let (help, flips) = (percent(window.help_share()), every(window.steps_per_flip()));
        self.right(buf, y, self.columns.help, &help, Style::default());
        let hurt = percent(window.hurt_share());
        self.right(buf, y, self.columns.hurt, &hurt, Style::default());
        self.right(buf, y, self.columns.flips, &flips, Style::default());
        let gradient = every(window.steps_per_gradient_flip());
        self.right(buf, y, self.columns.gradient, &gradient, Style::default());
    }

    /// Draws the sum of all layers, the actual change of the loss, and the residual.
    fn draw_closing_rows(&self, buf: &mut Buffer) {
        let Self {
            theme,
            columns,
            app,
            ..
        } = self;
        let y = self.area.bottom() - 3;
        self.left(buf, y, columns.name, "sum LCA", theme.header);
        self.draw_numbers(buf, y, Stretch::total_sums);
        let delta = either(theme, "Δloss", "dloss");
        self.left(buf, y + 1, columns.name, delta, theme.header);
        self.left(buf, y + 2, columns.name, "residual", theme.header);
        for (column, steps) in self.ranges() {
            let (change, residual) = (steps.loss_change(), steps.residual());
            self.right(buf, y + 1, column, &number(change), Style::default());
            let style = residual_style(&app.model, theme, steps);
            self.right(buf, y + 2, column, &number(residual), style);
        }
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
        let each = self.view.all.gradient_evals() as f64 / self.view.all.len() as f64;
        if each.is_finite() && columns.bars.width > 24 {
            let mut parts = vec![
                (2, app.model.header.integrator.clone()),
                (1, format!("{each:.2} gradients per step")),
            ];
            // Say so if steps were merged: the file has single steps.
            let coarsest = self.view.window.coarsest();
            if coarsest > 1 {
                parts.push((0, format!("points of up to {coarsest} steps")));
            }
            let room = usize::from(columns.bars.width).saturating_sub(1);
            let text = words::fitting(parts, "; ", room);
            if usize::from(width_of(&text)) <= room {
                self.left(buf, y + 2, columns.bars, &text, theme.dim);
            }
        }
    }

    fn left(&self, buf: &mut Buffer, y: u16, column: Rect, text: &str, style: Style) {
        let cell = self.cell(y, column);
        let width = cell.width.min(width_of(text));
        Span::styled(text, style).render(Rect { width, ..cell }, buf);
    }

    fn right(&self, buf: &mut Buffer, y: u16, column: Rect, text: &str, style: Style) {
        let cell = self.cell(y, column);
        let width = cell.width.min(width_of(text));
        let x = cell.right() - width;
        Span::styled(text, style).render(Rect { x, width, ..cell }, buf);
    }

    fn cell(&self, y: u16, column: Rect) -> Rect {
        let cell = Rect {
            y,
            height: 1,
            ..column
        };
        cell.intersection(self.area)
    }
}
