//! `lcascope allocate` along checkpoints of `PyTorch` and Hugging Face, which `tests/golden/checkpoints.py` has written.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::allocate::{OF_THE_PATH, allocate, allocated};
use crate::common::{Outcome, RunFile, lcascope};
use tempfile::{TempDir, tempdir};

/// Memory that a run may use, in KiB. It takes less than a tenth.
const MEMORY_KIB: u64 = 3 << 20;

/// Time in which a file is read or refused.
const PATIENCE: Duration = Duration::from_secs(60);

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/checkpoints")
        .join(name)
}

/// The flags of all these runs, and some more.
fn flags(more: &[&str]) -> Vec<String> {
    let network = golden("tiny.toml").display().to_string();
    let small = [
        network.as_str(),
        "--train-size=60",
        "--test-size=20",
        "--lca-test",
    ];
    small
        .iter()
        .chain(more)
        .map(|&flag| flag.to_owned())
        .collect()
}

#[track_caller]
fn followed(weights: &Path, more: &[&str], output: &Path) -> RunFile {
    let flags = flags(more);
    allocated(
        weights,
        &flags.iter().map(String::as_str).collect::<Vec<_>>(),
        output,
    )
}

#[track_caller]
fn refused(weights: &Path, more: &[&str], code: i32, needles: &[&str]) {
    let output = weights.with_extension("h5");
    let flags = flags(more);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    allocate(weights, &flags, &output).fails(code, needles);
    assert!(!output.exists(), "{needles:?}");
}

#[track_caller]
fn assert_same_path(first: &RunFile, second: &RunFile, what: &str) {
    for name in OF_THE_PATH {
        assert!(
            first.bits(name) == second.bits(name),
            "{what}: {name} differs"
        );
    }
}

fn info(run: &Path) -> String {
    let mut command = lcascope();
    command.arg("info").arg(run);
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    outcome.stdout
}

/// Copies a folder and those in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let at = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &at);
        } else {
            fs::copy(entry.path(), at).unwrap();
        }
    }
}

/// A folder whose points `0.pt` and `1.pt` are both this file.
fn twice(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let weights = folder.path().join("weights");
    fs::create_dir(&weights).unwrap();
    for name in ["0.pt", "1.pt"] {
        fs::write(weights.join(name), bytes).unwrap();
    }
    (folder, weights)
}

#[test]
fn a_path_in_any_form_gets_the_same_allocation_to_the_bit() {
    let folder = tempdir().unwrap();
    let plain = followed(
        &golden("same/safetensors"),
        &[],
        &folder.path().join("plain.h5"),
    );
    let mut forms = 0;
    for (form, points) in [
        (
            "bfloat16",
            ["epoch_0.0.pth", "epoch_0.5.pth", "epoch_1.0.pth"],
        ),
        (
            "float16",
            ["epoch_0.0.pth", "epoch_0.5.pth", "epoch_1.0.pth"],
        ),
        (
            "float64",
            ["epoch_0.0.pth", "epoch_0.5.pth", "epoch_1.0.pth"],
        ),
        (
            "hugging-face",
            ["checkpoint-0", "checkpoint-5", "checkpoint-10"],
        ),
        (
            "lightning",
            [
                "epoch=0-step=0.ckpt",
                "epoch=2-step=5.ckpt",
                "epoch=5-step=10.ckpt",
            ],
        ),
        ("parameters", ["0.pt", "5.pt", "10.pt"]),
        ("shared", ["0.pt", "5.pt", "10.pt"]),
        ("state-dict", ["step_0.pt", "step_5.pt", "step_10.pt"]),
        ("transposed", ["0.bin", "5.bin", "10.bin"]),
        ("wrapped", ["0.pt", "5.pt", "10.pt"]),
    ] {
        let output = folder.path().join(form).with_extension("h5");
        let run = followed(&golden("same").join(form), &[], &output);
        assert_same_path(&plain, &run, form);
        assert_eq!(run.names("course/file"), points, "{form}");
        let order = format!("3 points in this order: {}", points.join(", "));
        let said = info(&output);
        assert!(said.contains(&order), "{said}");
        forms += 1;
    }
    // None is left out, and `safetensors` is the one that they are compared with.
    assert_eq!(fs::read_dir(golden("same")).unwrap().count(), forms + 1);
}

