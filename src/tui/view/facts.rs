//! The facts of the Run screen in words: each number with its unit, and only those that are known.

use crate::analysis::numbers;
use crate::app::{Phase, RunModel};
use crate::feed::GpuUse;
use crate::query::RunFacts;

/// Steps over which "now" is averaged.
const NOW: u64 = 50;

/// The run in one line: parts with ranks; if there is little room, the highest rank goes first.
pub fn head(model: &RunModel) -> Vec<(u8, String)> {
    let header = &model.header;
    let layout = &header.layout;
    let mut parts = vec![
        (0, format!("{} on {}", header.network, header.dataset)),
        (
            1,
            format!(
                "{} parameters in {} layers",
                layout.params(),
                layout.layers.len()
            ),
        ),
        (2, format!("seed {}", header.seed)),
        (4, header.producer.clone()),
        (3, format!("started {}", header.created)),
    ];
    if let Some(n) = header.allocated_examples() {
        let all = header.train_index.len();
        parts.insert(1, (0, format!("loss on {n} of {all} training examples")));
    }
    if let Some(every) = header.chord() {
        parts.insert(1, (0, format!("each step covers {every} optimizer steps")));
    }
    parts
}

/// A name and its values; if there is little room, values go from the end.
pub type Fact = (&'static str, Vec<String>);

/// All facts, in the order of the screen.
pub fn pairs(model: &RunModel, known: Option<&RunFacts>) -> Vec<Fact> {
    let (now, average) = (now(model), rate(model, u64::MAX));
    let device = model.header.device.split(", ").map(str::to_owned);
    let mut pairs = vec![("device", device.collect())];
    if let Some(average) = &average {
        pairs.push(match &now {
            Some(now) => (
                "speed",
                vec![
                    numbers::speed(now.steps),
                    format!("{} on average", numbers::speed(average.steps)),
                ],
            ),
            // A replay has no current speed.
            None => (
                "speed",
                vec![format!("{} on average", numbers::speed(average.steps))],
            ),
        });
    }
    pairs.extend(gradients(model, now.as_ref().or(average.as_ref())));
    if let Some(known) = known {
        pairs.push(("file", file(known)));
    }
    if let Some(stats) = model.recorder.filter(|_| model.is_training()) {
        let waited = stats.waited.as_secs_f64();
        // The queue, and how long the training waited for the disk.
        let lag = vec![
            format!("{}/{}", stats.queued, stats.room),
            format!("waited {waited:.1} s"),
        ];
        pairs.push(("write queue", lag));
    }
    if let Some(known) = known {
        pairs.extend(checkpoint(model, known));
    }
    let left = model.steps_left();
    if let Some(now) = now.filter(|now| now.steps > 0.0 && left > 0) {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
        let seconds = left as f64 / now.steps;
        pairs.push((
            "time left",
            vec![format!("{} ({left} steps)", duration(seconds))],
        ));
    }
    pairs
}

fn gradients(model: &RunModel, rate: Option<&Rate>) -> Option<Fact> {
    let steps = model.timeline.end();
    let all = model.timeline.whole();
    #[expect(clippy::cast_precision_loss, reason = "a mean of counts")]
    let each = all.gradient_evals() as f64 / steps as f64;
    let mut said = vec![format!("{each:.2} per step")];
    // For a slow training, the speed in steps says enough.
    let fast = rate.filter(|rate| rate.gradients >= 0.95);
    said.extend(fast.map(|rate| format!("{:.1} per second", rate.gradients)));
    (steps > 0).then_some(("gradients", said))
}

fn file(known: &RunFacts) -> Vec<String> {
    let size = bytes(known.bytes);
    match known.bytes.checked_div(known.committed) {
        None => vec![size],
        Some(each) => vec![size, format!("{} per step", bytes(each))],
    }
}

fn checkpoint(model: &RunModel, known: &RunFacts) -> Option<Fact> {
    let (step, then) = known.checkpoint?;
    let age = model.timeline.last().map(|last| last.seconds - then);
    let age = age.filter(|age| age.is_finite() && *age >= 0.0);
    let mut said = vec![format!("step {step}")];
    said.extend(age.map(|age| format!("{} old", duration(age))));
    Some(("checkpoint", said))
}

/// The state of a GPU, as far as it reports it.
pub fn gpu_use(gpu: &GpuUse) -> Vec<String> {
    let memory = |(used, all)| format!("{} of {}", bytes(used), bytes(all));
    let parts = [
        Some(gpu.name.clone()),
        gpu.busy.map(|busy| format!("{:.0}% busy", busy * 100.0)),
        gpu.memory.map(memory),
        gpu.celsius.map(|celsius| format!("{celsius} C")),
        gpu.watts.map(|watts| format!("{watts:.0} W")),
    ];
    parts.into_iter().flatten().collect()
}

/// Work done per second.
#[derive(Clone, Debug, PartialEq)]
struct Rate {
    steps: f64,
    gradients: f64,
}

/// The training's speed over its last [`NOW`] steps; `None` unless it is running.
fn now(model: &RunModel) -> Option<Rate> {
    let phase = model.phase();
    let moving = matches!(phase, Phase::Live | Phase::Following | Phase::Pausing);
    rate(model, NOW).filter(|_| moving)
}

/// The training's current speed in steps per second; `None` unless it is running.
pub fn steps_per_second(model: &RunModel) -> Option<f64> {
    now(model).map(|now| now.steps)
}

/// The speed over the last `over` steps, or over all if there are fewer.
fn rate(model: &RunModel, over: u64) -> Option<Rate> {
    let end = model.timeline.end();
    let newest = model.timeline.entry(end.checked_sub(1)?)?;
    // The step before the first of them ends where they begin.
    let before = end.checked_sub(over).and_then(|start| start.checked_sub(1));
    let (start, since) = match before.and_then(|step| model.timeline.entry(step)) {
        Some(before) => (before.end, before.seconds),
        None => (0, 0.0),
    };
    let seconds = newest.seconds - since;
    let steps = match start {
        0 => model.timeline.whole(),
        _ => model.timeline.stretch(&(start..end)),
    };
    let gradients = steps.gradient_evals();
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    let rate = Rate {
        steps: (end - start) as f64 / seconds,
        gradients: gradients as f64 / seconds,
    };
    (seconds > 0.0 && rate.steps.is_finite()).then_some(rate)
}

/// Formats a size in bytes: `24.1 MB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut size = count as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        if size < 1000.0 {
            break;
        }
        size /= 1000.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{count} B"),
        unit => format!("{size:.1} {unit}"),
    }
}

/// Formats a duration: `2 h 05 min`, `4 min 30 s`, `12 s`.
fn duration(seconds: f64) -> String {
    if seconds >= 1e9 {
        return "years".to_owned();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "below 1e9, and negative ones become 0"
    )]
    let whole = seconds.round() as u64;
    match (
        whole / 86_400,
        whole / 3600 % 24,
        whole / 60 % 60,
        whole % 60,
    ) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes:02} min"),
        (days, hours, ..) => format!("{days} d {hours:02} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_easily() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (24_123_456, "24.1 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (seconds, text) in [
            (0.2, "0 s"),
            (59.6, "1 min 00 s"),
            (270.0, "4 min 30 s"),
            (7500.0, "2 h 05 min"),
            (90_000.0, "1 d 01 h"),
            (1e300, "years"),
            (-5.0, "0 s"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(duration(f64::NAN), "0 s");
    }
}
