//! The curves of the selected class: its loss, and what each layer has done to it.
//!
//! ```text
//!  class 1: loss at step 412 0.40112 nats       class 1: LCA by layer, summed since step 0
//!   nats│⢇                 ─ class 1  ─ all     nats│⠉⠒⠤⣀
//!    1.0┤ ⠑⠤⢄⣀⣀                                      │     ⠉⠒⠤
//! ```
//!
//! Where not every step was split by class (`--class-every`), sums over the steps are not known: the
//! curves then are of single steps.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget;

use super::classes::divided;
use super::spread::{View, ends, spread, titled};
use super::words::{self, sentence};
use crate::analysis::bins::{self, Extent};
use crate::analysis::scale::{Domain, Scale};
use crate::app::App;
use crate::query::{Answer, Binned, Query, Topic};
use crate::tui::theme::Theme;
use crate::tui::widget::{Details, LineChart, Pen, Series};

fn topics(app: &App) -> [Topic; 2] {
    let class = u32::try_from(app.class).unwrap_or(u32::MAX);
    [Topic::ClassLoss { class }, Topic::LayersOfClass { class }]
}

/// The two charts' parts, where there is room for both.
fn halves(area: Rect, app: &App) -> [Rect; 2] {
    let nothing = Rect { height: 0, ..area };
    match app.focus % 5 {
        3 => [area, nothing],
        4 => [nothing, area],
        _ => {
            let half = area.width / 2;
            let right = Rect {
                x: area.x + half,
                width: area.width - half,
                ..area
            };
            [
                Rect {
                    width: half - 1,
                    ..area
                },
                right,
            ]
        }
    }
}

pub fn wants(area: Rect, app: &App, theme: &Theme) -> Vec<Query> {
    let body = Rect {
        height: area.height - 1,
        ..area
    };
    let (_, below) = divided(body, app);
    let [loss, layers] = topics(app);
    let at_cursor = app.about_cursor(loss.clone());
    let charts = halves(below, app).into_iter().zip([loss, layers]);
    let charts = charts.filter(|(area, _)| area.height > 1);
    let queries = charts
        .map(|(area, topic)| app.about_window(topic, LineChart::plot_columns(area, theme.glyphs)));
    queries
        .chain(at_cursor.filter(|_| below.height > 1))
        .collect()
}

pub fn draw(area: Rect, view: &View<'_>, app: &App, theme: &Theme, buf: &mut Buffer) {
    let Some(name) = app.class_title(app.class) else {
        return;
    };
    let [left, right] = halves(area, app);
    loss(left, &name, view, app, theme, buf);
    layers(right, &name, view, app, theme, buf);
}

/// What is known of a topic about the window, or why nothing is.
fn known(app: &App, topic: Topic) -> Result<&Binned, &str> {
    match app.desk.answer(&app.about_window(topic, 1)) {
        Some((_, Answer::Binned(binned))) => Ok(binned),
        Some((_, Answer::Unknown(why))) => Err(why),
        _ => Err("reading …"),
    }
}

/// A column of dots for each step or more: which of the answer's columns it shows.
fn places(binned: &Binned, dots: usize) -> Vec<std::ops::Range<usize>> {
    let columns = binned.columns();
    (0..columns)
        .map(|column| bins::column_of(column, columns, dots))
        .collect()
}

fn loss(area: Rect, name: &str, view: &View<'_>, app: &App, theme: &Theme, buf: &mut Buffer) {
    if area.height < 2 {
        return;
    }
    let [topic, _] = topics(app);
    let cursor = app.about_cursor(topic.clone());
    let at = match cursor.as_ref().and_then(|query| app.known(query)) {
        Some((steps, Answer::Binned(binned))) => {
            let loss = binned.sums.first().copied().unwrap_or(f64::NAN);
            format!(" at step {} {} nats", steps.start, words::loss(loss))
        }
        _ => String::new(),
    };
    let area = titled(area, &format!("{name}: loss{at}"), theme, buf);
    let binned = match known(app, topic) {
        Ok(binned) => binned,
        Err(why) => return sentence(area, why, theme, buf),
    };
    let dots = LineChart::plot_columns(area, theme.glyphs);
    let own = extents(binned, 0, dots);
    let all = view.window.columns(dots).train_loss();
    let curve = |name, style, mark, extents| Series {
        name,
        pen: Pen { style, mark },
        extents,
    };
    let series = [
        curve("all classes", theme.dim, '.', &all),
        curve(name, theme.train, '*', &own),
    ];
    let chart = LineChart {
        theme,
        series: &series,
        scale: match app.log_scale {
            true => Scale::Log,
            false => Scale::Linear,
        },
        domain: Domain::of(ends([&own, &all])),
        unit: "nats",
        steps: binned.steps(),
        cursor: view.mark_dot(dots),
    };
    chart.render(area, buf);
}

fn layers(area: Rect, name: &str, view: &View<'_>, app: &App, theme: &Theme, buf: &mut Buffer) {
    if area.height < 2 {
        return;
    }
    let [_, topic] = topics(app);
    let binned = match known(app, topic) {
        Ok(binned) => binned,
        Err(why) => {
            let area = titled(area, &format!("{name}: LCA by layer"), theme, buf);
            return sentence(area, why, theme, buf);
        }
    };
    let first = binned.steps().start;
    let every_step =
        (binned.groups.first()).is_some_and(|group| group.steps == binned.steps().end - first);
    let title = match every_step {
        true => format!("{name}: LCA by layer, summed since step {first}"),
        false => format!("{name}: LCA by layer in the steps that were split"),
    };
    let area = titled(area, &title, theme, buf);
    let dots = LineChart::plot_columns(area, theme.glyphs);
    let places = places(binned, dots);
    let listed = app.listed_layers();
    let curves: Vec<Vec<Option<Extent>>> = (listed.iter())
        .map(|&layer| match every_step {
            true => {
                let mut sum = 0.0;
                let sums = binned.row(layer).iter().map(|a| {
                    sum += a;
                    sum
                });
                spread(sums, &places, dots)
            }
            false => extents(binned, layer, dots),
        })
        .collect();
    let series: Vec<Series<'_>> = (listed.iter().zip(&curves))
        .map(|(&layer, extents)| Series {
            name: &app.header.layout.layers[layer].name,
            pen: theme.category(layer),
            extents,
        })
        .collect();
    let domain = Domain::of(ends(&curves).chain([0.0]));
    let chart = LineChart {
        theme,
        series: &series,
        scale: Scale::Linear,
        domain,
        unit: "nats",
        steps: binned.steps(),
        cursor: view.mark_dot(dots),
    };
    let details = Details {
        zero_line: true,
        marks: true,
        ..Details::default()
    };
    chart.with(details).render(area, buf);
}

/// The least and the most of a group's columns, over the dots.
fn extents(binned: &Binned, group: usize, dots: usize) -> Vec<Option<Extent>> {
    let columns = binned.columns();
    let own = |values: &[f32], column: usize| {
        values
            .get(group * columns + column)
            .copied()
            .unwrap_or(f32::NAN)
    };
    let mut out = vec![None; dots];
    for (column, place) in places(binned, dots).into_iter().enumerate() {
        let (min, max) = (own(&binned.least, column), own(&binned.most, column));
        if min.is_finite() && max.is_finite() {
            for dot in out.get_mut(place).unwrap_or_default() {
                let there: Option<Extent> = *dot;
                let own = Extent { min, max };
                *dot = Some(there.map_or(own, |there| there.merge(own)));
            }
        }
    }
    out
}
