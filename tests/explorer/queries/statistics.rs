//! Statistics of a run by their definitions, from the datasets of its file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use lcascope::analysis::events::EventKind;
use lcascope::analysis::findings::{Finding, FindingKind};
use lcascope::analysis::period::scores;
use lcascope::query::{Answer, BestLag, Oscillation, Query, Topic};

use super::naive::{Naive, close, group, within};

/// The number of moments per layer, as in the paper.
const KEEP: usize = 20;

/// Pearson's correlation of x with y lagged by −10 … 10 steps; none for fewer than 16 pairs, or without variation.
#[expect(clippy::cast_precision_loss, reason = "counts of steps")]
fn correlations(x: &[f64], y: &[f64]) -> Vec<Option<f64>> {
    let n = i64::try_from(x.len().min(y.len())).unwrap();
    let at = |of: &[f64], t: i64| of[usize::try_from(t).unwrap()];
    let lag = |k: i64| {
        let there = (0..n).filter(|t| (0..n).contains(&(t + k)));
        let pairs: Vec<(f64, f64)> = there.map(|t| (at(x, t), at(y, t + k))).collect();
        let finite = |&(a, b): &(f64, f64)| a.is_finite() && b.is_finite();
        let pairs: Vec<(f64, f64)> = pairs.into_iter().filter(finite).collect();
        if pairs.len() < 16 {
            return None;
        }
        let varies = |of: fn(&(f64, f64)) -> f64| pairs.iter().any(|p| of(p) != of(&pairs[0]));
        if !varies(|p| p.0) || !varies(|p| p.1) {
            return None;
        }
        let mean =
            |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
        let (mx, my) = (mean(|p| p.0), mean(|p| p.1));
        let xy: f64 = pairs.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
        let xx: f64 = pairs.iter().map(|p| (p.0 - mx).powi(2)).sum();
        let yy: f64 = pairs.iter().map(|p| (p.1 - my).powi(2)).sum();
        Some(xy / (xx * yy).sqrt())
    };
    (-10..=10).map(lag).collect()
}

/// The largest correlation, and all lags at which it is reached but for rounding.
fn best(correlations: &[Option<f64>]) -> Option<(f64, Vec<i32>)> {
    let known = || {
        (-10..)
            .zip(correlations)
            .filter_map(|(lag, c)| Some((lag, (*c)?)))
    };
    let most = known().map(|it| it.1).reduce(f64::max)?;
    let lags = known().filter(|it| it.1 > most - 1e-9).map(|it| it.0);
    Some((most, lags.collect()))
}

