//! The findings of an observed run, as sentences.

use std::cmp::Reverse;
use std::fmt::Write;

use super::oscillations::LayerOscillation;
use super::{Evidence, Finding, FindingKind, FindingView, LayerStory, Observer};
use crate::analysis::lints::evaluations::Overfitting;
use crate::analysis::lints::{Lint, LintKind, Severity};
use crate::analysis::numbers::{decimals, format_signed, percent};

/// Most findings.
const MOST: usize = 12;

/// Most layers and steps that a sentence names.
const NAMED: usize = 3;

/// Share of the loss change above which the residual leaves the sums in doubt, and above which they are worthless.
const DOUBTFUL: f64 = 0.01;
const WORTHLESS: f64 = 0.1;

/// The synchronised moments of learning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peaks {
    /// Moments that layers share, and all of them.
    pub shared: usize,
    pub all: usize,
    /// Shared moments to expect by chance, and the probability of as many.
    pub by_chance: f64,
    pub p: f64,
    /// Σ A of the shared moments, in nats.
    pub lca: f64,
    /// The step with the largest of their sums.
    pub deepest: u64,
}

/// The facts about a run that the observer does not know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    pub layers: &'a [String],
    pub classes: &'a [String],
    /// The lints of the run so far, the worst first.
    pub lints: &'a [Lint],
    pub overfitting: Option<Overfitting>,
    pub peaks: Option<Peaks>,
    /// `(layer, dead units, units)` of the layers that have dead units.
    pub dead: &'a [(usize, usize, usize)],
}

/// Returns what happened in the run so far, most important first: at most a dozen findings.
#[must_use]
pub fn findings(observer: &Observer, context: &Context) -> Vec<Finding> {
    if observer.steps == 0 {
        return Vec::new();
    }
    let story = Story { observer, context };
    let mut found: Vec<Finding> = story.broken().collect();
    found.push(story.trust());
    found.extend(story.warnings());
    // Sums that miss much of the loss change tell nothing of layers.
    let closes = story.missed() <= WORTHLESS;
    let others = [
        story.learning().filter(|it| closes || it.is_trouble),
        story.hurting().filter(|_| closes),
        story.done_by(),
        story.spikes(),
        story.overfitting(),
        story.last_class(),
        story.oscillation(),
        story.peaks().filter(|_| closes),
        story.still(),
        story.dead(),
    ];
    found.extend(others.into_iter().flatten());
    found.truncate(MOST);
    found
}

struct Story<'a> {
    observer: &'a Observer,
    context: &'a Context<'a>,
}

