//! Files that are not what they claim: each gets a one-line answer, whatever it contains, with no more memory than a
//! file of its size needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::common::{Outcome, RunFile, TINY, folder, lcascope, train, train_tiny};
use hdf5::types::{FixedAscii, FixedUnicode, VarLenUnicode};
use hdf5::{Extent, SimpleExtents};
use lcascope::app::{Action, App};
use lcascope::feed::{self, FeedEvent, Origin};
use lcascope::query::{Analyst, Query, StepScope, Topic};
use lcascope::store::{RunReader, StoreError};
use lcascope::text::is_invisible_control;
use lcascope::tui::keys::KeyMap;
use lcascope::tui::{ColorLevel, Glyphs, Theme, view};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// A run of a small network with 3 steps: 2 layers, 4 tensors, 3985 parameters.
fn small_run(folder: &Path) -> PathBuf {
    let flags = [
        "--steps=3",
        "--lca-test",
        "--record-params=1",
        "--record-weights=1",
    ];
    train_tiny(folder, &flags)
}

/// A copy of a run, changed with the HDF5 library.
fn changed(whole: &Path, change: impl FnOnce(&hdf5::File)) -> PathBuf {
    let (draft, path) = (
        whole.with_file_name("draft"),
        whole.with_file_name("hostile.h5"),
    );
    fs::copy(whole, &draft).unwrap();
    let file = crate::common::open_rw(&draft).unwrap();
    change(&file);
    file.close().unwrap();
    let _ = fs::remove_file(&path);
    fs::rename(&draft, &path).unwrap();
    path
}

/// Reads and shows everything. This must give an answer; an error must name the file.
#[track_caller]
fn look(path: &Path, what: &str) -> Result<App, String> {
    match read(path) {
        Ok(app) => Ok(show(app)),
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("hostile.h5"), "{what}: {error}");
            assert!(!error.contains('\n'), "{what}: {error}");
            Err(error)
        }
    }
}

fn read(path: &Path) -> Result<App, StoreError> {
    let reader = RunReader::open(path)?;
    let state = reader.refresh()?;
    let mut app = App::new(reader.header().clone().into(), Origin::Replay);
    if let Some(losses) = reader.start()? {
        app.event(FeedEvent::Start(losses));
    }
    app.event(FeedEvent::Steps(reader.steps(0..state.committed)?));
    closely(&reader, state.committed)?;
    app.event(FeedEvent::Status {
        status: state.status,
        message: state.message,
    });
    Ok(app)
}

/// Reads everything that a screen may ask for, and single parameters.
fn closely(reader: &RunReader, committed: u64) -> Result<(), StoreError> {
    for width in [1, 32, 32_768] {
        reader.merged(&(0..u64::MAX), width, committed, 65_536)?;
    }
    reader.param_history(0)?;
    let all = 0..reader.header().layout.params();
    for rows in [reader.param_rows()?, reader.weight_rows()?]
        .into_iter()
        .flatten()
    {
        rows.read(0..1, &all)?;
    }
    let (layer, class, unit) = (0, 0, 0);
    let topics = [
        Topic::Tensors,
        Topic::Units { layer },
        Topic::Unit {
            layer,
            unit,
            newest: false,
        },
        Topic::Parameter { index: 0 },
        Topic::Parameter { index: 7 },
        Topic::Classes { layer: None },
        Topic::LayersOfClass { class },
        Topic::ClassLayers,
        Topic::ClassLoss { class },
        Topic::HeldOut,
        Topic::Snapshot { layer: None },
        Topic::Histogram { layer: None },
        Topic::Oscillation { layer },
        Topic::Events,
        Topic::Run,
    ];
    topics.into_iter().try_for_each(|topic| ask(reader, topic))
}

fn ask(reader: &RunReader, topic: Topic) -> Result<(), StoreError> {
    let query = Query {
        topic,
        part: StepScope::Cursor,
        steps: 0..u64::MAX,
        columns: 200,
    };
    Analyst::new().answer(reader, &query, &|| false).map(|_| ())
}

fn show(mut app: App) -> App {
    let theme = Theme::new(ColorLevel::None, Glyphs::default());
    let moves = [
        Action::Home,
        Action::Move(1),
        Action::ZoomIn,
        Action::ToggleScale,
        Action::Select(1),
    ];
    for action in std::iter::once(Action::Follow).chain(moves) {
        app.act(action);
        for (width, height) in [(80, 24), (200, 60), (20, 5)] {
            let area = Rect::new(0, 0, width, height);
            view::draw(
                area,
                &mut Buffer::empty(area),
                &app,
                &theme,
                &KeyMap::default(),
            );
        }
    }
    app
}

/// The peak memory of this process, in MiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kibibytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() / 1024
}

type Text = FixedUnicode<8>;

fn text(text: &str) -> Text {
    text.parse().unwrap()
}

/// A function that replaces a dataset.
type Change = fn(&hdf5::File, &str);

