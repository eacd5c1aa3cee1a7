//! Unattended trainings: orders from another shell, lists, detached runs, lost terminals.

use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Outcome, SMALL, Training, folder, lcascope, patiently, train, train_command};
use lcascope::record::Status;
use lcascope::store::{RunReader, RunState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// The steps of a run that ends only when told to.
const ENDLESS: &str = "100000000";

/// Runs a command on a file.
fn about(command: &str, file: &Path) -> Outcome {
    let mut program = lcascope();
    program.arg(command).arg(file);
    Outcome::of(program)
}

/// The state in a file that this process does not have open: HDF5 shares open files, including old lengths.
fn state(path: &Path) -> RunState {
    RunReader::open(path).unwrap().refresh().unwrap()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}.{suffix}", path.display()))
}

/// A small training in progress that takes orders.
fn endless(folder: &Path, name: &str, flags: &[&str]) -> (Training, RunReader) {
    let mut training = Training::endless(folder, name, flags);
    let reader = training.reader();
    training.grown(&reader, 0);
    (training, reader)
}

#[track_caller]
fn says(outcome: &Outcome, needles: &[&str]) {
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    for needle in needles {
        assert!(outcome.stdout.contains(needle), "no {needle}: {outcome:?}");
    }
}

// ---- orders ----

#[test]
fn a_training_is_paused_resumed_and_stopped_from_another_shell() {
    let folder = folder();
    let (mut training, reader) = endless(folder.path(), "run.h5", &[]);
    let path = training.path.clone();
    let socket = beside(&path, "sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    says(&about("pause", &path), &["paused, ", "of 100000000 steps"]);
    patiently("the file to say so", || {
        reader.refresh().unwrap().paused.then_some(())
    });
    let paused = reader.refresh().unwrap();
    assert!(paused.paused && paused.is_live());
    says(&about("pause", &path), &["already paused, "]);
    says(&about("info", &path), &["running, paused, updated"]);
    // No steps, but signs of life, for little of the processor.
    let used = || {
        ticks(training.child.id())
            .iter()
            .map(|(.., used)| used)
            .sum::<u64>()
    };
    let (used_before, since) = (used(), Instant::now());
    let mut signs = 0;
    let mut silent = paused.silent;
    patiently("signs of life", || {
        let state = reader.refresh().unwrap();
        assert_eq!(state.committed, paused.committed);
        signs += usize::from(state.silent < silent);
        silent = state.silent;
        (signs > 2).then_some(())
    });
    // A tick is a hundredth of a second.
    let used = Duration::from_millis(10 * used().saturating_sub(used_before));
    assert!(
        used < since.elapsed() / 5,
        "{used:?} in {:?}",
        since.elapsed()
    );

    says(&about("resume", &path), &["resuming, "]);
    training.grown(&reader, paused.committed);
    assert!(!reader.refresh().unwrap().paused);
    patiently("the training to say so", || {
        let again = about("resume", &path);
        again.stdout.starts_with("not paused, ").then_some(())
    });

    let stopped = about("stop", &path);
    let end = reader.refresh().unwrap();
    assert_eq!(end.status, Status::Stopped);
    let how = format!("stopped after {} of {ENDLESS} steps", end.committed);
    says(&stopped, &[&how]);
    assert!(!socket.exists());
    assert_eq!(training.end().code, Some(0));

    // One stop is enough; nobody is left to obey other orders.
    says(&about("stop", &path), &["not running: ", &how]);
    for order in ["pause", "resume"] {
        about(order, &path).fails(1, &["run.h5 is not running: ", &how]);
    }
}

#[test]
fn stopping_a_paused_training_answers_every_waiting_client() {
    let folder = folder();
    let (training, _) = endless(folder.path(), "run.h5", &[]);
    let path = training.path.clone();
    says(&about("pause", &path), &["paused"]);
    let waiting: Vec<Training> = (0..3)
        .map(|_| {
            let mut stop = lcascope();
            stop.arg("stop").arg(&path);
            Training::start(stop, path.clone())
        })
        .collect();
    for stop in waiting {
        let said = stop.end();
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stdout.contains("stopped after "), "{said:?}");
    }
    let end = state(&path);
    assert_eq!((end.status, end.paused), (Status::Stopped, false));
    assert_eq!(training.end().code, Some(0));
}

#[test]
fn the_socket_accepts_lines_from_any_program() {
    let folder = folder();
    let (training, _) = endless(folder.path(), "run.h5", &[]);
    let socket = beside(&training.path, "sock");
    let mut peer = BufReader::new(UnixStream::connect(&socket).unwrap());
    let mut ask = |line: &str| {
        peer.get_mut().write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        peer.read_line(&mut answer).unwrap();
        answer
    };
    assert!(ask("status\n").starts_with("ok running, "));
    assert!(ask("make tea\n").starts_with("error unknown order `make tea` (status, "));
    assert!(ask("stop\n").starts_with("ok stopping, "));
    // The connection ends with the run, whose file is then closed.
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    assert_eq!(state(&training.path).status, Status::Stopped);
    assert_eq!(training.end().code, Some(0));
}

