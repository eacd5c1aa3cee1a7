//! The Overview: the loss above, the layers below, between the exact numbers and the loss what looks wrong.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget;

use super::{layers, loss, marks, status};
use crate::app::App;
use crate::tui::theme::Theme;

/// Rows of the loss chart that a lint does not take from it.
const LEAST_CHART: u16 = 6;

/// Where the parts are below the line of the status: what looks wrong, the loss, the layers.
fn parts(area: Rect, app: &App) -> [Rect; 3] {
    let table = layers::height(app.timeline.layers(), area.height);
    // What looks wrong has a line where the chart keeps enough.
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

/// The places of the layers in view, and which of the list they are.
pub fn places(area: Rect, app: &App, theme: &Theme) -> Vec<(Rect, usize)> {
    let [.., table] = parts(area, app);
    layers::places(table, app, theme)
}