#[track_caller]
fn same_lag(found: Option<BestLag>, expected: Option<(f64, Vec<i32>)>, what: &str) {
    match (found, expected) {
        (None, None) => {}
        (Some(found), Some((c, lags))) => {
            assert!(
                (found.correlation - c).abs() < 1e-9,
                "{what}: {found:?}, {c}"
            );
            assert!(lags.contains(&found.steps), "{what}: {found:?}, {lags:?}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

impl Naive {
    /// Compares the answers that are not sums over columns with the file.
    pub fn check_statistics(&self, query: &Query, answer: &Answer, steps: &Range<u64>) {
        match (&query.topic, answer) {
            (Topic::HeldOut, _) => self.check_held_out(answer, steps),
            (Topic::Snapshot { layer }, _) => {
                self.check_snapshot(layer.map(|layer| layer as usize), answer, steps.end);
            }
            (Topic::Oscillation { layer }, _) => {
                self.check_oscillation(*layer as usize, answer, steps);
                // They do not depend on the columns.
                if query.columns == 1 {
                    self.check_lags(*layer as usize, answer, steps);
                }
            }
            (Topic::Synchronisation { class }, _) => {
                self.check_moments(class.map(|class| class as usize), answer, steps.end);
            }
            (Topic::Events, Answer::Happened(found)) => {
                assert_eq!(found.steps, steps.end);
                let residuals = within(&self.columns("lca/residual", 0..1)[0], &(0..steps.end));
                let tolerance = self.number("tolerance");
                let above = residuals.iter().filter(|r| r.abs() > tolerance).count();
                let kind = |kind| found.counts.iter().find(|it| it.0 == kind).map(|it| it.1);
                assert_eq!(kind(EventKind::Residual), Some(above as u64));
                assert_eq!(kind(EventKind::NotFinite), Some(0));
                assert!(found.events.is_sorted_by_key(|event| event.step));
                assert!(found.events.iter().all(|event| event.step < steps.end));
                self.check_worst(&found.worst, steps.end);
            }
            (Topic::Findings, Answer::Findings(found)) => {
                assert_eq!(found.steps, steps.end);
                self.check_findings(&found.findings, steps.end);
            }
            (Topic::Run, Answer::Run(_)) => self.check_run(answer, steps.end),
            _ => panic!("{query:?}: {answer:?}"),
        }
    }

    /// Compares the worst steps of each layer with those of a plain sort.
    fn check_worst(&self, found: &[Vec<(u64, f64)>], end: u64) {
        let layers = self.columns("lca/layer", 0..self.layout.layers);
        assert_eq!(found.len(), layers.len());
        for (found, layer) in found.iter().zip(&layers) {
            let mut hurt: Vec<(u64, f64)> = (0..).zip(within(layer, &(0..end))).collect();
            hurt.retain(|(_, a)| *a > 0.0);
            hurt.sort_by(|(s, a), (t, b)| b.total_cmp(a).then(s.cmp(t)));
            hurt.truncate(20);
            assert_eq!(*found, hurt);
        }
    }

    /// Compares the numbers in sentences with plain sums and searches.
    fn check_findings(&self, found: &[Finding], end: u64) {
        if end == 0 {
            assert_eq!(found, []);
            return;
        }
        assert!((3..=12).contains(&found.len()), "{found:?}");
        let text = |kind| {
            found
                .iter()
                .find(|it| it.kind == kind)
                .map(|it| it.text.as_str())
        };
        let all = 0..end;
        let sum = |path, column: usize| -> f64 {
            let series = self.columns(path, column..column + 1);
            within(&series[0], &all).iter().sum()
        };
        let losses = self.file.reals("loss/train").values;
        let losses = &losses[..=usize::try_from(end).unwrap()];
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        let said = text(FindingKind::Trust).unwrap();
        let missed = 100.0 * (sum("lca/residual", 0) / (last - first)).abs();
        let expected = match missed {
            missed if missed >= 9.95 => format!("{missed:.0} %"),
            missed if missed >= 0.0995 => format!("{missed:.1} %"),
            missed if missed >= 0.001 => format!("{missed:.3} %"),
            _ => "less than 0.001 %".to_owned(),
        };
        assert!(
            said.contains(&format!("sums miss {expected} of")),
            "{said}: {missed}"
        );
        let sums: Vec<f64> = (0..self.layout.layers)
            .map(|l| sum("lca/layer", l))
            .collect();
        let helped: f64 = sums.iter().filter(|a| **a < 0.0).sum();
        let most = (0..sums.len())
            .min_by(|a, b| sums[*a].total_cmp(&sums[*b]))
            .unwrap();
        let name = &self.file.names("layout/layer/name")[most];
        let said = text(FindingKind::Learning).unwrap();
        if last < first {
            let expected = format!(
                "{name} did {:.0} % of the learning",
                100.0 * sums[most] / helped
            );
            assert!(said.starts_with(&expected), "{said}: {expected}");
            let level = first + 0.9 * (last - first);
            let step = losses[1..].iter().position(|loss| *loss <= level).unwrap();
            let said = text(FindingKind::DoneBy).unwrap().replace(',', "");
            // In a longer run the least loss of each two steps is known.
            let late = usize::from(end > 1024);
            let is_said = |step: usize| said.contains(&format!("step {step};"));
            assert!((step..=step + late).any(is_said), "{said}: {step}");
        } else {
            assert!(said.starts_with("Nothing was learned"), "{said}");
        }
        if let Some(said) = text(FindingKind::LastClass) {
            let halved = (0..self.classes).map(|class| {
                let losses = self.file.reals("loss/train_class").values;
                let losses: Vec<f64> = losses.chunks(self.classes).map(|row| row[class]).collect();
                let until = &losses[1..=usize::try_from(end).unwrap()];
                until.iter().position(|loss| *loss <= losses[0] / 2.0)
            });
            let halved: Vec<Option<usize>> = halved.collect();
            let first = halved.iter().flatten().min().unwrap();
            assert!(
                said.contains(&format!("by step {first}.")),
                "{said}: {halved:?}"
            );
            match halved.iter().copied().collect::<Option<Vec<usize>>>() {
                Some(all) => {
                    let last = all.iter().max().unwrap();
                    assert!(
                        said.contains(&format!("by step {last},")),
                        "{said}: {all:?}"
                    );
                }
                None => assert!(said.contains("not learned yet"), "{said}"),
            }
        }
    }

    fn number(&self, attribute: &str) -> f64 {
        self.file.0.attr(attribute).unwrap().read_scalar().unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.file.0.dataset(path).is_ok()
    }

    fn check_held_out(&self, answer: &Answer, steps: &Range<u64>) {
        if !self.has("lca_test/layer") {
            return assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}");
        }
        let Answer::HeldOut(found) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(found.steps, *steps);
        for (path, sum) in [
            ("lca_test/total", found.total),
            ("lca_test/residual", found.residual),
        ] {
            let values = within(&self.columns(path, 0..1)[0], steps);
            close(sum, values.iter().sum(), &values, path);
        }
        let layers = 0..self.layout.layers;
        let (train, held_out) = (
            self.columns("lca/layer", layers.clone()),
            self.columns("lca_test/layer", layers.clone()),
        );
        for layer in layers {
            let pairs = || {
                within(&train[layer], steps)
                    .into_iter()
                    .zip(within(&held_out[layer], steps))
            };
            let only_train = pairs().filter(|&(a, b)| a < 0.0 && b > 0.0).count();
            let only_held_out = pairs().filter(|&(a, b)| a > 0.0 && b < 0.0).count();
            let split = found.layers[layer];
            assert_eq!(split.only_train, only_train as u64);
            assert_eq!(split.only_held_out, only_held_out as u64);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of parameters")]
    fn check_snapshot(&self, layer: Option<usize>, answer: &Answer, end: u64) {
        let Some((row, steps)) = self.row_until("param/step", end) else {
            return assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}");
        };
        let Answer::Snapshot(found) = answer else {
            panic!("{answer:?}");
        };
        let layers = self.layout.layer_of_params();
        let chosen = |p: &usize| layer.is_none_or(|layer| layers[*p] == layer);
        let params: Vec<usize> = (0..self.layout.params).filter(chosen).collect();
        let (sums, helped) = (
            self.file.reals("param/lca_sum"),
            self.file.counts("param/helped"),
        );
        let totals: Vec<f64> = params.iter().map(|&p| sums.row(row)[p]).collect();
        let helped: Vec<u64> = params.iter().map(|&p| helped.row(row)[p]).collect();
        assert_eq!((found.steps, found.params), (steps, params.len() as u64));
        let mut bins = vec![0; 50];
        for &h in &helped {
            // The last of 50 bins also contains those that always helped.
            bins[usize::try_from((h * 50 / steps).min(49)).unwrap()] += 1;
        }
        assert_eq!(found.helped, bins);
        let mean = helped.iter().sum::<u64>() as f64 / (params.len() as f64 * steps as f64);
        assert!((found.mean_helped - mean).abs() < 1e-12);
        for (sign, side) in [(-1.0, found.helping), (1.0, found.hurting)] {
            let mut own: Vec<f64> = totals
                .iter()
                .map(|a| sign * a)
                .filter(|a| *a > 0.0)
                .collect();
            own.sort_unstable_by(|a, b| b.total_cmp(a));
            assert_eq!(side.count, own.len());
            let total: f64 = own.iter().sum();
            assert!((side.total - total).abs() <= 1e-12 * total);
            let top: f64 = own[..own.len().div_ceil(100)].iter().sum();
            assert!((side.top - top / total).abs() < 1e-9 || own.is_empty());
        }
        let moment = |k: i32| {
            let mean = totals.iter().sum::<f64>() / totals.len() as f64;
            totals.iter().map(|a| (a - mean).powi(k)).sum::<f64>() / totals.len() as f64
        };
        let kurtosis = moment(4) / moment(2).powi(2) - 3.0;
        assert!((found.kurtosis - kurtosis).abs() <= 1e-6 * kurtosis.abs().max(1.0));
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
    fn check_oscillation(&self, layer: usize, answer: &Answer, steps: &Range<u64>) {
        let Answer::Oscillation(found) = answer else {
            panic!("{answer:?}");
        };
        let one = layer..layer + 1;
        let series = self.columns("lca/layer", one.clone()).remove(0);
        let values = within(&series, steps);
        let [measured, .., crossings, turns] = group(&values).counts;
        assert_eq!((found.measured, found.crossings), (measured, crossings));
        assert_eq!(found.turns, turns);
        let params = self.layout.layer_of_params();
        let params = params.into_iter().filter(|&l| l == layer).count() as u64;
        assert_eq!(found.param_steps, params * values.len() as u64);
        for (path, count) in [
            ("motion/update_flips", found.update_flips),
            ("motion/gradient_flips", found.gradient_flips),
            ("motion/gradient_turns", found.gradient_turns),
            ("motion/lca_turns", found.lca_turns),
        ] {
            let counts = self.file.counts(path);
            let rows = steps
                .clone()
                .map(|t| counts.row(usize::try_from(t).unwrap())[layer]);
            assert_eq!(count, Some(rows.sum::<u64>()), "{path}");
        }
        for (path, curve) in [
            ("lca/layer", &found.lca),
            ("motion/update_norm", &found.movement),
            ("motion/gradient_norm", &found.gradient),
            ("motion/cosine", &found.cosine),
        ] {
            let series = self.columns(path, one.clone()).remove(0);
            for (c, edge) in found.edges.windows(2).enumerate() {
                #[expect(clippy::cast_possible_truncation, reason = "as charts have it")]
                let part = || {
                    within(&series, &(edge[0]..edge[1]))
                        .into_iter()
                        .map(|x| x as f32)
                };
                let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan());
                assert!(
                    same(curve.least[c], part().fold(f32::NAN, f32::min)),
                    "{path}"
                );
                assert!(
                    same(curve.most[c], part().fold(f32::NAN, f32::max)),
                    "{path}"
                );
            }
        }
        // The scores are SciPy's (`tests/report/analysis.rs`).
        let values = scores(&values);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let product = |k: usize| -> f64 {
            let pairs = values.iter().zip(&values[k..]);
            pairs.map(|(a, b)| (a - mean) * (b - mean)).sum()
        };
        for (k, r) in found.autocorrelation.iter().enumerate() {
            assert!((r - product(k) / product(0)).abs() < 1e-9, "lag {k}: {r}");
        }
    }

    /// Checks the layer's lags behind others, its gradient and itself.
    fn check_lags(&self, layer: usize, answer: &Answer, steps: &Range<u64>) {
        let Answer::Oscillation(found) = answer else {
            panic!("{answer:?}");
        };
        let within = |path: &str, column: usize| {
            let series = self.columns(path, column..column + 1).remove(0);
            within(&series, steps)
        };
        let values = within("lca/layer", layer);
        // All of the steps are among the last 4096; lags go up to half of them, 200 at most.
        assert_eq!(found.tail, *steps);
        let varies = values.windows(2).any(|pair| pair[0] != pair[1]);
        let lags = if varies {
            1 + (values.len() / 2).min(200)
        } else {
            0
        };
        assert_eq!(found.autocorrelation.len(), lags);
        assert_eq!(found.others.len(), self.layout.layers);
        for (other, lag) in found.others.iter().enumerate() {
            let expected = correlations(&within("lca/layer", other), &values);
            let expected = if other == layer {
                None
            } else {
                best(&expected)
            };
            same_lag(*lag, expected, "another layer");
        }
        let norms = ["motion/gradient_norm", "motion/update_norm"].map(|it| within(it, layer));
        let expected = best(&correlations(&norms[0], &norms[1]));
        same_lag(found.norms, expected, "norms");
        self.check_traced(layer, found, steps);
    }

    /// Checks the mean lag of single parameters' movements behind their negative gradients.
    fn check_traced(&self, layer: usize, found: &Oscillation, steps: &Range<u64>) {
        let layers = self.layout.layer_of_params();
        let traced = self.file.counts("trace/parameter").values;
        let of_layer = |p: &u64| layers[usize::try_from(*p).unwrap()] == layer;
        let places = (0..traced.len()).filter(|&at| of_layer(&traced[at]));
        let places: Vec<usize> = places.collect();
        assert_eq!(found.traced_there as usize, places.len());
        let (mut sums, mut used) = (vec![(0.0, 0_u32); 21], 0);
        // The first 64 of a layer.
        for &at in places.iter().take(64) {
            let [theta, gradient] = ["trace/value", "trace/gradient"]
                .map(|path| within(&self.columns(path, at..at + 1)[0], steps));
            let moved: Vec<f64> = theta.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let downhill: Vec<f64> = gradient.iter().map(|g| -g).collect();
            let c = correlations(&downhill, &moved);
            used += u32::from(c.iter().any(Option::is_some));
            for (sum, c) in sums.iter_mut().zip(c) {
                if let Some(c) = c {
                    *sum = (sum.0 + c, sum.1 + 1);
                }
            }
        }
        assert_eq!(found.traced_used, used);
        let mean = |(sum, count): &(f64, u32)| (*count > 0).then(|| sum / f64::from(*count));
        let expected = best(&sums.iter().map(mean).collect::<Vec<_>>());
        same_lag(found.traced, expected, "traced parameters");
    }

    /// Each layer's deepest local minima, ascending.
    fn moments(&self, class: Option<usize>, end: u64) -> Vec<Vec<u64>> {
        let layers = self.layout.layers;
        let all = match class {
            None => self.columns("lca/layer", 0..layers),
            Some(class) => self.layers_of_class(class),
        };
        let of = |series: &Vec<(u64, f64)>| {
            let values = within(series, &(0..end));
            let mut found: Vec<(f64, u64)> = (1_u64..)
                .zip(values.windows(3))
                .filter(|(_, x)| x[1] < x[0] && x[1] < x[2])
                .map(|(step, x)| (x[1], step))
                .collect();
            found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            let mut steps: Vec<u64> = found.into_iter().take(KEEP).map(|it| it.1).collect();
            steps.sort_unstable();
            steps
        };
        all.iter().map(of).collect()
    }

    fn check_moments(&self, class: Option<usize>, answer: &Answer, end: u64) {
        let Answer::Synchronisation(found) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(found.steps, end);
        let moments = self.moments(class, end);
        assert_eq!(found.moments, moments);
        let steps: BTreeSet<u64> = moments.iter().flatten().copied().collect();
        let layers = |step: u64| moments.iter().filter(|of| of.contains(&step)).count();
        let shared = steps.into_iter().map(|step| (step, layers(step)));
        let shared: Vec<(u64, usize)> = shared.filter(|it| it.1 > 1).collect();
        let pairs: usize = shared.iter().map(|it| it.1).sum();
        let count: usize = moments.iter().map(Vec::len).sum();
        assert_eq!((found.pairs, found.count), (pairs as u64, count as u64));
        let found_shared: Vec<(u64, usize)> =
            found.shared.iter().map(|&(t, n)| (t, n as usize)).collect();
        assert_eq!(found_shared, shared);
        for chance in [&found.jitter, &found.circular] {
            let drawn: u32 = chance.bars.iter().map(|bar| bar.2).sum();
            assert_eq!(drawn, chance.draws);
            // Draws in bars at or above the observed count are at least as many.
            let above = chance.bars.iter().filter(|bar| bar.0 >= found.pairs);
            let above: u32 = above.map(|bar| bar.2).sum();
            let reaching = chance.bars.iter().filter(|bar| bar.1 > found.pairs);
            let reaching: u32 = reaching.map(|bar| bar.2).sum();
            let p = |n: u32| f64::from(1 + n) / f64::from(1 + chance.draws);
            assert!(
                p(above) <= chance.p + 1e-12 && chance.p <= p(reaching) + 1e-12,
                "{chance:?}"
            );
        }
    }

    fn check_run(&self, answer: &Answer, end: u64) {
        let Answer::Run(found) = answer else {
            panic!("{answer:?}");
        };
        let quality = &found.quality;
        let rows = usize::try_from(end).unwrap();
        let segments = self.file.counts("step/segments").values;
        let mut kinds = BTreeMap::new();
        for &s in &segments[..rows] {
            *kinds.entry(s).or_insert(0) += 1;
        }
        assert_eq!((quality.steps, &quality.segments), (end, &kinds));
        assert_eq!(quality.other_segments, 0);
        let gradients = self.file.counts("step/gradient_evals").values;
        assert_eq!(quality.gradients, gradients[..rows].iter().sum::<u64>());
        let residuals = within(&self.columns("lca/residual", 0..1)[0], &(0..end));
        let sizes = || residuals.iter().map(|r| r.abs());
        close(quality.sum, sizes().sum(), &residuals, "residuals");
        assert_eq!(quality.worst, sizes().fold(0.0, f64::max));
        let tolerance = self.number("tolerance");
        assert_eq!(
            quality.above,
            sizes().filter(|r| *r > tolerance).count() as u64
        );
        let mut decades = [0; 14];
        for r in sizes() {
            let decade = (-11..2).filter(|&d| r >= 10_f64.powi(d)).count();
            decades[decade] += 1;
        }
        assert_eq!(quality.decades, decades);
        assert_eq!((found.committed, quality.not_finite), (self.steps, 0));
        assert_eq!(found.bytes, self.bytes);
        let newest = (0..2).filter_map(|slot| self.checkpoint(slot)).max();
        let newest = newest.map(|step| {
            let seconds = self.columns("step/seconds", 0..1).remove(0);
            (step, seconds[usize::try_from(step).unwrap() - 1].1)
        });
        assert_eq!(found.checkpoint, newest);
    }

    /// Steps done at the checkpoint in a slot, if it has been written.
    fn checkpoint(&self, slot: usize) -> Option<u64> {
        let path = |name: &str| format!("checkpoint/{slot}/{name}");
        self.has(&path("step")).then_some(())?;
        let digest = self.file.dataset(&path("digest")).read_raw::<u8>().unwrap();
        let step = self.file.counts(&path("step")).values[0];
        (digest.iter().any(|&byte| byte != 0) && step > 0 && step <= self.steps).then_some(step)
    }
}