const DATASETS: &[(&str, Change)] = &[
    ("text", |file, path| {
        let values = vec![text("a"), text("b"), text("c")];
        let builder = file.new_dataset_builder();
        builder.with_data(&values).create(path).unwrap();
    }),
    ("bytes", |file, path| {
        let builder = file.new_dataset_builder();
        builder.with_data(&[1_u8, 2, 3]).create(path).unwrap();
    }),
    ("negative", |file, path| {
        let builder = file.new_dataset_builder();
        builder.with_data(&[-1_i64, -2, -3]).create(path).unwrap();
    }),
    ("strings of any length", |file, path| {
        let value: VarLenUnicode = "a".parse().unwrap();
        let builder = file.new_dataset_builder();
        builder.with_data(&[value]).create(path).unwrap();
    }),
    ("a scalar", |file, path| {
        let scalar = file.new_dataset::<u64>().create(path).unwrap();
        scalar.write_scalar(&7).unwrap();
    }),
    ("no rows", |file, path| {
        file.new_dataset::<u64>().shape(0).create(path).unwrap();
    }),
    ("no columns", |file, path| {
        file.new_dataset::<u64>()
            .shape((3, 0))
            .create(path)
            .unwrap();
    }),
    ("many axes", |file, path| {
        let shape = [3, 2, 1, 1, 1, 1];
        file.new_dataset::<u64>().shape(shape).create(path).unwrap();
    }),
    ("2^50 rows", |file, path| absurd(file, path, &[1 << 50])),
    ("2^62 rows", |file, path| absurd(file, path, &[1 << 62])),
    ("2^50 pairs", |file, path| absurd(file, path, &[1 << 50, 2])),
    ("2^40 by 2^20", |file, path| {
        absurd(file, path, &[1 << 40, 1 << 20]);
    }),
    ("2^50 names", |file, path| {
        let shape = SimpleExtents::new([Extent::resizable(1 << 50)]);
        let builder = file.new_dataset::<FixedAscii<4>>().shape(shape);
        builder.chunk(16).create(path).unwrap();
    }),
    ("a group", |file, path| {
        file.create_group(path).unwrap();
    }),
];

/// A dataset that claims a shape without any stored data.
fn absurd(file: &hdf5::File, path: &str, shape: &[usize]) {
    let extents = SimpleExtents::new(shape.iter().map(|&n| Extent::resizable(n)));
    let chunk = vec![16; shape.len()];
    let builder = file.new_dataset::<u64>().shape(extents).chunk(chunk);
    builder.create(path).unwrap();
}

#[test]
fn a_dataset_of_any_other_shape_or_type_gets_an_answer() {
    let folder = folder();
    let whole = small_run(folder.path());
    let paths = RunFile::open(&whole).paths();
    let mut refused = 0;
    for path in &paths {
        for (what, change) in DATASETS {
            let hostile = changed(&whole, |file| {
                file.unlink(path).unwrap();
                change(file, path);
            });
            let words = format!("{path} of {what}");
            match look(&hostile, &words) {
                Ok(app) => assert!(app.model.timeline.end() <= 3, "{words}"),
                Err(error) => {
                    // Lists whose lengths match those of other datasets.
                    let lists = ["layout/", "trace/parameter", "lca/histogram_edges"];
                    let layout = lists.iter().any(|list| path.starts_with(list))
                        && error.contains("the layout");
                    let classes = path.ends_with("class/name") && error.contains("classes");
                    assert!(
                        layout || classes || error.contains(path),
                        "{words}: {error}"
                    );
                    refused += 1;
                }
            }
        }
    }
    // The reader does not look at what it does not need.
    assert!(refused > paths.len() * DATASETS.len() / 3, "{refused}");
    assert!(peak_memory() < 1024, "{} MiB", peak_memory());
}

#[test]
fn an_attribute_of_any_other_kind_gets_an_answer() {
    let folder = folder();
    let whole = small_run(folder.path());
    let names = RunFile::open(&whole).0.attr_names().unwrap();
    let changes: &[(&str, Change)] = &[
        ("nothing", |_, _| {}),
        ("a number", |file, name| {
            let attribute = file.new_attr::<u64>().create(name).unwrap();
            attribute.write_scalar(&u64::MAX).unwrap();
        }),
        ("not a number", |file, name| {
            let attribute = file.new_attr::<f64>().create(name).unwrap();
            attribute.write_scalar(&f64::NAN).unwrap();
        }),
        ("text", |file, name| {
            let attribute = file.new_attr::<Text>().create(name).unwrap();
            attribute.write_scalar(&text("a\u{1b}[2J")).unwrap();
        }),
        ("many texts", |file, name| {
            let attribute = file.new_attr::<Text>().shape(8000).create(name).unwrap();
            attribute.write_raw(&vec![text("a"); 8000]).unwrap();
        }),
        ("many numbers", |file, name| {
            let attribute = file.new_attr::<u64>().shape(8000).create(name).unwrap();
            attribute.write_raw(&vec![7; 8000]).unwrap();
        }),
        ("no texts", |file, name| {
            file.new_attr::<VarLenUnicode>()
                .shape(0)
                .create(name)
                .unwrap();
        }),
    ];
    for name in &names {
        for (what, change) in changes {
            let hostile = changed(&whole, |file| {
                file.delete_attr(name).unwrap();
                change(file, name);
            });
            let _ = look(&hostile, &format!("attribute {name} of {what}"));
        }
    }
    assert!(peak_memory() < 1024, "{} MiB", peak_memory());
}

#[test]
fn absurd_numbers_are_shown_or_refused() {
    let folder = folder();
    let whole = small_run(folder.path());
    let reals = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -1.0,
        0.0,
        f64::MAX,
        f64::MIN_POSITIVE,
    ];
    for value in reals {
        let hostile = changed(&whole, |file| {
            for path in RunFile(file.clone()).paths() {
                let dataset = file.dataset(&path).unwrap();
                if crate::common::type_name(&dataset) == "f64" {
                    let values = ndarray::ArrayD::from_elem(dataset.shape(), value);
                    dataset.write(&values).unwrap();
                }
            }
            let tolerance = file.attr("tolerance").unwrap();
            tolerance.write_scalar(&value).unwrap();
        });
        look(&hostile, &format!("all numbers {value}")).unwrap();
    }
    for value in [0, 1 << 40, u64::MAX] {
        let hostile = changed(&whole, |file| {
            file.dataset("state/committed")
                .unwrap()
                .write_raw(&[value])
                .unwrap();
            for name in ["seed", "slice_size", "planned_steps", "steps_per_epoch"] {
                file.attr(name).unwrap().write_scalar(&value).unwrap();
            }
        });
        let app = look(&hostile, &format!("all numbers {value}")).unwrap();
        assert_eq!(app.model.timeline.end(), if value == 0 { 0 } else { 3 });
    }
    for path in [
        "lca/helped",
        "lca/hurt",
        "motion/update_flips",
        "motion/gradient_flips",
        "step/gradient_evals",
        "step/segments",
    ] {
        for value in [1 << 40, u64::MAX] {
            let hostile = changed(&whole, |file| {
                let dataset = file.dataset(path).unwrap();
                let values = ndarray::ArrayD::from_elem(dataset.shape(), value);
                dataset.write(&values).unwrap();
            });
            let error = look(&hostile, path).map(|_| ()).unwrap_err();
            assert!(error.contains(path), "{error}");
            assert!(error.contains(&value.to_string()), "{error}");
        }
    }
}

