//! The Oscillation screen: how the selected layer oscillates, and which layers it lags behind.
//!
//! ```text
//!  step 412  loss 0.53121  …
//!  fc2: sign flip of updates every 6.7 steps, of gradients every 9.1 steps, …
//!  layer LCA: sign flip every 12.0 steps, period 6.3 steps (r = 0.41)
//!  updates lag the negative gradient by 3 steps (r = 0.52), mean of 12 traced, momentum alone: 9.0 steps
//!  LCA in 408-412: -1.2e-3 to +1.1e-4       behind   lag     r     flip    g flip
//!   nats│   ⡠⡀ ⢀⠔⡄                          fc1       +1 +0.62      6.7       9.1
//!  autocorrelation of LCA                   fc2        -     -      9.7      12.0
//!     1 │⡇                                  fc3       -2 +0.31      8.0      10.3
//!       └0────10────20 lag
//!  update (norm)  gradient (norm)  cosine of update and negative gradient
//! ```
//!
//! A lag of +1 in the row of fc1 means that this layer's LCA follows fc1's one step later, with correlation r.
//! [`crate::query::Oscillation`] defines each number.

use std::ops::Range;

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;

use super::cells;
use super::sheet::{Row, Sheet};
use super::spread::{Spread, View, charts, ends, named, titled};
use super::words::{elided, every, fitting, number, sentence, signed_scale};
use super::{oscillation_words, status};
use crate::analysis::bins::{self, Extent};
use crate::analysis::scale::{Domain, Scale};
use crate::app::App;
use crate::query::{Answer, CurveExtremes, Oscillation, Topic};
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;
use crate::tui::widget::{Details, Entry, LineChart, Pen, Series, XAxis};

/// Rows of the smallest chart with its title.
const LEAST: u16 = 6;
/// Lines of words below the status.
const WORDS: u16 = 3;
/// Width of the table.
const TABLE: u16 = 40;

/// Number of charts, numbered by importance.
const CHARTS: usize = 5;

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let below = status::draw(area, frame);
    let [words, body] = Layout::vertical([Length(WORDS), Fill(1)]).areas(below);
    let table = TABLE.min(body.width / 2);
    let columns = [Fill(1), Length(table)];
    let [left, right] = Layout::horizontal(columns).spacing(1).areas(body);
    let dots = LineChart::plot_columns(left, theme.glyphs);
    let layer = app.model.header.layout.layers.get(app.nav.layer);
    let named = layer.and_then(|layer| Some((u32::try_from(app.nav.layer).ok()?, &layer.name)));
    let answer = named.and_then(|(layer, name)| {
        let query = app.about_window(Topic::Oscillation { layer }, dots);
        Some((name, frame.ask(0, query)?.1))
    });
    let (name, known) = match answer {
        Some((name, Answer::Oscillation(known))) => (name, known),
        Some((_, Answer::Unknown(why))) => return sentence(below, why, frame),
        _ => return sentence(below, "reading …", frame),
    };
    let screen = Screen {
        app,
        theme,
        known,
        view: View::of(app),
    };
    let name = elided(name, usize::from(area.width / 4), theme);
    for (line, parts) in words.rows().zip(oscillation_words::lines(&name, known)) {
        let room = usize::from(area.width).saturating_sub(2);
        let text = elided(&fitting(parts, ", ", room), room, theme);
        (frame.buffer).set_stringn(line.x + 1, line.y, text, room, Style::default());
    }
    for (chart, part) in charts(left, CHARTS, LEAST, app.nav.focus) {
        screen.chart(chart, part, frame);
    }
    screen.table().draw(right, frame);
}

struct Screen<'a> {
    app: &'a App,
    theme: &'a Theme,
    known: &'a Oscillation,
    view: View<'a>,
}

impl<'a> Screen<'a> {
    fn steps(&self) -> Range<u64> {
        let edges = &self.known.edges;
        edges.first().copied().unwrap_or(0)..edges.last().copied().unwrap_or(0)
    }

