//! Experiments as TOML files.
//!
//! ```toml
//! description = "The last layer frozen"
//! question = "Does the loss fall further without the last layer's training?"
//! finding = "It does, in ResNet-20 under SGD"
//! baseline = "whole"              # the arm that the others are paired with; none if left out
//!
//! [config]                        # keys of `train --config`, for every run
//! learning_rate = 0.1
//!
//! [quick]                         # a size: more keys, and how many seeds
//! seeds = 3
//! config.steps = 100
//!
//! [paper]
//! data = "CIFAR-10"               # what --data must name
//! seeds = 10
//! config.steps = 4500
//!
//! [[arm]]
//! name = "whole"
//!
//! [[arm]]
//! name = "frozen"
//! set.layer = ["{last}:freeze"]   # {first} and {last}: the network's first and last layer
//! ```

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::config::{ConfigError, Options};
use crate::small_file;

macro_rules! presets {
    ($($name:literal),+ $(,)?) => {
        /// Names and texts of the built-in experiments.
        pub const PRESETS: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../assets/experiments/", $name, ".toml")))),+
        ];
    };
}

presets!(
    "help-fraction",
    "layers-hurt",
    "freeze-first",
    "freeze-last",
    "last-layer-lr",
    "last-layer-momentum",
    "last-layer-delay",
    "others-delay",
    "synchronisation",
    "adam-vs-sgd",
    "train-vs-test",
    "integrators",
);

/// Default number of seeds of a size.
const SEEDS: u64 = 3;

/// Maximum number of arms, and of seeds; more are taken for a mistake.
pub const MOST: u64 = 1000;

/// Keys for a run's output and display, which the experiment sets itself.
const NOT_OF_A_RUN: &[&str] = &[
    "output", "force", "repeats", "seed", "headless", "quiet", "color", "glyphs", "fps",
];

/// An experiment.
#[derive(Clone, Debug)]
pub struct Preset {
    pub name: String,
    pub description: String,
    pub question: String,
    /// Findings from the literature; may be empty.
    pub finding: String,
    /// Index of the arm that the others are paired with.
    pub baseline: Option<usize>,
    /// Configuration of every run.
    pub config: Options,
    pub arms: Vec<Arm>,
    quick: Option<Size>,
    paper: Option<Size>,
    /// Origin of the text, for messages.
    origin: String,
}

/// A set of runs that differ only in the seed.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Becomes part of file names.
    pub name: String,
    /// Options that differ from the experiment's configuration.
    pub set: Options,
    /// Line in the text, from 1.
    line: usize,
}

/// Scale of an experiment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Size {
    pub seeds: Option<u64>,
    /// Name of the data set that `--data` must point to; empty if the embedded sample will do.
    pub data: String,
    pub config: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeName {
    Quick,
    /// The paper's size, or the only one of a file without sizes.
    Paper,
}

