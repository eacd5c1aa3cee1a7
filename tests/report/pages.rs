//! `lcascope report` from outside: complete folders, well-formed pages, and the numbers of the run file as read with
//! the HDF5 library alone.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::common::{Outcome, RunFile, columns, lcascope};
use hdf5::types::VarLenUnicode;
use lcascope::text::is_invisible_control;
use tempfile::TempDir;

/// A run with everything recorded.
fn small() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs/small.h5")
}

fn report(files: &[&Path], flags: &[&str], folder: &Path) -> Outcome {
    let mut command = lcascope();
    command
        .arg("report")
        .args(files)
        .arg("-o")
        .arg(folder)
        .args(flags);
    Outcome::of(command)
}

#[track_caller]
fn reported(files: &[&Path], folder: &Path) {
    let outcome = report(files, &[], folder);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

/// A copy of the run, changed by `change`.
fn changed(path: &Path, change: impl FnOnce(&hdf5::File)) {
    fs::copy(small(), path).unwrap();
    let file = hdf5::File::open_rw(path).unwrap();
    change(&file);
    file.close().unwrap();
}

/// Gives the run another seed, and multiplies the allocations of its layers and tensors by `scale`.
fn another_seed(file: &hdf5::File, seed: u64, scale: f64) {
    file.attr("seed").unwrap().write_scalar(&seed).unwrap();
    for name in ["lca/layer", "lca/tensor"] {
        let data = file.dataset(name).unwrap();
        let values: ndarray::Array2<f64> = data.read().unwrap();
        data.write(&(values * scale)).unwrap();
    }
}

/// Numeric columns of a CSV; text is NaN.
fn csv(folder: &Path, name: &str) -> HashMap<String, Vec<f64>> {
    let path = folder.join("data").join(format!("{name}.csv"));
    columns(&fs::read(&path).unwrap_or_else(|e| panic!("{name}: {e}")))
}

#[track_caller]
fn near(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(expected) {
        let same = (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * b.abs().max(1e-3);
        assert!(same, "{what}: {a} is not {b}");
    }
}

/// Reads the page.
fn page(folder: &Path) -> String {
    fs::read_to_string(folder.join("report.html")).unwrap()
}

fn parsed(page: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..roxmltree::ParsingOptions::default()
    };
    roxmltree::Document::parse_with_options(page, options).unwrap()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let stem = |entry: fs::DirEntry| {
        entry
            .path()
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    };
    entries.map(|entry| stem(entry.unwrap())).collect()
}

/// Sums over the rows of a `[T, n]` dataset.
fn sums(file: &RunFile, name: &str) -> Vec<f64> {
    let table = file.reals(name);
    let mut sums = vec![0.0; table.row(0).len()];
    for t in 0..table.rows() {
        for (sum, value) in sums.iter_mut().zip(table.row(t)) {
            *sum += value;
        }
    }
    sums
}

fn counts(file: &RunFile, name: &str) -> Vec<f64> {
    let table = file.counts(name);
    let mut sums = vec![0; table.row(0).len()];
    for t in 0..table.rows() {
        for (sum, value) in sums.iter_mut().zip(table.row(t)) {
            *sum += value;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    sums.into_iter().map(|sum| sum as f64).collect()
}

/// The run with everything recorded, and its report, made once.
fn of_small() -> (&'static Path, RunFile) {
    static REPORT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, folder) = REPORT.get_or_init(|| {
        let scratch = TempDir::new().unwrap();
        let folder = scratch.path().join("report");
        reported(&[&small()], &folder);
        (scratch, folder)
    });
    (folder, RunFile::open(&small()))
}

/// The number of parameters in each layer.
#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn params(file: &RunFile) -> Vec<f64> {
    let params = file.counts("layout/layer/params").values;
    params.iter().map(|n| *n as f64).collect()
}

/// Steps of the run with everything recorded.
const STEPS: f64 = 48.0;

#[test]
fn losses_and_sums_are_those_of_the_file() {
    let (folder, file) = of_small();
    let n = 48;
    let layers = file.names("layout/layer/name");
    let loss = csv(folder, "loss");
    near(
        &loss["training loss (nats)"],
        &file.reals("loss/train").values,
        "loss",
    );
    near(
        &loss["held-out loss (nats)"],
        &file.reals("loss/test").values,
        "held-out loss",
    );

    let cumulative = csv(folder, "cumulative");
    let lca = file.reals("lca/layer");
    for (at, name) in layers.iter().enumerate() {
        let mut sum = 0.0;
        let mut expected = vec![0.0];
        for t in 0..n {
            sum += lca.row(t)[at];
            expected.push(sum);
        }
        near(&cumulative[&format!("{name} (nats)")], &expected, name);
    }

    let totals = csv(folder, "layers");
    let by_layer = sums(&file, "lca/layer");
    near(&totals["LCA (nats)"], &by_layer, "LCA by layer");
    let closure = csv(folder, "closure");
    near(
        &closure["residual (nats)"],
        &[file.reals("lca/residual").values.iter().sum()],
        "residual",
    );
    let tensors = csv(folder, "tensors");
    near(
        &tensors["LCA (nats)"],
        &sums(&file, "lca/tensor"),
        "LCA by tensor",
    );
}

#[test]
fn counts_are_those_of_the_file() {
    let (folder, file) = of_small();
    let params = params(&file);
    let (helped, hurt) = (counts(&file, "lca/helped"), counts(&file, "lca/hurt"));
    let help = csv(folder, "help");
    let all: f64 = params.iter().sum();
    let share = |part: &[f64]| -> Vec<f64> {
        let whole = 100.0 * part.iter().sum::<f64>() / (all * STEPS);
        let each = part
            .iter()
            .zip(&params)
            .map(|(part, all)| 100.0 * part / (all * STEPS));
        std::iter::once(whole).chain(each).collect()
    };
    near(&help["help (%)"], &share(&helped), "helped");
    near(&help["hurt (%)"], &share(&hurt), "hurt");

    let flips = |name: &str| -> Vec<f64> {
        let pairs = counts(&file, name).into_iter().zip(&params);
        pairs
            .map(|(flips, params)| params * STEPS / flips)
            .collect()
    };
    let oscillation = csv(folder, "oscillation");
    near(
        &oscillation["sign flip of updates every (steps)"],
        &flips("motion/update_flips"),
        "turns",
    );
    near(
        &oscillation["turning point of gradients every (steps)"],
        &flips("motion/gradient_turns"),
        "gradient turns",
    );
    let crossings = &oscillation["sign flip of gradients every (steps)"];
    near(crossings, &flips("motion/gradient_flips"), "crossings");

    let helped = file.counts("param/helped");
    let mut bins = vec![0.0; 50];
    for count in helped.row(helped.rows() - 1) {
        let bin = usize::try_from(count * 50 / 48).unwrap();
        bins[bin.min(49)] += 100.0 / all;
    }
    near(
        &csv(folder, "iterations-helped")["parameters (%)"],
        &bins,
        "iterations helped",
    );

    let mut octaves = vec![0.0; 84];
    for (at, count) in file.counts("lca/histogram").values.iter().enumerate() {
        octaves[at % 84] += f64::from(u32::try_from(*count).unwrap());
    }
    for name in ["allocations-linear", "allocations-log"] {
        near(&csv(folder, name)["allocations"], &octaves, name);
    }
}

#[test]
fn classes_units_and_costs_are_those_of_the_file() {
    let (folder, file) = of_small();
    let layers = file.names("layout/layer/name");
    let mut classes = vec![0.0; 10];
    for (at, a) in file.singles("lca/class_layer").values.iter().enumerate() {
        classes[at / layers.len() % 10] += f64::from(*a);
    }
    near(&csv(folder, "classes")["LCA (nats)"], &classes, "classes");

    let by_class = file.reals("loss/train_class");
    let after = by_class.row(by_class.rows() - 1);
    near(
        &csv(folder, "classes")["loss after (nats)"],
        after,
        "losses by class",
    );

    let mut units: Vec<f64> = vec![0.0; 20];
    for (at, a) in file.singles("lca/unit").values.iter().enumerate() {
        units[at % 20] += f64::from(*a);
    }
    units.sort_by(f64::total_cmp);
    near(&csv(folder, "units-all")["LCA (nats)"], &units, "units");

    let held_out = csv(folder, "held-out");
    near(
        &held_out["held-out LCA (nats)"],
        &sums(&file, "lca_test/layer"),
        "held out",
    );

    let residuals: f64 = csv(folder, "residuals")["steps"].iter().sum();
    near(&[residuals], &[STEPS], "residuals");
    let evals = file.counts("step/gradient_evals").values;
    let evals = f64::from(u32::try_from(evals.iter().sum::<u64>()).unwrap());
    near(
        &csv(folder, "cost")["full gradients per step"],
        &[evals / STEPS],
        "gradients",
    );
}

#[test]
fn a_page_is_self_contained() {
    let scratch = TempDir::new().unwrap();
    let folder = scratch.path().join("report");
    reported(&[&small()], &folder);
    let (data, figures) = (names(&folder.join("data")), names(&folder.join("figures")));
    assert!(
        figures.len() >= 15 && figures.is_subset(&data),
        "{figures:?}"
    );
    let text = page(&folder);
    let page = parsed(&text);
    let elements = || page.descendants().filter(roxmltree::Node::is_element);
    let svg = elements().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "svg")));
    // One for a wide page and one for a phone.
    assert_eq!(svg.count(), 2 * figures.len());
    for node in elements() {
        let name = node.tag_name().name();
        assert!(
            !["script", "img", "iframe", "object", "embed"].contains(&name),
            "{name}"
        );
        for attribute in node.attributes() {
            if attribute.name() == "href" {
                let to = attribute.value();
                assert!(
                    ["#", "data:", "data/"].iter().any(|it| to.starts_with(it)),
                    "{to}"
                );
                let file = to.strip_prefix("data/").filter(|it| !it.starts_with(':'));
                assert!(
                    file.is_none_or(|file| folder.join("data").join(file).is_file()),
                    "{to}"
                );
            }
            assert!(!attribute.value().contains("url("), "{attribute:?}");
        }
    }
    let headings: Vec<&str> = elements()
        .filter(|n| n.has_tag_name("h2"))
        .filter_map(|n| n.text())
        .collect();
    assert_eq!(headings.len(), 15, "{headings:?}");
    assert!(!text.contains("Not recorded"), "everything is recorded");
    let markdown = fs::read_to_string(folder.join("report.md")).unwrap();
    for name in &figures {
        assert!(
            markdown.contains(&format!("](figures/{name}.svg)")),
            "{name}"
        );
        let picture =
            fs::read_to_string(folder.join("figures").join(format!("{name}.svg"))).unwrap();
        assert!(roxmltree::Document::parse(&picture).is_ok(), "{name}");
    }
    for name in &data {
        assert!(markdown.contains(&format!("](data/{name}.csv)")), "{name}");
    }
}

