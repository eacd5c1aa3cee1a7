//! The Held-out screen: the LCA of each layer for the training loss beside that for the held-out loss.
//!
//! ```text
//!  step 412  loss 0.53121  …
//!                      cursor                    in view     helps only, steps    whole run
//!  layer      train  held-out      train  held-out      diff    train held-out   train …
//!  fc1      -1.2e-3   -1.0e-3     -0.812    -0.731    +0.081     4     7
//!  ! fc2    -3.1e-4   +2.2e-5     -0.211    +0.013    +0.224    61    12
//!  sum LCA  …
//!  Δloss    …
//!  residual …
//!  fc2: LCA summed since step 0                       ─ train ─ held-out
//! ```
//!
//! A `!` marks a layer that helps one loss and hurts the other over the steps in view. `helps only` counts the
//! steps in view in which it helped only the training loss, or only the held-out loss.

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;

use super::sheet::{NUMBER, Row, Sheet, nats, residual_style};
use super::spread::{Running, View, draw_sums, ends, named};
use super::status;
use super::words::{either, number, sentence};
use crate::analysis::scale::Domain;
use crate::app::{RunModel, Stretch};
use crate::query::{Answer, HeldOutSums, Topic};
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;
use crate::tui::widget::{Entry, LineChart, Pen, Series};

/// Rows of the smallest chart with its title.
const LEAST: u16 = 7;

pub fn draw(area: Rect, frame: &mut Frame) {
    let app = frame.app;
    let body = status::draw(area, frame);
    if !app.model.header.held_out_lca {
        let why = "This run allocates only the training loss. Train with --lca-test to see here \
                   what each layer does to the held-out loss.";
        return sentence(body, why, frame);
    }
    let view = View::of(app);
    if view.window.is_empty() {
        return;
    }
    let [above, below] = divided(body, app.listed_layers().len(), app.nav.focus);
    sheet(&view, frame).draw(above, frame);
    curves(&view, below, frame);
}

/// Splits the area into the table and the chart: the table comes first, and the chart gets the rest, or all with the
/// focus.
fn divided(body: Rect, layers: usize, focus: usize) -> [Rect; 2] {
    let rows = u16::try_from(layers).unwrap_or(u16::MAX).saturating_add(5);
    let table = match focus % 3 {
        1 => body.height,
        2 => 0,
        _ if body.height < rows.saturating_add(LEAST) && body.height < 5 + 3 + LEAST => body.height,
        _ => rows.min(body.height - LEAST),
    };
    let [above, below] = Layout::vertical([Length(table), Fill(1)]).areas(body);
    let [_, above] = Layout::horizontal([Length(1), Fill(1)]).areas(above);
    [above, below]
}

fn sheet<'a>(view: &View<'_>, frame: &mut Frame<'a>) -> Sheet<'a> {
    let (app, theme) = (frame.app, frame.theme);
    let listed = app.listed_layers();
    // The file's answers, if they cover exactly the steps of the stream.
    let mut answer = |rank, query, steps: &Stretch<'_>| match frame.ask(rank, query) {
        Some((_, Answer::HeldOut(found))) if found.steps == steps.steps() => Some(found),
        _ => None,
    };
    let cursor = app.about_cursor(Topic::HeldOut);
    let answers = [
        cursor.and_then(|query| answer(0, query, &view.at)),
        answer(1, app.about_window(Topic::HeldOut, 1), &view.window),
        answer(2, app.about_all(Topic::HeldOut), &view.all),
    ];
    let ranges = [&view.at, &view.window, &view.all];
    let row = |&layer: &usize| {
        let [at, window, all] = ranges.map(|steps| (steps.lca(layer), steps.held_out_lca(layer)));
        let split = answers[1].and_then(|found| found.layers.get(layer));
        let count = |count: Option<u64>| {
            let text = count.map_or_else(|| "-".to_owned(), |count| count.to_string());
            (text, Style::default())
        };
        let opposite = window.0 * window.1 < 0.0;
        Row {
            mark: Some((if opposite { '!' } else { ' ' }, theme.warning)),
            name: app.model.header.layout.layers[layer].name.clone(),
            style: Style::default(),
            cells: vec![
                nats(at.0, theme),
                nats(at.1, theme),
                nats(window.0, theme),
                nats(window.1, theme),
                nats(window.1 - window.0, theme),
                count(split.map(|split| split.only_train)),
                count(split.map(|split| split.only_held_out)),
                nats(all.0, theme),
                nats(all.1, theme),
                nats(all.1 - all.0, theme),
            ],
        }
    };
    Sheet {
        theme,
        title: "nats",
        groups: groups(view),
        columns: columns(),
        rows: listed.iter().map(row).collect(),
        selected: listed.iter().position(|&layer| layer == app.nav.layer),
        items: listed,
        closing: closing(&app.model, theme, &ranges, &answers),
    }
}