impl Story<'_> {
    fn layers(&self) -> &[LayerStory] {
        &self.observer.layers
    }

    fn name(&self, layer: usize) -> &str {
        self.context.layers.get(layer).map_or("", String::as_str)
    }

    fn last_step(&self) -> u64 {
        self.observer.newest.unwrap_or(0)
    }

    fn loss_change(&self) -> f64 {
        self.observer.curve.newest - self.observer.curve.first
    }

    /// Returns the magnitude of the residuals' sum, as a share of the loss change.
    fn missed(&self) -> f64 {
        self.observer.residual.value().abs() / self.loss_change().abs()
    }

    /// Returns Σ A by layer (`[L]`), and of all layers, in nats.
    fn sums(&self) -> (Vec<f64>, f64) {
        let sums: Vec<f64> = self.layers().iter().map(|it| it.lca.value()).collect();
        let all = crate::analysis::sum::sum(sums.iter().copied());
        (sums, all)
    }

    /// Joins names and their numbers: `fc1 70 %, fc2 18 % and 3 others`.
    fn listed(&self, layers: &[usize], number: impl Fn(usize) -> String) -> String {
        let named = layers.iter().take(NAMED).map(|&layer| {
            let number = number(layer);
            let between = if number.is_empty() { "" } else { " " };
            format!("{}{between}{number}", self.name(layer))
        });
        let mut parts: Vec<String> = named.collect();
        match layers.len().saturating_sub(NAMED) {
            0 => {}
            1 => parts.push("1 other".to_owned()),
            others => parts.push(format!("{others} others")),
        }
        match parts.pop() {
            Some(last) if !parts.is_empty() => format!("{} and {last}", parts.join(", ")),
            last => last.unwrap_or_default(),
        }
    }

    fn lints(&self, is_wanted: impl Fn(&Lint) -> bool) -> impl Iterator<Item = Finding> {
        let lints = self
            .context
            .lints
            .iter()
            .filter(move |lint| is_wanted(lint));
        lints.map(|lint| {
            let view = match lint.kind {
                LintKind::Classes | LintKind::Labels => FindingView::Classes,
                LintKind::Inputs | LintKind::FirstLoss => FindingView::Run,
                _ => FindingView::Overview,
            };
            let cursor = (view == FindingView::Overview).then_some(lint.step);
            let mut evidence = Evidence::at(view, cursor);
            evidence.layer = lint.layer;
            let is_named = lint
                .layer
                .is_some_and(|it| lint.text.starts_with(self.name(it)));
            let text = if is_named {
                lint.text.clone()
            } else {
                capitalised(&lint.text)
            };
            finding(FindingKind::Warning, true, format!("{text}."), evidence)
        })
    }

    /// Returns the errors: what is not finite.
    fn broken(&self) -> impl Iterator<Item = Finding> {
        self.lints(|lint| lint.severity == Severity::Error)
            .take(NAMED)
    }

    /// Returns warnings that have no sentence of their own.
    fn warnings(&self) -> impl Iterator<Item = Finding> {
        let own = |kind| {
            let known = [LintKind::Residual, LintKind::Overfitting, LintKind::Still];
            !known.contains(&kind)
        };
        let is_wanted = move |lint: &Lint| {
            (lint.severity == Severity::Warning && own(lint.kind)) || lint.kind == LintKind::Classes
        };
        self.lints(is_wanted).take(NAMED)
    }

    fn trust(&self) -> Finding {
        let missed = self.missed();
        let errors: f64 = self.layers().iter().map(|it| it.error.value()).sum();
        let known = self.layers().iter().map(|it| it.lca.value().abs());
        let error = errors / known.sum::<f64>();
        let residual = (self.context.lints)
            .iter()
            .find(|it| it.kind == LintKind::Residual);
        let is_broken = (self.context.lints)
            .iter()
            .any(|it| it.severity == Severity::Error);
        let verdict = match missed {
            _ if is_broken => "none: losses or allocations are not finite",
            missed if missed <= DOUBTFUL && residual.is_none() => "good",
            missed if missed <= DOUBTFUL => "good on the whole, but not in single steps",
            missed if missed <= WORTHLESS => "some",
            _ => "none",
        };
        let mut text = format!("Trust: {verdict}");
        if missed > 1.0 {
            let _ = write!(text, "; the residual is {missed:.1e} times the loss change");
        } else if missed.is_finite() {
            let _ = write!(text, "; sums miss {} of the loss change", share(missed));
        }
        if error.is_finite() && missed <= WORTHLESS {
            let _ = write!(text, ", layers are known to {} or better", share(error));
        }
        if let Some(lint) = residual {
            let _ = write!(text, "; {}", lint.text);
        }
        let is_trouble = verdict != "good";
        let cursor = residual.map(|lint| lint.step);
        let view = if is_trouble {
            FindingView::Overview
        } else {
            FindingView::Run
        };
        let evidence = Evidence::at(view, cursor);
        finding(FindingKind::Trust, is_trouble, format!("{text}."), evidence)
    }

    fn learning(&self) -> Option<Finding> {
        let (sums, all) = self.sums();
        let mut layers: Vec<usize> = (0..sums.len()).filter(|&l| sums[l] < 0.0).collect();
        layers.sort_by(|a, b| sums[*a].total_cmp(&sums[*b]));
        let (first, newest) = (self.observer.curve.first, self.observer.curve.newest);
        let learned = newest < first;
        let text = if learned {
            let most = *layers.first()?;
            let helped = crate::analysis::sum::sum(layers.iter().map(|&layer| sums[layer]));
            let of = |layer: usize| share(sums[layer] / helped);
            let whole = if layers.len() == sums.len() {
                format!("of {} nats", nats(all))
            } else {
                format!("nats; the loss changed by {}", nats(newest - first))
            };
            let mut text = format!(
                "{} did {} of the learning ({} {whole})",
                self.name(most),
                of(most),
                nats(sums[most]),
            );
            if layers.len() > 1 {
                let _ = write!(text, ", {}", self.listed(&layers[1..], of));
            }
            text
        } else {
            let (before, after) = (loss(first), loss(newest));
            format!("Nothing was learned: the loss went from {before} to {after} nats")
        };
        let view = FindingView::Overview;
        let evidence = match layers.first() {
            Some(&layer) if learned => Evidence::of_layer(view, layer, None),
            _ => Evidence::at(view, None),
        };
        Some(finding(
            FindingKind::Learning,
            !learned,
            format!("{text}."),
            evidence,
        ))
    }

    fn hurting(&self) -> Option<Finding> {
        let (sums, _) = self.sums();
        let mut layers: Vec<usize> = (0..sums.len()).filter(|&l| sums[l] > 0.0).collect();
        layers.sort_by(|a, b| sums[*b].total_cmp(&sums[*a]));
        let steps = |layer: usize| {
            let worst = self.layers()[layer].worst_first();
            let worst = worst.iter().take(NAMED);
            let steps: Vec<String> = worst
                .map(|it| format!("{} ({})", count(it.step), nats(it.lca)))
                .collect();
            steps.join(", ")
        };
        let (text, layer) = if let Some(&layer) = layers.first() {
            let hurt = self.listed(&layers, |layer| nats(sums[layer]));
            let name = self.name(layer);
            let text = format!(
                "On the whole, {hurt} nats hurt; {name} most in steps {}",
                steps(layer)
            );
            (text, layer)
        } else {
            #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
            let hurt = |layer: &LayerStory| layer.hurt as f64 / layer.measured as f64;
            let stories = self
                .layers()
                .iter()
                .enumerate()
                .filter(|(_, it)| it.hurt > 0);
            let (layer, story) =
                stories.max_by(|(i, a), (j, b)| hurt(a).total_cmp(&hurt(b)).then(j.cmp(i)))?;
            let name = self.name(layer);
            let text = format!(
                "No layer hurts on the whole; {name} hurt most often (in {} of steps), worst in steps {}",
                share(hurt(story)),
                steps(layer)
            );
            (text, layer)
        };
        let worst = self.layers()[layer].worst_first().first().map(|it| it.step);
        let evidence = Evidence::of_layer(FindingView::Decomposition, layer, worst);
        let is_trouble = !layers.is_empty();
        Some(finding(
            FindingKind::Hurting,
            is_trouble,
            format!("{text}."),
            evidence,
        ))
    }

    fn done_by(&self) -> Option<Finding> {
        let curve = &self.observer.curve;
        let change = self.loss_change();
        if change >= 0.0 || change.is_nan() {
            return None;
        }
        let step = curve.reached(curve.first + 0.9 * change)?;
        let text = format!(
            "90 % of the loss change ({} of {} nats) is done by {}step {}; the run has {}.",
            nats(0.9 * change),
            nats(change),
            if curve.is_coarse() { "about " } else { "" },
            count(step),
            counted(self.observer.steps, "step")
        );
        let evidence = Evidence::at(FindingView::Decomposition, Some(step));
        Some(finding(FindingKind::DoneBy, false, text, evidence))
    }

    fn spikes(&self) -> Option<Finding> {
        let spikes = &self.observer.spikes;
        let (step, before, after) = spikes.largest?;
        let mut text = match spikes.count {
            1 => format!("1 loss spike, in step {}", count(step)),
            many => format!(
                "{} loss spikes, the largest in step {}",
                count(many),
                count(step)
            ),
        };
        let _ = write!(text, ": {} to {} nats", loss(before), loss(after));
        let all: f64 = self.layers().iter().map(|it| it.spikes.value()).sum();
        let by = |layer: &usize| self.layers()[*layer].spikes.value();
        let most = (0..self.layers().len()).max_by(|a, b| by(a).total_cmp(&by(b)));
        let layer = most.filter(|_| all > 0.0 && self.missed() <= WORTHLESS);
        if let Some(layer) = layer {
            let whose = if spikes.count == 1 {
                "the rise"
            } else {
                "the rises"
            };
            let _ = write!(
                text,
                "; {} made {} of {whose}",
                self.name(layer),
                share(by(&layer) / all)
            );
        }
        let mut evidence = Evidence::at(FindingView::Decomposition, Some(step));
        evidence.layer = layer;
        let from = step.saturating_sub(20);
        evidence.steps = Some(from..(step + 21).min(self.last_step() + 1));
        Some(finding(
            FindingKind::Spikes,
            true,
            format!("{text}."),
            evidence,
        ))
    }

    fn overfitting(&self) -> Option<Finding> {
        let Overfitting { least, latest } = self.context.overfitting?;
        let mut text = format!(
            "Overfitting: the held-out loss has risen since step {} ({} to {} nats) while the training loss fell \
             ({} to {})",
            count(least.step),
            loss(least.held_out),
            loss(latest.held_out),
            loss(least.train),
            loss(latest.train)
        );
        let is_only_train = |layer: &usize| {
            let [train, held_out] = self.layers()[*layer].since_least;
            train.value() < 0.0 && held_out.value() > 0.0
        };
        let mut layers: Vec<usize> = (0..self.layers().len()).filter(is_only_train).collect();
        let held_out = |layer: usize| self.layers()[layer].since_least[1].value();
        layers.sort_by(|a, b| held_out(*b).total_cmp(&held_out(*a)));
        if let Some(first) = layers.first() {
            let helps = if layers.len() == 1 { "helps" } else { "help" };
            let names = self.listed(&layers, |_| String::new());
            let _ = write!(text, "; {names} {helps} only the training loss since then");
            let mut evidence = Evidence::of_layer(FindingView::HeldOut, *first, Some(least.step));
            evidence.steps = Some(least.step + 1..self.last_step() + 1);
            return Some(finding(
                FindingKind::Overfitting,
                true,
                format!("{text}."),
                evidence,
            ));
        }
        let evidence = Evidence::at(FindingView::Overview, Some(least.step));
        Some(finding(
            FindingKind::Overfitting,
            true,
            format!("{text}."),
            evidence,
        ))
    }

    fn oscillation(&self) -> Option<Finding> {
        let found = self.observer.oscillations.significant();
        let LayerOscillation {
            layer,
            steps,
            period,
            p,
        } = found.first()?;
        let last = steps.end.saturating_sub(1);
        let mut text = format!(
            "{} oscillates: its LCA has a period of {:.1} steps in steps {}-{} ({})",
            self.name(*layer),
            period.steps,
            count(steps.start),
            count(last),
            chance(*p)
        );
        if found.len() > 1 {
            let others: Vec<usize> = found[1..].iter().map(|it| it.layer).collect();
            let of = |layer: usize| {
                let its = found.iter().find(|it| it.layer == layer);
                its.map_or(String::new(), |it| format!("{:.1}", it.period.steps))
            };
            let _ = write!(text, "; also {}", self.listed(&others, of));
        }
        let mut evidence = Evidence::of_layer(FindingView::Oscillation, *layer, Some(last));
        evidence.steps = Some(steps.clone());
        Some(finding(
            FindingKind::Oscillation,
            false,
            format!("{text}."),
            evidence,
        ))
    }

    fn last_class(&self) -> Option<Finding> {
        let classes = &self.observer.classes;
        let known = classes.iter().enumerate().filter(|(_, it)| it.first > 0.0);
        // A class that has not halved its loss is later than all that have.
        let when = |(class, it): &(usize, &super::ClassStory)| {
            (it.halved.map_or(u64::MAX, |step| step), Reverse(*class))
        };
        let (class, last) = known.clone().max_by_key(when)?;
        let (first_class, first) = known.min_by_key(when)?;
        if class == first_class {
            return None;
        }
        let names = self.context.classes;
        let name = |class: usize| {
            names
                .get(class)
                .map_or(String::new(), |name| class_name(name))
        };
        let (title, other) = (name(class), name(first_class));
        let text = match (last.halved, first.halved) {
            (_, None) => return None,
            (Some(step), Some(before)) => format!(
                "{} was learned last: its loss had halved by step {}, that of {other} by step {}.",
                capitalised(&title),
                count(step),
                count(before)
            ),
            (None, Some(before)) => format!(
                "{} is not learned yet: its loss has not halved ({} to {} nats), that of {other} had by step {}.",
                capitalised(&title),
                loss(last.first),
                loss(last.newest),
                count(before)
            ),
        };
        let mut evidence = Evidence::at(FindingView::Classes, last.halved);
        evidence.class = Some(class);
        Some(finding(
            FindingKind::LastClass,
            last.halved.is_none(),
            text,
            evidence,
        ))
    }

    fn peaks(&self) -> Option<Finding> {
        let peaks = self.context.peaks?;
        let (_, all) = self.sums();
        let change = share(peaks.lca / all);
        let text = format!(
            "Layers learn together: {} of {} moments of learning are shared ({:.0} by chance, {}) and carry \
             {change} of the learning.",
            peaks.shared,
            peaks.all,
            peaks.by_chance,
            chance(peaks.p)
        );
        let is_clear = peaks.p < 0.01 && all < 0.0;
        let evidence = Evidence::at(FindingView::Synchronisation, Some(peaks.deepest));
        is_clear.then(|| finding(FindingKind::Peaks, false, text, evidence))
    }

    fn still(&self) -> Option<Finding> {
        let lint = self
            .context
            .lints
            .iter()
            .filter(|it| it.kind == LintKind::Still);
        let layers: Vec<usize> = lint.clone().filter_map(|it| it.layer).collect();
        let (first, step) = (*layers.first()?, lint.clone().next()?.step);
        let text = match layers.len() {
            1 => lint.clone().next()?.text.clone(),
            many => format!(
                "{many} layers do not move: {}",
                self.listed(&layers, |_| String::new())
            ),
        };
        let evidence = Evidence::of_layer(FindingView::Overview, first, Some(step));
        Some(finding(
            FindingKind::Still,
            true,
            format!("{text}."),
            evidence,
        ))
    }

    fn dead(&self) -> Option<Finding> {
        let dead = self.context.dead;
        let (layer, ..) = *dead.iter().max_by_key(|(_, dead, _)| *dead)?;
        let mut layers: Vec<usize> = dead.iter().map(|(layer, ..)| *layer).collect();
        layers.sort_by_key(|other| *other != layer);
        let of = |layer: usize| {
            let its = dead.iter().find(|it| it.0 == layer);
            its.map_or(String::new(), |(_, dead, units)| {
                format!("{dead} of {units}")
            })
        };
        let text = format!(
            "Dead units, whose LCA was 0 in each of the last steps: {}.",
            self.listed(&layers, of)
        );
        let evidence = Evidence::of_layer(FindingView::Layer, layer, None);
        Some(finding(FindingKind::DeadUnits, false, text, evidence))
    }
}