    /// The value of a curve at the cursor: exact, or its range over the steps of the cursor's column.
    fn at_cursor(&self, curve: &CurveExtremes, chart: usize) -> Option<String> {
        let edges = &self.known.edges;
        let step = self.view.cursor?;
        let column = edges.partition_point(|&edge| edge <= step).checked_sub(1)?;
        let range = *edges.get(column)?..*edges.get(column + 1)?;
        let [least, most] = [&curve.least, &curve.most].map(|ends| ends.get(column).copied());
        let (least, most) = (f64::from(least?), f64::from(most?));
        // A norm has no sign.
        let signed = !matches!(chart, 2 | 3);
        let said = |value: f64| {
            let text = number(value);
            let text = text.trim();
            if signed {
                text.to_owned()
            } else {
                text.trim_start_matches('+').to_owned()
            }
        };
        let text = match (least.is_finite(), least < most) {
            (false, _) => "-".to_owned(),
            (_, false) => said(least),
            _ => format!("{} to {}", said(least), said(most)),
        };
        Some(match range.end.saturating_sub(range.start) {
            1 => format!("at {}: {text}", range.start),
            _ => format!("in {}-{}: {text}", range.start, range.end - 1),
        })
    }

    fn chart(&self, chart: usize, area: Rect, frame: &mut Frame) {
        let steps = self.steps();
        if steps.is_empty() {
            return;
        }
        let known = self.known;
        let (names, curve, unit) = match chart {
            0 => (["layer LCA, nats per step", "LCA"], &known.lca, "nats"),
            1 => return self.autocorrelation(area, frame),
            2 => (["update, L2 norm", "update"], &known.movement, "norm"),
            3 => (["gradient, L2 norm", "gradient"], &known.gradient, "nats"),
            _ => (
                ["cosine of update and negative gradient", "cosine"],
                &known.cosine,
                "cos",
            ),
        };
        let dots = LineChart::plot_columns(area, self.theme.glyphs);
        let extents = extents(curve, dots);
        // A band over many steps gets a line of its mean, if sums are known: those of LCA are.
        let window = &self.view.window;
        let banded = chart == 0 && window.steps() == steps && steps.end - steps.start > dots as u64;
        let line = Pen {
            style: self.theme.train,
            mark: '*',
        };
        let pen = if banded {
            Pen {
                style: self.theme.dim,
                mark: ':',
            }
        } else {
            line
        };
        let mean = if banded {
            #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
            Spread::over(window, dots).curve(|bar| bar.lca(self.app.nav.layer) / bar.len() as f64)
        } else {
            Vec::new()
        };
        let marked = self.theme.needs_marks(2);
        let entries = [("per step", pen), ("mean", line)].map(|(name, pen)| Entry {
            name,
            symbol: if marked { pen.mark } else { '─' },
            style: pen.style,
        });
        let entries = if banded { &entries[..] } else { &[] };
        let [long, short] = names;
        let titles = match self.at_cursor(curve, chart) {
            Some(at) => vec![
                format!("{long}, {at}"),
                format!("{short} {at}"),
                at,
                short.to_owned(),
            ],
            None => vec![long.to_owned(), short.to_owned()],
        };
        let area = named(area, &titles, entries, frame);
        let (scale, domain) = self.axis(chart, &extents);
        let series = [Series {
            name: "",
            pen,
            extents: &extents,
        }];
        let smoothed = [Series {
            name: "",
            pen: line,
            extents: &mean,
        }];
        let count = usize::try_from(steps.end - steps.start).unwrap_or(usize::MAX);
        let mark = self.view.mark().filter(|step| steps.contains(step));
        let cursor = mark.and_then(|step| {
            let index = usize::try_from(step - steps.start).ok()?;
            bins::column_of(index, count, dots).next()
        });
        let chart = LineChart {
            theme: self.theme,
            series: &series,
            scale,
            domain,
            unit,
            steps,
            cursor,
        };
        let details = Details {
            zero_line: true,
            smoothed: if banded { &smoothed } else { &[] },
            ..Details::default()
        };
        frame.render(chart.with(details), area);
    }

    fn axis(&self, chart: usize, extents: &[Option<Extent>]) -> (Scale, Domain) {
        let owned = extents.to_vec();
        let ends: Vec<f64> = ends([&owned]).collect();
        let most = cells::largest(ends.iter().copied());
        let log = !self.app.nav.linear;
        match chart {
            0 => (signed_scale(&self.app.nav, most), Domain::symmetric(most)),
            2 | 3 if log => (Scale::Log, Domain::of(ends)),
            2 | 3 => (Scale::Linear, Domain::new(0.0, most)),
            _ => (Scale::Linear, Domain::symmetric(1.0)),
        }
    }

