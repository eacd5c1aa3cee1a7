//! Warnings about the data of a run and about its first loss.
//!
//! | lint | when |
//! |---|---|
//! | inputs | their root mean square is above 3; or all of them are within 0.1 of 0, or the same |
//! | first loss | above ln C + 10 nats, with C classes |
//! | labels | labels that start at 1; classes that have only held-out examples |
//! | classes | other classes without examples, or without held-out ones |
//!
//! He-normal weights keep the mean square q of the inputs from layer to layer, and the last layer turns it into outputs
//! with variance 2q. For normal outputs with variance v the mean cross-entropy is at most ln C + v/2, hence ln C + q.
//! Inputs between 0 and 1, and standardised ones, whatever their extremes, have q ≤ 1. A root mean square above 3 means
//! q is nine times as much; 0 … 16 has about 8, 0 … 255 has 80 and more.
//!
//! The sums of residual blocks grow: the preset with nine of them starts 1 to 5.4 nats above ln C (MNIST sample, eight
//! seeds), the others at most 1. So a first loss is far above from 10 nats on: the right class then has, on average,
//! less than a 20,000th of its probability under a uniform guess.
//!
//! ```text
//! C = 10, first loss 2.4 (MNIST), 7.7 (ResNet)      no warning
//! C = 10, first loss 22 (digits from 0 to 16)       "… far above the 2.3 of a uniform guess …"
//! ```
//!
//! A batch norm after the first layer removes the scale of the inputs, and weights from another program may have been
//! trained on such inputs: in both cases there is no warning about the inputs' scale unless the loss is high too.

use super::{Lint, LintKind};

/// Largest root mean square of well-scaled inputs.
const LARGE: f64 = 3.0;
/// Inputs whose greatest magnitude is below this are too small.
const SMALL: f64 = 0.1;
/// Distance above the loss of a uniform guess that is far, in nats.
const FAR: f64 = 10.0;

/// Most classes that a message names; the others are counted.
const NAMED: usize = 5;

/// The facts about a run's data that are known before its first step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Data<'a> {
    /// `[C]`: names.
    pub classes: &'a [String],
    /// Least, greatest and root mean square of the training examples' inputs, if known.
    pub inputs: Option<[f64; 3]>,
    /// True if a batch norm removes the inputs' scale.
    pub is_normalised: bool,
    /// True if the weights were trained by another program.
    pub is_given: bool,
    /// `[C]`: training and held-out examples of each class; empty if not known.
    pub examples: [&'a [u64]; 2],
    /// True if these examples are part of a larger set (`--train-size`, `--test-size`).
    pub is_drawn: [bool; 2],
    /// Mean cross-entropy before the first step, in nats, if known.
    pub first_loss: Option<f64>,
}

