//! The rules of the module's table, and their messages.

use std::fmt::Write;

use super::tally::{Occurrences, Streak, length};
use super::{Lint, LintKind, Linter, VANISHING};

/// Fewest steps for a lint about a layer.
const LEAST: u64 = 50;
const HURT_SHARE: f64 = 0.6;
const SURE: f64 = 3.0;

impl Linter {
    /// Returns what looks wrong in the run so far: the worst first, then by kind and by layer.
    #[must_use]
    pub fn lints(&self) -> Vec<Lint> {
        let mut lints = Vec::new();
        lints.extend(self.loss());
        lints.extend(self.residual());
        lints.extend(self.evaluations.lint());
        for layer in 0..self.run.layers.len() {
            lints.extend(self.allocation(layer));
            lints.extend(self.not_moving(layer));
            lints.extend(self.hurts(layer));
            lints.extend(self.held_out_hurt(layer));
        }
        lints.extend(self.vanishing());
        lints.sort_by_key(|lint| (lint.severity, lint.kind, lint.layer));
        lints
    }

    fn newest(&self) -> u64 {
        self.newest.unwrap_or(0)
    }

    fn name(&self, layer: usize) -> &str {
        self.run.layers.get(layer).map_or("", String::as_str)
    }

    /// Formats how many of the steps: `in 3 of 200 steps`.
    fn in_steps(&self, occurrences: Occurrences) -> String {
        match self.steps {
            1 => "in the only step so far".to_owned(),
            steps => format!("in {} of {steps} steps", occurrences.count),
        }
    }

    fn loss(&self) -> Option<Lint> {
        let broken = (self.broken.count > 0).then_some(self.broken)?;
        let (text, step) = match self.broken_since {
            Some(step) => (
                format!("the loss has not been finite since step {step}"),
                step,
            ),
            None => (
                format!("the loss was not finite {}", self.in_steps(broken)),
                broken.last,
            ),
        };
        Some(Lint::new(LintKind::LossNotFinite, text, None, step))
    }

    fn allocation(&self, layer: usize) -> Option<Lint> {
        let broken = self.layers.get(layer)?.broken;
        let (name, steps) = (self.name(layer), self.in_steps(broken));
        let text = format!("the allocation of {name} was not finite {steps}");
        (broken.count > 0).then(|| {
            let kind = LintKind::AllocationNotFinite;
            Lint::new(kind, text, Some(layer), broken.last)
        })
    }

    fn residual(&self) -> Option<Lint> {
        let above = (self.above.count > 0).then_some(self.above)?;
        let tolerance = self.run.tolerance;
        let mut text = format!("residual above {tolerance} nats {}: ", self.in_steps(above));
        let _ = match self.run.max_segments {
            None => write!(text, "try --integrator adaptive"),
            Some(most) if self.at_most_segments => {
                write!(text, "try more segments (--max-segments, now {most})")
            }
            Some(_) => write!(
                text,
                "allowed by the relative tolerance (--relative-tolerance)"
            ),
        };
        Some(Lint::new(LintKind::Residual, text, None, above.last))
    }

