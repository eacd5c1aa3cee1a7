//! Several runs on one axis, and their differences by layer: each run's LCA minus the first's.
//!
//! ```text
//!  A a.h5 400 steps   B b.h5 200 steps   B-A < 0: B lowers the loss more
//!  step 120  loss in nats: A 0.31201  B 0.35410  B-A +0.0421
//!  B: fc3:freeze                           the settings that are not those of A
//!  training losses    │ held-out losses    │ LCA of the selected layer
//!  layer    B-A in nats, steps 0-199           A view    B view   B-A    at 120   whole
//!  fc1      ▒▒░░''░░▒▒                     -0.812    -0.750  +0.062  +1.2e-5  +0.081
//!  fc9      only in A                      -0.2
//!  sum LCA                                 -1.327    -1.200  +0.127
//!  Δloss                                   -1.327    -1.200  +0.127
//!  residual                               +1.2e-5   +1.1e-5  -1e-6
//! ```
//!
//! With more than two runs, the differences of all to the first come before the columns about the selected one. Runs
//! that differ only in their seeds can be shown as their mean: in charts with lines at the least and the greatest, in
//! the table with the standard error.

mod charts;
mod table;

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use self::charts::Charts;
use self::table::Table;
use super::words::{self, either, elided, width_of};
use crate::analysis::numbers::format_signed;
use crate::app::{Comparison, RunModel};
use crate::runs::letter;
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;
use crate::tui::widget::Pen;

/// The heading and the three closing rows of the table.
const FIXED_ROWS: u16 = 4;

/// The pen of a run, unlike those of the training and the held-out loss on other screens. Without colours, its mark is
/// its letter.
fn pen(theme: &Theme, run: usize) -> Pen {
    let mark = letter(run).chars().next().unwrap_or('?');
    Pen {
        mark,
        ..theme.category(run)
    }
}

/// Height of the table, leaving room for the lines above it and for the charts.
fn table_height(area: Rect, layers: usize) -> u16 {
    let rows = u16::try_from(layers).unwrap_or(u16::MAX);
    let charts = (area.height * 3 / 10).max(4);
    let most = area.height.saturating_sub(3 + charts);
    rows.saturating_add(FIXED_ROWS).min(most)
}

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let Some(comparison) = app.compared() else {
        return;
    };
    let layers = comparison.layer_rows();
    let table = table_height(area, layers.len());
    let settings = differences(&comparison, theme, area.width);
    let said = u16::from(settings.width() > 0);
    let rows = [Length(1), Length(1), Length(said), Fill(1), Length(table)];
    let [names, losses, said, charts, table] = Layout::vertical(rows).areas(area);
    frame.render(runs(&comparison, theme, area.width), names);
    frame.render(losses_at_cursor(&comparison, theme, area.width), losses);
    frame.render(settings, said);
    Charts {
        app,
        comparison: &comparison,
        layers: &layers,
        theme,
    }
    .draw(charts, frame.buffer);
    Table::new(table, app, &comparison, layers, theme).draw(frame);
}

