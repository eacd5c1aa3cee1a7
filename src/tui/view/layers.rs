//! The table of layers, and the rows that close it.
//!
//! ```text
//!  layer    LCA over steps 0-411     cursor   window     all   share    help  every
//!  fc1      ⠤⠤⣤⣤⡤⠤⠤⠤⠤⠤⠤⠤ ⠤⠤     -1.2e-3   -0.812   -0.812   61.2%  50.8%   6.7
//!  fc2      …
//!  sum      …                         -2.0e-3   -1.327   -1.327         50.9%   6.5
//!  Δloss                              -2.0e-3   -1.327   -1.327
//!  residual                           +3.1e-7  +1.2e-5  +1.2e-5
//! ```

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;
use ratatui::widgets::Widget;

use super::words::{either, every, percent};
use crate::analysis::bins::{Extent, column_of, extents};
use crate::analysis::scale::{Scale, format_signed};
use crate::app::{App, GroupSums};
use crate::tui::theme::Theme;
use crate::tui::widget::SignedBars;

/// Rows that are not layers: the header, the sum, the loss change, the residual.
const FIXED_ROWS: u16 = 4;
/// A layer's row is at most so high.
const TALLEST: u16 = 7;
/// Widths of the number columns.
const NUMBER: u16 = 9;
const SMALL: u16 = 7;
/// The narrowest sparkline that is still drawn.
const NARROWEST: u16 = 8;

/// How high the table wants to be in a screen of `available` rows: the loss keeps a third or more.
pub fn height(layers: usize, available: u16) -> u16 {
    let layers = u16::try_from(layers).unwrap_or(u16::MAX);
    let most = available.saturating_sub((available / 3).max(5) + 1);
    let row = (most.saturating_sub(FIXED_ROWS) / layers.max(1)).clamp(1, TALLEST);
    layers
        .saturating_mul(row)
        .saturating_add(FIXED_ROWS)
        .min(most)
}

/// Where the columns of the table stand.
struct Columns {
    name: Rect,
    bars: Rect,
    cursor: Rect,
    window: Rect,
    all: Rect,
    share: Rect,
    help: Rect,
    flips: Rect,
}

