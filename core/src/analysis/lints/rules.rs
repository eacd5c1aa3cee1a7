//! The rules of the module's table, and their messages.

use std::fmt::Write;

use super::{KeptStep, LayerNumbers, Lint, LintKind, Linter};

/// Fewest steps for a lint about a layer.
const LEAST: usize = 50;
const STILL: u64 = 50;
const HURT_SHARE: f64 = 0.6;
const SURE: f64 = 3.0;
/// Thresholds for the L2 norm of a layer's gradient: absolute, and as a share of the largest layer's.
const VANISHING: f64 = 1e-8;
const VANISHING_SHARE: f64 = 1e-6;

impl Linter {
    /// Returns what looks wrong now: the worst first, then by kind and by layer.
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
        self.rows.back().map_or(0, |row| row.step)
    }

    fn name(&self, layer: usize) -> &str {
        self.run.layers.get(layer).map_or("", String::as_str)
    }

    /// Returns a layer's number in all steps where it is finite.
    fn finite_values(
        &self,
        layer: usize,
        number: fn(&LayerNumbers) -> f64,
    ) -> impl Iterator<Item = f64> {
        let numbers = self
            .rows
            .iter()
            .filter_map(move |row| row.layers.get(layer));
        numbers.map(number).filter(|value| value.is_finite())
    }

    fn loss(&self) -> Option<Lint> {
        let last = self.rows.iter().rfind(|row| !row.finite)?;
        let (text, step) = match self.broken_since {
            Some(step) => (
                format!("the loss has not been finite since step {step}"),
                step,
            ),
            None => {
                let count = self.rows.iter().filter(|row| !row.finite).count();
                let of = self.rows.len();
                (
                    format!("the loss was not finite {}", in_steps(count, of)),
                    last.step,
                )
            }
        };
        Some(Lint::new(LintKind::LossNotFinite, text, None, step))
    }

    fn allocation(&self, layer: usize) -> Option<Lint> {
        let broken = |row: &&KeptStep| row.layers.get(layer).is_some_and(|numbers| numbers.broken);
        let last = self.rows.iter().rfind(broken)?;
        let (count, of) = (self.rows.iter().filter(broken).count(), self.rows.len());
        let name = self.name(layer);
        let text = format!(
            "the allocation of {name} was not finite {}",
            in_steps(count, of)
        );
        Some(Lint::new(
            LintKind::AllocationNotFinite,
            text,
            Some(layer),
            last.step,
        ))
    }

    fn residual(&self) -> Option<Lint> {
        let above = || self.rows.iter().filter(|row| row.above);
        let last = above().next_back()?;
        let (count, of, tolerance) = (above().count(), self.rows.len(), self.run.tolerance);
        let mut text = format!("residual above {tolerance} nats {}: ", in_steps(count, of));
        let _ = match self.run.max_segments {
            None => write!(text, "try --integrator adaptive"),
            Some(most) if above().any(|row| row.segments >= most) => {
                write!(text, "try more segments (--max-segments, now {most})")
            }
            Some(_) => write!(
                text,
                "allowed by the relative tolerance (--relative-tolerance)"
            ),
        };
        Some(Lint::new(LintKind::Residual, text, None, last.step))
    }

    fn not_moving(&self, layer: usize) -> Option<Lint> {
        let steps = *self.still.get(layer)?;
        let text = || format!("{} has not moved for {steps} steps", self.name(layer));
        (steps >= STILL).then(|| Lint::new(LintKind::Still, text(), Some(layer), self.newest()))
    }

    #[expect(clippy::cast_precision_loss, reason = "at most 200 steps")]
    fn hurts(&self, layer: usize) -> Option<Lint> {
        let lca = || self.finite_values(layer, |numbers| numbers.lca);
        let (of, hurt) = (lca().count(), lca().filter(|a| *a > 0.0).count());
        let share = hurt as f64 / of as f64;
        if of < LEAST || share < HURT_SHARE {
            return None;
        }
        let (name, percent, sum) = (self.name(layer), 100.0 * share, lca().sum::<f64>());
        let text =
            format!("{name} hurt in {percent:.0} % of the last {of} steps (sum {sum:+.1e} nats)");
        Some(Lint::new(LintKind::Hurts, text, Some(layer), self.newest()))
    }

    fn held_out_hurt(&self, layer: usize) -> Option<Lint> {
        let both = || {
            let numbers = self
                .rows
                .iter()
                .filter_map(move |row| row.layers.get(layer));
            numbers.filter(|n| n.lca.is_finite() && n.held_out.is_finite())
        };
        let total = |of: fn(&LayerNumbers) -> f64| {
            let sum: f64 = both().map(of).sum();
            let stray = both()
                .map(|numbers| of(numbers).powi(2))
                .sum::<f64>()
                .sqrt();
            (sum, SURE * stray)
        };
        let (train, stray) = total(|numbers| numbers.lca);
        let (held_out, stray_held_out) = total(|numbers| numbers.held_out);
        let of = both().count();
        if of < LEAST || train >= -stray || held_out <= stray_held_out {
            return None;
        }
        let name = self.name(layer);
        let text = format!(
            "{name} helps the training loss but hurts the held-out loss \
             ({train:+.1e} and {held_out:+.1e} nats in the last {of} steps)"
        );
        Some(Lint::new(
            LintKind::HeldOutHurt,
            text,
            Some(layer),
            self.newest(),
        ))
    }

    /// Returns one lint for each layer, or one for all.
    fn vanishing(&self) -> Vec<Lint> {
        let norm = |layer: usize| {
            let norms = || self.finite_values(layer, |numbers| numbers.gradient);
            (norms().count() >= LEAST).then(|| norms().fold(0.0, f64::max))
        };
        let norms: Vec<Option<f64>> = (0..self.run.layers.len()).map(norm).collect();
        let largest = norms.iter().flatten().copied().fold(0.0, f64::max);
        let least = VANISHING.max(VANISHING_SHARE * largest);
        let small = |norm: &Option<f64>| norm.is_some_and(|norm| norm < least);
        if norms.len() > 1 && norms.iter().all(small) {
            let text =
                format!("the gradient norms of all layers are below {least:.0e} (vanishing)");
            return vec![Lint::new(LintKind::Vanishing, text, None, self.newest())];
        }
        let layers = norms.iter().enumerate().filter(|(layer, norm)| {
            let frozen = self.frozen.get(*layer).copied().unwrap_or(false);
            small(norm) && !frozen
        });
        let lints = layers.map(|(layer, norm)| {
            let name = self.name(layer);
            let text = match norm.unwrap_or(0.0) {
                0.0 => format!("the gradient of {name} is 0"),
                norm => format!("the gradient norm of {name} is {norm:.0e} (vanishing)"),
            };
            Lint::new(LintKind::Vanishing, text, Some(layer), self.newest())
        });
        lints.collect()
    }
}