#[test]
fn failed_orders_state_the_reason() {
    let folder = folder();
    let text = folder.path().join("text.h5");
    fs::write(&text, "no run").unwrap();
    let missing = folder.path().join("missing.h5");
    let finished = train(folder.path(), "finished.h5", &["--steps=2"]);
    for order in ["stop", "pause", "resume"] {
        about(order, &text).fails(1, &["text.h5 is not an HDF5 file"]);
        about(order, &missing).fails(1, &["missing.h5", "No such file"]);
        let mut command = lcascope();
        command.arg(order);
        assert_eq!(Outcome::of(command).code, Some(2));
    }
    let how = "finished after 2 of 2 steps";
    says(&about("stop", &finished), &["not running: ", how]);
    about("pause", &finished).fails(1, &["finished.h5 is not running: ", how]);

    // The socket is gone, but the training is not.
    let (training, _) = endless(folder.path(), "run.h5", &[]);
    fs::remove_file(beside(&training.path, "sock")).unwrap();
    let wrong = [
        "run.h5 is being written",
        "run.h5.sock: No such file",
        "SIGTERM",
    ];
    about("stop", &training.path).fails(1, &wrong);
    training.signal("TERM");
    assert_eq!(training.end().code, Some(143));
}

#[test]
fn a_killed_training_is_reported_as_dead() {
    let folder = folder();
    let (training, _) = endless(folder.path(), "run.h5", &[]);
    let path = training.path.clone();
    training.kill();
    assert!(beside(&path, "sock").exists(), "nobody has removed it");
    // Until its writer is known to be lost, it is reported as unreachable.
    patiently("the writer to be lost", || {
        let outcome = about("stop", &path);
        let lost = outcome.stderr.contains("its process crashed");
        outcome.fails(1, &["run.h5 is "]);
        lost.then_some(())
    });
    says(&list(folder.path(), &[]), &["run.h5", "crashed"]);
}

#[test]
fn a_stale_socket_is_replaced_and_long_paths_work() {
    let folder = folder();
    let deep = folder.path().join("d".repeat(130));
    fs::create_dir(&deep).unwrap();
    for (folder, name) in [
        (folder.path(), "run.h5"),
        (deep.as_path(), "run.h5"),
        (deep.as_path(), &format!("{}.h5", "n".repeat(150))),
    ] {
        let socket = beside(&folder.join(name), "sock");
        if folder != deep {
            drop(UnixListener::bind(&socket).unwrap());
        }
        let (training, _) = endless(folder, name, &[]);
        let path = training.path.clone();
        says(&about("stop", &path), &["stopped after "]);
        let said = training.end();
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
        assert!(!socket.exists());
    }
}

#[test]
fn a_training_goes_on_without_a_socket() {
    let folder = folder();
    fs::create_dir(folder.path().join("run.h5.sock")).unwrap();
    let (training, _) = endless(folder.path(), "run.h5", &[]);
    about("pause", &training.path).fails(1, &["run.h5 is being written", "cannot be reached"]);
    training.signal("INT");
    let said = training.end();
    assert_eq!(said.code, Some(130));
    let warning = "warning: no control socket ";
    assert!(said.stderr.starts_with(warning), "{said:?}");
    assert!(folder.path().join("run.h5.sock").is_dir());
}

#[test]
fn other_users_cannot_give_orders() {
    let as_nobody = |program: &mut Command| {
        program.arg("--reuid=65534").arg("--clear-groups");
        program.arg(env!("CARGO_BIN_EXE_lcascope"));
    };
    let mut trial = Command::new("setpriv");
    as_nobody(&mut trial);
    let trial = trial.arg("--version").stdout(Stdio::null()).status();
    if !trial.is_ok_and(|status| status.success()) {
        crate::common::skip::skipped("cannot run the program as another user");
        return;
    }
    let folder = folder();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let (training, _) = endless(folder.path(), "run.h5", &[]);
    let socket = beside(&training.path, "sock");
    let stop = || {
        let mut stop = Command::new("setpriv");
        as_nobody(&mut stop);
        stop.arg("stop").arg(&training.path);
        Outcome::of(stop)
    };
    stop().fails(1, &["run.h5.sock: Permission denied"]);
    // Even if the socket's mode admits them.
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    stop().fails(1, &["this training belongs to another user"]);
    says(&about("stop", &training.path), &["stopped after "]);
}

