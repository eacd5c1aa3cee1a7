//! Data sets through the public interface: the embedded sample, IDX folders good and bad,
//! splits and mini-batches. The other formats are in formats.rs.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use lcascope::data::{
    BatchPosition, Batches, DataError, DataSource, Dataset, Examples, Split, SplitSizes, load,
};
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, mknodat};
use tempfile::TempDir;

const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];
const TRAIN_IMAGES: usize = 0;
const TRAIN_LABELS: usize = 1;
const TEST_IMAGES: usize = 2;
const TEST_LABELS: usize = 3;

// ---- the embedded sample and the full MNIST ----

#[test]
fn embedded_sample_is_whole_and_balanced() {
    let data = load(&DataSource::Embedded).unwrap();
    assert_eq!(data.name, "MNIST sample");
    assert_eq!(data.shape, [1, 28, 28]);
    assert_eq!(data.classes.join(" "), "0 1 2 3 4 5 6 7 8 9");
    // Computed with Python's gzip and hashlib from the files in assets/mnist.
    assert_eq!(
        data.sha256,
        "5d600f56a9059f04b8ec2b0d31b90bcc51f3f5221eb0d6f22dfaac490f38f7f7"
    );
    for (examples, a_class) in [(&data.train, 600), (&data.test, 100)] {
        assert_eq!(examples.len(), 10 * a_class);
        assert_eq!(examples.features(), 784);
        assert_eq!(examples.inputs.len(), 784 * examples.len());
        let mut counts = [0; 10];
        for &label in &examples.labels {
            counts[usize::from(label)] += 1;
        }
        assert_eq!(counts, [a_class; 10]);
        assert!(examples.inputs.iter().all(|x| (0.0..=1.0).contains(x)));
        assert!(examples.inputs.contains(&0.0) && examples.inputs.contains(&1.0));
    }
}

#[test]
fn full_mnist_is_read_if_available() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/mnist");
    if !folder.is_dir() {
        crate::common::skip::skipped("../shared/data/mnist is not here");
        return;
    }
    let data = load(&DataSource::Path(folder)).unwrap();
    assert_eq!(data.name, "mnist (IDX)");
    assert_eq!((data.train.len(), data.test.len()), (60_000, 10_000));
    assert_eq!(data.train.labels[..5], [5, 0, 4, 1, 9]);
    assert_eq!(data.test.labels[..5], [7, 2, 1, 0, 4]);
    // Computed with Python's gzip and hashlib.
    assert_eq!(
        data.sha256,
        "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
    );
}

// ---- examples ----

#[test]
fn rows_can_be_selected() {
    let examples = Examples::new(vec![0.0, 0.2, 1.0, 0.1, 0.3, 0.4], vec![7, 8, 9], 2).unwrap();
    assert!(!examples.is_empty());
    assert_eq!(examples.input(1), [1.0, 0.1]);
    let chosen = examples.select(&[2, 0, 2]);
    assert_eq!(chosen.labels, [9, 7, 9]);
    assert_eq!(chosen.features(), 2);
    assert_eq!(chosen.input(2), examples.input(2));
    assert!(examples.select(&[]).is_empty());
}

#[test]
fn examples_of_ill_fitting_lengths_are_refused() {
    for (values, labels, features) in [(5, 3, 2), (0, 3, 0), (4, 2, usize::MAX)] {
        let refused = Examples::new(vec![0.0; values], vec![0; labels], features).unwrap_err();
        assert!(matches!(refused, DataError::Shape { .. }), "{refused}");
    }
}

// ---- IDX folders ----

/// The bytes of the four files, in the order of `NAMES`.
type Files = [Vec<u8>; 4];

fn images(count: u32, height: u32, width: u32, pixels: &[u8]) -> Vec<u8> {
    let header = [0x0803, count, height, width].map(u32::to_be_bytes);
    [header.as_flattened(), pixels].concat()
}

fn labels(count: u32, labels: &[u8]) -> Vec<u8> {
    let header = [0x0801, count].map(u32::to_be_bytes);
    [header.as_flattened(), labels].concat()
}

/// Three training and two test images of 2 × 1 pixels.
fn tiny() -> Files {
    [
        images(3, 2, 1, &[0, 51, 102, 153, 204, 255]),
        labels(3, &[0, 9, 1]),
        images(2, 2, 1, &[5, 6, 7, 8]),
        labels(2, &[2, 3]),
    ]
}

