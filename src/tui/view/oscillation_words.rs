//! The Oscillation screen's summary of a layer in words.
//!
//! ```text
//!  fc2: sign flip of updates every 6.7 steps, of gradients every 9.1 steps, …
//!  layer LCA: sign flip every 12.0 steps, period 6.3 steps (r = 0.41)
//!  updates lag the negative gradient by 3 steps (r = 0.52), mean of 12 traced, momentum alone: 9.0 steps
//! ```

use super::words::every;
use crate::analysis::oscillation::every as steps_per;
use crate::query::{BestLag, Oscillation, TAIL};

/// Three lines, each as parts with ranks; if there is little room, the highest rank goes first. `name` is the layer's.
pub fn lines(name: &str, known: &Oscillation) -> [Vec<(u8, String)>; 3] {
    let of = |what: &str, count: Option<u64>| {
        let steps = count.map_or(f64::NAN, |count| steps_per(known.param_steps, count));
        spoken(what, steps)
    };
    let updates = of("sign flip of updates", known.update_flips);
    let gradients = of("of gradients", known.gradient_flips);
    let turns = of("turning point of LCA", known.lca_turns);
    let mut single = vec![(0, format!("{name}: {updates}")), (1, gradients)];
    // Files of older versions lack it.
    if known.gradient_turns.is_some() {
        single.push((3, of("turning point of gradients", known.gradient_turns)));
    }
    single.push((2, format!("{turns} (parameters)")));
    let tail = known.tail.end.saturating_sub(known.tail.start);
    let all = known.edges.last().zip(known.edges.first());
    let all = all.map_or(0, |(end, first)| end.saturating_sub(*first));
    let crossings = steps_per(known.measured, known.crossings);
    let flips = if crossings.is_infinite() {
        "layer LCA: no sign flip".to_owned()
    } else {
        spoken("layer LCA: sign flip", crossings)
    };
    let mut sum = vec![(0, flips)];
    sum.push((
        1,
        match known.period {
            Some((steps, r)) => format!("period {steps:.1} steps (r = {r:.2})"),
            None => "no period".to_owned(),
        },
    ));
    if tail < all {
        sum.push((2, format!("correlations over the last {TAIL} steps")));
    }
    let mut lag = match (known.traced, known.traced_there) {
        (Some(best), _) => vec![
            (
                0,
                format!(
                    "updates {} the negative gradient {} (r = {:.2})",
                    follows(best),
                    by(best),
                    best.correlation
                ),
            ),
            (1, format!("mean of {} traced", known.traced_used)),
        ],
        (None, 0) => vec![
            (
                0,
                "lag behind the negative gradient: no traced parameters here".to_owned(),
            ),
            (1, "train with --trace".to_owned()),
        ],
        (None, _) => vec![(
            0,
            "lag behind the negative gradient: unknown for the traced parameters".to_owned(),
        )],
    };
    if let Some(delay) = known.expected {
        lag.push((2, format!("momentum alone: {delay:.1} steps")));
    }
    if let Some(best) = known.norms {
        let BestLag { steps, correlation } = best;
        lag.push((3, format!("norms: lag {steps} (r = {correlation:.2})")));
    }
    [single, sum, lag]
}

/// Formats a rate: "sign flip every 6.7 steps", "sign flip: never".
fn spoken(what: &str, steps: f64) -> String {
    if steps.is_nan() {
        format!("{what}: unknown")
    } else if steps.is_infinite() {
        format!("{what}: never")
    } else {
        format!("{what} every {} steps", every(steps).trim())
    }
}

fn follows(best: BestLag) -> &'static str {
    if best.steps < 0 { "lead" } else { "lag" }
}

/// Formats a lag: "by 3 steps".
fn by(best: BestLag) -> String {
    match best.steps.abs() {
        1 => "by 1 step".to_owned(),
        steps => format!("by {steps} steps"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_oscillation_is_stated() {
        let said = |steps| spoken("sign flip", steps);
        assert_eq!(said(6.66), "sign flip every 6.7 steps");
        assert_eq!(said(f64::INFINITY), "sign flip: never");
        assert_eq!(said(f64::NAN), "sign flip: unknown");
    }
}
