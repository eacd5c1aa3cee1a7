//! Kills a command at each of its system calls that change a file or a name (needs strace).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::skip::skipped;

/// Whether every call is tried.
fn all_points() -> bool {
    std::env::var_os("LCASCOPE_KILLS").is_some()
}

/// System calls that change a file or a name.
const CALLS: &str = "pwrite64,write,ftruncate,fallocate,fsync,fdatasync,rename,renameat,renameat2,\
    unlink,unlinkat,linkat,mkdir,rmdir";

/// Counts how often a command makes each call, in the thread that makes most of them; none without strace.
fn calls(command: &Command, log: &Path) -> Option<BTreeMap<String, usize>> {
    let mut traced = strace(
        command,
        &[&format!("trace={CALLS}"), "signal=none"],
        Some(log),
    );
    let status = traced.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !status.is_ok_and(|status| status.success()) {
        return None;
    }
    let text = fs::read_to_string(log).unwrap();
    let mut threads: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let name = rest.trim_start().split('(').next().unwrap_or_default();
        if CALLS.split(',').any(|call| call == name) {
            *threads.entry((thread, name)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, name), count) in threads {
        let entry = most.entry(name.to_owned()).or_insert(0);
        *entry = count.max(*entry);
    }
    Some(most)
}

pub fn strace(command: &Command, expressions: &[&str], log: Option<&Path>) -> Command {
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-qq", "-o"])
        .arg(log.unwrap_or(Path::new("/dev/null")));
    for expression in expressions {
        traced.args(["-e", expression]);
    }
    traced.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        traced.current_dir(folder);
    }
    traced
}

/// Kills a command at each of the last few of its calls of one kind, and calls `look` after each. Returns the number of
/// kills.
pub fn killed_at_the_end(
    command: &Command,
    call: &str,
    few: usize,
    mut look: impl FnMut(&str),
) -> usize {
    let scratch = tempfile::tempdir().unwrap();
    let Some(calls) = calls(command, &scratch.path().join("log")) else {
        skipped("no strace");
        return 0;
    };
    look("undisturbed");
    let mut kills = 0;
    for n in (calls[call].saturating_sub(few)..=calls[call]).filter(|&n| n > 0) {
        kills += usize::from(kill_at(command, call, n));
        look(&format!("killed at {call} number {n}"));
    }
    kills
}

/// Runs a command and kills it at its n-th call of a kind; returns whether it got there.
fn kill_at(command: &Command, call: &str, n: usize) -> bool {
    let inject = format!("inject={call}:signal=SIGKILL:when={n}");
    let mut traced = strace(command, &[&format!("trace={call}"), &inject], None);
    traced.stdout(Stdio::null()).stderr(Stdio::null());
    let status = traced.status().unwrap();
    status.signal().is_some() || !status.success()
}

/// Kills a command at each of its calls, or at `some` of them, and calls `look` with a description after each. Returns
/// the number of kills.
pub fn killed_everywhere(command: &Command, some: usize, mut look: impl FnMut(&str)) -> usize {
    let scratch = tempfile::tempdir().unwrap();
    let Some(calls) = calls(command, &scratch.path().join("log")) else {
        skipped("no strace");
        return 0;
    };
    look("undisturbed");
    let mut kills = 0;
    for (call, &count) in &calls {
        let stride = if all_points() {
            1
        } else {
            count.div_ceil(some)
        };
        for n in (1..=count).step_by(stride) {
            kills += usize::from(kill_at(command, call, n));
            look(&format!("killed at {call} number {n}"));
        }
    }
    println!("killed {kills} times, calls: {calls:?}");
    kills
}
