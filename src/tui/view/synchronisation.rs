//! Synchronisation: do layers learn most in the same steps?
//!
//! ```text
//!  step 412  loss 0.53121  …
//!  moments of learning, steps 0-411: 34 of 60 shared by two or more layers      n: within a class
//!  by chance 12.1 +- 3.2 moved by 1-2 steps (p 0.0001), 5.0 +- 2.1 moved around the run (p 0.0001)
//!   shared│  3      2             the most layers that share one step of the column
//!      fc1│· ┃   ·  ┃  ·          · alone, ┃ shared
//!      fc2│  ┃      ┃          ┃
//!         └┴0────┴200─── step
//!  moved by 1-2 steps                    moved around the run
//!   draws│ ▃▇█▆▂          │34             draws│▇█▅▁                 │34
//!        └┴4──────── pairs                     └┴0──────── pairs
//! ```
//!
//! The moments and the null distributions are of the whole run so far; the grid shows those in the
//! window. A filter hides rows; the counts in words are of all layers.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::Widget;

use super::spread::{View, titled};
use super::status;
use super::words::{either, elided, scrolled, width_of};
use crate::analysis::bins;
use crate::app::App;
use crate::query::{Answer, Chance, Query, Synchronisation, Topic};
use crate::tui::theme::Theme;
use crate::tui::widget::heat_map::plot_area;
use crate::tui::widget::{Bin, Histogram, MarkGrid, Marks, Pen, XAxis};

/// Rows of words, with the status.
const WORDS: u16 = 3;
/// Rows of the smallest grid that says how many layers share a step.
const LEAST_GRID: u16 = 6;
/// Rows of the null distributions with their title, where there is room.
const NULLS: u16 = 8;
/// Rows that they have at most, beside the grid.
const TALLEST: u16 = 16;
/// Rows of the grid that are no layers.
const FRAME: u16 = 2;
/// Bins of a distribution that is drawn out to the observed count at most.
const MOST_BINS: usize = 400;

pub fn wants(_: Rect, app: &App, _: &Theme) -> Vec<Query> {
    vec![about(app)]
}

fn about(app: &App) -> Query {
    let class = u32::try_from(app.class).ok().filter(|_| app.within_class);
    app.about_all(Topic::Synchronisation { class })
}

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    let status = Rect { height: 1, ..area };
    status::line(app, theme, area.width).render(status, buf);
    let below = Rect {
        y: area.y + 1,
        ..status
    };
    let known = match app.desk.answer(&about(app)) {
        Some((_, Answer::Synchronisation(known))) => known,
        other => {
            let text = match other {
                Some((_, Answer::Unknown(why))) => format!(" {}{why}", within(app)),
                _ => either(theme, " reading …", " reading ...").to_owned(),
            };
            return Line::styled(text, theme.dim).render(below, buf);
        }
    };
    words(below, buf, app, theme, known);
    let body = Rect {
        y: area.y + WORDS.min(area.height),
        height: area.height.saturating_sub(WORDS),
        ..area
    };
    let listed = app.listed_layers();
    let [upper, lower] = halves(body, listed.len(), app.focus);
    grid(upper, buf, app, theme, known, &listed);
    distributions(lower, buf, theme, known);
}

/// The grid, with no more rows than it has layers, and the null distributions below it.
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
    let upper = Rect {
        height: grid,
        ..body
    };
    let lower = Rect {
        y: upper.bottom(),
        height: nulls,
        ..body
    };
    [upper, lower]
}

/// "class 3: " within a class.
fn within(app: &App) -> String {
    let class = app.class_title(app.class).filter(|_| app.within_class);
    class.map_or_else(String::new, |class| format!("{class}: "))
}

fn words(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme, known: &Synchronisation) {
    let room = usize::from(area.width).saturating_sub(2);
    let steps = match known.steps.checked_sub(1) {
        Some(last) => format!("steps 0-{last}"),
        None => "no steps yet".to_owned(),
    };
    let Synchronisation { pairs, count, .. } = known;
    let within = within(app);
    let text = format!(
        "{within}moments of learning, {steps}: {pairs} of {count} shared by two or more layers"
    );
    buf.set_stringn(
        area.x + 1,
        area.y,
        elided(&text, room, theme),
        room,
        theme.header,
    );
    let hint = if app.header.classes.is_empty() {
        ""
    } else {
        "n: by class"
    };
    if width_of(&text) + width_of(hint) + 3 < area.width {
        let x = area.right() - width_of(hint) - 1;
        buf.set_string(x, area.y, hint, theme.dim);
    }
    let (jitter, circular) = (&known.jitter, &known.circular);
    let long = format!(
        "by chance {} moved by 1-2 steps, {} moved around the run",
        chance(jitter, theme),
        chance(circular, theme)
    );
    let short = format!(
        "by chance {}; {}",
        chance(jitter, theme),
        chance(circular, theme)
    );
    let text = if usize::from(width_of(&long)) <= room {
        long
    } else {
        short
    };
    buf.set_stringn(area.x + 1, area.y + 1, text, room, Style::default());
}

/// `12.1 ± 3.2 (p 0.0001)`
fn chance(chance: &Chance, theme: &Theme) -> String {
    let between = either(theme, "±", "+-");
    let Chance {
        mean, deviation, p, ..
    } = chance;
    format!("{mean:.1} {between} {deviation:.1} (p {})", p_value(*p))
}

