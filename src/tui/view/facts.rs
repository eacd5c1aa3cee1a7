//! The Run screen's numbers in words: each with its unit, and only those that are known.

use crate::app::{App, Phase};
use crate::feed::GpuUse;
use crate::query::RunFacts;

/// Steps over which "now" is averaged.
const NOW: u64 = 50;

/// What the run is, in one line.
pub fn head(app: &App) -> String {
    let header = &app.header;
    let layout = &header.layout;
    format!(
        "{} on {}, {} parameters in {} layers, seed {}, {}, begun {}",
        header.network,
        header.dataset,
        layout.params(),
        layout.layers.len(),
        header.seed,
        header.producer,
        header.created
    )
}

/// Names and values, in the order of the screen.
pub fn pairs(app: &App, known: Option<&RunFacts>) -> Vec<(&'static str, String)> {
    let (now, average) = (now(app), rate(app, u64::MAX));
    let mut pairs = vec![("device", app.header.device.clone())];
    if let Some(average) = &average {
        pairs.push(match &now {
            Some(now) => (
                "speed",
                format!("{:.1} steps/s, {:.1} on average", now.steps, average.steps),
            ),
            // Not that of a replay.
            None => ("trained", format!("at {:.1} steps/s", average.steps)),
        });
    }
    pairs.extend(gradients(app, now.clone().or(average.clone())));
    if let Some(known) = known {
        pairs.push(("file", file(known)));
    }
    if let Some(stats) = app.recorder.filter(|_| app.is_training()) {
        let waited = stats.waited.as_secs_f64();
        // Records, and how long the training waited for the disk.
        let lag = format!(
            "{} of {} wait, {waited:.1} s waited",
            stats.queued, stats.room
        );
        pairs.push(("recorder", lag));
    }
    if let Some(known) = known {
        pairs.extend(checkpoint(app, known));
    }
    let left = app.header.planned_steps.saturating_sub(app.timeline.end());
    if let Some(now) = now.filter(|now| now.steps > 0.0 && left > 0) {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
        let seconds = left as f64 / now.steps;
        pairs.push(("ends in", format!("{}, {left} steps", duration(seconds))));
    }
    pairs
}

fn gradients(app: &App, rate: Option<Rate>) -> Option<(&'static str, String)> {
    let steps = app.timeline.end();
    let all = app.timeline.whole();
    #[expect(clippy::cast_precision_loss, reason = "a mean of counts")]
    let each = all.gradient_evals() as f64 / steps as f64;
    let rate = rate.map_or(String::new(), |rate| {
        format!(", {:.1} a second", rate.gradients)
    });
    (steps > 0).then(|| ("gradients", format!("{each:.2} a step{rate}")))
}

fn file(known: &RunFacts) -> String {
    let size = bytes(known.bytes);
    match known.committed {
        0 => size,
        steps => format!("{size}, {} a step", bytes(known.bytes / steps)),
    }
}

fn checkpoint(app: &App, known: &RunFacts) -> Option<(&'static str, String)> {
    let (step, then) = known.checkpoint?;
    let age = app.timeline.last().map(|last| last.seconds - then);
    let age = age.filter(|age| age.is_finite() && *age >= 0.0);
    let age = age.map_or(String::new(), |age| format!(", {} old", duration(age)));
    Some(("checkpoint", format!("step {step}{age}")))
}

/// What a GPU does, as far as it tells.
pub fn gpu_use(gpu: &GpuUse) -> String {
    let mut text = gpu.name.clone();
    let mut say = |part: Option<String>| {
        if let Some(part) = part {
            text.push_str(", ");
            text.push_str(&part);
        }
    };
    say(gpu.busy.map(|busy| format!("{:.0}% busy", busy * 100.0)));
    say(gpu
        .memory
        .map(|(used, all)| format!("{} of {}", bytes(used), bytes(all))));
    say(gpu.celsius.map(|celsius| format!("{celsius} C")));
    say(gpu.watts.map(|watts| format!("{watts:.0} W")));
    text
}

/// What is done in a second.
#[derive(Clone, Debug, PartialEq)]
struct Rate {
    steps: f64,
    gradients: f64,
}

/// The training's speed over its last steps, while it takes any.
fn now(app: &App) -> Option<Rate> {
    let moving = matches!(app.phase(), Phase::Live | Phase::Following | Phase::Pausing);
    rate(app, NOW).filter(|_| moving)
}

/// The same in steps a second.
pub fn steps_per_second(app: &App) -> Option<f64> {
    now(app).map(|now| now.steps)
}

/// Over the last so many steps, or all of them.
fn rate(app: &App, over: u64) -> Option<Rate> {
    let end = app.timeline.end();
    let newest = app.timeline.entry(end.checked_sub(1)?)?;
    // The step before the first of them ends where they begin.
    let before = end.checked_sub(over).and_then(|start| start.checked_sub(1));
    let (start, since) = match before.and_then(|step| app.timeline.entry(step)) {
        Some(before) => (before.end, before.seconds),
        None => (0, 0.0),
    };
    let seconds = newest.seconds - since;
    let gradients = app.timeline.stretch(&(start..end)).gradient_evals();
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    let rate = Rate {
        steps: (end - start) as f64 / seconds,
        gradients: gradients as f64 / seconds,
    };
    (seconds > 0.0 && rate.steps.is_finite()).then_some(rate)
}

/// `24.1 MB`
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

/// `2 h 05 min`, `4 min 30 s`, `12 s`
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
