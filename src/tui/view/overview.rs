//! The Overview: the loss above, the layers below, between the exact numbers and the loss what looks wrong.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget;

use super::{layers, loss, marks, status};
use crate::app::App;
use crate::tui::theme::Theme;

/// Rows of the loss chart that a lint does not take from it.
const LEAST_CHART: u16 = 6;

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    let table = layers::height(app.timeline.layers(), area.height);
    let status = Rect { height: 1, ..area };
    // What looks wrong has a line where the chart keeps enough.
    let chart_height = area.height - 1 - table;
    let lint = u16::from(!app.lints().is_empty() && chart_height > LEAST_CHART);
    let lints = Rect {
        y: area.y + 1,
        height: lint,
        ..area
    };
    let chart = Rect {
        y: area.y + 1 + lint,
        height: chart_height - lint,
        ..area
    };
    let table = Rect {
        y: chart.bottom(),
        height: table,
        ..area
    };
    status::line(app, theme, area.width).render(status, buf);
    if lint > 0 {
        marks::lint_line(lints, buf, app, theme);
    }
    loss::draw(chart, buf, app, theme);
    layers::draw(table, buf, app, theme);
}
