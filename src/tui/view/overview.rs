//! The Overview: the loss above, the layers below.

use std::fmt::Write;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::words::{self, either};
use super::{layers, loss};
use crate::analysis::scale::format_signed;
use crate::app::App;
use crate::tui::theme::Theme;

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    let table = layers::height(app.timeline.layers(), area.height);
    let status = Rect { height: 1, ..area };
    let chart = Rect {
        y: area.y + 1,
        height: area.height - 1 - table,
        ..area
    };
    let table = Rect {
        y: chart.bottom(),
        height: table,
        ..area
    };
    at_cursor(app, theme, area.width).render(status, buf);
    loss::draw(chart, buf, app, theme);
    layers::draw(table, buf, app, theme);
}

/// The exact numbers at the cursor.
fn at_cursor(app: &App, theme: &Theme, width: u16) -> Line<'static> {
    let cursor = app.window.cursor(app.timeline.end());
    let Some(entry) = cursor.and_then(|step| app.timeline.entry(step)) else {
        let text = match app.timeline.initial() {
            Some(losses) => {
                let loss = words::loss(losses.train);
                format!(" initial loss {loss} nats; waiting for the first step")
            }
            None => " evaluating the initial loss".to_owned(),
        };
        return Line::styled(text, theme.dim);
    };
    let delta = either(theme, "Δloss", "dloss");
    let steps = match entry.steps() {
        1 => format!(" step {}", entry.first),
        _ => format!(" steps {}-{}", entry.first, entry.end - 1),
    };
    let change = format_signed(entry.loss_after - entry.loss_before, 8);
    let mut accuracy = format!("acc {:.2}%", entry.train_accuracy * 100.0);
    if entry.test_accuracy.is_finite() {
        let _ = write!(accuracy, "/{:.2}%", entry.test_accuracy * 100.0);
    }
    let mut parts = vec![(0, format!("loss {}", words::loss(entry.loss_after)))];
    if entry.test_loss.is_finite() {
        parts.push((2, format!("held-out {}", words::loss(entry.test_loss))));
    }
    parts.push((4, accuracy));
    parts.push((1, format!("{delta} {}", change.trim_start())));
    parts.push((3, format!("S={}", entry.segments)));
    parts.push((5, format!("lr {}", entry.learning_rate)));
    let room = usize::from(width).saturating_sub(steps.len() + 2);
    Line::from(vec![
        Span::styled(steps, theme.header),
        Span::raw("  "),
        Span::raw(words::fitting(parts, "  ", room)),
    ])
}
