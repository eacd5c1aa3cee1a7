//! Run files that refer to other files: every command refuses them before it follows a link, and the targets stay
//! unchanged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{Outcome, TINY, lcascope, old_format, train};
use hdf5::types::{FixedUnicode, VarLenUnicode};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// A secret in a file that is not a run, which must not be shown.
const SECRET: &str = "precious line\n";

/// Exceeded only by a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A resumable run, and the targets to which a copy of it may lead.
struct Scene {
    folder: tempfile::TempDir,
    stopped: PathBuf,
    other: PathBuf,
    secret: PathBuf,
    pipe: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("tiny.toml"), TINY).unwrap();
        fs::write(at("allocate.toml"), "network = 'tiny.toml'\n").unwrap();
        let flags = |steps| {
            [
                "tiny.toml",
                "--threads=1",
                "--trace=4",
                "--record-weights=1",
                steps,
            ]
        };
        let stopped = train(folder.path(), "stopped.h5", &flags("--steps=4"));
        let file = crate::common::open_rw(&stopped).unwrap();
        file.attr("planned_steps")
            .unwrap()
            .write_scalar(&8_u64)
            .unwrap();
        let config = file.attr("config").unwrap();
        let text: VarLenUnicode = config.read_scalar().unwrap();
        let text: VarLenUnicode = text.replace("steps = 4", "steps = 8").parse().unwrap();
        config.write_scalar(&text).unwrap();
        file.dataset("state/status")
            .unwrap()
            .write_raw(&[2_u8])
            .unwrap();
        drop((config, file));
        let other = train(folder.path(), "other.h5", &flags("--steps=4"));
        fs::write(at("secret"), SECRET.repeat(200)).unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        fs::create_dir(at("runs")).unwrap();
        Self {
            stopped,
            other,
            secret: at("secret"),
            pipe: at("pipe"),
            folder,
        }
    }

    fn hostile(&self) -> PathBuf {
        self.folder.path().join("runs/hostile-1.h5")
    }

    /// The contents of all files except the pipe.
    fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn walk(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, files);
                } else if path.is_file() {
                    files.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
        let mut files = BTreeMap::new();
        walk(self.folder.path(), &mut files);
        files
    }
}

/// Runs a command to its end, which must come.
#[track_caller]
fn ends(mut command: Command, what: &str) -> Outcome {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{what} does not end");
        }
        sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    let outcome = Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!outcome.stderr.contains("panicked"), "{what}: {outcome:?}");
    outcome
}

/// Every command that reads a run file, `RUN`, the files in `FOLDER`, or a `SERIES` whose first file it is.
const COMMANDS: &[&str] = &[
    "info RUN",
    "verify RUN",
    "repair RUN",
    "export RUN --view layers -o -",
    "report RUN -o report",
    "report other.h5 RUN -o report",
    "open RUN",
    "open other.h5 RUN",
    "list FOLDER",
    "stop RUN",
    "pause RUN",
    "resume RUN",
    "train --resume RUN -q",
    "train --resume RUN -q --checkpoint-every 1",
    "train --resume SERIES -q --repeats 2",
    "train --config RUN -q -o new.h5",
    "train --config RUN -q -o new.h5 --repeats 2",
    "allocate RUN -q -o new.h5",
    "allocate RUN --config allocate.toml -q -o new.h5",
];

/// A change to a run file, the object that is changed, and the expected message.
type Trick = (
    &'static str,
    fn(&hdf5::File, &Scene),
    &'static str,
    &'static str,
);

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn link(file: &hdf5::File, at: &str, to: &Path, inside: &str) {
    file.unlink(at).unwrap();
    file.link_external(name(to), inside, at).unwrap();
}

fn outside(file: &hdf5::File, at: &str, values: &Path, bytes: usize) {
    let shape = file.dataset(at).unwrap().shape();
    file.unlink(at).unwrap();
    let builder = match bytes {
        1 => file.new_dataset::<u8>().shape(shape),
        8 => file.new_dataset::<f64>().shape(shape),
        64 => file.new_dataset::<FixedUnicode<64>>().shape(shape),
        _ => file.new_dataset::<FixedUnicode<1024>>().shape(shape),
    };
    builder
        .external(name(values), 0, 4 * bytes)
        .create(at)
        .unwrap();
}

