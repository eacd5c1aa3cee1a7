//! Copies text to the clipboard of whoever looks at the terminal, through SSH and tmux.
//!
//! A terminal takes text by the sequence OSC 52: `ESC ] 52 ; c ; base64 BEL`. There is no answer: a
//! terminal that does not know it, or has it switched off, ignores it. tmux passes it on only if
//! `set-clipboard` is `on`, so inside tmux its own command is told the text too
//! (`tmux load-buffer -w -`): that gives it a paste buffer and, with `-w` (tmux 3.2), hands it to the
//! terminal around tmux.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes of text that are given to a terminal: 100,000 of base64, the least that terminals which know
/// the sequence are known to take (hterm).
pub const MOST: usize = 74_994;

/// Bytes of text that are given to tmux: far more than anyone pastes.
const MOST_TMUX: usize = 16 << 20;

/// More text than can be copied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{size} bytes are more than a terminal takes ({MOST}): export them to a file instead")]
pub struct TooLong {
    size: usize,
}

/// What came of copying: a word for the notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The terminal was asked; whether it has done it is not known.
    Asked,
    /// tmux has it in its buffer, and passes it on where it can.
    Tmux,
}

/// The sequence that puts `text` into the clipboard.
///
/// # Errors
/// It is longer than terminals take.
pub fn sequence(text: &str) -> Result<Vec<u8>, TooLong> {
    if text.len() > MOST {
        return Err(TooLong { size: text.len() });
    }
    let mut bytes = b"\x1b]52;c;".to_vec();
    bytes.extend_from_slice(STANDARD.encode(text).as_bytes());
    bytes.push(b'\x07');
    Ok(bytes)
}

/// Copies text by way of the terminal that `screen` writes to and, inside tmux (`tmux` is `$TMUX`),
/// of tmux, which takes longer texts too.
///
/// # Errors
/// A notice for the screen.
pub fn copy(text: &str, screen: &mut impl Write, tmux: Option<&str>) -> Result<Copied, String> {
    let inside = tmux.filter(|place| !place.is_empty());
    let loaded = inside.is_some_and(|place| load_buffer(text, place).is_ok());
    match sequence(text) {
        Ok(bytes) => {
            let written = screen.write_all(&bytes).and_then(|()| screen.flush());
            match (written, loaded) {
                (_, true) => Ok(Copied::Tmux),
                (Ok(()), false) => Ok(Copied::Asked),
                (Err(error), false) => Err(format!("cannot copy: {error}")),
            }
        }
        Err(_) if loaded => Ok(Copied::Tmux),
        Err(error) => Err(error.to_string()),
    }
}

/// Gives text to the tmux that `$TMUX` names. It waits for tmux, as everything on the screen does.
///
/// # Errors
/// There is no tmux, or it does not take it.
pub fn load_buffer(text: &str, tmux: &str) -> io::Result<()> {
    if text.len() > MOST_TMUX {
        return Err(io::Error::other("too long for a paste buffer"));
    }
    // Before version 3.2 tmux has no `-w`.
    load(text, tmux, &["-w", "-"]).or_else(|_| load(text, tmux, &["-"]))
}

fn load(text: &str, tmux: &str, arguments: &[&str]) -> io::Result<()> {
    let mut tmux = Command::new("tmux")
        .env("TMUX", tmux)
        .arg("load-buffer")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let written = match tmux.stdin.take() {
        Some(mut stdin) => stdin.write_all(text.as_bytes()),
        None => Ok(()),
    };
    // It is waited for in any case, or it would stay as a zombie.
    let status = tmux.wait()?;
    written?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("tmux: {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_terminals() {
        assert_eq!(
            sequence("loss\t0.5 é\n").unwrap(),
            b"\x1b]52;c;bG9zcwkwLjUgw6kK\x07"
        );
        // Nothing in the text is seen by the terminal.
        let hostile = sequence("\x07\x1b[2J").unwrap();
        let inside = &hostile[7..hostile.len() - 1];
        assert!(
            inside
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))
        );
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        assert_eq!(sequence(&"x".repeat(MOST)).unwrap().len(), 8 + 99_992);
        let error = sequence(&"x".repeat(MOST + 1)).unwrap_err().to_string();
        assert!(
            error.contains("74995 bytes") && error.contains("export"),
            "{error}"
        );
        let mut screen = Vec::new();
        assert!(copy(&"x".repeat(MOST + 1), &mut screen, None).is_err());
        assert!(screen.is_empty());
    }

    #[test]
    fn outside_tmux_the_terminal_is_asked() {
        let mut screen = Vec::new();
        assert_eq!(copy("a", &mut screen, None), Ok(Copied::Asked));
        assert_eq!(screen, sequence("a").unwrap());
        assert_eq!(copy("a", &mut screen, Some("")), Ok(Copied::Asked));
    }

    #[test]
    fn a_terminal_that_is_gone_is_a_notice() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(
            copy("a", &mut Gone, None)
                .unwrap_err()
                .contains("cannot copy")
        );
    }

    /// A tmux of its own, which ends with the test.
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
    fn tmux_has_it_in_its_buffer_whatever_its_settings() {
        let Some(tmux) = Tmux::start() else { return };
        tmux.run(&["set-option", "-s", "set-clipboard", "off"]);
        let place = tmux.run(&["display-message", "-p", "#{socket_path},#{pid},0"]);
        let place = String::from_utf8(place).unwrap();
        let long = "0.125\tfc1 é\n".repeat(10_000);
        for text in ["loss\t0.5 é\n", &long] {
            let mut screen = Vec::new();
            let copied = copy(text, &mut screen, Some(place.trim()));
            assert_eq!(copied, Ok(Copied::Tmux));
            assert_eq!(screen.is_empty(), text.len() > MOST);
            assert!(tmux.run(&["show-buffer"]) == text.as_bytes());
        }
        let gone = load_buffer("x", "/nowhere/socket,1,0");
        assert!(gone.is_err());
    }
}