impl Columns {
    fn new(area: Rect, name: u16) -> Self {
        let numbers = 3 * NUMBER + 3 * SMALL;
        let bars = area.width.saturating_sub(name + 2 + numbers + 1);
        let mut x = area.x + 1;
        let mut next = |width: u16| {
            let rect = Rect { x, width, ..area }.intersection(area);
            x = x.saturating_add(width);
            rect
        };
        Self {
            name: next(name + 1),
            bars: next(if bars < NARROWEST { 0 } else { bars }),
            cursor: next(NUMBER),
            window: next(NUMBER),
            all: next(NUMBER),
            share: next(SMALL),
            help: next(SMALL),
            flips: next(SMALL),
        }
    }
}

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    let timeline = &app.timeline;
    let layers = &app.header.layout.layers;
    let shown = area.height.saturating_sub(FIXED_ROWS);
    if shown == 0 || layers.is_empty() {
        return;
    }
    let count = u16::try_from(layers.len()).unwrap_or(u16::MAX);
    let row_height = (shown / count).clamp(1, TALLEST);
    let fit = usize::from(shown / row_height);
    let scroll = app.scroll.min(layers.len().saturating_sub(fit));
    let widest = layers
        .iter()
        .map(|layer| layer.name.chars().count())
        .max()
        .unwrap_or(0);
    let name_width = u16::try_from(widest).unwrap_or(u16::MAX).clamp(8, 20);
    let columns = Columns::new(area, name_width);

    let end = timeline.end();
    let visible = app.window.visible(end);
    let entries = timeline.entries(&visible);
    let all = timeline.entries(&(0..app.window.shown(end)));
    let at = app
        .window
        .cursor(end)
        .map_or(0..0, |step| timeline.entries(&(step..step + 1)));
    let ranges = [&at, &entries, &all];

    let row = |y: u16, rect: Rect| {
        Rect {
            y,
            height: 1,
            ..rect
        }
        .intersection(area)
    };
    header(
        area.y,
        &columns,
        &visible,
        scroll..(scroll + fit).min(layers.len()),
        layers.len(),
        buf,
        theme,
        &row,
    );

    // One scale for all layers, so that rows can be compared.
    let dots = SignedBars::columns(columns.bars.width, theme.glyphs);
    let bars: Vec<Vec<Option<Extent>>> = (0..layers.len())
        .map(|layer| extents(timeline.layer_values(layer, entries.clone()), dots))
        .collect();
    let largest = bars.iter().flatten().flatten().fold(0.0_f64, |max, e| {
        max.max(f64::from(e.max).abs()).max(f64::from(e.min).abs())
    });
    let scale = match app.log_scale {
        true => Scale::SymLog {
            linear: largest / 100.0,
        },
        false => Scale::Linear,
    };
    let cursor = (!app.window.follows() && !entries.is_empty() && !at.is_empty())
        .then(|| column_of(at.start - entries.start, entries.len(), dots).start);

    let total = timeline.total_sums(&all);
    for (place, layer) in (scroll..layers.len()).take(fit).enumerate() {
        let y = area.y + 1 + u16::try_from(place).unwrap_or(0) * row_height;
        let bars_area = Rect {
            y,
            height: row_height,
            ..columns.bars
        };
        let chart = SignedBars {
            theme,
            extents: &bars[layer],
            scale,
            max: largest,
            cursor,
        };
        chart.render(bars_area.intersection(area), buf);
        // The numbers stand on the zero line of tall bars.
        let y = y + (row_height - 1) / 2;
        put(
            buf,
            row(y, columns.name),
            &layers[layer].name,
            Style::default(),
            false,
        );
        let sums = ranges.map(|range| timeline.layer_sums(layer, range));
        numbers(&columns, y, &sums, buf, theme, &row);
        let share = sums[2].lca / total.lca;
        put(
            buf,
            row(y, columns.share),
            &percent(share),
            Style::default(),
            true,
        );
    }

    let y = area.bottom() - 3;
    let sums = ranges.map(|range| timeline.total_sums(range));
    put(buf, row(y, columns.name), "sum LCA", theme.header, false);
    numbers(&columns, y, &sums, buf, theme, &row);
    let changes = ranges.map(|range| timeline.loss_change(range));
    let residuals = ranges.map(|range| timeline.residual(range));
    let delta = either(theme, "Δloss", "dloss");
    for (y, name, values, style) in [
        (y + 1, delta, changes, Style::default()),
        (y + 2, "residual", residuals, theme.dim),
    ] {
        put(buf, row(y, columns.name), name, theme.header, false);
        for (column, value) in [columns.cursor, columns.window, columns.all]
            .into_iter()
            .zip(values)
        {
            put(buf, row(y, column), &number(value), style, true);
        }
    }
    let spent = timeline.gradient_evals(&all);
    let steps = timeline.steps(&all);
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
    let each = spent as f64 / (steps.end - steps.start) as f64;
    if each.is_finite() && columns.bars.width > 24 {
        let text = format!("{} {each:.2} gradients a step", app.header.integrator);
        put(buf, row(y + 2, columns.bars), &text, theme.dim, false);
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "one row of the table, drawn once"
)]
fn header(
    y: u16,
    columns: &Columns,
    visible: &Range<u64>,
    shown: Range<usize>,
    layers: usize,
    buf: &mut Buffer,
    theme: &Theme,
    row: &impl Fn(u16, Rect) -> Rect,
) {
    let name = if shown.len() < layers {
        format!("{}-{}/{layers}", shown.start + 1, shown.end)
    } else {
        "layer".to_owned()
    };
    let steps = match visible.end.checked_sub(1) {
        Some(last) if columns.bars.width >= 30 => {
            format!("LCA in nats, steps {}-{last}", visible.start)
        }
        _ => "LCA in nats".to_owned(),
    };
    put(buf, row(y, columns.name), &name, theme.header, false);
    put(buf, row(y, columns.bars), &steps, theme.header, false);
    for (column, title) in [
        (columns.cursor, "cursor"),
        (columns.window, "window"),
        (columns.all, "all"),
        (columns.share, "share"),
        (columns.help, "help"),
        (columns.flips, "every"),
    ] {
        put(buf, row(y, column), title, theme.header, true);
    }
}

/// The numbers of a layer, or of all: at the cursor, in the window, in all steps shown.
fn numbers(
    columns: &Columns,
    y: u16,
    sums: &[GroupSums; 3],
    buf: &mut Buffer,
    theme: &Theme,
    row: &impl Fn(u16, Rect) -> Rect,
) {
    for (column, sums) in [columns.cursor, columns.window, columns.all]
        .into_iter()
        .zip(sums)
    {
        let style = match sums.lca {
            lca if lca < 0.0 => theme.help,
            lca if lca > 0.0 => theme.hurt,
            _ => Style::default(),
        };
        put(buf, row(y, column), &number(sums.lca), style, true);
    }
    let window = &sums[1];
    put(
        buf,
        row(y, columns.help),
        &percent(window.help_share()),
        Style::default(),
        true,
    );
    put(
        buf,
        row(y, columns.flips),
        &every(window.steps_per_flip()),
        Style::default(),
        true,
    );
}

/// A signed number that fits its column with a blank before it.
fn number(value: f64) -> String {
    format_signed(value, usize::from(NUMBER) - 1)
}

fn put(buf: &mut Buffer, area: Rect, text: &str, style: Style, right: bool) {
    if area.is_empty() {
        return;
    }
    let span = Span::styled(text, style);
    let width = u16::try_from(span.width())
        .unwrap_or(u16::MAX)
        .min(area.width);
    let x = if right { area.right() - width } else { area.x };
    span.render(Rect { x, width, ..area }, buf);
}