/// Summaries of many steps are a screen's first view of a long run, and are trusted no more than steps.
#[test]
fn absurd_summaries_are_shown() {
    let folder = folder();
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    let flags = ["tiny.toml", "--steps=70", "--lca-test"];
    let whole = train(folder.path(), "whole.h5", &flags);
    for (real, count) in [
        (f64::NAN, 0),
        (f64::INFINITY, u64::MAX),
        (f64::MAX, u64::MAX / 2),
    ] {
        let hostile = changed(&whole, |file| {
            let level = |path: &String| path.starts_with("pyramid/32/");
            for path in RunFile(file.clone()).paths().into_iter().filter(level) {
                let dataset = file.dataset(&path).unwrap();
                let shape = dataset.shape();
                match crate::common::type_name(&dataset).as_str() {
                    "f64" => dataset.write(&ndarray::ArrayD::from_elem(shape, real)),
                    _ => dataset.write(&ndarray::ArrayD::from_elem(shape, count)),
                }
                .unwrap();
            }
        });
        let reader = RunReader::open(&hostile).unwrap();
        assert_eq!(reader.refresh().unwrap().committed, 70);
        let mut app = App::new(reader.header().clone().into(), Origin::Replay);
        let coarse = reader.merged(&(0..70), 64, 70, 1000).unwrap();
        assert_eq!(coarse.len(), 2);
        assert_eq!(coarse[0].gradient_evals, count.saturating_mul(2));
        app.event(FeedEvent::Steps(coarse));
        assert_eq!(show(app).model.timeline.end(), 70);
    }
}

#[test]
fn rows_that_the_file_cannot_hold_are_ignored() {
    let folder = folder();
    let whole = small_run(folder.path());
    // Every dataset agrees on 2^40 steps, of which only three are stored.
    let hostile = changed(&whole, |file| {
        file.dataset("state/committed")
            .unwrap()
            .write_raw(&[1_u64 << 40])
            .unwrap();
        for path in RunFile(file.clone()).paths() {
            let dataset = file.dataset(&path).unwrap();
            let mut shape = dataset.shape();
            if dataset.is_resizable() {
                shape[0] = (1 << 40) + 1;
                dataset.resize(shape).unwrap();
            }
        }
    });
    let app = look(&hostile, "2^40 steps").unwrap();
    let size = fs::metadata(&hostile).unwrap().len();
    assert!(
        app.model.timeline.end() <= size / 8,
        "{}",
        app.model.timeline.end()
    );
    assert!(peak_memory() < 1024, "{} MiB", peak_memory());
}

/// Rows of any width are believed only as far as the file can hold them.
#[test]
fn wide_rows_that_the_file_cannot_hold_take_no_memory() {
    let folder = folder();
    let whole = small_run(folder.path());
    // A last layer of 10 · 2^32 weights, whose arrays have rows of that width, all of them unstored.
    let inputs = 1_u64 << 32;
    let params = 3925 + 10 * inputs + 10;
    let hostile = changed(&whole, |file| {
        let write = |path: &str, at: usize, value: u64| {
            let dataset = file.dataset(path).unwrap();
            let mut values = dataset.read_raw::<u64>().unwrap();
            values[at] = value;
            dataset.as_writer().write_raw(&values).unwrap();
        };
        write("layout/layer/params", 1, 10 * inputs + 10);
        write("layout/tensor/size", 2, 10 * inputs);
        write("layout/tensor/shape", 9, inputs);
        write("layout/tensor/offset", 3, 3925 + 10 * inputs);
        let row = usize::try_from(params).unwrap();
        for (path, kind) in [
            (
                "param/lca_sum",
                claim::<f64> as fn(&hdf5::File, &str, &[usize]),
            ),
            ("param/helped", claim::<u32>),
            ("param/update_flips", claim::<u32>),
            ("param/gradient_flips", claim::<u32>),
            ("lca/param", claim::<f32>),
            ("weight/value", claim::<f32>),
        ] {
            file.unlink(path).unwrap();
            kind(file, path, &[9, row]);
        }
    });
    let reader = RunReader::open(&hostile).unwrap();
    assert_eq!(reader.header().layout.params() as u64, params);
    ask(&reader, Topic::Synchronisation { class: None }).unwrap();
    ask(&reader, Topic::Synchronisation { class: Some(0) }).unwrap();
    drop(reader);
    look(&hostile, "wide rows").unwrap();
    let _ = lcascope::store::verify(&hostile);
    assert!(peak_memory() < 1024, "{} MiB", peak_memory());

    // The claimed contents of a checkpoint.
    let hostile = changed(&whole, |file| {
        for path in ["checkpoint/0/digest", "checkpoint/1/step"] {
            file.unlink(path).unwrap();
            claim::<u64>(file, path, &[1 << 40]);
        }
    });
    look(&hostile, "a checkpoint").unwrap();
    let checks = lcascope::store::verify(&hostile).unwrap();
    let words = format!("{checks:?}");
    assert!(words.contains("too large for the"), "{words}");
    // Units that are claimed but not listed, and a list without stored data.
    let hostile = changed(&whole, |file| {
        let units = file.dataset("layout/layer/units").unwrap();
        units.write_raw(&[5_u64, 1 << 36]).unwrap();
    });
    let error = look(&hostile, "units").map(|_| ()).unwrap_err();
    assert!(error.contains("units"), "{error}");
    let hostile = changed(&whole, |file| {
        for path in ["lca/param_step", "weight/step", "param/step"] {
            file.unlink(path).unwrap();
            claim::<u64>(file, path, &[1 << 40]);
        }
    });
    let _ = look(&hostile, "2^40 rows");
    let _ = lcascope::store::verify(&hostile);
    let _ = lcascope::store::repair(&hostile);
    assert!(peak_memory() < 1024, "{} MiB", peak_memory());
}

