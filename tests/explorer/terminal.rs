//! The program in a real terminal, driven through tmux. Skipped with a message if there is no tmux.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::Training;
use crate::common::terminal::{PATIENCE, Terminal, has_tmux};
use lcascope::record::Status;
use lcascope::store::RunReader;

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

#[test]
fn a_live_run_is_watched_stopped_and_replayed() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "run.h5");
    let terminal = Terminal::new("live", 80, 24);
    terminal.run(&format!("train --train-size 1000 --steps 5000 -o '{file}'"));
    let screen = terminal.wait_until("LIVE and a residual", |screen| {
        screen.contains("LIVE") && screen.contains("residual") && screen.contains("fc3")
    });
    assert!(
        screen.contains("sum LCA") && screen.contains("Δloss"),
        "{screen}"
    );

    terminal.press(&["?"]);
    terminal.wait_for("more below");
    terminal.press(&["x"]);
    terminal.wait_until("no help", |screen| !screen.contains("more below"));
    terminal.press(&["Space"]);
    terminal.wait_for("frozen at");
    terminal.press(&["End"]);
    terminal.wait_until("no freeze", |screen| !screen.contains("frozen"));
    terminal.press(&["p"]);
    terminal.wait_for("PAUSED");
    terminal.press(&["p"]);
    terminal.wait_for("LIVE");
    // With a single step, there is none to the right of it.
    terminal.wait_until("some steps", |screen| {
        let words = screen.lines().next().unwrap_or_default().split(' ');
        let steps = words.filter_map(|word| word.split_once('/')?.0.parse::<u64>().ok());
        steps.max().is_some_and(|steps| steps >= 3)
    });
    for (key, expected) in [("Home", " step 0 "), ("Right", " step 1 ")] {
        terminal.press(&[key]);
        terminal.wait_until(expected, |screen| {
            screen.lines().any(|line| line.starts_with(expected))
        });
    }

    terminal.press(&["q"]);
    terminal.wait_for("leave it running");
    terminal.press(&["Escape"]);
    terminal.wait_until("no question", |screen| !screen.contains("leave it running"));
    terminal.press(&["q"]);
    terminal.wait_for("leave it running");
    terminal.press(&["s"]);
    let screen = terminal.wait_for("exit=0");
    assert!(
        screen.contains("stopped after") && screen.contains("recorded in"),
        "{screen}"
    );
    terminal.is_restored();

    terminal.run(&format!("open '{file}'"));
    terminal.wait_until("the replay", |screen| {
        screen.contains("REPLAY") && screen.contains("fc3")
    });
    terminal.press(&["Space"]);
    terminal.wait_for("playing");
    terminal.press(&["q"]);
    terminal.wait_for("exit=0");
    terminal.is_restored();
}

#[test]
fn two_runs_are_compared_and_their_numbers_written() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one.h5", "two.h5"].map(|name| path(folder.path(), name));
    let terminal = Terminal::new("two", 120, 40);
    for (file, steps) in [(&one, 6), (&two, 4)] {
        let common = "train --headless --quiet --train-size 60 --test-size 20";
        terminal.run(&format!("{common} --steps {steps} -o '{file}'"));
        terminal.wait_for("exit=0");
    }
    terminal.run(&format!("open '{one}' '{two}'"));
    let screen = terminal.wait_until("both", |screen| {
        screen.contains("A one.h5 6 steps") && screen.contains("B two.h5 4 steps")
    });
    assert!(screen.contains("B-A in nats, steps 0-3"), "{screen}");
    terminal.press(&["e"]);
    terminal.wait_for("written: ");
    for (name, lines) in [("one-layers-0-6.csv", 4), ("two-layers-0-4.csv", 4)] {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(text.lines().count(), lines, "{text}");
    }
    terminal.press(&["c"]);
    terminal.wait_until("one run", |screen| !screen.contains("B-A"));
    terminal.press(&["-l", ":layer fc2"]);
    terminal.press(&["Enter"]);
    terminal.wait_for("Overview › fc2");
    terminal.press(&["q"]);
    terminal.wait_for("exit=0");
    terminal.run(&format!("open '{one}'"));
    terminal.wait_for("Overview › fc2");
    terminal.press(&["q"]);
    terminal.wait_for("exit=0");
    terminal.is_restored();
}

