//! Run files on other machines, `host:path`: lcascope there, started by ssh, reads them and passes orders on.
//!
//! The command over there is always the same, `lcascope reader --remote`. What it should do follows on its standard
//! input ([`RemoteRequest`]), so that no shell sees a path.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use crate::config::ConfigError;
use crate::feed::{self, Greeting, OpenError, Remote, RemoteRequest, why_it_ended};
use crate::text::harmless;

/// The environment variables for the flags of [`Ssh`].
const SSH: &str = "LCASCOPE_SSH";
const PROGRAM: &str = "LCASCOPE_REMOTE_PROGRAM";

/// Seconds without an answer after which ssh takes a connection for lost, in three questions.
const ALIVE: &str = "ServerAliveInterval=5";

/// The command that reaches other machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// ssh and its first arguments.
    command: Vec<String>,
    /// lcascope there, as its shell understands it.
    program: String,
}

impl Ssh {
    /// Takes the flags, or else the environment variables, or else `ssh` and `lcascope`.
    ///
    /// # Errors
    /// The command of ssh is empty, or has a quote without an end.
    pub fn new(ssh: Option<&str>, program: Option<&str>) -> Result<Self, ConfigError> {
        let or_env = |flag: Option<&str>, name, default: &str| {
            let set = || env::var(name).ok().filter(|value| !value.is_empty());
            flag.map(str::to_owned)
                .or_else(set)
                .unwrap_or_else(|| default.to_owned())
        };
        let ssh = or_env(ssh, SSH, "ssh");
        let command = shlex::split(&ssh).filter(|words| !words.is_empty());
        Ok(Self {
            command: command.ok_or_else(|| {
                ConfigError(format!(
                    "cannot split the command of ssh into words: {}",
                    harmless(&ssh)
                ))
            })?,
            program: or_env(program, PROGRAM, "lcascope"),
        })
    }

    /// A command that starts lcascope on `host`. Only if it `may_ask` can it read from the terminal.
    fn command(&self, host: &str, may_ask: bool) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        for option in [ALIVE, "ClearAllForwardings=yes", "ControlMaster=no"] {
            command.args(["-o", option]);
        }
        if !may_ask {
            command.args(["-o", "BatchMode=yes"]);
            command.process_group(0);
        }
        command.args(["-T", "--", host]);
        command.arg(format!("{} reader --remote", self.program));
        command
    }
}

/// A path on another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePath {
    /// As ssh understands it: a name, an alias, with or without `user@`.
    pub host: String,
    pub path: PathBuf,
}

impl RemotePath {
    /// Returns the host and path in `host:path`; none if this is a path here: it exists, or a slash comes before the
    /// first colon. An IPv6 address is in brackets. Relative paths, and those that begin with `~/`, begin in the home
    /// folder there; no path at all is that folder.
    #[must_use]
    pub fn parse(given: &Path) -> Option<Self> {
        let text = given.as_os_str().as_bytes();
        let address = text.iter().position(|&byte| byte == b'[');
        let address = address.filter(|&at| at == 0 || text[at - 1] == b'@');
        let (host, path) = match address.and_then(|at| Some((at, find(&text[at..], b"]:")?))) {
            Some((at, length)) => {
                let host = [&text[..at], &text[at + 1..at + length]].concat();
                (host, &text[at + length + 2..])
            }
            None => {
                let at = text.iter().position(|&byte| byte == b':')?;
                (text[..at].to_owned(), &text[at + 1..])
            }
        };
        let plain = |&byte: &u8| byte.is_ascii_alphanumeric() || b"._-@%+:".contains(&byte);
        let is_host = !host.is_empty() && host[0] != b'-' && host.iter().all(plain);
        if !is_host || given.symlink_metadata().is_ok() {
            return None;
        }
        let path = match path.strip_prefix(b"~/").unwrap_or(path) {
            b"" => b".",
            path => path,
        };
        // Not a flag there.
        let path = match path {
            [b'-', ..] => [b"./", path].concat(),
            path => path.to_owned(),
        };
        Some(Self {
            host: String::from_utf8(host).ok()?,
            path: OsString::from_vec(path).into(),
        })
    }

    /// Returns what a feed needs to read this file.
    #[must_use]
    pub fn remote(&self, ssh: Ssh) -> Remote {
        let host = self.host.clone();
        Remote {
            host: self.host.clone(),
            path: self.path.as_os_str().as_bytes().to_owned(),
            command: Box::new(move |may_ask| ssh.command(&host, may_ask)),
        }
    }

    /// Runs the program there with these arguments, and prints its output here.
    ///
    /// # Errors
    /// The machine or the program there cannot be reached.
    pub fn run(&self, arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
        let host = &self.host;
        let lost = |error: io::Error| Failure::Other(format!("cannot reach {host}: {error}"));
        let mut command = Ssh::new(None, None)?.command(host, true);
        // The standard error of ssh, and of the program there, is ours.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ssh = command
            .spawn()
            .map_err(|error| Failure::Other(format!("cannot start ssh: {error}")))?;
        let arguments = arguments.into_iter().map(OsString::into_vec).collect();
        let mut greeting = None;
        if let Some((mut requests, mut answers)) = ssh.stdin.take().zip(ssh.stdout.take()) {
            let _ = Greeting::send(&mut requests, Greeting::CLIENT)
                .and_then(|()| feed::send(&mut requests, &RemoteRequest::Run(arguments)));
            greeting = Greeting::receive(&mut answers, Greeting::READER).map_err(lost)?;
            if let Some(there) = &greeting {
                there.check(host).map_err(Failure::Open)?;
                // A closed standard output ends the program there too.
                let _ = io::copy(&mut answers, &mut io::stdout());
            }
        }
        let status = ssh.wait().map_err(lost)?;
        match (status.code(), why_it_ended(status, host, "")) {
            (Some(code @ 0..255), _) if greeting.is_some() => {
                Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
            }
            (_, Ok(why)) => Err(Failure::Other(format!("cannot reach {host}: {why}"))),
            (_, Err(why)) => Err(Failure::Other(why)),
        }
    }
}