#[test]
fn a_run_that_is_being_written_is_not_written_twice() {
    let folder = folder();
    let (mut training, reader) = endless(folder.path(), "run.h5", &[]);
    for (flags, code, wrong) in [
        (&["--steps=1"][..], 2, "run.h5 exists"),
        (&["--steps=1", "--force"], 1, "run.h5 is being written"),
    ] {
        let (command, _) = train_command(folder.path(), "run.h5", flags);
        Outcome::of(command).fails(code, &[wrong]);
        let seen = reader.refresh().unwrap().committed;
        training.grown(&reader, seen);
    }
    says(&about("stop", &training.path), &["stopped after "]);
}

// ---- signals ----

#[test]
fn batch_systems_end_a_training_as_sigterm_does() {
    let folder = folder();
    for (signal, code) in [("TERM", 143), ("USR1", 138), ("USR2", 140), ("XCPU", 152)] {
        let name = format!("{signal}.h5");
        let (mut training, reader) = endless(folder.path(), &name, &[]);
        let path = training.path.clone();
        training.signal(signal);
        assert_eq!(
            training.child.wait().unwrap().code(),
            Some(code),
            "{signal}"
        );
        let end = reader.refresh().unwrap();
        assert_eq!(end.status, Status::Stopped, "{signal}");
        // HDF5 would confuse the file opened below with the one that it knows.
        drop(reader);
        assert!(!beside(&path, "sock").exists());
        // With a checkpoint at the last step, nothing is recomputed.
        let mut resume = lcascope();
        resume.args(["train", "--headless", "--resume"]).arg(&path);
        let mut resumed = Training::start(resume, path.clone());
        patiently("the run to go on", || {
            let state = RunReader::open(&path).and_then(|reader| reader.refresh());
            state.is_ok_and(|state| state.is_live()).then_some(())
        });
        let more = resumed.reader();
        resumed.grown(&more, end.committed);
        resumed.signal("USR2");
        let said = resumed.end();
        assert_eq!(said.code, Some(140));
        let from = format!("after step {} of {ENDLESS}\n", end.committed);
        assert!(said.stderr.contains(&from), "{said:?}");
        assert!(
            said.stderr.contains("stopping after the current step"),
            "{said:?}"
        );
    }
}

#[test]
fn a_detached_training_and_a_series_obey_batch_systems() {
    let folder = folder();
    let outcome = detach(folder.path(), &["--steps", ENDLESS, "-o", "away.h5"]);
    let (_, rest) = outcome.stdout.split_once("process ").unwrap();
    let process = rest.lines().next().unwrap();
    let path = folder.path().join("away.h5");
    patiently("a step", || (state(&path).committed > 0).then_some(()));
    let kill = |process: &str| {
        let kill = Command::new("sh")
            .args(["-c", &format!("kill -USR1 {process}")])
            .status();
        assert!(kill.unwrap().success());
    };
    kill(process);
    patiently("the end", || {
        (state(&path).status == Status::Stopped).then_some(())
    });

    let flags = ["--steps", ENDLESS, "--repeats", "2"];
    let (command, _) = train_command(folder.path(), "seed.h5", &flags);
    let series = Training::start(command, folder.path().join("seed-1.h5"));
    patiently("a step of the first run", || {
        let reader = RunReader::open(&series.path).ok()?;
        (reader.refresh().ok()?.committed > 0).then_some(())
    });
    series.signal("USR1");
    let path = series.path.clone();
    let said = series.end();
    assert_eq!(said.code, Some(138), "{said:?}");
    assert_eq!(state(&path).status, Status::Stopped);
    assert!(!folder.path().join("seed-2.h5").exists());
}

/// A training whose steps take a minute each.
fn slow(folder: &Path) -> Training {
    let path = folder.join("slow.h5");
    let mut command = lcascope();
    command
        .args(["train", "--headless", "--threads=1", "--steps=3", "-o"])
        .arg(&path);
    command.args(["--min-segments=1024", "--max-segments=1024", "--by-class"]);
    let mut training = Training::start(command, path);
    training.reader();
    patiently("the socket", || {
        beside(&training.path, "sock").exists().then_some(())
    });
    // Until its first step is in progress.
    std::thread::sleep(Duration::from_secs(1));
    training
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_leaves_what_a_kill_leaves() {
    let folder = folder();
    // A batch system's warning and the limit on processor time are not urgent, however often they come.
    for signals in [
        &["INT", "INT"][..],
        &["TERM", "TERM"],
        &["USR1", "XCPU", "XCPU", "TERM", "XCPU", "INT"],
        &["USR2", "INT"],
    ] {
        let mut training = slow(folder.path());
        let path = training.path.clone();
        let (last, gentle) = signals.split_last().unwrap();
        for signal in gentle {
            training.signal(signal);
            std::thread::sleep(Duration::from_millis(250));
        }
        assert!(training.child.try_wait().unwrap().is_none(), "{signals:?}");
        training.signal(last);
        let began = Instant::now();
        let said = training.end();
        let code = if *last == "INT" { 130 } else { 143 };
        assert_eq!(said.code, Some(code), "{said:?}");
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "it waited for its step"
        );
        let hint = "stopping after the current step; another Ctrl-C kills";
        assert_eq!(said.stderr.matches(hint).count(), 1, "{said:?}");
        let left = state(&path);
        assert_eq!((left.status, left.committed), (Status::Running, 0));
        assert!(left.writer_is_lost());
        says(&about("repair", &path), &[]);
        fs::remove_file(&path).unwrap();
        fs::remove_file(beside(&path, "sock")).unwrap();
    }
}