#[test]
fn a_signal_ends_the_run_and_gives_the_terminal_back() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "run.h5");
    let terminal = Terminal::new("signal", 100, 30);
    terminal.run(&format!("train --train-size 1000 --steps 5000 -o '{file}'"));
    terminal.wait_until("LIVE", |screen| {
        screen.contains("LIVE") && screen.contains("fc3")
    });
    let pattern = format!("lcascope.*{file}");
    let killed = Command::new("pkill")
        .args(["-TERM", "-f", &pattern])
        .status();
    if !killed.is_ok_and(|status| status.success()) {
        crate::common::skip::skipped("no pkill here");
        return;
    }
    terminal.wait_for("exit=143");
    terminal.is_restored();
}

#[test]
fn a_training_that_diverges_says_so_on_the_screen_and_after_it() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "run.h5");
    let terminal = Terminal::new("diverge", 100, 30);
    terminal.run(&format!(
        "train --train-size 1000 --learning-rate 1e6 -o '{file}'"
    ));
    let screen = terminal.wait_for("FAILED");
    assert!(screen.contains("diverged"), "{screen}");
    terminal.press(&["q"]);
    let screen = terminal.wait_for("exit=1");
    assert!(screen.contains("error: the run failed"), "{screen}");
    terminal.is_restored();
}

#[test]
fn a_training_outlives_its_terminal() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "run.h5");
    let terminal = Terminal::new("hangup", 80, 24);
    terminal.run(&format!("train --train-size 1000 --steps 60 -o '{file}'"));
    terminal.wait_until("LIVE", |screen| {
        screen.contains("LIVE") && screen.contains("fc3")
    });
    drop(terminal);
    let began = Instant::now();
    loop {
        let output = Command::new(env!("CARGO_BIN_EXE_lcascope"))
            .args(["info", &file])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains("finished") {
            assert!(text.contains("60 of 60"), "{text}");
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{text}");
        sleep(Duration::from_millis(200));
    }
}

#[test]
fn ctrl_z_restores_the_shell_and_fg_the_screen() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "run.h5");
    let terminal = Terminal::new("suspend", 80, 24);
    // Started by another program of the same job, which has to stop too.
    let program = env!("CARGO_BIN_EXE_lcascope");
    let command = format!("'{program}' train --train-size 1000 --steps 100000 -o '{file}'");
    terminal.press(&["-l", &format!("clear; sh -c \"{command}; true\"")]);
    terminal.press(&["Enter"]);
    let live = |screen: &str| {
        screen.starts_with(" lcascope ● LIVE")
            && [
                "\n▸fc1",
                "\n fc2",
                "\n fc3",
                "\n sum LCA",
                "\n Δloss",
                "\n residual",
                "\n ? help",
            ]
            .iter()
            .all(|text| screen.matches(text).count() == 1)
    };
    terminal.wait_until("a live screen", live);
    for _ in 0..2 {
        terminal.press(&["C-z"]);
        terminal.wait_until("the prompt", |screen| {
            screen.contains("ready$") && !screen.contains("sum LCA")
        });
        terminal.is_restored();
        // Everything has stopped, and nothing is drawn over the shell.
        let reader = RunReader::open(Path::new(&file)).unwrap();
        let stopped = reader.refresh().unwrap();
        let screen = terminal.screen();
        sleep(Duration::from_millis(700));
        assert_eq!(reader.refresh().unwrap().committed, stopped.committed);
        assert_eq!(terminal.screen(), screen);
        terminal.press(&["-l", "fg"]);
        terminal.press(&["Enter"]);
        terminal.wait_until("the screen again", live);
        crate::common::patiently("the training to go on", || {
            let state = reader.refresh().unwrap();
            (state.committed > stopped.committed).then_some(())
        });
    }
    terminal.press(&["q"]);
    terminal.wait_for("stop after");
    terminal.press(&["s"]);
    terminal.wait_for("stopped after");
    terminal.is_restored();
}

