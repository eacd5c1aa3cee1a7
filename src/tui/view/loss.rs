//! The chart of training and held-out loss over the steps in view, with a row of marked steps below it.

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};

use super::marks;
use crate::analysis::scale::{Domain, Scale};
use crate::tui::frame::Frame;
use crate::tui::widget::{LineChart, Pen, Series};

/// The least height of a chart that gives a row to marks.
const LEAST_WITH_MARKS: u16 = 8;

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let stretch = app.model.timeline.stretch(&app.visible());
    if stretch.is_empty() || area.is_empty() {
        return;
    }
    let marks = app.marks();
    // Marks get a row of their own once there are any, if there is room.
    let row = u16::from(!marks.is_empty() && area.height >= LEAST_WITH_MARKS);
    let [area, _] = Layout::vertical([Fill(1), Length(row)]).areas(area);
    let columns = LineChart::plot_columns(area, theme.glyphs);
    let axis = app.model.axis(&app.nav.window, &stretch);
    let places = stretch.columns_on(&axis, columns);
    let (train, test) = (places.train_loss(), places.test_loss());
    let ends = train.iter().chain(&test).flatten();
    let domain = Domain::of(ends.flat_map(|e| [f64::from(e.min), f64::from(e.max)]));
    let cursor = app.cursor().filter(|_| !app.nav.window.follows());
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
        scale: if app.nav.linear {
            Scale::Linear
        } else {
            Scale::Log
        },
        domain,
        unit: "nats",
        steps: axis.clone(),
        cursor: cursor.and_then(|step| stretch.column_on(&axis, step, columns)),
    };
    frame.render(chart, area);
    if row > 0 {
        let across = usize::from(theme.glyphs.dots_per_cell().0);
        let cell = |step| Some(stretch.column_on(&axis, step, columns)? / across);
        marks::row(area, &marks, theme, cell, frame.buffer);
    }
}