    fn autocorrelation(&self, area: Rect, frame: &mut Frame) {
        let r = &self.known.autocorrelation;
        let Range { start, end } = self.known.tail;
        let last = end - start;
        let titles = [
            format!("autocorrelation of layer LCA, {last} steps"),
            format!("autocorrelation, {last} steps"),
            "autocorrelation".to_owned(),
        ];
        let area = titled(area, &titles, frame);
        if r.is_empty() {
            return;
        }
        let dots = LineChart::plot_columns(area, self.theme.glyphs);
        #[expect(clippy::cast_possible_truncation, reason = "between −1 and 1")]
        let values: Vec<f32> = r.iter().map(|r| *r as f32).collect();
        let extents = bins::extents(&values, dots);
        let series = [Series {
            name: "",
            pen: Pen {
                style: self.theme.accent,
                mark: '*',
            },
            extents: &extents,
        }];
        let chart = LineChart {
            theme: self.theme,
            series: &series,
            scale: Scale::Linear,
            domain: Domain::symmetric(1.0),
            unit: "r",
            steps: 0..r.len() as u64,
            cursor: None,
        };
        let details = Details {
            x_axis: Some(XAxis::Whole {
                first: 0,
                count: r.len() as u64,
                name: "lag",
            }),
            zero_line: true,
            ..Details::default()
        };
        frame.render(chart.with(details), area);
    }

    /// The table of this layer's lag behind each other layer, and of each layer's steps per sign flip.
    fn table(&self) -> Sheet<'a> {
        let app = self.app;
        let listed = app.listed_layers();
        let window = &self.view.window;
        let plain = Style::default();
        let rows = listed.iter().map(|&layer| {
            let sums = window.layer_sums(layer);
            let lag = self.known.others.get(layer).copied().flatten();
            let lag = match lag {
                Some(lag) => [signed(lag.steps), format!("{:+.2}", lag.correlation)],
                None => ["-".to_owned(), "-".to_owned()],
            };
            let [steps, correlation] = lag;
            Row {
                name: app.model.header.layout.layers[layer].name.clone(),
                cells: vec![
                    (steps, plain),
                    (correlation, plain),
                    (every(sums.steps_per_flip()).trim().to_owned(), plain),
                    (
                        every(sums.steps_per_gradient_flip()).trim().to_owned(),
                        plain,
                    ),
                ],
                ..Row::default()
            }
        });
        // The lags come from the file's steps, the sign flips from the stream's.
        let [updates, gradients] = ["flip", "g flip"].map(|name| self.view.window_title(name));
        let columns = [
            ("lag".to_owned(), 5),
            ("r".to_owned(), 6),
            (updates, 9),
            (gradients, 11),
        ];
        Sheet {
            theme: self.theme,
            title: "behind",
            groups: Vec::new(),
            columns: columns.to_vec(),
            rows: rows.collect(),
            selected: listed.iter().position(|&layer| layer == app.nav.layer),
            items: listed,
            closing: Vec::new(),
        }
    }
}

/// Formats a lag: positive with a +, zero without a sign.
fn signed(steps: i32) -> String {
    match steps {
        0 => "0".to_owned(),
        steps => format!("{steps:+}"),
    }
}

