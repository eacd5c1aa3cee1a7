//! The loss over the steps in view: training and held-out.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget;

use crate::analysis::bins::{column_of, extents};
use crate::analysis::scale::{Domain, Scale};
use crate::app::App;
use crate::tui::theme::Theme;
use crate::tui::widget::{LineChart, Pen, Series};

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    let timeline = &app.timeline;
    let end = timeline.end();
    let entries = timeline.entries(&app.window.visible(end));
    if entries.is_empty() || area.is_empty() {
        return;
    }
    let columns = LineChart::plot_columns(area, theme.glyphs);
    let train = timeline.train_loss(entries.clone());
    let test = timeline.test_loss(entries.clone());
    let (train, test) = (extents(train, columns), extents(test, columns));
    let ends = train.iter().chain(&test).flatten();
    let domain = Domain::of(ends.flat_map(|e| [f64::from(e.min), f64::from(e.max)]));
    let cursor = app
        .window
        .cursor(end)
        .map(|step| timeline.entries(&(step..step + 1)).start);
    let cursor = cursor.filter(|_| !app.window.follows());
    let series = [
        Series {
            name: "held-out",
            pen: Pen {
                style: theme.held_out,
                mark: 'o',
            },
            extents: &test,
        },
        Series {
            name: "train",
            pen: Pen {
                style: theme.train,
                mark: '*',
            },
            extents: &train,
        },
    ];
    let chart = LineChart {
        theme,
        series: &series,
        scale: if app.log_scale {
            Scale::Log
        } else {
            Scale::Linear
        },
        domain,
        unit: "nats",
        steps: timeline.steps(&entries),
        cursor: cursor.map(|index| column_of(index - entries.start, entries.len(), columns).start),
    };
    chart.render(area, buf);
}
