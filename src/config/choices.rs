//! Choices written as words.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use super::ConfigError;
use crate::engine::Device;
use crate::model::NetworkSpec;

/// Largest count in a run: TOML's integers end at 2^63, and an `f64` represents every count up to this one exactly.
pub const MAX_COUNT: u64 = 1 << 53;

/// A network: by name, by file, or in full.
#[derive(Clone, Debug, PartialEq)]
pub enum NetworkChoice {
    /// A preset, or the path of a TOML file.
    Named(String),
    Inline(NetworkSpec),
}

impl FromStr for NetworkChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::Named(text.to_owned()))
    }
}

impl Serialize for NetworkChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(name) => serializer.serialize_str(name),
            Self::Inline(spec) => spec.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for NetworkChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(name) => Ok(Self::Named(name)),
            value => NetworkSpec::deserialize(value)
                .map(Self::Inline)
                .map_err(D::Error::custom),
        }
    }
}

/// An optimizer's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptimizerKind {
    Sgd,
    Adam,
    AdamW,
    RmsProp,
}

/// The engine that computes gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineChoice {
    Auto,
    Cpu,
    Candle,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorChoice {
    /// The colours that the terminal says it supports.
    Auto,
    Truecolor,
    Ansi256,
    Ansi16,
    Never,
}

/// Characters used to draw charts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlyphsChoice {
    /// Chosen by the locale.
    Auto,
    Braille,
    Blocks,
    Ascii,
}

/// Implements [`FromStr`] and [`Display`](fmt::Display) for an enum of words.
macro_rules! words {
    ($type:ident, $what:literal, $($variant:ident = $word:literal),+) => {
        impl FromStr for $type {
            type Err = ConfigError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(ConfigError(format!(
                        concat!("unknown ", $what, " `{}` (", words!(@list $($word),+), ")"),
                        text
                    ))),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $word,)+
                })
            }
        }
    };
    (@list $first:literal $(, $rest:literal)*) => {
        concat!($first $(, ", ", $rest)*)
    };
}

words!(
    OptimizerKind,
    "optimizer",
    Sgd = "sgd",
    Adam = "adam",
    AdamW = "adamw",
    RmsProp = "rmsprop"
);
words!(
    EngineChoice,
    "engine",
    Auto = "auto",
    Cpu = "cpu",
    Candle = "candle"
);
words!(
    ColorChoice,
    "color mode",
    Auto = "auto",
    Truecolor = "truecolor",
    Ansi256 = "256",
    Ansi16 = "16",
    Never = "never"
);

words!(
    GlyphsChoice,
    "glyph set",
    Auto = "auto",
    Braille = "braille",
    Blocks = "blocks",
    Ascii = "ascii"
);

/// Device to compute on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU if this build supports one and one is present, else the CPU.
    Auto,
    Device(Device),
}

impl FromStr for DeviceChoice {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let device = match text {
            "auto" => return Ok(Self::Auto),
            "cpu" => Some(Device::Cpu),
            "cuda" => Some(Device::Cuda(0)),
            _ => (text.strip_prefix("cuda:"))
                .and_then(|ordinal| ordinal.parse().ok())
                .map(Device::Cuda),
        };
        device.map(Self::Device).ok_or_else(|| {
            ConfigError(format!(
                "unknown device `{text}` (auto, cpu, or cuda:N such as cuda:0)"
            ))
        })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Device(device) => device.fmt(f),
        }
    }
}

/// Number of examples evaluated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceChoice {
    /// A size that suits the engine.
    Auto,
    Size(usize),
}

impl FromStr for SliceChoice {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::Size).map_err(|_| {
            ConfigError(format!(
                "invalid slice size `{text}`: use auto or a number of examples"
            ))
        })
    }
}

impl fmt::Display for SliceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Size(size) => size.fmt(f),
        }
    }
}

/// Checkpoint interval, in steps or in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckpointEvery {
    /// A minute, or never while the training runs if checkpoints are large.
    #[default]
    Auto,
    Steps(u64),
    Seconds(u64),
    /// Only when the training is stopped.
    Stop,
    /// Only on request.
    Never,
}

/// Above this number of parameters, the two checkpoints would be most of a run file.
const MANY_PARAMETERS: usize = 10_000_000;

impl CheckpointEvery {
    /// Resolves `Auto` for a network of so many parameters.
    #[must_use]
    pub fn for_params(self, params: usize) -> Self {
        match self {
            Self::Auto if params > MANY_PARAMETERS => Self::Stop,
            Self::Auto => Self::Seconds(60),
            every => every,
        }
    }

    /// Resolves `Auto` for the recording of another program. Not at intervals: the program could not continue from a
    /// time at which it saves nothing of its own.
    #[must_use]
    pub fn for_recording(self, params: usize) -> Self {
        match self {
            Self::Auto if params > MANY_PARAMETERS => Self::Never,
            Self::Auto => Self::Stop,
            every => every,
        }
    }
}

impl FromStr for CheckpointEvery {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => return Ok(Self::Auto),
            "stop" => return Ok(Self::Stop),
            "never" => return Ok(Self::Never),
            _ => {}
        }
        let number = |digits: &str, unit: u64| {
            let number = digits.parse().ok().filter(|&n: &u64| n > 0)?;
            number.checked_mul(unit).filter(|&n| n <= MAX_COUNT)
        };
        let time = [("s", 1), ("m", 60), ("h", 3600)];
        let time = (time.iter())
            .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
            .map(|(digits, unit)| number(digits, unit).map(Self::Seconds));
        time.unwrap_or_else(|| number(text, 1).map(Self::Steps))
            .ok_or_else(|| {
                ConfigError(format!(
                    "invalid interval `{text}`: use a number of steps, such as 500, a time, such as \
                     90s, 10m or 2h, `stop` or `never`"
                ))
            })
    }
}

impl fmt::Display for CheckpointEvery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Stop => f.write_str("stop"),
            Self::Never => f.write_str("never"),
            Self::Steps(steps) => steps.fmt(f),
            Self::Seconds(seconds) => write!(f, "{seconds}s"),
        }
    }
}

/// Serializes an optional choice as its word. When reading, a bare number also works, so that `slice_size = 256` needs
/// no quotes.
pub mod word {
    use super::{Deserialize, Deserializer, FromStr, Serializer, fmt};
    use serde::de::Error as _;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub fn serialize<S: Serializer, T: fmt::Display>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: fmt::Display>,
    {
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        text.parse().map(Some).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_checkpoints_are_only_written_when_needed_and_those_of_a_recording_on_request() {
        let every = |words: &str| words.parse::<CheckpointEvery>().unwrap();
        let found = [MANY_PARAMETERS, MANY_PARAMETERS + 1].map(|params| {
            ["auto", "stop", "never", "7", "2m"].map(|words| {
                let of = [
                    every(words).for_params(params),
                    every(words).for_recording(params),
                ];
                of.map(|it| it.to_string()).join(" ")
            })
        });
        let given = ["stop stop", "never never", "7 7", "120s 120s"];
        assert_eq!(found[0], [&["60s stop"], &given[..]].concat()[..]);
        assert_eq!(found[1], [&["stop never"], &given[..]].concat()[..]);
    }
}