/// Makes the three cells of a range of steps from the steps and their answer.
type Pair<'a> = &'a dyn Fn(&Stretch<'_>, Option<&HeldOutSums>) -> [(String, Style); 3];

/// The closing rows. Until the held-out loss has been read, its change and its residual are hyphens.
fn closing(
    model: &RunModel,
    theme: &Theme,
    ranges: &[&Stretch<'_>; 3],
    answers: &[Option<&HeldOutSums>; 3],
) -> Vec<Row> {
    let layers = model.header.layout.layers.len();
    let row = |name: &str, pair: Pair<'_>| {
        let blank = || (String::new(), Style::default());
        let [at, window, all] = [0, 1, 2].map(|range| pair(ranges[range], answers[range]));
        let [at_train, at_held_out, _] = at;
        let cells = [at_train, at_held_out].into_iter().chain(window);
        Row {
            mark: Some((' ', Style::default())),
            name: name.to_owned(),
            style: theme.header,
            cells: cells.chain([blank(), blank()]).chain(all).collect(),
        }
    };
    let plain = |value: f64| (number(value), Style::default());
    vec![
        row("sum LCA", &|steps, _| {
            let train = steps.total_sums().lca;
            let held_out: f64 = (0..layers).map(|layer| steps.held_out_lca(layer)).sum();
            [train, held_out, held_out - train].map(|value| nats(value, theme))
        }),
        row(either(theme, "Δloss", "dloss"), &|steps, found| {
            let train = steps.loss_change();
            let held_out = found.map_or(f64::NAN, |found| found.total + found.residual);
            [train, held_out, held_out - train].map(plain)
        }),
        row("residual", &|steps, found| {
            let held_out = found.map_or(f64::NAN, |found| found.residual);
            let train = (
                number(steps.residual()),
                residual_style(model, theme, steps),
            );
            [
                train,
                (number(held_out), theme.dim),
                (String::new(), theme.dim),
            ]
        }),
    ]
}

/// The titles of the groups of columns, and the number of columns in each.
fn groups(view: &View<'_>) -> Vec<(String, usize)> {
    vec![
        (view.cursor_title(), 2),
        (view.window_title("in view"), 3),
        ("helps only, steps".to_owned(), 2),
        (view.all_title("whole run"), 3),
    ]
}

fn columns() -> Vec<(String, u16)> {
    let pair = [("train", NUMBER), ("held-out", NUMBER), ("diff", NUMBER)];
    let counts = [("train", NUMBER), ("held-out", NUMBER)];
    let all = pair[..2].iter().chain(&pair).chain(&counts).chain(&pair);
    all.map(|(name, width)| ((*name).to_owned(), *width))
        .collect()
}

fn curves(view: &View<'_>, area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let Some(layer) = app.model.header.layout.layers.get(app.nav.layer) else {
        return;
    };
    let first = view.window.steps().start;
    let name = &layer.name;
    let titles = [
        format!("{name}: LCA summed since step {first}"),
        format!("LCA since step {first}"),
        format!("since {first}"),
    ];
    let pens = [
        ("train", theme.train, '*'),
        ("held-out", theme.held_out, 'o'),
    ];
    let marked = theme.needs_marks(pens.len());
    let entries = pens.map(|(name, style, mark)| Entry {
        name,
        symbol: if marked { mark } else { '─' },
        style,
    });
    let area = named(area, &titles, &entries, frame);
    if area.is_empty() {
        return;
    }
    let dots = LineChart::plot_columns(area, theme.glyphs);
    let running = Running::new(&view.window, dots);
    let train = running.curve(&view.window.running_lca(&[app.nav.layer]));
    let held_out = running.curve(&view.window.running_held_out_lca(&[app.nav.layer]));
    let domain = Domain::of(ends([&train, &held_out]).chain([0.0]));
    let curve = |(_, style, mark), extents| Series {
        name: "",
        pen: Pen { style, mark },
        extents,
    };
    let series = [curve(pens[1], &held_out), curve(pens[0], &train)];
    let (steps, cursor) = (view.window.steps(), view.mark_dot(dots));
    draw_sums(area, frame, &series, domain, steps, cursor);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Action, Screen};
    use crate::tui::view::testing::number as read;
    use crate::tui::view::testing::{Run, RunShape, is_about, plain, row, text, theme};

    fn run(shape: RunShape) -> Run {
        let mut run = Run::new(shape);
        run.act(&[Action::Screen(Screen::HeldOut)]);
        run
    }

    #[test]
    fn both_losses_close_and_opposite_signs_are_counted() {
        let mut run = run(RunShape::default());
        run.act(&[Action::Move(-10)]);
        let screen = run.text(140, 40, &theme());
        let sum: f64 = (0..40).flat_map(|t| run.held_out[t].clone()).sum();
        let words = row(&screen, "sum LCA");
        assert_eq!(words.len(), 2 + 8, "{screen}");
        assert!(is_about(read(words[5]), sum), "{screen}");
        let at: f64 = run.held_out[29].iter().sum();
        assert!(is_about(read(words[3]), at), "{screen}");
        // In the test run, a layer's LCA for the held-out loss is half that for the training loss, plus noise.
        let found = run
            .app
            .model
            .queries
            .answer(&run.app.about_all(Topic::HeldOut));
        let Some((_, Answer::HeldOut(found))) = found else {
            panic!("{found:?}");
        };
        for (layer, split) in found.layers.iter().enumerate() {
            let count = |holds: fn(f64, f64) -> bool| {
                let steps = 0..40;
                steps
                    .filter(|&t| holds(run.layer(t, layer), run.held_out[t][layer]))
                    .count() as u64
            };
            assert_eq!(split.only_train, count(|a, b| a < 0.0 && b > 0.0));
            assert_eq!(split.only_held_out, count(|a, b| a > 0.0 && b < 0.0));
            assert!(
                split.only_train + split.only_held_out > 0,
                "the test sees something"
            );
        }
        let words = row(&screen, "residual");
        assert!(is_about(read(words[4]), 40.0 * 1e-6), "{screen}");
    }

    #[test]
    fn without_held_out_allocations_a_sentence_says_what_to_do() {
        let mut run = run(RunShape {
            held_out: false,
            ..RunShape::default()
        });
        assert!(run.text(60, 16, &theme()).contains("--lca-test"));
    }

    #[test]
    fn the_screen_fits_and_is_ascii() {
        let mut run = run(RunShape::default());
        for (width, height) in [(60, 16), (80, 24), (200, 60)] {
            let screen = run.text(width, height, &plain());
            assert!(screen.is_ascii() && screen.contains("residual"), "{screen}");
        }
        run.act(&[Action::Focus, Action::Focus]);
        let screen = text(&run.app, 60, 16, &plain());
        assert!(
            screen.contains("fc0: LCA summed") && !screen.contains("sum LCA"),
            "{screen}"
        );
    }
}
