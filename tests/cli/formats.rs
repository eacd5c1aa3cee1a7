//! Data sets in CIFAR-10's binary format and in `NumPy`'s formats, good and bad, and their detection in a folder. IDX
//! files are in data.rs.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use crate::common::{Outcome, lcascope};
use flate2::{Compression, write::GzEncoder};
use lcascope::data::{DataError, DataSource, Dataset, load};
use proptest::prelude::*;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Bytes of a CIFAR-10 image.
const IMAGE: usize = 3072;

fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn load_path(path: &Path) -> Result<Dataset, DataError> {
    load(&DataSource::Path(path.to_owned()))
}

#[track_caller]
fn refusal(path: &Path) -> String {
    load_path(path).unwrap_err().to_string()
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no “{part}” in “{message}”");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

// ---- CIFAR-10 ----

/// An image whose channels, rows and columns all differ.
fn image(seed: u8) -> Vec<u8> {
    let value = |i: usize| u8::try_from((i * 7 + i / 32 + i / 1024 * 50) % 256).unwrap();
    (0..IMAGE).map(|i| value(i).wrapping_add(seed)).collect()
}

/// Records with these labels.
fn records(labels: &[u8]) -> Vec<u8> {
    let record = |&label: &u8| [&[label][..], &image(label)].concat();
    labels.iter().flat_map(record).collect()
}

fn write_all(folder: &Path, files: &[(&str, &[u8])]) {
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// The error message for two training files and a test file, of which `name` is replaced by `bytes`; it must name that
/// file.
#[track_caller]
fn cifar_refusal(name: &str, bytes: &[u8]) -> String {
    let folder = temp();
    let files: [(&str, &[u8]); 3] = [
        ("data_batch_1.bin", &records(&[3, 9])),
        ("data_batch_2.bin", &records(&[0])),
        ("test_batch.bin", &records(&[5])),
    ];
    write_all(folder.path(), &files);
    write_all(folder.path(), &[(name, bytes)]);
    let message = refusal(folder.path());
    assert_says(&message, &[name]);
    message
}

#[test]
fn cifar_sample_is_read_if_available() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/cifar10");
    if !folder.is_dir() {
        crate::common::skip::skipped("../shared/data/cifar10 is not here");
        return;
    }
    let data = load_path(&folder).unwrap();
    assert_eq!(data.name, "CIFAR-10 (binary)");
    assert_eq!(data.shape, [3, 32, 32]);
    assert_eq!(
        data.classes.join(" "),
        "airplane automobile bird cat deer dog frog horse ship truck"
    );
    assert_eq!(data.train.features(), IMAGE);
    assert_eq!((data.train.len(), data.test.len()), (10_000, 2_000));
    // Computed with Python's gzip and hashlib.
    assert_eq!(
        data.sha256,
        "d66fc5dd441ec638e8cb1110feb6e3889b4207abf0c82f805ae4116e9c835581"
    );
}

#[test]
fn cifar_batches_are_joined_in_order() {
    let folder = temp();
    let place = folder.path().join("cifar-10-batches-bin");
    let files: [(&str, &[u8]); 4] = [
        ("data_batch_3.bin", &records(&[0])),
        ("data_batch_1.bin.gz", &gzip(&records(&[3, 9]))),
        ("test_batch.bin", &gzip(&records(&[5]))),
        ("batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj j\n\n"),
    ];
    write_all(&place, &files);
    let data = load_path(folder.path()).unwrap();
    assert_eq!(load_path(&place).unwrap(), data);
    assert_eq!(data.name, "CIFAR-10 (binary)");
    assert_eq!(data.train.labels, [3, 9, 0]);
    assert_eq!(data.test.labels, [5]);
    assert_eq!(data.classes.join(","), "a,b,c,d,e,f,g,h,i,j j");
    let expected: Vec<_> = image(9).iter().map(|&p| f32::from(p) / 255.0).collect();
    assert_eq!(data.train.input(1), expected);

    // Without the file of names, in a folder of another name. An unpacked file takes precedence.
    let other = folder.path().join("mine");
    write_all(&other, &files[..3]);
    write_all(&other, &[("data_batch_1.bin", &records(&[1]))]);
    let data = load_path(&other).unwrap();
    assert_eq!(data.name, "mine (CIFAR-10 binary)");
    assert_eq!(data.train.labels, [1, 0]);
    assert_eq!(data.classes.join(" "), "0 1 2 3 4 5 6 7 8 9");
}

#[test]
fn cifar_faults_are_named() {
    assert_says(
        &cifar_refusal("data_batch_2.bin", &records(&[0, 4, 10])),
        &["row 2 (counting from 0) has label 10; labels are 0 to 9"],
    );
    assert_says(
        &cifar_refusal("test_batch.bin", &records(&[0])[..3000]),
        &["contains 3000 bytes, that is, 0 records of 3073 bytes and 3000 more"],
    );
    let cifar_100 = vec![0; 3 * 3074];
    assert_says(
        &cifar_refusal("data_batch_1.bin", &cifar_100),
        &[
            "9222 bytes",
            "3 records",
            "3 more",
            "not CIFAR-10: name the files train.bin",
        ],
    );
    assert_says(&cifar_refusal("test_batch.bin", b""), &["is empty"]);
    let mut damaged = gzip(&records(&[1]));
    damaged.truncate(100);
    assert_says(
        &cifar_refusal("data_batch_2.bin", &damaged),
        &["damaged gzip data after"],
    );
    assert_says(
        &cifar_refusal("batches.meta.txt", b"one\ntwo\n"),
        &["names 2 classes instead of 10"],
    );
    assert_says(
        &cifar_refusal("batches.meta.txt", b"one\x1b[2J\ntwo\n"),
        &["class name", r"\u{1b}[2J", "no control characters"],
    );
    for name in ["data_batch_1.bin", "test_batch.bin"] {
        let folder = temp();
        let files: [(&str, &[u8]); 2] = [
            ("data_batch_1.bin", &records(&[3])),
            ("test_batch.bin", &records(&[5])),
        ];
        write_all(folder.path(), &files);
        fs::remove_file(folder.path().join(name)).unwrap();
        assert_says(
            &refusal(folder.path()),
            &[name, "is missing in", "plain or .gz"],
        );
    }
}

#[test]
fn cifar_100_is_read_by_its_fine_labels() {
    let record = |coarse: u8, fine: u8| [&[coarse, fine][..], &image(fine)].concat();
    let train = [record(3, 99), record(19, 0)].concat();
    let test = record(7, 42);
    let names: Vec<String> = (0..100).map(|class| format!("class {class}\n")).collect();
    let names = names.concat();
    let folder = temp();
    let place = folder.path().join("cifar-100-binary");
    let files: [(&str, &[u8]); 3] = [
        ("train.bin", &train),
        ("test.bin.gz", &gzip(&test)),
        ("fine_label_names.txt", names.as_bytes()),
    ];
    write_all(&place, &files);
    let data = load_path(folder.path()).unwrap();
    assert_eq!(load_path(&place).unwrap(), data);
    assert_eq!(data.name, "CIFAR-100 (binary)");
    assert_eq!(
        (data.classes.len(), data.classes[99].as_str()),
        (100, "class 99")
    );
    assert_eq!(
        (&data.train.labels[..], &data.test.labels[..]),
        (&[99, 0][..], &[42][..])
    );
    let expected: Vec<_> = image(0).iter().map(|&p| f32::from(p) / 255.0).collect();
    assert_eq!(data.train.input(1), expected);

    for (name, bytes, parts) in [
        (
            "train.bin",
            record(3, 100),
            ["row 0", "label 100; labels are 0 to 99"],
        ),
        (
            "train.bin",
            records(&[1, 2]),
            ["complete records of CIFAR-10", "data_batch_1.bin"],
        ),
        (
            "train.bin",
            vec![0; 3075],
            ["contains 3075 bytes", "download it again"],
        ),
        (
            "fine_label_names.txt",
            b"one".to_vec(),
            ["names 1 classes", "instead of 100"],
        ),
    ] {
        write_all(&place, &files);
        write_all(&place, &[(name, &bytes)]);
        assert_says(&refusal(folder.path()), &parts);
    }
    // A lone `train.bin` may be anything.
    fs::remove_file(place.join("test.bin.gz")).unwrap();
    assert_says(&refusal(folder.path()), &["no data set in"]);
    let pickles = folder.path().join("cifar-100-python");
    write_all(&pickles, &[("train", b"\x80\x02}q\x01")]);
    for given in [folder.path(), &pickles] {
        assert_says(
            &refusal(given),
            &["contains CIFAR-100 as Python pickles", "CIFAR-100 binary"],
        );
    }
}

#[test]
fn a_cifar_bomb_is_cut_off() {
    // 64 MiB of zeros that are not a whole number of records, compressed a thousandfold: only as much as the file needs
    // is unpacked. An oversized file is reported before it is unpacked completely.
    let bomb = gzip(&vec![0; 64 << 20]);
    assert!(bomb.len() < 1 << 19);
    assert_says(
        &cifar_refusal("data_batch_2.bin", &bomb),
        &["contains 67108864 bytes"],
    );
}

#[test]
fn python_pickles_are_named() {
    let folder = temp();
    let place = folder.path().join("cifar-10-batches-py");
    write_all(
        &place,
        &[("data_batch_1", b"\x80\x02}q\x01(U\x0bbatch_label")],
    );
    for given in [folder.path(), &place] {
        assert_says(
            &refusal(given),
            &["cifar-10-batches-py", "CIFAR-10 binary", "numpy.savez"],
        );
    }
}

// ---- NumPy ----

/// An array in `NumPy`'s format.
fn npy(descr: &str, is_fortran: bool, shape: &[usize], values: &[u8]) -> Vec<u8> {
    let order = if is_fortran { "True" } else { "False" };
    let sizes: Vec<String> = shape.iter().map(|size| format!("{size},")).collect();
    let sizes = sizes.join(" ");
    let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({sizes}), }}");
    npy_with(&text, values)
}