const TRICKS: &[Trick] = &[
    (
        "a link into another run",
        |file, scene| link(file, "state/committed", &scene.other, "state/committed"),
        "state/committed",
        "a link to another file",
    ),
    (
        "a link to all of another run",
        |file, scene| link(file, "lca", &scene.other, "lca"),
        "lca",
        "a link to another file",
    ),
    (
        "a link to a pipe",
        |file, scene| link(file, "lca/total", &scene.pipe, "x"),
        "lca/total",
        "a link to another file",
    ),
    (
        "a link to nothing, where nobody looks",
        |file, scene| {
            let nothing = scene.folder.path().join("nothing");
            file.create_group("a/b").unwrap();
            file.link_external(name(&nothing), "x", "a/b/c").unwrap();
        },
        "a/b/c",
        "a link to another file",
    ),
    (
        "a link to itself by its name",
        |file, scene| link(file, "step", &scene.hostile(), "step"),
        "step",
        "a link to another file",
    ),
    (
        "a message in another file",
        |file, scene| outside(file, "state/message", &scene.secret, 1024),
        "state/message",
        "external storage",
    ),
    (
        "names in another file",
        |file, scene| outside(file, "layout/layer/name", &scene.secret, 64),
        "layout/layer/name",
        "external storage",
    ),
    (
        "a heartbeat in a file that is to be created",
        |file, scene| {
            let planted = scene.folder.path().join("planted");
            outside(file, "state/heartbeat", &planted, 8);
        },
        "state/heartbeat",
        "external storage",
    ),
    (
        "a status in a pipe",
        |file, scene| outside(file, "state/status", &scene.pipe, 1),
        "state/status",
        "external storage",
    ),
    (
        "a virtual dataset",
        |file, scene| {
            file.unlink("state/committed").unwrap();
            let all = hdf5::Selection::All;
            (file.new_dataset::<u64>().shape(1))
                .virtual_map(
                    name(&scene.other),
                    "state/committed",
                    1,
                    all.clone(),
                    1,
                    all,
                )
                .create("state/committed")
                .unwrap();
        },
        "state/committed",
        "a virtual dataset",
    ),
];

/// Checks that commands report the fault and change nothing.
fn refused(scene: &Scene, trick: &str, named: &str, message: &str) {
    let before = scene.contents();
    let hostile = scene.hostile();
    for command in COMMANDS {
        let mut run = lcascope();
        run.current_dir(scene.folder.path());
        run.args(command.split(' ').map(|word| match word {
            "RUN" => hostile.as_os_str(),
            "FOLDER" => "runs".as_ref(),
            "SERIES" => "runs/hostile.h5".as_ref(),
            word => word.as_ref(),
        }));
        let what = format!("{command}, {trick}");
        let outcome = ends(run, &what);
        let said = if *command == "list FOLDER" {
            &outcome.stdout
        } else {
            &outcome.stderr
        };
        assert!(
            said.contains(named) && said.contains(message),
            "{what}: {outcome:?}"
        );
        assert_eq!(
            said.lines().count(),
            1 + usize::from(*command == "list FOLDER"),
            "{what}: {outcome:?}"
        );
        let code = i32::from(*command != "list FOLDER");
        assert_eq!(outcome.code, Some(code), "{what}: {outcome:?}");
        let disclosed = [&outcome.stdout, &outcome.stderr]
            .iter()
            .any(|it| it.contains("precious"));
        assert!(!disclosed, "{what}: {outcome:?}");
        // Not `assert_eq`: nobody wants to read these files.
        assert!(scene.contents() == before, "{what} has changed a file");
    }
}

#[test]
fn every_command_refuses_a_run_file_with_foreign_links() {
    let scene = Scene::new();
    for (trick, change, named, message) in TRICKS {
        fs::copy(&scene.stopped, scene.hostile()).unwrap();
        let file = crate::common::open_rw(&scene.hostile()).unwrap();
        change(&file, &scene);
        file.close().unwrap();
        refused(&scene, trick, named, message);
    }
}

/// A link class that a plug-in would define, made from an external link in the oldest format, which has no checksums.
#[test]
fn a_link_of_an_unknown_kind_is_refused() {
    let scene = Scene::new();
    let draft = scene.folder.path().join("draft");
    old_format(&scene.stopped, &draft);
    let file = crate::common::open_rw(&draft).unwrap();
    file.unlink("state/message").unwrap();
    (file.link_external(name(&scene.secret), "x", "state/message")).unwrap();
    file.close().unwrap();
    let mut bytes = fs::read(&draft).unwrap();
    let called = b"\x07message";
    let at = bytes
        .windows(called.len())
        .rposition(|it| it == called)
        .unwrap();
    // The link's type, and perhaps its character set, precede the length of its name.
    let kind = (at - 2..at).rev().find(|&at| bytes[at] == 64).unwrap();
    bytes[kind] = 70;
    fs::write(scene.hostile(), bytes).unwrap();
    fs::remove_file(draft).unwrap();
    refused(
        &scene,
        "a link of class 70",
        "state/message",
        "an unknown kind of link",
    );
}

#[test]
fn cyclic_groups_and_dangling_links_terminate() {
    let scene = Scene::new();
    let info = |change: fn(&hdf5::File)| {
        fs::copy(&scene.stopped, scene.hostile()).unwrap();
        let file = crate::common::open_rw(&scene.hostile()).unwrap();
        change(&file);
        file.close().unwrap();
        let mut info = lcascope();
        info.arg("info").arg(scene.hostile());
        ends(info, "info")
    };
    let outcome = info(|file| file.link_hard("/", "lca/again").unwrap());
    outcome.fails(1, &["hostile-1.h5", "nested groups"]);
    let outcome = info(|file| {
        file.unlink("lca/total").unwrap();
        file.link_soft("/lca/b", "lca/total").unwrap();
        file.link_soft("/lca/total", "lca/b").unwrap();
    });
    outcome.fails(1, &["hostile-1.h5", "lca/total"]);
    // Beside the data that is read they do no harm.
    let outcome = info(|file| {
        file.link_soft("/nothing", "a").unwrap();
        file.link_soft("/b", "b").unwrap();
        file.link_soft("/lca/total", "c").unwrap();
    });
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}
