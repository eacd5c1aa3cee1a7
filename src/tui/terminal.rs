//! Takes over the terminal, and restores it whatever happens.
//!
//! While the screen is up, nothing else may write to the terminal: standard output and standard error are redirected
//! into a pipe. Its lines go to the log on the screen at once, and are printed after the terminal has been restored.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use crossbeam_channel::Sender;
use crossterm::cursor::{Hide, Show};
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{ExecutableCommand, execute};

use super::job::in_background;
use super::mouse;

/// The most lines of stray output kept.
const STRAY_LINES: usize = 1000;

/// The longest line kept whole, in bytes; a longer one is split.
const LONGEST_LINE: usize = 4096;

/// The real standard output and error while the screen is up; the panic hook needs them to restore the terminal.
static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

struct Taken {
    stdout: OwnedFd,
    stderr: OwnedFd,
    mouse: bool,
}

/// The terminal, taken over until this is dropped.
pub struct TerminalGuard {
    stray: Option<JoinHandle<Vec<String>>>,
}

impl TerminalGuard {
    /// Takes over the terminal, and its mouse if wanted. Returns the guard and the file to draw on. Lines that would
    /// have been printed also go to `log`, as far as it has room.
    ///
    /// # Errors
    /// There is no terminal, or it refuses.
    pub fn enter(mouse: bool, log: Option<Sender<String>>) -> io::Result<(Self, File)> {
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let mut screen = File::from(stdout.try_clone()?);
        // Not inherited by processes that another thread starts just now: the pipe would outlive the screen.
        let (read, write) = io::pipe()?;
        let stray = thread::Builder::new()
            .name("stray output".to_owned())
            .spawn(move || collect(BufReader::new(read), log.as_ref()))?;
        *lock() = Some(Taken {
            stdout,
            stderr,
            mouse,
        });
        let guard = Self { stray: Some(stray) };
        rustix::stdio::dup2_stdout(&write)?;
        rustix::stdio::dup2_stderr(&write)?;
        drop(write);
        // Undo a raw mode left behind when the screen was left in the background.
        let _ = disable_raw_mode();
        enable_raw_mode()?;
        execute!(screen, EnterAlternateScreen, Hide)?;
        if mouse {
            screen.write_all(mouse::ON)?;
        }
        Ok((guard, screen))
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        restore();
        // The pipe has no writer now, so the thread ends.
        let stray = self.stray.take().and_then(|thread| thread.join().ok());
        let mut stderr = io::stderr().lock();
        for line in stray.unwrap_or_default() {
            let _ = writeln!(stderr, "{line}");
        }
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<Taken>> {
    TAKEN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Restores the terminal, at most once.
fn restore() {
    let Some(Taken {
        stdout,
        stderr,
        mouse,
    }) = lock().take()
    else {
        return;
    };
    let _ = io::stdout().flush();
    // If another job has the terminal now, its mode belongs to that job.
    if !in_background() {
        let _ = disable_raw_mode();
    }
    let mut screen = File::from(stdout);
    if mouse {
        let _ = screen.write_all(mouse::OFF);
    }
    let _ = screen.execute(Show);
    let _ = screen.execute(LeaveAlternateScreen);
    let _ = rustix::stdio::dup2_stdout(&screen);
    let _ = rustix::stdio::dup2_stderr(&stderr);
}

/// Makes a panic of the main thread restore the terminal before it is reported. A panic of another thread is stray
/// output; the code that joins the thread reports it.
pub fn install_panic_hook() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if thread::current().name() == Some("main") {
            restore();
        }
        report(info);
    }));
}

/// Keeps crossterm from reading `NO_COLOR` itself, which would also drop bold and reverse video. The theme has no
/// colours in that case anyway.
pub fn ignore_no_color() {
    crossterm::style::force_color_output(true);
}

/// Collects lines until the last writer has gone, and passes each on.
fn collect(mut from: impl BufRead, log: Option<&Sender<String>>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = next_line(&mut from) {
        let line = String::from_utf8_lossy(&line).into_owned();
        // A busy screen may miss lines.
        let _ = log.map(|log| log.try_send(line.clone()));
        if lines.len() < STRAY_LINES {
            lines.push(line);
        }
    }
    lines
}

/// The next line without its newline, at most [`LONGEST_LINE`] bytes of it; `None` at the end.
fn next_line(from: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let there = match from.fill_buf() {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => &[],
        };
        if there.is_empty() {
            return (!line.is_empty()).then_some(line);
        }
        let room = &there[..there.len().min(LONGEST_LINE - line.len())];
        let end = room.iter().position(|&byte| byte == b'\n');
        let taken = end.unwrap_or(room.len());
        line.extend_from_slice(&room[..taken]);
        from.consume(taken + usize::from(end.is_some()));
        if end.is_some() || line.len() == LONGEST_LINE {
            return Some(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn lines_are_passed_on_and_kept_and_long_ones_are_cut() {
        let long = "x".repeat(LONGEST_LINE + 3);
        let text = [b"a\n\n", long.as_bytes(), b"\nb\xff\nend"].concat();
        let (log, logged) = bounded(100);
        // A small buffer splits lines into pieces.
        let from = BufReader::with_capacity(7, Cursor::new(text));
        let kept = collect(from, Some(&log));
        let expected = ["a", "", &long[..LONGEST_LINE], "xxx", "b\u{fffd}", "end"];
        assert_eq!(kept, expected);
        assert_eq!(logged.try_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_full_log_channel_loses_no_printed_line() {
        let (log, logged) = bounded(1);
        let kept = collect(Cursor::new("1\n2\n3\n"), Some(&log));
        assert_eq!(kept, ["1", "2", "3"]);
        assert_eq!(logged.try_iter().count(), 1);
        assert_eq!(collect(Cursor::new(""), None), [""; 0]);
    }
}
