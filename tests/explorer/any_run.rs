//! For any run and any terminal size: nothing panics, nothing leaves its place, no control character reaches the
//! terminal, and what closes is seen to close.

use std::sync::Arc;

use crate::scenes::odd::Dice;
use crate::scenes::{Look, Scene, draw, scenes, symbols};
use lcascope::app::{Action, App, Screen};
use lcascope::feed::{FeedEvent, Origin};
use lcascope::record::{Losses, Status};
use lcascope::tui::{ColorLevel, Glyphs, Theme};
use proptest::prelude::*;
use ratatui::buffer::Buffer;

const GLYPHS: [Glyphs; 3] = [Glyphs::Braille, Glyphs::Blocks, Glyphs::Ascii];
const LEVELS: [ColorLevel; 3] = [ColorLevel::TrueColor, ColorLevel::Ansi16, ColorLevel::None];

fn theme(dice: &mut Dice) -> Theme {
    let mut pick = || usize::try_from(dice.below(3)).unwrap();
    Theme::new(LEVELS[pick()], GLYPHS[pick()])
}

/// Possible sizes of a terminal, and those around the smallest that is drawn.
fn any_size() -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![
        (1u16..=300, 1u16..=100),
        (55u16..=90, 14u16..=26),
        Just((60, 16)),
        Just((300, 100)),
    ]
}

fn is_sound(buffer: &Buffer, what: &str) {
    for cell in &buffer.content {
        let odd = cell.symbol().chars().any(char::is_control);
        assert!(!odd, "{what}: {:?}", cell.symbol());
    }
}