/// The number of committed steps in a file.
fn committed(file: &str) -> u64 {
    let reader = RunReader::open(Path::new(file)).ok();
    let state = reader.and_then(|reader| reader.refresh().ok());
    state.map_or(0, |state| state.committed)
}

#[track_caller]
fn grows(file: &str) {
    let before = committed(file);
    crate::common::patiently("more steps", || (committed(file) > before).then_some(()));
}

#[test]
fn a_training_in_the_background_is_not_stopped_and_comes_back_with_fg() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "run.h5");
    let terminal = Terminal::new("background", 80, 24);
    let program = env!("CARGO_BIN_EXE_lcascope");
    let train = format!("'{program}' train --train-size 1000 --steps 100000 -o '{file}'");
    for line in ["stty tostop", &format!("clear; {train} &")] {
        terminal.press(&["-l", line]);
        terminal.press(&["Enter"]);
    }
    terminal.wait_for("training in the background");
    grows(&file);
    // Nothing is drawn over the user's other work there.
    let screen = terminal.screen();
    sleep(Duration::from_millis(700));
    assert_eq!(terminal.screen(), screen);
    terminal.press(&["-l", "fg"]);
    terminal.press(&["Enter"]);
    terminal.wait_for("steps/s");
    terminal.press(&["C-c"]);
    terminal.wait_for("stopped after");
    let stopped = RunReader::open(Path::new(&file)).unwrap();
    assert_eq!(stopped.refresh().unwrap().status, Status::Stopped);
}

#[test]
fn after_ctrl_z_and_bg_a_training_goes_on_without_its_screen() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [file, short] = ["run.h5", "short.h5"].map(|name| path(folder.path(), name));
    let terminal = Terminal::new("bg", 80, 24);
    let shell = |line: &str| {
        terminal.press(&["-l", line]);
        // Also if the terminal does not convert Enter to it.
        terminal.press(&["C-j"]);
    };
    let live = |screen: &str| screen.starts_with(" lcascope ● LIVE") && screen.contains("fc3");
    terminal.run(&format!(
        "train --train-size 1000 --steps 100000 -o '{file}'"
    ));
    terminal.wait_until("a live screen", live);
    for signal in ["C-z", "STOP"] {
        match signal {
            "C-z" => terminal.press(&[signal]),
            // From elsewhere, so that the screen is not restored.
            _ => {
                let output = Command::new("pgrep")
                    .args(["-f", &format!("train .*{file}")])
                    .output();
                let output = String::from_utf8(output.expect("pgrep is there").stdout).unwrap();
                self::signal(signal, output.lines().next().unwrap());
            }
        }
        crate::common::patiently("it to stop", || {
            let before = committed(&file);
            sleep(Duration::from_millis(1200));
            (committed(&file) == before).then_some(())
        });
        shell("stty sane; clear; bg");
        grows(&file);
        // The word differs each time: what was printed before the screen comes back when the screen goes.
        let word = format!("mine, {signal}");
        shell(&format!("clear; echo {word}"));
        terminal.wait_until("the shell's own screen", |screen| {
            screen.starts_with(&word) && screen.contains("ready$") && !screen.contains("LIVE")
        });
        let screen = terminal.screen();
        sleep(Duration::from_millis(700));
        assert_eq!(terminal.screen(), screen);
        shell("fg");
        terminal.wait_until("the screen again", live);
    }
    terminal.press(&["q"]);
    terminal.wait_for("stop after");
    terminal.press(&["s"]);
    terminal.wait_for("stopped after");

    // A training that ends in the background needs no more keys.
    terminal.run(&format!("train --train-size 1000 --steps 150 -o '{short}'"));
    terminal.wait_until("a live screen", live);
    terminal.press(&["C-z"]);
    terminal.wait_until("the prompt", |screen| !screen.contains("LIVE"));
    shell("clear; bg");
    terminal.wait_for("recorded in");
    assert_eq!(committed(&short), 150);
}

