//! One file for each screen or panel; each has a function that draws it from the app's state.

mod cells;
mod class_curves;
mod classes;
mod compare;
mod decomposition;
mod distribution;
mod distribution_data;
mod distribution_numbers;
#[cfg(test)]
mod drill_tests;
mod events;
mod facts;
mod findings;
mod footer;
mod held_out;
mod help;
mod layer;
mod layers;
mod loss;
mod marks;
mod oscillation;
mod oscillation_words;
mod overview;
mod parameter;
mod question;
mod run;
mod sheet;
mod spread;
mod status;
mod synchronisation;
mod tabs;
#[cfg(test)]
pub(crate) mod testing;
mod title;
mod unit;
mod unit_curves;
#[cfg(test)]
mod walk_tests;
pub(super) mod words;

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::widgets::{Paragraph, Wrap};

use super::frame::{Drawn, Frame, Hit};
use super::keys::KeyMap;
use super::theme::{Glyphs, Theme};
use crate::app::{App, Here, Overlay, Phase, Screen};

/// The smallest terminal on which screens are drawn.
const SMALLEST: (u16, u16) = (60, 16);

/// Draws the whole screen.
pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme, keys: &KeyMap) -> Drawn {
    let mut frame = Frame::new(buf, app, theme, keys);
    let (width, height) = SMALLEST;
    if area.width < width || area.height < height {
        too_small(area, &mut frame);
    } else {
        draw_parts(area, &mut frame);
    }
    frame.finish()
}

/// Draws title, tabs, screen, footer and what lies over them.
fn draw_parts(area: Rect, frame: &mut Frame) {
    let app = frame.app;
    let below = footer::height(app, area.width);
    let rows = [Length(1), Length(1), Fill(1), Length(below)];
    let [title, tabs, screen, footer] = Layout::vertical(rows).areas(area);
    title::draw(title, frame);
    tabs::draw(tabs, frame);
    draw_screen(screen, frame);
    // Keys jump between events on every screen.
    frame.ask(u8::MAX, app.about_events());
    footer::draw(footer, frame);
    if let Some(overlay) = app.overlays.open {
        match overlay {
            Overlay::Help => help::draw(area, frame),
            Overlay::Events => events::draw(area, frame),
            Overlay::Findings => findings::draw(screen, frame),
            Overlay::Commands => help::draw_commands(area, frame),
            Overlay::AskQuit | Overlay::AskLeave => question::draw(area, frame),
        }
        frame.hit(area, Hit::Overlay);
    }
    if frame.theme.glyphs == Glyphs::Ascii {
        // Missing numbers are written as an en dash.
        for position in area.positions() {
            let cell = frame.buffer.cell_mut(position);
            if let Some(cell) = cell.filter(|cell| cell.symbol() == "–") {
                cell.set_symbol("-");
            }
        }
    }
}

fn too_small(area: Rect, frame: &mut Frame) {
    let meanwhile = match frame.app.model.phase() {
        Phase::Live | Phase::Following | Phase::Pausing => " Training continues.",
        Phase::Paused => " Training is paused.",
        _ => "",
    };
    let (width, height) = SMALLEST;
    let text = format!(
        "lcascope needs {width}x{height} cells; this terminal has {}x{}.{meanwhile}",
        area.width, area.height
    );
    frame.render(Paragraph::new(text).wrap(Wrap { trim: true }), area);
}