/// Visits every scene, with different keys in between.
fn look_everywhere(mut see: impl FnMut(&Scene, &[Action])) {
    let changes: [&[Action]; 6] = [
        &[],
        &[Action::Focus, Action::ToggleScale],
        &[Action::Pool, Action::Sort, Action::Focus],
        &[Action::ZoomIn, Action::Home, Action::NextEvent],
        &[Action::Freeze, Action::Bookmark, Action::Compare],
        &[
            Action::Select(99),
            Action::Sort,
            Action::Sort,
            Action::PreviousEvent,
        ],
    ];
    for (at, scene) in scenes().iter().enumerate() {
        see(scene, changes[at % changes.len()]);
        see(scene, changes[(at + 3) % changes.len()]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    /// With answers from a file full of NaN and infinities.
    #[test]
    fn a_file_of_any_numbers_is_drawn_at_any_size(
        seed in any::<u64>(),
        layers in 1usize..6,
        steps in prop_oneof![Just(1u64), 2u64..40],
        sizes in prop::collection::vec(any_size(), 4),
    ) {
        let mut dice = Dice::new(seed, true);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd.h5");
        let header = crate::scenes::odd::header(&mut dice, layers, steps);
        crate::scenes::odd::write(&path, &header, steps, &mut dice);
        let mut at = 0;
        let mut look = Look::at(&path);
        let header = look.app.model.header.clone();
        look_everywhere(|scene, changes| {
            let theme = theme(&mut dice);
            let size = sizes[at % sizes.len()];
            at += 1;
            let mut app = App::new(header.clone(), Origin::Replay);
            std::mem::swap(&mut app.model.timeline, &mut look.app.model.timeline);
            look.app = app;
            look.app.event(FeedEvent::Status {
                status: Status::Failed,
                message: "why\nnot".to_owned(),
            });
            look.act(&scene.actions, size, &theme);
            look.act(changes, size, &theme);
            is_sound(&draw(&look.app, size, &theme), scene.name);
        });
    }

    /// Without answers, and with up to a million steps; or with none, and without layers.
    #[test]
    fn steps_of_any_numbers_are_drawn_at_any_size(
        seed in any::<u64>(),
        layers in 0usize..40,
        entries in 0u64..50,
        width in prop_oneof![Just(1u64), Just(64), Just(20_000)],
        sizes in prop::collection::vec(any_size(), 4),
    ) {
        let mut dice = Dice::new(seed, true);
        let mut at = 0;
        let header = Arc::new(crate::scenes::odd::header(&mut dice, layers, entries * width));
        look_everywhere(|scene, changes| {
            let mut app = App::new(header.clone(), Origin::Live);
            for entry in 0..entries {
                let steps = entry * width..(entry + 1) * width;
                let loss = dice.number();
                let summary = crate::scenes::odd::summary(&mut dice, layers, steps, loss);
                app.event(FeedEvent::Steps(vec![summary]));
            }
            let theme = theme(&mut dice);
            let size = sizes[at % sizes.len()];
            at += 1;
            for action in scene.actions.iter().chain(changes) {
                app.act(*action);
                is_sound(&draw(&app, size, &theme), scene.name);
            }
        });
    }

    /// The rows below a table: Σ LCA and the residual add up to the change of the loss, in every column that has all
    /// three.
    #[test]
    fn closing_rows_close(
        seed in any::<u64>(),
        layers in 1usize..30,
        steps in 1u64..200,
        back in 0i64..200,
        zoom in 0usize..4,
        width in 80u16..=300,
        height in 24u16..=100,
    ) {
        let mut dice = Dice::new(seed, false);
        let header = crate::scenes::odd::header(&mut dice, layers, steps);
        let mut app = App::new(Arc::new(header), Origin::Replay);
        let mut loss = 3.0;
        app.event(FeedEvent::Start(Losses { train: loss, ..Losses::default() }));
        for step in 0..steps {
            let summary = crate::scenes::odd::summary(&mut dice, layers, step..step + 1, loss);
            loss = summary.loss_after;
            app.event(FeedEvent::Steps(vec![summary]));
        }
        app.act(Action::Move(-back));
        for _ in 0..zoom {
            app.act(Action::ZoomIn);
        }
        for screen in [Screen::Overview, Screen::Decomposition, Screen::HeldOut] {
            app.act(Action::Screen(screen));
            let text = symbols(&draw(&app, (width, height), &crate::scenes::rich()));
            let closed = columns_that_close(&text);
            prop_assert!(closed > 0 || screen != Screen::Overview, "{text}");
        }
    }
}

/// Numbers in a line from some position on, and where each ends.
fn numbers(line: &str, from: usize) -> Vec<(usize, f64)> {
    let mut found = Vec::new();
    let mut word = String::new();
    let letters = line.chars().chain([' ']).enumerate().skip(from);
    for (at, letter) in letters {
        if letter != ' ' {
            word.push(letter);
        } else if let Ok(number) = std::mem::take(&mut word).parse() {
            found.push((at, number));
        }
    }
    found
}

fn columns_that_close(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let mut closed = 0;
    for (y, line) in lines.iter().enumerate() {
        let Some(at) = line.find("sum LCA") else {
            continue;
        };
        let column = line[..at].chars().count();
        let begins = |line: &str, name: &str| {
            let here: String = line
                .chars()
                .skip(column)
                .take(name.chars().count())
                .collect();
            assert!(here == name, "{name} is not below the sum\n{text}");
            numbers(line, column)
        };
        let sums = numbers(line, column);
        let changes = begins(lines[y + 1], "Δloss");
        let residuals = begins(lines[y + 2], "residual");
        for (at, change) in changes {
            let in_column = |row: &[(usize, f64)]| row.iter().find(|it| it.0 == at).map(|it| it.1);
            let (sum, residual) = in_column(&sums)
                .zip(in_column(&residuals))
                .expect("all three");
            // Three digits are shown, for numbers that may cancel.
            let size = sum.abs() + change.abs() + residual.abs();
            let gap = (sum + residual - change).abs();
            assert!(
                gap <= 6e-3 * size,
                "{sum} + {residual} is not {change}\n{text}"
            );
            closed += 1;
        }
    }
    closed
}