/// The line that names the runs, with caveats about comparing their numbers.
fn runs(comparison: &Comparison, theme: &Theme, width: u16) -> Line<'static> {
    let room = usize::from(width).saturating_sub(2);
    let between = either(theme, " · ", " | ");
    let all = |name: &dyn Fn(usize) -> String| -> Vec<String> {
        (0..comparison.runs.len()).map(name).collect()
    };
    let named = |run: usize, cells: usize| {
        let name = elided(comparison.names[run], cells, theme);
        format!("{} {name}", letter(run))
    };
    let steps = |run: usize| comparison.runs[run].timeline.end();
    // The longest form that fits.
    let forms = [
        all(&|run| format!("{} {} steps", named(run, 28), steps(run))),
        all(&|run| format!("{} {}", named(run, 20), steps(run))),
        all(&|run| named(run, 12)),
        all(&|run| named(run, 6)),
    ];
    let fits = |names: &&Vec<String>| {
        let cells = names.iter().map(|name| usize::from(width_of(name)));
        cells.sum::<usize>() + (names.len() - 1) * width_of(between) as usize <= room
    };
    let names = forms.iter().find(fits).cloned();
    let between = if names.is_some() { between } else { " " };
    let names = names.unwrap_or_else(|| all(&letter));
    let mut parts: Vec<(u8, String)> = names.iter().map(|name| (0, name.clone())).collect();
    let networks: Vec<&str> = (comparison.runs.iter())
        .map(|run| run.header.network.as_str())
        .collect();
    let selected = comparison.selected;
    if comparison.same_run() {
        parts.push((1, "the same run twice".to_owned()));
    } else if networks[0] != networks[selected] {
        let (a, b) = (networks[0], networks[selected]);
        parts.push((1, format!("different networks: {a} and {b}")));
    }
    let other = letter(selected);
    parts.push((2, format!("{other}-A < 0: {other} lowers the loss more")));
    let troubled =
        (comparison.runs.iter().enumerate().skip(1)).find(|(_, run)| !run.message().is_empty());
    if let Some((run, model)) = troubled {
        parts.insert(0, (0, format!("{}: {}", letter(run), model.message())));
    }
    let text = words::fitting(parts, between, room);
    let mut spans = vec![Span::raw(" ")];
    for (place, part) in text.split(between).enumerate() {
        let run = names.iter().position(|name| name == part);
        let mut style = run.map_or(theme.header, |run| pen(theme, run).style);
        if run == Some(selected) && comparison.runs.len() > 2 {
            style = style.add_modifier(Modifier::UNDERLINED);
        }
        let before = if place > 0 { between } else { "" };
        spans.push(Span::styled(before, theme.dim));
        spans.push(Span::styled(part.to_owned(), style));
    }
    Line::from(spans)
}

/// The line with the settings of each run that are not those of the first; empty without any.
fn differences(comparison: &Comparison, theme: &Theme, width: u16) -> Line<'static> {
    let differing = (comparison.differences.iter().enumerate())
        .filter(|(_, difference)| !difference.is_empty());
    let differing: Vec<(usize, &String)> = differing.collect();
    let mut line = Line::default();
    let mut left = usize::from(width).saturating_sub(1);
    for (place, (run, difference)) in differing.iter().enumerate() {
        let name = format!("{}: ", letter(*run));
        // An equal share of the rest of the line.
        let share = left / (differing.len() - place);
        let text = whole_words(difference, share.saturating_sub(name.len() + 2), theme);
        left = left.saturating_sub(usize::from(width_of(&text)) + name.len() + 2);
        line.push_span(Span::raw(if place > 0 { "  " } else { " " }));
        line.push_span(Span::styled(name, pen(theme, *run).style));
        line.push_span(Span::raw(text));
    }
    line
}

/// As many words of a text as fit, and a sign if there are more.
fn whole_words(text: &str, width: usize, theme: &Theme) -> String {
    if usize::from(width_of(text)) <= width {
        return text.to_owned();
    }
    let more = either(theme, "…", "...");
    let fits = |end: &usize| usize::from(width_of(&text[..*end]) + 1 + width_of(more)) <= width;
    let mut ends = text.rmatch_indices(' ').map(|(at, _)| at);
    match ends.find(fits) {
        Some(end) => format!("{} {more}", &text[..end]),
        None => elided(text, width, theme),
    }
}