#[test]
fn two_signals_at_once_are_one_request() {
    let folder = folder();
    let (training, reader) = endless(
        folder.path(),
        "run.h5",
        &["--min-segments=64", "--max-segments=64"],
    );
    // As sent by `timeout`.
    training.signal("TERM");
    training.signal("CONT");
    training.signal("TERM");
    assert_eq!(training.end().code, Some(143));
    assert_eq!(reader.refresh().unwrap().status, Status::Stopped);
}

#[test]
fn a_shortage_of_threads_is_a_message() {
    let limited = |most: u32| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--clear-groups", "prlimit"]);
        command
            .arg(format!("--nproc={most}"))
            .arg(env!("CARGO_BIN_EXE_lcascope"));
        command.stdin(Stdio::null());
        command
    };
    let mut trial = limited(100);
    let trial = trial
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !trial.is_ok_and(|status| status.success()) {
        crate::common::skip::skipped("cannot run the program as another user with a limit");
        return;
    }
    let folder = folder();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let mut codes = Vec::new();
    for (engine, most) in ["cpu", "candle"]
        .into_iter()
        .flat_map(|engine| (1..=9).map(move |most| (engine, most)))
    {
        let path = folder.path().join(format!("{engine}{most}.h5"));
        let mut command = limited(most);
        command
            .env("RAYON_NUM_THREADS", "2")
            .args(["train", "--engine", engine])
            .args(SMALL)
            .args(["--steps=3", "--threads=8", "-o"]);
        let outcome = Outcome::of({
            command.arg(&path);
            command
        });
        match outcome.code {
            // The engine does without threads that it cannot have.
            Some(0) => says(&about("info", &path), &["finished", "3 of 3"]),
            // A warning about the missing socket may come first.
            code => {
                assert_eq!(code, Some(1), "{outcome:?}");
                let said = outcome.stderr.lines().last().unwrap_or_default();
                let is_said = said.starts_with("error: ")
                    && said.contains("Resource temporarily unavailable")
                    && said.contains("ulimit -u");
                assert!(is_said, "{outcome:?}");
            }
        }
        codes.push(outcome.code);
    }
    assert_eq!((codes[0], codes[8]), (Some(1), Some(0)), "{codes:?}");
}

// ---- the socket under load ----

/// The memory of a process in KiB.
fn memory(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sends orders as fast as they are accepted; `LCASCOPE_ORDERS` sets their number (`just torture`: 10 million).
#[test]
fn a_flood_of_orders_takes_no_memory_and_delays_no_stop() {
    let orders = std::env::var("LCASCOPE_ORDERS");
    let orders: usize = orders.map_or(100_000, |n| n.parse().unwrap());
    let folder = folder();
    let (training, reader) = endless(folder.path(), "run.h5", &[]);
    let socket = beside(&training.path, "sock");
    let before = memory(training.child.id());
    let peer = UnixStream::connect(&socket).unwrap();
    let answers = std::thread::spawn({
        let mut peer = peer.try_clone().unwrap();
        move || {
            let mut bytes = [0; 1 << 12];
            let mut lines = 0;
            while let Ok(read @ 1..) = peer.read(&mut bytes) {
                lines += bytes[..read].split(|&byte| byte == b'\n').count() - 1;
            }
            lines
        }
    });
    let lines = "pause\nresume\n".repeat(1000);
    for _ in 0..orders / 2000 {
        (&peer).write_all(lines.as_bytes()).unwrap();
    }
    let grown = memory(training.child.id()).saturating_sub(before);
    println!("{orders} orders: {grown} KiB more");
    assert!(grown < 32 << 10, "{grown} KiB more");
    // Steps are still taken, and another client is served in the middle of the flood.
    let seen = reader.refresh().unwrap().committed;
    let flood = std::thread::spawn(move || while (&peer).write_all(lines.as_bytes()).is_ok() {});
    let began = Instant::now();
    says(&about("stop", &training.path), &["stopped after "]);
    let took = began.elapsed();
    println!("stopped after {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    flood.join().unwrap();
    assert!(answers.join().unwrap() >= orders / 2000 * 2000);
    assert!(reader.refresh().unwrap().committed >= seen);
    assert_eq!(training.end().code, Some(0));
}

#[test]
fn two_hundred_deaf_clients_delay_no_stop() {
    let folder = folder();
    let (training, _) = endless(folder.path(), "run.h5", &[]);
    let socket = beside(&training.path, "sock");
    let before = memory(training.child.id());
    let deaf: Vec<UnixStream> = (0..200)
        .map(|_| {
            let stream = UnixStream::connect(&socket).unwrap();
            stream.set_nonblocking(true).unwrap();
            // Until neither direction accepts more, or the connection is closed in favour of another.
            while (&stream).write(&b"pause\nstatus\n".repeat(500)).is_ok() {}
            stream
        })
        .collect();
    let grown = memory(training.child.id()).saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB more");
    let began = Instant::now();
    says(&about("stop", &training.path), &["stopped after "]);
    assert!(began.elapsed() < Duration::from_secs(10));
    drop(deaf);
    assert_eq!(training.end().code, Some(0));
}

/// A socket answered by something that is not a training.
fn liar(socket: &Path, answers: fn(UnixStream)) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || answers(stream));
        }
    });
}

