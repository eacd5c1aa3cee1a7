//! Tests every key of the explorer in a real terminal: in a training of its own, with a file that another process is
//! writing, and with a finished file. Skipped with a message if there is no tmux.
//!
//! The keys come from the program's own table, so a new key fails here until it is tested too.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::Training;
use crate::common::terminal::{Terminal, has_tmux};
use lcascope::app::Screen;
use lcascope::key_name::{Key, KeyName};
use lcascope::tui::keys::{Binding, GROUPS};

/// Wide enough for the short names of the other tabs, so that the long name shows which screen is open.
const SIZE: (u16, u16) = (100, 30);

/// The network of the recorded run.
const SMALL_NETWORK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runs/small.toml");
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runs/small.h5");

/// Steps of the recorded run, and the least number of steps of the others when their keys are pressed.
const STEPS: u64 = 48;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Live,
    Followed,
    Replay,
}

/// A run shown in a terminal, and its file.
struct Explorer {
    kind: Kind,
    terminal: Terminal,
    folder: PathBuf,
    /// The number of keys tried.
    tried: Cell<usize>,
}

/// The name of a key in tmux.
fn tmux_name(key: KeyName) -> String {
    let held = key.held();
    let name = match key.key() {
        Key::PageUp => "PPage".to_owned(),
        Key::PageDown => "NPage".to_owned(),
        Key::Tab if held.shift => return "BTab".to_owned(),
        Key::Esc => "Escape".to_owned(),
        Key::Backspace => "BSpace".to_owned(),
        key => KeyName::plain(key).to_string(),
    };
    match (held.ctrl, held.alt, held.shift) {
        (false, false, false) => name,
        (false, false, true) => format!("S-{name}"),
        (true, false, false) => format!("C-{name}"),
        _ => panic!("{key}: say what tmux calls it"),
    }
}

impl Explorer {
    fn press(&self, key: &str) {
        self.terminal.press(&[key]);
    }

    /// Types a command.
    fn command(&self, line: &str) {
        self.press(":");
        self.terminal.wait_until("the command line", |screen| {
            last_line(screen).starts_with(" :")
        });
        self.terminal.press(&["-l", line]);
        let typed = format!(" :{line}");
        self.terminal
            .wait_until(line, |screen| last_line(screen).starts_with(&typed));
        self.press("Enter");
        self.terminal.wait_until("no command line", |screen| {
            !last_line(screen).starts_with(" :")
        });
    }

    /// Shows the Overview of the whole run, with the cursor at step 20 and the second layer selected.
    fn reset(&self) {
        self.command("layer conv2");
        self.is_inside("conv2");
        self.command("overview");
        self.shows(Screen::Overview);
        self.command("zoom");
        self.command("20");
        self.is_at(|step| step == 20);
    }

    #[track_caller]
    fn shows(&self, screen: Screen) {
        let name = screen.name();
        self.terminal
            .wait_until(name, |text| is_shown(text, screen));
    }

    #[track_caller]
    fn is_inside(&self, what: &str) {
        let crumb = format!("› {what}");
        self.terminal
            .wait_until(&crumb, |screen| tabs(screen).contains(&crumb));
    }

    /// Waits until the cursor is at a good step.
    #[track_caller]
    fn is_at(&self, good: impl Fn(u64) -> bool) {
        self.terminal
            .wait_until("the cursor", |screen| cursor(screen).is_some_and(&good));
    }

    /// Waits until something has changed.
    #[track_caller]
    fn changes(&self, key: &str) {
        let before = self.terminal.screen();
        self.press(key);
        self.terminal.wait_until(key, |screen| screen != before);
    }

    #[track_caller]
    fn says(&self, what: &str) {
        self.terminal.wait_for(what);
    }

    /// Presses a key and checks its effect.
    fn try_key(&self, binding: &Binding, key: &str) {
        let name = binding.name;
        println!("{name}: {key}");
        self.reset();
        let known = self.try_screens(name, key)
            || self.try_lists(name, key)
            || self.try_steps(name, key)
            || self.try_charts(name, key)
            || self.try_others(name, key);
        assert!(
            known,
            "nothing here tries `{name}`: say what {key} should do"
        );
        self.tried.set(self.tried.get() + 1);
    }

