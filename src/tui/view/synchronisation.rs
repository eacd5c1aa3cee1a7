//! The Synchronisation screen: do layers learn most in the same steps?
//!
//! ```text
//!  step 412  loss 0.53121  …
//!  moments of learning, steps 0-411: 34 of 60 shared by two or more layers      n: by class
//!  by chance: 12.1 ± 3.2 (p = 0.0001) if jittered by 1-2 steps, 5.0 ± 2.1 (p = 0.0001) if shifted circularly
//!   shared│  3      2             the most layers that share one step of the column
//!      fc1│· ┃   ·  ┃  ·          · alone, ┃ shared
//!      fc2│  ┃      ┃          ┃
//!         └┴0────┴200─── step
//!  jittered by 1-2 steps                 shifted circularly
//!   draws│ ▃▇█▆▂          │34             draws│▇█▅▁                 │34
//!        └┴4──────── pairs                     └┴0──────── pairs
//! ```
//!
//! The moments and the null distributions cover the whole run; the grid shows the moments in view. A filter
//! hides rows, but the counts in words include all layers.

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;

use super::spread::{View, titled};
use super::status;
use super::words::{either, scrolled, sentence, width_of, worded};
use crate::analysis::bins;
use crate::app::{App, Navigation, RunModel};
use crate::query::{Answer, Chance, Query, Synchronisation, Topic};
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;
use crate::tui::widget::heat_map::plot_area;
use crate::tui::widget::{Bin, Histogram, MarkGrid, Marks, Pen, XAxis};

/// Rows of words below the status line.
const WORDS: u16 = 2;
/// Rows of the smallest grid, with the line that says how many layers share a step.
const LEAST_GRID: u16 = 6;
/// Rows of the null distributions with their title, if they fit.
const NULLS: u16 = 8;
/// The most rows of the null distributions below the grid.
const TALLEST: u16 = 16;
/// Rows of the grid that are not layers.
const FRAME: u16 = 2;
/// The most empty bins added on a side to reach the observed count.
const MOST_BINS: usize = 400;

pub fn draw(area: Rect, frame: &mut Frame) {
    let app = frame.app;
    let below = status::draw(area, frame);
    let known = match frame.ask(0, about(app)) {
        Some((_, Answer::Synchronisation(known))) => known,
        other => {
            let text = match other {
                Some((_, Answer::Unknown(why))) => format!("{}{why}", within(app)),
                _ => "reading …".to_owned(),
            };
            return sentence(below, &text, frame);
        }
    };
    let [above, body] = Layout::vertical([Length(WORDS), Fill(1)]).areas(below);
    words(above, frame, known);
    let listed = app.listed_layers();
    let [upper, lower] = halves(body, listed.len(), app.nav.focus);
    grid(upper, frame, known, &listed);
    distributions(lower, frame, known);
}

fn about(app: &App) -> Query {
    let nav = &app.nav;
    let class = u32::try_from(nav.class).ok().filter(|_| nav.within_class);
    app.about_all(Topic::Synchronisation { class })
}

/// Width of the names and the line beside them, with room for "shared" above the names.
fn gutter(model: &RunModel, listed: &[usize], width: u16) -> u16 {
    let layers = &model.header.layout.layers;
    let names = listed.iter().map(|&layer| width_of(&layers[layer].name));
    names.max().unwrap_or(0).clamp(6, (width / 4).max(6)) + 1
}

/// The first layer in view.
fn first_shown(nav: &Navigation, listed: &[usize], plot: Rect) -> usize {
    let selected = listed.iter().position(|&layer| layer == nav.layer);
    scrolled(
        selected.unwrap_or(0),
        usize::from(plot.height),
        listed.len(),
    )
}

/// The areas of the grid, no higher than its layers need, and of the null distributions below it.
fn halves(body: Rect, layers: usize, focus: usize) -> [Rect; 2] {
    let layers = u16::try_from(layers).unwrap_or(u16::MAX);
    let grid = layers.saturating_add(FRAME).max(LEAST_GRID);
    let grid = match focus % 3 {
        1 => body.height,
        2 => 0,
        _ if body.height < NULLS + FRAME + 3 => body.height,
        _ => grid.min(body.height - NULLS),
    };
    let nulls = (body.height - grid).min(if focus % 3 == 2 { body.height } else { TALLEST });
    Layout::vertical([grid, nulls].map(Length)).areas(body)
}

