//! The Run screen: what the run is, what it costs, how well its sums close, and its log.
//!
//! ```text
//!  mnist-fc on MNIST sample, 84060 parameters in 3 layers, seed 0
//!  device      cpu, 2 threads, AVX-512          residual   max 2.2e-4 nats, mean 1.1e-5
//!  speed       7.6 steps/s, 7.5 on average      above      0 of 200 steps, tol. 0.001
//!  gradients   2.00 per step, 15.2 per second   segments   2: 196   4: 4
//!  file        24.1 MB, 120.5 kB per step       >= 1e-7          12 ▪▪▪
//!  write queue 0/1024, waited 0.0 s             >= 1e-6         150 ▪▪▪▪▪▪▪▪▪▪▪
//!  checkpoint  step 180, 2 s old                >= 1e-5          38 ▪▪▪▪
//!  time left   2 min 10 s (160 steps)
//!  gpu         NVIDIA H100, 87% busy, 12.1 of 80.0 GB, 54 C, 310 W
//!  ! residual above …                           (all warnings)
//!  configuration                                log
//!  steps = 200                                  warning: …
//! ```
//!
//! `f` shows the configuration or the log in full; up and down scroll the configuration, or the log if that is in full.

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Margin, Rect};
use ratatui::style::Style;
use ratatui::text::Span;

use super::cells;
use super::facts;
use super::marks::severity_style;
use super::spread::titled;
use super::words::{self, either, elided};
use crate::app::{LongText, RunPart};
use crate::query::{Answer, FIRST_DECADE, Quality, RunFacts, Topic};
use crate::tui::frame::Frame;

/// Rows kept for the configuration and the log.
const LEAST_TEXT: u16 = 4;

pub fn draw(area: Rect, frame: &mut Frame) {
    let app = frame.app;
    let known = match frame.ask(0, app.about_all(Topic::Run)) {
        Some((_, Answer::Run(known))) => Some(&**known),
        _ => None,
    };
    let below = match app.nav.run_focus() {
        Some(part) => return text(part, area, frame),
        None => facts(area, known, frame),
    };
    if below.height < 2 {
        return;
    }
    let [left, right] = halves(below);
    text(RunPart::Configuration, left, frame);
    text(RunPart::Log, right, frame);
}

/// Draws the facts; returns the area left below them.
fn facts(area: Rect, known: Option<&RunFacts>, frame: &mut Frame) -> Rect {
    let (app, theme) = (frame.app, frame.theme);
    let room = usize::from(area.width).saturating_sub(2);
    let head = words::fitting(facts::head(&app.model), ", ", room);
    let [top, below] = Layout::vertical([Length(1), Fill(1)]).areas(area);
    line(top, &head, theme.header, frame);
    let [left, right] = halves(below);
    let room = below.height.saturating_sub(LEAST_TEXT);
    let pairs = facts::pairs(&app.model, known);
    let count = u16::try_from(pairs.len()).unwrap_or(u16::MAX);
    for (row, (name, said)) in left.rows().take(room.into()).zip(pairs) {
        pair(row, NAMES[0], name, said, frame);
    }
    let used = match known {
        Some(RunFacts { quality, .. }) => closing(right, room, quality, frame),
        None => {
            let reading = either(theme, "reading …", "reading ...");
            line(right, reading, theme.dim, frame);
            1
        }
    };
    let rows = room.min(used.max(count));
    // The GPU and the lints have a line each, as long as the texts below keep some rows.
    let wanted = usize::from(app.model.gpu.is_some()) + app.lints().len();
    let spare = below.height.saturating_sub(rows + LEAST_TEXT);
    let own = u16::try_from(wanted).unwrap_or(u16::MAX).min(spare);
    let parts = [Length(rows), Length(own), Fill(1)];
    let [_, own, below] = Layout::vertical(parts).areas(below);
    let mut lines = own.rows();
    if let Some(gpu) = &app.model.gpu
        && let Some(own) = lines.next()
    {
        pair(own, NAMES[0], "gpu", facts::gpu_use(gpu), frame);
    }
    for (own, lint) in lines.zip(app.lints()) {
        let style = severity_style(lint.severity, theme);
        line(own, &format!("! {}", lint.text), style, frame);
    }
    below
}

fn halves(area: Rect) -> [Rect; 2] {
    Layout::horizontal([Length(area.width / 2), Fill(1)]).areas(area)
}