/// The losses of all runs at the cursor.
fn losses_at_cursor(comparison: &Comparison, theme: &Theme, width: u16) -> Line<'static> {
    let Some(step) = comparison.cursor() else {
        return Line::styled(" A has no steps yet", theme.dim);
    };
    let losses = |held_out: bool| -> Vec<Option<f64>> {
        let of_run = |run: &&RunModel| {
            let entry = run
                .timeline
                .entry(step)
                .filter(|entry| entry.steps() == 1)?;
            Some(if held_out {
                entry.test_loss
            } else {
                entry.loss_after
            })
        };
        comparison.runs.iter().map(of_run).collect()
    };
    let selected = comparison.selected;
    // On a narrow screen, only the first run and the selected one.
    let all = comparison.runs.len() * 12 < usize::from(width).saturating_sub(36);
    let words = |losses: &[Option<f64>]| -> String {
        let word = |loss: &Option<f64>| loss.map_or_else(|| "-".to_owned(), words::loss);
        let runs = losses.iter().enumerate();
        let words: Vec<String> = runs
            .filter(|(run, _)| all || [0, selected].contains(run))
            .map(|(run, loss)| format!("{} {}", letter(run), word(loss)))
            .collect();
        words.join("  ")
    };
    let train = losses(false);
    let held_out = losses(true);
    let mut line = Line::from(vec![
        Span::styled(format!(" step {step}"), theme.header),
        Span::raw(format!("  loss in nats: {}", words(&train))),
    ]);
    if let Some((a, b)) = train[0].zip(train[selected]) {
        let difference = format_signed(b - a, 8);
        let style = theme.of_sign(b - a);
        line.push_span(Span::raw(format!("  {}-A ", letter(selected))));
        line.push_span(Span::styled(difference.trim_start().to_owned(), style));
    }
    let (first, second) = (comparison.first(), comparison.runs[selected]);
    let mut caveats = Line::default();
    if first.header.allocated_examples() != second.header.allocated_examples() {
        caveats.push_span(Span::styled("  different examples", theme.warning));
    }
    let end = second.timeline.end();
    if step >= end {
        let text = format!(" ({} has {end} steps)", letter(selected));
        caveats.push_span(Span::styled(text, theme.dim));
    }
    let known = held_out.iter().flatten().any(|loss| !loss.is_nan());
    let text = format!("  held-out: {}", words(&held_out));
    let wide = line.width() + usize::from(width_of(&text)) + caveats.width();
    if known && wide < usize::from(width) {
        line.push_span(Span::raw(text));
    }
    line.spans.extend(caveats.spans);
    line
}