    fn not_moving(&self, layer: usize) -> Option<Lint> {
        let still = &self.layers.get(layer)?.still;
        let (steps, name) = (still.longest(), self.name(layer));
        let text = if still.goes_on() {
            format!("{name} has not moved for {} steps", length(&steps))
        } else {
            format!("{name} did not move {}", in_a_row(&steps))
        };
        let last = steps.end.saturating_sub(1);
        (length(&steps) >= LEAST).then(|| Lint::new(LintKind::Still, text, Some(layer), last))
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
    fn hurts(&self, layer: usize) -> Option<Lint> {
        let tally = self.layers.get(layer)?;
        let (of, share) = (tally.known, tally.hurt as f64 / tally.known as f64);
        if of < LEAST || share < HURT_SHARE {
            return None;
        }
        let (name, percent, sum) = (self.name(layer), 100.0 * share, tally.lca.value());
        let text = format!("{name} hurt in {percent:.0} % of {of} steps (sum {sum:+.1e} nats)");
        Some(Lint::new(LintKind::Hurts, text, Some(layer), self.newest()))
    }

    fn held_out_hurt(&self, layer: usize) -> Option<Lint> {
        let tally = self.layers.get(layer)?;
        let (train, drift) = tally.train.with_drift();
        let (held_out, held_out_drift) = tally.held_out.with_drift();
        let of = tally.both;
        if of < LEAST || train >= -SURE * drift || held_out <= SURE * held_out_drift {
            return None;
        }
        let name = self.name(layer);
        let text = format!(
            "{name} helps the training loss but hurts the held-out loss \
             ({train:+.1e} and {held_out:+.1e} nats in {of} steps)"
        );
        let kind = LintKind::HeldOutHurt;
        Some(Lint::new(kind, text, Some(layer), self.newest()))
    }

    /// Returns one lint for each layer, or one for all.
    fn vanishing(&self) -> Vec<Lint> {
        let lint = |text: String, layer, streak: &Streak| {
            let last = streak.longest().end.saturating_sub(1);
            let when = if streak.goes_on() {
                String::new()
            } else {
                format!(" {}", in_a_row(&streak.longest()))
            };
            Lint::new(LintKind::Vanishing, format!("{text}{when}"), layer, last)
        };
        let is = |streak: &Streak| if streak.goes_on() { "is" } else { "was" };
        if length(&self.vanished.longest()) >= LEAST {
            let are = if self.vanished.goes_on() {
                "are"
            } else {
                "were"
            };
            let text =
                format!("the gradient norms of all layers {are} below {VANISHING:.0e} (vanishing)");
            return vec![lint(text, None, &self.vanished)];
        }
        let long =
            |(_, tally): &(usize, &super::LayerTally)| length(&tally.vanishing.longest()) >= LEAST;
        let layers = self.layers.iter().enumerate().filter(long);
        let lints = layers.map(|(layer, tally)| {
            let (name, is) = (self.name(layer), is(&tally.vanishing));
            let text = match tally.longest_norm {
                0.0 => format!("the gradient of {name} {is} 0"),
                norm => format!("the gradient norm of {name} {is} {norm:.0e} (vanishing)"),
            };
            lint(text, Some(layer), &tally.vanishing)
        });
        lints.collect()
    }
}

/// Formats steps in a row: `for 60 steps from step 100 on`.
fn in_a_row(steps: &std::ops::Range<u64>) -> String {
    format!("for {} steps from step {} on", length(steps), steps.start)
}

#[cfg(test)]
mod tests {
    use super::super::{LintStep, LintedRun, Severity};
    use super::*;
    use proptest::prelude::*;

    fn linter() -> Linter {
        Linter::new(LintedRun {
            layers: ["fc1", "fc2", "fc3"].map(str::to_owned).into(),
            tolerance: 0.001,
            max_segments: Some(32),
        })
    }

    /// Two sound steps with no lint: every layer helps and hurts in turn.
    const NUMBERS: [[f64; 3]; 2] = [[1e-3, -1e-3, 1e-3], [-1e-3, 1e-3, -1e-3]];

    fn normal_step(step: u64) -> LintStep<'static> {
        LintStep {
            step,
            loss: 1.0,
            residual: 1e-5,
            segments: 2,
            lca: if step.is_multiple_of(2) {
                &NUMBERS[0]
            } else {
                &NUMBERS[1]
            },
            held_out: if step.is_multiple_of(2) {
                &NUMBERS[1]
            } else {
                &NUMBERS[0]
            },
            update_norm: &[0.1; 3],
            gradient_norm: &[0.1; 3],
            frozen: &[],
        }
    }

    /// Returns the lints after `steps` steps, each a sound one altered by `change`.
    fn lints_after(steps: u64, change: impl Fn(&mut LintStep)) -> Vec<Lint> {
        let mut linter = linter();
        for step in 0..steps {
            let mut row = normal_step(step);
            change(&mut row);
            linter.push(&row);
        }
        linter.lints()
    }

    fn texts(lints: &[Lint]) -> Vec<&str> {
        lints.iter().map(|lint| lint.text.as_str()).collect()
    }

    #[test]
    fn a_sound_run_has_no_lints() {
        assert_eq!(lints_after(0, |_| ()), []);
        assert_eq!(lints_after(1, |_| ()), []);
        assert_eq!(lints_after(500, |_| ()), []);
        // Only the loss was measured.
        let bare = |row: &mut LintStep| {
            *row = LintStep {
                step: row.step,
                loss: 1.0,
                ..LintStep::default()
            }
        };
        assert_eq!(lints_after(500, bare), []);
    }