/// A dataset of rows without stored data.
fn claim<T: hdf5::H5Type>(file: &hdf5::File, path: &str, shape: &[usize]) {
    let extents = SimpleExtents::new(shape.iter().map(|&n| Extent::resizable(n)));
    let chunk = vec![16; shape.len()];
    let builder = file.new_dataset::<T>().shape(extents).chunk(chunk);
    builder.create(path).unwrap();
}

#[test]
fn names_cannot_control_the_terminal() {
    let folder = folder();
    let whole = small_run(folder.path());
    let name = "a\u{1b}]0;owned\u{7}\u{202e}\nstatus finished";
    let hostile = changed(&whole, |file| {
        let name: FixedUnicode<64> = name.parse().unwrap();
        let layers = file.dataset("layout/layer/name").unwrap();
        layers.write_raw(&[name, name]).unwrap();
        for attribute in ["network", "dataset", "device", "producer", "integrator"] {
            let text: VarLenUnicode = "a\u{1b}[31m\nstatus finished".parse().unwrap();
            file.attr(attribute).unwrap().write_scalar(&text).unwrap();
        }
    });
    look(&hostile, "names").unwrap();
    let mut info = lcascope();
    info.arg("info").arg(&hostile);
    let info = Outcome::of(info);
    assert_eq!(info.code, Some(0), "{info:?}");
    let harmless =
        |c: char| c == '\n' || !(c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    assert!(info.stdout.chars().all(harmless), "{info:?}");
    let lines = info
        .stdout
        .lines()
        .filter(|line| line.starts_with("status"));
    assert_eq!(lines.count(), 1, "{info:?}");
}

#[test]
fn bytes_of_any_kind_get_one_line() {
    let folder = folder();
    let whole = small_run(folder.path());
    let bytes = fs::read(&whole).unwrap();
    let signature = &bytes[..8];
    let path = folder.path().join("hostile.h5");
    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("empty".to_owned(), Vec::new()),
        ("zeros".to_owned(), vec![0; 4096]),
        ("signature".to_owned(), signature.to_vec()),
        (
            "signature and zeros".to_owned(),
            [signature, &[0; 4096]].concat(),
        ),
        (
            "signature and ones".to_owned(),
            [signature, &[0xff; 4096]].concat(),
        ),
        ("twice".to_owned(), [&bytes[..], &bytes[..]].concat()),
    ];
    for version in 0..=4 {
        let mut other = bytes.clone();
        other[8] = version;
        cases.push((format!("superblock {version}"), other));
    }
    for length in [
        9,
        12,
        47,
        48,
        96,
        500,
        1000,
        5000,
        bytes.len() / 2,
        bytes.len() - 1,
    ] {
        cases.push((format!("cut at {length}"), bytes[..length].to_vec()));
    }
    for (what, bytes) in cases {
        fs::write(&path, bytes).unwrap();
        for command in ["info", "open"] {
            let mut run = lcascope();
            run.arg(command).arg(&path);
            let outcome = Outcome::of(run);
            if outcome.code == Some(0) || outcome.stderr.contains("needs a terminal") {
                continue;
            }
            outcome.fails(1, &["hostile.h5"]);
            assert_eq!(outcome.stderr.lines().count(), 1, "{what}: {outcome:?}");
        }
    }
}

/// The child of a run that has ended waits for questions and does nothing; that of one that goes on looks at the file
/// again and again.
#[test]
fn only_a_child_without_progress_times_out() {
    let folder = folder();
    let ended = small_run(folder.path());
    let going = changed(&ended, |file| {
        let status = file.dataset("state/status").unwrap();
        status.write_raw(&[0_u8]).unwrap();
    });
    let last_words = |path: &Path, patience: u64| {
        let patience = Duration::from_secs(patience);
        let mut reader = Command::new(lcascope().get_program());
        reader.arg("reader").arg(path).env("LCASCOPE_GUARDED", "1");
        let opening = feed::spawn(reader, path).unwrap();
        let feed = opening.ready.recv().unwrap().unwrap();
        let answers = feed.details.unwrap().answers;
        let mut events = std::iter::from_fn(|| feed.events.recv_timeout(patience).ok())
            .chain(std::iter::from_fn(|| answers.recv_timeout(patience).ok()));
        events.find_map(|event| match event {
            FeedEvent::Broken(why) => Some(why),
            _ => None,
        })
    };
    let why = last_words(&ended, 60).unwrap();
    assert!(
        why.starts_with("reading this file made no progress"),
        "{why}"
    );
    assert_eq!(last_words(&going, 4), None);
}