/// The name of the runs of a configuration: the letter of the first and, of several, their number.
fn group_name(group: &[usize]) -> String {
    match group {
        [only] => letter(*only),
        [first, ..] => format!("{}x{}", letter(*first), group.len()),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        any_glyphs, app, app_of, framed, header, odd_allocations, row, text, theme,
    };
    use super::table::NUMBER;
    use super::*;
    use crate::app::{Action, App, Other};
    use crate::record::RunHeader;
    use crate::tui::theme::{ColorLevel, Glyphs};
    use proptest::prelude::*;
    use ratatui::style::Style;

    fn compared(first: App, second: App) -> App {
        let mut app = first;
        let other = Other {
            model: second.model,
            name: "b.h5".to_owned(),
        };
        app.compare_with("a.h5", vec![other]);
        app
    }

    #[test]
    fn settings_are_cut_between_words() {
        let theme = theme();
        let cut = |width| whole_words("fc3:freeze lr=0.1 seed=2", width, &theme);
        assert_eq!(cut(24), "fc3:freeze lr=0.1 seed=2");
        assert_eq!(cut(23), "fc3:freeze lr=0.1 …");
        assert_eq!(cut(19), "fc3:freeze lr=0.1 …");
        assert_eq!(cut(18), "fc3:freeze …");
        assert!(cut(8).contains('…') && width_of(&cut(8)) <= 8);
    }

    #[test]
    fn the_difference_closes_over_the_steps_that_both_have() {
        let one: Vec<f64> = (0..100).map(|t| -0.02 / f64::from(t + 1)).collect();
        let two: Vec<f64> = (0..60).map(|t| -0.03 / f64::from(t + 1)).collect();
        // Layers contribute a, −a/2 and a: 1.5 a in total; the residual is 1e-4 a step in both.
        let sum = |list: &[f64]| 1.5 * list.iter().sum::<f64>();
        let (a, b) = (sum(&one[..60]), sum(&two));
        let mut app = compared(app(3, &one), app(3, &two));
        app.act(Action::Move(-60));
        for (width, height) in [(80, 24), (120, 40)] {
            let screen = text(&app, width, height, &theme());
            let numbers = |name: &str| -> Vec<f64> {
                let words = row(&screen, name);
                words.iter().filter_map(|word| word.parse().ok()).collect()
            };
            let close = |a: f64, b: f64| (a - b).abs() <= 6e-3 * b.abs() + 1e-9;
            let lca = numbers("sum LCA");
            let whole = b - sum(&one);
            let at = 1.5 * (two[39] - one[39]);
            for (number, expected) in lca.iter().zip([a, b, b - a, at, whole]) {
                assert!(close(*number, expected), "{number} {expected}\n{screen}");
            }
            assert_eq!(lca.len(), 5, "{screen}");
            let change = numbers("Δloss");
            assert!(close(change[0], a + 60.0 * 1e-4), "{screen}");
            assert!(close(change[2], b - a), "{screen}");
            let residual = numbers("residual");
            assert!(close(residual[0], 60.0 * 1e-4), "{screen}");
            assert!(screen.contains("step 39"), "{screen}");
            assert!(
                screen.contains("B-A in nats, steps 0-59") || width < 100,
                "{screen}"
            );
        }
        let screen = text(&app, 200, 60, &theme());
        assert!(
            screen.contains("A whole") && screen.contains("B cursor"),
            "{screen}"
        );
        app.act(Action::Back);
        let screen = text(&app, 80, 24, &theme());
        assert!(!screen.contains("B-A"), "back to one run: {screen}");
    }

    #[test]
    fn different_layers_and_the_same_run_are_reported() {
        let same = compared(app(2, &[-0.1, -0.2]), app(2, &[-0.1, -0.2]));
        let screen = text(&same, 120, 30, &theme());
        assert!(screen.contains("the same run twice"), "{screen}");
        let more = compared(app(3, &[-0.1]), app(2, &[-0.1, -0.2]));
        let screen = text(&more, 120, 30, &theme());
        assert!(screen.contains("only in A"), "{screen}");
        let fewer = compared(app(2, &[-0.1]), app(3, &[]));
        let screen = text(&fewer, 120, 30, &theme());
        assert!(screen.contains("only in B"), "{screen}");
        assert!(screen.contains("no steps in common"), "{screen}");
        let ascii = Theme::new(ColorLevel::None, Glyphs::Ascii);
        assert!(text(&more, 120, 30, &ascii).is_ascii());
        let of_few = RunHeader {
            lca_index: vec![1, 2],
            ..header(2)
        };
        let other = compared(app(2, &[-0.1]), app_of(of_few, &[-0.2]));
        for screen in [(80, 24), (200, 60)].map(|(w, h)| text(&other, w, h, &theme())) {
            assert!(screen.contains("  different examples\n"), "{screen}");
        }
        assert!(!text(&same, 200, 60, &theme()).contains("different examples"));
    }

    /// Four runs of three layers: two of one configuration, and two others.
    fn four() -> (App, [Vec<f64>; 4]) {
        let lca = [-0.02, -0.03, -0.01, -0.005];
        let steps = [60, 50, 80, 40];
        let list = |run: usize| -> Vec<f64> {
            let step = |t: u32| lca[run] / f64::from(t + 1);
            (0..steps[run]).map(step).collect()
        };
        let lists = [0, 1, 2, 3].map(list);
        let mut first = app(3, &lists[0]);
        let others = [1, 2, 3].map(|run| {
            let mut header = header(3);
            header.seed = run as u64;
            header.config = match run {
                1 => "seed = 1".to_owned(),
                _ => format!("seed = {run}\nlearning_rate = 0.{run}"),
            };
            Other {
                model: app_of(header, &lists[run]).model,
                name: format!("run-{run}.h5"),
            }
        });
        first.compare_with("run-0.h5", others.into());
        (first, lists)
    }

    #[test]
    fn differences_of_many_runs_close_over_the_steps_that_all_have() {
        let (mut app, lists) = four();
        // Layers contribute a, −a/2 and a: 1.5 a in total.
        let sums = lists
            .each_ref()
            .map(|list| 1.5 * list[..40].iter().sum::<f64>());
        let numbers = |screen: &str, name: &str| -> Vec<f64> {
            let words = row(screen, name);
            words.iter().filter_map(|word| word.parse().ok()).collect()
        };
        let close = |a: f64, b: f64| (a - b).abs() <= 6e-3 * b.abs() + 1e-9;
        let screen = text(&app, 120, 40, &theme());
        let expected = [
            sums[0],
            sums[1] - sums[0],
            sums[2] - sums[0],
            sums[3] - sums[0],
        ];
        let shown = numbers(&screen, "sum LCA");
        for (number, expected) in shown.iter().zip(expected) {
            assert!(close(*number, expected), "{number} {expected}\n{screen}");
        }
        for word in ["A view", "B-A ", "C-A ", "D-A ", "B-A in nats"] {
            assert!(screen.contains(word), "{word}\n{screen}");
        }
        assert!(screen.contains("C: lr=0.2"), "{screen}");
        app.act(Action::NextClass);
        let screen = text(&app, 200, 50, &theme());
        assert!(screen.contains("C-A in nats, steps 0-39"), "{screen}");
        assert!(
            screen.contains("D view") && screen.contains("C-A whole"),
            "{screen}"
        );
        // Few columns fit: the selected run's is among them.
        let screen = text(&app, 60, 30, &theme());
        assert!(screen.contains("C-A "), "{screen}");

        app.act(Action::Pool);
        let screen = text(&app, 200, 50, &theme());
        let mean = f64::midpoint(sums[0], sums[1]);
        let error = (sums[0] - sums[1]).abs() / 2.0;
        let expected = [
            mean,
            error,
            sums[2],
            sums[2] - mean,
            sums[3],
            sums[3] - mean,
        ];
        let shown = numbers(&screen, "sum LCA");
        assert_eq!(shown.len(), expected.len(), "{screen}");
        for (number, expected) in shown.iter().zip(expected) {
            assert!(close(*number, expected), "{number} {expected}\n{screen}");
        }
        assert!(screen.contains("Ax2"), "{screen}");
    }

    #[test]
    fn charts_of_many_runs_take_turns_on_a_narrow_screen() {
        let (mut app, _) = four();
        let titles = ["training loss", "held-out loss", "LCA of block0.conv0"];
        let shown = |app: &mut App| {
            app.act(Action::Focus);
            let screen = text(app, 80, 24, &theme());
            titles.map(|title| screen.contains(title))
        };
        assert_eq!(shown(&mut app), [true, false, false]);
        assert_eq!(shown(&mut app), [false, true, false]);
        assert_eq!(shown(&mut app), [false, false, true]);
        assert_eq!(shown(&mut app), [false, false, false]);
        let screen = text(&app, 160, 40, &theme());
        assert!(
            titles.iter().all(|title| screen.contains(title)),
            "{screen}"
        );
    }

    #[test]
    fn sixteen_runs_have_sixteen_letters() {
        let mut first = app(3, &[-0.1, -0.2]);
        let other = |run: u32| Other {
            model: app(3, &[-0.1, -0.1 * f64::from(run)]).model,
            name: format!("a-long-name-of-a-run-{run}.h5"),
        };
        first.compare_with("a-long-name-of-a-run-0.h5", (1..16).map(other).collect());
        for size in [(60, 16), (80, 24), (120, 40), (200, 60)] {
            for glyphs in [Glyphs::Braille, Glyphs::Ascii] {
                let theme = Theme::new(ColorLevel::Ansi16, glyphs);
                let screen = text(&first, size.0, size.1, &theme);
                let line = screen.lines().nth(2).unwrap();
                for run in 0..16 {
                    let there = line.split(' ').any(|word| word == letter(run));
                    assert!(there, "{run}: {screen}");
                }
                assert!(glyphs != Glyphs::Ascii || screen.is_ascii(), "{screen}");
            }
        }
        for _ in 0..20 {
            first.act(Action::NextClass);
            first.act(Action::Pool);
            first.act(Action::Focus);
            text(&first, 120, 40, &theme());
        }
    }

    #[test]
    fn keys_act_only_on_the_comparison() {
        let mut app = compared(app(3, &[-0.1, -0.2]), app(3, &[-0.1, -0.3]));
        app.nav.comparing = false;
        for action in [Action::Enter, Action::Enter] {
            app.act(action);
        }
        let place = |app: &App| {
            let nav = &app.nav;
            (nav.depth, nav.unit, nav.parameter, nav.screen)
        };
        let below = place(&app);
        app.act(Action::Compare);
        for action in [
            Action::Select(1),
            Action::Focus,
            Action::Pool,
            Action::NextClass,
            Action::NextTraced,
        ] {
            app.act(action);
        }
        assert_eq!(place(&app), below);
        assert_eq!(
            (app.nav.layer, app.nav.focus, app.nav.one_layer),
            (1, 0, false)
        );
        assert!(app.nav.comparing);
        app.act(Action::Back);
        assert_eq!(app.nav.depth, below.0, "back to where it was");
        app.act(Action::Compare);
        app.act(Action::Enter);
        let inside = (app.nav.comparing, app.nav.depth);
        assert_eq!(inside, (false, crate::app::Depth::Layer(1)));
    }

    #[test]
    fn colours_say_what_numbers_are_and_units_stand_beside_them() {
        let theme = theme();
        let mut first = app(2, &[-0.1, -0.2]);
        let tolerance = |app: &mut App, tolerance| {
            let mut header = (*app.model.header).clone();
            header.tolerance = tolerance;
            app.model.header = std::sync::Arc::new(header);
        };
        tolerance(&mut first, 1.0);
        let mut second = app(2, &[-1e-6, -2e-6]);
        tolerance(&mut second, 1e-9);
        let app = compared(first, second);
        let (buf, _) = framed(&app, (120, 30), &theme, draw);
        let lines: Vec<String> = (0..30)
            .map(|y| (0..120).map(|x| buf[(x, y)].symbol()).collect())
            .collect();
        let row = |name: &str| lines.iter().position(|line| line.contains(name)).unwrap();
        let colour = |y: usize, from_right: u16| {
            let x = 118 - from_right * NUMBER;
            buf[(x, u16::try_from(y).unwrap())].fg
        };
        let fg = |style: Style| style.fg.unwrap_or_default();
        // A, B and B-A in view, at the cursor, whole.
        assert_eq!(colour(row("sum LCA"), 4), fg(theme.help));
        assert_eq!(
            colour(row("Δloss"), 4),
            Style::default().fg.unwrap_or_default()
        );
        assert_eq!(colour(row("Δloss"), 2), fg(theme.hurt), "B lowers it less");
        assert_eq!(colour(row("residual"), 4), fg(theme.dim));
        assert_eq!(
            colour(row("residual"), 3),
            fg(theme.warning),
            "its own tolerance"
        );
        let pens = [pen(&theme, 0), pen(&theme, 1)];
        for (pen, run) in pens.into_iter().zip(["A a.h5", "B b.h5"]) {
            let before = lines[0].split(run).next().unwrap().chars().count();
            let cell = &buf[(u16::try_from(before).unwrap(), 0)];
            assert_eq!(cell.fg, fg(pen.style));
            assert_ne!(cell.fg, fg(theme.held_out));
        }
        assert!(lines[1].contains("in nats"), "{}", lines[1]);
        assert!(lines.iter().any(|line| line.contains("B-A in nats")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn nothing_panics(
            width in 1u16..260,
            height in 1u16..90,
            layers in (0usize..9, 0usize..9),
            one in odd_allocations(),
            two in odd_allocations(),
            glyphs in any_glyphs(),
            moves in prop::collection::vec(-60i64..60, 0..4),
        ) {
            let mut app = compared(app(layers.0, &one), app(layers.1, &two));
            for steps in moves {
                app.act(Action::Move(steps));
                app.act(Action::ZoomIn);
                app.act(Action::Select(steps));
            }
            text(&app, width, height, &Theme::new(ColorLevel::Ansi16, glyphs));
        }
    }
}