/// Draws how well the steps close; returns the number of rows used.
fn closing(area: Rect, room: u16, quality: &Quality, frame: &mut Frame) -> u16 {
    let (app, theme) = (frame.app, frame.theme);
    let mut row = 0;
    let mut say = |name: &str, said: Vec<String>| {
        if row < room {
            pair(cells::row(area, row), NAMES[1], name, said, frame);
            row += 1;
        }
    };
    let worst = vec![
        format!("max {:.1e} nats", quality.worst),
        format!("mean {:.1e}", quality.mean()),
    ];
    say("residual", worst);
    let tolerance = app.model.header.tolerance;
    let above = vec![
        format!("{} of {} steps", quality.above, quality.steps),
        format!("tol. {tolerance}"),
    ];
    say("above", above);
    if quality.not_finite > 0 {
        say("", vec![format!("{} not finite", quality.not_finite)]);
    }
    let segments = quality.segments.iter();
    let mut segments: Vec<String> = segments.map(|(s, n)| format!("{s}: {n}")).collect();
    if quality.other_segments > 0 {
        segments.push(format!("other: {}", quality.other_segments));
    }
    say("segments", segments);
    let most = quality.decades.iter().copied().max().unwrap_or(0).max(1);
    let there = quality
        .decades
        .iter()
        .zip(FIRST_DECADE..)
        .filter(|(n, _)| **n > 0);
    for (&count, decade) in there {
        let width = area.width.saturating_sub(24);
        let length = bar(count, most, width);
        let mark = either(theme, "▪", "#").repeat(length);
        let name = match decade {
            FIRST_DECADE => "< 1e-11".to_owned(),
            decade => format!(">= 1e{decade}"),
        };
        say(&name, vec![format!("{count:>8} {mark}")]);
    }
    row
}

/// The length of a bar in cells: at least one if `count` is not 0.
fn bar(count: u64, most: u64, width: u16) -> usize {
    let cells = u128::from(count) * u128::from(width) / u128::from(most.max(1));
    let cells = usize::try_from(cells).unwrap_or(0);
    cells.clamp(usize::from(count > 0), usize::from(width).max(1))
}

/// Draws the configuration or the log, from where it is scrolled to.
fn text(part: RunPart, area: Rect, frame: &mut Frame) {
    let app = frame.app;
    let rows = usize::from(area.height.saturating_sub(1));
    let (titles, lines): ([String; 2], Vec<&str>) = match part {
        RunPart::Configuration => {
            let all: Vec<&str> = app.model.header.config.lines().collect();
            let most = all.len().saturating_sub(rows);
            frame.scrollable(LongText::Configuration, most);
            let first = app.nav.config_scroll.rows.min(most);
            let shown: Vec<&str> = all.iter().copied().skip(first).take(rows).collect();
            let of = format!(
                "lines {}-{} of {}",
                first + 1,
                first + shown.len(),
                all.len()
            );
            let titles = match all.len() {
                0 => [
                    "configuration: none (another program trained its own model)",
                    "configuration: none",
                ]
                .map(str::to_owned),
                len if shown.len() < len => [
                    format!("configuration, {of}"),
                    format!("configuration {}/{len}", first + shown.len()),
                ],
                _ => ["configuration"; 2].map(str::to_owned),
            };
            (titles, shown)
        }
        RunPart::Log => {
            let most = app.model.log.len().saturating_sub(rows);
            frame.scrollable(LongText::Log, most);
            let last = app.model.log.len() - app.nav.log_scroll.rows.min(most);
            let first = last.saturating_sub(rows);
            let log = &app.model.log;
            let lines = log.lines().skip(first).take(last - first).collect();
            let lost = match log.lost() {
                0 => String::new(),
                lost => format!(", {lost} older lines dropped"),
            };
            let titles = match app.model.log.len() {
                0 => ["log: empty", "log: empty"].map(str::to_owned),
                len if last - first < len => [
                    format!("log, lines {}-{last} of {len}{lost}", first + 1),
                    format!("log {last}/{len}"),
                ],
                _ => [format!("log{lost}"), "log".to_owned()],
            };
            (titles, lines)
        }
    };
    let area = titled(area, &titles, frame);
    for (row, text) in area.rows().zip(lines) {
        line(row, text, Style::default(), frame);
    }
}

/// Draws a text in the first row of an area.
fn line(area: Rect, text: &str, style: Style, frame: &mut Frame) {
    let inside = area.inner(Margin::new(1, 0));
    let text = elided(text, inside.width.into(), frame.theme);
    frame.render(Span::styled(text, style), inside);
}

/// Widths of the names in the left and the right column: `write queue` is the longest on the left.
const NAMES: [u16; 2] = [13, 11];