fn finding(kind: FindingKind, is_trouble: bool, text: String, evidence: Evidence) -> Finding {
    Finding {
        kind,
        is_trouble,
        text,
        evidence,
    }
}

fn nats(value: f64) -> String {
    format_signed(value, 8).trim_start().to_owned()
}

fn loss(value: f64) -> String {
    decimals(value, if value.abs() < 0.1 { 5 } else { 2 })
}

/// Formats a share with two or three significant digits: `0.02 %`, `4.1 %`, `69 %`.
fn share(share: f64) -> String {
    let text = match share.abs() {
        size if size >= 0.0995 => percent(share, 0),
        size if size >= 0.000_995 => percent(share, 1),
        0.0 => percent(share, 0),
        size if size >= 0.000_01 => percent(share, 3),
        _ => return "less than 0.001 %".to_owned(),
    };
    text.replace('%', " %").replace('×', " x")
}

/// Formats a probability: `p = 0.004`, `p < 0.001`.
fn chance(p: f64) -> String {
    if p < 0.001 {
        "p < 0.001".to_owned()
    } else {
        format!("p = {p:.3}")
    }
}

/// Formats a count with its noun: `1 step`, `200 steps`.
fn counted(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {what}{s}", count(number))
}

/// Formats a count: `12,345`.
fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn class_name(name: &str) -> String {
    match name.parse::<u64>() {
        Ok(_) => format!("class {name}"),
        Err(_) => name.to_owned(),
    }
}