    #[test]
    fn a_layer_that_hurts_is_named_with_its_share() {
        // 183 of 300 steps.
        let change = |row: &mut LintStep| {
            row.lca = if row.step < 183 {
                &[0.0, 0.0, 1e-3]
            } else {
                &[0.0, 0.0, -1e-3]
            };
        };
        let lints = lints_after(300, change);
        assert_eq!(
            texts(&lints),
            ["fc3 hurt in 61 % of 300 steps (sum +6.6e-2 nats)"]
        );
        let found = (lints[0].severity, lints[0].layer, lints[0].step);
        assert_eq!(found, (Severity::Notice, Some(2), 299));
        // Too few steps, and too small a share.
        assert_eq!(lints_after(49, change), []);
        assert_eq!(lints_after(306, change), []);
    }

    #[test]
    fn a_residual_comes_with_advice() {
        let change = |row: &mut LintStep| {
            if row.step >= 488 {
                (row.residual, row.segments) = (-0.002, 32);
            }
        };
        let lints = lints_after(500, change);
        let text = "residual above 0.001 nats in 12 of 500 steps: \
                    try more segments (--max-segments, now 32)";
        assert_eq!(texts(&lints), [text]);
        assert_eq!((lints[0].severity, lints[0].step), (Severity::Warning, 499));
        let mut fixed = Linter::new(LintedRun {
            max_segments: None,
            ..linter().run
        });
        fixed.push(&LintStep {
            residual: 1.0,
            ..normal_step(0)
        });
        assert!(
            fixed.lints()[0]
                .text
                .ends_with("in the only step so far: try --integrator adaptive")
        );
        let relative = lints_after(1, |row| row.residual = 1.0);
        assert!(relative[0].text.ends_with("(--relative-tolerance)"));
    }

    #[test]
    fn a_layer_that_does_not_move_is_named_unless_frozen() {
        let still = |row: &mut LintStep| row.update_norm = &[0.1, 0.0, 0.0];
        let frozen = |row: &mut LintStep| {
            still(row);
            row.frozen = &[false, false, true];
        };
        assert_eq!(lints_after(49, frozen), []);
        let lints = lints_after(50, frozen);
        assert_eq!(texts(&lints), ["fc2 has not moved for 50 steps"]);
        assert_eq!(lints[0].layer, Some(1));
        assert_eq!(
            lints_after(777, still)[1].text,
            "fc3 has not moved for 777 steps"
        );
        // It moved again, or its movement is unknown.
        let moved = |row: &mut LintStep| {
            if row.step < 20 || row.step > 90 {
                still(row);
            }
        };
        assert_eq!(lints_after(140, moved), []);
        let lints = lints_after(400, |row| {
            if (100..160).contains(&row.step) {
                row.update_norm = &[0.1, 0.1, 0.0];
            }
        });
        assert_eq!(
            texts(&lints),
            ["fc3 did not move for 60 steps from step 100 on"]
        );
        assert_eq!(lints[0].step, 159);
        assert_eq!(lints_after(100, |row| row.update_norm = &[f64::NAN; 3]), []);
    }

    #[test]
    fn non_finite_values_are_listed_first() {
        let broken = |row: &mut LintStep| {
            if row.step >= 120 {
                row.loss = f64::NAN;
                row.lca = &[1.0, f64::INFINITY, f64::NAN];
            }
        };
        let lints = lints_after(500, broken);
        let expected = [
            "the loss has not been finite since step 120",
            "the allocation of fc2 was not finite in 380 of 500 steps",
            "the allocation of fc3 was not finite in 380 of 500 steps",
            "fc1 hurt in 88 % of 500 steps (sum +3.8e2 nats)",
        ];
        assert_eq!(texts(&lints), expected);
        assert_eq!((lints[0].severity, lints[0].step), (Severity::Error, 120));
        let recovered = |row: &mut LintStep| {
            if row.step == 120 {
                row.loss = f64::INFINITY;
            }
        };
        let lints = lints_after(900, recovered);
        assert_eq!(texts(&lints), ["the loss was not finite in 1 of 900 steps"]);
        assert_eq!(lints[0].step, 120);
    }

