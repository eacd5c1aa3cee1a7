//! The curves of the selected class: its loss, and the LCA of each layer for it.
//!
//! ```text
//!  class 1: loss 0.40112 nats at step 412       class 1: LCA by layer, summed since step 0
//!  ─ class 1  ─ all                            ─ fc1  ─ fc2
//!   nats│⢇                                     nats│⠉⠒⠤⣀
//!    1.0┤ ⠑⠤⢄⣀⣀                                      │     ⠉⠒⠤
//! ```
//!
//! If not every step was split by class (`--class-every`), sums over the steps are unknown, and the curves show single
//! steps instead.

use ratatui::layout::Rect;

use super::cells::{cursor, extents, extents_on, halves};
use super::spread::{draw_sums, ends, named, spread, titled};
use super::words::{self, sentence};
use crate::analysis::bins::{self, Extent};
use crate::analysis::scale::{Domain, Scale};
use crate::app::App;
use crate::query::{Answer, Binned, Topic};
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;
use crate::tui::widget::{Details, Entry, LineChart, Pen, Series};

pub fn draw(area: Rect, frame: &mut Frame) {
    let app = frame.app;
    let title = app.model.class_title(app.nav.class);
    let Some(name) = title.filter(|_| area.height > 1) else {
        return;
    };
    let class = u32::try_from(app.nav.class).unwrap_or(u32::MAX);
    let topic = Topic::ClassLoss { class };
    let cursor = app.about_cursor(topic.clone());
    let at_cursor = match cursor.and_then(|query| frame.ask_now(4, query)) {
        Some((steps, Answer::Binned(binned))) => Some((steps.start, binned)),
        _ => None,
    };
    let [left, right] = halves(area);
    let (left, right) = match app.nav.focus % 5 {
        3 => (Some(area), None),
        4 => (None, Some(area)),
        _ => (Some(left), Some(right)),
    };
    if let Some(area) = left {
        let known = known(area, 2, topic, frame);
        loss(area, &name, at_cursor, known, frame);
    }
    if let Some(area) = right {
        let known = known(area, 3, Topic::LayersOfClass { class }, frame);
        layers(area, &name, known, frame);
    }
}

/// The latest answer over the steps in view, or why there is none.
type Known<'a> = Result<&'a Binned, &'a str>;

/// Asks about the steps in view, in the columns of a chart.
fn known<'a>(area: Rect, rank: u8, topic: Topic, frame: &mut Frame<'a>) -> Known<'a> {
    let columns = LineChart::plot_columns(area, frame.theme.glyphs);
    match frame.ask(rank, frame.app.about_window(topic, columns)) {
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

/// Draws the loss of the class, with its value at the cursor in the title.
fn loss(
    area: Rect,
    name: &str,
    at_cursor: Option<(u64, &Binned)>,
    known: Known<'_>,
    frame: &mut Frame,
) {
    let (app, theme) = (frame.app, frame.theme);
    let titles = match at_cursor {
        Some((step, binned)) => {
            let loss = words::loss(binned.sums.first().copied().unwrap_or(f64::NAN));
            vec![
                format!("{name}: loss {loss} nats at step {step}"),
                format!("{name}: loss {loss} at {step}"),
                format!("loss {loss} at {step}"),
            ]
        }
        None => vec![format!("{name}: loss")],
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
    let area = named(area, &titles, &entries, frame);
    let binned = match known {
        Ok(binned) => binned,
        Err(why) => return sentence(area, why, frame),
    };
    let dots = LineChart::plot_columns(area, theme.glyphs);
    // The answer may cover other steps than those now in view: both curves share one axis.
    let stretch = app.model.timeline.stretch(&binned.steps());
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
        scale: if app.nav.linear {
            Scale::Linear
        } else {
            Scale::Log
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
    frame.render(chart.with(details), area);
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
            let selected = (b == app.nav.layer).cmp(&(a == app.nav.layer));
            selected.then_with(|| size(b).total_cmp(&size(a)))
        });
        layers.truncate(Theme::CATEGORIES);
        layers.sort_unstable();
    }
    layers
}

/// The titles of [`layers`], the longest first. The curves are sums since step `first`, if every step was split.
fn layer_titles(name: &str, which: &str, first: Option<u64>) -> Vec<String> {
    if let Some(first) = first {
        vec![
            format!("{name}: {which}, summed since step {first}"),
            format!("{which}, summed since step {first}"),
            format!("{which} since step {first}"),
            format!("LCA since step {first}"),
            format!("LCA since {first}"),
        ]
    } else {
        vec![
            format!("{name}: {which} in the steps split by class"),
            format!("{which} in the steps split by class"),
            "steps split by class".to_owned(),
            "split steps".to_owned(),
        ]
    }
}

/// Draws the LCA of each layer for the class.
fn layers(area: Rect, name: &str, known: Known<'_>, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let binned = match known {
        Ok(binned) => binned,
        Err(why) => {
            let titles = [format!("{name}: LCA by layer"), "LCA by layer".to_owned()];
            let area = titled(area, &titles, frame);
            return sentence(area, why, frame);
        }
    };
    let first = binned.steps().start;
    let every_step =
        (binned.groups.first()).is_some_and(|group| group.steps == binned.steps().end - first);
    let layers = &app.model.header.layout.layers;
    let chosen = chosen(binned, app);
    let which = match app.listed_layers().len() {
        all if all > chosen.len() => format!("{} of {all} layers", chosen.len()),
        _ => "LCA by layer".to_owned(),
    };
    let titles = layer_titles(name, &which, every_step.then_some(first));
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
    let area = named(area, &titles, &entries, frame);
    let dots = LineChart::plot_columns(area, theme.glyphs);
    let places = places(binned, dots);
    let curves: Vec<Vec<Option<Extent>>> = (chosen.iter())
        .map(|&layer| {
            if !every_step {
                return extents(binned, layer, dots);
            }
            let mut sum = 0.0;
            let sums = binned.row(layer).iter().map(|a| {
                sum += a;
                sum
            });
            spread(sums, &places, dots)
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
    let steps = binned.steps();
    let cursor = cursor(app, &steps, dots);
    draw_sums(area, frame, &series, domain, steps, cursor);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Action, Screen};
    use crate::tui::view::testing::{Run, RunShape, plain};

    #[test]
    fn no_two_curves_have_the_same_pen_and_the_title_says_how_many_there_are() {
        let mut run = Run::new(RunShape {
            layers: 20,
            ..RunShape::default()
        });
        run.act(&[Action::Screen(Screen::Classes), Action::Focus]);
        run.app.nav.layer = 13;
        run.act(&[Action::Focus, Action::Focus, Action::Focus]);
        let screen = run.text(120, 40, &plain());
        assert!(
            screen.contains("8 of 20 layers, summed since step 0"),
            "{screen}"
        );
        let topic = Topic::LayersOfClass { class: 0 };
        let query = run.app.about_window(topic, 1);
        let answer = run.app.model.queries.answer(&query);
        let Some((_, Answer::Binned(binned))) = answer else {
            panic!("{answer:?}")
        };
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
                screen.contains(&run.app.model.header.layout.layers[layer].name),
                "{screen}"
            );
        }
    }
}
