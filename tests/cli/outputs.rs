//! Commands lose nothing that they did not make: where they write, what they replace, and what remains when they are
//! killed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::kills::killed_everywhere;
use crate::common::skip::skipped;
use crate::common::{Outcome, RunFile, folder, lcascope, open_rw, train, train_command};
use crate::synthetic::Shape;
use lcascope::record::{RunEnd, Status};
use lcascope::store::{NewFile, RunReader, RunWriter, StoreError, WriteOptions};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

fn small() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs/small.h5")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Runs a command that must not block.
#[track_caller]
fn at_once(mut command: Command) -> Outcome {
    let [out, err] = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
    command.stdout(out.reopen().unwrap());
    command.stderr(err.reopen().unwrap());
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} waits");
        }
        sleep(Duration::from_millis(10));
    };
    let [stdout, stderr] = [out, err].map(|file| fs::read_to_string(file.path()).unwrap());
    assert!(!stderr.contains("panicked"), "{stderr}");
    Outcome {
        code: status.code(),
        stdout,
        stderr,
    }
}

// ---- things that are not files ----

/// A thing that somebody may have put where a command writes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Thing {
    Pipe,
    Socket,
    Device,
    Folder,
    LinkToNowhere,
    LinkToPipe,
    LinkInCircle,
}

impl Thing {
    const ALL: [Self; 7] = [
        Self::Pipe,
        Self::Socket,
        Self::Device,
        Self::Folder,
        Self::LinkToNowhere,
        Self::LinkToPipe,
        Self::LinkInCircle,
    ];