/// Compresses bytes, with header and checksum.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Writes the files into `folder`, with `ending` appended to each name.
fn write(folder: &Path, files: &Files, ending: &str) {
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in NAMES.iter().zip(files) {
        fs::write(folder.join(format!("{name}{ending}")), bytes).unwrap();
    }
}

fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn load_folder(folder: &Path) -> Result<Dataset, DataError> {
    load(&DataSource::Path(folder.to_owned()))
}

fn load_files(files: &Files) -> Result<Dataset, DataError> {
    let folder = temp();
    write(folder.path(), files, "");
    load_folder(folder.path())
}

/// The error message for `tiny()` with one file replaced; it must name that file.
#[track_caller]
fn refusal_with(file: usize, bytes: Vec<u8>) -> String {
    let mut files = tiny();
    files[file] = bytes;
    let message = load_files(&files).unwrap_err().to_string();
    assert!(message.contains(NAMES[file]), "{message}");
    message
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no “{part}” in “{message}”");
    }
}

#[test]
fn tiny_folder_is_read() {
    let data = load_files(&tiny()).unwrap();
    assert_eq!(data.shape, [1, 2, 1]);
    assert_eq!(data.classes.len(), 10);
    assert_eq!(data.train.labels, [0, 9, 1]);
    assert_eq!(data.train.input(2), [204.0 / 255.0, 1.0]);
    assert_eq!(data.test.labels, [2, 3]);
    // printf '\x00\x33\x66\x99\xcc\xff\x00\x09\x01\x05\x06\x07\x08\x02\x03' | sha256sum
    assert_eq!(
        data.sha256,
        "89b01ccc4df4ada2996879fcdad693d7b3f1fcd62cf5f2573605f9936b1b8eb5"
    );
}

#[test]
fn plain_gzip_and_dotted_names_give_equal_data() {
    let folder = temp();
    let below = |name: &str| folder.path().join(name).join("digits");
    let packed = tiny().map(|bytes| gzip(&bytes));
    write(&below("plain"), &tiny(), "");
    write(&below("gzip"), &packed, ".gz");
    write(&below("gzip without .gz"), &packed, "");
    write(&below("plain named .gz"), &tiny(), ".gz");
    for (name, bytes) in NAMES.iter().zip(tiny()) {
        fs::create_dir_all(below("dotted")).unwrap();
        let dotted = name.replace("-idx", ".idx");
        fs::write(below("dotted").join(dotted), bytes).unwrap();
    }

    let plain = load_folder(&below("plain")).unwrap();
    assert_eq!(plain.name, "digits (IDX)");
    for kind in ["gzip", "gzip without .gz", "plain named .gz", "dotted"] {
        assert!(load_folder(&below(kind)).unwrap() == plain, "{kind}");
    }
}

#[test]
fn torchvision_folders_are_found() {
    for name in ["MNIST", "FashionMNIST", "KMNIST"] {
        let folder = temp();
        let raw = folder.path().join(name).join("raw");
        write(&raw, &tiny(), "");
        // torchvision keeps the downloads beside the unpacked files, which take precedence.
        write(&raw, &[vec![], vec![], vec![], vec![]], ".gz");
        for given in [folder.path(), raw.parent().unwrap(), &raw] {
            let data = load_folder(given).unwrap();
            assert_eq!(data.name, format!("{name} (IDX)"));
            assert_eq!(data.train.len(), 3);
        }
    }
}

#[test]
fn fashion_classes_have_names() {
    let folder = temp();
    let classes = |name: &str| {
        write(&folder.path().join(name), &tiny(), "");
        load_folder(&folder.path().join(name)).unwrap().classes
    };
    assert_eq!(classes("digits").join(" "), "0 1 2 3 4 5 6 7 8 9");
    for name in ["FashionMNIST/raw", "fashion", "data/my-FASHION-mnist"] {
        let classes = classes(name);
        assert_eq!(classes.len(), 10);
        assert_eq!([&classes[0], &classes[9]], ["T-shirt/top", "Ankle boot"]);
    }
}

/// Writes the files of a data set under other names: with a prefix, and another name for the test files.
fn write_named(folder: &Path, files: &Files, prefix: &str, test: &str, ending: &str) {
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in NAMES.iter().zip(files) {
        let name = name.replace("t10k", test);
        fs::write(folder.join(format!("{prefix}{name}{ending}")), bytes).unwrap();
    }
}