#[test]
fn repeats_are_averaged_and_tested() {
    let scratch = TempDir::new().unwrap();
    let [second, third, copy] =
        ["second.h5", "third.h5", "copy.h5"].map(|name| scratch.path().join(name));
    changed(&second, |file| another_seed(file, 2, 1.5));
    changed(&third, |file| another_seed(file, 3, 0.25));
    fs::copy(&third, &copy).unwrap();
    let folder = scratch.path().join("report");
    reported(&[&small(), &second, &third, &copy], &folder);
    let file = RunFile::open(&small());
    for (name, data) in [("layers", "lca/layer"), ("tensors", "lca/tensor")] {
        let table = csv(&folder, name);
        let own = sums(&file, data);
        let scales = [1.0, 1.5, 0.25];
        let mean: f64 = scales.iter().sum::<f64>() / 3.0;
        let error = (scales.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 6.0).sqrt();
        let each = |factor: f64| own.iter().map(|sum| sum * factor).collect::<Vec<_>>();
        near(&table["LCA (nats)"], &each(mean), name);
        let errors: Vec<f64> = each(error).into_iter().map(f64::abs).collect();
        near(&table["LCA ± error (nats)"], &errors, name);
        // With two degrees of freedom: 1 − t/√(2 + t²).
        let t = mean / error;
        let p = 1.0 - t / (2.0 + t * t).sqrt();
        near(&table["p"], &vec![p; own.len()], name);
        near(&table["runs"], &vec![3.0; own.len()], name);
    }
    let text = page(&folder);
    assert!(text.contains("copy.h5 has the same configuration and seed (3) as another"));
    assert!(text.contains("3 runs with different seeds"));
}

