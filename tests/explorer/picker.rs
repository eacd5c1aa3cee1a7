//! The run picker: its looks, and its use in a real terminal.

use std::fs;

use lcascope::app::{Picker, PickerAction};
use lcascope::runs::{Content, ListUpdate, RunEntry};
use lcascope::tui::keys::KeyMap;
use lcascope::tui::{ColorLevel, Glyphs, ScreenOptions, Theme, picker};
use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::common::Training;
use crate::common::terminal::{Terminal, has_tmux};
use crate::scenes::listed::{entry, named};
use crate::scenes::{SIZES, portrait, rich, symbols};
use crate::snapshots::assert_looks;

/// Runs in every state, damaged files, and one that is not read yet.
fn folder_of(runs: u32) -> Picker {
    let mut picker = Picker::new("runs");
    let mut entries: Vec<RunEntry> = (0..runs).map(entry).collect();
    let error = "the HDF5 library crashed on this file (SIGSEGV): the file is damaged";
    entries.push(named("runs/torn.h5", Content::Unreadable(error.to_owned())));
    entries.push(named("runs/new.h5", Content::Reading));
    picker.update(ListUpdate::Entries(entries));
    picker
}

fn options(theme: Theme) -> ScreenOptions {
    ScreenOptions {
        theme,
        keys: KeyMap::default(),
        fps: 15,
        mouse: false,
        notice: String::new(),
    }
}

fn drawn(picker: &Picker, (width, height): (u16, u16), theme: &Theme) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    picker::draw(area, &mut buffer, picker, &options(theme.clone()));
    buffer
}

/// A picker in use: sorted, two runs marked.
fn in_use() -> Picker {
    let mut picker = folder_of(60);
    let loss = lcascope::runs::Column::Loss;
    for action in [
        PickerAction::SortBy(loss),
        PickerAction::Select(2),
        PickerAction::Mark,
        PickerAction::Mark,
        PickerAction::Select(2),
    ] {
        picker.act(action);
    }
    picker
}

#[test]
fn the_picker_looks_as_it_did() {
    let picker = in_use();
    for size in SIZES {
        let buffer = drawn(&picker, size, &rich());
        assert_looks(&format!("picker-{}", size.0), &portrait(&buffer));
    }
    for (name, colors, glyphs) in [
        ("16-colours", ColorLevel::Ansi16, Glyphs::Braille),
        ("no-colour", ColorLevel::None, Glyphs::Braille),
        ("ascii", ColorLevel::None, Glyphs::Ascii),
    ] {
        let buffer = drawn(&picker, SIZES[0], &Theme::new(colors, glyphs));
        assert_looks(&format!("picker-80-{name}"), &portrait(&buffer));
    }
    let mut picker = folder_of(3);
    picker.act(PickerAction::Help);
    assert_looks(
        "picker-help-80",
        &portrait(&drawn(&picker, SIZES[0], &rich())),
    );
}

#[test]
fn an_ascii_picker_is_ascii_and_every_state_has_its_word() {
    let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
    let mut picker = in_use();
    for action in [
        PickerAction::Filter,
        PickerAction::Submit,
        PickerAction::Help,
    ] {
        picker.act(action);
        for size in SIZES {
            let text = symbols(&drawn(&picker, size, &theme));
            assert!(text.is_ascii(), "{text}");
        }
    }
    let text = symbols(&drawn(&folder_of(5), (120, 40), &rich()));
    for word in [
        "running", "finished", "stopped", "failed", "crashed", "reading", "damaged",
    ] {
        assert!(text.contains(word), "{word}\n{text}");
    }
    assert!(text.contains("fc3:freeze fc1:delay=3"), "{text}");
    let mut nothing = folder_of(2);
    nothing.filter_text = "lenet".to_owned();
    nothing.act(PickerAction::Submit);
    assert!(symbols(&drawn(&nothing, (80, 24), &rich())).contains("no match"));
    let empty = symbols(&drawn(&Picker::new("x"), (80, 24), &rich()));
    assert!(empty.contains("no run files"), "{empty}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_panics(
        (width, height) in (1_u16..260, 1_u16..90),
        runs in 0_u32..40,
        name in "\\PC{0,30}",
        filter in "\\PC{0,12}",
        curve in prop::collection::vec(any::<f32>(), 0..40),
        keys in prop::collection::vec((0_usize..9, any::<i64>()), 0..12),
    ) {
        let mut picker = folder_of(runs);
        let mut odd = entry(0);
        odd.name.clone_from(&name);
        if let Content::Run(facts) = &mut odd.content {
            facts.curve = curve;
            facts.created = name;
            facts.status.committed = u64::MAX;
        }
        picker.update(ListUpdate::Entries(vec![odd]));
        for (key, number) in keys {
            picker.act(match key {
                0 => PickerAction::Select(number),
                1 => PickerAction::Column(number % 1000),
                2 => PickerAction::Sort,
                3 => PickerAction::Mark,
                4 => PickerAction::Last,
                5 => PickerAction::Filter,
                6 => PickerAction::Help,
                7 => PickerAction::Erase,
                _ => PickerAction::Dismiss,
            });
        }
        picker.filter_text = filter;
        picker.act(PickerAction::Submit);
        drawn(&picker, (width, height), &rich());
    }
}