/// `tiny()` with other labels.
fn tiny_labelled(train: [u8; 3], test: [u8; 2]) -> Files {
    let [train_images, _, test_images, _] = tiny();
    [
        train_images,
        labels(3, &train),
        test_images,
        labels(2, &test),
    ]
}

#[test]
fn emnist_is_read_as_distributed() {
    // Split, highest label, place: the archive's folder, torchvision's, any other.
    for (split, highest, place, first, last) in [
        ("byclass", 61, "gzip", "0", "z"),
        ("bymerge", 46, "EMNIST/raw", "0", "t"),
        ("balanced", 46, "emnist", "0", "t"),
        ("letters", 26, "data", "N/A", "z"),
        ("digits", 9, "EMNIST/raw", "0", "9"),
        ("mnist", 9, "gzip", "0", "9"),
    ] {
        let folder = temp();
        let place = folder.path().join(place);
        let files = tiny_labelled([1, 2, highest], [3, 4]);
        write_named(
            &place,
            &files.map(|bytes| gzip(&bytes)),
            &format!("emnist-{split}-"),
            "test",
            ".gz",
        );
        fs::write(place.join(format!("emnist-{split}-mapping.txt")), "0 48").unwrap();
        for given in [&place, folder.path()] {
            if given == folder.path()
                && !["gzip", "EMNIST/raw"]
                    .iter()
                    .any(|end| place.ends_with(end))
            {
                continue;
            }
            let data = load_folder(given).unwrap();
            assert_eq!(data.name, format!("emnist-{split} (IDX)"));
            assert_eq!(data.classes.len(), usize::from(highest) + 1, "{split}");
            let ends = [data.classes.first(), data.classes.last()];
            assert_eq!(ends.map(Option::unwrap), [first, last], "{split}");
            assert_eq!(data.train.labels, [1, 2, highest]);
            assert_eq!(data.test.input(0), [5.0 / 255.0, 6.0 / 255.0]);
        }
    }
}

#[test]
fn a_file_selects_one_of_several_data_sets_in_a_folder() {
    let folder = temp();
    let path = folder.path();
    for (prefix, highest) in [("emnist-letters-", 26), ("emnist-byclass-", 61), ("", 9)] {
        let files = tiny_labelled([0, 1, highest], [2, 3]);
        let test = if prefix.is_empty() { "t10k" } else { "test" };
        write_named(path, &files, prefix, test, "");
    }
    let message = load_folder(path).unwrap_err().to_string();
    assert_says(
        &message,
        &[
            "IDX files in ",
            "emnist-byclass-train-images-idx3-ubyte and ",
            "emnist-letters-train-images-idx3-ubyte",
            "give the intended one (of several files, any)",
        ],
    );
    for (file, classes) in [
        ("emnist-letters-train-images-idx3-ubyte", 27),
        ("emnist-byclass-test-labels-idx1-ubyte", 62),
        ("t10k-images-idx3-ubyte", 10),
    ] {
        let data = load_folder(&path.join(file)).unwrap();
        assert_eq!(data.classes.len(), classes, "{file}");
    }
    // One of them is incomplete.
    fs::remove_file(path.join("emnist-letters-test-labels-idx1-ubyte")).unwrap();
    let file = path.join("emnist-letters-train-labels-idx1-ubyte");
    assert_says(
        &load_folder(&file).unwrap_err().to_string(),
        &["emnist-letters-test-labels-idx1-ubyte is missing in"],
    );
}

#[test]
fn labels_of_qmnist_are_read() {
    let wide = |labels: &[i32]| {
        let count = u32::try_from(labels.len()).unwrap();
        let header = [0x0c02, count, 8].map(u32::to_be_bytes);
        let rows = labels
            .iter()
            .map(|&label| [label, 4, 259, 35, 1, 77, 0, 0].map(i32::to_be_bytes));
        [
            header.as_flattened(),
            rows.collect::<Vec<_>>().as_flattened().as_flattened(),
        ]
        .concat()
    };
    let folder = temp();
    let raw = folder.path().join("QMNIST/raw");
    let write = |train: &[i32]| {
        let files = [
            tiny()[0].clone(),
            wide(train),
            tiny()[2].clone(),
            wide(&[2, 3]),
        ];
        fs::create_dir_all(&raw).unwrap();
        for (name, bytes) in NAMES.iter().zip(files) {
            let name = name
                .replace("t10k", "test")
                .replace("idx1-ubyte", "idx2-int");
            fs::write(raw.join(format!("qmnist-{name}.gz")), gzip(&bytes)).unwrap();
        }
        load_folder(folder.path())
    };
    let data = write(&[0, 9, 1]).unwrap();
    assert_eq!(data.name, "qmnist (IDX)");
    assert_eq!(
        (data.train.labels, data.test.labels),
        (vec![0, 9, 1], vec![2, 3])
    );
    assert_says(
        &write(&[0, 9, 256]).unwrap_err().to_string(),
        &["row 2", "label 256"],
    );
    assert_says(
        &write(&[0, -1, 2]).unwrap_err().to_string(),
        &["row 1", "label -1"],
    );
    assert_says(
        &write(&[0, 9]).unwrap_err().to_string(),
        &["has 3 images but", "has 2 labels"],
    );
}

