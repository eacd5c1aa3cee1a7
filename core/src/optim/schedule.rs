//! Learning-rate schedules.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

/// A factor on the learning rate for every step, written `SHAPE` or `warmup:STEPS,SHAPE`.
///
/// A warm-up of W steps rises in equal parts from 1/W to 1; then the shape begins:
/// - `constant`: 1
/// - `step:EVERY:FACTOR`: multiplied by FACTOR after every EVERY steps; `step:300:0.1` divides by ten
/// - `cosine` or `cosine:FLOOR`: `FLOOR + (1 − FLOOR)(1 + cos πx)/2`, where x goes from 0 to 1 over the planned steps
///   (Loshchilov and Hutter, *SGDR*, ICLR 2017, eq. 5, without restarts)
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Schedule {
    warmup: u64,
    shape: ScheduleShape,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum ScheduleShape {
    #[default]
    Constant,
    Step {
        every: u64,
        factor: f64,
    },
    Cosine {
        floor: f64,
    },
}

impl Schedule {
    /// Returns the factor on the learning rate at step `step` of `planned`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
    pub fn factor(&self, step: u64, planned: u64) -> f64 {
        let Some(step) = step.checked_sub(self.warmup) else {
            return (step + 1) as f64 / self.warmup as f64;
        };
        match self.shape {
            ScheduleShape::Constant => 1.0,
            ScheduleShape::Step { every, factor } => factor.powf((step / every) as f64),
            ScheduleShape::Cosine { floor } => {
                let steps = planned.saturating_sub(self.warmup).max(1);
                let x = (step as f64 / steps as f64).min(1.0);
                floor + (1.0 - floor) * (1.0 + (PI * x).cos()) / 2.0
            }
        }
    }
}

/// Error for a malformed schedule.
#[derive(Debug, thiserror::Error)]
#[error(
    "invalid schedule `{0}`: use constant, step:EVERY:FACTOR (such as step:300:0.1), cosine or cosine:FLOOR, \
     optionally after warmup:STEPS,"
)]
pub struct ScheduleError(String);

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text).ok_or_else(|| ScheduleError(text.to_owned()))
    }
}

fn read(text: &str) -> Option<Schedule> {
    let (warmup, shape) = match text.strip_prefix("warmup:") {
        Some(rest) => {
            let (steps, shape) = rest.split_once(',')?;
            (steps.parse().ok().filter(|&steps| steps > 0)?, shape)
        }
        None => (0, text),
    };
    let (name, values) = shape.split_once(':').unwrap_or((shape, ""));
    let shape = match name {
        "constant" if shape == name => ScheduleShape::Constant,
        "step" => {
            let (every, factor) = values.split_once(':')?;
            ScheduleShape::Step {
                every: every.parse().ok().filter(|&every| every > 0)?,
                factor: factor
                    .parse()
                    .ok()
                    .filter(|f: &f64| f.is_finite() && *f > 0.0)?,
            }
        }
        "cosine" if shape == name => ScheduleShape::Cosine { floor: 0.0 },
        "cosine" => ScheduleShape::Cosine {
            floor: values.parse().ok().filter(|f| (0.0..=1.0).contains(f))?,
        },
        _ => return None,
    };
    Some(Schedule { warmup, shape })
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.warmup > 0 {
            write!(f, "warmup:{},", self.warmup)?;
        }
        match self.shape {
            ScheduleShape::Constant => f.write_str("constant"),
            ScheduleShape::Step { every, factor } => write!(f, "step:{every}:{factor}"),
            ScheduleShape::Cosine { floor: 0.0 } => f.write_str("cosine"),
            ScheduleShape::Cosine { floor } => write!(f, "cosine:{floor}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(text: &str, steps: &[u64]) -> Vec<f64> {
        let schedule: Schedule = text.parse().unwrap();
        steps.iter().map(|&s| schedule.factor(s, 1000)).collect()
    }

    fn close(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-12, "{got} {want}");
        }
    }

    #[test]
    fn step_decay_drops_at_multiples() {
        close(
            &factors("step:300:0.1", &[299, 300, 900]),
            &[1.0, 0.1, 0.001],
        );
    }

    #[test]
    fn cosine_falls_to_its_floor() {
        close(&factors("cosine", &[0, 500, 1000]), &[1.0, 0.5, 0.0]);
        close(&factors("cosine:0.2", &[0, 500, 1000]), &[1.0, 0.6, 0.2]);
    }

    #[test]
    fn a_warm_up_rises_to_the_schedules_start() {
        close(
            &factors("warmup:4,constant", &[0, 1, 3, 4, 9]),
            &[0.25, 0.5, 1.0, 1.0, 1.0],
        );
        close(&factors("warmup:200,cosine", &[200, 600]), &[1.0, 0.5]);
    }

    #[test]
    fn text_round_trips_and_faults_are_refused() {
        for text in [
            "constant",
            "step:10:0.5",
            "cosine",
            "cosine:0.1",
            "warmup:5,cosine",
        ] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "step",
            "step:0:0.1",
            "step:5:0",
            "step:5:nan",
            "step:x:1",
            "constant:1",
            "cosine:2",
            "cosine:",
            "warmup:0,constant",
            "warmup:5",
            "warmup:x,cosine",
        ] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }
}
