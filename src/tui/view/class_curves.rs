//! The curves of the selected class: its loss, and the LCA of each layer for it.
//!
//! ```text
//!  class 1: loss at step 412 0.40112 nats       class 1: LCA by layer, summed since step 0
//!  ─ class 1  ─ all                            ─ fc1  ─ fc2
//!   nats│⢇                                     nats│⠉⠒⠤⣀
//!    1.0┤ ⠑⠤⢄⣀⣀                                      │     ⠉⠒⠤
//! ```
//!
//! If not every step was split by class (`--class-every`), sums over the steps are unknown, and the curves show single
//! steps instead.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget;

use super::cells::{cursor, extents, extents_on};
use super::classes::divided;
use super::spread::{ends, named, spread, titled};
use super::words::{self, sentence};
use crate::analysis::bins::{self, Extent};
use crate::analysis::scale::{Domain, Scale};
use crate::app::App;
use crate::query::{Answer, Binned, Query, Topic};
use crate::tui::theme::Theme;
use crate::tui::widget::{Details, Entry, LineChart, Pen, Series};

fn topics(app: &App) -> [Topic; 2] {
    let class = u32::try_from(app.class).unwrap_or(u32::MAX);
    [Topic::ClassLoss { class }, Topic::LayersOfClass { class }]
}

/// The areas of the two charts: side by side, or one alone if it has the focus.
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

pub fn draw(area: Rect, app: &App, theme: &Theme, buf: &mut Buffer) {
    let Some(name) = app.class_title(app.class) else {
        return;
    };
    let [left, right] = halves(area, app);
    loss(left, &name, app, theme, buf);
    layers(right, &name, app, theme, buf);
}

/// The latest answer for the topic over the steps in view, or why there is none.
fn known(app: &App, topic: Topic) -> Result<&Binned, &str> {
    match app.desk.answer(&app.about_window(topic, 1)) {
        Some((_, Answer::Binned(binned))) => Ok(binned),
        Some((_, Answer::Unknown(why))) => Err(why),
        _ => Err("reading …"),
    }
}

/// The dots that each of the answer's columns covers.
fn places(binned: &Binned, dots: usize) -> Vec<std::ops::Range<usize>> {
    let columns = binned.columns();
    (0..columns)
        .map(|column| bins::column_of(column, columns, dots))
        .collect()
}

fn loss(area: Rect, name: &str, app: &App, theme: &Theme, buf: &mut Buffer) {
    if area.height < 2 {
        return;
    }
    let [topic, _] = topics(app);
    let cursor_query = app.about_cursor(topic.clone());
    let titles = match cursor_query.as_ref().and_then(|query| app.known(query)) {
        Some((steps, Answer::Binned(binned))) => {
            let loss = words::loss(binned.sums.first().copied().unwrap_or(f64::NAN));
            let step = steps.start;
            vec![
                format!("{name}: loss at step {step} {loss} nats"),
                format!("{name}: loss at {step} {loss}"),
                format!("loss at {step} {loss}"),
            ]
        }
        _ => vec![format!("{name}: loss")],
    };
    let pens = [
        Pen {
            style: theme.train,
            mark: '*',
        },
        Pen {
            style: theme.dim,
            mark: '.',
        },
    ];
    let marked = theme.needs_marks(pens.len());
    let entry = |name, pen: Pen| Entry {
        name,
        symbol: if marked { pen.mark } else { '─' },
        style: pen.style,
    };
    let entries = [entry(name, pens[0]), entry("all", pens[1])];
    let area = named(area, &titles, &entries, theme, buf);
    let binned = match known(app, topic) {
        Ok(binned) => binned,
        Err(why) => return sentence(area, why, theme, buf),
    };
    let dots = LineChart::plot_columns(area, theme.glyphs);
    // The answer may cover other steps than those now in view: both curves share one axis.
    let stretch = app.timeline.stretch(&binned.steps());
    let axis = stretch.steps();
    let own = extents_on(binned, 0, &axis, dots);
    let all = stretch.columns(dots).train_loss();
    let curve = |pen, extents| Series {
        name: "",
        pen,
        extents,
    };
    let series = [curve(pens[1], &all), curve(pens[0], &own)];
    let chart = LineChart {
        theme,
        series: &series,
        scale: match app.log_scale {
            true => Scale::Log,
            false => Scale::Linear,
        },
        domain: Domain::of(ends([&own, &all])),
        unit: "nats",
        cursor: cursor(app, &axis, dots),
        steps: axis,
    };
    let details = Details {
        marks: marked,
        ..Details::default()
    };
    chart.with(details).render(area, buf);
}

