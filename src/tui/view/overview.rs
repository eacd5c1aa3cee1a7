//! The Overview: the loss above, the layers below.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget;

use super::{layers, loss, status};
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
    status::line(app, theme, area.width).render(status, buf);
    loss::draw(chart, buf, app, theme);
    layers::draw(table, buf, app, theme);
}