#[test]
fn the_straight_line_between_checkpoints_is_that_between_their_weights() {
    let folder = tempdir().unwrap();
    let line = |form: &str| {
        let output = folder.path().join(form).with_extension("h5");
        followed(&golden("same").join(form), &["--straight=4"], &output)
    };
    let plain = line("safetensors");
    assert_eq!(plain.reals("lca/total").values.len(), 4);
    for (form, ends) in [
        ("state-dict", ["step_0.pt", "step_10.pt"]),
        ("hugging-face", ["checkpoint-0", "checkpoint-10"]),
    ] {
        let run = line(form);
        assert_same_path(&plain, &run, form);
        assert_eq!(run.names("course/file"), ends);
    }
}

const RENAMES: [&str; 3] = [
    "--rename=stem=conv1",
    "--rename=head.=fc",
    "--rename=model.=",
];

#[test]
fn renamed_tensors_are_found_and_the_renaming_is_recorded() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let plain = followed(&golden("same/safetensors"), &[], &at("plain.h5"));
    copy(&golden("renamed"), &at("renamed"));
    let run = followed(&at("renamed"), &RENAMES, &at("run.h5"));
    assert_same_path(&plain, &run, "renamed");
    let config = run.text("config");
    assert!(
        config.contains(r#"rename = ["stem=conv1", "head.=fc", "model.="]"#),
        "{config}"
    );
    let said = info(&at("run.h5"));
    assert!(
        said.contains("tensors renamed stem=conv1, head.=fc, model.=, 3 points"),
        "{said}"
    );
    drop(run);

    // The stored configuration is enough to do it again.
    let again = |command: &str, first: &[&str], output: &str| {
        let mut program = lcascope();
        program.current_dir(folder.path()).arg(command).args(first);
        program.args(["--config=run.h5", "--quiet", "-o", output]);
        let outcome = Outcome::of(program);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert_same_path(&plain, &RunFile::open(&at(output)), command);
    };
    again("allocate", &["renamed"], "allocated.h5");
    again("train", &[], "trained.h5");
}

