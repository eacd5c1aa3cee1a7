//! The program from outside: exit codes, messages, signals, and the files that it leaves.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{
    Outcome, RunFile, SMALL, Training, folder, lcascope, open_rw, patiently, train, train_command,
};
use lcascope::record::Status;
use lcascope::store::{RunReader, RunState};

/// Runs the program in `folder`.
fn run(folder: &Path, args: &[&str]) -> Outcome {
    let mut command = lcascope();
    command.current_dir(folder).args(args);
    Outcome::of(command)
}

/// Files in a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn state(path: &Path) -> RunState {
    RunReader::open(path).unwrap().refresh().unwrap()
}

// ---- help ----

#[test]
fn help_and_version_are_printed() {
    let folder = folder();
    let version = run(folder.path(), &["--version"]);
    let expected = concat!("lcascope ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((version.code, version.stdout.as_str()), (Some(0), expected));
    let help = run(folder.path(), &["--help"]);
    assert_eq!(help.code, Some(0));
    for command in [
        "train",
        "open",
        "info",
        "list",
        "stop",
        "pause",
        "resume",
        "experiment",
        "completions",
        "man",
    ] {
        assert!(help.stdout.contains(command), "{command}");
    }
    let help = run(folder.path(), &["train", "--help"]);
    assert_eq!(help.code, Some(0));
    for flag in [
        "NETWORK",
        "--config",
        "--detach",
        "--data",
        "--train-size",
        "--validation-size",
        "--test-size",
        "--output",
        "--force",
        "--steps",
        "--epochs",
        "--batch-size",
        "--optimizer",
        "--learning-rate",
        "--momentum",
        "--weight-decay",
        "--schedule",
        "--layer",
        "--integrator",
        "--tolerance",
        "--layer-tolerance",
        "--min-segments",
        "--max-segments",
        "--slice-size",
        "--lca-test",
        "--by-class",
        "--class-every",
        "--record-weights",
        "--record-params",
        "--trace",
        "--compression",
        "--mantissa-bits",
        "--device",
        "--engine",
        "--threads",
        "--seed",
        "--repeats",
        "--headless",
        "--quiet",
        "--color",
        "--glyphs",
        "--fps",
    ] {
        assert!(help.stdout.contains(flag), "{flag}");
    }
    assert!(files(folder.path()).is_empty());
}

#[test]
fn a_run_says_first_what_it_takes_and_is_refused_if_the_disk_is_too_small() {
    let folder = folder();
    let small = [&["train"], &SMALL[1..]].concat();
    let short = [&small[..], &["--headless", "--steps=3", "-o", "run.h5"]].concat();
    let short = run(folder.path(), &short);
    assert_eq!(short.code, Some(0), "{short:?}");
    let mut lines = short.stderr.lines();
    let first = lines.next().unwrap();
    assert!(first.contains(" parameters; memory: at least "), "{first}");
    assert!(
        first.contains(" for 3 steps, ")
            && first.contains(" per step; 2 or more gradients per step"),
        "{first}"
    );
    let second = lines.next().unwrap();
    assert!(
        second.starts_with("2 or more gradients per step, ") && second.ends_with(" in all"),
        "{second}"
    );

    // It may be stopped long before; what is written whatever happens must fit.
    let long = ["--steps=1000000000000", "--record-params=1", "--dry-run"];
    let long = run(folder.path(), &[&small[..], &long].concat());
    assert_eq!(long.code, Some(0), "{long:?}");
    let warning = "warning: for all 1000000000000 steps, the run file needs at least ";
    assert!(long.stderr.contains(warning), "{long:?}");
    assert!(
        long.stderr
            .contains(" free: a larger --record-params makes it smaller"),
        "{long:?}"
    );
    let many = [
        "--headless",
        "--steps=1000000000",
        "--snapshots=1000000000",
        "-o",
        "many.h5",
    ];
    let many = run(folder.path(), &[&small[..], &many].concat());
    assert_eq!(many.code, Some(1), "{many:?}");
    assert!(
        many.stderr
            .contains("error: no space for many.h5: the run file needs at least "),
        "{many:?}"
    );
    assert!(
        many.stderr
            .contains(" free: --snapshots 1 makes it smaller"),
        "{many:?}"
    );
    assert_eq!(files(folder.path()), ["run.h5"]);
}

#[test]
fn a_dry_run_says_what_a_run_takes_and_writes_nothing() {
    let folder = folder();
    let flags = [
        &[
            "train",
            "--steps=200",
            "--compression=none",
            "--checkpoint-every=100",
        ],
        &SMALL[1..],
    ]
    .concat();
    let dry = [&flags[..], &["--dry-run", "-o", "run.h5"]].concat();
    let dry = run(folder.path(), &dry);
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(files(folder.path()).is_empty());
    let field = |name: &str| -> String {
        let lines = dry.stdout.lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(name));
        values
            .next()
            .unwrap_or_else(|| panic!("no {name}: {dry:?}"))
            .trim()
            .to_owned()
    };
    assert!(field("steps").starts_with("200, over "), "{dry:?}");
    assert!(field("memory").contains("bytes per parameter"), "{dry:?}");
    assert!(
        field("time").starts_with("2 or more gradients per step"),
        "{dry:?}"
    );
    let file = field("file");
    assert!(
        file.contains("8 totals snapshots of") && file.contains("2 checkpoints of"),
        "{file}"
    );
    let (number, unit) = file
        .strip_prefix("about ")
        .and_then(|text| text.split_once(' '))
        .unwrap();
    let scale = if unit.starts_with("MiB") {
        1 << 20
    } else {
        1 << 10
    };
    let expected = number.parse::<f64>().unwrap() * f64::from(scale);

    let trained = [&flags[..], &["--headless", "-q", "-o", "run.h5"]].concat();
    assert_eq!(run(folder.path(), &trained).code, Some(0));
    #[expect(clippy::cast_precision_loss, reason = "a small file")]
    let size = fs::metadata(folder.path().join("run.h5")).unwrap().len() as f64;
    // Plus the header, the pyramid and the padding of chunks.
    assert!((0.9..1.3).contains(&(size / expected)), "{size} {expected}");
}