#[test]
fn the_number_of_runs_a_layer_hurt_in_is_stated() {
    let file = RunFile::open(&small());
    let own = sums(&file, "lca/layer");
    let layers = file.names("layout/layer/name");
    assert!(own.iter().all(|&sum| sum < 0.0), "{own:?}");
    for (scale, before) in [
        (0.5, "Every layer helped overall"),
        (-0.25, "No layer hurt on average."),
        (
            -3.0,
            "These layers hurt overall, that is, raised the loss: ",
        ),
    ] {
        let scratch = TempDir::new().unwrap();
        let second = scratch.path().join("second.h5");
        changed(&second, |file| another_seed(file, 2, scale));
        let folder = scratch.path().join("report");
        reported(&[&small(), &second], &folder);
        let text = page(&folder);
        assert!(text.contains(before), "{scale}");
        for layer in &layers {
            let said = text.contains(&format!("{layer} in 1 of 2 runs"));
            assert_eq!(said, scale < 0.0, "{layer}, {scale}");
        }
    }
}

#[test]
fn configurations_are_kept_apart() {
    let scratch = TempDir::new().unwrap();
    let other = scratch.path().join("other.h5");
    changed(&other, |file| {
        let attribute = file.attr("config").unwrap();
        let config: hdf5::types::VarLenUnicode = attribute.read_scalar().unwrap();
        let config = config.replace("learning_rate = 0.1", "learning_rate = 0.2");
        let config: hdf5::types::VarLenUnicode = config.parse().unwrap();
        attribute.write_scalar(&config).unwrap();
    });
    let folder = scratch.path().join("report");
    reported(&[&small(), &other], &folder);
    let page = page(&folder);
    assert!(
        page.contains("A: learning_rate = 0.1 (1 run)"),
        "no group A"
    );
    assert!(
        page.contains("B: learning_rate = 0.2 (1 run)"),
        "no group B"
    );
    let data = names(&folder.join("data"));
    for name in ["configurations", "outcomes", "a-loss", "b-loss", "b-cost"] {
        assert!(data.contains(name), "{name}: {data:?}");
    }
}