#[test]
fn gzip_may_have_several_members_and_trailing_zeros() {
    let [bytes, ..] = tiny();
    let (start, end) = bytes.split_at(11);
    let members = [gzip(start), gzip(end)].concat();
    let padded = |zeros: usize| [gzip(&bytes), vec![0; zeros]].concat();
    let between = [gzip(start), vec![0; 512], gzip(end), vec![0; 1]].concat();
    for packed in [members, padded(1), padded(512), padded(100_000), between] {
        let mut files = tiny();
        files[TRAIN_IMAGES] = packed;
        let data = load_files(&files).unwrap();
        assert_eq!(data.sha256, load_files(&tiny()).unwrap().sha256);
    }
    for tail in [&b"\0\0and more"[..], b"\0\x1f", b"\x1f\x8b\x08"] {
        let message = refusal_with(TRAIN_IMAGES, [&gzip(&bytes), tail].concat());
        assert_says(&message, &["damaged gzip data after"]);
    }
}

#[test]
fn hidden_files_are_ignored() {
    let folder = temp();
    let junk = [(); 4].map(|()| b"\0\x05\x16\x07\0\x02\0\0Mac OS X".to_vec());
    write(folder.path(), &tiny(), "");
    write_named(folder.path(), &junk, "._", "t10k", "");
    assert_eq!(load_folder(folder.path()).unwrap(), {
        let plain = folder.path().join("plain");
        write(&plain, &tiny(), "");
        let mut data = load_folder(&plain).unwrap();
        data.name = load_folder(folder.path()).unwrap().name;
        data
    });
    // On their own they are not a data set either.
    let alone = folder.path().join("alone");
    write_named(&alone, &junk, "._", "t10k", "");
    let message = load_folder(&alone).unwrap_err().to_string();
    assert_says(
        &message,
        &["no data set in", "It contains: ._t10k-images-idx3-ubyte, "],
    );
}

#[cfg(unix)]
#[test]
fn dangling_links_are_reported_as_links() {
    use std::os::unix::fs::symlink;
    fn told(name: &str) -> [&str; 4] {
        [
            name,
            "is a link to ../.git/annex",
            "cannot be opened",
            "git annex get",
        ]
    }
    let folder = temp();
    let path = folder.path().join("annex");
    let link = |name: &str, target: &str| {
        let _ = fs::remove_file(path.join(name));
        symlink(target, path.join(name)).unwrap();
        load_folder(&path)
    };
    write(&path, &tiny(), "");
    let object = "../.git/annex/objects/Xq/8j/MD5E-s9/MD5E-s9";
    for name in NAMES {
        let message = link(name, object).unwrap_err().to_string();
        assert_says(&message, &told(name));
        // The compressed file exists, so the link is not needed.
        let packed = path.join(format!("{name}.gz"));
        let file = NAMES.iter().position(|other| *other == name).unwrap();
        fs::write(&packed, gzip(&tiny()[file])).unwrap();
        assert!(load_folder(&path).is_ok(), "{name}");
    }
    for (name, target) in [
        ("a.npz", object),
        ("x_train.npy", object),
        ("data_batch_1.bin", object),
    ] {
        let place = folder.path().join(name.replace('.', "-"));
        fs::create_dir(&place).unwrap();
        if name == "data_batch_1.bin" {
            fs::write(place.join("test_batch.bin"), [0; 3073]).unwrap();
        }
        symlink(target, place.join(name)).unwrap();
        assert_says(&load_folder(&place).unwrap_err().to_string(), &told(name));
    }
    let itself = folder.path().join("data");
    symlink("/nowhere/at/all", &itself).unwrap();
    assert_says(
        &load_folder(&itself).unwrap_err().to_string(),
        &["data is a link to /nowhere/at/all, which cannot be opened"],
    );
    let circle = folder.path().join("circle");
    symlink("circle", &circle).unwrap();
    assert_says(
        &load_folder(&circle).unwrap_err().to_string(),
        &["circle is a link to circle"],
    );
}