/// A file that this program cannot read may still be replaced.
#[test]
fn damaged_files_can_be_overwritten_by_force_but_not_repeated() {
    let folder = folder();
    let whole = small_run(folder.path());
    let bytes = fs::read(&whole).unwrap();
    let path = folder.path().join("hostile.h5");
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let mut repeat = lcascope();
    repeat
        .args(["train", "--quiet", "--output=repeated.h5", "--config"])
        .arg(&path);
    Outcome::of(repeat).fails(1, &["hostile.h5", "cannot"]);
    train(folder.path(), "hostile.h5", &["--steps=1", "--force"]);
    assert_eq!(
        RunReader::open(&path).unwrap().refresh().unwrap().committed,
        1
    );
}

/// Checks that the output contains nothing that a terminal obeys.
#[track_caller]
fn assert_harmless(outcome: &Outcome, what: &str) {
    let obeyed = |c: char| c != '\n' && is_invisible_control(c);
    let said = [&outcome.stdout, &outcome.stderr];
    assert!(
        !said.into_iter().any(|it| it.chars().any(obeyed)),
        "{what}: {outcome:?}"
    );
}

/// Runs commands separated by `|` in a folder, within the system's memory limit.
fn bounded(folder: &Path, words: &str) -> Outcome {
    within(6, folder, words)
}

/// Runs words like [`bounded`], within so many GiB of address space.
fn within(gigabytes: u64, folder: &Path, words: &str) -> Outcome {
    let limit = format!("ulimit -v {}; exec \"$0\" \"$@\"", gigabytes << 20);
    let mut command = Command::new("sh");
    command
        .args(["-c", &limit])
        .arg(lcascope().get_program())
        .args(words.split('|'))
        .current_dir(folder)
        .env("XDG_CONFIG_HOME", folder)
        .stdin(std::process::Stdio::null());
    Outcome::of(command)
}

const ESCAPES: &str = "\\u001b]0;owned\\u0007\\u202e\\u200b";

#[test]
#[expect(clippy::too_many_lines, reason = "a table of inputs and messages")]
fn hostile_toml_gets_a_harmless_answer() {
    let folder = folder();
    let deep =
        |open: &str, close: &str, n: usize| format!("a = {}{}", open.repeat(n), close.repeat(n));
    let cases = [
        ("a key", format!("\"{ESCAPES}\" = 1"), "unknown"),
        ("a value", format!("data = \"/x{ESCAPES}y\""), "/x"),
        (
            "a path to nothing",
            format!("network = \"{ESCAPES}\""),
            "network",
        ),
        (
            "a bare escape",
            "data = 1 # \u{1b}[2J\u{202e}".to_owned(),
            "x.toml",
        ),
        (
            "a line that is wrong",
            "data = = \u{202e}\u{200b}".to_owned(),
            "x.toml",
        ),
        ("lists in lists", deep("[", "]", 100_000), "x.toml"),
        ("unclosed lists", deep("[", "", 100_000), "x.toml"),
        ("tables in tables", deep("{a=", "}", 50_000), "x.toml"),
        (
            "a long way",
            format!("{}a = 1", "a.".repeat(100_000)),
            "x.toml",
        ),
        (
            "a large number",
            "steps = 99999999999999999999999".to_owned(),
            "x.toml",
        ),
        ("a negative number", "steps = -1".to_owned(), "x.toml"),
        (
            "the largest number",
            "steps = 9223372036854775807\nbatch-size = 9223372036854775807".to_owned(),
            "error",
        ),
        ("no number", "learning-rate = nan".to_owned(), "learning"),
        (
            "the same twice",
            "steps = 1\nsteps = 2".to_owned(),
            "x.toml",
        ),
        ("a zero byte", "steps = 1\0".to_owned(), "x.toml"),
        (
            "another type",
            "steps = [1]\ndata = {}".to_owned(),
            "x.toml",
        ),
        (
            "a layer's name",
            format!("[layer.\"{ESCAPES}\"]\nlearning-rate = 0.1"),
            "error",
        ),
    ];
    for (what, text, said) in cases {
        fs::write(folder.path().join("x.toml"), text).unwrap();
        let outcome = bounded(folder.path(), "train|--config|x.toml|-q|-o|x.h5|--steps|1");
        assert!(matches!(outcome.code, Some(1 | 2)), "{what}: {outcome:?}");
        assert!(
            outcome.stderr.starts_with("error: ") && outcome.stderr.contains(said),
            "{what}: {outcome:?}"
        );
        assert_harmless(&outcome, what);
    }
    let layers = |layer: &str| {
        format!("name = 'n'\n[[layer]]\n{layer}\n[[layer]]\nkind = 'linear'\nunits = 10\n")
    };
    let residual = |n: usize| {
        let (open, close) = ("{kind = 'residual', body = [".repeat(n), "]}".repeat(n));
        format!("kind = 'residual'\nbody = [{open}{close}]")
    };
    let cases = [
        ("a key", format!("name = 'n'\n\"{ESCAPES}\" = 1"), "unknown"),
        (
            "a name",
            format!("name = \"{ESCAPES}\"\n[[layer]]\nkind = 'linear'\nunits = 10"),
            "name",
        ),
        (
            "a layer's name",
            layers(&format!("kind = 'linear'\nunits = 5\nname = \"{ESCAPES}\"")),
            "name",
        ),
        (
            "a kind",
            layers(&format!("kind = \"{ESCAPES}\"")),
            "variant",
        ),
        (
            "a huge layer",
            layers("kind = 'linear'\nunits = 9223372036854775807"),
            "layer",
        ),
        (
            "a kernel",
            layers("kind = 'conv'\nchannels = 4294967296\nkernel = 4294967296"),
            "layer",
        ),
        ("blocks in blocks", layers(&residual(30)), "layer"),
        (
            "very many blocks in blocks",
            layers(&residual(20_000)),
            "x.toml",
        ),
        ("no layers", "name = 'n'\nlayer = []".to_owned(), "layer"),
    ];
    for (what, text, said) in cases {
        fs::write(folder.path().join("x.toml"), text).unwrap();
        let outcome = bounded(folder.path(), "train|x.toml|-q|-o|x.h5|--steps|1");
        assert!(matches!(outcome.code, Some(1 | 2)), "{what}: {outcome:?}");
        assert!(
            outcome.stderr.starts_with("error: ") && outcome.stderr.contains(said),
            "{what}: {outcome:?}"
        );
        assert_harmless(&outcome, what);
    }
    let text = format!("name = \"{ESCAPES}\"\n\"{ESCAPES}\" = 1");
    fs::write(folder.path().join("x.toml"), &text).unwrap();
    let outcome = bounded(folder.path(), "experiment|x.toml|-o|out");
    assert!(matches!(outcome.code, Some(1 | 2)), "{outcome:?}");
    assert_harmless(&outcome, "an experiment");
    fs::create_dir(folder.path().join("lcascope")).unwrap();
    fs::write(folder.path().join("lcascope/config.toml"), &text).unwrap();
    assert_harmless(
        &bounded(folder.path(), "config"),
        "the user's configuration",
    );
    assert!(!folder.path().join("x.h5").exists());
}

