//! The Overview screen: exact numbers, the most important lint, the loss and the layers, from top to bottom.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget;

use super::{layers, loss, marks, status};
use crate::app::App;
use crate::tui::theme::Theme;

/// The height that the loss chart keeps before a lint gets a line.
const LEAST_CHART: u16 = 6;

/// The areas below the status line: the lint, the loss, the layers.
fn parts(area: Rect, app: &App) -> [Rect; 3] {
    let table = layers::height(app.timeline.layers(), area.height);
    // A lint gets a line only if the chart stays tall enough.
    let chart = area.height - 1 - table;
    let lint = u16::from(!app.lints().is_empty() && chart > LEAST_CHART);
    let at = |y: u16, height: u16| Rect {
        y: area.y + y,
        height,
        ..area
    };
    [
        at(1, lint),
        at(1 + lint, chart - lint),
        at(1 + chart, table),
    ]
}

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    let status = Rect { height: 1, ..area };
    let [lints, chart, table] = parts(area, app);
    status::line(app, theme, area.width).render(status, buf);
    if lints.height > 0 {
        marks::lint_line(lints, buf, app, theme);
    }
    loss::draw(chart, buf, app, theme);
    layers::draw(table, buf, app, theme);
}

/// The areas of the layers in view, and their indices in the list.
pub fn places(area: Rect, app: &App, theme: &Theme) -> Vec<(Rect, usize)> {
    let [.., table] = parts(area, app);
    layers::places(table, app, theme)
}
