//! The status line above a screen: the exact numbers at the cursor.
//!
//! ```text
//!  step 412  loss 0.53121  held-out 0.61203  acc 91.20%/89.10%  Δloss -1.2e-3  residual +3.1e-7  S=2  lr 0.05
//! ```

use std::fmt::Write;

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::text::{Line, Span};

use super::words::{self, either};
use crate::analysis::numbers;
use crate::app::App;
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;

/// Draws the status line; returns the area below it.
pub fn draw(area: Rect, frame: &mut Frame) -> Rect {
    let [top, below] = Layout::vertical([Length(1), Fill(1)]).areas(area);
    frame.render(line(frame.app, frame.theme, area.width), top);
    below
}

/// The exact numbers at the cursor.
pub fn line(app: &App, theme: &Theme, width: u16) -> Line<'static> {
    let cursor = app.cursor();
    let Some(entry) = cursor.and_then(|step| app.model.timeline.entry(step)) else {
        let text = match app.model.timeline.initial() {
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
    let change = words::number(entry.loss_after - entry.loss_before);
    let mut parts = vec![(0, format!("loss {}", words::loss(entry.loss_after)))];
    if entry.test_loss.is_finite() {
        parts.push((3, format!("held-out {}", words::loss(entry.test_loss))));
    }
    // A loss without classes has no accuracy.
    if entry.train_accuracy.is_finite() {
        let mut accuracy = format!("acc {:.2}%", entry.train_accuracy * 100.0);
        if entry.test_accuracy.is_finite() {
            let _ = write!(accuracy, "/{:.2}%", entry.test_accuracy * 100.0);
        }
        parts.push((5, accuracy));
    }
    parts.push((1, format!("{delta} {}", change.trim_start())));
    // The residual is shown wherever LCA is.
    let residual = words::number(entry.residual);
    parts.push((2, format!("residual {}", residual.trim_start())));
    parts.push((4, format!("S={}", entry.segments)));
    // A run that follows a path instead of training has no learning rate.
    if entry.learning_rate.is_finite() {
        parts.push((6, format!("lr {}", numbers::chosen(entry.learning_rate))));
    }
    let room = usize::from(width).saturating_sub(steps.len() + 2);
    Line::from(vec![
        Span::styled(steps, theme.header),
        Span::raw("  "),
        Span::raw(words::fitting(parts, "  ", room)),
    ])
}