    #[test]
    fn overfitting_is_reported_from_the_least_held_out_loss_on() {
        let mut linter = linter();
        for i in 0_u8..12 {
            assert_eq!(linter.lints(), []);
            let at = f64::from(i);
            // Least at evaluation 6.
            let held_out = 1.0 + 0.02 * (at - 6.0).powi(2);
            linter.evaluation(100 * u64::from(i), 0.5 - 0.01 * at, held_out);
            // Pushed twice.
            linter.evaluation(100 * u64::from(i), 9.0, 0.0);
        }
        // Evaluation 7 is no more than the noise above it.
        assert_eq!(linter.lints(), []);
        linter.evaluation(1200, 0.38, 1.72);
        let text = "the held-out loss has risen since step 600 (1.0000 to 1.7200 nats), \
                    the training loss fell (0.4400 to 0.3800)";
        assert_eq!(texts(&linter.lints()), [text]);
        assert_eq!(linter.lints()[0].step, 600);
        let mut higher = linter.clone();
        higher.evaluation(1300, 0.6, 1.8);
        assert_eq!(higher.lints(), []);
        let mut unknown = linter.clone();
        unknown.evaluation(1300, f64::NAN, 1.6);
        assert_eq!(unknown.lints(), []);
        linter.evaluation(1300, 0.3, 0.9);
        assert_eq!(linter.lints(), []);
    }

    #[test]
    fn noise_of_the_held_out_loss_is_not_overfitting() {
        let mut linter = linter();
        for i in 0_u32..400 {
            // The fractional parts of multiples of an irrational number.
            let noise = (f64::from(i) * 0.618_034).fract() - 0.5;
            linter.evaluation(i.into(), 1.0 / f64::from(i + 1), 1.0 + 0.1 * noise);
            assert_eq!(linter.lints(), [], "{i}");
        }
    }

    #[test]
    fn helping_one_loss_and_hurting_the_other_is_reported() {
        let change = |row: &mut LintStep| {
            row.lca = &[-1e-4, -1e-3, -1e-3];
            row.held_out = &[-1e-4, 2e-3, f64::NAN];
        };
        let text = "fc2 helps the training loss but hurts the held-out loss \
                    (-4.0e-1 and +8.0e-1 nats in 400 steps)";
        assert_eq!(texts(&lints_after(400, change)), [text]);
    }

    #[test]
    fn vanishing_gradients_are_named() {
        let change = |row: &mut LintStep| row.gradient_norm = &[0.1, 1e-9, 0.0];
        let expected = [
            "the gradient norm of fc2 is 1e-9 (vanishing)",
            "the gradient of fc3 is 0",
        ];
        assert_eq!(texts(&lints_after(60, change)), expected);
        assert_eq!(lints_after(49, change), []);
        let frozen = |row: &mut LintStep| {
            change(row);
            row.frozen = &[false, true, true];
        };
        assert_eq!(lints_after(60, frozen), []);
        let relative = |row: &mut LintStep| row.gradient_norm = &[1e3, 9e-4, 2e-3];
        assert_eq!(
            texts(&lints_after(60, relative)),
            ["the gradient norm of fc2 is 9e-4 (vanishing)"]
        );
        let all = |row: &mut LintStep| row.gradient_norm = &[1e-9, 1e-12, 0.0];
        let text = "the gradient norms of all layers are below 1e-8 (vanishing)";
        assert_eq!(texts(&lints_after(60, all)), [text]);
        // A norm that is not small for one step ends the streak, and an earlier streak is remembered.
        let once = |row: &mut LintStep| {
            if row.step != 30 {
                change(row);
            }
        };
        assert_eq!(lints_after(60, once), []);
        let early = |row: &mut LintStep| {
            if row.step < 70 {
                row.gradient_norm = &[0.1, 1e-9, 0.1];
            }
        };
        assert_eq!(
            texts(&lints_after(500, early)),
            ["the gradient norm of fc2 was 1e-9 (vanishing) for 70 steps from step 0 on"]
        );
    }

    proptest! {
        #[test]
        fn arbitrary_input_gives_a_stable_order(
            rows in prop::collection::vec(
                (any::<u16>(), prop::collection::vec(prop::num::f64::ANY, 2..6)), 0..300),
        ) {
            let mut linter = linter();
            for (step, numbers) in &rows {
                linter.push(&LintStep {
                    step: (*step).into(),
                    loss: numbers[0],
                    residual: numbers[1],
                    segments: u64::MAX,
                    lca: numbers,
                    held_out: &numbers[1..],
                    update_norm: &numbers[2..],
                    gradient_norm: numbers,
                    frozen: &[],
                });
                linter.evaluation((*step).into(), numbers[0], numbers[1]);
            }
            let lints = linter.lints();
            prop_assert!(lints.is_sorted_by_key(|lint| (lint.severity, lint.kind, lint.layer)));
            prop_assert_eq!(lints, linter.lints());
        }
    }
}