fn npy_with(text: &str, values: &[u8]) -> Vec<u8> {
    let text = format!("{text:<117}\n");
    let length = u16::try_from(text.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), values].concat()
}

fn bytes(shape: &[usize], values: &[u8]) -> Vec<u8> {
    npy("|u1", false, shape, values)
}

fn integers(values: &[i64]) -> Vec<u8> {
    let bytes: Vec<_> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    npy("<i8", false, &[values.len()], &bytes)
}

fn floats(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let bytes: Vec<_> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    npy("<f4", false, shape, &bytes)
}

/// Arrays by name.
type Arrays = Vec<(&'static str, Vec<u8>)>;

/// Three training and two test images of 2 × 1 pixels, the same as in data.rs.
fn tiny() -> Arrays {
    vec![
        ("x_train", bytes(&[3, 2, 1], &[0, 51, 102, 153, 204, 255])),
        ("y_train", integers(&[0, 9, 1])),
        ("x_test", bytes(&[2, 2, 1], &[5, 6, 7, 8])),
        ("y_test", integers(&[2, 3])),
    ]
}

/// The SHA-256 of `tiny()`: `printf '\x00\x33\x66\x99\xcc\xff\x00\x09\x01\x05\x06\x07\x08\x02\x03' | sha256sum`
const TINY_SHA: &str = "89b01ccc4df4ada2996879fcdad693d7b3f1fcd62cf5f2573605f9936b1b8eb5";

fn archive(arrays: &Arrays, method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn load_bytes(npz: &[u8]) -> Result<Dataset, DataError> {
    let folder = temp();
    let path = folder.path().join("data.npz");
    fs::write(&path, npz).unwrap();
    load_path(&path)
}

fn load_arrays(arrays: &Arrays) -> Result<Dataset, DataError> {
    load_bytes(&archive(arrays, CompressionMethod::Stored))
}

/// `tiny()` with arrays replaced or added.
fn tiny_with(others: Arrays) -> Arrays {
    let mut arrays = tiny();
    for (name, bytes) in others {
        arrays.retain(|(other, _)| *other != name);
        arrays.push((name, bytes));
    }
    arrays
}

/// The error message for `tiny()` with one array replaced or added; it must name that array.
#[track_caller]
fn refusal_with(name: &'static str, bytes: Vec<u8>) -> String {
    let arrays = tiny_with(vec![(name, bytes)]);
    let message = load_arrays(&arrays).unwrap_err().to_string();
    assert_says(&message, &["data.npz", name]);
    message
}

/// A file made by `NumPy` itself, with tests/numpy/make.py.
fn made_by_numpy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/numpy")
        .join(name)
}

#[test]
fn every_file_format_gives_the_same_images() {
    let folder = temp();
    let expected = load_path(&made_by_numpy("tiny.npz")).unwrap();
    assert_eq!(expected.name, "tiny (NumPy)");
    assert_eq!(expected.shape, [1, 2, 1]);
    assert_eq!(expected.classes.join(" "), "0 1 2 3 4 5 6 7 8 9");
    assert_eq!(expected.train.labels, [0, 9, 1]);
    assert_eq!(expected.train.input(2), [204.0 / 255.0, 1.0]);
    assert_eq!(expected.test.labels, [2, 3]);
    assert_eq!(expected.sha256, TINY_SHA);

    let place = |name: &str| folder.path().join(name).join("tiny");
    for (name, method) in [
        ("stored", CompressionMethod::Stored),
        ("deflated", CompressionMethod::Deflated),
    ] {
        write_all(&place(name), &[("tiny.npz", &archive(&tiny(), method))]);
        // The file, and the folder in which it is the only one.
        assert_eq!(load_path(&place(name).join("tiny.npz")).unwrap(), expected);
        assert_eq!(load_path(&place(name)).unwrap(), expected);
    }
    for (name, array) in tiny() {
        let (plain, packed) = (place("plain"), place("packed"));
        let name = format!("{name}.npy");
        write_all(&plain, &[(&name, &array)]);
        write_all(&packed, &[(&name, &gzip(&array))]);
    }
    for name in ["plain", "packed"] {
        assert_eq!(load_path(&place(name)).unwrap(), expected, "{name}");
    }
    // A zip archive, recognised by its first bytes.
    write_all(
        folder.path(),
        &[("tiny", &archive(&tiny(), CompressionMethod::Deflated))],
    );
    assert_eq!(load_path(&folder.path().join("tiny")).unwrap(), expected);

    let idx: [(&str, &[u8]); 4] = [
        (
            "train-images-idx3-ubyte",
            b"\0\0\x08\x03\0\0\0\x03\0\0\0\x02\0\0\0\x01\x00\x33\x66\x99\xcc\xff",
        ),
        (
            "train-labels-idx1-ubyte",
            b"\0\0\x08\x01\0\0\0\x03\x00\x09\x01",
        ),
        (
            "t10k-images-idx3-ubyte",
            b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x01\x05\x06\x07\x08",
        ),
        ("t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x02\x02\x03"),
    ];
    write_all(&place("idx"), &idx);
    let mut idx = load_path(&place("idx")).unwrap();
    idx.name.clone_from(&expected.name);
    assert_eq!(idx, expected);
}

#[test]
fn numpy_byte_orders_types_and_axes_are_understood() {
    // Float64, big-endian, Fortran order, channels last; float32; labels [N, 1]; names.
    let data = load_path(&made_by_numpy("varied.npz")).unwrap();
    assert_eq!(data.shape, [3, 5, 6]);
    assert_eq!(data.classes, ["cat", "Übung", "dog"]);
    assert_eq!(data.train.labels, [1, 0, 2, 1]);
    assert_eq!(data.test.labels, [0, 2]);
    for examples in [&data.train, &data.test] {
        let mut values = examples.inputs.iter();
        for n in 0..u16::try_from(examples.len()).unwrap() {
            for c in 0..3 {
                for h in 0..5 {
                    for w in 0..6 {
                        let value = f32::from(n * 1000 + c * 100 + h * 10 + w) + 0.5;
                        assert_eq!(values.next(), Some(&value));
                    }
                }
            }
        }
    }
}

#[test]
fn cifar_in_numpy_is_the_same_with_channels_first_and_last() {
    let (train, test) = ([3, 9, 0], [5]);
    let channel_major =
        |labels: &[u8]| -> Vec<u8> { labels.iter().flat_map(|&l| image(l)).collect() };
    let pixel_major = |labels: &[u8]| -> Vec<u8> {
        let of_image = |&label: &u8| {
            let image = image(label);
            (0..IMAGE).map(move |i| image[i % 3 * 1024 + i / 3])
        };
        labels.iter().flat_map(of_image).collect()
    };
    let labels = || {
        vec![
            ("y_train", integers(&[3, 9, 0])),
            ("y_test", integers(&[5])),
        ]
    };
    let mut first = labels();
    first.push(("x_train", bytes(&[3, 3, 32, 32], &channel_major(&train))));
    first.push(("x_test", bytes(&[1, 3, 32, 32], &channel_major(&test))));
    let mut last = labels();
    last.push(("x_train", bytes(&[3, 32, 32, 3], &pixel_major(&train))));
    last.push(("x_test", bytes(&[1, 32, 32, 3], &pixel_major(&test))));
    let first = load_arrays(&first).unwrap();
    assert_eq!(load_arrays(&last).unwrap(), first);

    let folder = temp();
    let files: [(&str, &[u8]); 2] = [
        ("data_batch_1.bin", &records(&train)),
        ("test_batch.bin", &records(&test)),
    ];
    write_all(folder.path(), &files);
    let mut binary = load_path(folder.path()).unwrap();
    binary.name.clone_from(&first.name);
    assert_eq!(binary, first);
}

#[test]
fn ambiguous_shapes_are_read_by_a_fixed_rule() {
    let shape = |train: &[usize], channels: Option<&str>| {
        let features: usize = train[1..].iter().product();
        let mut test = train.to_vec();
        test[0] = 1;
        let mut arrays = vec![
            ("x_train", bytes(train, &vec![1; train[0] * features])),
            ("y_train", integers(&vec![0; train[0]])),
            ("x_test", bytes(&test, &vec![1; features])),
            ("y_test", integers(&[1])),
        ];
        if let Some(word) = channels {
            let text: Vec<_> = word
                .chars()
                .flat_map(|c| u32::from(c).to_le_bytes())
                .collect();
            let text_type = format!("<U{}", word.len());
            arrays.push(("channels", npy(&text_type, false, &[], &text)));
        }
        load_arrays(&arrays)
            .map(|data| data.shape)
            .map_err(|error| error.to_string())
    };
    assert_eq!(shape(&[2, 7], None), Ok([7, 1, 1]));
    assert_eq!(shape(&[2, 7, 5], None), Ok([1, 7, 5]));
    assert_eq!(shape(&[2, 1, 7, 5], None), Ok([1, 7, 5]));
    assert_eq!(shape(&[2, 7, 5, 1], None), Ok([1, 7, 5]));
    assert_eq!(shape(&[2, 4, 7, 5], None), Ok([4, 7, 5]));
    assert_eq!(shape(&[2, 3, 8, 4], None), Ok([3, 8, 4]));
    assert_eq!(shape(&[2, 4, 4, 1], None), Ok([1, 4, 4]));
    assert_eq!(shape(&[2, 16, 8, 8], Some("first")), Ok([16, 8, 8]));
    assert_eq!(shape(&[2, 8, 8, 16], Some("last")), Ok([16, 8, 8]));
    assert_eq!(shape(&[2, 1, 8, 9], Some("last")), Ok([9, 1, 8]));
    for ambiguous in [[2, 8, 8, 16], [2, 3, 9, 3]] {
        let message = shape(&ambiguous, None).unwrap_err();
        let sizes = format!("{ambiguous:?}");
        assert_says(&message, &["x_train", &sizes, "channels", "\"last\""]);
    }
    assert_says(
        &shape(&[2, 8, 8, 3], Some("mid")).unwrap_err(),
        &["channels is \"mid\", expected \"first\""],
    );
}

#[test]
fn floats_are_not_rescaled() {
    let arrays = |values: &[f32]| {
        tiny_with(vec![
            (
                "x_train",
                floats(&[3, 2], &[&[0.5, -2.0, 1e9], values].concat()),
            ),
            ("x_test", floats(&[2, 2], &[1.0; 4])),
        ])
    };
    let data = load_arrays(&arrays(&[7.0, 0.25, -0.0])).unwrap();
    assert_eq!(data.train.inputs, [0.5, -2.0, 1e9, 7.0, 0.25, -0.0]);
    // Computed with Python: sha256 of the values as <f4 and the labels as bytes.
    assert_eq!(
        data.sha256,
        "217867ee582c368e650729be58d0e2956b7abbab7282adfe632bbe46409f521b"
    );
    for value in [f32::NAN, f32::INFINITY] {
        let message = load_arrays(&arrays(&[7.0, value, 0.0]))
            .unwrap_err()
            .to_string();
        let expected =
            format!("row 2 (counting from 0) has the value {value}; all values must be finite");
        assert_says(&message, &["x_train", &expected]);
    }
    let large = npy(
        "<f8",
        false,
        &[2, 2],
        [1e300_f64; 4].map(f64::to_le_bytes).as_flattened(),
    );
    assert_says(&refusal_with("x_test", large), &["row 0", "finite as f32"]);
    assert_says(
        &refusal_with("x_test", floats(&[2, 2, 1], &[0.0; 4])),
        &["bytes are divided by 255"],
    );
}

#[test]
fn images_of_whole_numbers_are_bytes_if_they_fit() {
    let expected = load_arrays(&tiny()).unwrap();
    let values = [0_i64, 51, 102, 153, 204, 255];
    let as_bytes = |values: &[i64], size: usize, big: bool| -> Vec<u8> {
        let bytes = |value: &i64| {
            if big {
                value.to_be_bytes()[8 - size..].to_vec()
            } else {
                value.to_le_bytes()[..size].to_vec()
            }
        };
        values.iter().flat_map(bytes).collect()
    };
    for (descr, size, big) in [
        ("<i8", 8, false),
        (">i8", 8, true),
        ("<i4", 4, false),
        (">u2", 2, true),
        ("<u2", 2, false),
        ("<i2", 2, false),
        ("<u8", 8, false),
    ] {
        let array = npy(descr, false, &[3, 2, 1], &as_bytes(&values, size, big));
        // The test images remain single bytes.
        let data = load_arrays(&tiny_with(vec![("x_train", array)])).unwrap();
        assert_eq!(data, expected, "{descr}");
    }
    for (values, parts) in [
        (
            [0, 1, 2, 3, 4, 65535],
            ["from 0 to 65535", "(x / 65535).astype(\"float32\")"],
        ),
        (
            [0, 1, 2, 3, 4, 65_531],
            ["from 0 to 65531", "(x / 65535).astype(\"float32\")"],
        ),
        ([0, 1, 2, 3, 4, 256], ["from 0 to 256", "both parts"]),
        ([-1, 1, 2, 3, 4, 255], ["from -1 to 255", "x_train.mean()"]),
    ] {
        let array = npy("<i8", false, &[3, 2, 1], &as_bytes(&values, 8, false));
        assert_says(&refusal_with("x_train", array), &parts);
    }
    // Booleans are 0 and 1, as floats.
    let truth = |count: usize, values: &[u8]| npy("|b1", false, &[count, 2, 1], values);
    let data = load_arrays(&tiny_with(vec![
        ("x_train", truth(3, &[0, 1, 1, 0, 0, 1])),
        ("x_test", truth(2, &[1, 0, 0, 0])),
    ]));
    assert_eq!(data.unwrap().train.inputs, [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn arrays_of_python_2_and_of_medmnist_are_read() {
    let expected = load_arrays(&tiny()).unwrap();
    let long = |descr: &str, shape: &str, values: &[u8]| {
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
        npy_with(&text, values)
    };
    let python_2 = tiny_with(vec![
        (
            "x_train",
            long("|u1", "3L, 2L, 1L", &[0, 51, 102, 153, 204, 255]),
        ),
        ("y_train", long("|u1", "3L,", &[0, 9, 1])),
    ]);
    assert_eq!(load_arrays(&python_2).unwrap(), expected);
    let [x_train, _, x_test, _] = tiny().try_into().unwrap();
    let medical = vec![
        ("train_images", x_train.1),
        ("train_labels", bytes(&[3, 1], &[0, 9, 1])),
        ("val_images", bytes(&[1, 2, 1], &[0, 0])),
        ("val_labels", bytes(&[1, 1], &[0])),
        ("test_images", x_test.1),
        ("test_labels", bytes(&[2, 1], &[2, 3])),
    ];
    assert_eq!(load_arrays(&medical).unwrap(), expected);
}

#[test]
fn labels_starting_at_one_are_detected_from_class_names() {
    let names = || npy("|S1", false, &[3], b"abc");
    let labelled = |train: &[i64; 3], test: &[i64; 2]| {
        load_arrays(&tiny_with(vec![
            ("y_train", integers(train)),
            ("y_test", integers(test)),
            ("class_names", names()),
        ]))
    };
    assert_says(
        &labelled(&[1, 2, 3], &[3, 1]).unwrap_err().to_string(),
        &["y_train", "no label is 0: labels are 1 to 3", "subtract 1"],
    );
    assert!(labelled(&[1, 2, 2], &[1, 1]).is_ok());
    let message = labelled(&[3, 2, 3], &[2, 2]).unwrap_err().to_string();
    assert_says(&message, &["label 3; labels are 0 to 2"]);
    let message = labelled(&[0, 2, 3], &[1, 1]).unwrap_err().to_string();
    assert_says(&message, &["label 3; labels are 0 to 2"]);
}

#[test]
fn kuzushiji_mnist_with_one_array_per_file_is_read() {
    let expected = load_arrays(&tiny()).unwrap();
    let ends = ["train-imgs", "train-labels", "test-imgs", "test-labels"];
    let folder = temp();
    let path = folder.path();
    let write = |prefix: &str, arrays: Arrays| {
        for (end, (_, array)) in ends.iter().zip(arrays) {
            let npz = archive(&vec![("arr_0", array)], CompressionMethod::Deflated);
            fs::write(path.join(format!("{prefix}{end}.npz")), npz).unwrap();
        }
    };
    write("kmnist-", tiny());
    fs::write(path.join("._kmnist-train-imgs.npz"), b"\0\x05\x16\x07").unwrap();
    let data = load_path(path).unwrap();
    assert_eq!(
        (data.name.as_str(), &data.sha256),
        ("kmnist (NumPy)", &expected.sha256)
    );
    // With Kuzushiji-49 beside it, one of its files must say which is meant.
    let mut k49 = tiny();
    k49[1].1 = integers(&[0, 48, 1]);
    write("k49-", k49);
    assert_says(
        &refusal(path),
        &[
            "k49-train-imgs.npz and ",
            "kmnist-train-imgs.npz; give the intended one",
            "of several files, any",
        ],
    );
    assert_eq!(
        load_path(&path.join("kmnist-test-labels.npz")).unwrap(),
        data
    );
    assert_eq!(
        load_path(&path.join("k49-train-imgs.npz"))
            .unwrap()
            .classes
            .len(),
        49
    );
    fs::remove_file(path.join("k49-test-imgs.npz")).unwrap();
    assert_says(
        &refusal(&path.join("k49-train-imgs.npz")),
        &["k49-test-imgs.npz is missing in", "one of four"],
    );
    // One file contains another array.
    let other = archive(&tiny(), CompressionMethod::Stored);
    fs::write(path.join("k49-test-imgs.npz"), other).unwrap();
    assert_says(
        &refusal(&path.join("k49-train-imgs.npz")),
        &[
            "k49-test-imgs.npz has no array arr_0",
            "It contains: x_train",
        ],
    );
}

#[test]
fn missing_arrays_are_named() {
    for (name, other) in [("x_train", "train_images"), ("y_test", "test_labels")] {
        let mut arrays = tiny();
        arrays.retain(|(array, _)| *array != name);
        arrays.push(("z\n", vec![]));
        let message = load_arrays(&arrays).unwrap_err().to_string();
        assert_says(
            &message,
            &[
                "data.npz has no array",
                name,
                other,
                "It contains: ",
                r"z\n",
            ],
        );

        let folder = temp();
        for (array, bytes) in &arrays[..3] {
            write_all(folder.path(), &[(&format!("{array}.npy"), bytes)]);
        }
        assert_says(
            &refusal(folder.path()),
            &[name, ".npy is missing in", "numpy.save"],
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of inputs and messages")]
fn arrays_of_the_wrong_kind_are_refused() {
    assert_says(&refusal_with("x_train", vec![]), &["looks like nothing"]);
    assert_says(
        &refusal_with("x_train", b"<html>".to_vec()),
        &["looks like an HTML page"],
    );
    assert_says(
        &refusal_with("x_test", b"\x93NUMPY\x04\x00\x00\x00\x00\x00".to_vec()),
        &["version 4.0"],
    );
    assert_says(
        &refusal_with("x_test", b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec()),
        &["header of 4294967295 bytes, more than the limit of 10000"],
    );
    // Nested brackets, which slow down parsers of full Python or overflow their stack.
    let nested = format!("{}{}", "(".repeat(4000), ")".repeat(4000));
    for text in [&nested, "{'descr': '|u1', 'shape': (3,), }", "spam"] {
        assert_says(
            &refusal_with("x_test", npy_with(text, &[])),
            &["the header"],
        );
    }
    assert_says(
        &refusal(&made_by_numpy("objects.npz")),
        &[
            "x_train",
            "contains Python objects, which are not supported",
        ],
    );
    assert_says(
        &refusal_with(
            "x_train",
            npy_with(
                "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }",
                &[],
            ),
        ),
        &["structure"],
    );
    assert_says(
        &refusal_with("x_train", npy("<f2", false, &[3, 2], &[0; 12])),
        &[
            "values of type <f2, expected uint8, float32 or float64",
            "save it as .astype(\"float32\")",
        ],
    );
    assert_says(
        &refusal_with("y_train", floats(&[3], &[0.0; 3])),
        &[
            "values of type <f4, expected integers",
            "save it as .astype(\"int64\")",
        ],
    );
    // One-hot rows are recognised by their shape, whatever their type.
    for one_hot in [
        npy("<f4", false, &[3, 10], &[0; 120]),
        npy("<f8", false, &[3, 10], &[0; 240]),
        npy("|b1", false, &[3, 10], &[0; 30]),
        npy("<i8", false, &[3, 10], &[0; 240]),
    ] {
        assert_says(
            &refusal_with("y_train", one_hot),
            &[
                "has shape [3, 10], expected [N] or [N, 1]",
                "one-hot",
                "y.argmax(1)",
            ],
        );
    }
    assert_says(
        &refusal_with("y_train", bytes(&[3, 10], &[0; 30])),
        &["has shape [3, 10]", "argmax"],
    );
    for shape in [
        &[6][..],
        &[3, 2, 1, 1, 1],
        &[0, 2, 1],
        &[3, 0],
        &[1, 512, 513],
    ] {
        let found = format!("has shape {shape:?}");
        assert_says(&refusal_with("x_train", bytes(shape, &[0; 6])), &[&found]);
    }
    assert_says(
        &refusal_with("y_train", integers(&[0, -1, 1])),
        &["row 1 (counting from 0) has label -1; labels are 0 to 255"],
    );
    assert_says(
        &refusal_with("y_train", integers(&[0, 1, i64::MAX])),
        &["row 2", "label 9223372036854775807"],
    );
    assert_says(
        &refusal_with("y_train", integers(&[0, 1])),
        &["has 3 images but", "has 2 labels"],
    );
    assert_says(
        &refusal_with("x_test", bytes(&[2, 1, 2], &[0; 4])),
        &["x_train.npy has images of 2x1 pixels but", "of 1x2"],
    );
    let names = |words: &[u8]| npy("|S2", false, &[words.len() / 2], words);
    let few = tiny_with(vec![("class_names", names(b"a\0b\0c\0"))]);
    assert_says(
        &load_arrays(&few).unwrap_err().to_string(),
        &[
            "y_train",
            "row 1 (counting from 0) has label 9; labels are 0 to 2",
        ],
    );
    assert_says(
        &refusal_with("classes", names(b"a\0\x1b[")),
        &["class name"],
    );
    assert_says(&refusal_with("classes", names(b"")), &["names 0 classes"]);
    assert_says(
        &refusal_with("classes", integers(&[1, 2])),
        &["expected text"],
    );
}

#[test]
fn arrays_that_are_too_short_too_long_or_too_large_are_refused() {
    let header =
        |sizes: &str| format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({sizes}), }}");
    assert_says(
        &refusal_with("x_train", npy_with(&header("3, 2, 1"), &[0; 5])),
        &["truncated: header says [3, 2, 1] values of type <u1 = 6 bytes, but the file has 5"],
    );
    assert_says(
        &refusal_with("x_train", npy_with(&header("3, 2, 1"), &[0; 7])),
        &["[3, 2, 1] values of type <u1 = 6 bytes, but more bytes follow"],
    );
    for count in ["1073741824", "18446744073709551615"] {
        assert_says(
            &refusal_with(
                "x_train",
                npy_with(&header(&format!("{count}, 2, 1")), &[0; 6]),
            ),
            &["more than the limit of 1073741824; use a smaller data set"],
        );
    }
    // Limits apply to the converted size: half for float64.
    let of_floats = |count: u64| {
        let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({count}, 1), }}");
        refusal_with("x_train", npy_with(&text, &[0; 6]))
    };
    assert_says(
        &of_floats((1 << 28) + 1),
        &["more than the limit of 1073741824"],
    );
    assert_says(
        &of_floats(1 << 28),
        &["= 2147483648 bytes, but the file has 6"],
    );
    // A header that is plausible, and a member that unpacks to something no header describes.
    let huge = npy_with(&header("1073741824, 1"), &[0; 6]);
    assert_says(&refusal_with("x_train", huge), &["file has 6"]);
    let bomb = tiny_with(vec![(
        "x_train",
        npy_with(&header("3, 2, 1"), &vec![0; 64 << 20]),
    )]);
    let bomb = archive(&bomb, CompressionMethod::Deflated);
    assert!(bomb.len() < 1 << 19);
    let message = load_bytes(&bomb).unwrap_err().to_string();
    assert_says(&message, &["but more bytes follow"]);
}

/// An archive as written by a program that cannot seek: a member's lengths follow it, and are zero before it.
fn streamed(arrays: &Arrays, method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new_stream(Vec::new());
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn archives_without_lengths_before_the_data_are_read() {
    let expected = load_arrays(&tiny()).unwrap();
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let npz = streamed(&tiny(), method);
        // The first member: bit 3 of the flags, and no CRC or lengths.
        assert_eq!(npz[6] & 8, 8, "{method:?}");
        assert_eq!(npz[14..26], [0; 12], "{method:?}");
        assert_eq!(load_bytes(&npz).unwrap(), expected, "{method:?}");
        // When cut off, it has no list of its members.
        let message = load_bytes(&npz[..npz.len() / 2]).unwrap_err().to_string();
        assert_says(&message, &["data.npz cannot be read as an .npz file"]);
    }
    let mut damaged = streamed(&tiny(), CompressionMethod::Stored);
    let pixels = [102, 153, 204, 255];
    let place = damaged.windows(4).position(|part| part == pixels).unwrap();
    damaged[place] ^= 1;
    let message = load_bytes(&damaged).unwrap_err().to_string();
    assert_says(&message, &["x_train.npy: damaged zip data"]);
}

#[test]
fn damaged_archives_are_refused() {
    let whole = archive(&tiny(), CompressionMethod::Deflated);
    let message = load_bytes(&whole[..whole.len() - 30])
        .unwrap_err()
        .to_string();
    assert_says(
        &message,
        &["data.npz cannot be read as an .npz file", "numpy.savez"],
    );
    let message = load_bytes(b"<html>").unwrap_err().to_string();
    assert_says(&message, &["data.npz cannot be read as an .npz file"]);
    let mut other = archive(&tiny(), CompressionMethod::Stored);
    let place = other
        .windows(4)
        .position(|part| part == [102, 153, 204, 255])
        .unwrap();
    other[place] ^= 1;
    let message = load_bytes(&other).unwrap_err().to_string();
    assert_says(
        &message,
        &["x_train.npy: damaged zip data", "download it again"],
    );
}

// ---- detection ----

#[test]
fn two_data_sets_in_one_folder_are_both_named() {
    let folder = temp();
    let path = folder.path();
    let npz = archive(&tiny(), CompressionMethod::Stored);
    write_all(path, &[("one.npz", &npz)]);
    assert_eq!(load_path(path).unwrap().name, "one (NumPy)");
    write_all(path, &[("two.NPZ", &npz)]);
    assert_says(
        &refusal(path),
        &[
            "one.npz and ",
            "two.NPZ; give the intended one (of several files, any), or move it",
        ],
    );
    fs::remove_file(path.join("two.NPZ")).unwrap();
    write_all(path, &[("y_test.npy", b"")]);
    assert_says(&refusal(path), &["one.npz and .npy files in "]);
    fs::remove_file(path.join("y_test.npy")).unwrap();
    write_all(path, &[("test_batch.bin", b"")]);
    assert_says(&refusal(path), &["CIFAR-10 files in ", " and ", "one.npz"]);
    write_all(path, &[("t10k-labels.idx1-ubyte", b"")]);
    assert_says(
        &refusal(path),
        &["IDX files in ", " and CIFAR-10 files in ", "one.npz"],
    );
    // Pickles beside them are ignored.
    fs::remove_file(path.join("test_batch.bin")).unwrap();
    fs::remove_file(path.join("t10k-labels.idx1-ubyte")).unwrap();
    write_all(path, &[("test_batch", b"")]);
    assert!(load_path(path).is_ok());
}

#[test]
fn a_missing_data_set_error_lists_the_expected_files() {
    let folder = temp();
    fs::write(folder.path().join("notes.txt"), "").unwrap();
    assert_says(
        &refusal(folder.path()),
        &[
            "no data set in ",
            "IDX: train-images-idx3-ubyte",
            "CIFAR-10 binary: data_batch_1.bin",
            "NumPy: one .npz file, or x_train.npy",
            "CIFAR-100 binary: train.bin",
            "It contains: notes.txt",
        ],
    );
    // Other programs' formats, recognised by name.
    for name in [
        "train-00000-of-00001.parquet",
        "usps.h5",
        "train_32x32.mat",
        "mnist.pkl.gz",
    ] {
        let place = folder.path().join(name.replace('.', "-"));
        write_all(&place, &[(name, b"PAR1")]);
        assert_says(&refusal(&place), &["no data set in", "It contains: ", name]);
        assert_says(
            &refusal(&place.join(name)),
            &[
                "is neither a folder nor an .npz file",
                "numpy.savez",
                "docs/data-and-models.md",
            ],
        );
    }
    fs::write(folder.path().join("x_train.npy"), "").unwrap();
    assert_says(
        &refusal(&folder.path().join("x_train.npy")),
        &["is neither a folder nor an .npz file; give the folder"],
    );
}

proptest! {
    #[test]
    fn random_arrays_never_panic(array in 0..4_usize, header: bool, bytes: Vec<u8>) {
        let mut arrays = tiny();
        let length = u16::try_from(bytes.len()).unwrap().to_le_bytes();
        arrays[array].1 = if header { [b"\x93NUMPY\x01\x00", &length[..], &bytes].concat() } else { bytes };
        prop_assert!(load_arrays(&arrays).is_err());
    }

    #[test]
    fn random_headers_of_valid_characters_never_panic(
        array in 0..4_usize,
        text in r"\{'descr': '[<>|=][uifbSUO][0-9]{0,3}', 'fortran_order': (True|False), 'shape': \(([0-9]{1,20}, ){0,5}\)[,}( ']{0,9}",
        values: Vec<u8>,
    ) {
        let mut arrays = tiny();
        arrays[array].1 = npy_with(&text, &values);
        drop(load_arrays(&arrays));
    }

    #[test]
    fn random_archives_never_panic(bytes: Vec<u8>) {
        prop_assert!(load_bytes(&bytes).is_err());
        prop_assert!(load_bytes(&[b"PK\x05\x06", &bytes[..]].concat()).is_err());
    }

    #[test]
    fn a_changed_byte_of_an_archive_never_panics(
        deflated: bool,
        place: prop::sample::Index,
        value: u8,
        cut: prop::sample::Index,
    ) {
        let method = [CompressionMethod::Stored, CompressionMethod::Deflated][usize::from(deflated)];
        let mut npz = archive(&tiny(), method);
        let place = place.index(npz.len());
        npz[place] = value;
        if let Ok(data) = load_bytes(&npz) {
            prop_assert_eq!((data.train.len(), data.test.len()), (3, 2));
        }
        prop_assert!(load_bytes(&npz[..cut.index(npz.len())]).is_err());
    }

    #[test]
    fn random_cifar_files_never_panic(packed: bool, bytes: Vec<u8>) {
        let folder = temp();
        let bytes = if packed { gzip(&bytes) } else { bytes };
        let files: [(&str, &[u8]); 2] =
            [("data_batch_1.bin", &records(&[1])), ("test_batch.bin", &bytes)];
        write_all(folder.path(), &files);
        prop_assert!(load_path(folder.path()).is_err());
    }
}

// ---- the program ----

#[test]
fn a_network_trains_on_an_npz_file() {
    let folder = temp();
    let pixels = |n: u8| -> Vec<u8> { (0..n).flat_map(|i| [i; 64]).collect() };
    let labels = |n: i64| integers(&(0..n).map(|i| i % 10).collect::<Vec<_>>());
    let arrays = vec![
        ("x_train", bytes(&[40, 8, 8], &pixels(40))),
        ("y_train", labels(40)),
        ("x_test", bytes(&[20, 8, 8], &pixels(20))),
        ("y_test", labels(20)),
    ];
    let npz = archive(&arrays, CompressionMethod::Deflated);
    write_all(folder.path(), &[("x.npz", &npz)]);
    let mut command = lcascope();
    command.current_dir(folder.path()).args([
        "train",
        "mnist-fc",
        "--data",
        "x.npz",
        "--steps",
        "2",
        "--headless",
        "-o",
        "run.h5",
    ]);
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let mut command = lcascope();
    command.current_dir(folder.path()).args(["info", "run.h5"]);
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_says(&outcome.stdout, &["x (NumPy)", "40", "20"]);
}

/// The program's output about a data set: standard error of a short training, `info`, and the report.
fn said_of(folder: &Path, arrays: &Arrays, flags: &[&str]) -> [String; 3] {
    let npz = archive(arrays, CompressionMethod::Deflated);
    write_all(folder, &[("data.npz", &npz), ("net.toml", NET)]);
    let run = |args: &[&str]| {
        let mut command = lcascope();
        command.current_dir(folder).args(args);
        let outcome = Outcome::of(command);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        outcome
    };
    let training =
        "train net.toml --data data.npz --steps 2 --headless --force --threads 1 -o run.h5";
    let training: Vec<&str> = training.split(' ').chain(flags.iter().copied()).collect();
    let trained = run(&training);
    run(&["report", "run.h5", "-o", "report", "--force"]);
    let report = fs::read_to_string(folder.join("report/report.md")).unwrap();
    [trained.stderr, run(&["info", "run.h5"]).stdout, report]
}

/// Has no name, so it is named after its file.
const NET: &[u8] = b"[[layer]]\nkind = 'linear'\nunits = 10\n";

/// Images of 4 × 4 floats from 0 to `greatest`, in ten classes, and as many held-out ones.
fn graded(greatest: f32) -> Arrays {
    let values: Vec<f32> = (0_u8..160)
        .map(|i| f32::from(i % 16) / 15.0 * greatest)
        .collect();
    let classes: Vec<i64> = (0..10).collect();
    vec![
        ("x_train", floats(&[10, 4, 4], &values)),
        ("y_train", integers(&classes)),
        ("x_test", floats(&[10, 4, 4], &values)),
        ("y_test", integers(&classes)),
    ]
}

#[test]
fn unscaled_inputs_and_a_high_first_loss_are_reported_everywhere() {
    let folder = temp();
    // A sentence begins with a capital.
    let scale = "nputs range from 0 to 255 (root mean square ";
    let remedy = "divide them by 255, or subtract their mean";
    let loss = "far above the 2.3 of a uniform guess among 10 classes: scale the inputs";
    let said = said_of(folder.path(), &graded(255.0), &[]);
    for (place, said) in ["stderr", "info", "report"].iter().zip(&said) {
        for part in [scale, remedy, loss] {
            assert!(said.contains(part), "{place}: {said}");
        }
    }
    let mut lines = said[0].lines();
    assert!(lines.any(|line| line.starts_with("warning: inputs range from")));
    // With --quiet nothing is printed, but the file has the facts.
    let said = said_of(folder.path(), &graded(255.0), &["--quiet"]);
    assert_eq!(said[0], "");
    assert_says(&said[1], &[scale, loss]);
    let said = said_of(folder.path(), &graded(16.0), &[]);
    assert_says(&said[0], &["from 0 to 16 (", "divide them by 16"]);
    // Scaled images give no warning.
    for greatest in [1.0, 2.0] {
        let said = said_of(folder.path(), &graded(greatest), &[]);
        assert!(!said[0].contains("warning"), "{greatest}: {}", said[0]);
        for said in &said[1..] {
            assert!(
                !said.contains("inputs range") && !said.contains("far above"),
                "{said}"
            );
        }
    }
}

/// Each warning once, for however many runs; those about the data before the first run.
#[test]
fn a_series_reports_suspicious_data_at_its_start() {
    let folder = temp();
    let mut arrays = graded(255.0);
    arrays[1].1 = integers(&[0, 1, 2, 3, 4, 5, 6, 6, 8, 9]);
    let npz = archive(&arrays, CompressionMethod::Stored);
    let experiment = b"description = 'Rates'
question = 'Which?'
baseline = 'one'
[config]
network = 'net.toml'
batch_size = 5
steps = 2
[quick]
seeds = 2
[[arm]]
name = 'one'
[[arm]]
name = 'two'
set.learning_rate = 0.02
";
    write_all(
        folder.path(),
        &[
            ("data.npz", &npz),
            ("net.toml", NET),
            ("rates.toml", experiment),
        ],
    );
    let said = |words: &str| {
        let mut command = lcascope();
        command.current_dir(folder.path()).args(words.split(' '));
        let outcome = Outcome::of(command);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.stderr
    };
    let once = |said: &str, first: &str| {
        for warning in [
            "warning: inputs range from 0 to 255",
            "warning: class 7 has only held-out",
        ] {
            assert_eq!(said.matches(warning).count(), 1, "{said}");
            assert!(said.find(warning) < said.find(first), "{said}");
        }
        // The first loss is known after a run, and differs between runs.
        let first_loss = "far above the 2.3 of a uniform guess";
        assert_eq!(said.matches(first_loss).count(), 1, "{said}");
    };
    let train = "train net.toml --data data.npz --steps 2 --threads 1 --repeats 3 -o run.h5";
    once(&said(train), "run 1 of 3");
    assert_eq!(said(&format!("{train} --force --quiet")), "");
    // Of what is there nothing is said.
    assert_eq!(said("train --resume run.h5 --repeats 3"), "");
    once(&said("train --resume run.h5 --repeats 4"), "run 4 of 4");
    once(
        &said("experiment rates.toml --quick --data data.npz -o out"),
        "run 1 of 4",
    );
}

#[test]
fn classes_without_examples_are_reported_and_a_printed_network_can_be_adapted() {
    let folder = temp();
    let labelled = |train: &[i64], test: &[i64]| {
        let mut arrays = graded(1.0);
        (arrays[1].1, arrays[3].1) = (integers(train), integers(test));
        arrays
    };
    let said = said_of(
        folder.path(),
        &labelled(
            &[0, 1, 2, 3, 4, 5, 6, 6, 8, 9],
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 8],
        ),
        &[],
    );
    for said in &said {
        assert_says(
            said,
            &[
                "lass 7 has only held-out examples",
                "lass 9 has no held-out",
            ],
        );
    }
    let from_one: Vec<i64> = (1..=10).collect();
    let refused = |args: &[&str]| {
        for (name, labels) in [("one.npz", &from_one), ("five.npz", &vec![5; 10])] {
            let npz = archive(&labelled(labels, labels), CompressionMethod::Stored);
            write_all(folder.path(), &[(name, &npz)]);
        }
        let mut command = lcascope();
        command.current_dir(folder.path()).args(args);
        Outcome::of(command)
    };
    for network in ["mnist-fc", "net.toml"] {
        let outcome = refused(&["train", network, "--data", "one.npz", "-q"]);
        outcome.fails(
            2,
            &[
                "10 outputs",
                "11 classes: no example has label 0: labels are 1 to 10",
                "subtract 1",
            ],
        );
        assert!(!outcome.stderr.contains("`units`"), "{}", outcome.stderr);
        let five = refused(&["train", network, "--data", "five.npz", "-q"]);
        five.fails(2, &["6 classes"]);
        assert!(!five.stderr.contains("labels are"), "{}", five.stderr);
    }
    // Rows are not images, and a preset has ten outputs.
    let rows = |classes: i64| {
        let mut arrays = graded(1.0);
        for (name, array) in &mut arrays {
            match *name {
                "x_train" | "x_test" => *array = floats(&[10, 16], &[0.5; 160]),
                _ => *array = integers(&(0..10).map(|i| i % classes).collect::<Vec<_>>()),
            }
        }
        archive(&arrays, CompressionMethod::Stored)
    };
    write_all(
        folder.path(),
        &[("rows.npz", &rows(10)), ("few.npz", &rows(3))],
    );
    refused(&["train", "mnist-lenet", "--data", "rows.npz"]).fails(
        2,
        &[
            "`conv`: it needs images",
            "rows of 16 values",
            "x.reshape(-1, 4, 4)",
        ],
    );
    refused(&["train", "mnist-fc", "--data", "few.npz"]).fails(
        2,
        &[
            "10 outputs",
            "3 classes: `lcascope config --print-network mnist-fc > my-net.toml`",
        ],
    );
    // The advice can be followed.
    let printed = refused(&["config", "--print-network", "mnist-fc"]);
    assert_eq!(printed.code, Some(0));
    let network = printed.stdout.replace("units = 10\n", "units = 3\n");
    assert_ne!(network, printed.stdout);
    write_all(folder.path(), &[("my-net.toml", network.as_bytes())]);
    let outcome = refused(&[
        "train",
        "my-net.toml",
        "--data",
        "few.npz",
        "--steps",
        "1",
        "-q",
        "-o",
        "few.h5",
    ]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    refused(&["config", "--print-network", "lenet"]).fails(2, &["lenet", "mnist-lenet"]);
}
