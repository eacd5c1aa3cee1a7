//! The Oscillation screen's summary of a layer in words.
//!
//! ```text
//!  fc2: updates turn every 6.7 steps, gradients cross zero every 9.1 steps, gradients turn every 3.2 steps, …
//!  sum of LCA changes sign every 12.0 steps, period 6.3 steps (r 0.41)
//!  movement follows -gradient by 3 steps, c 0.52, mean of 12 traced, momentum alone delays by 9.0 steps
//! ```

use super::words::every;
use crate::analysis::oscillation::every as steps_per;
use crate::query::{BestLag, Oscillation, TAIL};

/// Three lines, each as parts with ranks; if there is little room, the highest rank goes first. `name` is the layer's.
pub fn lines(name: &str, known: &Oscillation) -> [Vec<(u8, String)>; 3] {
    let of = |what: &str, does: &str, count: Option<u64>| {
        let steps = count.map_or(f64::NAN, |count| steps_per(known.param_steps, count));
        spoken(what, does, steps)
    };
    let updates = of("updates", "turn", known.update_flips);
    let gradients = of("gradients", "cross zero", known.gradient_flips);
    let turns = of("LCA", "turns", known.lca_turns);
    let mut single = vec![(0, format!("{name}: {updates}")), (1, gradients)];
    // Files of older versions lack it.
    if known.gradient_turns.is_some() {
        single.push((3, of("gradients", "turn", known.gradient_turns)));
    }
    single.push((2, format!("{turns} (parameters)")));
    let tail = known.tail.end.saturating_sub(known.tail.start);
    let all = known.edges.last().zip(known.edges.first());
    let all = all.map_or(0, |(end, first)| end.saturating_sub(*first));
    let crossings = steps_per(known.measured, known.crossings);
    let mut sum = vec![(0, spoken("sum of LCA", "changes sign", crossings))];
    sum.push((
        1,
        match known.period {
            Some((steps, r)) => format!("period {steps:.1} steps (r {r:.2})"),
            None => "no period".to_owned(),
        },
    ));
    if tail < all {
        sum.push((2, format!("correlations of the last {TAIL} steps")));
    }
    let mut lag = match (known.traced, known.traced_there) {
        (Some(best), _) => vec![
            (0, format!("{} -gradient {}", follows(best), by(best))),
            (
                1,
                format!(
                    "c {:.2}, mean of {} traced",
                    best.correlation, known.traced_used
                ),
            ),
        ],
        (None, 0) => vec![
            (
                0,
                "lag behind -gradient: no traced parameter here".to_owned(),
            ),
            (1, "train with --trace".to_owned()),
        ],
        (None, _) => vec![(
            0,
            "lag behind -gradient: not known of the traced".to_owned(),
        )],
    };
    if let Some(delay) = known.expected {
        lag.push((2, format!("momentum alone delays by {delay:.1} steps")));
    }
    if let Some(best) = known.norms {
        let BestLag { steps, correlation } = best;
        lag.push((3, format!("norms: lag {steps} (c {correlation:.2})")));
    }
    [single, sum, lag]
}

/// Formats a rate: "updates turn every 6.7 steps", "updates never turn".
fn spoken(what: &str, does: &str, steps: f64) -> String {
    if steps.is_nan() {
        format!("{what}: not known")
    } else if steps.is_infinite() {
        format!("{what} never {does}")
    } else {
        format!("{what} {does} every {} steps", every(steps).trim())
    }
}

fn follows(best: BestLag) -> &'static str {
    if best.steps < 0 {
        "movement leads"
    } else {
        "movement follows"
    }
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
        let said = |steps| spoken("updates", "turn", steps);
        assert_eq!(said(6.66), "updates turn every 6.7 steps");
        assert_eq!(said(f64::INFINITY), "updates never turn");
        assert_eq!(said(f64::NAN), "updates: not known");
    }
}