/// A name, how it answers, and the expected message.
type Trick = (&'static str, fn(UnixStream), &'static str);

#[test]
#[expect(clippy::too_many_lines, reason = "a table of tricks")]
fn slow_and_lying_servers_do_not_hang_clients() {
    let folder = folder();
    let (training, _) = endless(folder.path(), "run.h5", &[]);
    let run = training.path.clone();
    training.kill();
    fs::remove_file(beside(&run, "sock")).unwrap();
    let tricks: [Trick; 6] = [
        (
            "silent",
            |stream| {
                std::thread::sleep(Duration::from_secs(60));
                drop(stream);
            },
            "did not answer",
        ),
        (
            "dripping",
            |mut stream| {
                while stream.write_all(b"o").is_ok() {
                    std::thread::sleep(Duration::from_millis(100));
                }
            },
            "did not answer",
        ),
        (
            "endless",
            |mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {},
            "invalid answer: xxx",
        ),
        (
            "promising",
            |mut stream| {
                let _ = stream.write_all(b"ok stopping, 1 of 9 steps\n");
                std::thread::sleep(Duration::from_secs(60));
            },
            "",
        ),
        (
            "vain",
            |mut stream| {
                while stream.write_all(b"ok pausing, 1 of 9 steps\n").is_ok() {
                    std::thread::sleep(Duration::from_millis(10));
                }
            },
            "",
        ),
        (
            "turned",
            |mut stream| {
                let _ = stream.write_all("error no\u{202e}\u{1b}[2J\u{2066}\n".as_bytes());
            },
            "[2J",
        ),
    ];
    let mut tried = Vec::new();
    for (name, answers, wrong) in tricks {
        let path = folder.path().join(format!("{name}.h5"));
        fs::copy(&run, &path).unwrap();
        liar(&beside(&path, "sock"), answers);
        for order in ["stop", "pause", "resume"] {
            let path = path.clone();
            tried.push(std::thread::spawn(move || {
                (name, order, wrong, about(order, &path))
            }));
        }
    }
    // Connections are not accepted, and the queue of waiting ones is full.
    let path = folder.path().join("full.h5");
    fs::copy(&run, &path).unwrap();
    let _full = UnixListener::bind(beside(&path, "sock")).unwrap();
    let socket = beside(&path, "sock");
    let waiting = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    std::thread::spawn({
        let waiting = waiting.clone();
        move || {
            while let Ok(stream) = UnixStream::connect(&socket) {
                waiting.lock().unwrap().push(stream);
            }
        }
    });
    let mut last = usize::MAX;
    patiently("the queue to be full", || {
        std::thread::sleep(Duration::from_millis(100));
        let now = waiting.lock().unwrap().len();
        let full = now == std::mem::replace(&mut last, now);
        (full && now > 0).then_some(())
    });
    tried.push(std::thread::spawn(move || {
        ("full", "stop", "is not running", about("stop", &path))
    }));
    let began = Instant::now();
    says(&list(folder.path(), &["."]), &["silent.h5", "crashed"]);
    for tried in tried {
        let (name, order, wrong, outcome) = tried.join().unwrap();
        if name == "vain" || (name, order) == ("promising", "resume") {
            // `resume` trusts the answer.
            assert!(outcome.code.is_some());
        } else {
            outcome.fails(1, &[wrong]);
        }
        let shown = |c: char| !c.is_control() && !"\u{202e}\u{2066}".contains(c);
        assert!(
            outcome.stderr.trim().chars().all(shown),
            "{name} {order}: {outcome:?}"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_false_server_before_a_running_training_is_detected() {
    let folder = folder();
    let (training, _) = endless(folder.path(), "run.h5", &[]);
    let socket = beside(&training.path, "sock");
    let lies: [fn(UnixStream); 5] = [
        |mut stream| {
            let _ = stream.write_all(b"ok stopping, 0 of 9 steps\n");
            std::thread::sleep(Duration::from_secs(60));
        },
        // Others close every connection at once, with or without an answer.
        drop,
        |mut stream| drop(stream.write_all(b"ok stopped, 0 of 9 steps\n")),
        |mut stream| drop(stream.write_all(b"ok running, 0 of 9 steps\n")),
        |mut stream| drop(stream.write_all(b"ok stopping, 99999999 of 100000000 steps\n")),
    ];
    for (index, lie) in lies.into_iter().enumerate() {
        fs::remove_file(&socket).unwrap();
        liar(&socket, lie);
        let began = Instant::now();
        let stopped = about("stop", &training.path);
        stopped.fails(1, &["keeps running: another program answers", "SIGTERM"]);
        assert!(began.elapsed() < Duration::from_secs(20), "{index}");
    }
    fs::remove_file(&socket).unwrap();
    liar(&socket, drop);
    for order in ["pause", "resume"] {
        about(order, &training.path).fails(1, &["keeps running: another program answers"]);
    }
    training.signal("TERM");
    assert_eq!(training.end().code, Some(143));
}

// ---- list ----

fn list(folder: &Path, args: &[&str]) -> Outcome {
    let mut command = lcascope();
    command.current_dir(folder).arg("list").args(args);
    Outcome::of(command)
}

#[test]
fn a_list_has_a_row_for_every_file_whatever_it_is() {
    let folder = folder();
    let runs = folder.path().join("runs");
    fs::create_dir(&runs).unwrap();
    says(&list(folder.path(), &[]), &["no run files (*.h5) in runs"]);

    train(&runs, "old.h5", &["--steps=3"]);
    fs::write(runs.join("text.h5"), "no run").unwrap();
    fs::write(runs.join("empty.h5"), "").unwrap();
    fs::write(runs.join("notes.txt"), "not listed").unwrap();
    fs::create_dir(runs.join("folder.h5")).unwrap();
    let hostile = "a\u{1b}[2J\u{202e}b\n.h5";
    fs::copy(runs.join("old.h5"), runs.join(hostile)).unwrap();
    hdf5::File::create(runs.join("foreign.h5")).unwrap();
    let bytes = fs::read(runs.join("old.h5")).unwrap();
    fs::write(runs.join("cut.h5"), &bytes[..1000]).unwrap();
    std::os::unix::fs::symlink("nowhere", runs.join("dangling.h5")).unwrap();
    let fifo = Command::new("mkfifo").arg(runs.join("pipe.h5")).status();
    assert!(fifo.unwrap().success());
    let (training, _) = endless(&runs, "live.h5", &[]);

    // The first step is committed at once; the speed is known from the next commit on.
    let listed = || list(folder.path(), &[]);
    let mut outcome = listed();
    while outcome.stdout.contains(" 1/100000000") {
        outcome = listed();
    }
    says(&outcome, &["file", "status", "steps", "updated"]);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    let row = |name: &str| {
        let line = lines.iter().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name}:\n{}", outcome.stdout))
    };
    assert!(row("text.h5").ends_with("is not an HDF5 file"));
    assert!(row("empty.h5").contains("is empty"));
    assert!(row("foreign.h5").contains("not a run file of lcascope"));
    assert!(row("dangling.h5").contains("No such file"));
    assert!(row("pipe.h5").ends_with("not a regular file"));
    assert!(row("cut.h5").len() > "cut.h5".len());
    let old: Vec<&str> = row("old.h5").split_whitespace().collect();
    assert_eq!(old[1..4], ["finished", "3/3", "100%"]);
    assert!(old[4].parse::<f64>().unwrap() > 0.0);
    assert!(old[5].parse::<f64>().unwrap() > 0.0);
    assert!(old[6].ends_with('%'));
    assert_eq!(old[7], "mnist-fc");
    assert!(old.last() == Some(&"ago"), "an ended run has no time left");
    let live: Vec<&str> = row("live.h5").split_whitespace().collect();
    assert_eq!((live[1], live[3]), ("running", "0%"));
    assert!(live.last() != Some(&"ago"), "{live:?}");
    assert!(row("a\u{fffd}[2J\u{fffd}b .h5").contains("finished"));
    assert_eq!(lines.len(), 10, "{}", outcome.stdout);
    let place = |name| lines.iter().position(|line| line.starts_with(name));
    assert!(place("live.h5") < place("old.h5"), "newest first");

    says(&about("pause", &training.path), &["paused"]);
    patiently("the list to say so", || {
        let outcome = list(&runs, &["."]);
        let live = outcome.stdout.lines().find(|l| l.starts_with("live.h5"));
        live?.contains(" paused ").then_some(())
    });
    says(&about("stop", &training.path), &[]);
    let live = list(&runs, &[]).stdout;
    assert!(
        live.lines()
            .any(|l| l.starts_with("live.h5") && l.contains(" stopped "))
    );
    list(&runs, &["nowhere"]).fails(1, &["cannot list the folder nowhere"]);
    let one = list(folder.path(), &["runs/old.h5"]).stdout;
    assert_eq!(one.lines().count(), 2, "{one}");
    assert!(
        one.contains("\nruns/old.h5 ") && one.contains("finished"),
        "{one}"
    );
    let both = list(folder.path(), &["runs", "runs/old.h5"]).stdout;
    assert_eq!(
        both.matches("runs/old.h5").count(),
        1,
        "once, in whatever places: {both}"
    );
}

// ---- detached ----

/// The fields of `/proc/PID/stat` after the name; the first is the state.
fn stat(path: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(path).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn detach(folder: &Path, flags: &[&str]) -> Outcome {
    let mut command = lcascope();
    command.current_dir(folder).args(["train", "--detach"]);
    command.args(&SMALL[1..]).args(flags);
    // Ends when all other ends are closed: the training must have released them.
    Outcome::of(command)
}

#[test]
fn a_detached_training_releases_its_caller() {
    let folder = folder();
    let flags = ["--steps", ENDLESS, "-o", "my runs/run.h5"];
    let outcome = detach(folder.path(), &flags);
    says(
        &outcome,
        &[
            "lcascope open 'my runs/run.h5'",
            "lcascope stop 'my runs/run.h5'",
        ],
    );
    let (_, rest) = outcome.stdout.split_once("process ").unwrap();
    let process = rest.lines().next().unwrap();
    let path = folder.path().join("my runs/run.h5");
    let fields = stat(&PathBuf::from(format!("/proc/{process}/stat"))).unwrap();
    // State, parent, group, session, terminal.
    assert_eq!(fields[2..5], [process, process, "0"]);
    let place = |fd: u8| fs::read_link(format!("/proc/{process}/fd/{fd}")).unwrap();
    assert_eq!(place(0), Path::new("/dev/null"));
    assert_eq!(place(1), beside(&path, "log").canonicalize().unwrap());
    assert_eq!(place(2), place(1));

    let mut seen = None;
    patiently("steps", || {
        let committed = state(&path).committed;
        (committed > *seen.get_or_insert(committed)).then_some(())
    });
    says(&about("stop", &path), &["stopped after "]);
    patiently("the process to end", || {
        let gone = stat(&PathBuf::from(format!("/proc/{process}/stat")));
        gone.is_none_or(|fields| fields[0] == "Z").then_some(())
    });
    assert!(!beside(&path, "log").exists(), "there was nothing to say");
}

#[test]
fn errors_before_a_detached_training_starts_reach_the_caller() {
    let folder = folder();
    detach(folder.path(), &["--batch-size=601"]).fails(2, &["--batch-size 601"]);
    detach(folder.path(), &["--data", "nowhere"]).fails(1, &["nowhere"]);
    let path = train(folder.path(), "run.h5", &["--steps=1"]);
    detach(folder.path(), &["-o", "run.h5"]).fails(2, &["run.h5 exists"]);
    assert!(!beside(&path, "log").exists());
    // Not a key of a configuration.
    fs::write(folder.path().join("run.toml"), "detach = true\n").unwrap();
    detach(folder.path(), &["--config", "run.toml"]).fails(2, &["detach"]);
}

#[test]
fn later_errors_of_a_detached_training_are_in_the_log() {
    let folder = folder();
    let flags = ["--steps=20", "--learning-rate=1e38", "-o", "run.h5"];
    says(
        &detach(folder.path(), &flags),
        &["training in the background"],
    );
    let log = folder.path().join("run.h5.log");
    let text = patiently("the log", || {
        let text = fs::read_to_string(&log).ok()?;
        text.ends_with('\n').then_some(text)
    });
    assert!(text.starts_with("error: the run failed: "), "{text}");
    assert!(text.contains("diverged"), "{text}");
    let stop = about("stop", &folder.path().join("run.h5"));
    says(&stop, &["not running: failed after ", "diverged"]);
}

// ---- lost terminals ----

/// A screen that shows a training, in a pseudo-terminal that the test can close.
struct Screen {
    master: File,
    child: Child,
    path: PathBuf,
}

impl Screen {
    /// With `ctty`, the terminal is the program's controlling terminal, so that losing it sends SIGHUP.
    fn new(folder: &Path, ctty: bool) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
        let master = master.unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options()
            .read(true)
            .write(true)
            .custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
            .open(name.to_str().unwrap())
            .unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size).unwrap();
        let path = folder.join("run.h5");
        let program = env!("CARGO_BIN_EXE_lcascope");
        let mut command = if ctty {
            let mut setsid = Command::new("setsid");
            setsid.arg("--ctty").arg(program);
            setsid
        } else {
            Command::new(program)
        };
        command
            .args(["train", "--steps", ENDLESS, "-o"])
            .arg(&path)
            .args(&SMALL[1..])
            .env("TERM", "xterm")
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave);
        let child = command.spawn().unwrap();
        // From here on, only the child has the slave open.
        drop(command);
        Self {
            master: File::from(master),
            child,
            path,
        }
    }

    /// Reads the screen's output until it shows `LIVE` and the file exists.
    fn is_live(&mut self) {
        let mut drawn = Vec::new();
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        patiently("a live screen", || {
            let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
            poll(&mut fds, Some(&wait)).unwrap();
            if fds[0].revents().contains(PollFlags::IN) {
                let mut bytes = [0; 4096];
                let read = self.master.read(&mut bytes).unwrap();
                drawn.extend_from_slice(&bytes[..read]);
            }
            let text = String::from_utf8_lossy(&drawn);
            (text.contains("LIVE") && text.contains("residual")).then_some(())
        });
    }
}

