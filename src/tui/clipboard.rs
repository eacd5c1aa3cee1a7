//! Copies text to the clipboard of the machine the user sits at, through SSH and tmux.
//!
//! Text reaches a terminal through the OSC 52 sequence, `ESC ] 52 ; c ; base64 BEL`. The terminal sends no reply: if it
//! does not know the sequence, or has it switched off, it ignores it. tmux forwards the sequence only if
//! `set-clipboard` is `on`, so inside tmux the text also goes through `tmux load-buffer -w -`, which stores it in a
//! paste buffer and, with `-w` (tmux 3.2), hands it to the terminal around tmux.

use std::io::{self, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossbeam_channel::Sender;

/// The most bytes of text sent to a terminal: 100,000 of base64, the lowest known limit among terminals that support
/// the sequence (hterm).
pub const MOST: usize = 74_994;

/// The most bytes of text given to tmux: far more than anyone pastes.
const MOST_TMUX: usize = 16 << 20;

/// More text than can be copied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{size} bytes exceed the limit of terminals ({MOST}): export to a file instead")]
pub struct TooLong {
    size: usize,
}

/// The recipients of a copied text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The terminal, which does not confirm it.
    Asked,
    /// tmux as well or, for a long text, tmux alone, which forwards it if it can. The log reports a refusal.
    Tmux,
}

/// The sequence that puts `text` into the clipboard.
///
/// # Errors
/// The text is longer than terminals accept.
pub fn sequence(text: &str) -> Result<Vec<u8>, TooLong> {
    if text.len() > MOST {
        return Err(TooLong { size: text.len() });
    }
    let mut bytes = b"\x1b]52;c;".to_vec();
    bytes.extend_from_slice(STANDARD.encode(text).as_bytes());
    bytes.push(b'\x07');
    Ok(bytes)
}

/// Copies text to the clipboard. A thread runs tmux, which may take its time; its failures go to the log.
pub struct Clipboard {
    /// `$TMUX`, inside tmux.
    tmux: Option<String>,
    log: Sender<String>,
    /// The flag that ends the thread talking to tmux, and the thread.
    telling: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Clipboard {
    /// Creates a clipboard for a terminal inside the tmux that `$TMUX` names, if there is one.
    #[must_use]
    pub fn new(tmux: Option<String>, log: Sender<String>) -> Self {
        Self {
            tmux: tmux.filter(|place| !place.is_empty()),
            log,
            telling: None,
        }
    }

    /// Copies text through the terminal that `screen` writes to and, inside tmux, also through tmux, which accepts
    /// longer texts. Does not wait for tmux.
    ///
    /// # Errors
    /// A notice for the screen.
    pub fn copy(&mut self, text: &str, screen: &mut impl Write) -> Result<Copied, String> {
        let told = self.tell(text);
        match sequence(text) {
            Ok(bytes) => {
                let written = screen.write_all(&bytes).and_then(|()| screen.flush());
                match (written, told) {
                    (_, true) => Ok(Copied::Tmux),
                    (Ok(()), false) => Ok(Copied::Asked),
                    (Err(error), false) => Err(format!("cannot copy: {error}")),
                }
            }
            Err(_) if told => Ok(Copied::Tmux),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Starts giving a text to tmux, and gives up on one that tmux has not taken yet. Returns whether it started.
    fn tell(&mut self, text: &str) -> bool {
        let Some(tmux) = self.tmux.clone().filter(|_| text.len() <= MOST_TMUX) else {
            return false;
        };
        self.stop();
        let give_up = Arc::new(AtomicBool::new(false));
        let (given_up, text, log) = (give_up.clone(), text.to_owned(), self.log.clone());
        let thread = thread::Builder::new().name("clipboard".to_owned());
        let thread = thread.spawn(move || {
            if let Err(error) = load_buffer(&text, &tmux, &given_up) {
                // If the log is full, this line may be lost like any other.
                let _ = log.try_send(format!("cannot copy to tmux: {error}"));
            }
        });
        self.telling = thread.ok().map(|thread| (give_up, thread));
        self.telling.is_some()
    }

    fn stop(&mut self) {
        if let Some((give_up, thread)) = self.telling.take() {
            give_up.store(true, Relaxed);
            let _ = thread.join();
        }
    }
}

impl Drop for Clipboard {
    /// Waits a moment for tmux to finish; one that does not respond must not keep the program running.
    fn drop(&mut self) {
        let begun = Instant::now();
        while let Some((_, thread)) = &self.telling
            && !thread.is_finished()
            && begun.elapsed() < LAST_MOMENT
        {
            thread::sleep(POLL);
        }
        self.stop();
    }
}

/// The longest delay of the program's end by a text on its way to tmux.
const LAST_MOMENT: Duration = Duration::from_millis(500);
/// The interval at which tmux is polled.
const POLL: Duration = Duration::from_millis(5);

/// Gives text to the tmux that `$TMUX` names, and waits until it has taken it or `given_up` is set.
fn load_buffer(text: &str, tmux: &str, given_up: &AtomicBool) -> io::Result<()> {
    // Before version 3.2 tmux has no `-w`.
    load(text, tmux, &["-w", "-"], given_up).or_else(|_| load(text, tmux, &["-"], given_up))
}

fn load(text: &str, tmux: &str, arguments: &[&str], given_up: &AtomicBool) -> io::Result<()> {
    let mut child = Command::new("tmux")
        .env("TMUX", tmux)
        .arg("load-buffer")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let written = match child.stdin.take() {
        Some(stdin) => write(&stdin, text.as_bytes(), given_up),
        None => Ok(()),
    };
    // Wait in any case, or the child stays as a zombie.
    let status = loop {
        if given_up.load(Relaxed) {
            child.kill()?;
            break child.wait()?;
        }
        match child.try_wait()? {
            Some(status) => break status,
            None => thread::sleep(POLL),
        }
    };
    written?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("tmux: {status}")))
    }
}