/// As many digits as 10,000 draws can tell.
fn p_value(p: f64) -> String {
    if p < 0.001 {
        format!("{p:.4}")
    } else {
        format!("{p:.3}")
    }
}

fn grid(
    area: Rect,
    buf: &mut Buffer,
    app: &App,
    theme: &Theme,
    known: &Synchronisation,
    listed: &[usize],
) {
    if area.height <= FRAME || listed.is_empty() {
        return;
    }
    let layers = &app.header.layout.layers;
    let names: Vec<&str> = listed.iter().map(|&l| layers[l].name.as_str()).collect();
    let longest = names.iter().map(|name| width_of(name)).max().unwrap_or(0);
    // "shared" stands over the names.
    let gutter = longest.clamp(6, (area.width / 4).max(6)) + 1;
    let plot = plot_area(area, gutter);
    let end = app.timeline.end();
    let visible = app.window.visible(end);
    let moments: Vec<&[u64]> = listed
        .iter()
        .map(|&layer| known.moments.get(layer).map_or(&[][..], Vec::as_slice))
        .collect();
    let columns = usize::from(plot.width);
    let marks = Marks::new(&moments, &visible, columns);
    let selected = listed.iter().position(|&layer| layer == app.layer);
    let fit = usize::from(plot.height);
    let count = usize::try_from(visible.end - visible.start).unwrap_or(usize::MAX);
    let mark = View::of(app).mark().filter(|step| visible.contains(step));
    let cursor = mark.and_then(|step| {
        let index = usize::try_from(step - visible.start).ok()?;
        bins::column_of(index, count, columns).next()
    });
    MarkGrid {
        theme,
        marks: &marks,
        names: &names,
        gutter,
        first: scrolled(selected.unwrap_or(0), fit, listed.len()),
        selected,
        cursor,
        x_axis: XAxis::Steps(visible),
    }
    .render(area, buf);
}

/// The two null distributions side by side, the observed count in each.
fn distributions(area: Rect, buf: &mut Buffer, theme: &Theme, known: &Synchronisation) {
    if area.height < 4 {
        return;
    }
    let half = area.width / 2;
    let models = [
        ("each moved by 1-2 steps", &known.jitter),
        ("a layer's moved together around the run", &known.circular),
    ];
    for ((title, chance), x) in models.into_iter().zip([area.x, area.x + half]) {
        let own = Rect {
            x,
            width: half,
            ..area
        };
        let title = format!("{title}, {} draws", chance.draws);
        let room = usize::from(half).saturating_sub(2);
        let own = titled(own, &elided(&title, room, theme), theme, buf);
        distribution(own, buf, theme, chance, known.pairs);
    }
}

fn distribution(area: Rect, buf: &mut Buffer, theme: &Theme, chance: &Chance, observed: u64) {
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
    // Empty ones on either side, out to the observed count.
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
    Histogram {
        theme,
        bins: &bins,
        log: false,
        unit: "draws",
        edges: &edges,
        name: "pairs",
        reference: shown.map(|place| (edge(place), "run")),
        highlight: shown.map(|place| place..place + 1),
    }
    .render(area, buf);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ratatui::style::Modifier;

    use super::*;
    use crate::app::{Action, Screen};
    use crate::tui::theme::ColorLevel;
    use crate::tui::view::testing::{
        Run, Shape, any_glyphs, app, odd_allocations, plain, text, theme,
    };

    const HERE: Action = Action::Screen(Screen::Synchronisation);

    fn run() -> Run {
        let mut run = Run::new(Shape {
            steps: 150,
            layers: 5,
            ..Shape::default()
        });
        run.act(&[HERE]);
        run
    }

    /// Moments of the definition: lower than both neighbours, the 20 deepest.
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
    fn it_counts_what_layers_share() {
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
            assert!(screen.is_ascii() && screen.contains("(p 0."), "{screen}");
        }
        let screen = run.text(120, 40, &theme());
        assert!(
            screen.contains("10000 draws") && screen.contains("pairs"),
            "{screen}"
        );
    }

    #[test]
    fn the_same_within_a_class_and_back() {
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
    fn without_allocations_by_class_it_says_what_to_do() {
        let mut run = run();
        run.act(&[Action::NextClass]);
        let why = "train with --by-class to have them";
        let query = about(&run.app);
        run.app.desk.take(query, Answer::Unknown(why.to_owned()));
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
        let theme = plain();
        for observed in [0, 9, 10, 13, 14, 40, 100_000] {
            let area = Rect::new(0, 0, 60, 8);
            let mut buf = Buffer::empty(area);
            distribution(area, &mut buf, &theme, &chance, observed);
            let cells: String = buf
                .content
                .iter()
                .map(ratatui::buffer::Cell::symbol)
                .collect();
            // The axis's name yields to a label that needs its place.
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
            app.focus = focus;
            let chance = Chance { bars, ..Chance::default() };
            let known = Synchronisation {
                steps: 7,
                moments,
                pairs,
                jitter: chance.clone(),
                circular: chance,
                ..Synchronisation::default()
            };
            app.desk.take(about(&app), Answer::Synchronisation(known));
            text(&app, width, height, &Theme::new(ColorLevel::Ansi16, glyphs));
        }
    }
}