    fn try_screens(&self, name: &str, key: &str) -> bool {
        let screen = match name {
            "next-screen" => Screen::Decomposition,
            "previous-screen" => Screen::Run,
            _ => {
                let named = |screen: &Screen| screen.name().eq_ignore_ascii_case(name);
                let Some(screen) = Screen::ALL.into_iter().find(named) else {
                    return false;
                };
                if screen == Screen::Overview {
                    self.command("classes");
                    self.shows(Screen::Classes);
                }
                screen
            }
        };
        self.press(key);
        self.shows(screen);
        true
    }

    fn try_lists(&self, name: &str, key: &str) -> bool {
        let selected = match name {
            "into" => {
                self.press(key);
                self.is_inside("conv2");
                return true;
            }
            "back" => {
                self.press("Enter");
                self.is_inside("conv2");
                self.press(key);
                self.shows(Screen::Overview);
                return true;
            }
            "sort" => {
                self.press(key);
                self.says("helps most");
                self.command("sort network");
                return true;
            }
            "filter" => {
                self.press(key);
                self.terminal.press(&["-l", "conv1"]);
                self.terminal.wait_until("conv1 alone", |screen| {
                    screen.contains("conv1 ") && !screen.contains("readout")
                });
                self.press("Enter");
                self.says("/conv1");
                self.command("filter");
                self.says("readout");
                return true;
            }
            "next-traced" => {
                self.press(key);
                self.terminal
                    .wait_until("a parameter", |screen| tabs(screen).contains(" ["));
                return true;
            }
            "select-up" | "select-page-up" | "select-first" => "conv1",
            "select-down" | "select-page-down" | "select-last" => "readout",
            _ => return false,
        };
        self.press(key);
        self.press("Enter");
        self.is_inside(selected);
        true
    }

    fn try_steps(&self, name: &str, key: &str) -> bool {
        match name {
            "previous-event" | "next-event" => {
                for step in ["5", "35"] {
                    self.command(step);
                    self.press("m");
                    self.says(&format!("bookmark set at step {step}"));
                }
                self.command("20");
                self.is_at(|step| step == 20);
                self.press(key);
                match name {
                    "next-event" => self.is_at(|step| (21..=35).contains(&step)),
                    _ => self.is_at(|step| (5..20).contains(&step)),
                }
                for step in ["5", "35"] {
                    self.command(step);
                    self.press("m");
                    self.says(&format!("bookmark at step {step} removed"));
                }
                return true;
            }
            "what-happened" => {
                self.press(key);
                self.says("Enter shows where");
                self.press("x");
                self.terminal.wait_until("no findings", |screen| {
                    !screen.contains("Enter shows where")
                });
                return true;
            }
            "worse-step" | "milder-step" => {
                self.press(key);
                self.says("conv2: 1 of ");
                self.says(" worst steps, +");
                return true;
            }
            "events" => {
                self.press(key);
                self.says("Enter goes to the step");
                self.press("x");
                self.terminal.wait_until("no list", |screen| {
                    !screen.contains("Enter goes to the step")
                });
                return true;
            }
            "bookmark" => {
                self.press(key);
                self.says("bookmark set at step 20");
                self.press(key);
                self.says("bookmark at step 20 removed");
                return true;
            }
            _ => {}
        }
        let good: fn(u64) -> bool = match name {
            "step-back" => |step| step == 19,
            "step-forward" => |step| step == 21,
            "ten-steps-back" => |step| step == 10,
            "ten-steps-forward" => |step| step == 30,
            "first-step" => |step| step == 0,
            "follow" => |step| step >= STEPS - 1,
            _ => return false,
        };
        self.press(key);
        self.is_at(good);
        true
    }

    fn try_charts(&self, name: &str, key: &str) -> bool {
        match name {
            "zoom-in" | "scale" => self.changes(key),
            "zoom-out" | "zoom-all" => {
                self.command("zoom 10..20");
                self.says("steps 10-19");
                self.press(key);
                self.terminal
                    .wait_until("other steps", |screen| !screen.contains("steps 10-19"));
            }
            "focus" => {
                self.command("decomposition");
                self.shows(Screen::Decomposition);
                self.changes(key);
            }
            "next-class" | "previous-class" => {
                self.command("synchronisation");
                self.shows(Screen::Synchronisation);
                self.changes(key);
            }
            "pool" => {
                self.command("distribution");
                self.shows(Screen::Distribution);
                self.changes(key);
                self.press(key);
            }
            "freeze" if self.kind == Kind::Replay => {
                self.press("Home");
                self.is_at(|step| step == 0);
                self.press(key);
                self.says("playing");
                self.press("End");
            }
            "freeze" => {
                self.press(key);
                self.says("frozen at");
                self.press(key);
                self.terminal
                    .wait_until("no freeze", |screen| !screen.contains("frozen"));
            }
            "slower" | "faster" if self.kind == Kind::Replay => self.try_speed(name, key),
            // There is no speed here: the key must do nothing, harmlessly.
            "slower" | "faster" => {
                self.press(key);
                self.press("Right");
                self.is_at(|step| step == 21);
            }
            _ => return false,
        }
        true
    }