#[test]
fn a_run_along_renamed_checkpoints_resumes_with_the_same_names() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let whole = followed(&golden("renamed"), &RENAMES, &at("whole.h5"));
    copy(&golden("renamed"), &at("renamed"));
    let middle = at("renamed").join("5.pt");
    // Not a number, in place of the first weight of the average or of the model: their data are in this order.
    let mut bytes = fs::read(&middle).unwrap();
    let weights = fs::read(golden("same/safetensors/step_5.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&weights).unwrap();
    let weight = tensors.tensor("conv1.weight").unwrap();
    let place = bytes
        .windows(72)
        .position(|window| window == weight.data())
        .unwrap();
    bytes[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&middle, &bytes).unwrap();
    let more = flags(&RENAMES);
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let outcome = allocate(&at("renamed"), &more, &at("run.h5"));
    outcome.fails(
        1,
        &["5.pt: the tensor `conv1.weight` has a weight that is NaN"],
    );

    fs::copy(golden("renamed/5.pt"), &middle).unwrap();
    let mut resume = lcascope();
    resume
        .args(["train", "--quiet", "--resume"])
        .arg(at("run.h5"));
    let outcome = Outcome::of(resume);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_same_path(&whole, &RunFile::open(&at("run.h5")), "resumed");
}

#[test]
fn renamings_that_cannot_be_meant_are_refused() {
    let folder = tempdir().unwrap();
    let weights = folder.path().join("renamed");
    copy(&golden("renamed"), &weights);
    let unused = [&RENAMES[..], &["--rename=encoder.=x"]].concat();
    for (renames, code, needles) in [
        (
            &[][..],
            1,
            &[
                "0.pt: has no tensor `conv1.weight` of shape [2, 1, 3, 3]",
                "ema.stem.weight",
                "--rename",
            ][..],
        ),
        (
            &RENAMES[..1],
            1,
            &["no tensor `ema.fc1.weight`", "ema.head.1.weight"],
        ),
        (
            &RENAMES[..2],
            1,
            &["more than once, under ema., model.:", "--rename ema.="],
        ),
        (
            &["--rename=head.1=head.2"],
            1,
            &[
                "--rename head.1=head.2 gives",
                "name of another tensor, `ema.head.2.bias`",
            ],
        ),
        (
            &["--rename=tail=fc"],
            1,
            &[
                "no tensor `conv1.weight`",
                "--rename tail=fc changes no name here",
            ],
        ),
        (
            &unused,
            1,
            &[
                "renamed: --rename encoder.=x has no effect",
                "leave it out, or correct it",
            ],
        ),
        (&["--rename=fc"], 2, &["invalid renaming `fc`", "FROM=TO"]),
        (&["--rename==fc"], 2, &["invalid renaming `=fc`"]),
    ] {
        refused(&weights, renames, code, needles);
    }
    let run = folder.path().join("run.h5");
    followed(&golden("same/safetensors"), &["--record-weights=1"], &run);
    let output = folder.path().join("never.h5");
    let outcome = allocate(&run, &["--rename=a=b"], &output);
    outcome.fails(2, &["--rename a=b", "run.h5", "no names"]);
    // Where nothing is followed, nothing is renamed.
    let config = folder.path().join("config.toml");
    fs::write(&config, "rename = ['a=b']\n").unwrap();
    let mut train = lcascope();
    train
        .args(["train", "--quiet", "--steps=1", "--config"])
        .arg(&config)
        .arg("-o")
        .arg(&output);
    Outcome::of(train).fails(2, &["`rename` needs `course`"]);
    fs::write(&config, "rename = ['a']\n").unwrap();
    let mut train = lcascope();
    train
        .args(["train", "--quiet", "--steps=1", "--config"])
        .arg(&config)
        .arg("-o")
        .arg(&output);
    Outcome::of(train).fails(2, &["config.toml", "invalid renaming `a`"]);
}

#[test]
fn files_that_are_not_state_dicts_are_refused_and_no_code_in_them_is_run() {
    let again = "torch.save(model.state_dict(), \"step_1.pt\")";
    let cases = [
        (
            "command",
            &[
                "the tensor `fc1.weight` is not a plain tensor but made by posix.system, which is not called",
            ][..],
        ),
        (
            "integers",
            &[
                "the tensor `conv1.weight` has numbers of type I64",
                "F64, F32, F16 or BF16",
                ".float()",
            ],
        ),
        ("list", &["contains no state dict", again]),
        (
            "module",
            &[
                "contains an object of __main__.Net, which is not created",
                again,
            ],
        ),
        (
            "old",
            &[
                "is a Python pickle, as torch.save wrote before PyTorch 1.6",
                "write it again",
            ],
        ),
        (
            "outermost",
            &[
                "contains an object of posix.system, which is not created",
                again,
            ],
        ),
        (
            "script",
            &["is a TorchScript archive", "torch.jit.load", again],
        ),
        (
            "sparse",
            &[
                "the tensor `fc1.weight` is not a plain tensor",
                "_rebuild_sparse_tensor",
                ".to_dense()",
            ],
        ),
        (
            "twice",
            &["more than once, under ema., model.:", "--rename ema.="],
        ),
    ];
    assert_eq!(
        fs::read_dir(golden("refused")).unwrap().count(),
        cases.len()
    );
    for (name, needles) in cases {
        let bytes = fs::read(golden("refused").join(name).with_extension("pt")).unwrap();
        let (folder, weights) = twice(&bytes);
        let first = [&["weights/0.pt: "], needles].concat();
        refused(&weights, &[], 1, &first);
        // The commands in these files would leave something here.
        let mut program = lcascope();
        program
            .current_dir(folder.path())
            .args(["allocate", "weights", "-q", "-o", "run.h5"])
            .args(flags(&[]));
        assert_eq!(Outcome::of(program).code, Some(1));
        assert!(!folder.path().join("executed").exists(), "{name}");
    }
    let choice = ["--rename=model.="];
    let (folder, weights) = twice(&fs::read(golden("refused/twice.pt")).unwrap());
    followed(&weights, &choice, &folder.path().join("chosen.h5"));
    // A command beside the weights stays where it is.
    let mut program = lcascope();
    program
        .current_dir(folder.path())
        .arg("allocate")
        .arg(golden("beside"))
        .args(["-q", "-o", "run.h5"]);
    let outcome = Outcome::of({
        program.args(flags(&[]));
        program
    });
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(!folder.path().join("executed").exists());
}

#[test]
fn a_model_in_several_files_is_read_only_from_files_beside_its_index() {
    let folder = tempdir().unwrap();
    let index = "checkpoint-5/model.safetensors.index.json";
    let shard = "model-00002-of-00002.safetensors";
    let text = fs::read_to_string(golden("same/hugging-face").join(index)).unwrap();
    let weights = folder.path().join("weights");
    let replaced = |from: &str, to: &str| text.replacen(from, to, 1);
    for (changed, needles) in [
        (
            "{}".to_owned(),
            &[
                "model.safetensors.index.json: is not the index of a model",
                "weight_map",
            ][..],
        ),
        (
            "[".to_owned(),
            &["is not the index of a model in several files"],
        ),
        (
            replaced(shard, "../other.safetensors"),
            &["`../other.safetensors`, which is not the name of a file beside it"],
        ),
        (
            replaced(shard, "/etc/passwd"),
            &["`/etc/passwd`, which is not the name of a file beside it"],
        ),
        (
            replaced(shard, ".."),
            &["`..`, which is not the name of a file beside it"],
        ),
        (
            replaced(shard, "none.safetensors"),
            &["none.safetensors: cannot be read"],
        ),
        (
            replaced(shard, "model.safetensors.index.json"),
            &["is the index of a model"],
        ),
        (
            replaced("fc2.bias", "fc3.bias"),
            &[
                "00002.safetensors: has no tensor `fc3.bias`, against",
                "copy or download both",
            ],
        ),
    ] {
        let _ = fs::remove_dir_all(&weights);
        copy(&golden("same/hugging-face"), &weights);
        fs::write(weights.join(index), changed).unwrap();
        refused(&weights, &[], 1, &[&["checkpoint-5/"], needles].concat());
    }
}

/// An archive with these entries, as `torch.save` names them.
fn archive(pickle: &[u8], data: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", data)] {
        archive.start_file(name, stored).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Follows the weights in little memory; returns the outcome: the middle file is read or refused.
fn limited(weights: &Path, what: &str) -> Outcome {
    let output = weights.with_extension("h5");
    let _ = fs::remove_file(&output);
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\""));
    shell
        .arg(lcascope().get_program())
        .arg("allocate")
        .arg(weights)
        .args(flags(&["--quiet", "-o"]))
        .arg(output);
    let began = Instant::now();
    let outcome = Outcome::of(shell);
    assert!(began.elapsed() < PATIENCE, "{what}: {:?}", began.elapsed());
    if outcome.code != Some(0) {
        assert_eq!(outcome.code, Some(1), "{what}: {outcome:?}");
        assert!(outcome.stderr.contains("5.pt"), "{what}: {outcome:?}");
        assert!(
            outcome.stderr.len() < 1 << 16,
            "{what}: {} bytes",
            outcome.stderr.len()
        );
    }
    outcome
}

