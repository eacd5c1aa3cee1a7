//! Run files on another machine, through a real sshd. Skipped with a message if there is none.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::sshd::Sshd;
use crate::common::terminal::{Terminal, has_tmux};
use crate::common::{Outcome, Training, folder, lcascope, patiently};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lcascope");

fn there(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from("127.0.0.1:");
    name.push(path);
    name.into()
}

/// A command that reaches the machine of `sshd`.
fn reaching(sshd: &Sshd, program: &str) -> Command {
    let mut command = lcascope();
    command
        .env("LCASCOPE_SSH", sshd.ssh())
        .env("LCASCOPE_REMOTE_PROGRAM", program)
        .env("LC_ALL", "C.UTF-8");
    command
}

/// The output of a command about a file, here and there.
fn here_and_there(sshd: &Sshd, arguments: &[&str], path: &Path) -> [Outcome; 2] {
    [path.to_owned(), there(path)].map(|path| {
        let mut command = reaching(sshd, PROGRAM);
        command.args(arguments).arg(path);
        Outcome::of(command)
    })
}

fn small() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs/small.h5")
}

#[test]
fn a_file_there_looks_as_it_does_here() {
    let Some(sshd) = Sshd::start() else { return };
    let folder = folder();
    // What a shell would take apart.
    let path = folder.path().join("a b'c\"$(touch x);`y`&é\\n!.h5");
    fs::copy(small(), &path).unwrap();
    for screen in [
        "overview",
        "decomposition",
        "oscillation",
        "synchronisation",
        "classes",
        "distribution",
        "held-out",
    ] {
        let once = ["open", "--once", "--size", "120x40", "--screen", screen];
        let [here, there] = here_and_there(&sshd, &once, &path);
        assert_eq!((here.code, here.stderr.as_str()), (Some(0), ""));
        assert!(here.stdout.contains("48/48 steps"), "{}", here.stdout);
        assert_eq!(here.stdout, there.stdout, "{screen}");
        assert_eq!((there.code, there.stderr.as_str()), (Some(0), ""));
    }
    for command in ["info", "verify"] {
        let [here, there] = here_and_there(&sshd, &[command], &path);
        assert_eq!((here.code, &here.stdout), (Some(0), &there.stdout));
        assert_eq!((there.code, there.stderr.as_str()), (Some(0), ""));
    }
    let [here, there] = here_and_there(&sshd, &["list"], folder.path());
    assert!(here.stdout.contains("finished"), "{here:?}");
    assert_eq!((here.code, here.stdout), (there.code, there.stdout));
    for order in ["stop", "pause"] {
        let [here, there] = here_and_there(&sshd, &[order], &path);
        assert_eq!(
            (here.code, here.stdout, here.stderr),
            (there.code, there.stdout, there.stderr)
        );
    }
    assert!(!Path::new("x").exists() && fs::read_dir(folder.path()).unwrap().count() == 1);
}

#[test]
fn what_is_missing_there_is_named() {
    let Some(sshd) = Sshd::start() else { return };
    let folder = folder();
    let missing = folder.path().join("missing.h5");
    let opened = |program: &str, path: &Path| {
        let mut command = reaching(&sshd, program);
        command.args(["open", "--once"]).arg(there(path));
        Outcome::of(command)
    };
    opened(PROGRAM, &missing).fails(1, &["127.0.0.1: ", "missing.h5", "No such file"]);
    opened(PROGRAM, folder.path()).fails(1, &["127.0.0.1: "]);
    let text = folder.path().join("text.h5");
    fs::write(&text, "no run").unwrap();
    opened(PROGRAM, &text).fails(1, &["127.0.0.1: ", "text.h5", "HDF5"]);
    opened("/nowhere/lcascope", &small())
        .fails(1, &["127.0.0.1", "/nowhere/lcascope", "--remote-program"]);
    // The shell there may speak first.
    let noise = format!("echo welcome to lcascope-reader; printf 'no line '; {PROGRAM}");
    assert_eq!(opened(&noise, &small()).code, Some(0));

    let script = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    };
    // As clap ends for an unknown flag.
    let old = script(
        "old",
        "echo \"error: unexpected argument '--remote'\" >&2; exit 2",
    );
    opened(&old, &small()).fails(1, &["too old", "127.0.0.1", env!("CARGO_PKG_VERSION")]);
    let new = script(
        "new",
        "echo lcascope-reader protocol 99 version 9.9.9 and more; cat > /dev/null",
    );
    opened(&new, &small()).fails(1, &["9.9.9", "protocol 99", "same version"]);
    for (program, needle) in [(&old, "too old"), (&new, "9.9.9")] {
        let mut info = reaching(&sshd, program);
        info.arg("info").arg(there(&small()));
        let outcome = Outcome::of(info);
        assert_eq!(outcome.code, Some(1));
        assert!(outcome.stderr.contains(needle), "{outcome:?}");
    }
    // The reader checks too.
    let mut reader = Command::new("sh");
    let greets =
        format!("echo lcascope-client protocol 99 version 9.9.9 | '{PROGRAM}' reader --remote");
    reader.args(["-c", &greets]);
    let outcome = Outcome::of(reader);
    outcome.fails(1, &["9.9.9", "same version"]);
    assert!(outcome.stdout.starts_with("lcascope-reader protocol "));

    let mut closed = reaching(&sshd, PROGRAM);
    closed.env("LCASCOPE_SSH", "ssh -F none -p 1");
    closed.args(["open", "--once"]).arg(there(&small()));
    Outcome::of(closed).fails(1, &["cannot reach 127.0.0.1", "port 1"]);
}