/// A curve at the dots of a chart, which may have more or fewer columns.
fn extents(curve: &CurveExtremes, dots: usize) -> Vec<Option<Extent>> {
    let n = curve.least.len();
    let of = |dot: usize| {
        let columns = bins::indices_at(dot, n, dots);
        let ends = curve.least[columns.clone()]
            .iter()
            .zip(&curve.most[columns]);
        let finite = ends.filter(|(least, most)| least.is_finite() && most.is_finite());
        finite.fold(None, |extent: Option<Extent>, (&min, &max)| {
            let own = Extent { min, max };
            Some(extent.map_or(own, |extent| extent.merge(own)))
        })
    };
    (0..dots).map(of).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::{Action, Screen};
    use crate::tui::theme::ColorLevel;
    use crate::tui::view::testing::{
        Run, RunShape, any_glyphs, app, odd_allocations, plain, queries, row, text, theme,
    };

    const HERE: Action = Action::Screen(Screen::Oscillation);

    #[test]
    fn the_screen_agrees_with_the_file() {
        let mut run = Run::new(RunShape {
            steps: 90,
            ..RunShape::default()
        });
        run.act(&[HERE, Action::Select(1)]);
        for (width, height) in [(80, 24), (120, 40), (200, 60)] {
            let screen = run.text(width, height, &plain());
            assert!(screen.is_ascii(), "{screen}");
            // 20 parameters, 2 update and 1 gradient flips a step.
            assert!(
                screen.contains("fc1: sign flip of updates every 10.0 steps"),
                "{screen}"
            );
            assert!(screen.contains("of gradients every 20.0 steps"), "{screen}");
            let own = row(&screen, "layer LCA: sign flip");
            assert!(own.len() > 3, "{screen}");
            assert!(screen.contains("unknown for the traced") || screen.contains("no traced"));
        }
        let screen = run.text(200, 60, &theme());
        for title in [
            "layer LCA, nats per step, at 89: ",
            "autocorrelation",
            "update, L2 norm",
            "cosine",
        ] {
            assert!(screen.contains(title), "{title}: {screen}");
        }
        // The table has a lag for every layer but this one.
        let line = screen
            .lines()
            .find(|line| line.contains(" fc1 "))
            .unwrap_or_default();
        let cells: Vec<&str> = line
            .split(" fc1 ")
            .last()
            .unwrap()
            .split_whitespace()
            .collect();
        assert_eq!(cells, ["-", "-", "10.0", "20.0"], "{screen}");
    }

    #[test]
    fn a_missing_answer_is_shown_as_being_read() {
        let mut app = app(2, &[0.1, -0.2]);
        app.act(HERE);
        assert!(text(&app, 80, 24, &plain()).contains("reading ..."));
    }

    #[test]
    fn a_curve_keeps_its_extremes_and_gaps_at_any_width() {
        let curve = CurveExtremes {
            least: vec![1.0, f32::NAN, -3.0],
            most: vec![2.0, f32::NAN, 0.0],
        };
        let extent = |min, max| Some(Extent { min, max });
        let three = [extent(1.0, 2.0), None, extent(-3.0, 0.0)];
        assert_eq!(extents(&curve, 3), three);
        assert_eq!(extents(&curve, 1), [extent(-3.0, 2.0)]);
        assert_eq!(extents(&curve, 6).iter().filter(|e| e.is_none()).count(), 2);
        assert_eq!(extents(&CurveExtremes::default(), 2), [None, None]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn nothing_panics(
            (width, height) in (1u16..220, 1u16..70),
            layers in 0usize..30,
            allocations in odd_allocations(),
            focus in 0usize..7,
            numbers in prop::collection::vec(any::<f64>(), 0..50),
            glyphs in any_glyphs(),
        ) {
            let mut app = app(layers, &allocations);
            app.act(HERE);
            app.nav.focus = focus;
            let theme = Theme::new(ColorLevel::Ansi16, glyphs);
            for query in queries(&app, (width, height), &theme) {
                #[expect(clippy::cast_possible_truncation, reason = "any numbers")]
                let curve = |sign: f64| CurveExtremes {
                    least: numbers.iter().map(|x| (x * sign) as f32).collect(),
                    most: numbers.iter().map(|x| (x * sign) as f32).collect(),
                };
                let known = Oscillation {
                    edges: (3..=3 + numbers.len() as u64).collect(),
                    lca: curve(1.0),
                    movement: curve(-1.0),
                    gradient: curve(1e-3),
                    cosine: curve(f64::NAN),
                    autocorrelation: numbers.clone(),
                    period: numbers.first().map(|x| (*x, *x)),
                    expected: numbers.last().copied(),
                    others: vec![None; layers / 2],
                    ..Oscillation::default()
                };
                app.model.queries.take(query, Answer::Oscillation(Box::new(known)));
            }
            text(&app, width, height, &theme);
        }
    }
}