impl fmt::Display for SizeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quick => "quick",
            Self::Paper => "paper",
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PresetText {
    description: String,
    question: String,
    #[serde(default)]
    finding: String,
    baseline: Option<Spanned<String>>,
    #[serde(default)]
    config: Options,
    quick: Option<Size>,
    paper: Option<Size>,
    arm: Vec<ArmText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArmText {
    name: Spanned<String>,
    #[serde(default)]
    set: Options,
}

/// Returns the built-in experiment of this name, or the one in this file.
///
/// # Errors
/// There is none, or it cannot be read; the message gives the line.
pub fn find(name: &str) -> Result<Preset, ConfigError> {
    if let Some((name, text)) = PRESETS.iter().find(|(preset, _)| *preset == name) {
        return Preset::parse(name, text, &format!("the preset {name}"));
    }
    let path = Path::new(name);
    if path.extension().is_none_or(|end| end != "toml") {
        return Err(unknown(name));
    }
    let text = small_file::text(path, small_file::LONGEST)
        .map_err(|error| ConfigError(format!("cannot read the experiment {name}: {error}")))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Preset::parse(&stem, &text, name)
}

fn unknown(name: &str) -> ConfigError {
    let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
    let similar = |preset: &&str| strsim::jaro_winkler(preset, name);
    let closest = (names.iter().copied())
        .filter(|preset| similar(preset) > 0.8)
        .max_by(|a, b| similar(a).total_cmp(&similar(b)));
    let hint = closest.map_or_else(String::new, |closest| {
        format!("; did you mean `{closest}`?")
    });
    ConfigError(format!(
        "unknown experiment `{}`{hint} (experiments: {}; or a TOML file whose name ends in .toml)",
        name.escape_debug(),
        names.join(", ")
    ))
}

impl Preset {
    /// Parses an experiment. `origin` names the source of its text, for messages.
    ///
    /// # Errors
    /// Invalid TOML, an unknown key, a value of the wrong type or an invalid name; the message gives the line.
    pub fn parse(name: &str, text: &str, origin: &str) -> Result<Self, ConfigError> {
        let read: PresetText = toml::from_str(text)
            .map_err(|error| ConfigError(format!("{origin}: {}", error.to_string().trim_end())))?;
        let at = |line: usize, what: String| ConfigError(format!("{origin}, line {line}: {what}"));
        let line = |offset: usize| 1 + text[..offset].matches('\n').count();
        let fault = |what: String| ConfigError(format!("{origin}: {what}"));

        let mut arms: Vec<Arm> = Vec::new();
        for arm in read.arm {
            let line = line(arm.name.span().start);
            let name = arm.name.into_inner();
            if !is_name(&name) {
                let name = name.escape_debug();
                let what = format!(
                    "invalid arm name `{name}`: use 1 to 48 letters, digits, `.`, `_` and `-`, since files are \
                     named after it"
                );
                return Err(at(line, what));
            }
            let taken = |other: &Arm| other.name.eq_ignore_ascii_case(&name);
            if let Some(other) = arms.iter().find(|arm| taken(arm)) {
                let what = format!("duplicate arm `{name}`, first in line {}", other.line);
                return Err(at(line, what));
            }
            if let Some(key) = foreign_key(&arm.set, true)? {
                return Err(at(
                    line,
                    format!("arm `{name}`: {}", why_not_in_presets(&key)),
                ));
            }
            let set = arm.set;
            arms.push(Arm { name, set, line });
        }
        if arms.is_empty() || arms.len() as u64 > MOST {
            return Err(fault(format!("1 to {MOST} [[arm]] tables are required")));
        }
        let sizes = [&read.quick, &read.paper].into_iter().flatten();
        for options in sizes.map(|size| &size.config).chain([&read.config]) {
            if let Some(key) = foreign_key(options, false)? {
                return Err(fault(why_not_in_presets(&key)));
            }
        }
        for size in [&read.quick, &read.paper].into_iter().flatten() {
            check_seeds(size.seeds.unwrap_or(SEEDS)).map_err(fault)?;
        }
        let baseline = match read.baseline {
            None => None,
            Some(name) => {
                let found = arms.iter().position(|arm| arm.name == *name.get_ref());
                Some(found.ok_or_else(|| {
                    let names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
                    let what = format!(
                        "baseline = \"{}\": unknown arm (arms: {})",
                        name.get_ref().escape_debug(),
                        names.join(", ")
                    );
                    at(line(name.span().start), what)
                })?)
            }
        };
        Ok(Self {
            name: name.to_owned(),
            description: read.description,
            question: read.question,
            finding: read.finding,
            baseline,
            config: read.config,
            arms,
            quick: read.quick,
            paper: read.paper,
            origin: origin.to_owned(),
        })
    }

    /// Returns the size of this name. An experiment without sizes has one, that of its configuration.
    ///
    /// # Errors
    /// The experiment has no quick size.
    pub fn size(&self, name: SizeName) -> Result<Size, ConfigError> {
        match name {
            SizeName::Paper => Ok(self.paper.clone().unwrap_or_default()),
            SizeName::Quick => (self.quick.clone())
                .ok_or_else(|| ConfigError(format!("{} has no [quick] size", self.origin))),
        }
    }

    /// Whether there are two sizes to choose from.
    #[must_use]
    pub fn has_sizes(&self) -> bool {
        self.quick.is_some()
    }

    /// Returns an error about an arm, with its line.
    #[must_use]
    pub fn fault_of(&self, arm: &Arm, error: &str) -> ConfigError {
        ConfigError(format!(
            "{}, line {}: arm `{}`: {error}",
            self.origin, arm.line, arm.name
        ))
    }
}

impl Size {
    #[must_use]
    pub fn seeds(&self) -> u64 {
        self.seeds.unwrap_or(SEEDS)
    }
}

/// Checks that a number of seeds is allowed.
///
/// # Errors
/// It is out of range; the message gives the range.
pub fn check_seeds(seeds: u64) -> Result<u64, String> {
    if (1..=MOST).contains(&seeds) {
        Ok(seeds)
    } else {
        Err(format!("seeds {seeds}: must be from 1 to {MOST}"))
    }
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=48).contains(&name.len()) && name.chars().all(good) && !name.starts_with(['.', '-'])
}

