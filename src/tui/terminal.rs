//! Takes the terminal over and gives it back, whatever happens.
//!
//! While the screen is up, nothing else may write to the terminal: standard output and standard
//! error are turned into a pipe whose lines are kept, and printed when the terminal is back.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use crossterm::cursor::{Hide, Show};
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{ExecutableCommand, execute};

use super::mouse;

/// Lines of stray output that are kept.
const STRAY_LINES: usize = 1000;

/// The real standard output and error, while the screen is up: what the panic hook needs to give
/// the terminal back.
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
    /// Takes the terminal over, and its mouse if that is wanted. Returns the guard and where to draw.
    ///
    /// # Errors
    /// There is no terminal, or it refuses.
    pub fn enter(mouse: bool) -> io::Result<(Self, File)> {
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let mut screen = File::from(stdout.try_clone()?);
        let (read, write) = rustix::pipe::pipe()?;
        let stray = thread::Builder::new()
            .name("stray output".to_owned())
            .spawn(move || collect(read))?;
        *lock() = Some(Taken {
            stdout,
            stderr,
            mouse,
        });
        let guard = Self { stray: Some(stray) };
        rustix::stdio::dup2_stdout(&write)?;
        rustix::stdio::dup2_stderr(&write)?;
        drop(write);
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

/// Gives the terminal back, once.
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
    let _ = disable_raw_mode();
    let mut screen = File::from(stdout);
    if mouse {
        let _ = screen.write_all(mouse::OFF);
    }
    let _ = screen.execute(Show);
    let _ = screen.execute(LeaveAlternateScreen);
    let _ = rustix::stdio::dup2_stdout(&screen);
    let _ = rustix::stdio::dup2_stderr(&stderr);
}

/// Makes a panic of the main thread give the terminal back before it is reported. A panic of
/// another thread is stray output; whoever joins the thread reports it.
pub fn install_panic_hook() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if thread::current().name() == Some("main") {
            restore();
        }
        report(info);
    }));
}

/// Keeps crossterm from reading `NO_COLOR` itself: it would drop bold and reverse video too. The
/// theme has no colours then anyway.
pub fn ignore_no_color() {
    crossterm::style::force_color_output(true);
}

fn collect(pipe: OwnedFd) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(File::from(pipe)).split(b'\n') {
        let Ok(line) = line else { break };
        if lines.len() < STRAY_LINES {
            lines.push(String::from_utf8_lossy(&line).into_owned());
        }
    }
    lines
}
