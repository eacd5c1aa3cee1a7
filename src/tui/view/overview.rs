//! The Overview screen: exact numbers, the most important lint, the loss and the layers, from top to bottom.

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};

use super::{layers, loss, marks, status};
use crate::tui::frame::Frame;

/// The height that the loss chart keeps before a lint gets a line.
const LEAST_CHART: u16 = 6;

pub fn draw(area: Rect, frame: &mut Frame) {
    let app = frame.app;
    let table = layers::height(app.model.timeline.layers(), area.height);
    let below = status::draw(area, frame);
    let chart = below.height - table;
    // A lint gets a line only if the chart stays tall enough.
    let lint = u16::from(!app.lints().is_empty() && chart > LEAST_CHART);
    let rows = [Length(lint), Fill(1), Length(table)];
    let [lint, chart, table] = Layout::vertical(rows).areas(below);
    marks::lint_line(lint, frame);
    loss::draw(chart, frame);
    layers::draw(table, frame);
}