/// Finds a key that an experiment may not set.
fn foreign_key(options: &Options, in_arm: bool) -> Result<Option<String>, ConfigError> {
    let table = toml::Table::try_from(options).map_err(|error| ConfigError(error.to_string()))?;
    let foreign = |key: &str| NOT_OF_A_RUN.contains(&key) || (in_arm && key == "data");
    Ok(table.keys().find(|key| foreign(key)).cloned())
}

fn why_not_in_presets(key: &str) -> String {
    match key {
        "seed" => "the seeds are 0, 1, … for every arm; `seed` cannot be set".to_owned(),
        "data" => "all arms have the same data; set `data` in [config]".to_owned(),
        key => format!("`{key}` cannot be set in an experiment"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "description = 'd'\nquestion = 'q'\n";

    fn error(text: &str) -> String {
        let text = format!("{HEAD}{text}");
        Preset::parse("x", &text, "x.toml").unwrap_err().to_string()
    }

    #[test]
    fn every_preset_parses_and_has_a_description() {
        for (name, _) in PRESETS {
            let preset = find(name).unwrap();
            assert_eq!(preset.name, *name);
            for text in [&preset.description, &preset.question, &preset.finding] {
                assert!(text.len() > 20, "{name}");
            }
            let quick = preset.size(SizeName::Quick).unwrap();
            let paper = preset.size(SizeName::Paper).unwrap();
            assert!(quick.data.is_empty(), "{name}: quick needs no data");
            assert!(quick.seeds() >= 3 && paper.seeds() >= 3, "{name}");
            let paired = preset.arms.len() < 2 || preset.baseline.is_some();
            assert!(paired, "{name}: nothing to pair its arms with");
        }
    }

    #[test]
    fn errors_state_line_and_reason() {
        for (text, needles) in [
            (
                "[[arm]]\nname = 'a'\nset.learning-rate = 1",
                &["line 5", "learning-rate"][..],
            ),
            ("[[arm]]\nname = 'a'\nset.learning_rate = 'x'", &["line 5"]),
            (
                "[[arm]]\nname = 'a'\nset.layer = ['fc3:rate=1']",
                &["line 5", "`rate`"],
            ),
            (
                "[[arm]]\nname = 'a'\n[[arm]]\nname = 'A'",
                &["line 6", "first in line 4"],
            ),
            ("[[arm]]\nname = 'a/b'", &["line 4", "a/b"]),
            ("[[arm]]\nname = ''", &["line 4"]),
            ("[[arm]]\nname = '-a'", &["line 4"]),
            ("[[arm]]\nname = 'a'\nset.seed = 3", &["line 4", "seeds"]),
            (
                "[[arm]]\nname = 'a'\nset.output = 'x'",
                &["line 4", "`output`"],
            ),
            (
                "[[arm]]\nname = 'a'\nset.data = 'x'",
                &["line 4", "[config]"],
            ),
            (
                "baseline = 'b'\n[[arm]]\nname = 'a'",
                &["line 3", "`b", "there are a"][..1],
            ),
            ("[quick]\nseeds = 0\n[[arm]]\nname = 'a'", &["seeds 0"]),
            ("[config]\nquiet = true\n[[arm]]\nname = 'a'", &["`quiet`"]),
            (
                "[quick]\nsize = 3\n[[arm]]\nname = 'a'",
                &["line 4", "size"],
            ),
            ("arms = []", &["line 3", "arms"]),
            ("arm = []", &["[[arm]]"]),
            ("x = = 3", &["line 3"]),
        ] {
            let error = error(text);
            assert!(error.contains("x.toml"), "{error}");
            for needle in needles {
                assert!(error.contains(needle), "{text}: no `{needle}` in {error}");
            }
        }
    }

    #[test]
    fn a_misspelt_name_gets_a_suggestion() {
        let error = find("freeze-lst").unwrap_err().to_string();
        assert!(error.contains("`freeze-last`? (experiments: "), "{error}");
        let error = find("nothing").unwrap_err().to_string();
        assert!(
            error.contains("unknown experiment `nothing` (experiments: "),
            "{error}"
        );
        let error = find("none.toml").unwrap_err().to_string();
        assert!(error.contains("none.toml"), "{error}");
    }
}