#[test]
fn names_from_a_file_are_plain_text() {
    let scratch = TempDir::new().unwrap();
    let [run, folder] = ["run.h5", "report"].map(|name| scratch.path().join(name));
    let hostile = "<script>x</script>|`*](http://x)\u{202e}&\"";
    changed(&run, |file| {
        for name in [
            "layout/layer/name",
            "layout/tensor/name",
            "layout/class/name",
        ] {
            let data = file.dataset(name).unwrap();
            let mut names: ndarray::Array1<hdf5::types::FixedUnicode<64>> = data.read().unwrap();
            // Two of them are the same.
            for name in names.iter_mut().take(2) {
                *name = hostile.parse().unwrap();
            }
            data.write(&names).unwrap();
        }
        file.delete_attr("config").unwrap();
        let config = file.new_attr::<VarLenUnicode>().create("config").unwrap();
        let text = "steps = 9\n\"\\u001b[2Ja\\u202e\" = \"\\u001b]0;x\\u0007\\n=1+1\"";
        config
            .write_scalar(&text.parse::<VarLenUnicode>().unwrap())
            .unwrap();
    });
    reported(&[&run], &folder);
    let text = page(&folder);
    let page = parsed(&text);
    assert!(!page.descendants().any(|node| node.has_tag_name("script")));
    let shown = hostile.replace('\u{202e}', "\u{fffd}");
    assert!(
        page.descendants()
            .any(|node| node.text() == Some(shown.as_str()))
    );
    let markdown = fs::read_to_string(folder.join("report.md")).unwrap();
    let unescaped = markdown.replace("\\<", "").replace("\\]", "");
    assert!(!unescaped.contains("<script") && !unescaped.contains("](http"));
    let mut files = vec![folder.join("report.md"), folder.join("report.html")];
    let both = scratch.path().join("both");
    reported(&[&small(), &run], &both);
    let data = fs::read_dir(both.join("data")).unwrap();
    files.extend(data.map(|entry| entry.unwrap().path()));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let obeyed = |c: char| c != '\n' && is_invisible_control(c);
        assert!(!text.contains(obeyed), "{}", file.display());
    }
    let table = fs::read_to_string(both.join("data/configurations.csv")).unwrap();
    assert!(table.contains("\u{fffd}[2Ja\u{fffd}"), "{table}");
}