#[test]
fn the_selftest_passes_on_the_cpu_and_names_a_missing_device() {
    let folder = folder();
    let outcome = run(folder.path(), &["selftest", "--device=cpu"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for check in [
        "gradient of conv",
        "gradient of residual",
        "a step of mnist-lenet",
        "a step of cifar-vgg",
        "20 steps of mnist-fc",
    ] {
        assert!(outcome.stdout.contains(check), "{check}: {outcome:?}");
    }
    assert!(!outcome.stdout.contains("FAILED"), "{outcome:?}");
    run(folder.path(), &["selftest", "--device=cuda:99"]).fails(1, &["CUDA device 99"]);
    run(folder.path(), &["selftest", "--device=gpu"]).fails(2, &["gpu", "cuda:N"]);
    run(folder.path(), &["selftest", "--threads=0"]).fails(2, &["--threads"]);
}

#[test]
fn completions_are_printed_for_every_shell() {
    let folder = folder();
    for (shell, needle) in [
        ("bash", "complete -F _lcascope"),
        ("zsh", "#compdef lcascope"),
        ("fish", "complete -c lcascope"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let outcome = run(folder.path(), &["completions", shell]);
        assert_eq!(outcome.code, Some(0));
        assert!(outcome.stdout.contains(needle), "{shell}");
        assert!(outcome.stdout.contains("learning-rate"), "{shell}");
    }
    run(folder.path(), &["completions", "tcsh"]).fails(2, &["tcsh", "bash"]);
}

#[test]
fn manual_pages_are_printed_for_the_program_and_its_commands() {
    let folder = folder();
    for (args, title, needle) in [
        (&["man"][..], ".TH lcascope 1", "lcascope\\-train(1)"),
        (&["man", "train"], ".TH lcascope-train 1", "learning\\-rate"),
        (&["man", "export"], ".TH lcascope-export 1", "\\-\\-view"),
    ] {
        let outcome = run(folder.path(), args);
        assert_eq!(outcome.code, Some(0));
        assert!(outcome.stdout.contains(title), "{}", outcome.stdout);
        assert!(outcome.stdout.contains(needle), "{}", outcome.stdout);
    }
    for hidden in ["reader", "trian"] {
        run(folder.path(), &["man", hidden]).fails(2, &[hidden, "train"]);
    }
}

// ---- usage errors ----

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn usage_errors_exit_with_2_and_name_the_flag() {
    let folder = folder();
    let cases: &[(&[&str], &[&str])] = &[
        (&["frobnicate"], &["frobnicate"]),
        (&["open"], &["RUN.h5"]),
        (&["info"], &["RUN.h5"]),
        (&["train", "--nonsense"], &["--nonsense"]),
        (&["train", "mnist-cf"], &["mnist-cf", "mnist-fc"]),
        (&["train", "-1"], &["unknown network `-1`"]),
        (&["train", "none.toml"], &["none.toml", "No such file"]),
        // Out of range.
        (&["train", "--steps=0"], &["--steps 0"]),
        (&["train", "--steps", "-1"], &["--steps", "-1"]),
        (
            &["train", "--steps=18446744073709551615"],
            &["--steps 1844"],
        ),
        (&["train", "--epochs=0"], &["--epochs 0"]),
        (&["train", "--epochs", "-3"], &["--epochs", "-3"]),
        (&["train", "--epochs=9007199254740992"], &["--epochs 9007"]),
        (&["train", "--batch-size=0"], &["--batch-size 0"]),
        (&["train", "--batch-size", "-5"], &["--batch-size", "-5"]),
        (
            &["train", "--batch-size=6001"],
            &["--batch-size 6001", "6000"],
        ),
        (
            &["train", "--train-size=0"],
            &["--train-size", "at least one"],
        ),
        (&["train", "--train-size", "-1"], &["--train-size"]),
        (&["train", "--train-size=6001"], &["--train-size", "6000"]),
        (&["train", "--lca-size=0"], &["--lca-size", "at least one"]),
        (
            &["train", "--train-size=600", "--lca-size=601"],
            &["--lca-size: LCA size 601 exceeds the 600"],
        ),
        (
            &["train", "--validation-size=6000"],
            &["--validation-size", "6000"],
        ),
        (
            &["train", "--validation-size", "-1"],
            &["--validation-size"],
        ),
        (
            &["train", "--test-size=0"],
            &["--test-size", "at least one"],
        ),
        (&["train", "--test-size=1001"], &["--test-size", "1000"]),
        (&["train", "--learning-rate=0"], &["--learning-rate 0"]),
        (
            &["train", "--learning-rate", "-0.1"],
            &["--learning-rate -0.1"],
        ),
        (&["train", "--learning-rate=inf"], &["--learning-rate inf"]),
        (&["train", "--learning-rate=nan"], &["--learning-rate NaN"]),
        (&["train", "--momentum=1"], &["--momentum 1"]),
        (&["train", "--momentum", "-0.5"], &["--momentum -0.5"]),
        (&["train", "--weight-decay", "-1"], &["--weight-decay -1"]),
        (&["train", "--seed=9223372036854775808"], &["--seed 9223"]),
        (&["train", "--seed", "-1"], &["--seed", "-1"]),
        (&["train", "--tolerance", "-1"], &["--tolerance -1"]),
        (&["train", "--tolerance=nan"], &["--tolerance NaN"]),
        (
            &["train", "--relative-tolerance=inf"],
            &["--relative-tolerance inf"],
        ),
        (
            &["train", "--layer-tolerance", "-1"],
            &["--layer-tolerance -1"],
        ),
        (
            &["train", "--min-segments=3"],
            &["--min-segments 3", "power of two"],
        ),
        (&["train", "--max-segments=0"], &["--max-segments 0"]),
        (&["train", "--max-segments=2048"], &["--max-segments 2048"]),
        (
            &["train", "--min-segments=8", "--max-segments=4"],
            &["--max-segments 4"],
        ),
        (&["train", "--slice-size=0"], &["--slice-size 0"]),
        (&["train", "--test-every=0"], &["--test-every 0"]),
        (&["train", "--record-weights", "-1"], &["--record-weights"]),
        (
            &["train", "--record-params=9223372036854775808"],
            &["--record-params 9223"],
        ),
        (&["train", "--trace", "-1"], &["--trace"]),
        (&["train", "--trace=99999999999999999999"], &["--trace"]),
        (
            &["train", "--mantissa-bits=0"],
            &["--mantissa-bits 0", "1 to 24"],
        ),
        (&["train", "--mantissa-bits=25"], &["--mantissa-bits 25"]),
        (&["train", "--threads=0"], &["--threads 0"]),
        (&["train", "--threads=100000"], &["--threads 100000"]),
        (&["train", "--fps=0"], &["--fps 0", "1 to 120"]),
        (&["train", "--fps=121"], &["--fps 121"]),
        (&["open", "x.h5", "--fps=0"], &["--fps 0"]),
        // Nonsense.
        (&["train", "--steps=many"], &["--steps", "many"]),
        (
            &["train", "--learning-rate=fast"],
            &["--learning-rate", "fast"],
        ),
        (&["train", "--optimizer=sdg"], &["sdg", "sgd, adam"]),
        (
            &["train", "--schedule=step:0:1"],
            &["step:0:1", "step:300:0.1"],
        ),
        (&["train", "--schedule=never"], &["never", "constant"]),
        (&["train", "--integrator=euler"], &["euler", "adaptive"]),
        (&["train", "--slice-size=big"], &["big", "auto"]),
        (
            &["train", "--compression=gzip"],
            &["gzip", "auto, lz4, zstd, deflate or none"],
        ),
        (&["train", "--device=gpu"], &["gpu", "cuda:0"]),
        (&["train", "--engine=gpu"], &["gpu", "candle"]),
        (&["train", "--color=pink"], &["pink", "never"]),
        (&["train", "--glyphs=emoji"], &["emoji", "braille"]),
        (&["train", "--lca-test=perhaps"], &["--lca-test", "perhaps"]),
        (
            &["train", "--layer=fc3"],
            &["--layer", "fc3", "NAME:KEY=VALUE"],
        ),
        (
            &["train", "--layer=fc3:rate=1"],
            &["--layer", "layer fc3", "`rate`", "learning-rate"],
        ),
        (
            &["train", "--layer=fc3:learning-rate=-1"],
            &["--layer", "fc3: learning-rate must be", "`-1`"],
        ),
        (
            &["train", "--layer=fc3:delay=soon"],
            &["--layer", "fc3: delay must be", "`soon`"],
        ),
        (
            &["train", "--layer=fc1:freeze", "--layer=conv*:freeze"],
            &["--layer conv*", "fc1, fc2, fc3"],
        ),
        (
            &["train", "--by-class", "--class-every=0"],
            &["--class-every 0"],
        ),
        // Incompatible flags.
        (
            &["train", "--optimizer=adam", "--layer=fc3:momentum=0.5"],
            &["--layer fc3:momentum=0.5", "momentum applies only to"],
        ),
        (
            &["train", "--class-every=2"],
            &["--class-every", "--by-class"],
        ),
        (
            &["train", "--steps=1", "--epochs=1"],
            &["--steps", "--epochs"],
        ),
        (
            &["train", "--optimizer=adam", "--momentum=0.5"],
            &["--momentum applies only to"],
        ),
        (
            &["train", "--engine=cpu", "--device=cuda:0"],
            &["--engine cpu", "--device cuda:0"],
        ),
    ];
    for (args, needles) in cases {
        let outcome = run(folder.path(), args);
        outcome.fails(2, needles);
        assert_eq!(outcome.stdout, "", "{args:?}");
    }
    assert!(files(folder.path()).is_empty());
}

// ---- failures ----

#[test]
fn missing_data_exit_with_1() {
    let folder = folder();
    let train = |data: &str| run(folder.path(), &["train", "--steps=1", "--data", data]);
    train("nowhere").fails(1, &["nowhere", "does not exist"]);
    fs::create_dir(folder.path().join("hollow")).unwrap();
    train("hollow").fails(1, &["hollow", "is empty"]);
    fs::write(folder.path().join("file"), "").unwrap();
    train("file").fails(1, &["file", "neither a folder"]);
    fs::write(folder.path().join("hollow/notes.txt"), "").unwrap();
    train("hollow").fails(1, &["no data set in"]);
    assert_eq!(files(folder.path()), ["file", "hollow"]);
}

#[test]
fn a_run_file_is_only_overwritten_by_force() {
    let folder = folder();
    let path = folder.path().join("run.h5");
    fs::write(&path, "precious").unwrap();
    let (command, _) = train_command(folder.path(), "run.h5", &["--steps=1"]);
    Outcome::of(command).fails(2, &["run.h5 exists", "--force"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    train(folder.path(), "run.h5", &["--steps=1", "--force"]);
    assert_eq!(state(&path).committed, 1);
    // A refusal after reading the data also leaves the existing file as it is.
    let whole = fs::read(&path).unwrap();
    let flags = ["--steps=1", "--force", "--batch-size=601"];
    let (command, _) = train_command(folder.path(), "run.h5", &flags);
    Outcome::of(command).fails(2, &["--batch-size 601"]);
    assert!(fs::read(&path).unwrap() == whole);
}

#[test]
fn a_run_that_is_being_written_is_not_overwritten_at_all() {
    let folder = folder();
    let mut training = Training::endless(folder.path(), "run.h5", &[]);
    let reader = training.reader();
    let seen = training.grown(&reader, 0).committed;
    let (command, path) = train_command(folder.path(), "run.h5", &["--steps=1", "--force"]);
    Outcome::of(command).fails(1, &["run.h5 is being written"]);
    training.grown(&reader, seen);
    training.signal("TERM");
    assert_eq!(training.end().code, Some(143));
    // Now that the run has ended it may be replaced, even while somebody reads it.
    let old = reader.refresh().unwrap();
    assert_eq!(old.status, Status::Stopped);
    train(folder.path(), "run.h5", &["--steps=1", "--force"]);
    assert_eq!(reader.refresh().unwrap().committed, old.committed);
    reader.steps(0..old.committed).unwrap();
    assert_eq!(state(&path).committed, 1);
}

#[test]
fn an_unwritable_output_exits_with_1() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").unwrap();
    let small = [&["train"], SMALL, &["--steps=1", "-o"]].concat();
    let train = |output: &str| run(folder.path(), &[&small[..], &[output]].concat());
    // There is no folder below a file, for any user.
    train("file/run.h5").fails(1, &["cannot create the folder", "file"]);
    train("file/deep/run.h5").fails(1, &["cannot create the folder"]);
    train("/proc/none/run.h5").fails(1, &["cannot create the folder /proc/none"]);
    train("/proc/run.h5").fails(1, &["/proc/run.h5"]);
    train(".").fails(2, &["--output .", "is a folder"]);
    assert_eq!(files(folder.path()), ["file"]);
    // Missing folders are created.
    let deep = train("new/and/deep/run.h5");
    assert_eq!(deep.code, Some(0), "{}", deep.stderr);
    assert!(folder.path().join("new/and/deep/run.h5").is_file());
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_gpu_that_this_build_cannot_use_exits_with_1() {
    let folder = folder();
    for flags in [
        &["--device=cuda:0"][..],
        &["--device=cuda", "--engine=candle"],
    ] {
        let (command, path) =
            train_command(folder.path(), "run.h5", &[&["--steps=1"], flags].concat());
        Outcome::of(command).fails(1, &["without CUDA", "--features cuda", "--device cpu"]);
        assert!(!path.exists());
    }
}

#[test]
fn a_network_that_does_not_fit_names_its_layer() {
    let folder = folder();
    let linear = |more: &str| format!("[[layer]]\nkind = 'linear'\n{more}\n");
    let cases: &[(String, &[&str])] = &[
        (linear("units = 0"), &["layer 1 (`linear`)", "at least 1"]),
        (
            linear("name = 'wide'\nunits = 9") + &linear("name = 'wide'\nunits = 10"),
            &["layer 2 (`wide`)", "used twice"],
        ),
        (
            linear("units = 9") + &linear("name = 'top'\nunits = 100000000000"),
            &["layer 2 (`top`)", "parameters"],
        ),
        (
            linear("name = 'a b'\nunits = 10"),
            &["layer 1 (`a b`)", "letters"],
        ),
        (
            linear("units = 9"),
            &["9 outputs", "10 classes", "last layer"],
        ),
        (
            "[[layer]]\nkind = 'relu'\n".to_owned(),
            &["no layer with parameters"],
        ),
        (
            linear("units = 10\nwdth = 3"),
            &["net.toml", "layer 1 (`linear`)", "wdth"],
        ),
        (
            "[[layer]]\nkind = 'liner'\n".to_owned(),
            &["net.toml", "layer 1 (`liner`)", "linear"],
        ),
        ("name = 'twice'\n".to_owned(), &["net.toml", "line 2"]),
        ("layer = []\n".to_owned(), &["no layer with parameters"]),
    ];
    for (layers, needles) in cases {
        fs::write(
            folder.path().join("net.toml"),
            format!("name = 'net'\n{layers}"),
        )
        .unwrap();
        run(folder.path(), &["train", "net.toml", "--steps=1"]).fails(2, needles);
    }
    assert_eq!(files(folder.path()), ["net.toml"]);
}

#[test]
fn a_diverging_training_fails_and_leaves_a_complete_file() {
    let folder = folder();
    // The sixth step makes the parameters overflow.
    let flags = ["--steps=20", "--schedule=step:5:1e38"];
    let (command, path) = train_command(folder.path(), "run.h5", &flags);
    let outcome = Outcome::of(command);
    outcome.fails(
        1,
        &["the run failed", "diverged in step 5", "--learning-rate"],
    );
    let end = state(&path);
    assert_eq!((end.status, end.committed), (Status::Failed, 5));
    assert!(end.message.contains("diverged in step 5"));
    let file = RunFile::open(&path);
    assert_eq!(file.counts("state/status").values, [3]);
    assert_eq!(file.counts("param/step").values.last(), Some(&5));

    let info = run(folder.path(), &["info", "run.h5"]);
    assert_eq!(info.code, Some(0));
    assert!(
        info.stdout
            .contains("failed: the training diverged in step 5")
    );
    assert!(info.stdout.contains("5 of 20"));

    // Before the first step as well; it then does not replace the existing run.
    let flags = ["--steps=20", "--learning-rate=1e38", "--force"];
    let (command, _) = train_command(folder.path(), "run.h5", &flags);
    Outcome::of(command).fails(1, &["diverged in step 0", "run.h5 is unchanged"]);
    let info = run(folder.path(), &["info", "run.h5"]);
    assert!(info.stdout.contains("5 of 20"));
    let (command, _) = train_command(folder.path(), "other.h5", &flags);
    Outcome::of(command).fails(1, &["diverged in step 0"]);
    let info = run(folder.path(), &["info", "other.h5"]);
    assert_eq!(info.code, Some(0));
    assert!(info.stdout.contains("diverged in step 0") && info.stdout.contains("0 of 20"));
}

// ---- reading runs ----

#[test]
fn open_needs_a_run_and_a_terminal() {
    let folder = folder();
    train(folder.path(), "run.h5", &["--steps=1"]);
    run(folder.path(), &["open", "run.h5"]).fails(1, &["needs a terminal", "lcascope info"]);
    run(folder.path(), &["open", "none.h5"]).fails(1, &["none.h5", "No such file"]);
    fs::write(folder.path().join("notes.txt"), "no run").unwrap();
    for command in ["open", "info"] {
        let outcome = run(folder.path(), &[command, "notes.txt"]);
        outcome.fails(1, &["notes.txt is not an HDF5 file"]);
    }
    run(folder.path(), &["info", "."]).fails(1, &["directory"]);
    run(folder.path(), &["info", "none.h5"]).fails(1, &["none.h5", "No such file"]);
}

#[test]
fn a_name_that_is_not_utf8_is_reported() {
    let folder = folder();
    let name = std::ffi::OsStr::from_bytes(b"a\xff.h5");
    let path = train(
        folder.path(),
        "run.h5",
        &["--steps=1", "--record-weights=1"],
    );
    fs::copy(path, folder.path().join(name)).unwrap();
    for (words, code) in [
        (&["info"][..], 1),
        (&["verify"], 1),
        (&["repair"], 1),
        (&["report", "-o", "pages"], 1),
        (&["export", "--view=layers", "-o", "x.csv"], 1),
        (&["train", "-o", "x.h5", "--config"], 1),
        (&["train", "--resume"], 1),
        (&["allocate", "-o", "x.h5"], 2),
        (&["train", "-o"], 2),
        (&["train", "-o", "x.h5", "--config", "run.h5", "--data"], 2),
        (&["train", "-o", "x.h5", "--data"], 2),
    ] {
        let mut command = lcascope();
        command.current_dir(folder.path()).args(words).arg(name);
        Outcome::of(command).fails(code, &["a\u{fffd}.h5: the name is not valid UTF-8"]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn non_finite_losses_have_no_shares() {
    let folder = folder();
    let path = train(folder.path(), "run.h5", &["--steps=2"]);
    let file = open_rw(&path).unwrap();
    let losses = file.dataset("loss/train").unwrap();
    losses.write(&[f64::INFINITY; 3]).unwrap();
    drop(losses);
    file.close().unwrap();
    let info = run(folder.path(), &["info", "run.h5"]);
    assert!(
        info.stdout.contains("warning: not all losses are finite")
            && !info.stdout.contains(" of Δloss"),
        "{info:?}"
    );
}

#[test]
fn info_and_verify_continue_after_a_bad_file() {
    let folder = folder();
    for name in ["a.h5", "-b.h5"] {
        train(folder.path(), name, &["--steps=1"]);
    }
    fs::write(folder.path().join("notes.txt"), "no run").unwrap();
    for (command, says) in [("info", "\nstatus "), ("verify", "\nok     structure ")] {
        let both = run(folder.path(), &[command, "--", "a.h5", "-b.h5"]);
        assert_eq!((both.code, both.stderr.as_str()), (Some(0), ""), "{both:?}");
        let parts: Vec<&str> = both.stdout.split("==> ").collect();
        let ["", a, b] = parts[..] else {
            panic!("{both:?}");
        };
        assert!(
            a.starts_with("a.h5 <==\n") && b.starts_with("-b.h5 <==\n"),
            "{both:?}"
        );
        assert!(
            a.contains(says) && b.contains(says) && a.ends_with("\n\n"),
            "{both:?}"
        );
        // For a single file the output is unchanged.
        let one = run(folder.path(), &[command, "a.h5"]);
        assert_eq!(format!("a.h5 <==\n{}\n", one.stdout), a);

        let mixed = run(
            folder.path(),
            &[command, "none.h5", "a.h5", "notes.txt", "./-b.h5"],
        );
        mixed.fails(
            1,
            &["none.h5", "No such file", "notes.txt is not an HDF5 file"],
        );
        assert_eq!(mixed.stdout.matches(says).count(), 2, "{mixed:?}");
        assert_eq!(mixed.stdout.matches("==> ").count(), 4, "{mixed:?}");
    }
}

#[test]
fn info_says_how_a_run_was_trained_and_stored() {
    let folder = folder();
    let flags = [
        "--steps=2",
        "--optimizer=rmsprop",
        "--learning-rate=0.000012345678",
        "--momentum=0.5",
        "--schedule=warmup:5,cosine:0.1",
        "--batch-size=100",
        "--layer=fc1:freeze",
        "--layer=fc3:learning-rate=0.5",
        "--by-class",
        "--class-every=2",
        "--integrator=simpson",
    ];
    for (compression, needle) in [
        ("lz4", "blosc (lz4) (other programs need its HDF5 plug-in"),
        ("zstd", "blosc (zstd) (other programs need its HDF5 plug-in"),
        ("deflate", "shuffle, deflate\n"),
    ] {
        let name = format!("{compression}.h5");
        let compression = format!("--compression={compression}");
        train(
            folder.path(),
            &name,
            &[&flags[..], &[&compression]].concat(),
        );
        let info = run(folder.path(), &["info", &name]).stdout;
        for needle in [
            "rmsprop, learning rate 1.23e-5, momentum 0.5",
            "schedule warmup:5,cosine:0.1",
            "batch size 100",
            "fc1:freeze; fc3:learning-rate=0.5",
            "LCA by class every 2 steps",
            "simpson, tolerance",
            needle,
        ] {
            assert!(info.contains(needle), "{needle}: {info}");
        }
        assert!(
            info.contains(" steps/s") || info.contains(" s/step"),
            "{info}"
        );
    }
    train(
        folder.path(),
        "none.h5",
        &["--steps=1", "--compression=none"],
    );
    let info = run(folder.path(), &["info", "none.h5"]).stdout;
    for absent in ["compression", "by class", "\nlayers "] {
        assert!(!info.contains(absent), "{absent}: {info}");
    }
}

/// Steps with allocations of 10²⁵ nats do not affect the digits of any other number.
#[test]
fn after_a_divergence_every_output_has_the_same_digits() {
    let folder = folder();
    train(
        folder.path(),
        "run.h5",
        &[
            "--steps=6",
            "--learning-rate=30",
            "--momentum=0",
            "--slice-size=250",
        ],
    );
    let file = RunFile::open(&folder.path().join("run.h5"));
    let (losses, layers) = (file.reals("loss/train").values, file.reals("lca/layer"));
    let csv = run(
        folder.path(),
        &["export", "run.h5", "--view=decomposition", "-o", "-"],
    )
    .stdout;
    let csv = crate::common::columns(csv.as_bytes());
    let json = run(
        folder.path(),
        &[
            "export",
            "run.h5",
            "--view=decomposition",
            "--format=json",
            "-o",
            "-",
        ],
    )
    .stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let of_json = |name: &str, row: usize| {
        let column = json["columns"]
            .as_array()
            .unwrap()
            .iter()
            .find(|column| column["name"] == name);
        column.unwrap()["values"][row].as_f64().unwrap()
    };
    for step in 0..6 {
        let change = losses[step + 1] - losses[step];
        assert_eq!(csv["loss_change (nats)"][step].to_bits(), change.to_bits());
        assert_eq!(of_json("loss_change", step).to_bits(), change.to_bits());
        for (layer, name) in ["fc1", "fc2", "fc3"].into_iter().enumerate() {
            let lca = layers.row(step)[layer];
            assert_eq!(
                csv[&format!("lca/{name} (nats)")][step].to_bits(),
                lca.to_bits()
            );
            assert_eq!(
                of_json(&format!("lca/{name}"), step).to_bits(),
                lca.to_bits()
            );
        }
    }
    // Absurd figures are short, and marked as such.
    let info = run(folder.path(), &["info", "run.h5"]).stdout;
    assert!(
        info.contains(" × Δloss\n") && info.contains("warning: the residual exceeds"),
        "{info}"
    );
    let longest = info.split_whitespace().skip_while(|word| *word != "(nats)");
    let longest = longest.filter(|word| word.contains(|c: char| c.is_ascii_digit()));
    assert!(longest.clone().all(|word| word.len() < 16), "{info}");
}

#[test]
fn a_run_is_summed_up_at_its_end_and_by_info() {
    let folder = folder();
    let loud: Vec<&str> = SMALL.iter().filter(|f| **f != "--quiet").copied().collect();
    let args = [
        "train",
        "--steps=3",
        "--lca-test",
        "--record-params=1",
        "-o",
        "run.h5",
    ];
    let outcome = run(folder.path(), &[&args[..], &loud].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let table = |text: &str| -> String {
        let from = text.find("\nlayer ").expect("a table");
        let to = text[from..].find("of a step").expect("a residual");
        text[from..from + to].to_owned()
    };
    let closing = table(&outcome.stdout);
    for needle in [
        "finished after 3 steps",
        "training loss",
        "full gradients",
        "run.h5",
    ] {
        assert!(outcome.stdout.contains(needle), "{}", outcome.stdout);
    }
    for row in ["fc1", "fc2", "fc3", "sum", "Δloss", "residual"] {
        assert!(closing.contains(&format!("\n{row} ")), "{row}: {closing}");
    }
    for column in [
        "parameters",
        "LCA (nats)",
        "share",
        "help",
        "hurt",
        "of active",
        "flip",
    ] {
        assert!(closing.contains(column), "{column}: {closing}");
    }
    let info = run(folder.path(), &["info", "run.h5"]);
    assert_eq!((info.code, info.stderr.as_str()), (Some(0), ""));
    assert_eq!(table(&info.stdout), closing);
    let facts = [
        "finished",
        "3 of 3",
        "mnist-fc, 84060 parameters",
        "MNIST sample: 600 for training, 100 held out",
        "adaptive, tolerance 0.001",
        "held-out LCA, LCA of all parameters",
    ];
    for fact in facts {
        assert!(info.stdout.contains(fact), "{fact}: {}", info.stdout);
    }
    // The numbers are those of the file.
    let file = RunFile::open(&folder.path().join("run.h5"));
    let total: f64 = file.reals("lca/total").values.iter().sum();
    assert!(
        closing.contains(&format!("{total:+.6}")),
        "{total} {closing}"
    );
    let residual: f64 = file.reals("lca/residual").values.iter().sum();
    assert!(
        closing.contains(&format!("{residual:+.6}")),
        "{residual} {closing}"
    );
}

// ---- configuration files ----

#[test]
fn configuration_files_are_read_and_flags_win() {
    let folder = folder();
    let text = "steps = 2\nseed = 3\ntrain_size = 300\ntest_size = 50\nbatch_size = 100\n\
                quiet = true\nslice_size = 64\noutput = 'from-file.h5'\n\
                [network]\nname = 'tiny'\n[[network.layer]]\nkind = 'linear'\nunits = 10\n";
    fs::write(folder.path().join("run.toml"), text).unwrap();
    let outcome = run(folder.path(), &["train", "--config", "run.toml"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""));
    let read = |name: &str| {
        let file = RunFile::open(&folder.path().join(name));
        let steps = file.counts("state/committed").values[0];
        let size = (file.number("seed"), file.number("slice_size"));
        (file.text("network"), steps, size)
    };
    assert_eq!(read("from-file.h5"), ("tiny".to_owned(), 2, (3, 64)));
    let flags = ["--epochs=1", "--seed=4", "-o", "flags.h5", "mnist-fc"];
    let args = [&["train", "--config", "run.toml"], &flags[..]].concat();
    assert_eq!(run(folder.path(), &args).code, Some(0));
    assert_eq!(read("flags.h5"), ("mnist-fc".to_owned(), 3, (4, 64)));
    // A flag overrides the file.
    let args = ["train", "--config", "run.toml", "--quiet=false", "--force"];
    let outcome = run(folder.path(), &args);
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stdout.contains("finished after 2 steps"));
}

#[test]
fn faults_in_configuration_files_say_where_they_are() {
    let folder = folder();
    let cases: &[(&str, &[&str])] = &[
        ("steps = 3\nbogus = 1", &["line 2", "bogus"]),
        (
            "steps = 3\nlearning-rate = 1",
            &["line 2", "learning-rate", "learning_rate"],
        ),
        ("steps = 'x'", &["line 1", "steps"]),
        ("\n\nsteps = -1", &["line 3"]),
        ("steps = 1\nsteps = 2", &["line 2"]),
        ("steps =", &["line 1"]),
        ("\n[network", &["line 2"]),
        ("\n\noptimizer = 'sdg'", &["line 3", "sgd, adam"]),
        (
            "[network]\nname = 'x'\n[[network.layer]]\nkind = 'liner'",
            &["line 1", "liner"],
        ),
    ];
    for (text, needles) in cases {
        fs::write(folder.path().join("run.toml"), text).unwrap();
        let outcome = run(folder.path(), &["train", "--config", "run.toml"]);
        outcome.fails(2, &[&["run.toml"], *needles].concat());
    }
    let values: &[(&str, &str)] = &[
        ("steps = 0", "--steps 0"),
        ("steps = 1\nepochs = 1", "not both"),
        ("network = 'mnist-cf'", "mnist-fc"),
        ("fps = 0", "--fps 0"),
    ];
    for (text, needle) in values {
        fs::write(folder.path().join("run.toml"), text).unwrap();
        run(folder.path(), &["train", "--config", "run.toml"]).fails(2, &[needle]);
    }
    let config = |name: &str| run(folder.path(), &["train", "--config", name]);
    config("none.toml").fails(2, &["none.toml", "No such file"]);
    config(".").fails(2, &["directory"]);
    fs::write(folder.path().join("bytes"), b"\xff\xfe\x00").unwrap();
    config("bytes").fails(2, &["bytes is neither a TOML file nor a run file"]);
    fs::write(folder.path().join("cut.h5"), b"\x89HDF\r\n\x1a\n").unwrap();
    config("cut.h5").fails(1, &["cut.h5"]);
    assert_eq!(files(folder.path()), ["bytes", "cut.h5", "run.toml"]);
}

// ---- layers with overrides ----

#[test]
fn layer_settings_take_effect_and_the_run_can_be_repeated() {
    let folder = folder();
    let config = "by_class = true\nclass_every = 4\n\
        [layer.fc3]\nfreeze_from = 6\n[layer.'*']\ndelay = 2\nlearning_rate = 0.1";
    fs::write(folder.path().join("run.toml"), config).unwrap();
    let flags = [
        "--config=run.toml",
        "--steps=9",
        "--layer=fc1:delay=0",
        "--layer=fc2*:freeze",
    ];
    let first = RunFile::open(&train(folder.path(), "first.h5", &flags));
    let layer = first.reals("lca/layer");
    for t in 0..9 {
        let moves: Vec<bool> = layer.row(t).iter().map(|&a| a != 0.0).collect();
        assert_eq!(moves, [true, false, (2..6).contains(&t)], "step {t}");
    }
    let classes = first.singles("lca/class_layer");
    for t in 0..9 {
        let due = t % 4 == 0;
        assert!(classes.row(t).iter().all(|a| a.is_nan() != due), "step {t}");
    }
    let train_class = first.reals("loss/train_class");
    assert!(train_class.values.iter().all(|loss| loss.is_finite()));
    let stored = first.text("config");
    let rules = "layer = [\"*:learning-rate=0.1,delay=2\", \"fc3:freeze-from=6\", \"fc1:delay=0\", \
        \"fc2*:freeze\"]";
    assert!(stored.contains(rules), "{stored}");

    let again = |name: &str, more: &[&str]| {
        let flags = [&["--config=first.h5"], more].concat();
        RunFile::open(&train(folder.path(), name, &flags))
    };
    let same = again("again.h5", &[]);
    for path in [
        "lca/layer",
        "lca/class_layer",
        "loss/train",
        "param/lca_sum",
    ] {
        assert!(same.bits(path) == first.bits(path), "{path}");
    }
    let thawed = again("thawed.h5", &["--layer=*:freeze=false", "--by-class=false"]);
    let layer = thawed.reals("lca/layer");
    assert!(layer.row(8).iter().all(|&a| a != 0.0));
    // Another network has other layers.
    fs::write(
        folder.path().join("one.toml"),
        "name = 'one'\n[[layer]]\nkind = 'linear'\nunits = 10\n",
    )
    .unwrap();
    let other = [
        "train",
        "one.toml",
        "--config=first.h5",
        "--quiet",
        "-o",
        "other.h5",
    ];
    run(folder.path(), &other).fails(2, &["--layer fc3", "layers: fc1"]);
}

// ---- signals ----

#[test]
fn signals_end_a_training_after_its_step() {
    let folder = folder();
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let mut training = Training::endless(folder.path(), &format!("{signal}.h5"), &[]);
        let reader = training.reader();
        let seen = training.grown(&reader, 0).committed;
        training.signal(signal);
        let path = training.path.clone();
        let outcome = training.end();
        assert_eq!(outcome.code, Some(code));
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
        drop(reader);
        let end = state(&path);
        assert_eq!((end.status, end.message.as_str()), (Status::Stopped, ""));
        assert!(end.committed >= seen);
        let file = RunFile::open(&path);
        assert_eq!(file.counts("state/status").values, [2]);
        assert_eq!(file.counts("param/step").values, [end.committed]);
        let info = run(folder.path(), &["info", path.to_str().unwrap()]);
        assert!(info.stdout.contains("stopped"), "{}", info.stdout);
    }
}

#[test]
fn a_vanishing_terminal_does_not_end_a_training() {
    let folder = folder();
    let mut training = Training::endless(folder.path(), "run.h5", &[]);
    let reader = training.reader();
    let seen = training.grown(&reader, 0).committed;
    training.signal("HUP");
    let seen = training.grown(&reader, seen).committed;
    training.grown(&reader, seen);
    training.signal("TERM");
    assert_eq!(training.end().code, Some(143));
}

/// `timeout` signals its child, and then the child's group.
#[test]
fn two_signals_at_once_are_one_request_to_stop() {
    let folder = folder();
    let mut training = Training::endless(folder.path(), "run.h5", &[]);
    let reader = training.reader();
    training.grown(&reader, 0);
    training.signal("TERM");
    training.signal("TERM");
    let path = training.path.clone();
    assert_eq!(training.end().code, Some(143));
    let status = reader.refresh().unwrap().status;
    assert_eq!(status, Status::Stopped, "{}", path.display());
}

#[test]
fn without_a_command_and_a_terminal_the_demo_trains_headless() {
    let folder = folder();
    let mut command = lcascope();
    command.current_dir(folder.path());
    let mut demo = Training::start(command, folder.path().join("runs"));
    demo.path = patiently("the demo's run file", || {
        // Its control socket is beside it.
        let runs = fs::read_dir(&demo.path).ok()?;
        let mut paths = runs.map(|run| run.unwrap().path());
        paths.find(|path| path.extension() == Some("h5".as_ref()))
    });
    let name = demo
        .path
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    assert!(name.starts_with("mnist-fc-2"), "{name}");
    assert_eq!(demo.path.extension(), Some("h5".as_ref()));
    let reader = demo.reader();
    assert_eq!(reader.header().planned_steps, 960);
    assert_eq!(reader.header().train_index.len(), 6000);
    demo.grown(&reader, 0);
    demo.signal("TERM");
    let outcome = demo.end();
    assert_eq!(outcome.code, Some(143));
    assert!(
        outcome.stdout.starts_with("stopped after"),
        "{}",
        outcome.stdout
    );
    assert!(outcome.stdout.contains(&name));
}

// ---- pipes ----

#[test]
fn quiet_prints_only_errors() {
    let folder = folder();
    let (command, _) = train_command(folder.path(), "run.h5", &["--steps=2"]);
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, Some(0));
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
}

/// A pipe whose reading end is closed, as left behind by `head`.
fn broken_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_closed_pipe_is_not_a_failure() {
    let folder = folder();
    train(folder.path(), "run.h5", &["--steps=2"]);
    let train = [
        &["train", "--steps=2", "--headless", "-o", "other.h5"],
        &SMALL[1..],
    ]
    .concat();
    for args in [
        &["info", "run.h5"][..],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
        &train,
    ] {
        let mut command = lcascope();
        command.current_dir(folder.path()).args(args);
        let mut child = (command.stdout(broken_pipe()).stderr(Stdio::piped()))
            .spawn()
            .unwrap();
        let mut stderr = String::new();
        let mut pipe = child.stderr.take().unwrap();
        std::io::Read::read_to_string(&mut pipe, &mut stderr).unwrap();
        let code = child.wait().unwrap().code();
        // A training says what it takes.
        let said = stderr.lines().filter(|line| !line.contains(" per step"));
        assert_eq!(
            (code, said.collect::<String>().as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
    let other = state(&folder.path().join("other.h5"));
    assert_eq!(other.status, Status::Finished);

    // An error that nobody can read is still an error, not a panic.
    let mut command = lcascope();
    command.args(["info", "none.h5"]).stderr(broken_pipe());
    assert_eq!(command.status().unwrap().code(), Some(1));
    let mut command = lcascope();
    command.args(["train", "--steps=0"]).stderr(broken_pipe());
    assert_eq!(command.status().unwrap().code(), Some(2));
}

#[test]
fn a_closed_or_full_output_does_not_cost_the_run() {
    let folder = folder();
    let program = env!("CARGO_BIN_EXE_lcascope");
    let shell = |line: &str| {
        let mut command = Command::new("sh");
        command.current_dir(folder.path());
        command.args(["-c", line, program]);
        Outcome::of(command)
    };
    let train = "exec \"$0\" train --headless --train-size=600 --test-size=100 --steps=2";
    let outcome = shell(&format!("{train} -o closed.h5 >&-"));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let closed = state(&folder.path().join("closed.h5"));
    assert_eq!((closed.status, closed.committed), (Status::Finished, 2));
    let outcome = shell(&format!("{train} -o none.h5 <&- >&- 2>&-"));
    assert_eq!(outcome.code, Some(0));
    if Path::new("/dev/full").exists() {
        let outcome = shell(&format!("{train} -o full.h5 >/dev/full"));
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(
            outcome.stderr.contains("error: standard output: No space"),
            "{outcome:?}"
        );
        let full = state(&folder.path().join("full.h5"));
        assert_eq!((full.status, full.committed), (Status::Finished, 2));
    }
    let outcome = shell("\"$0\" info closed.h5 | head -n 1");
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    assert!(outcome.stdout.starts_with("file "));
}

/// More steps than the reader's queue holds: it is waiting to send when the program gives up.
#[test]
fn opening_a_long_run_without_a_terminal_ends() {
    let folder = folder();
    let network = "name = \"one\"\n[[layer]]\nkind = \"linear\"\nunits = 10\n";
    fs::write(folder.path().join("one.toml"), network).unwrap();
    let small = [
        "train",
        "one.toml",
        "--quiet",
        "--train-size=2",
        "--test-size=1",
        "--trace=0",
    ];
    let trained = run(
        folder.path(),
        &[&small[..], &["--steps=9000", "-o", "long.h5"]].concat(),
    );
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    run(folder.path(), &["open", "long.h5"]).fails(1, &["needs a terminal"]);
}

#[test]
fn a_networks_name_cannot_leave_the_folder() {
    let folder = folder();
    for name in ["../x", "", "a b", "a/b"] {
        let network = format!("name = \"{name}\"\n[[layer]]\nkind = \"linear\"\nunits = 10\n");
        fs::write(folder.path().join("net.toml"), network).unwrap();
        run(folder.path(), &["train", "net.toml"]).fails(2, &["invalid network name"]);
    }
}

#[test]
fn a_small_training_set_makes_a_small_mini_batch() {
    let folder = folder();
    let few = [
        "train",
        "--headless",
        "--train-size=40",
        "--test-size=5",
        "--epochs=2",
        "-o",
        "few.h5",
    ];
    let trained = run(folder.path(), &few);
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    assert!(
        trained.stdout.contains("after 2 steps"),
        "{}",
        trained.stdout
    );
    run(folder.path(), &[&few[..5], &["--batch-size=41"]].concat()).fails(2, &["--batch-size 41"]);
}

#[test]
fn a_pipe_is_refused_without_waiting() {
    let folder = folder();
    let pipe = folder.path().join("run.h5");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let pipe = pipe.to_str().unwrap();
    for args in [
        &["info", pipe][..],
        &["verify", pipe],
        &["repair", pipe],
        &["export", pipe, "--view", "layers"],
        &["stop", pipe],
        &["train", "--resume", pipe],
    ] {
        let mut command = lcascope();
        command.current_dir(&folder).args(args);
        Outcome::of(command).fails(1, &["run.h5 is not a regular file"]);
    }
}