/// A run on another machine, and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRun {
    pub at: RemotePath,
    pub ssh: Ssh,
}

impl RemoteRun {
    /// Lets a process there answer a question about the file, as [`feed::ask_once`] does here. Nobody is asked for a
    /// password.
    ///
    /// # Errors
    /// The other machine cannot be reached, or its own error.
    pub fn ask<T: DeserializeOwned>(&self, question: &impl Serialize) -> Result<T, OpenError> {
        let host = &self.at.host;
        let lost = |error: io::Error| OpenError::Unreachable(format!("{host}: {error}"));
        let mut command = self.ssh.command(host, false);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ssh = command.stderr(Stdio::piped()).spawn().map_err(lost)?;
        let request = RemoteRequest::Answer(self.at.path.as_os_str().as_bytes().to_owned());
        let mut answer = None;
        if let Some((mut requests, mut answers)) = ssh.stdin.take().zip(ssh.stdout.take()) {
            // If ssh has ended, its words say why.
            let _ = Greeting::send(&mut requests, Greeting::CLIENT)
                .and_then(|()| feed::send(&mut requests, &request))
                .and_then(|()| feed::send(&mut requests, question));
            if let Ok(Some(there)) = Greeting::receive(&mut answers, Greeting::READER) {
                there.check(host)?;
                answer = feed::receive::<Result<T, String>>(&mut answers).map_err(lost)?;
            }
        }
        let ended = ssh.wait_with_output().map_err(lost)?;
        if let Some(answer) = answer {
            return answer.map_err(OpenError::Refused);
        }
        let words = harmless(&String::from_utf8_lossy(&ended.stderr));
        let why = why_it_ended(ended.status, host, &words).unwrap_or_else(|why| why);
        Err(OpenError::Unreachable(why))
    }
}

/// Returns the place of `needle` in `text`.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|it| it == needle)
}

/// Runs this whole command, which is about `path`, on the machine that `path` names; none if that is this one.
#[must_use]
pub fn elsewhere(path: &Path) -> Option<Result<ExitCode, Failure>> {
    let there = RemotePath::parse(path)?;
    let argument = |argument: OsString| {
        if argument.as_os_str() == path.as_os_str() {
            there.path.clone().into()
        } else {
            argument
        }
    };
    Some(there.run(env::args_os().skip(1).map(argument).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_comes_before_the_first_colon_unless_the_file_is_here() {
        let parse = |text: &str| {
            RemotePath::parse(Path::new(text))
                .map(|there| (there.host, there.path.display().to_string()))
        };
        let is = |host: &str, path: &str| Some((host.to_owned(), path.to_owned()));
        assert_eq!(parse("gpu:runs/a.h5"), is("gpu", "runs/a.h5"));
        assert_eq!(
            parse("me@gpu.example.org:/a b/'c'.h5"),
            is("me@gpu.example.org", "/a b/'c'.h5")
        );
        assert_eq!(parse("gpu:~/runs/a:b.h5"), is("gpu", "runs/a:b.h5"));
        assert_eq!(parse("gpu:"), is("gpu", "."));
        assert_eq!(parse("gpu:-rf"), is("gpu", "./-rf"));
        assert_eq!(parse("[::1]:a.h5"), is("::1", "a.h5"));
        assert_eq!(
            parse("me@[fe80::1%eth0]:a.h5"),
            is("me@fe80::1%eth0", "a.h5")
        );
        for here in [
            "a.h5",
            "./gpu:a.h5",
            "/x/gpu:a.h5",
            ":a.h5",
            "-oProxyCommand=x:a.h5",
            "a b:c",
            "$(x):c",
        ] {
            assert_eq!(parse(here), None, "{here}");
        }
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("gpu:a.h5");
        std::fs::write(&there, "").unwrap();
        assert_eq!(RemotePath::parse(&there), None);
    }

    #[test]
    fn no_path_is_an_argument_of_ssh() {
        let ssh = Ssh::new(Some("ssh -p '2 2'"), Some("nice /opt/lcascope")).unwrap();
        let words = |may_ask| {
            let command = ssh.command("gpu", may_ask);
            let words = command
                .get_args()
                .map(|word| word.to_string_lossy().into_owned());
            words.collect::<Vec<_>>()
        };
        assert_eq!(words(true)[..2], ["-p", "2 2"]);
        let end = ["-T", "--", "gpu", "nice /opt/lcascope reader --remote"];
        assert!(words(true).ends_with(&end.map(str::to_owned)));
        let asks = |may_ask| !words(may_ask).contains(&"BatchMode=yes".to_owned());
        assert!(asks(true) && !asks(false));
        for bad in ["", " ", "ssh 'x"] {
            assert!(Ssh::new(Some(bad), None).is_err(), "{bad}");
        }
    }
}
