//! Measures the latency from a key press to the screen while a training keeps all cores busy.
//!
//! ```text
//! cargo build --release
//! cargo run --release --example key_latency -- target/release/lcascope [KEYS]
//! ```
//!
//! Starts a training of `mnist-lenet` on a pseudo-terminal, opens and closes the help, and prints the median and the
//! maximum of the times from the key's byte to the first bytes of the help.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Words that only the help contains. A cell that already shows the right letter is not redrawn, so one of them may
/// arrive incomplete.
const WORDS: [&str; 4] = [
    "closes the help",
    "lowered the",
    "residual = ",
    "flip N: sign",
];

/// Longer than any frame takes.
const PATIENCE: Duration = Duration::from_secs(30);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A training on its own terminal.
struct Screen {
    child: Child,
    keys: File,
    output: Receiver<(Instant, Vec<u8>)>,
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Screen {
    fn start(program: &str, file: &str) -> Outcome<Self> {
        let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&pty)?;
        unlockpt(&pty)?;
        let size = Winsize {
            ws_row: 40,
            ws_col: 120,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&pty, size)?;
        let name = ptsname(&pty, Vec::new())?;
        let side = File::from(open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?);
        // The pseudo-terminal becomes the program's controlling terminal, as in a shell.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", program, "train", "mnist-lenet"])
            .args(["--steps", "100000", "--force", "-o", file])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::from(side.try_clone()?))
            .stdout(Stdio::from(side.try_clone()?))
            .stderr(Stdio::from(side))
            .spawn()?;
        let keys = File::from(pty);
        let mut reading = keys.try_clone()?;
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(n) = reading.read(&mut bytes) {
                if n == 0 || sender.send((Instant::now(), bytes[..n].to_vec())).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            keys,
            output,
        })
    }

    /// Waits for output that contains one of these words; returns its arrival time.
    fn wait_for(&self, words: &[&str]) -> Outcome<Instant> {
        let began = Instant::now();
        let mut seen = String::new();
        while began.elapsed() < PATIENCE {
            let (at, bytes) = self.output.recv_timeout(PATIENCE)?;
            seen.push_str(&String::from_utf8_lossy(&bytes));
            if words.iter().any(|word| seen.contains(word)) {
                return Ok(at);
            }
        }
        Err(format!("none of {words:?} came: {seen:?}").into())
    }

    fn press(&mut self, key: &[u8]) -> Outcome<()> {
        self.keys.write_all(key)?;
        Ok(())
    }

    /// Discards the output so far.
    fn drain(&self) {
        while self.output.try_recv().is_ok() {}
    }
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().ok_or("say which program")?;
    let keys: usize = arguments.next().map_or(Ok(200), |n| n.parse())?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.h5").display().to_string();
    let mut screen = Screen::start(&program, &file)?;
    screen.wait_for(&["LIVE"])?;
    // Wait until the first loss has been evaluated.
    std::thread::sleep(Duration::from_secs(15));
    let mut times = Vec::new();
    for n in 0..keys {
        // At a different offset between two frames each time.
        std::thread::sleep(Duration::from_millis(100 + (n as u64 * 37) % 83));
        screen.drain();
        let began = Instant::now();
        screen.press(b"?")?;
        times.push(screen.wait_for(&WORDS)? - began);
        std::thread::sleep(Duration::from_millis(60));
        screen.press(b"x")?;
    }
    times.sort_unstable();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{} keys: median {:.1} ms, nine of ten within {:.1} ms, slowest {:.1} ms",
        times.len(),
        millis(times[times.len() / 2]),
        millis(times[times.len() * 9 / 10]),
        millis(times[times.len() - 1])
    );
    Ok(())
}