/// Draws a name and its values; if there is little room, values go from the end.
fn pair(row: Rect, names: u16, name: &str, said: Vec<String>, frame: &mut Frame) {
    let [own, _] = Layout::horizontal([Length(names), Fill(1)]).areas(row);
    // A margin of either is between the two.
    let [_, rest] = Layout::horizontal([Length(names - 1), Fill(1)]).areas(row);
    line(own, name, frame.theme.header, frame);
    let room = usize::from(rest.width).saturating_sub(2);
    let value = words::fitting((0..).zip(said).collect(), ", ", room);
    line(rest, &value, Style::default(), frame);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::{Action, Screen};
    use crate::feed::{FeedEvent, GpuUse, RecorderStats};
    use crate::record::RunHeader;
    use crate::tui::theme::{ColorLevel, Theme};
    use crate::tui::view::testing::{
        Run, RunShape, any_glyphs, app, app_of, header, odd_allocations, plain, text,
    };

    const HERE: Action = Action::Screen(Screen::Run);

    #[test]
    fn the_run_screen_shows_residuals_and_cost() {
        let mut run = Run::new(RunShape::default());
        run.act(&[HERE]);
        for (width, height) in [(80, 24), (120, 40), (200, 60)] {
            let screen = run.text(width, height, &plain());
            assert!(screen.is_ascii(), "{screen}");
            assert!(screen.contains("0 of 40 steps, tol. 0.001"), "{screen}");
            assert!(screen.contains("2: 40"), "all with two segments: {screen}");
            assert!(screen.contains("2.00 per step"), "{screen}");
            let bytes = std::fs::metadata(run.path()).unwrap().len();
            #[expect(clippy::cast_precision_loss, reason = "a small file")]
            let expected = format!("{:.1} kB", bytes as f64 / 1e3);
            assert!(screen.contains(&expected), "{expected}: {screen}");
        }
    }

    #[test]
    fn the_run_screen_names_the_allocated_loss() {
        let header = RunHeader {
            train_index: (0..600).collect(),
            lca_index: (0..200).collect(),
            ..header(2)
        };
        let mut app = app_of(header, &[0.1]);
        app.act(HERE);
        for (width, height) in [(80, 24), (120, 40)] {
            let screen = text(&app, width, height, &plain());
            let said = "loss on 200 of 600 training examples";
            assert!(screen.contains(said), "{screen}");
        }
    }

    #[test]
    fn the_log_is_harmless_and_scrolls() {
        let mut app = app(2, &[0.1]);
        for line in 0..100 {
            app.model.log.push(&format!("line {line} \u{1b}[2J"));
        }
        app.act(HERE);
        let screen = text(&app, 80, 24, &plain());
        assert!(
            screen.contains("line 99 \u{fffd}[2J") && !screen.contains('\u{1b}'),
            "{screen}"
        );
        app.act(Action::Focus);
        app.act(Action::Focus);
        let screen = text(&app, 80, 24, &plain());
        assert!(
            screen.contains("line 81") && screen.contains("of 100"),
            "{screen}"
        );
        app.act(Action::Select(-1000));
        let screen = text(&app, 80, 24, &plain());
        assert!(
            screen.contains("line 0 \u{fffd}") && !screen.contains("line 99"),
            "{screen}"
        );
    }

    #[test]
    fn a_live_run_shows_its_write_queue_and_gpu() {
        let mut app = app(2, &[0.1]);
        app.act(HERE);
        let before = text(&app, 120, 40, &plain());
        assert!(
            !before.contains("gpu") && !before.contains("write queue"),
            "{before}"
        );
        app.event(FeedEvent::Recorder(RecorderStats {
            waited: std::time::Duration::from_millis(1500),
            queued: 7,
            room: 64,
        }));
        app.event(FeedEvent::Gpu(GpuUse {
            name: "NVIDIA H100".to_owned(),
            busy: Some(0.87),
            memory: Some((12_100_000_000, 80_000_000_000)),
            celsius: None,
            watts: Some(310.4),
        }));
        let screen = text(&app, 120, 40, &plain());
        assert!(screen.contains("7/64, waited 1.5 s"), "{screen}");
        assert!(
            screen.contains("NVIDIA H100, 87% busy, 12.1 GB of 80.0 GB, 310 W"),
            "{screen}"
        );
    }

    #[test]
    fn a_bar_is_neither_too_long_nor_hidden() {
        assert_eq!(bar(1, 1_000_000, 10), 1);
        assert_eq!(bar(0, 5, 10), 0);
        assert_eq!(bar(u64::MAX, u64::MAX, 10), 10);
        assert_eq!(bar(3, 3, 0), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn nothing_panics(
            (width, height) in (1u16..220, 1u16..70),
            layers in 0usize..9,
            allocations in odd_allocations(),
            focus in 0usize..4,
            log in prop::collection::vec(any::<String>(), 0..60),
            residuals in prop::collection::vec((any::<f64>(), any::<u64>()), 0..40),
            scrolls in (any::<i64>(), any::<i64>()),
            glyphs in any_glyphs(),
        ) {
            let mut app = app(layers, &allocations);
            app.act(HERE);
            app.nav.focus = focus;
            for line in &log {
                app.model.log.push(line);
            }
            let mut known = RunFacts {
                bytes: u64::MAX,
                committed: 3,
                checkpoint: Some((u64::MAX, f64::NAN)),
                ..RunFacts::default()
            };
            for (residual, segments) in residuals {
                known.quality.push(residual, segments, segments, 1e-3);
            }
            app.model.queries.take(app.about_all(Topic::Run), Answer::Run(Box::new(known)));
            app.act(Action::Select(scrolls.0));
            app.act(Action::Select(scrolls.1));
            text(&app, width, height, &Theme::new(ColorLevel::Ansi16, glyphs));
        }
    }
}