/// Writes without ever blocking on the pipe: tmux hands its end to its server, so the pipe stays open even after tmux
/// itself has been killed.
fn write(mut pipe: &ChildStdin, mut text: &[u8], given_up: &AtomicBool) -> io::Result<()> {
    rustix::io::ioctl_fionbio(pipe, true)?;
    while !text.is_empty() {
        if given_up.load(Relaxed) {
            return Err(io::Error::other("timed out"));
        }
        match pipe.write(text) {
            Ok(count) => text = &text[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(POLL),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, unbounded};

    use super::*;

    fn clipboard(tmux: Option<&str>) -> (Clipboard, Receiver<String>) {
        let (log, said) = unbounded();
        (Clipboard::new(tmux.map(str::to_owned), log), said)
    }

    #[test]
    fn the_copy_sequence_is_osc_52() {
        assert_eq!(
            sequence("loss\t0.5 é\n").unwrap(),
            b"\x1b]52;c;bG9zcwkwLjUgw6kK\x07"
        );
        // The terminal interprets nothing in the text.
        let hostile = sequence("\x07\x1b[2J").unwrap();
        let inside = &hostile[7..hostile.len() - 1];
        assert!(
            inside
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))
        );
    }

    #[test]
    fn too_long_texts_are_not_sent() {
        assert_eq!(sequence(&"x".repeat(MOST)).unwrap().len(), 8 + 99_992);
        let error = sequence(&"x".repeat(MOST + 1)).unwrap_err().to_string();
        assert!(
            error.contains("74995 bytes") && error.contains("export"),
            "{error}"
        );
        let mut screen = Vec::new();
        assert!(
            clipboard(None)
                .0
                .copy(&"x".repeat(MOST + 1), &mut screen)
                .is_err()
        );
        assert!(screen.is_empty());
    }

    #[test]
    fn outside_tmux_the_terminal_copies() {
        for tmux in [None, Some("")] {
            let mut screen = Vec::new();
            assert_eq!(clipboard(tmux).0.copy("a", &mut screen), Ok(Copied::Asked));
            assert_eq!(screen, sequence("a").unwrap());
        }
    }

    #[test]
    fn a_vanished_terminal_gives_a_notice() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let failed = clipboard(None).0.copy("a", &mut Gone);
        assert!(failed.unwrap_err().contains("cannot copy"));
    }

    /// A tmux server for one test, killed when it ends.
    struct Tmux(String);

    impl Tmux {
        fn start() -> Option<Self> {
            let server = Self(format!("lcascope-clipboard-{}", std::process::id()));
            let session = ["new-session", "-d", "-x", "80", "-y", "24", "cat"];
            if Command::new("tmux").arg("-V").output().is_err() {
                let _ = writeln!(io::stderr(), "skipped: no tmux here");
                return None;
            }
            server.run(&session);
            Some(server)
        }

        fn run(&self, arguments: &[&str]) -> Vec<u8> {
            let mut command = Command::new("tmux");
            command
                .args(["-L", &self.0, "-f", "/dev/null"])
                .args(arguments);
            command.output().unwrap().stdout
        }
    }

    impl Drop for Tmux {
        fn drop(&mut self) {
            self.run(&["kill-server"]);
        }
    }

    #[test]
    fn tmux_gets_its_buffer_whatever_its_settings() {
        let Some(tmux) = Tmux::start() else { return };
        tmux.run(&["set-option", "-s", "set-clipboard", "off"]);
        let place = tmux.run(&["display-message", "-p", "#{socket_path},#{pid},0"]);
        let place = String::from_utf8(place).unwrap();
        let long = "0.125\tfc1 é\n".repeat(10_000);
        for text in ["loss\t0.5 é\n", &long] {
            let mut screen = Vec::new();
            let (mut clipboard, said) = clipboard(Some(place.trim()));
            assert_eq!(clipboard.copy(text, &mut screen), Ok(Copied::Tmux));
            assert_eq!(screen.is_empty(), text.len() > MOST);
            let (_, thread) = clipboard.telling.take().unwrap();
            thread.join().unwrap();
            assert!(tmux.run(&["show-buffer"]) == text.as_bytes());
            assert!(said.is_empty());
        }
        let (mut clipboard, said) = clipboard(Some("/nowhere/socket,1,0"));
        assert_eq!(clipboard.copy("x", &mut Vec::new()), Ok(Copied::Tmux));
        let (_, thread) = clipboard.telling.take().unwrap();
        thread.join().unwrap();
        assert!(said.recv().unwrap().contains("cannot copy to tmux"));
    }

    /// A tmux that takes nothing does not block the screen, and delays the end only for a moment.
    #[test]
    fn an_unresponsive_tmux_times_out() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("socket");
        // It listens but never replies.
        let _silent = std::os::unix::net::UnixListener::bind(&place).unwrap();
        if Command::new("tmux").arg("-V").output().is_err() {
            let _ = writeln!(std::io::stderr(), "skipped: no tmux here");
            return;
        }
        let (mut clipboard, said) = clipboard(Some(&format!("{},1,0", place.display())));
        let long = "x".repeat(1 << 20);
        for _ in 0..2 {
            assert_eq!(clipboard.copy(&long, &mut Vec::new()), Ok(Copied::Tmux));
        }
        assert!(
            said.recv().unwrap().contains("cannot copy to tmux"),
            "the first one"
        );
        assert!(clipboard.telling.is_some());
        drop(clipboard);
        assert!(said.recv().unwrap().contains("cannot copy to tmux"));
    }
}
