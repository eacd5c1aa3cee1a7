//! The messages, as `docs/protocol.md` describes them.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::Options;
use crate::layout::TensorKind;

/// The version of the protocol.
pub const VERSION: u64 = 1;

/// A number. JSON has no infinities and no NaN; these are strings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl Number {
    pub const NAN: Self = Self(f64::NAN);

    fn nan() -> Self {
        Self::NAN
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => serializer.serialize_f64(value),
            value if value.is_nan() => serializer.serialize_str("NaN"),
            value if value > 0.0 => serializer.serialize_str("Infinity"),
            _ => serializer.serialize_str("-Infinity"),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;

        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number, \"NaN\", \"Infinity\" or \"-Infinity\"")
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value))
            }

            #[expect(
                clippy::cast_precision_loss,
                reason = "as JSON numbers are read elsewhere"
            )]
            fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }

            #[expect(
                clippy::cast_precision_loss,
                reason = "as JSON numbers are read elsewhere"
            )]
            fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                match text {
                    "NaN" => Ok(Number::NAN),
                    "Infinity" => Ok(Number(f64::INFINITY)),
                    "-Infinity" => Ok(Number(f64::NEG_INFINITY)),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(NumberVisitor)
    }
}

/// A message of the program whose training is recorded.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum ClientMessage {
    Open(Box<Open>),
    Evaluated(Evaluated),
    Step(Step),
    Checkpoint,
    Close(Close),
    Error(Reason),
}

/// The description of a training, and how it is recorded.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    pub protocol: u64,
    pub producer: String,
    pub network: String,
    pub device: String,
    pub layers: Vec<OpenLayer>,
    pub data: OpenData,
    #[serde(default = "yes")]
    pub exact: bool,
    #[serde(default)]
    pub options: Options,
    #[serde(default = "one")]
    pub every: u64,
    #[serde(default)]
    pub resume: Option<std::path::PathBuf>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenLayer {
    pub name: String,
    pub kind: String,
    pub tensors: Vec<OpenTensor>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenTensor {
    pub name: String,
    #[serde(deserialize_with = "tensor_kind")]
    pub kind: TensorKind,
    pub shape: Vec<usize>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenData {
    #[serde(default)]
    pub name: String,
    pub train: u32,
    #[serde(default)]
    pub held_out: u32,
    #[serde(default)]
    pub classes: Vec<String>,
    #[serde(default)]
    pub train_classes: Vec<u64>,
    #[serde(default)]
    pub held_out_classes: Vec<u64>,
    #[serde(default)]
    pub input_shape: Vec<usize>,
    #[serde(default)]
    pub inputs: Option<[Number; 3]>,
    #[serde(default)]
    pub slice_size: u64,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluated {
    pub loss: Number,
    #[serde(default = "Number::nan")]
    pub accuracy: Number,
    #[serde(default)]
    pub class_loss: Vec<Number>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    #[serde(default = "Number::nan")]
    pub learning_rate: Number,
    #[serde(default = "Number::nan")]
    pub batch_loss: Number,
    #[serde(default = "Number::nan")]
    pub epoch: Number,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Close {
    #[serde(default)]
    pub status: EndStatus,
    #[serde(default)]
    pub reason: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    pub reason: String,
}

/// The status with which a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndStatus {
    #[default]
    Finished,
    Stopped,
    Failed,
}

/// A message of lcascope to the program.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum ServerMessage {
    Ready {
        output: String,
        steps: u64,
        planned: u64,
        warnings: Vec<String>,
        cost: String,
    },
    Refused(Reason),
    Evaluate {
        part: Part,
        want: Extent,
        at: f64,
    },
    Started {
        losses: SentLosses,
    },
    Allocated(Box<Allocated>),
    Saved,
    Closed(Closed),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Train,
    Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    Loss,
    Gradient,
    ClassGradient,
}

/// The end of a run, whose file is closed.
#[derive(Debug, PartialEq, Serialize)]
pub struct Closed {
    pub status: EndStatus,
    /// Reason of a failure; empty if there was none.
    pub reason: String,
    pub steps: u64,
}

/// A summary of the allocation of a step.
#[derive(Debug, PartialEq, Serialize)]
pub struct Allocated {
    pub step: u64,
    pub loss_before: Number,
    pub loss_after: Number,
    pub losses: SentLosses,
    pub lca: Number,
    pub residual: Number,
    pub layers: Vec<Number>,
    pub held_out_lca: Option<Number>,
    pub held_out_layers: Option<Vec<Number>>,
    pub segments: u64,
    pub gradients: u64,
    pub seconds: f64,
}

/// Losses and accuracies at a point.
#[derive(Debug, PartialEq, Serialize)]
pub struct SentLosses {
    pub train: Number,
    pub train_accuracy: Number,
    pub test: Number,
    pub test_accuracy: Number,
}

fn yes() -> bool {
    true
}

fn one() -> u64 {
    1
}

fn tensor_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TensorKind, D::Error> {
    let name = String::deserialize(deserializer)?;
    TensorKind::from_name(&name)
        .ok_or_else(|| D::Error::unknown_variant(&name, &["weight", "bias", "scale", "shift"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ClientMessage, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn numbers_survive_whatever_they_are() {
        for value in [
            0.1,
            -0.0,
            1e-320,
            f64::MAX,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ] {
            let text = serde_json::to_string(&Number(value)).unwrap();
            let Number(back) = serde_json::from_str(&text).unwrap();
            assert_eq!(back.to_bits(), value.to_bits(), "{text}");
        }
        assert_eq!(serde_json::from_str::<Number>("3").unwrap(), Number(3.0));
        for bad in ["\"nan\"", "null", "[]", "true"] {
            let error = serde_json::from_str::<Number>(bad).unwrap_err();
            assert!(error.to_string().contains("Infinity"), "{error}");
        }
    }

    #[test]
    fn a_message_has_its_defaults_and_no_other_keys() {
        let message = read(r#"{"message":"evaluated","loss":0.30000000000000004}"#).unwrap();
        let ClientMessage::Evaluated(evaluated) = message else {
            panic!("{message:?}")
        };
        assert_eq!(evaluated.loss, Number(0.1 + 0.2));
        assert!(evaluated.accuracy.0.is_nan() && evaluated.class_loss.is_empty());
        let close = read(r#"{"message":"close","status":"stopped"}"#).unwrap();
        let expected = Close {
            status: EndStatus::Stopped,
            reason: String::new(),
        };
        assert_eq!(close, ClientMessage::Close(expected));
        for (text, named) in [
            (r#"{"message":"step","loss":1}"#, "`loss`"),
            (r#"{"message":"evaluated"}"#, "`loss`"),
            (r#"{"message":"steps"}"#, "`steps`"),
            (r#"{"loss":1}"#, "message"),
            (r#"{"message":"close","status":"done"}"#, "`done`"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