/// Draws the screen that the app shows.
fn draw_screen(area: Rect, frame: &mut Frame) {
    match frame.app.nav.here() {
        Here::Network(Screen::Overview) => overview::draw(area, frame),
        Here::Network(Screen::Decomposition) => decomposition::draw(area, frame),
        Here::Network(Screen::Oscillation) => oscillation::draw(area, frame),
        Here::Network(Screen::Synchronisation) => synchronisation::draw(area, frame),
        Here::Network(Screen::Classes) => classes::draw(area, frame),
        Here::Network(Screen::Distribution) => distribution::draw(area, frame),
        Here::Network(Screen::HeldOut) => held_out::draw(area, frame),
        Here::Network(Screen::Run) => run::draw(area, frame),
        Here::Layer => layer::draw(area, frame),
        Here::Unit => unit::draw(area, frame),
        Here::Parameter => parameter::draw(area, frame),
        Here::Comparison => compare::draw(area, frame),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::app::Action;
    use crate::feed::{FeedEvent, Origin};
    use crate::record::Status;
    use crate::tui::theme::ColorLevel;
    use testing::{
        Run, RunShape, any_glyphs, app, app_of, header, odd_allocations, queries, row, text, theme,
    };

    #[test]
    fn a_terminal_that_is_too_small_says_what_the_training_does() {
        let shown = |origin: Origin, events: &[FeedEvent]| {
            let mut app = App::new(Arc::new(header(3)), origin);
            for event in events {
                app.event(event.clone());
            }
            // On one line, wherever the text wraps.
            let screen = text(&app, 30, 10, &theme());
            screen.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let ended = |status, message: &str| FeedEvent::Status {
            status,
            message: message.to_owned(),
        };
        let goes_on = "this terminal has 30x10. Training continues.";
        assert!(shown(Origin::Live, &[]).ends_with(goes_on));
        assert!(shown(Origin::Following, &[]).ends_with(goes_on));
        let paused = shown(Origin::Live, &[FeedEvent::Paused(true)]);
        assert!(paused.ends_with("30x10. Training is paused."), "{paused}");
        for (origin, event) in [
            (Origin::Live, ended(Status::Finished, "")),
            (Origin::Live, ended(Status::Stopped, "")),
            (Origin::Live, ended(Status::Failed, "it diverged")),
            (Origin::Following, ended(Status::Finished, "")),
            (Origin::Following, FeedEvent::WriterLost(true)),
            (Origin::Replay, ended(Status::Finished, "")),
            (Origin::Replay, FeedEvent::CaughtUp),
        ] {
            let shown = shown(origin, std::slice::from_ref(&event));
            assert!(
                shown.ends_with("this terminal has 30x10."),
                "{event:?}: {shown}"
            );
        }
    }

    #[test]
    fn the_overview_closes_at_every_common_size() {
        let allocations: Vec<f64> = (0..100).map(|t| -0.02 / f64::from(t + 1)).collect();
        let mut app = app(3, &allocations);
        app.act(Action::Move(-40));
        for (width, height) in [(60, 16), (80, 24), (120, 40), (200, 60)] {
            let screen = text(&app, width, height, &theme());
            // Layers contribute a, −a/2 and a: 1.5 a in total; the residual is 1e-4 a step.
            let total = 1.5 * allocations.iter().sum::<f64>();
            let at = 1.5 * allocations[59];
            let sum = row(&screen, "sum LCA");
            assert!(sum.len() >= 5, "{screen}");
            let number = |text: &str| text.parse::<f64>().unwrap();
            let close = |a: f64, b: f64| (a - b).abs() <= 6e-3 * b.abs();
            assert!(close(number(sum[2]), at), "{screen}");
            assert!(close(number(sum[4]), total), "{screen}");
            let change = row(&screen, "Δloss");
            assert!(
                close(number(change[change.len() - 1]), total + 0.01),
                "{screen}"
            );
            let residual = row(&screen, "residual");
            assert!(
                close(number(residual[residual.len() - 1]), 0.01),
                "{screen}"
            );
            assert!(screen.contains("step 59"), "{screen}");
            assert!(
                screen
                    .lines()
                    .next()
                    .is_some_and(|l| l.contains("LIVE") && l.contains("100/500 steps"))
            );
        }
    }

    #[test]
    fn sums_of_more_steps_than_were_asked_for_say_so_on_every_screen() {
        let allocations: Vec<f64> = (0..300).map(|t| -0.02 / f64::from(t + 1)).collect();
        let mut header = header(3);
        header.held_out_lca = true;
        let mut coarse = testing::coarse_app(3, &allocations, 32);
        coarse.model.header = Arc::new(header);
        // Neither end of the window is at an entry's edge, and the cursor is inside an entry.
        for action in [Action::Move(-102), Action::ZoomIn] {
            coarse.act(action);
        }
        let mut exact = app(3, &allocations);
        exact.model.header = coarse.model.header.clone();
        exact.act(Action::Move(-102));
        let title = |screen| match screen {
            Screen::Decomposition => "since 96+",
            _ => "in view+",
        };
        for screen in [
            Screen::Overview,
            Screen::Decomposition,
            Screen::Distribution,
            Screen::HeldOut,
        ] {
            coarse.act(Action::Screen(screen));
            exact.act(Action::Screen(screen));
            for (width, height) in [(80, 24), (120, 40)] {
                let shown = text(&coarse, width, height, &theme());
                assert!(shown.contains("32 st."), "{screen:?}: {shown}");
                assert!(shown.contains(title(screen)), "{screen:?}: {shown}");
                let shown = text(&exact, width, height, &theme());
                assert!(
                    !shown.contains(" st.") && !shown.contains("in view+"),
                    "{shown}"
                );
            }
        }
    }

    #[test]
    fn a_too_small_terminal_gets_a_message() {
        let screen = text(&app(3, &[0.1]), 59, 15, &theme());
        assert!(
            screen.contains("60x16") && screen.contains("59x15"),
            "{screen}"
        );
    }

    #[test]
    fn ascii_screens_are_ascii() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        let mut app = app(3, &[-0.1, 0.2, -0.3]);
        for action in [
            None,
            Some(Action::Help),
            Some(Action::Dismiss),
            Some(Action::Quit),
        ] {
            if let Some(action) = action {
                app.act(action);
            }
            let screen = text(&app, 100, 30, &theme);
            assert!(screen.is_ascii(), "{screen}");
        }
    }

    #[test]
    fn a_followed_training_shows_its_pause_its_question_and_failed_orders() {
        let mut app = App::new(Arc::new(header(3)), Origin::Following);
        app.event(FeedEvent::Controllable(true));
        app.event(FeedEvent::Paused(true));
        app.event(FeedEvent::OrderFailed("resume: nobody answers".to_owned()));
        for glyphs in [Glyphs::Braille, Glyphs::Ascii] {
            let screen = text(&app, 80, 24, &Theme::new(ColorLevel::None, glyphs));
            let lines: Vec<&str> = screen.lines().collect();
            assert!(lines[0].contains("PAUSED"), "{screen}");
            assert_eq!(lines[23], " resume: nobody answers");
            assert!(glyphs == Glyphs::Braille || screen.is_ascii());
        }
        app.act(Action::Quit);
        let screen = text(&app, 60, 16, &theme());
        assert!(screen.contains("l q  leave it running"), "{screen}");
        assert!(screen.contains("? help"), "the notice is gone: {screen}");
    }

    #[test]
    fn help_names_every_key_and_scrolls_where_there_is_no_room() {
        let mut app = app(3, &[0.1]);
        app.act(Action::Help);
        let mut screen = text(&app, 80, 24, &theme());
        assert!(screen.contains("more below"), "{screen}");
        for rows in [8, 8, 8, 100] {
            app.act(Action::Select(rows));
            screen += &text(&app, 80, 24, &theme());
        }
        for group in crate::tui::keys::GROUPS {
            assert!(screen.contains(group.help), "{}\n{screen}", group.help);
        }
        assert!(screen.contains("Any other key closes the help"), "{screen}");
    }

    #[test]
    fn a_failure_is_said_in_full() {
        let mut app = app(3, &[0.1]);
        let message = "the training diverged in step 1: the loss is NaN at learning rate 1000000. \
                       Try a smaller --learning-rate";
        app.event(FeedEvent::Status {
            status: Status::Failed,
            message: message.to_owned(),
        });
        let screen = text(&app, 80, 24, &theme());
        assert!(
            screen.contains("FAILED") && screen.contains("--learning-rate"),
            "{screen}"
        );
    }

    #[test]
    fn many_layers_scroll() {
        let mut app = app(40, &[0.1, -0.2]);
        let screen = text(&app, 80, 24, &theme());
        assert!(
            screen.contains("/40") && screen.contains("block0.conv0 "),
            "{screen}"
        );
        app.act(Action::Select(39));
        let screen = text(&app, 80, 24, &theme());
        assert!(screen.contains("block13.conv39"), "{screen}");
    }

    #[test]
    fn names_cannot_control_the_terminal() {
        let mut header = header(1);
        header.network = "evil\u{1b}[2J".to_owned();
        header.layout.layers[0].name = "x\u{1b}]0;y\u{7}".to_owned();
        let mut app = App::new(Arc::new(header), Origin::Replay);
        app.event(FeedEvent::Broken("bad\u{1b}[31m".to_owned()));
        let screen = text(&app, 100, 30, &theme());
        assert!(
            !screen.contains('\u{1b}') && !screen.contains('\u{7}'),
            "{screen}"
        );
    }

    #[test]
    fn queries_of_a_screen_do_not_depend_on_answers() {
        let network = Screen::ALL.map(|screen| vec![Action::Screen(screen)]);
        let deeper = (1..=3).map(|times| vec![Action::Enter; times]);
        let asked = network.into_iter().chain(deeper).map(|actions| {
            let mut run = Run::new(RunShape::default());
            run.act(&actions);
            let before = queries(&run.app, (120, 40), &theme());
            run.settle(120, 40, &theme());
            assert_eq!(queries(&run.app, (120, 40), &theme()), before);
            before.len()
        });
        // By screen, then inside a layer, a unit and a parameter; each also asks for the events.
        let asked: Vec<usize> = asked.collect();
        assert_eq!(asked, [1, 1, 2, 2, 6, 5, 4, 2, 6, 3, 4]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn nothing_panics(
            width in 1u16..260,
            height in 1u16..90,
            layers in 0usize..30,
            allocations in odd_allocations(),
            overlay in 0u8..3,
            glyphs in any_glyphs(),
            moves in prop::collection::vec(-60i64..60, 0..4),
            screen in prop::sample::select(Screen::ALL.to_vec()),
            (classes, held_out, focus) in (0usize..12, any::<bool>(), 0usize..6),
        ) {
            let mut header = header(layers);
            header.held_out_lca = held_out;
            header.classes = (0..classes).map(|class| class.to_string()).collect();
            let mut app = app_of(header, &allocations);
            app.act(Action::Screen(screen));
            app.nav.focus = focus;
            for steps in moves {
                app.act(Action::Move(steps));
                app.act(Action::ZoomIn);
            }
            match overlay {
                1 => app.act(Action::Help),
                2 => app.act(Action::Quit),
                _ => {}
            }
            let theme = Theme::new(ColorLevel::Ansi16, glyphs);
            let shown = text(&app, width, height, &theme);
            prop_assert!(glyphs != Glyphs::Ascii || shown.is_ascii(), "{}", shown);
        }
    }
}