/// File names and other arguments may come from anywhere, as in `lcascope info *`.
#[test]
fn arguments_cannot_control_the_terminal() {
    let folder = folder();
    let whole = small_run(folder.path());
    let odd = "a\u{1b}]0;owned\u{7}\u{202e}\u{200b}";
    let file = folder.path().join(format!("{odd}.h5"));
    fs::copy(&whole, &file).unwrap();
    fs::write(folder.path().join(format!("{odd}-text.h5")), "text").unwrap();
    for words in [
        "info|ODD.h5",
        "info|ODD-text.h5",
        "info|ODD",
        "info|ODD.h5|ODD.h5|ODD.h5",
        "verify|ODD.h5",
        "repair|ODD.h5",
        "stop|ODD.h5",
        "pause|ODD.h5",
        "export|ODD.h5|--view|layers|-o|-",
        "export|ODD.h5|--view|ODD",
        "export|ODD.h5|--view|layers|--layer|ODD",
        "report|ODD.h5|-o|ODD",
        "list",
        "list|ODD",
        "train|--resume|ODD.h5|-q",
        "train|--resume|ODD-text.h5|-q",
        "train|--config|ODD|-q",
        "train|--data|ODD|-q",
        "train|--ODD",
        "ODD",
        "allocate|ODD|-q",
        "experiment|ODD|-o|ODD",
        "open|ODD",
        "open|ODD-text.h5",
    ] {
        let outcome = bounded(folder.path(), &words.replace("ODD", odd));
        assert_harmless(&outcome, words);
    }
}

#[test]
fn hostile_weights_get_a_harmless_answer() {
    let folder = folder();
    let weights = folder.path().join("weights");
    fs::create_dir(&weights).unwrap();
    let header = |text: &str, values: usize| {
        let length = (text.len() as u64).to_le_bytes();
        [&length[..], text.as_bytes(), &vec![0; values]].concat()
    };
    let tensor = |name: &str, shape: &str, from: u64, to: u64| {
        format!(
            "{{\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}}}"
        )
    };
    let cases = [
        ("nothing", Vec::new()),
        ("half a length", vec![0; 4]),
        ("a length of 2^63", (1_u64 << 63).to_le_bytes().to_vec()),
        (
            "a header longer than the file",
            [&1_000_000_u64.to_le_bytes()[..], b"{}"].concat(),
        ),
        ("no JSON", header("\u{1b}[2J", 0)),
        ("lists in lists", header(&"[".repeat(1_000_000), 0)),
        ("tables in tables", header(&"{\"a\":".repeat(200_000), 0)),
        (
            "a shape beyond counting",
            header(&tensor("fc1.weight", "[4294967296,4294967296]", 0, 8), 8),
        ),
        (
            "a shape of 2^62",
            header(&tensor("fc1.weight", "[4611686018427387904]", 0, 8), 8),
        ),
        (
            "values beyond the end",
            header(&tensor("fc1.weight", "[1000000]", 0, 4_000_000), 8),
        ),
        (
            "values that end before they begin",
            header(&tensor("fc1.weight", "[2]", 8, 0), 8),
        ),
        ("a name", header(&tensor(ESCAPES, "[2]", 0, 8), 8)),
        ("no tensors", header("{}", 0)),
    ];
    for (what, bytes) in cases {
        for name in ["1.safetensors", "2.safetensors"] {
            fs::write(weights.join(name), &bytes).unwrap();
        }
        let outcome = bounded(folder.path(), "allocate|weights|-q|-o|x.h5");
        outcome.fails(1, &["1.safetensors"]);
        assert_harmless(&outcome, what);
    }
}

#[test]
fn hostile_arrays_get_a_harmless_answer() {
    use std::io::{Cursor, Write};
    let folder = folder();
    let npy = |text: &str| {
        let length = u16::try_from(text.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes()].concat()
    };
    let archive = |name: &str, bytes: &[u8]| {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
        zip.finish().unwrap().into_inner()
    };
    let shape =
        |shape: &str| format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
    let odd = "x\u{1b}]0;owned\u{7}\u{202e}";
    let cases = [
        (
            "an array's name",
            archive(&format!("{odd}.npy"), &npy(&shape("(1,)"))),
        ),
        (
            "a type",
            archive("x_train.npy", &npy(&shape("(1,)").replace("|u1", odd))),
        ),
        (
            "a shape",
            archive(
                "x_train.npy",
                &npy(&shape("(18446744073709551615, 18446744073709551615)")),
            ),
        ),
        (
            "brackets",
            archive("x_train.npy", &npy(&shape(&"(".repeat(60_000)))),
        ),
        (
            "a header longer than the file",
            archive("x_train.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"),
        ),
        ("zeros", archive("x_train.npy", &vec![0; 50 << 20])),
    ];
    for (what, bytes) in cases {
        fs::write(folder.path().join("x.npz"), &bytes).unwrap();
        let outcome = bounded(folder.path(), "train|--data|x.npz|-q|-o|x.h5|--steps|1");
        outcome.fails(1, &["x"]);
        assert_harmless(&outcome, what);
        assert!(!folder.path().join("x.h5").exists(), "{what}");
    }
}