/// The ticks of processor time used by each thread, with its id and name.
fn ticks(process: u32) -> Vec<(String, String, u64)> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let thread = |task: io::Result<fs::DirEntry>| {
        let task = task.ok()?.path();
        let fields = stat(&task.join("stat"))?;
        let used: u64 = fields[11..13]
            .iter()
            .map(|n| n.parse::<u64>().unwrap())
            .sum();
        let name = fs::read_to_string(task.join("comm"))
            .ok()?
            .trim()
            .to_owned();
        Some((task.display().to_string(), name, used))
    };
    tasks.filter_map(thread).collect()
}

#[track_caller]
fn outlives_its_terminal(ctty: bool) {
    let folder = folder();
    let mut screen = Screen::new(folder.path(), ctty);
    screen.is_live();
    let Screen {
        master,
        child,
        path,
    } = screen;
    drop(master);
    let process = child.id();
    let mut training = Training {
        child,
        path: path.clone(),
    };
    let reader = training.reader();
    let seen = reader.refresh().unwrap().committed;
    let mut seen = training.grown(&reader, seen).committed;
    // The screen's own threads end. After that, only the training takes time.
    patiently("the screen to close", || {
        let threads = ticks(process);
        let left = threads
            .iter()
            .any(|(_, name, _)| name == "input" || name == "stray output");
        (!left).then_some(())
    });
    let (before, began) = (ticks(process), Instant::now());
    while began.elapsed() < Duration::from_secs(2) {
        seen = training.grown(&reader, seen).committed;
    }
    let hundredths = u64::try_from(began.elapsed().as_millis() / 10).unwrap();
    let mut watched = 0;
    for (thread, name, used) in ticks(process) {
        // The recorder has work to do, and the engine's workers are named after the trainer.
        if name.starts_with("trainer") || name == "recorder" {
            continue;
        }
        let earlier = before.iter().find(|(other, ..)| *other == thread);
        let grown = used - earlier.map_or(0, |(_, _, used)| *used);
        println!("{name}: {grown} of {hundredths} ticks");
        assert!(
            grown < hundredths / 4,
            "{name} used {grown} of {hundredths} ticks"
        );
        watched += 1;
    }
    assert!(watched >= 3, "main, signals and control are there");
    assert!(reader.refresh().unwrap().is_live());
    says(&about("stop", &path), &["stopped after "]);
    assert_eq!(reader.refresh().unwrap().status, Status::Stopped);
    assert_eq!(training.end().code, Some(0));
}

