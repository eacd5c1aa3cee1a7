//! How the learning rate changes over the steps.

use std::fmt;
use std::str::FromStr;

/// A factor on the learning rate for every step.
///
/// Written `constant` or `step:EVERY:FACTOR`; `step:300:0.1` divides the rate by ten after every
/// 300 steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Schedule {
    #[default]
    Constant,
    Step {
        every: u64,
        factor: f64,
    },
}

impl Schedule {
    /// What the learning rate is multiplied with at step `step`.
    #[must_use]
    pub fn factor(&self, step: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 drops")]
            Self::Step { every, factor } => factor.powf((step / every) as f64),
        }
    }
}

/// Why a schedule cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no schedule: use `constant` or `step:EVERY:FACTOR`, such as `step:300:0.1`")]
pub struct ScheduleError(String);

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ScheduleError(text.to_owned());
        if text == "constant" {
            return Ok(Self::Constant);
        }
        let rest = text.strip_prefix("step:").ok_or_else(error)?;
        let (every, factor) = rest.split_once(':').ok_or_else(error)?;
        let every = every.parse().map_err(|_| error())?;
        let factor: f64 = factor.parse().map_err(|_| error())?;
        if every == 0 || !factor.is_finite() || factor <= 0.0 {
            return Err(error());
        }
        Ok(Self::Step { every, factor })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Step { every, factor } => write!(f, "step:{every}:{factor}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_decay_drops_at_multiples() {
        let schedule: Schedule = "step:300:0.1".parse().unwrap();
        assert_eq!(schedule.factor(299), 1.0);
        assert!((schedule.factor(300) - 0.1).abs() < 1e-15);
        assert!((schedule.factor(900) - 0.001).abs() < 1e-15);
    }

    #[test]
    fn text_round_trips_and_faults_are_refused() {
        for text in ["constant", "step:10:0.5"] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "step",
            "step:0:0.1",
            "step:5:0",
            "step:5:nan",
            "step:x:1",
            "cosine",
        ] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }
}