#[test]
fn damaged_and_hostile_files_neither_crash_nor_hang_nor_fill_the_memory() {
    let folder = tempdir().unwrap();
    let weights = folder.path().join("weights");
    copy(&golden("same/state-dict"), &weights);
    let middle = weights.join("step_5.pt");
    let whole = fs::read(&middle).unwrap();
    assert_eq!(limited(&weights, "whole").code, Some(0));
    let mut read = 0;
    for part in 0..24 {
        let end = whole.len() * part / 24;
        fs::write(&middle, &whole[..end]).unwrap();
        assert_eq!(limited(&weights, &format!("{end} bytes")).code, Some(1));
    }
    // Every 67th byte: 67 is prime to the lengths of all records.
    for at in (0..whole.len()).step_by(67) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(&middle, bytes).unwrap();
        read += u32::from(limited(&weights, &format!("byte {at}")).code == Some(0));
    }
    // Some bytes are numbers or of no use, most are not.
    assert!((1..40).contains(&read), "{read}");

    for (what, pickle, needle) in hostile_pickles() {
        fs::write(&middle, archive(&pickle, &[0; 4])).unwrap();
        let outcome = limited(&weights, what);
        assert!(outcome.stderr.contains(needle), "{what}: {outcome:?}");
    }
    let directory = "is a damaged or truncated zip archive (its directory is too long)";
    write_hole(&middle);
    limited(&weights, "a hole").fails(1, &[directory]);
}