/// Formats how many of the last steps: `in 3 of the last 200 steps`.
fn in_steps(count: usize, of: usize) -> String {
    match of {
        1 => "in the only step so far".to_owned(),
        of => format!("in {count} of the last {of} steps"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LintStep, LintedRun, Severity, WINDOW};
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
        // 122 of the last 200 steps, 100..300.
        let change = |row: &mut LintStep| {
            row.lca = if row.step < 222 {
                &[0.0, 0.0, 1e-3]
            } else {
                &[0.0, 0.0, -1e-3]
            };
        };
        let lints = lints_after(300, change);
        assert_eq!(
            texts(&lints),
            ["fc3 hurt in 61 % of the last 200 steps (sum +4.4e-2 nats)"]
        );
        let found = (lints[0].severity, lints[0].layer, lints[0].step);
        assert_eq!(found, (Severity::Notice, Some(2), 299));
        // Too few steps, and too small a share.
        assert_eq!(lints_after(49, change), []);
        assert_eq!(lints_after(303, change), []);
    }

    #[test]
    fn a_residual_comes_with_advice() {
        let change = |row: &mut LintStep| {
            if row.step >= 488 {
                (row.residual, row.segments) = (-0.002, 32);
            }
        };
        let lints = lints_after(500, change);
        let text = "residual above 0.001 nats in 12 of the last 200 steps: \
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
            if row.step != 90 {
                still(row);
            }
        };
        assert_eq!(lints_after(100, moved), []);
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
            "the allocation of fc2 was not finite in 200 of the last 200 steps",
            "the allocation of fc3 was not finite in 200 of the last 200 steps",
            "fc1 hurt in 100 % of the last 200 steps (sum +2.0e2 nats)",
        ];
        assert_eq!(texts(&lints), expected);
        assert_eq!((lints[0].severity, lints[0].step), (Severity::Error, 120));
        let recovered = |row: &mut LintStep| {
            if row.step == 120 {
                row.loss = f64::INFINITY;
            }
        };
        let lints = lints_after(150, recovered);
        assert_eq!(
            texts(&lints),
            ["the loss was not finite in 1 of the last 150 steps"]
        );
        assert_eq!(lints[0].step, 120);
        assert_eq!(lints_after(321, recovered), []);
    }

    #[test]
    fn overfitting_is_reported_after_five_rises() {
        let mut linter = linter();
        for i in 0_u8..6 {
            assert_eq!(linter.lints(), []);
            let at = f64::from(i);
            linter.evaluation(100 * u64::from(i), 0.5 - 0.01 * at, 1.0 + 0.1 * at);
            // Pushed twice.
            linter.evaluation(100 * u64::from(i), 9.0, 0.0);
        }
        let text = "held-out loss rose 5 times in a row (1.0000 to 1.5000 nats), training loss fell (0.5000 to 0.4500)";
        assert_eq!(texts(&linter.lints()), [text]);
        assert_eq!(linter.lints()[0].step, 500);
        let mut higher = linter.clone();
        higher.evaluation(600, 0.6, 1.6);
        assert_eq!(higher.lints(), []);
        let mut unknown = linter.clone();
        unknown.evaluation(600, f64::NAN, 1.6);
        assert_eq!(unknown.lints(), []);
        linter.evaluation(600, 0.4, 1.4);
        assert_eq!(linter.lints(), []);
    }

    #[test]
    fn helping_one_loss_and_hurting_the_other_is_reported() {
        let change = |row: &mut LintStep| {
            row.lca = &[-1e-4, -1e-3, -1e-3];
            row.held_out = &[-1e-4, 2e-3, f64::NAN];
        };
        let text = "fc2 helps the training loss but hurts the held-out loss \
                    (-2.0e-1 and +4.0e-1 nats in the last 200 steps)";
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
        // A norm that is small in one step does not count.
        let once = |row: &mut LintStep| {
            if row.step != 30 {
                change(row);
            }
        };
        assert_eq!(lints_after(60, once), []);
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
            prop_assert!(linter.rows.len() <= WINDOW);
            prop_assert_eq!(lints, linter.lints());
        }
    }
}
