//! A real terminal, driven through tmux.

use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The wait for a screen to show what it should; only a hang takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

fn tmux(socket: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("tmux");
    command
        .args(["-L", socket, "-f", "/dev/null"])
        .args(arguments);
    command.output().expect("tmux is there")
}

/// Whether there is a tmux; if not, reports that the test is skipped.
pub fn has_tmux() -> bool {
    let there = Command::new("tmux").arg("-V").output().is_ok();
    if !there {
        super::skip::skipped("no tmux here");
    }
    there
}

/// A shell in a terminal of its own.
pub struct Terminal {
    socket: String,
    /// The program's own folder for remembered views, used by nobody else.
    _home: tempfile::TempDir,
}

impl Terminal {
    pub fn new(name: &str, width: u16, height: u16) -> Self {
        let socket = format!("lcascope-test-{}-{name}", std::process::id());
        let (width, height) = (width.to_string(), height.to_string());
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().display();
        let shell = format!(
            "env -u NO_COLOR XDG_STATE_HOME='{folder}' XDG_CONFIG_HOME='{folder}' XDG_CACHE_HOME='{folder}' PS1='ready$ ' \
             LC_ALL=C.UTF-8 sh"
        );
        tmux(
            &socket,
            &["new-session", "-d", "-x", &width, "-y", &height, &shell],
        );
        let terminal = Self {
            socket,
            _home: home,
        };
        terminal.wait_for("ready$");
        terminal
    }

    pub fn run(&self, arguments: &str) {
        let program = env!("CARGO_BIN_EXE_lcascope");
        self.press(&[
            "-l",
            &format!("clear; '{program}' {arguments}; echo exit=$?"),
        ]);
        self.press(&["Enter"]);
    }

    pub fn press(&self, keys: &[&str]) {
        let mut arguments = vec!["send-keys"];
        arguments.extend(keys);
        tmux(&self.socket, &arguments);
    }

    pub fn screen(&self) -> String {
        let output = tmux(&self.socket, &["capture-pane", "-p"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The text copied last.
    pub fn buffer(&self) -> String {
        let output = tmux(&self.socket, &["show-buffer"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the screen shows `text`, and returns it.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contains(text))
    }

    #[track_caller]
    pub fn wait_until(&self, what: &str, good: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if good(&screen) {
                return screen;
            }
            assert!(began.elapsed() < PATIENCE, "no `{what}` on:\n{screen}");
            sleep(Duration::from_millis(50));
        }
    }

    /// Checks that the terminal is back in its usual mode: it echoes and edits lines.
    #[track_caller]
    pub fn is_restored(&self) {
        // An earlier answer may still be on the screen.
        self.press(&["-l", "clear"]);
        self.press(&["Enter"]);
        self.wait_until("a clear screen", |screen| !screen.contains("icanon"));
        self.press(&[
            "-l",
            "clear; stty -a | tr ' ' '\\n' | grep -E '^-?(icanon|echo);?$' | tr '\\n' ' '",
        ]);
        self.press(&["Enter"]);
        let screen = self.wait_until("icanon echo", |screen| screen.contains("icanon echo"));
        assert!(
            !screen.contains("-icanon") && !screen.contains("-echo "),
            "{screen}"
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        tmux(&self.socket, &["kill-server"]);
    }
}