/// The number of steps in the title.
fn steps(screen: &str) -> u64 {
    let words = screen.lines().next().unwrap_or_default().split(' ');
    let mut steps = words.filter_map(|word| word.split_once('/')?.0.parse().ok());
    steps.next().unwrap_or(0)
}

#[test]
fn a_live_run_there_is_followed_controlled_and_found_again() {
    let Some(mut sshd) = Sshd::start() else {
        return;
    };
    if !has_tmux() {
        return;
    }
    let folder = folder();
    let mut training = Training::endless(folder.path(), "run.h5", &[]);
    let reader = training.reader();
    let path = training.path.display().to_string();
    let terminal = Terminal::new("remote", 120, 30);
    let own = crate::common::folder();
    terminal.press(&["-l", &format!("cd '{}'", own.path().display())]);
    terminal.press(&["Enter"]);
    let ssh = sshd.ssh();
    terminal.run(&format!(
        "open --ssh '{ssh}' --remote-program '{PROGRAM}' '127.0.0.1:{path}'"
    ));
    let screen = terminal.wait_until("a live run", |screen| {
        screen.contains("FOLLOWING") && screen.contains("residual") && steps(screen) > 0
    });
    terminal.wait_until("more steps", |now| steps(now) > steps(&screen));

    // An order.
    terminal.press(&["p"]);
    terminal.wait_for("PAUSED");
    patiently("the file to say so", || {
        reader.refresh().unwrap().paused.then_some(())
    });
    let paused = terminal.screen();

    // The connection is lost while the run is paused, and the run goes on before it is back.
    sshd.cut_off();
    let lost = terminal.wait_for("DISCONNECTED");
    assert_eq!(steps(&lost), steps(&paused), "{lost}");
    terminal.wait_for("trying again; the screen shows what was read before");
    let mut resume = lcascope();
    resume.arg("resume").arg(&path);
    assert_eq!(Outcome::of(resume).code, Some(0));
    training.grown(&reader, steps(&paused) + 20);
    let before = terminal.screen();
    assert_eq!(steps(&before), steps(&paused), "{before}");
    sshd.restart();
    let again = terminal.wait_until("the run again", |screen| {
        screen.contains("FOLLOWING") && steps(screen) > steps(&paused) + 20
    });
    // Every step is there: the sums close.
    assert!(again.contains("sum LCA"), "{again}");

    // Exports are made there and written here.
    terminal.press(&["-l", ":export csv"]);
    terminal.press(&["Enter"]);
    terminal.wait_for("written: run-layers-0-");
    let written = fs::read_dir(own.path()).unwrap().next().unwrap().unwrap();
    let table = crate::common::columns(&fs::read(written.path()).unwrap());
    assert!(
        table["lca (nats)"].iter().all(|lca| lca.is_finite()),
        "{table:?}"
    );

    // A stop, and the end of the run.
    let mut stop = lcascope();
    stop.arg("stop").arg(&path);
    assert_eq!(Outcome::of(stop).code, Some(0));
    terminal.wait_for("STOPPED");
    assert_eq!(training.end().code, Some(0));
    terminal.press(&["q"]);
    terminal.wait_for("exit=0");
    terminal.is_restored();
}