impl Data<'_> {
    /// Returns the warnings, the worst first.
    #[must_use]
    pub fn lints(&self) -> Vec<Lint> {
        let lint = |kind, text: Option<String>| text.map(|text| Lint::new(kind, text, None, 0));
        let known = [
            lint(LintKind::Inputs, self.inputs()),
            lint(LintKind::FirstLoss, self.first_loss()),
            lint(LintKind::Labels, self.label_base()),
            lint(LintKind::Labels, self.untrained()),
            lint(LintKind::Classes, self.absent_classes()),
            lint(LintKind::Classes, self.not_held_out()),
        ];
        known.into_iter().flatten().collect()
    }

    /// Returns true if the first loss is far above that of a uniform guess.
    #[expect(clippy::cast_precision_loss, reason = "a number of classes")]
    fn is_above_guess(&self) -> bool {
        let guess = (self.classes.len() as f64).ln();
        // A loss without classes has no uniform guess to compare with.
        self.classes.len() > 1 && self.first_loss.is_some_and(|loss| loss > guess + FAR)
    }

    fn inputs(&self) -> Option<String> {
        let [least, greatest, rms] = self.inputs?;
        let most = greatest.max(-least);
        let range = format!("inputs range from {} to {}", short(least), short(greatest));
        if least == greatest {
            let value = short(least);
            return Some(format!(
                "all inputs are {value}: nothing can be learned from them"
            ));
        }
        // With a batch norm, unscaled inputs may be intended.
        if (self.is_normalised || self.is_given) && !self.is_above_guess() {
            return None;
        }
        if rms > LARGE {
            let divide = if least >= 0.0 {
                format!("divide them by {}, or ", short(greatest))
            } else {
                String::new()
            };
            return Some(format!(
                "{range} (root mean square {}), but should be about 1: {divide}subtract their mean and divide \
                 by their standard deviation",
                short(rms)
            ));
        }
        (most < SMALL).then(|| {
            format!(
                "{range}, but should be about 1: scale them up (bytes are divided by 255 on reading, floats are not)"
            )
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of classes")]
    fn first_loss(&self) -> Option<String> {
        let loss = self.first_loss.filter(|_| self.is_above_guess())?;
        let classes = self.classes.len();
        let remedy = match self.inputs {
            _ if self.is_given => {
                "check that inputs are scaled and labels are numbered as in the training of the weights"
            }
            Some([_, _, rms]) if rms > LARGE => "scale the inputs",
            _ => "use batch norms or smaller inputs to keep the outputs near 0",
        };
        Some(format!(
            "the loss before the first step is {} nats, far above the {} of a uniform guess among \
             {classes} classes: {remedy}",
            short(loss),
            short((classes as f64).ln()),
        ))
    }

    /// Returns true if all labels are one too high.
    fn starts_at_one(&self) -> bool {
        let [train, held_out] = self.examples;
        let none = |class: usize| train.get(class) == Some(&0) && held_out.get(class) == Some(&0);
        // A class with a real name is empty on purpose.
        train.len() > 1
            && self.classes.first().is_some_and(|name| name == "0")
            && none(0)
            && !(1..train.len()).any(none)
    }

    fn label_base(&self) -> Option<String> {
        let highest = self.classes.len().saturating_sub(1);
        self.starts_at_one().then(|| {
            format!(
                "no example has label 0: labels are 1 to {highest}, but must start at 0; subtract 1"
            )
        })
    }

    fn untrained(&self) -> Option<String> {
        let (are, have) = ("has only held-out examples", "have only held-out examples");
        let remedy = if self.is_drawn[0] {
            "a larger --train-size may include training examples"
        } else {
            "add training examples or remove these"
        };
        let text =
            self.name_classes(|[train, held_out]| train == 0 && held_out > 0, [are, have])?;
        Some(format!("{text}: {remedy}"))
    }

    fn absent_classes(&self) -> Option<String> {
        let verbs = ["has no examples", "have no examples"];
        let remedy = if self.is_drawn.contains(&true) {
            "a larger --train-size or --test-size may include some"
        } else {
            "the network only learns never to predict them"
        };
        let text = (!self.starts_at_one())
            .then(|| self.name_classes(|[train, held_out]| train == 0 && held_out == 0, verbs));
        Some(format!("{}: {remedy}", text??))
    }

    fn not_held_out(&self) -> Option<String> {
        let [_, held_out] = self.examples;
        if held_out.iter().all(|&count| count == 0) {
            // There is no held-out loss.
            return None;
        }
        let verbs = ["has no held-out examples", "have no held-out examples"];
        let remedy = if self.is_drawn[1] {
            "; a larger --test-size may include some"
        } else {
            ""
        };
        let text = self.name_classes(|[train, held_out]| train > 0 && held_out == 0, verbs)?;
        Some(format!(
            "{text}: the held-out loss does not cover them{remedy}"
        ))
    }

    /// Names the classes whose training and held-out counts satisfy `is_so`.
    fn name_classes(&self, is_so: impl Fn([u64; 2]) -> bool, verbs: [&str; 2]) -> Option<String> {
        let [train, held_out] = self.examples;
        let counts = train
            .iter()
            .zip(held_out)
            .map(|(&train, &held_out)| [train, held_out]);
        let names = self.classes.iter().zip(counts);
        let names: Vec<&str> = names
            .filter(|(_, counts)| is_so(*counts))
            .map(|(name, _)| name.as_str())
            .collect();
        match names.as_slice() {
            [] => None,
            [only] => Some(format!("class {only} {}", verbs[0])),
            [names @ .., last] if names.len() < NAMED => Some(format!(
                "classes {} and {last} {}",
                names.join(", "),
                verbs[1]
            )),
            many => {
                let (names, others) = many.split_at(NAMED - 1);
                let (names, others) = (names.join(", "), others.len());
                Some(format!("classes {names} and {others} others {}", verbs[1]))
            }
        }
    }
}

/// Formats a number with at least three significant digits.
fn short(value: f64) -> String {
    let places = match value.abs() {
        100.0..1e6 => 0,
        10.0..100.0 => 1,
        1.0..10.0 => 2,
        0.001..1.0 => 4,
        0.0 => 0,
        _ => return format!("{value:.1e}"),
    };
    let text = format!("{value:.places$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|class| class.to_string()).collect()
    }

    fn texts(data: &Data) -> Vec<String> {
        let lints = data.lints();
        assert!(lints.is_sorted_by_key(|lint| (lint.severity, lint.kind)));
        lints.into_iter().map(|lint| lint.text).collect()
    }

    #[track_caller]
    fn assert_says(data: &Data, parts: &[&[&str]]) {
        let texts = texts(data);
        assert_eq!(texts.len(), parts.len(), "{texts:#?}");
        for (text, parts) in texts.iter().zip(parts) {
            for part in *parts {
                assert!(text.contains(part), "no “{part}” in “{text}”");
            }
        }
    }

    #[test]
    fn scaled_inputs_get_no_lint() {
        for inputs in [
            [0.0, 1.0, 0.335],  // MNIST
            [-0.42, 2.82, 1.0], // the same, standardised
            [-10.0, 10.0, 1.0], // heavy tails
            [-1.0, 1.0, 0.6],
            [-1.3, 244.0, 1.0], // MNIST, each pixel standardised
            [-2.1, 2.6, 1.2],   // ImageNet's means and deviations
            [0.0, 1.0, 0.036],  // one-hot
            [0.0, 0.2, 0.01],
            [f64::NAN; 3],
        ] {
            let data = Data {
                inputs: Some(inputs),
                ..Data::default()
            };
            assert_says(&data, &[]);
        }
    }

    #[test]
    fn unscaled_inputs_get_a_lint_with_a_remedy() {
        for (inputs, parts) in [
            (
                [0.0, 255.0, 84.66],
                &[
                    "from 0 to 255 (root mean square 84.7)",
                    "divide them by 255",
                ],
            ),
            (
                [0.0, 16.0, 7.79],
                &["from 0 to 16 (root mean square 7.79)", "divide them by 16"],
            ),
            (
                [0.0, 65535.0, 2e4],
                &["from 0 to 65535", "divide them by 65535"],
            ),
            (
                [-128.0, 127.0, 70.0],
                &["from -128 to 127", ": subtract their mean"],
            ),
            (
                [0.0, 0.00392, 0.0013],
                &["from 0 to 0.0039", "scale them up"],
            ),
            (
                [0.0, 0.0, 0.0],
                &["all inputs are 0", "nothing can be learned"],
            ),
            (
                [7.0, 7.0, 7.0],
                &["all inputs are 7", "nothing can be learned"],
            ),
            (
                [0.0, 1e30, 1e29],
                &["from 0 to 1.0e30", "divide them by 1.0e30"],
            ),
        ] {
            let data = Data {
                inputs: Some(inputs),
                ..Data::default()
            };
            assert_says(&data, &[parts]);
            assert_eq!(data.lints()[0].severity, Severity::Warning);
            // A batch norm removes the scale; given weights may have been trained with it.
            let sound = inputs[0] != inputs[1];
            let normalised = Data {
                is_normalised: true,
                ..data
            };
            let given = Data {
                is_given: true,
                ..data
            };
            assert_eq!(
                (texts(&normalised).is_empty(), texts(&given).is_empty()),
                (sound, sound)
            );
        }
    }

    #[test]
    fn the_first_loss_is_compared_with_a_uniform_guess() {
        let classes = names(10);
        let data = Data {
            classes: &classes,
            ..Data::default()
        };
        for loss in [0.01, 2.3, 3.0, 7.74, 12.0, f64::NAN] {
            assert_says(
                &Data {
                    first_loss: Some(loss),
                    ..data
                },
                &[],
            );
        }
        let first_loss = Some(512.3);
        let unscaled = Some([0.0, 255.0, 85.0]);
        let far =
            "before the first step is 512 nats, far above the 2.3 of a uniform guess among 10";
        let one: &[&str] = &["from 0 to 255"];
        assert_says(&Data { first_loss, ..data }, &[&[far, "batch norms"]]);
        let inputs = unscaled;
        assert_says(
            &Data {
                inputs,
                first_loss,
                ..data
            },
            &[one, &[far, "scale the inputs"]],
        );
        let is_given = true;
        assert_says(
            &Data {
                inputs,
                is_given,
                first_loss,
                ..data
            },
            &[one, &[far, "in the training of the weights"]],
        );
        assert_says(
            &Data {
                first_loss: Some(f64::INFINITY),
                ..data
            },
            &[&["inf nats"]],
        );
    }

    #[test]
    fn classes_without_examples_are_named() {
        let classes = names(11);
        let all = vec![6; 11];
        let with = |none: &[usize]| {
            let mut counts = all.clone();
            for &class in none {
                counts[class] = 0;
            }
            counts
        };
        let says = |train: &[usize], held_out: &[usize], parts: &[&[&str]]| {
            let examples = [with(train), with(held_out)];
            let examples = [examples[0].as_slice(), &examples[1]];
            assert_says(
                &Data {
                    classes: &classes,
                    examples,
                    ..Data::default()
                },
                parts,
            );
        };
        says(&[], &[], &[]);
        says(
            &[0],
            &[0],
            &[&["no example has label 0", "labels are 1 to 10", "subtract 1"]],
        );
        says(
            &[7],
            &[],
            &[&[
                "class 7 has only held-out examples",
                "add training examples",
            ]],
        );
        says(&[0, 3], &[0, 3], &[&["classes 0 and 3 have no examples: "]]);
        says(
            &[],
            &[1, 2, 3],
            &[&["classes 1, 2 and 3 have no held-out examples"]],
        );
        let every: Vec<usize> = (0..11).collect();
        says(&[], &every, &[]);
        let many = [1, 2, 3, 4, 5, 6, 7];
        says(
            &many,
            &many,
            &[&["classes 1, 2, 3, 4 and 3 others have no examples"]],
        );
        says(
            &[2, 4],
            &[3, 4],
            &[
                &["class 2 has only held-out"],
                &["class 4 has no"],
                &["class 3 has no held"],
            ],
        );

        // A real class name means that it is intended; or examples were drawn.
        let mut named = classes.clone();
        named[0] = "N/A".to_owned();
        let counts = with(&[0]);
        let examples = [counts.as_slice(), &counts];
        let data = Data {
            classes: &named,
            examples,
            ..Data::default()
        };
        assert_says(&data, &[&["class N/A has no examples"]]);
        let drawn = Data {
            is_drawn: [true, false],
            ..data
        };
        assert_says(
            &drawn,
            &[&["a larger --train-size or --test-size may include some"]],
        );
    }
}