#[test]
fn a_limit_on_the_size_of_files_is_a_message_and_leaves_nothing() {
    let scratch = TempDir::new().unwrap();
    for words in ["report", "export --view=layers"] {
        let mut limited = std::process::Command::new("sh");
        let call = format!("ulimit -f 1; exec \"$0\" {words} \"$1\" -o out.csv");
        limited
            .current_dir(scratch.path())
            .args(["-c", &call, env!("CARGO_BIN_EXE_lcascope")])
            .arg(small())
            .stdin(std::process::Stdio::null());
        let needles = ["out.csv: the size of files is limited to", "ulimit -f"];
        Outcome::of(limited).fails(1, &needles);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "{words}");
    }
}

#[test]
fn missing_data_are_stated() {
    let scratch = TempDir::new().unwrap();
    let run = crate::common::train(scratch.path(), "run.h5", &["--steps", "2", "--trace", "0"]);
    let folder = scratch.path().join("report");
    reported(&[&run], &folder);
    let page = page(&folder);
    for flag in ["--by-class", "--lca-test", "--trace"] {
        assert!(page.contains(flag), "{flag}");
    }
    parsed(&page);
    let data = names(&folder.join("data"));
    assert!(!data.contains("classes") && !data.contains("held-out") && data.contains("layers"));
}

#[test]
fn a_non_empty_folder_is_not_changed() {
    let scratch = TempDir::new().unwrap();
    let folder = scratch.path().join("report");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("thesis.tex"), "x").unwrap();
    report(&[&small()], &[], &folder).fails(2, &["not empty", "--force"]);
    report(&[&small()], &["--force"], &folder).fails(2, &["thesis.tex"]);
    assert_eq!(names(&folder).len(), 1);
    fs::remove_file(folder.join("thesis.tex")).unwrap();
    reported(&[&small()], &folder);
    report(&[&small()], &[], &folder).fails(2, &["--force"]);
    assert_eq!(report(&[&small()], &["--force"], &folder).code, Some(0));
    let missing = scratch.path().join("missing.h5");
    report(&[&small(), &missing], &[], &scratch.path().join("other")).fails(1, &["missing.h5"]);
    assert_eq!(names(scratch.path()).len(), 1, "nothing half-done is left");
}