#[test]
fn runs_are_picked_from_a_folder_compared_and_listed_again() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    fs::create_dir(&runs).unwrap();
    let path = |name: &str| runs.join(name).display().to_string();
    let terminal = Terminal::new("picker", 120, 30);
    let small = "--headless --quiet --train-size 60 --test-size 20";
    for (name, flags) in [
        ("one.h5", "--steps 6"),
        ("two.h5", "--steps 4 --layer fc3:freeze"),
    ] {
        terminal.run(&format!("train {small} {flags} -o '{}'", path(name)));
        terminal.wait_for("exit=0");
    }
    fs::write(runs.join("text.h5"), "no run").unwrap();
    terminal.press(&["-l", &format!("cd '{}'", folder.path().display())]);
    terminal.press(&["Enter"]);

    // Without a command, in a folder with runs.
    terminal.run("");
    let screen = terminal.wait_until("the runs", |screen| {
        screen.contains("RUNS") && screen.matches("finished").count() == 2
    });
    assert!(
        screen.contains("is not an HDF5 file") && screen.contains("fc3:freeze"),
        "{screen}"
    );
    let training = Training::endless(&runs, "live.h5", &[]);
    terminal.wait_for("running");
    terminal.press(&["/"]);
    terminal.press(&["-l", "status:fin steps:4"]);
    let screen = terminal.wait_for("1 of 4 files");
    assert!(
        screen.contains("two.h5") && !screen.contains("one.h5"),
        "{screen}"
    );
    terminal.press(&["Enter"]);
    terminal.press(&["Enter"]);
    terminal.wait_until("the run", |screen| {
        screen.contains("REPLAY") && screen.contains("4/4 steps")
    });
    // Back to the list, with its filter.
    terminal.press(&["r"]);
    terminal.wait_for("1 of 4 files");
    terminal.press(&["/", "Escape"]);
    terminal.wait_for("· 4 files");
    terminal.press(&["-l", "/finished"]);
    terminal.press(&["Enter", "Home", "Space", "Space"]);
    terminal.wait_for("2 marked");
    terminal.press(&["Enter"]);
    terminal.wait_until("both", |screen| {
        screen.contains("one.h5 6 steps") && screen.contains("two.h5 4 steps")
    });
    terminal.press(&["r"]);
    terminal.wait_for("2 marked");
    // The training ends while its row is in view.
    terminal.press(&["/", "Escape"]);
    terminal.wait_for("· 4 files");
    training.signal("TERM");
    training.end();
    terminal.wait_until("no running row", |screen| {
        screen.contains("stopped") && !screen.contains("running")
    });
    terminal.press(&["q"]);
    terminal.wait_for("exit=0");
    terminal.is_restored();

    // The key in a run leads to its folder, and Esc back to the run.
    terminal.run("open runs/one.h5");
    terminal.wait_for("REPLAY");
    terminal.press(&["r"]);
    terminal.wait_for("RUNS");
    terminal.press(&["Escape"]);
    terminal.wait_for("REPLAY");
    terminal.press(&["q"]);
    terminal.wait_for("exit=0");
}

#[test]
fn three_runs_are_compared_and_their_numbers_written() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let terminal = Terminal::new("three", 120, 40);
    let small = "--headless --quiet --train-size 60 --test-size 20";
    let runs = [
        ("one.h5", "--steps 6 --seed 1"),
        ("two.h5", "--steps 6 --seed 2"),
        ("three.h5", "--steps 4 --seed 1 --layer fc3:freeze"),
    ];
    for (name, flags) in runs {
        terminal.run(&format!("train {small} {flags} -o '{}'", path(name)));
        terminal.wait_for("exit=0");
    }
    let files = runs.map(|(name, _)| format!("'{}'", path(name))).join(" ");
    terminal.run(&format!("open {files}"));
    let screen = terminal.wait_until("three runs", |screen| {
        screen.contains("one.h5 6") && screen.contains("three.h5 4") && screen.contains("fc3")
    });
    assert!(screen.contains("B: seed=2  C: fc3:freeze"), "{screen}");
    assert!(screen.contains("B-A in nats"), "{screen}");
    terminal.press(&["n"]);
    terminal.wait_for("C-A in nats");
    terminal.press(&["f", "f"]);
    terminal.wait_until("one chart", |screen| {
        screen.contains("held-out loss") && !screen.contains("training loss")
    });
    terminal.press(&["a"]);
    terminal.wait_for("Ax2");
    terminal.press(&["e"]);
    let written = ["one-layers-0-6", "two-layers-0-6", "three-layers-0-4"];
    terminal.wait_until("the files", |_| {
        let there = |name: &&str| folder.path().join(format!("{name}.csv")).exists();
        written.iter().all(there)
    });
    terminal.press(&["Escape"]);
    terminal.wait_until("the first run alone", |screen| {
        !screen.contains("Comparison")
    });
    terminal.press(&["q"]);
    terminal.wait_for("exit=0");
    terminal.is_restored();
}