#[test]
fn a_training_outlives_a_terminal_that_hangs_up() {
    outlives_its_terminal(true);
}

#[test]
fn a_training_outlives_a_terminal_that_vanishes_without_a_signal() {
    outlives_its_terminal(false);
}

#[test]
fn a_pause_outlives_its_terminal() {
    let folder = folder();
    let mut screen = Screen::new(folder.path(), true);
    screen.is_live();
    let Screen {
        master,
        child,
        path,
    } = screen;
    let mut training = Training {
        child,
        path: path.clone(),
    };
    let reader = training.reader();
    says(&about("pause", &path), &["paused, "]);
    drop(master);
    let process = training.child.id();
    patiently("the screen to close", || {
        let threads = ticks(process);
        let left = threads.iter().any(|(_, name, _)| name == "input");
        (!left).then_some(())
    });
    says(&about("pause", &path), &["already paused, "]);
    let paused = reader.refresh().unwrap();
    assert!(paused.paused);
    says(&about("resume", &path), &["resuming, "]);
    training.grown(&reader, paused.committed);
    says(&about("stop", &path), &["stopped after "]);
    assert_eq!(training.end().code, Some(0));
}

#[test]
fn a_suspended_training_obeys_after_it_is_continued() {
    let folder = folder();
    let (training, _) = endless(folder.path(), "run.h5", &[]);
    training.signal("STOP");
    let silent = about("stop", &training.path);
    silent.fails(1, &["did not answer", "it obeys when it continues", "fg"]);
    assert_eq!(state(&training.path).status, Status::Running);
    training.signal("CONT");
    let path = training.path.clone();
    assert_eq!(training.end().code, Some(0));
    assert_eq!(state(&path).status, Status::Stopped);
}