    /// Creates the thing; false if this user may not.
    fn put(self, path: &Path) -> bool {
        let mode = Mode::RUSR | Mode::WUSR;
        match self {
            Self::Pipe => mknodat(CWD, path, FileType::Fifo, mode, 0).unwrap(),
            Self::Socket => drop(UnixListener::bind(path).unwrap()),
            // Like /dev/null.
            Self::Device => {
                return mknodat(CWD, path, FileType::CharacterDevice, mode, makedev(1, 3)).is_ok();
            }
            Self::Folder => {
                fs::create_dir(path).unwrap();
                fs::write(path.join("thesis.tex"), "x").unwrap();
            }
            Self::LinkToNowhere => symlink("no/where", path).unwrap(),
            Self::LinkInCircle => symlink(path, path).unwrap(),
            Self::LinkToPipe => {
                let pipe = path.with_extension("pipe");
                mknodat(CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
                symlink(pipe, path).unwrap();
            }
        }
        true
    }
}

/// Identifies a thing, to detect that another has replaced it.
fn identity(path: &Path) -> (u64, u64, u32, u64) {
    let there =
        fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (there.dev(), there.ino(), there.mode(), there.rdev())
}

/// Flags of a training that takes no time, including its network.
const TINY: &[&str] = &[
    "--quiet",
    "--train-size=60",
    "--test-size=20",
    "--steps=1",
    "--threads=1",
    "--force",
];

#[test]
fn every_command_refuses_and_keeps_irregular_files() {
    let scratch = folder();
    let run = train(
        scratch.path(),
        "weights.h5",
        &["--steps=2", "--record-weights=1"],
    );
    let run = run.to_str().unwrap();
    // Arguments, and where the thing is: `@` is its path, `%` the same without `-1.h5`.
    let commands: &[(&[&str], &[&str], &str)] = &[
        (&["train", "-o", "@"], TINY, "x.h5"),
        (&["train", "-o", "@", "--detach"], TINY, "x.h5"),
        (&["train", "-o", "x.h5", "--repeats=2"], TINY, "x-1.h5"),
        (
            &["allocate", run, "-o", "@"],
            &["--quiet", "--force"],
            "x.h5",
        ),
        (
            &["export", run, "--view=layers", "-o", "@", "--force"],
            &[],
            "x.csv",
        ),
        (&["report", run, "-o", "@", "--force"], &[], "x"),
        (
            &["experiment", "tiny.toml", "-o", "runs"],
            &[],
            "runs/a-0.h5",
        ),
        (&["experiment", "tiny.toml", "-o", "@"], &[], "x"),
        (
            &["experiment", "tiny.toml", "-o", "runs"],
            &[],
            "runs/report",
        ),
    ];
    let experiment = "description = 'd'\nquestion = 'q'\n\
        [config]\ntrain_size = 60\ntest_size = 20\nsteps = 1\nthreads = 1\n[paper]\nseeds = 1\n[[arm]]\nname = 'a'\n[[arm]]\nname = 'b'\nset.learning_rate = 0.1\n";
    for thing in Thing::ALL {
        for (command, more, place) in commands {
            if *place == "x" && thing == Thing::Folder && command[0] == "experiment" {
                // Its runs go into a folder.
                continue;
            }
            let folder = folder();
            fs::write(folder.path().join("tiny.toml"), experiment).unwrap();
            let path = folder.path().join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if !thing.put(&path) {
                skipped("no right to make a device");
                continue;
            }
            let before = (identity(&path), names(path.parent().unwrap()));
            let mut call = lcascope();
            call.current_dir(folder.path());
            for argument in command.iter().chain(*more) {
                match *argument {
                    "@" => call.arg(&path),
                    other => call.arg(other),
                };
            }
            let outcome = at_once(call);
            let what = format!("{thing:?}, {command:?}: {outcome:?}");
            assert!(matches!(outcome.code, Some(1 | 2)), "{what}");
            assert!(outcome.stderr.contains(place), "{what}");
            assert_eq!(before.0, identity(&path), "{what}");
            let after = names(path.parent().unwrap());
            assert_eq!(before.1, after, "nothing is left beside it: {what}");
        }
    }
}

#[test]
fn files_beside_a_run_are_neither_followed_nor_waited_for() {
    for (flags, ending) in [
        (&["--detach"][..], ".log"),
        (&["--detach"], ".sock"),
        (&[], ".sock"),
        (&["--force"], ".sock"),
    ] {
        for thing in Thing::ALL {
            // A socket without a listener is one that a killed run left behind.
            if (ending, thing) == (".sock", Thing::Socket) {
                continue;
            }
            let folder = folder();
            let beside = folder.path().join(format!("run.h5{ending}"));
            if !thing.put(&beside) {
                continue;
            }
            let before = identity(&beside);
            let (mut command, path) = train_command(folder.path(), "run.h5", &["--steps=2"]);
            command.args(flags);
            let outcome = at_once(command);
            let what = format!("{thing:?}, {ending}: {outcome:?}");
            assert_eq!(outcome.code, Some(0), "{what}");
            assert!(outcome.stderr.contains(ending), "{what}");
            assert_eq!(before, identity(&beside), "{what}");
            crate::common::patiently("the end of the training", || {
                let state = RunReader::open(&path).ok()?.refresh().ok()?;
                (state.status == Status::Finished).then_some(())
            });
        }
    }
    // The target of a link beside it must not be touched either.
    let folder = folder();
    let diary = folder.path().join("diary.txt");
    fs::write(&diary, "precious").unwrap();
    symlink("diary.txt", folder.path().join("run.h5.log")).unwrap();
    let flags = ["--steps=2", "--detach", "--learning-rate=1e38"];
    let (command, _) = train_command(folder.path(), "run.h5", &flags);
    let outcome = at_once(command);
    assert!(outcome.stderr.contains("run.h5.log"), "{outcome:?}");
    sleep(Duration::from_secs(2));
    assert_eq!(fs::read(&diary).unwrap(), b"precious");
}

// ---- inputs of a command ----

/// An IDX file: images, or labels of two classes.
fn idx(images: bool) -> Vec<u8> {
    let numbers =
        |sizes: &[u32]| -> Vec<u8> { sizes.iter().flat_map(|size| size.to_be_bytes()).collect() };
    if images {
        let head = [vec![0, 0, 8, 3], numbers(&[20, 2, 2])].concat();
        return [head, (0..80).collect()].concat();
    }
    let head = [vec![0, 0, 8, 1], numbers(&[20])].concat();
    [head, (0..20).map(|n| n % 2).collect()].concat()
}

const NETWORK: &str = "name = 'net'\n[[layer]]\nkind = 'linear'\nunits = 10\n";

#[test]
fn a_command_does_not_overwrite_its_inputs() {
    let folder = folder();
    let here = folder.path();
    fs::create_dir(here.join("data")).unwrap();
    for part in ["train", "t10k"] {
        let images = here.join(format!("data/{part}-images-idx3-ubyte"));
        fs::write(images, idx(true)).unwrap();
        let labels = here.join(format!("data/{part}-labels-idx1-ubyte"));
        fs::write(labels, idx(false)).unwrap();
    }
    fs::write(here.join("net.toml"), NETWORK).unwrap();
    fs::write(
        here.join("run.toml"),
        "network = 'net.toml'\ndata = 'data'\nsteps = 2\n",
    )
    .unwrap();
    fs::create_dir(here.join("points")).unwrap();
    for name in ["points/t-1.safetensors", "points/t-2.safetensors"] {
        fs::write(here.join(name), "weights").unwrap();
    }
    symlink("net.toml", here.join("link.toml")).unwrap();
    fs::hard_link(here.join("net.toml"), here.join("hard.toml")).unwrap();
    let call = |arguments: &[&str]| {
        let mut command = lcascope();
        command.current_dir(here).args(arguments);
        Outcome::of(command)
    };
    let made = call(&[
        "train",
        "--config=run.toml",
        "--quiet",
        "--record-weights=1",
        "-o",
        "data/old.h5",
    ]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let train: &[&str] = &["train", "net.toml", "--data=data", "--steps=1"];
    let config: &[&str] = &["train", "--config=run.toml"];
    let follow: &[&str] = &["allocate", "points", "--config=run.toml"];
    for (command, output) in [
        (train, "net.toml"),
        (train, "link.toml"),
        (train, "hard.toml"),
        (train, "data/../net.toml"),
        (train, "data/train-images-idx3-ubyte"),
        (train, "data/t10k-labels-idx1-ubyte"),
        (config, "run.toml"),
        (config, "net.toml"),
        (config, "data/train-labels-idx1-ubyte"),
        (&["train", "--config=data/old.h5"], "data/old.h5"),
        (
            &["train", "--config=data/old.h5", "--data=data"],
            "data/t10k-images-idx3-ubyte",
        ),
        (follow, "points/t-1.safetensors"),
        (follow, "run.toml"),
        (&["allocate", "data/old.h5"], "data/old.h5"),
        (&["allocate", "data/old.h5", "--straight=2"], "data/old.h5"),
        (
            &["export", "data/old.h5", "--view=layers", "--format=csv"],
            "data/old.h5",
        ),
    ] {
        let before = fs::read(here.join(output)).unwrap();
        let refused = call(&[command, &["-o", output, "--force"]].concat());
        refused.fails(2, &[output, "choose another --output"]);
        assert!(fs::read(here.join(output)).unwrap() == before, "{output}");
    }
    call(&["report", "data/old.h5", "-o", "data", "--force"]).fails(2, &["data"]);
    // Each run of a series.
    fs::copy(here.join("data/old.h5"), here.join("x-2.h5")).unwrap();
    let series = [
        "train",
        "--config=x-2.h5",
        "--repeats=2",
        "--output=x.h5",
        "--force",
    ];
    call(&series).fails(2, &["x-2.h5", "choose another --output"]);
    assert!(!here.join("x-1.h5").exists());
    // A run may be stored beside the data.
    let again = call(&[train, &["-o", "data/old.h5", "--force", "--quiet"]].concat());
    assert_eq!(again.code, Some(0), "{again:?}");
}

/// A run file with more in its configuration than the program writes.
#[test]
fn a_run_file_does_not_say_where_to_write() {
    let folder = folder();
    let here = folder.path();
    let path = train(here, "run.h5", &["--steps=2", "--record-weights=1"]);
    let diary = here.join("diary.txt");
    fs::write(&diary, "precious").unwrap();
    let stored = RunFile::open(&path).text("config");
    let said = format!("output = '{}'\nforce = true\n{stored}", diary.display());
    let file = open_rw(&path).unwrap();
    file.delete_attr("config").unwrap();
    let text: hdf5::types::VarLenUnicode = said.parse().unwrap();
    let attribute = file.new_attr::<hdf5::types::VarLenUnicode>();
    attribute
        .create("config")
        .unwrap()
        .write_scalar(&text)
        .unwrap();
    drop(file);
    for command in [
        &["train", "--config", "run.h5"][..],
        &["allocate", "run.h5"],
    ] {
        let mut call = lcascope();
        call.current_dir(here).args(command).arg("--quiet");
        let outcome = Outcome::of(call);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert_eq!(fs::read(&diary).unwrap(), b"precious");
    }
    assert_eq!(names(&here.join("runs")).len(), 2);
}

#[test]
fn configurations_must_be_regular_files_of_limited_length() {
    let folder = folder();
    let here = folder.path();
    Thing::Pipe.put(&here.join("pipe.toml"));
    fs::create_dir(here.join("folder.toml")).unwrap();
    let long = File::create(here.join("long.toml")).unwrap();
    // A hole of 8 GiB.
    long.set_len(8 << 30).unwrap();
    for (name, needle) in [
        ("pipe.toml", "not a regular file"),
        ("folder.toml", "not a regular file"),
        ("long.toml", "larger than 1024 KiB"),
    ] {
        for command in [
            &["train", name][..],
            &["train", "--config", name],
            &["allocate", "folder.toml", "--config", name],
            &["experiment", name, "--list"],
        ] {
            let mut call = lcascope();
            call.current_dir(here).args(command);
            at_once(call).fails(2, &[name, needle]);
        }
    }
    let mut endless = lcascope();
    endless
        .args(["train", "--config", "-"])
        .stdin(File::open(here.join("long.toml")).unwrap());
    at_once(endless).fails(2, &["larger than 1024 KiB"]);
}

// ---- replacing ----

const SHAPE: Shape = Shape {
    steps: 3,
    layers: 2,
    layer_params: 8,
    params: true,
    weights: false,
};

const FORCE: WriteOptions = WriteOptions {
    force: true,
    compression: lcascope::store::Compression::None,
    mantissa_bits: 24,
};

#[test]
fn an_old_run_stays_until_the_new_one_has_a_step() {
    let folder = folder();
    let path = folder.path().join("run.h5");
    crate::synthetic::write(&path, SHAPE, WriteOptions::default()).unwrap();
    let old = fs::read(&path).unwrap();
    let header = crate::synthetic::header(SHAPE);
    let stays = || {
        assert!(fs::read(&path).unwrap() == old);
        assert_eq!(names(folder.path()), ["run.h5"]);
    };
    let end = |message: &str| RunEnd {
        status: Status::Failed,
        message: message.to_owned(),
        totals: None,
    };
    // Ended before its first step; also after its start, with its message.
    let writer = RunWriter::create(&path, &header, FORCE).unwrap();
    let ended = writer.finish(&end("no loss")).unwrap_err().to_string();
    assert!(
        ended.contains("before its first step: no loss; "),
        "{ended}"
    );
    assert!(ended.ends_with("run.h5 is unchanged"), "{ended}");
    stays();
    let mut writer = RunWriter::create(&path, &header, FORCE).unwrap();
    writer
        .start(&crate::synthetic::Steps::new(&header).start())
        .unwrap();
    writer.commit().unwrap();
    assert!(fs::read(&path).unwrap() == old);
    assert!(writer.finish(&end("")).is_err());
    stays();
    // Dropped, as by a panic.
    drop(RunWriter::create(&path, &header, FORCE).unwrap());
    stays();
    // Two at once.
    let first = RunWriter::create(&path, &header, FORCE).unwrap();
    let second = RunWriter::create(&path, &header, FORCE).err().unwrap();
    assert!(matches!(second, StoreError::Live { .. }), "{second}");
    let third = NewFile::replacing(&path).unwrap_err();
    assert!(matches!(third, StoreError::Live { .. }), "{third}");
    drop(first);
    stays();
    // Somebody has put another file there meanwhile.
    let mut writer = RunWriter::create(&path, &header, FORCE).unwrap();
    fs::rename(&path, folder.path().join("moved.h5")).unwrap();
    fs::write(&path, "precious").unwrap();
    let mut steps = crate::synthetic::Steps::new(&header);
    writer.start(&steps.start()).unwrap();
    let error = writer.step(&steps.step()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("another file has taken its place"),
        "{error}"
    );
    drop(writer);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(names(folder.path()), ["moved.h5", "run.h5"]);
    // A file left by a killed process is removed by the next one. `list` tells it from one that is being written.
    fs::rename(folder.path().join("moved.h5"), &path).unwrap();
    let listed = || {
        let mut list = lcascope();
        list.arg("list").arg(folder.path());
        Outcome::of(list).stdout
    };
    let living = NewFile::replacing(&path).unwrap();
    assert_eq!(names(folder.path()), [".run.h5.lcascope-new", "run.h5"]);
    assert!(!listed().contains("lcascope-new"), "{}", listed());
    drop(living);
    fs::write(folder.path().join(".run.h5.lcascope-new"), "half").unwrap();
    let said = "\n.run.h5.lcascope-new: left by a killed `--force` run that was to replace run.h5; \
                it can be deleted\n";
    assert!(listed().ends_with(said), "{}", listed());
    crate::synthetic::write(&path, SHAPE, FORCE).unwrap();
    assert_eq!(names(folder.path()), ["run.h5"]);
    // A link is followed, as by export.
    symlink("run.h5", folder.path().join("latest.h5")).unwrap();
    crate::synthetic::write(&folder.path().join("latest.h5"), SHAPE, FORCE).unwrap();
    assert!(folder.path().join("latest.h5").is_symlink());
    assert_eq!(names(folder.path()), ["latest.h5", "run.h5"]);
    // The longest possible file name.
    let long = folder.path().join("n".repeat(255));
    crate::synthetic::write(&long, SHAPE, FORCE).unwrap();
    crate::synthetic::write(&long, SHAPE, FORCE).unwrap();
}

#[test]
fn an_old_run_stays_if_there_is_no_space_for_a_new_one() {
    let folder = folder();
    let path = train(folder.path(), "run.h5", &["--steps=2"]);
    let old = fs::read(&path).unwrap();
    let (command, _) = train_command(folder.path(), "run.h5", &["--steps=2", "--force"]);
    let mut limited = Command::new("sh");
    limited
        .current_dir(folder.path())
        .args(["-c", "ulimit -f 200; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    let outcome = Outcome::of(limited);
    outcome.fails(1, &["ulimit -f", "run.h5 is unchanged"]);
    assert!(!outcome.stderr.contains("committed before"), "{outcome:?}");
    assert!(fs::read(&path).unwrap() == old);
    assert_eq!(names(folder.path()), ["run.h5"]);
}

#[test]
fn a_file_in_the_way_of_a_new_run_is_named_and_stays() {
    for thing in Thing::ALL {
        let folder = folder();
        let path = folder.path().join("run.h5");
        fs::write(&path, "old").unwrap();
        let beginning = folder.path().join(".run.h5.lcascope-new");
        if !thing.put(&beginning) {
            continue;
        }
        let before = identity(&beginning);
        let (command, _) = train_command(folder.path(), "run.h5", &["--steps=2", "--force"]);
        at_once(command).fails(2, &[".run.h5.lcascope-new is in the way", "regular"]);
        assert_eq!(identity(&beginning), before, "{thing:?}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}

#[test]
fn a_file_that_takes_the_name_meanwhile_keeps_it() {
    for thing in Thing::ALL {
        let folder = folder();
        let path = folder.path().join("run.h5");
        crate::synthetic::write(&path, SHAPE, FORCE).unwrap();
        let new = NewFile::replacing(&path).unwrap();
        fs::rename(&path, folder.path().join("moved.h5")).unwrap();
        if !thing.put(&path) {
            continue;
        }
        let before = identity(&path);
        let header = crate::synthetic::header(SHAPE);
        let mut writer = RunWriter::begin(new, &header, FORCE).unwrap();
        let mut steps = crate::synthetic::Steps::new(&header);
        writer.start(&steps.start()).unwrap();
        let error = writer.step(&steps.step()).unwrap_err().to_string();
        assert!(
            error.contains("another file has taken its place"),
            "{error}"
        );
        drop(writer);
        assert_eq!(identity(&path), before, "{thing:?}");
        assert!(!folder.path().join(".run.h5.lcascope-new").exists());
    }
}

#[test]
fn concurrent_replacements_do_not_delete_each_others_runs() {
    let folder = folder();
    let path = train(folder.path(), "run.h5", &["--steps=2"]);
    let begun: Vec<_> = (0..4)
        .map(|_| {
            let flags = ["--steps=40", "--force"];
            let (command, path) = train_command(folder.path(), "run.h5", &flags);
            crate::common::Training::start(command, path)
        })
        .collect();
    let ends: Vec<_> = begun
        .into_iter()
        .map(crate::common::Training::end)
        .collect();
    let done = ends.iter().filter(|end| end.code == Some(0)).count();
    assert!(done > 0, "{ends:?}");
    for end in ends.iter().filter(|end| end.code != Some(0)) {
        end.fails(1, &["run.h5 is being written"]);
    }
    let state = RunReader::open(&path).unwrap().refresh().unwrap();
    assert_eq!((state.status, state.committed), (Status::Finished, 40));
    assert_eq!(names(folder.path()), ["run.h5"]);
}

#[test]
fn default_names_do_not_collide() {
    let folder = folder();
    let start = |flags: &[&str]| {
        let mut command = lcascope();
        command
            .current_dir(folder.path())
            .arg("train")
            .args(crate::common::SMALL)
            .args(flags);
        crate::common::Training::start(command, PathBuf::new())
    };
    let mut begun: Vec<_> = (0..4).map(|_| start(&["--steps=2"])).collect();
    begun.extend((0..2).map(|_| start(&["--steps=2", "--repeats=2"])));
    for training in begun {
        let end = training.end();
        assert_eq!(end.code, Some(0), "{end:?}");
    }
    let runs = folder.path().join("runs");
    let files = names(&runs);
    assert_eq!(files.len(), 4 + 2 * 2, "{files:?}");
    for file in files {
        let state = RunReader::open(&runs.join(&file))
            .unwrap()
            .refresh()
            .unwrap();
        assert_eq!(state.status, Status::Finished, "{file}");
    }
}

#[test]
fn a_series_that_cannot_begin_leaves_no_reserved_name() {
    let folder = folder();
    let mut limited = Command::new("sh");
    limited
        .current_dir(folder.path())
        .args([
            "-c",
            "ulimit -f 200; exec \"$0\" train --quiet --repeats=2 --steps=3",
        ])
        .arg(lcascope().get_program());
    let outcome = Outcome::of(limited);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(names(&folder.path().join("runs")), [""; 0]);
}

// ---- killed ----

/// Tells this program that it is the writer, and where to write.
const WRITE: &str = "LCASCOPE_TEST_WRITE";

/// Not a test, but the process that the next one kills: a run written by one thread, so that its calls can be counted.
#[test]
fn a_writer_to_be_killed() {
    if let Some(path) = std::env::var_os(WRITE) {
        crate::synthetic::write(Path::new(&path), SHAPE, FORCE).unwrap();
    }
}

#[test]
fn a_kill_at_every_write_of_a_new_run_leaves_the_old_one_or_the_new_one() {
    let folder = folder();
    let path = folder.path().join("run.h5");
    let longer = Shape { steps: 7, ..SHAPE };
    crate::synthetic::write(&path, longer, WriteOptions::default()).unwrap();
    let old = fs::read(&path).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "outputs::a_writer_to_be_killed",
            "--test-threads=1",
        ])
        .env(WRITE, &path);
    let mut seen = [0; 2];
    let kills = killed_everywhere(&command, 4, |when| {
        let there = fs::read(&path).unwrap_or_else(|error| panic!("{when}: {error}"));
        let is_new = there != old;
        seen[usize::from(is_new)] += 1;
        if is_new {
            let state = RunReader::open(&path).and_then(|reader| reader.refresh());
            let state = state.unwrap_or_else(|error| panic!("{when}: {error}"));
            assert!((1..=3).contains(&state.committed), "{when}: {state:?}");
        }
        for name in names(folder.path()) {
            let known = ["run.h5", ".run.h5.lcascope-new"].contains(&name.as_str());
            assert!(known, "{when}: {name}");
        }
        fs::write(&path, &old).unwrap();
    });
    if kills > 0 {
        assert!(
            kills > 10 && seen.iter().all(|&n| n > 1),
            "{kills} {seen:?}"
        );
        // Nothing remains after the next one.
        crate::synthetic::write(&path, SHAPE, FORCE).unwrap();
        assert_eq!(names(folder.path()), ["run.h5"]);
    }
}

/// Every file below a folder, with its bytes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn a_report_that_is_killed_leaves_the_older_one_or_the_new_one() {
    let folder = folder();
    let place = folder.path().join("report");
    let report = |run: &Path| {
        let mut command = lcascope();
        command
            .arg("report")
            .arg(run)
            .arg("-o")
            .arg(&place)
            .arg("--force");
        command
    };
    let other = train(folder.path(), "other.h5", &["--steps=3"]);
    let old = Outcome::of(report(&other));
    assert_eq!(old.code, Some(0), "{old:?}");
    let before = tree(&place);
    let command = report(&small());
    // Excluding the two texts that contain the time of their creation.
    let numbers = || {
        let mut files = tree(&place);
        files.retain(|path, _| path.parent() != Some(&place));
        files
    };
    let mut after = None;
    let mut new = 0;
    let kills = killed_everywhere(&command, 1, |when| {
        if tree(&place) == before {
            return;
        }
        new += 1;
        let after = after.get_or_insert_with(numbers);
        assert!(*after == numbers(), "{when}");
        assert_eq!(
            names(&place),
            ["data", "figures", "report.html", "report.md"],
            "{when}"
        );
        fs::remove_dir_all(&place).unwrap();
        for (path, bytes) in &before {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    });
    assert!(kills == 0 || (kills > 3 && new > 1), "{kills} {new}");
}