#[test]
fn folder_faults_are_named() {
    let folder = temp();
    let path = folder.path();
    let refusal = |path: &Path| load_folder(path).unwrap_err().to_string();

    let missing = path.join("no such folder");
    assert_says(
        &refusal(&missing),
        &["no such folder does not exist; give the folder or the .npz file with the data set"],
    );
    assert_says(&refusal(Path::new("")), &["does not exist"]);
    assert_says(
        &refusal(path),
        &["is empty; put a data set there", NAMES[0], "MNIST/raw"],
    );

    fs::write(path.join("notes.txt"), "not data").unwrap();
    assert_says(
        &refusal(&path.join("notes.txt")),
        &["is neither a folder nor an .npz file"],
    );
    assert_says(&refusal(path), &["no data set in", "looked for"]);
    assert_says(&refusal(path), &NAMES);
    // A folder named like a file is not a file.
    fs::create_dir(path.join(NAMES[0])).unwrap();
    assert_says(&refusal(path), &["no data set in"]);

    for name in ["MNIST", "FashionMNIST"] {
        write(&path.join(name).join("raw"), &tiny(), "");
    }
    assert_says(
        &refusal(path),
        &["MNIST/raw and ", "FashionMNIST/raw; give the intended one"],
    );
}

#[test]
fn a_missing_file_is_named() {
    for name in NAMES {
        let folder = temp();
        write(folder.path(), &tiny(), "");
        fs::remove_file(folder.path().join(name)).unwrap();
        let message = load_folder(folder.path()).unwrap_err().to_string();
        assert_says(&message, &[name, "is missing in", "plain or .gz"]);
        let pipe = folder.path().join(name);
        let mode = rustix::fs::Mode::RUSR;
        mknodat(CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
        let error = load_folder(folder.path()).unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert_says(&error.to_string(), &["cannot read", name]);
        assert_says(&why, &["not a regular file"]);
    }
}

#[test]
fn wrong_magic_numbers_are_told_apart() {
    let cases: [(&[u8], &str); 8] = [
        (b"<!DOCTYPE html>", "0x3c21444f (an HTML page)"),
        (
            b"version https://git-lfs",
            "0x76657273 (a Git LFS pointer: get the file with git lfs pull)",
        ),
        (
            b"/annex/objects/MD5E-s9",
            "(a git-annex pointer: get the file with git annex get",
        ),
        (b"magic, but of no kind", "(text)"),
        (&gzip(&gzip(b"IDX")), "(gzip inside gzip)"),
        (&labels(3, &[0, 0, 0]), "0x00000801 (an IDX file of labels)"),
        (
            &[0, 0, 0x0d, 3, 0, 0],
            "0x00000d03 (IDX of an unexpected type",
        ),
        (&[0xff; 30], "0xffffffff (of an unknown format)"),
    ];
    for (bytes, found) in cases {
        let message = refusal_with(TRAIN_IMAGES, bytes.to_vec());
        assert_says(&message, &[found, "expected 0x00000803; replace it"]);
    }
    let message = refusal_with(TEST_LABELS, images(2, 1, 1, &[1, 2]));
    assert_says(
        &message,
        &["(an IDX file of images), expected 0x00000801; replace it"],
    );
}

#[test]
fn short_and_long_files_are_refused() {
    let short = images(3, 2, 1, &[1, 2, 3, 4]);
    for bytes in [gzip(&short), short] {
        assert_says(
            &refusal_with(TRAIN_IMAGES, bytes),
            &[
                "truncated: header says 3 images of 2x1 = 6 bytes, but the file has 4; download it again",
            ],
        );
    }
    assert_says(
        &refusal_with(TEST_LABELS, labels(2, &[1])),
        &["truncated: header says 2 labels = 2 bytes, but the file has 1"],
    );
    let long = labels(3, &[1, 2, 3, 4]);
    for bytes in [gzip(&long), long] {
        assert_says(
            &refusal_with(TRAIN_LABELS, bytes),
            &["header says 3 labels = 3 bytes, but more bytes follow"],
        );
    }
    for length in 0..16 {
        let message = refusal_with(TEST_IMAGES, tiny()[TEST_IMAGES][..length].to_vec());
        let expected = format!("contains {length} bytes, too few for an IDX header of 16");
        assert_says(&message, &[&expected]);
    }
}

#[test]
fn damaged_gzip_is_refused() {
    let whole = gzip(&tiny()[TRAIN_IMAGES]);
    let mut wrong_checksum = whole.clone();
    wrong_checksum[whole.len() - 8] ^= 1;
    let mut bad_stream = whole.clone();
    bad_stream[10] ^= 0xff;
    let without_end = whole[..whole.len() - 3].to_vec();
    let with_tail = [&whole[..], b"and more"].concat();
    for bytes in [wrong_checksum, bad_stream, without_end, with_tail] {
        assert_says(
            &refusal_with(TRAIN_IMAGES, bytes),
            &["damaged gzip data after", "download it again"],
        );
    }
}

#[test]
fn a_gzip_bomb_is_cut_off() {
    // 64 MiB of zeros in 0.3 MB after a header of 3 images; only one byte too many is unpacked.
    let zeros = vec![0; 64 << 20];
    let bomb = gzip(&images(3, 2, 1, &zeros));
    assert_says(
        &refusal_with(TRAIN_IMAGES, bomb),
        &["= 6 bytes, but more bytes follow"],
    );
    // The largest possible header, so that the bomb looks plausible.
    for bytes in [
        images(u32::MAX, 256, 256, &[]),
        gzip(&images(u32::MAX, 256, 256, &zeros)),
    ] {
        assert_says(
            &refusal_with(TRAIN_IMAGES, bytes),
            &[
                "4294967295 images of 256x256 = 281474976645120 bytes",
                "more than the limit of 1073741824; use a smaller data set",
            ],
        );
    }
    assert_says(
        &refusal_with(TEST_LABELS, labels(u32::MAX, &[])),
        &["4294967295 labels", "more than the limit"],
    );
}

#[test]
fn absurd_dimensions_are_refused() {
    assert_says(
        &refusal_with(TEST_IMAGES, images(0, 2, 1, &[])),
        &["header says 0 images; a data set needs at least one"],
    );
    assert_says(
        &refusal_with(TEST_LABELS, labels(0, &[])),
        &["header says 0 labels"],
    );
    for (height, width) in [(0, 28), (28, 0), (257, 256), (u32::MAX, u32::MAX)] {
        let expected = format!("images of {height}x{width}, but an image has 1 to 65536 pixels");
        let message = refusal_with(TRAIN_IMAGES, images(1, height, width, &[0]));
        assert_says(&message, &[&expected]);
    }
}

#[test]
fn files_that_do_not_fit_each_other_are_refused() {
    assert_says(
        &refusal_with(TRAIN_LABELS, labels(2, &[0, 1])),
        &[NAMES[TRAIN_IMAGES], "has 3 images but", "has 2 labels"],
    );
    // The right number of bytes, but with the axes swapped.
    assert_says(
        &refusal_with(TEST_IMAGES, images(2, 1, 2, &[5, 6, 7, 8])),
        &[NAMES[TRAIN_IMAGES], "images of 2x1 pixels but", "of 1x2;"],
    );
}

// ---- splits ----

/// Examples whose single value is 0.
fn blank(n: usize) -> Examples {
    Examples::new(vec![0.0; n], vec![0; n], 1).unwrap()
}

fn blank_dataset(train: usize, test: usize) -> Dataset {
    Dataset {
        name: "blank".to_owned(),
        shape: [1, 1, 1],
        classes: vec!["0".to_owned()],
        train: blank(train),
        test: blank(test),
        sha256: String::new(),
    }
}

fn sizes(train: Option<usize>, validation: usize, test: Option<usize>) -> SplitSizes {
    SplitSizes {
        train,
        lca: None,
        validation,
        test,
    }
}

fn with_lca(lca: usize, sizes: SplitSizes) -> SplitSizes {
    SplitSizes {
        lca: Some(lca),
        ..sizes
    }
}

#[test]
fn by_default_every_row_is_used_in_source_order() {
    let split = Split::draw(&blank_dataset(50, 20), &SplitSizes::default(), 7).unwrap();
    assert_eq!(split.train, (0..50).collect::<Vec<_>>());
    assert!(split.validation.is_empty());
    assert_eq!(split.test, (0..20).collect::<Vec<_>>());
    assert!(split.lca.is_empty());
}

#[test]
fn draws_are_pinned() {
    // A recorded run identifies its rows by seed alone. If an update of `rand` changes these, old records no longer
    // tell which rows they used, which belongs into the changelog.
    let split = Split::draw(&blank_dataset(20, 20), &sizes(Some(5), 4, Some(6)), 1).unwrap();
    assert_eq!(split.train, [3, 10, 14, 16, 19]);
    assert_eq!(split.validation, [12, 13, 15, 17]);
    assert_eq!(split.test, [1, 6, 7, 13, 15, 19]);
    let mut batches = Batches::new(8, 8, 1).unwrap();
    assert_eq!(batches.next_batch(), [4, 2, 1, 5, 3, 7, 6, 0]);
    assert_eq!(batches.next_batch(), [2, 3, 6, 5, 7, 1, 0, 4]);
}

#[test]
fn impossible_sizes_are_refused() {
    let data = blank_dataset(600, 100);
    let cases = [
        (
            sizes(Some(700), 50, None),
            "train size 700 plus validation size 50 exceeds the 600 training examples",
        ),
        (
            sizes(Some(usize::MAX), 1, None),
            "plus validation size 1 exceeds the 600 training examples",
        ),
        (
            sizes(None, 600, None),
            "validation size 600 leaves no training examples out of 600",
        ),
        (
            sizes(None, usize::MAX, None),
            "leaves no training examples out of 600",
        ),
        (sizes(Some(0), 0, None), "train size 0"),
        (sizes(None, 0, Some(0)), "test size 0"),
        (
            sizes(None, 0, Some(101)),
            "test size 101 exceeds the 100 test examples",
        ),
        (with_lca(0, sizes(None, 0, None)), "LCA size 0"),
        (
            with_lca(551, sizes(None, 50, None)),
            "LCA size 551 exceeds the 550 training examples",
        ),
    ];
    for (asked, expected) in cases {
        let message = Split::draw(&data, &asked, 0).unwrap_err().to_string();
        assert_says(&message, &[expected]);
    }
    assert!(Split::draw(&blank_dataset(0, 1), &SplitSizes::default(), 0).is_err());
    assert!(Split::draw(&blank_dataset(1, 0), &SplitSizes::default(), 0).is_err());
}

fn strictly_ascending_below(rows: &[u32], n: usize) -> bool {
    rows.windows(2).all(|pair| pair[0] < pair[1]) && rows.iter().all(|&row| (row as usize) < n)
}

proptest! {
    #[test]
    fn splits_are_disjoint_sorted_and_deterministic(
        seed: u64,
        train in 1..200_usize,
        validation in 0..200_usize,
        unused in 0..200_usize,
        test in 1..100_usize,
        unused_test in 0..100_usize,
    ) {
        let total = train + validation + unused;
        let data = blank_dataset(total, test + unused_test);
        let asked = sizes(Some(train), validation, Some(test));
        let split = Split::draw(&data, &asked, seed).unwrap();

        prop_assert_eq!(split.train.len(), train);
        prop_assert_eq!(split.validation.len(), validation);
        prop_assert_eq!(split.test.len(), test);
        prop_assert!(strictly_ascending_below(&split.train, total));
        prop_assert!(strictly_ascending_below(&split.validation, total));
        prop_assert!(strictly_ascending_below(&split.test, test + unused_test));
        prop_assert!(!split.train.iter().any(|row| split.validation.contains(row)));
        prop_assert_eq!(&Split::draw(&data, &asked, seed).unwrap(), &split);

        // Allocating fewer moves nothing, and the examples are those of a run that trains on that many.
        let lca = train.div_ceil(2);
        let of_few = Split::draw(&data, &with_lca(lca, asked), seed).unwrap();
        let few = Split::draw(&data, &sizes(Some(lca), validation, Some(test)), seed).unwrap();
        prop_assert_eq!(&of_few.lca, if lca == train { &[][..] } else { &few.train[..] });
        prop_assert_eq!(Split { lca: Vec::new(), ..of_few }, split.clone());

        // All of the rest: validation stays, and together they are all rows.
        let rest = Split::draw(&data, &sizes(None, validation, None), seed).unwrap();
        prop_assert_eq!(rest.train.len(), train + unused);
        prop_assert_eq!(&rest.validation, &split.validation);
        prop_assert!(split.train.iter().all(|row| rest.train.contains(row)));
        let mut every: Vec<_> = [rest.train, rest.validation].concat();
        every.sort_unstable();
        prop_assert!(every.into_iter().eq(0..u32::try_from(total).unwrap()));
    }

    // 100 of 200 rows: two seeds agree by chance once in 10^58.
    #[test]
    fn splits_and_batches_depend_on_the_seed(seed: u64) {
        let data = blank_dataset(200, 200);
        let asked = sizes(Some(100), 50, Some(100));
        let [a, b] = [seed, seed ^ 1].map(|seed| Split::draw(&data, &asked, seed).unwrap());
        prop_assert_ne!(&a.train, &b.train);
        prop_assert_ne!(&a.validation, &b.validation);
        prop_assert_ne!(&a.test, &b.test);
        // The streams differ too: test rows do not repeat the draw of the training rows.
        let half = sizes(Some(100), 0, Some(100));
        let a = Split::draw(&data, &half, seed).unwrap();
        prop_assert_ne!(a.train, a.test);

        let [mut a, mut b] = [seed, seed ^ 1].map(|seed| Batches::new(200, 200, seed).unwrap());
        prop_assert_ne!(a.next_batch(), b.next_batch());
    }

    #[test]
    fn every_epoch_is_a_permutation(seed: u64, n in 1..300_usize, batch_size in 1..320_usize) {
        let mut batches = Batches::new(n, batch_size, seed).unwrap();
        let mut again = batches.clone();
        let per_epoch = batches.batches_per_epoch();
        prop_assert_eq!(per_epoch, n.div_ceil(batch_size));
        let mut step = 0;
        let mut epochs = Vec::new();
        for epoch in 0..3 {
            let mut seen = Vec::new();
            for batch in 0..per_epoch {
                prop_assert_eq!(batches.position(step), BatchPosition { epoch, batch });
                let rows = batches.next_batch();
                let left = n - batch * batch_size;
                prop_assert_eq!(rows.len(), left.min(batch_size));
                prop_assert_eq!(rows, again.next_batch());
                seen.extend_from_slice(rows);
                step += 1;
            }
            epochs.push(seen.clone());
            seen.sort_unstable();
            prop_assert!(seen.into_iter().eq(0..u32::try_from(n).unwrap()));
        }
        if n > 50 {
            prop_assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2]);
        }
    }

    #[test]
    fn seeking_and_cloning_continue_the_same_batches(
        seed: u64,
        n in 1..50_usize,
        batch_size in 1..50_usize,
        step in 0..200_u64,
    ) {
        let mut walked = Batches::new(n, batch_size, seed).unwrap();
        for _ in 0..step {
            walked.next_batch();
        }
        let mut cloned = walked.clone();
        let mut sought = Batches::new(n, batch_size, seed).unwrap();
        sought.seek(u64::MAX);
        sought.next_batch();
        sought.seek(step);
        for _ in 0..20 {
            let expected = walked.next_batch();
            prop_assert_eq!(cloned.next_batch(), expected);
            prop_assert_eq!(sought.next_batch(), expected);
        }
    }

    // Any file content gives an answer, never a panic.
    #[test]
    fn random_files_never_panic(file in 0..4_usize, packed: bool, bytes: Vec<u8>) {
        let mut files = tiny();
        files[file] = if packed { gzip(&bytes) } else { bytes };
        prop_assert!(load_files(&files).is_err());
    }

    #[test]
    fn a_changed_byte_never_panics(
        file in 0..4_usize,
        packed: bool,
        place: prop::sample::Index,
        value: u8,
    ) {
        let mut files = tiny();
        if packed {
            files[file] = gzip(&files[file]);
        }
        let place = place.index(files[file].len());
        files[file][place] = value;
        if let Ok(data) = load_files(&files) {
            prop_assert_eq!((data.train.len(), data.test.len()), (3, 2));
        }
    }
}

#[test]
fn impossible_batches_are_refused() {
    let refusal = |n, size| Batches::new(n, size, 0).unwrap_err().to_string();
    assert_says(&refusal(10, 0), &["batch size 0"]);
    assert_says(&refusal(0, 10), &["at least one train example"]);
    #[cfg(target_pointer_width = "64")]
    assert_says(
        &refusal(1 << 32, 10),
        &["4294967296 rows exceed the maximum of 4294967295"],
    );
}

#[test]
fn a_batch_size_above_the_rows_is_the_rows() {
    let mut batches = Batches::new(3, usize::MAX, 0).unwrap();
    assert_eq!(batches.batches_per_epoch(), 1);
    assert_eq!(batches.next_batch().len(), 3);
    assert_eq!(batches.next_batch().len(), 3);
}