#[test]
fn a_dumb_terminal_gets_lines() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "run.h5");
    let terminal = Terminal::new("dumb", 100, 30);
    let program = env!("CARGO_BIN_EXE_lcascope");
    for term in ["TERM=dumb", "TERM=", "-u TERM"] {
        let flags = "train --train-size 100 --test-size 20 --steps 2 --force";
        for (command, code) in [
            (format!("{flags} -o '{file}'"), 0),
            (format!("open '{file}'"), 1),
        ] {
            let line = format!("clear; env {term} '{program}' {command}; echo exit=$?");
            terminal.press(&["-l", &line]);
            terminal.press(&["Enter"]);
            let screen = terminal.wait_for(&format!("exit={code}"));
            let says = match code {
                0 => "recorded in",
                _ => "needs a terminal, but ",
            };
            assert!(screen.replace('\n', " ").contains(says), "{screen}");
        }
    }
}

#[test]
fn without_a_utf8_locale_the_screen_is_ascii_unless_a_flag_says_otherwise() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "run.h5");
    let terminal = Terminal::new("locale", 80, 24);
    terminal.run(&format!(
        "train --headless --quiet --train-size 100 --test-size 20 --steps 20 -o '{file}'"
    ));
    terminal.wait_for("exit=0");
    let program = env!("CARGO_BIN_EXE_lcascope");
    for (locale, flags, ascii) in [
        ("LC_ALL=C", "", true),
        ("LC_ALL= LC_CTYPE= LANG=de_DE.ISO-8859-1", "", true),
        ("LC_ALL= LC_CTYPE= LANG=", "", true),
        ("LC_ALL= LC_CTYPE= LANG=C.UTF-8", "", false),
        ("TERM=linux", "", true),
        ("LC_ALL=C", "--glyphs braille", false),
        ("LC_ALL=C.UTF-8", "--glyphs ascii", true),
    ] {
        let line = format!("clear; {locale} '{program}' open {flags} '{file}'; echo exit=$?");
        terminal.press(&["-l", &line]);
        terminal.press(&["Enter"]);
        let screen = terminal.wait_until("the replay", |screen| {
            // A notice about glyphs may take the place of the keys.
            screen.contains("REPLAY") && screen.contains("fc3") && screen.contains("Trust")
        });
        assert_eq!(screen.is_ascii(), ascii, "{locale} {flags}\n{screen}");
        terminal.press(&["q"]);
        terminal.wait_for("exit=0");
    }
}

#[test]
fn a_followed_training_is_paused_left_and_stopped_by_keys() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut training = Training::endless(folder.path(), "run.h5", &[]);
    let reader = training.reader();
    training.grown(&reader, 0);
    let file = training.path.display().to_string();
    let order = |order: &str| {
        let mut command = crate::common::lcascope();
        command.args([order, &file]);
        assert_eq!(crate::common::Outcome::of(command).code, Some(0));
    };
    let terminal = Terminal::new("attached", 80, 24);
    terminal.run(&format!("open '{file}'"));
    terminal.wait_for("FOLLOWING");
    // Until the socket is reached, the key reports that it is not.
    terminal.wait_until("PAUSED", |screen| {
        let paused = screen.contains("PAUSED") || screen.contains("PAUSING");
        if !paused {
            terminal.press(&["p"]);
            sleep(Duration::from_millis(500));
        }
        screen.contains("PAUSED")
    });
    assert!(reader.refresh().unwrap().paused);
    terminal.press(&["p"]);
    terminal.wait_for("FOLLOWING");
    // Whoever pauses it.
    order("pause");
    terminal.wait_for("PAUSED");
    order("resume");
    terminal.wait_for("FOLLOWING");

    terminal.press(&["q"]);
    let screen = terminal.wait_for("leave it running");
    assert!(screen.contains("stop after this step"), "{screen}");
    terminal.press(&["q"]);
    terminal.wait_for("exit=0");
    let seen = reader.refresh().unwrap().committed;
    training.grown(&reader, seen);

    terminal.run(&format!("open '{file}'"));
    terminal.wait_until("the question", |screen| {
        if screen.contains("FOLLOWING") && !screen.contains("leave it") {
            // The socket is reached in an instant, but not before.
            sleep(Duration::from_millis(500));
            terminal.press(&["q"]);
        }
        screen.contains("leave it running")
    });
    terminal.press(&["s"]);
    terminal.wait_for("STOPPED");
    terminal.press(&["q"]);
    terminal.wait_for("exit=0");
    assert_eq!(training.end().code, Some(0));
}