/// A pickle in which all tensors of the network are the same one, with these axes and strides.
fn tensors(axes: &[u8], strides: &[u8]) -> Vec<u8> {
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ";
    let start = b"\x80\x02}ctorch._utils\n_rebuild_tensor_v2\n(";
    let tensor = [&start[..], storage, b"K\0", axes, strides, b"tRq\x020"].concat();
    let names = [
        "conv1.weight",
        "conv1.bias",
        "fc1.weight",
        "fc1.bias",
        "fc2.weight",
        "fc2.bias",
    ];
    let set = names.map(|name| {
        [
            b"\x8c",
            &[u8::try_from(name.len()).unwrap()],
            name.as_bytes(),
            b"h\x02s",
        ]
        .concat()
    });
    [&tensor[..], &set.concat(), b"."].concat()
}

/// Pickles that would take much memory or time: what they do, and what is said about them.
fn hostile_pickles() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let repeated = |unit: &[u8], times: usize, end: &[u8]| {
        [&b"\x80\x02}X\x01\0\0\0aN"[..], &unit.repeat(times), end].concat()
    };
    let huge = [b"\x8a\x08".as_slice(), &i64::MAX.to_le_bytes()].concat();
    let one = [&huge[..], b"\x85"].concat();
    let two = [&huge[..], &huge, b"\x86"].concat();
    let many = [b"(", &b"K\x01".repeat(1000)[..], b"tq\x05"].concat();
    let long = [b'\x01'; 255];
    let names =
        (0_u32..1 << 16).flat_map(|k| [b"U\x04".as_slice(), &k.to_le_bytes(), b"h\x01s"].concat());
    let calls = [
        b"\x80\x02}c",
        &long[..],
        b"\n",
        &long,
        b"\n)Rq\x010",
        &names.collect::<Vec<_>>()[..],
        b".",
    ];
    vec![
        (
            "values",
            repeated(b"N", 12 << 20, b"s."),
            "too many values at a time",
        ),
        (
            "tuples in tuples",
            repeated(b"\x85", 12 << 20, b"s."),
            "no named tensors",
        ),
        (
            "each twice",
            repeated(b"q\0h\0\x86", 3 << 20, b"s."),
            "no named tensors",
        ),
        (
            "a dictionary in itself",
            repeated(b"sq\0U\x01ah\0", 1 << 20, b"s."),
            "no named tensors",
        ),
        (
            "classes",
            repeated(b"c\n\n0", 3 << 20, b"s."),
            "no named tensors",
        ),
        (
            "too much",
            repeated(b"N0", 12 << 20, b"s."),
            "has 25 MiB beside its tensors, and up to 16 are read",
        ),
        ("a long text", repeated(b"\x8d", 9, b"s."), "ends early"),
        (
            "a large tensor",
            tensors(&one, b"K\x01\x85"),
            "is larger than its data in the file",
        ),
        (
            "the same number again",
            tensors(&one, b"K\0\x85"),
            "has shape [9223372036854775807]",
        ),
        (
            "their product",
            tensors(&two, b"K\0K\0\x86"),
            "is larger than its data in the file",
        ),
        (
            "long strides",
            tensors(b"K\x02K\x02\x86", &two),
            "is larger than its data in the file",
        ),
        (
            "many axes",
            tensors(&many, b"h\x05"),
            "`conv1.weight` is damaged",
        ),
        (
            "many long messages",
            calls.concat(),
            "has too many and too long names of tensors",
        ),
    ]
}

/// Writes an archive that claims a directory of many gigabytes, in a file that is mostly a hole.
fn write_hole(path: &Path) {
    let file = fs::File::create(path).unwrap();
    file.set_len(1 << 40).unwrap();
    let place = 1_u64 << 39 | 128;
    let count = (1_u64 << 32).to_le_bytes();
    let (size, start) = ((1_u64 << 39).to_le_bytes(), 64_u64.to_le_bytes());
    let large = [
        b"PK\x06\x06",
        &44_u64.to_le_bytes()[..],
        &[0; 12],
        &count,
        &count,
        &size,
        &start,
    ]
    .concat();
    let locator = [
        b"PK\x06\x07",
        &[0; 4][..],
        &place.to_le_bytes(),
        &1_u32.to_le_bytes(),
    ]
    .concat();
    let end = [b"PK\x05\x06", &[0; 4][..], &[0xff; 12], &[0; 2]].concat();
    file.write_all_at(b"PK\x03\x04", 0).unwrap();
    file.write_all_at(&large, place).unwrap();
    file.write_all_at(&[locator, end].concat(), (1 << 40) - 42)
        .unwrap();
}