/// An IDX file: its magic number and axes, then its values.
fn idx(magic: u32, axes: &[u32], values: &[u8]) -> Vec<u8> {
    let header = std::iter::once(&magic).chain(axes);
    let header = header.flat_map(|word| word.to_be_bytes());
    header.chain(values.iter().copied()).collect()
}

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;

fn gzip(start: &[u8], zeros: usize) -> Vec<u8> {
    use std::io::Write;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(start).unwrap();
    for _ in 0..zeros >> 20 {
        packed.write_all(&vec![0; 1 << 20]).unwrap();
    }
    packed.finish().unwrap()
}

/// A whole data set in IDX files: ten images of 2 × 2, of ten classes, and as many held out.
fn idx_set(folder: &Path) {
    let labels: Vec<u8> = (0..10).collect();
    for part in ["train", "t10k"] {
        let images = idx(IMAGES, &[10, 2, 2], &[100; 40]);
        fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        let labels = idx(LABELS, &[10], &labels);
        fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of inputs and messages")]
fn hostile_idx_gets_a_harmless_answer() {
    let most = u32::MAX;
    let damaged = {
        let mut packed = gzip(&idx(IMAGES, &[10, 2, 2], &[100; 40]), 0);
        let end = packed.len() - 6;
        packed[end] ^= 0xff;
        packed
    };
    let of_images: &[(&str, Vec<u8>, &str)] = &[
        (
            "nothing",
            Vec::new(),
            "contains 0 bytes, too few for an IDX header of 16",
        ),
        ("a byte", vec![0], "contains 1 bytes"),
        ("a magic number", idx(IMAGES, &[], &[]), "contains 4 bytes"),
        (
            "a header without its end",
            idx(IMAGES, &[10, 2], &[0; 3]),
            "contains 15 bytes",
        ),
        (
            "text",
            b"\x1b]0;owned\x07".to_vec(),
            "magic number is 0x1b5d303b (text)",
        ),
        ("a page", b"<!DOCTYPE html>".to_vec(), "an HTML page"),
        (
            "labels",
            idx(LABELS, &[10], &[0; 10]),
            "an IDX file of labels",
        ),
        (
            "floats",
            idx(0x0d03, &[10, 2, 2], &[0; 160]),
            "IDX of an unexpected type",
        ),
        (
            "255 axes",
            idx(0x08ff, &[1; 255], &[0]),
            "IDX of an unexpected type",
        ),
        ("gzip in gzip", gzip(&gzip(b"x", 0), 0), "gzip inside gzip"),
        (
            "no images",
            idx(IMAGES, &[0, 2, 2], &[]),
            "header says 0 images",
        ),
        ("no pixels", idx(IMAGES, &[10, 2, 0], &[]), "images of 2x0"),
        (
            "pixels beyond counting",
            idx(IMAGES, &[most; 3], &[0]),
            "images of 4294967295x4294967295",
        ),
        (
            "images beyond counting",
            idx(IMAGES, &[most, 2, 2], &[0; 40]),
            "4294967295 images of 2x2 = 17179869180 bytes, more than the limit of 1073741824",
        ),
        (
            "more images than there are",
            idx(IMAGES, &[100_000_000, 2, 2], &[0; 40]),
            "truncated: header says 100000000 images of 2x2 = 400000000 bytes, but the file has 40",
        ),
        (
            "fewer images than there are",
            idx(IMAGES, &[9, 2, 2], &[0; 40]),
            "but more bytes follow",
        ),
        (
            "fewer images than labels",
            idx(IMAGES, &[9, 2, 2], &[0; 36]),
            "has 9 images but",
        ),
        (
            "a bomb",
            gzip(&idx(IMAGES, &[10, 2, 2], &[0; 40]), 100 << 20),
            "but more bytes follow",
        ),
        (
            "a bomb of as many images as may be",
            gzip(&idx(IMAGES, &[(1 << 28) - 1, 2, 2], &[]), 1 << 30),
            "not enough memory for 1073741820 values: as floats they need 4.0 GiB, but this process is limited to 2.0 GiB",
        ),
        (
            "gzip without its end",
            gzip(&idx(IMAGES, &[10, 2, 2], &[100; 40]), 0)[..30].to_vec(),
            "damaged gzip",
        ),
        ("gzip with another checksum", damaged, "damaged gzip"),
    ];
    let of_labels: &[(&str, Vec<u8>, &str)] = &[
        (
            "nothing",
            Vec::new(),
            "contains 0 bytes, too few for an IDX header of 8",
        ),
        (
            "images",
            idx(IMAGES, &[10, 1, 1], &[0; 10]),
            "an IDX file of images",
        ),
        ("no labels", idx(LABELS, &[0], &[]), "header says 0 labels"),
        (
            "labels beyond counting",
            idx(LABELS, &[most], &[0; 10]),
            "4294967295 labels",
        ),
        (
            "more labels than there are",
            idx(LABELS, &[1 << 30], &[0; 10]),
            "truncated",
        ),
        (
            "fewer labels than images",
            idx(LABELS, &[9], &[0; 9]),
            "has 10 images but",
        ),
        (
            "a bomb",
            gzip(&idx(LABELS, &[10], &[0; 10]), 100 << 20),
            "but more bytes follow",
        ),
        (
            "a bomb of many labels",
            gzip(&idx(LABELS, &[100 << 20], &[]), 100 << 20),
            "has 10 images but",
        ),
        (
            "rows without numbers",
            idx(0x0c02, &[10, 0], &[]),
            "has 10 images but",
        ),
        (
            "rows beyond counting",
            idx(0x0c02, &[most, most], &[]),
            "more than the limit",
        ),
        (
            "a label beyond bytes",
            idx(0x0c02, &[1, 1], &[0, 0, 1, 44]),
            "row 0 (counting from 0) has label 300",
        ),
        (
            "a label below 0",
            idx(0x0c02, &[1, 1], &[0xff; 4]),
            "has label -1",
        ),
    ];
    let kinds = [
        ("train-images-idx3-ubyte", of_images),
        ("t10k-labels-idx1-ubyte", of_labels),
    ];
    for (name, cases) in kinds {
        for (what, bytes, said) in cases {
            let folder = folder();
            idx_set(folder.path());
            fs::write(folder.path().join(name), bytes).unwrap();
            let outcome = within(2, folder.path(), "train|--data|.|-q|-o|x.h5|--steps|1");
            outcome.fails(1, &[name, said]);
            assert_eq!(outcome.stderr.lines().count(), 1, "{what}: {outcome:?}");
            assert_harmless(&outcome, what);
            assert!(!folder.path().join("x.h5").exists(), "{what}");
        }
    }
    // A class for each label up to the highest.
    let folder = folder();
    idx_set(folder.path());
    let labels = idx(LABELS, &[10], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 200]);
    fs::write(folder.path().join("train-labels-idx1-ubyte"), labels).unwrap();
    let outcome = within(2, folder.path(), "train|--data|.|-q|-o|x.h5|--steps|1");
    outcome.fails(2, &["10 outputs", "201 classes"]);
}

/// Bytes that fit, and do not as floats.
#[test]
fn data_that_do_not_fit_as_floats_are_refused_with_their_sizes() {
    let refused = |train: u32, held_out: u32, gigabytes| {
        let folder = folder();
        for (part, count) in [("train", train), ("t10k", held_out)] {
            // Of zeros that are not stored.
            for (kind, start) in [
                ("images-idx3", idx(IMAGES, &[count, 200, 250], &[])),
                ("labels-idx1", idx(LABELS, &[count], &[])),
            ] {
                let values = u64::from(count) * if kind == "images-idx3" { 50_000 } else { 1 };
                let path = folder.path().join(format!("{part}-{kind}-ubyte"));
                fs::write(&path, &start).unwrap();
                let file = fs::File::options().write(true).open(path).unwrap();
                file.set_len(start.len() as u64 + values).unwrap();
            }
        }
        let words = "train|--data|.|-q|-o|x.h5|--steps|1";
        let outcome = within(gigabytes, folder.path(), words);
        outcome.fails(1, &["train-images-idx3-ubyte", "use a smaller data set"]);
        outcome.stderr
    };
    // From the header, from both headers, and from the system.
    for (sizes, said) in [
        (
            (20_000, 1, 3),
            "1000000000 values: as floats they need 3.7 GiB, but this process is limited to 3.0 GiB",
        ),
        (
            (3_000, 3_000, 1),
            "300000000 values: as floats they need 1.1 GiB, but this process is limited to 1.0 GiB",
        ),
        (
            (5_000, 1, 1),
            "250000000 values: as floats they need 953.7 MiB, but this process is limited to 1.0 GiB",
        ),
    ] {
        let (train, held_out, gigabytes) = sizes;
        let message = refused(train, held_out, gigabytes);
        assert!(message.contains(said), "{message}");
    }
}

/// A name may look like a spreadsheet formula, or like markup.
#[test]
fn names_are_neither_formulas_nor_markup() {
    let folder = folder();
    let whole = small_run(folder.path());
    let names = ["=1+1+cmd|' /C calc'!A0", "<script>alert(1)</script>![x](y)"];
    let hostile = changed(&whole, |file| {
        let layers = file.dataset("layout/layer/name").unwrap();
        let names = names.map(|name| name.parse::<FixedUnicode<64>>().unwrap());
        layers.write_raw(&names).unwrap();
        let network: VarLenUnicode = names[1].as_str().parse().unwrap();
        file.attr("network")
            .unwrap()
            .write_scalar(&network)
            .unwrap();
    });
    let mut export = lcascope();
    export
        .args(["export", "--view", "layers", "-o", "-"])
        .arg(&hostile);
    let table = Outcome::of(export);
    assert_eq!(table.code, Some(0), "{table:?}");
    let mut reader = csv::Reader::from_reader(table.stdout.as_bytes());
    let formula = |cell: &str| {
        cell.starts_with(['=', '@'])
            || (cell.starts_with(['+', '-']) && cell.parse::<f64>().is_err())
    };
    let mut found = false;
    for record in reader.records() {
        let record = record.unwrap();
        assert!(!record.iter().any(formula), "{record:?}");
        found |= record.iter().any(|cell| cell == format!("'{}", names[0]));
    }
    assert!(found, "{table:?}");
    let mut report = lcascope();
    report
        .arg("report")
        .arg(&hostile)
        .arg("-o")
        .arg(folder.path().join("report"));
    let report = Outcome::of(report);
    assert_eq!(report.code, Some(0), "{report:?}");
    let page = fs::read_to_string(folder.path().join("report/report.html")).unwrap();
    assert!(!page.contains("<script>alert"));
    let text = fs::read_to_string(folder.path().join("report/report.md")).unwrap();
    assert!(!text.contains("<script>") && !text.contains("![x](y)"));
}