/// The prefix "class 3: " within a class; otherwise empty.
fn within(app: &App) -> String {
    let (model, nav) = (&app.model, &app.nav);
    let class = model.class_title(nav.class).filter(|_| nav.within_class);
    class.map_or_else(String::new, |class| format!("{class}: "))
}

fn words(area: Rect, frame: &mut Frame, known: &Synchronisation) {
    let (app, theme) = (frame.app, frame.theme);
    let buf = &mut *frame.buffer;
    let room = usize::from(area.width).saturating_sub(2);
    let steps = match known.steps.checked_sub(1) {
        Some(last) => format!("steps 0-{last}"),
        None => "no steps yet".to_owned(),
    };
    let Synchronisation { pairs, count, .. } = known;
    let within = within(app);
    let hint = if app.model.header.classes.is_empty() {
        ""
    } else {
        "n: by class"
    };
    let shared = format!("{pairs} of {count} shared");
    let texts = [
        format!("{within}moments of learning, {steps}: {shared} by two or more layers"),
        format!("{within}moments, {steps}: {shared} by two or more layers"),
        format!("{within}moments, {steps}: {shared}"),
        format!("{within}{shared}"),
        shared,
    ];
    let text = worded(&texts, room, theme);
    buf.set_stringn(area.x + 1, area.y, &text, room, theme.header);
    if width_of(&text) + width_of(hint) + 3 < area.width {
        let x = area.right() - width_of(hint) - 1;
        buf.set_string(x, area.y, hint, theme.dim);
    }
    let models = [&known.jitter, &known.circular];
    let [near, around] = models.map(|model| chance(model, theme));
    let [near_p, around_p] = models.map(|model| format!("p = {}", p_value(model.p)));
    let texts = [
        format!("by chance: {near} if jittered by 1-2 steps, {around} if shifted circularly"),
        format!("by chance: jittered {near}, shifted {around}"),
        format!("jittered {near}, shifted {around}"),
        format!("by chance: jittered {near_p}, shifted {around_p}"),
        format!("{near_p}, {around_p}"),
    ];
    let text = worded(&texts, room, theme);
    buf.set_stringn(area.x + 1, area.y + 1, text, room, Style::default());
}

/// Formats a null distribution: `12.1 ± 3.2 (p = 0.0001)`.
fn chance(chance: &Chance, theme: &Theme) -> String {
    let between = either(theme, "±", "+-");
    let Chance {
        mean, deviation, p, ..
    } = chance;
    format!("{mean:.1} {between} {deviation:.1} (p = {})", p_value(*p))
}

/// Formats a p-value with as many digits as 10,000 draws support.
fn p_value(p: f64) -> String {
    if p < 0.001 {
        format!("{p:.4}")
    } else {
        format!("{p:.3}")
    }
}

fn grid(area: Rect, frame: &mut Frame, known: &Synchronisation, listed: &[usize]) {
    let (app, theme) = (frame.app, frame.theme);
    if area.height <= FRAME || listed.is_empty() {
        return;
    }
    let layers = &app.model.header.layout.layers;
    let names: Vec<&str> = listed.iter().map(|&l| layers[l].name.as_str()).collect();
    let gutter = gutter(&app.model, listed, area.width);
    let plot = plot_area(area, gutter);
    let visible = app.visible();
    let moments: Vec<&[u64]> = listed
        .iter()
        .map(|&layer| known.moments.get(layer).map_or(&[][..], Vec::as_slice))
        .collect();
    let columns = usize::from(plot.width);
    let marks = Marks::new(&moments, &visible, columns);
    let selected = listed.iter().position(|&layer| layer == app.nav.layer);
    let count = usize::try_from(visible.end - visible.start).unwrap_or(usize::MAX);
    let mark = View::of(app).mark().filter(|step| visible.contains(step));
    let cursor = mark.and_then(|step| {
        let index = usize::try_from(step - visible.start).ok()?;
        bins::column_of(index, count, columns).next()
    });
    let first = first_shown(&app.nav, listed, plot);
    let grid = MarkGrid {
        theme,
        marks: &marks,
        names: &names,
        gutter,
        first,
        selected,
        cursor,
        x_axis: XAxis::Steps(visible),
    };
    frame.render(grid, area);
    let lines = Rect {
        x: area.x,
        width: area.width,
        ..plot
    };
    frame.rows(lines, listed[first..].iter().copied());
}