/// The layers that get a curve, in the order of the network: those with the largest LCA for the class, always including
/// the selected one.
fn chosen(binned: &Binned, app: &App) -> Vec<usize> {
    let mut layers = app.listed_layers();
    if layers.len() > Theme::CATEGORIES {
        let size = |layer: usize| {
            let group = binned.groups.get(layer);
            group.map_or(0.0, |group| group.total.abs())
        };
        layers.sort_by(|&a, &b| {
            let selected = (b == app.layer).cmp(&(a == app.layer));
            selected.then_with(|| size(b).total_cmp(&size(a)))
        });
        layers.truncate(Theme::CATEGORIES);
        layers.sort_unstable();
    }
    layers
}

fn layers(area: Rect, name: &str, app: &App, theme: &Theme, buf: &mut Buffer) {
    if area.height < 2 {
        return;
    }
    let [_, topic] = topics(app);
    let binned = match known(app, topic) {
        Ok(binned) => binned,
        Err(why) => {
            let titles = [format!("{name}: LCA by layer"), "LCA by layer".to_owned()];
            let area = titled(area, &titles, theme, buf);
            return sentence(area, why, theme, buf);
        }
    };
    let first = binned.steps().start;
    let every_step =
        (binned.groups.first()).is_some_and(|group| group.steps == binned.steps().end - first);
    let layers = &app.header.layout.layers;
    let chosen = chosen(binned, app);
    let which = match app.listed_layers().len() {
        all if all > chosen.len() => format!("{} of {all} layers", chosen.len()),
        _ => "LCA by layer".to_owned(),
    };
    let titles = match every_step {
        true => vec![
            format!("{name}: {which}, summed since step {first}"),
            format!("{which}, summed since step {first}"),
            format!("{which} since step {first}"),
            format!("LCA since step {first}"),
            format!("LCA since {first}"),
        ],
        false => vec![
            format!("{name}: {which} in the steps that were split"),
            format!("{which} in the steps that were split"),
            "steps that were split".to_owned(),
            "split steps".to_owned(),
        ],
    };
    let marked = theme.needs_marks(chosen.len());
    let entries: Vec<Entry<'_>> = (chosen.iter().enumerate())
        .map(|(at, &layer)| {
            let pen = theme.category(at);
            Entry {
                name: &layers[layer].name,
                symbol: if marked { pen.mark } else { '─' },
                style: pen.style,
            }
        })
        .collect();
    let area = named(area, &titles, &entries, theme, buf);
    let dots = LineChart::plot_columns(area, theme.glyphs);
    let places = places(binned, dots);
    let curves: Vec<Vec<Option<Extent>>> = (chosen.iter())
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
    let series: Vec<Series<'_>> = (curves.iter().enumerate())
        .map(|(at, extents)| Series {
            name: "",
            pen: theme.category(at),
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
        cursor: cursor(app, &binned.steps(), dots),
    };
    let details = Details {
        zero_line: true,
        marks: marked,
        ..Details::default()
    };
    chart.with(details).render(area, buf);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Action, Screen};
    use crate::tui::view::testing::{Run, Shape, plain};

    #[test]
    fn no_two_curves_have_the_same_pen_and_the_title_says_how_many_there_are() {
        let mut run = Run::new(Shape {
            layers: 20,
            ..Shape::default()
        });
        run.act(&[Action::Screen(Screen::Classes), Action::Focus]);
        run.app.layer = 13;
        run.act(&[Action::Focus, Action::Focus, Action::Focus]);
        let screen = run.text(120, 40, &plain());
        assert!(
            screen.contains("8 of 20 layers, summed since step 0"),
            "{screen}"
        );
        let [_, topic] = topics(&run.app);
        let binned = known(&run.app, topic).unwrap();
        let chosen = chosen(binned, &run.app);
        assert_eq!(chosen.len(), Theme::CATEGORIES);
        assert!(chosen.contains(&13) && chosen.is_sorted(), "{chosen:?}");
        let size = |layer: usize| binned.groups[layer].total.abs();
        let left_out = (0..20).filter(|layer| !chosen.contains(layer)).map(size);
        let most = left_out.fold(0.0, f64::max);
        assert!(
            chosen
                .iter()
                .all(|&layer| layer == 13 || size(layer) >= most)
        );
        for layer in chosen {
            assert!(
                screen.contains(&run.app.header.layout.layers[layer].name),
                "{screen}"
            );
        }
    }
}