#[test]
fn a_followed_training_without_a_socket_is_left_without_a_question() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("run.h5.sock")).unwrap();
    let mut training = Training::endless(folder.path(), "run.h5", &[]);
    let reader = training.reader();
    training.grown(&reader, 0);
    let terminal = Terminal::new("deaf", 80, 24);
    terminal.run(&format!("open '{}'", training.path.display()));
    terminal.wait_for("FOLLOWING");
    terminal.press(&["p"]);
    terminal.wait_for("cannot control this training");
    terminal.press(&["Right"]);
    terminal.wait_for("? help");
    terminal.press(&["q"]);
    terminal.wait_for("exit=0");
    let seen = reader.refresh().unwrap().committed;
    training.grown(&reader, seen);
}

/// Processes that read a file for others, found by the file's path.
fn readers_of(path: &str) -> Vec<String> {
    let output = Command::new("pgrep")
        .args(["-f", &format!("reader -- {path}$")])
        .output();
    let output = output.expect("pgrep is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::to_owned).collect()
}

fn signal(name: &str, process: &str) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {process}")])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_crash_of_the_hdf5_library_is_shown_on_the_screen() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "run.h5");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lcascope"));
    command
        .args([
            "train",
            "--quiet",
            "--train-size",
            "600",
            "--steps",
            "100000000",
            "-o",
        ])
        .arg(&file);
    let _training = Training::start(command, Path::new(&file).to_owned());
    let terminal = Terminal::new("crash", 120, 24);
    while !Path::new(&file).exists() {
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_millis(500));
    terminal.run(&format!("open '{file}'"));
    terminal.wait_until("FOLLOWING and steps", |screen| {
        screen.contains("FOLLOWING") && screen.contains("fc3")
    });
    let readers = readers_of(&file);
    assert_eq!(readers.len(), 1, "{readers:?}");
    signal("FPE", &readers[0]);
    let screen = terminal.wait_for("the HDF5 library crashed on this file");
    assert!(
        screen.contains("FAILED") && screen.contains("fc3"),
        "{screen}"
    );
    terminal.press(&["q"]);
    terminal.wait_for("exit=0");

    // A stopped reader delays nobody.
    terminal.run(&format!("open '{file}'"));
    terminal.wait_for("FOLLOWING");
    let readers = readers_of(&file);
    assert_eq!(readers.len(), 1, "{readers:?}");
    signal("STOP", &readers[0]);
    terminal.press(&["q"]);
    // Once the training is known to take orders, quitting asks about it.
    let asked = "leave it running";
    let screen = terminal.wait_until("exit=0 or a question", |screen| {
        screen.contains("exit=0") || screen.contains(asked)
    });
    if screen.contains(asked) {
        terminal.press(&["q"]);
    }
    terminal.wait_for("exit=0");
    terminal.is_restored();
    assert!(readers_of(&file).is_empty());
}

#[test]
fn a_pipe_is_refused_without_waiting() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "silent.h5");
    let made = Command::new("mkfifo").arg(&file).status();
    assert!(made.unwrap().success());
    let terminal = Terminal::new("silent", 120, 24);
    terminal.run(&format!("open '{file}'"));
    let screen = terminal.wait_for("exit=1");
    assert!(
        screen.contains("silent.h5 is not a regular file"),
        "{screen}"
    );
    assert!(readers_of(&file).is_empty());
}

#[test]
fn a_full_disk_is_reported_on_the_screen() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "run.h5");
    let terminal = Terminal::new("full", 150, 24);
    terminal.press(&["-l", "ulimit -f 8192"]);
    terminal.press(&["Enter"]);
    terminal.run(&format!(
        "train --train-size 600 --record-params 1 --steps 1000000 -o '{file}'"
    ));
    terminal.wait_for("FAILED");
    let screen = terminal.wait_for("no space for");
    assert!(screen.contains("fc3"), "{screen}");
    terminal.press(&["q"]);
    let screen = terminal.wait_for("exit=1");
    assert!(
        screen.contains("the size of files is limited to"),
        "{screen}"
    );
}