/// Draws the two null distributions side by side, with the observed count in each.
fn distributions(area: Rect, frame: &mut Frame, known: &Synchronisation) {
    if area.height < 4 {
        return;
    }
    let models = [
        (
            [
                "moments jittered by 1-2 steps",
                "jittered by 1-2 steps",
                "jittered",
            ],
            &known.jitter,
        ),
        (
            [
                "each layer's moments shifted circularly",
                "shifted circularly",
                "shifted",
            ],
            &known.circular,
        ),
    ];
    // A blank is behind each.
    let half = area.width / 2;
    let columns = [Length(half.saturating_sub(1)); 2];
    let [left, right] = Layout::horizontal(columns).spacing(1).areas(area);
    for ((names, chance), own) in models.into_iter().zip([left, right]) {
        let [long, middle, short] = names;
        let draws = chance.draws;
        let titles = [
            format!("{long}, {draws} draws"),
            format!("{middle}, {draws} draws"),
            middle.to_owned(),
            short.to_owned(),
        ];
        let own = titled(own, &titles, frame);
        distribution(own, frame, chance, known.pairs);
    }
}

fn distribution(area: Rect, frame: &mut Frame, chance: &Chance, observed: u64) {
    let theme = frame.theme;
    let (Some(&(first, second, _)), Some(&(_, end, _))) = (chance.bars.first(), chance.bars.last())
    else {
        return;
    };
    let pen = Pen {
        style: theme.neutral,
        mark: '#',
    };
    let mut bins: Vec<Bin> = (chance.bars.iter())
        .map(|&(.., draws)| Bin {
            count: f64::from(draws),
            pen,
        })
        .collect();
    // Add empty bins on the side where the observed count is.
    let width = second.saturating_sub(first).max(1);
    let below = first.saturating_sub(observed).div_ceil(width);
    let above = observed
        .saturating_add(1)
        .saturating_sub(end)
        .div_ceil(width);
    let empty = |count: u64| {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(MOST_BINS);
        std::iter::repeat_n(Bin { count: 0.0, pen }, count)
    };
    let (before, behind) = (below.min(first / width), above);
    bins.splice(0..0, empty(before));
    bins.extend(empty(behind));
    let start = first.saturating_sub(before.saturating_mul(width));
    let place = usize::try_from(observed.saturating_sub(start) / width).unwrap_or(usize::MAX);
    let shown = (place < bins.len()).then_some(place);
    let labels = [start.to_string(), observed.to_string()];
    #[expect(clippy::cast_precision_loss, reason = "a few hundred bins")]
    let edge = |bin: usize| bin as f64;
    let mut edges = vec![(0.0, labels[0].as_str())];
    if let Some(place) = shown.filter(|&place| place > 0) {
        edges.push((edge(place), labels[1].as_str()));
    }
    let chart = Histogram {
        theme,
        bins: &bins,
        log: false,
        unit: "draws",
        edges: &edges,
        name: "pairs",
        reference: shown.map(|place| (edge(place), "run")),
        highlight: shown.map(|place| place..place + 1),
    };
    frame.render(chart, area);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ratatui::style::Modifier;

    use super::*;
    use crate::app::{Action, Screen};
    use crate::tui::theme::ColorLevel;
    use crate::tui::view::testing::{
        Run, RunShape, any_glyphs, app, framed, odd_allocations, plain, text, theme,
    };

    const HERE: Action = Action::Screen(Screen::Synchronisation);

    fn run() -> Run {
        let mut run = Run::new(RunShape {
            steps: 150,
            layers: 5,
            ..RunShape::default()
        });
        run.act(&[HERE]);
        run
    }

    /// Moments by definition: lower than both neighbours, the 20 deepest.
    fn naive(run: &Run, layer: usize) -> Vec<usize> {
        let a: Vec<f64> = (0..150).map(|t| run.layer(t, layer)).collect();
        let mut moments: Vec<usize> = (1..149)
            .filter(|&t| a[t] < a[t - 1] && a[t] < a[t + 1])
            .collect();
        moments.sort_by(|&s, &t| a[s].total_cmp(&a[t]));
        moments.truncate(20);
        moments
    }

    #[test]
    fn shared_steps_of_layers_are_counted() {
        let mut run = run();
        let sets: Vec<Vec<usize>> = (0..5).map(|layer| naive(&run, layer)).collect();
        let count: usize = sets.iter().map(Vec::len).sum();
        let shared = |(layer, t): (usize, usize)| {
            (0..5).any(|other| other != layer && sets[other].contains(&t))
        };
        let all = (0..5).flat_map(|layer| sets[layer].iter().map(move |&t| (layer, t)));
        let pairs = all.filter(|&pair| shared(pair)).count();
        let expected = format!("steps 0-149: {pairs} of {count} shared by two or more layers");
        for (width, height) in [(80, 24), (120, 40), (200, 60)] {
            let screen = run.text(width, height, &plain());
            assert!(screen.contains(&expected), "{expected}\n{screen}");
            assert!(screen.is_ascii() && screen.contains("(p = 0."), "{screen}");
        }
        let screen = run.text(120, 40, &theme());
        assert!(
            screen.contains("10000 draws") && screen.contains("pairs"),
            "{screen}"
        );
    }

    #[test]
    fn selecting_classes_cycles_back_to_all() {
        let mut run = run();
        let all = run.text(100, 30, &plain());
        run.act(&[Action::NextClass]);
        let first = run.text(100, 30, &plain());
        assert!(first.contains("\n class 0: moments of learning"), "{first}");
        run.act(&[Action::NextClass, Action::NextClass, Action::NextClass]);
        assert_eq!(run.text(100, 30, &plain()), all, "behind the last come all");
        run.act(&[Action::PreviousClass]);
        assert!(run.text(100, 30, &plain()).contains(" class 2: moments"));
    }

    #[test]
    fn without_class_allocations_a_sentence_says_what_to_do() {
        let mut run = run();
        run.act(&[Action::NextClass]);
        let why = "train with --by-class to record it";
        let query = about(&run.app);
        run.app
            .model
            .queries
            .take(query, Answer::Unknown(why.to_owned()));
        let screen = text(&run.app, 100, 30, &plain());
        assert!(screen.contains(&format!(" class 0: {why}")), "{screen}");
    }

    #[test]
    fn an_observed_count_outside_of_chance_is_in_the_picture() {
        let chance = Chance {
            draws: 100,
            bars: vec![(10, 12, 60), (12, 14, 40)],
            ..Chance::default()
        };
        for observed in [0, 9, 10, 13, 14, 40, 100_000] {
            let (buf, _) = framed(&app(1, &[]), (60, 8), &plain(), |area, frame| {
                distribution(area, frame, &chance, observed);
            });
            let cells: String = buf
                .content
                .iter()
                .map(ratatui::buffer::Cell::symbol)
                .collect();
            // The axis's name gives way to a label that needs its place.
            let labelled = cells.contains("pairs") || cells.contains(&observed.to_string());
            assert!(labelled, "{observed}: {cells}");
            let mut styles = buf.content.iter().map(|cell| cell.modifier);
            let found = styles.any(|style| style.contains(Modifier::REVERSED));
            assert_eq!(found, observed < 800, "{observed}: {cells}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn nothing_panics(
            (width, height) in (1u16..220, 1u16..70),
            layers in 0usize..30,
            allocations in odd_allocations(),
            focus in 0usize..4,
            moments in prop::collection::vec(prop::collection::vec(any::<u64>(), 0..9), 0..40),
            bars in prop::collection::vec((0u64..1 << 40, 0u64..1 << 40, any::<u32>()), 0..30),
            pairs in 0u64..1 << 50,
            glyphs in any_glyphs(),
        ) {
            let mut app = app(layers, &allocations);
            app.act(HERE);
            app.nav.focus = focus;
            let chance = Chance { bars, ..Chance::default() };
            let known = Synchronisation {
                steps: 7,
                moments,
                pairs,
                jitter: chance.clone(),
                circular: chance,
                ..Synchronisation::default()
            };
            app.model.queries.take(about(&app), Answer::Synchronisation(known));
            text(&app, width, height, &Theme::new(ColorLevel::Ansi16, glyphs));
        }
    }
}