    /// Tests a speed key: at two steps per second, a replay lasts long enough to change its speed.
    fn try_speed(&self, name: &str, key: &str) {
        for key in ["<", "<", "<", ">", "Home"] {
            self.press(key);
        }
        self.is_at(|step| step == 0);
        self.press("Space");
        self.says("playing 2 steps/s");
        self.press(key);
        let back: &[&str] = match name {
            "slower" => {
                self.says("playing 1 steps/s");
                &[">", ">", ">"]
            }
            _ => {
                self.says("playing 5 steps/s");
                &[">"]
            }
        };
        self.press("Space");
        self.says("replay paused");
        self.terminal.press(back);
        self.press("End");
    }

    fn try_others(&self, name: &str, key: &str) -> bool {
        match name {
            "compare" => {
                self.press(key);
                self.says("no other run");
            }
            "copy" => {
                self.press(key);
                self.says("copied to tmux");
                // tmux takes a moment to accept the copy.
                let until = Instant::now() + Duration::from_secs(30);
                let taken = || self.terminal.buffer().contains("conv1");
                while !taken() {
                    assert!(Instant::now() < until, "{}", self.terminal.buffer());
                    thread::sleep(Duration::from_millis(20));
                }
            }
            "export" => {
                self.press(key);
                self.says("written");
                let files = files_like(&self.folder, "csv");
                assert_eq!(files.len(), 1, "{files:?}");
                let table = fs::read_to_string(&files[0]).unwrap();
                assert!(table.contains("readout"), "{table}");
            }
            "command" => {
                self.press(key);
                self.terminal
                    .wait_until("a line", |screen| last_line(screen).starts_with(" :"));
                self.press("Escape");
                self.terminal
                    .wait_until("no line", |screen| !last_line(screen).starts_with(" :"));
            }
            "pause-training" => match self.kind {
                Kind::Live => self.goes_on_and_waits(key, "LIVE"),
                Kind::Followed => self.goes_on_and_waits(key, "FOLLOWING"),
                Kind::Replay => {
                    self.press(key);
                    self.press("Right");
                    self.is_at(|step| step == 21);
                    self.says("REPLAY");
                }
            },
            "help" => {
                self.press(key);
                self.says("┌ Keys ");
                self.press("x");
                self.terminal
                    .wait_until("no help", |screen| !screen.contains("┌ Keys "));
            }
            "runs" => {
                self.press(key);
                self.says(" RUNS ");
                self.press("Escape");
                self.terminal
                    .wait_until("the run again", |screen| !screen.contains(" RUNS "));
            }
            "quit" => match self.kind {
                Kind::Replay => {
                    self.press(key);
                    self.says("exit=0");
                    self.terminal.run(&format!("open '{RECORDED}'"));
                    self.says("REPLAY");
                }
                _ => {
                    self.press(key);
                    self.says("leave it running");
                    self.press("Escape");
                    self.terminal
                        .wait_until("no question", |screen| !screen.contains("leave it running"));
                }
            },
            _ => return false,
        }
        true
    }

    /// Resumes the training, and pauses it again: it is paused while keys are tested, so that screens stand still.
    fn goes_on_and_waits(&self, key: &str, going: &str) {
        self.press(key);
        self.says(going);
        self.press(key);
        self.says("PAUSED");
    }

    /// Tests every key in the table.
    fn try_all(&self) {
        let bindings = || GROUPS.iter().flat_map(|group| group.bindings);
        for binding in bindings() {
            for &key in binding.keys {
                self.try_key(binding, &tmux_name(key));
            }
        }
        let keys: usize = bindings().map(|binding| binding.keys.len()).sum();
        assert_eq!(self.tried.get(), keys);
    }
}

fn last_line(screen: &str) -> &str {
    screen.trim_end().lines().last().unwrap_or_default()
}

/// The line of the tabs or of the current path, with the trailing space that is trimmed.
fn tabs(screen: &str) -> String {
    format!("{} ", screen.lines().nth(1).unwrap_or_default())
}