fn capitalised(text: &str) -> String {
    // A layer's name stays as it is.
    let word = text.split(' ').next().unwrap_or_default();
    let is_word = word.chars().all(|letter| letter.is_ascii_lowercase());
    match text.get(..1) {
        Some(first) if is_word => first.to_uppercase() + &text[1..],
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::findings::ObservedStep;
    use crate::analysis::lints::evaluations::EvaluationLosses;
    use proptest::prelude::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// A run with these A of two layers in each step, and a residual of 1e-4 of each step's change.
    fn observed(start: f64, lca: &[[f64; 2]], change: impl Fn(&mut ObservedStep)) -> Observer {
        let mut observer = Observer::new(2);
        observer.start(&[2.0, 4.0]);
        let mut loss = start;
        for (step, lca) in (0..).zip(lca) {
            let before = loss;
            loss += (lca[0] + lca[1]) * 1.0001;
            let classes = [loss / start * 2.0, 4.0];
            let mut row = ObservedStep {
                step,
                loss_before: before,
                loss_after: loss,
                held_out_loss: f64::NAN,
                residual: loss - before - lca[0] - lca[1],
                lca,
                error: &[1e-4, 1e-4],
                held_out: &[],
                class_losses: &classes,
                is_spike: false,
            };
            change(&mut row);
            observer.push(&row);
            // Pushed twice.
            observer.push(&row);
        }
        observer
    }

    fn told(observer: &Observer, context: &Context) -> Vec<(FindingKind, String)> {
        let found = findings(observer, context).into_iter();
        found.map(|it| (it.kind, it.text)).collect()
    }

    #[test]
    fn a_planted_run_is_told_with_its_numbers() {
        // a: -0.2 in 10 steps, then nothing. b: +0.1 in steps 3 and 5, +0.3 in step 4, the spike.
        let lca: Vec<[f64; 2]> = (0..20)
            .map(|t| {
                let b = [0.1, 0.3, 0.1];
                let a = if t < 10 { -0.2 } else { 0.0 };
                [a, if (3..6).contains(&t) { b[t - 3] } else { 0.0 }]
            })
            .collect();
        let observer = observed(2.0, &lca, |row| row.is_spike = row.step == 4);
        let (layers, classes) = (names(&["a", "b"]), names(&["cat", "7"]));
        let context = Context {
            layers: &layers,
            classes: &classes,
            peaks: Some(Peaks {
                shared: 12,
                all: 40,
                by_chance: 4.4,
                p: 0.0001,
                lca: -0.3,
                deepest: 4,
            }),
            dead: &[(0, 1, 3), (1, 2, 4)],
            ..Context::default()
        };
        let expected = [
            (
                FindingKind::Trust,
                "Trust: good; sums miss 0.010 % of the loss change, layers are known to 0.2 % or better.",
            ),
            (
                FindingKind::Learning,
                "a did 100 % of the learning (-2.00 nats; the loss changed by -1.50).",
            ),
            (
                FindingKind::Hurting,
                "On the whole, b +0.500 nats hurt; b most in steps 4 (+0.300), 3 (+0.100), 5 (+0.100).",
            ),
            (
                FindingKind::DoneBy,
                "90 % of the loss change (-1.35 of -1.50 nats) is done by step 9; the run has 20 steps.",
            ),
            (
                FindingKind::Spikes,
                "1 loss spike, in step 4: 1.30 to 1.40 nats; b made 300 % of the rise.",
            ),
            (
                FindingKind::LastClass,
                "Class 7 is not learned yet: its loss has not halved (4.00 to 4.00 nats), that of cat had by step 7.",
            ),
            (
                FindingKind::Peaks,
                "Layers learn together: 12 of 40 moments of learning are shared (4 by chance, p < 0.001) and carry \
                 20 % of the learning.",
            ),
            (
                FindingKind::DeadUnits,
                "Dead units, whose LCA was 0 in each of the last steps: b 2 of 4 and a 1 of 3.",
            ),
        ];
        let expected: Vec<_> = expected.map(|(kind, text)| (kind, text.to_owned())).into();
        assert_eq!(told(&observer, &context), expected);
        let spikes = &findings(&observer, &context)[4].evidence;
        assert_eq!(
            (spikes.cursor, spikes.layer, spikes.steps.clone()),
            (Some(4), Some(1), Some(0..20))
        );
        assert_eq!(observer.worst(1), [(4, 0.3), (3, 0.1), (5, 0.1)]);
    }

    #[test]
    fn sums_that_do_not_close_tell_nothing_of_layers() {
        let observer = observed(1.0, &[[-0.1, 0.05]; 9], |row| row.residual = 1.0);
        let layers = names(&["a", "b"]);
        let context = Context {
            layers: &layers,
            ..Context::default()
        };
        let told = told(&observer, &context);
        let kinds: Vec<FindingKind> = told.iter().map(|it| it.0).collect();
        assert!(
            told[0].1.starts_with("Trust: none; the residual is 2.0e1"),
            "{told:?}"
        );
        for kind in [FindingKind::Learning, FindingKind::Hurting] {
            assert!(!kinds.contains(&kind), "{told:?}");
        }
        let rising = observed(1.0, &[[0.1, 0.05]; 9], |_| ());
        let text = "Nothing was learned: the loss went from 1.00 to 2.35 nats.";
        assert_eq!(super::findings(&rising, &context)[1].text, text);
    }

    #[test]
    fn overfitting_names_the_layers_that_help_only_training() {
        let observer = observed(1.0, &[[-0.01, -0.02]; 30], |row| {
            row.held_out = &[0.01, -0.001];
            #[expect(clippy::cast_precision_loss, reason = "a few steps")]
            let at = row.step as f64;
            row.held_out_loss = 1.0 + 0.01 * (at - 9.0).abs();
        });
        let losses = |step, train, held_out| EvaluationLosses {
            step,
            train,
            held_out,
        };
        let layers = names(&["a", "b"]);
        let context = Context {
            layers: &layers,
            overfitting: Some(Overfitting {
                least: losses(9, 0.7, 1.0),
                latest: losses(29, 0.1, 1.2),
            }),
            ..Context::default()
        };
        let found = findings(&observer, &context);
        let found = found.iter().find(|it| it.kind == FindingKind::Overfitting);
        let text = "Overfitting: the held-out loss has risen since step 9 (1.00 to 1.20 nats) while the training loss \
                    fell (0.70 to 0.10); a helps only the training loss since then.";
        assert_eq!(found.unwrap().text, text);
        assert_eq!(found.unwrap().evidence.steps, Some(10..30));
    }

    #[test]
    fn an_oscillation_is_found_in_the_window_that_has_it() {
        let mut random = 1_u64;
        let mut noise = || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            #[expect(clippy::cast_precision_loss, reason = "the upper bits")]
            let unit = (random >> 33) as f64 / 2_f64.powi(31);
            unit - 0.5
        };
        let lca: Vec<[f64; 2]> = (0..600)
            .map(|t| {
                let wave = (f64::from(t) * std::f64::consts::TAU / 6.7).sin();
                let planted = if (256..512).contains(&t) { wave } else { 0.0 };
                [noise() - 0.01, noise() + planted - 0.01]
            })
            .collect();
        let observer = observed(50.0, &lca, |_| ());
        let layers = names(&["a", "b"]);
        let context = Context {
            layers: &layers,
            ..Context::default()
        };
        let found = findings(&observer, &context);
        let found: Vec<&Finding> = (found.iter())
            .filter(|it| it.kind == FindingKind::Oscillation)
            .collect();
        let text = "b oscillates: its LCA has a period of 6.7 steps in steps 256-511 (p < 0.001).";
        assert_eq!(found[0].text, text);
        assert_eq!(found[0].evidence.steps, Some(256..512));
    }

    #[test]
    fn numbers_are_short() {
        let shares = [0.694, 0.0413, 0.000_17, 0.0, 1e-9, 1e5].map(share);
        let expected = [
            "69 %",
            "4.1 %",
            "0.017 %",
            "0 %",
            "less than 0.001 %",
            "1.0e5 x",
        ];
        assert_eq!(shares, expected);
        assert_eq!(
            [count(8400), count(999), count(1_234_567)],
            ["8,400", "999", "1,234,567"]
        );
        assert_eq!(capitalised("class 3 has"), "Class 3 has");
        assert_eq!(capitalised("fc3 hurt"), "fc3 hurt");
        assert_eq!(capitalised(""), "");
    }

    proptest! {
        #[test]
        fn arbitrary_input_does_not_panic(
            rows in prop::collection::vec((any::<u16>(), prop::collection::vec(prop::num::f64::ANY, 2..7)), 0..90),
            (classes, named) in (0_usize..4, 0_usize..4),
        ) {
            let mut observer = Observer::new(3);
            observer.start(&vec![1.0; classes]);
            for (step, numbers) in &rows {
                observer.push(&ObservedStep {
                    step: (*step).into(),
                    loss_before: numbers[0],
                    loss_after: numbers[1],
                    held_out_loss: numbers[0],
                    residual: numbers[1],
                    lca: numbers,
                    error: &numbers[1..],
                    held_out: &numbers[2..],
                    class_losses: numbers,
                    is_spike: step % 3 == 0,
                });
            }
            let (layers, classes) = (names(&["a", "b", "c"]), vec!["x".to_owned(); named]);
            let context = Context {
                layers: &layers[..named.min(3)],
                classes: &classes,
                peaks: Some(Peaks::default()),
                ..Context::default()
            };
            prop_assert!(findings(&observer, &context).len() <= MOST);
        }
    }
}