fn is_shown(text: &str, screen: Screen) -> bool {
    let tabs = tabs(text);
    let named = |screen: Screen| {
        let number = screen.number();
        let (long, short) = (screen.name(), screen.short_name());
        let tab = |name: &str| format!("{number} {name} ");
        (tabs.contains(&tab(long)), long == short)
    };
    // Only the open screen's tab has its long name.
    let others = Screen::ALL.into_iter().filter(|other| *other != screen);
    let tab = named(screen).0 && others.map(named).all(|(long, same)| same || !long);
    tab && !tabs.contains('›')
}

/// The step shown in the line below the tabs.
fn cursor(screen: &str) -> Option<u64> {
    let line = screen.lines().nth(2)?.strip_prefix(" step ")?;
    line.split(' ').next()?.parse().ok()
}

fn files_like(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect()
}

/// Flags of an endless training of the recorded run's network.
fn flags() -> Vec<&'static str> {
    vec![
        SMALL_NETWORK,
        "--by-class",
        "--lca-test",
        "--record-params=4",
        "--record-weights=4",
        "--batch-size=50",
        "--threads=1",
    ]
}

/// Stops the training of a failing test, which would outlive its terminal.
struct Ends(PathBuf);

impl Drop for Ends {
    fn drop(&mut self) {
        let mut stop = crate::common::lcascope();
        stop.arg("stop").arg(&self.0);
        let _ = stop.output();
    }
}

fn explorer(kind: Kind, name: &str, folder: &Path) -> Explorer {
    Explorer {
        kind,
        terminal: Terminal::new(name, SIZE.0, SIZE.1),
        folder: folder.to_owned(),
        tried: Cell::new(0),
    }
}

#[test]
fn every_key_works_in_a_replay() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.h5");
    fs::copy(RECORDED, &file).unwrap();
    let explorer = explorer(Kind::Replay, "replay", folder.path());
    explorer.terminal.run(&format!("open '{}'", file.display()));
    explorer.says("REPLAY");
    explorer.try_all();
    explorer.press("q");
    explorer.says("exit=0");
    explorer.terminal.is_restored();
}

#[test]
fn every_key_works_in_a_training() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.h5");
    let explorer = explorer(Kind::Live, "own", folder.path());
    let flags = flags().join(" ");
    explorer.terminal.run(&format!(
        "train {flags} --train-size 300 --test-size 100 --steps 100000 -o '{}'",
        file.display()
    ));
    let _ends = Ends(file);
    explorer.says("LIVE");
    explorer.is_at(|step| step > STEPS);
    // Its last steps are not in the file yet.
    explorer.press("y");
    explorer.says("copied to tmux");
    explorer.press("p");
    explorer.says("PAUSED");
    explorer.try_all();
    explorer.press("q");
    explorer.says("leave it running");
    explorer.press("s");
    explorer.says("exit=0");
    explorer.terminal.is_restored();
}

#[test]
fn every_key_works_where_a_training_is_followed() {
    if !has_tmux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut training = Training::endless(folder.path(), "run.h5", &flags());
    let reader = training.reader();
    training.grown(&reader, STEPS + 1);
    let mut order = crate::common::lcascope();
    order.arg("pause").arg(&training.path);
    assert_eq!(crate::common::Outcome::of(order).code, Some(0));
    let explorer = explorer(Kind::Followed, "followed", folder.path());
    let path = training.path.display();
    explorer.terminal.run(&format!("open '{path}'"));
    explorer.says("PAUSED");
    explorer.is_at(|step| step > STEPS);
    explorer.try_all();
    explorer.press("q");
    explorer.says("leave it running");
    explorer.press("s");
    explorer.says("STOPPED");
    explorer.press("q");
    explorer.says("exit=0");
    assert_eq!(training.end().code, Some(0));
}

#[test]
fn two_runs_are_compared_and_each_can_be_shown_alone() {
    if !has_tmux() {
        return;
    }
    let terminal = Terminal::new("two", SIZE.0, SIZE.1);
    terminal.run(&format!("open '{RECORDED}' '{RECORDED}'"));
    terminal.wait_for("Comparison");
    terminal.press(&["c"]);
    terminal.wait_until("one run", |screen| is_shown(screen, Screen::Overview));
    terminal.press(&["c"]);
    terminal.wait_for("Comparison");
    terminal.press(&["q"]);
    terminal.wait_for("exit=0");
    terminal.is_restored();
}
