//! Axis ticks: as many round numbers as there is room for.

use super::bins;
use super::scale::{Domain, Scale};

/// A labelled position on an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    pub value: f64,
    /// Position on the axis, 0..=1.
    pub at: f64,
    /// Short, with the same number of decimals as its neighbours.
    pub label: String,
}

/// The room that an axis has for labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelSpace {
    /// A vertical axis of `cells` rows: one label per row, at least `gap` rows apart.
    Rows { cells: usize, gap: usize },
    /// A horizontal axis of `cells` columns: labels stand side by side.
    Columns { cells: usize },
}

impl LabelSpace {
    /// A vertical axis with a suitable number of ticks for its height.
    #[must_use]
    pub fn rows(cells: usize) -> Self {
        let gap = (cells / 4).clamp(1, 3);
        Self::Rows { cells, gap }
    }

    fn cells(self) -> usize {
        let (Self::Rows { cells, .. } | Self::Columns { cells }) = self;
        cells.min(10_000)
    }

    /// Returns an upper bound on the number of ticks that fit.
    fn most(self) -> usize {
        match self {
            Self::Rows { gap, .. } => self.cells() / gap.max(1) + 1,
            Self::Columns { .. } => self.cells() / 4 + 1,
        }
    }

    /// Returns the cell of a position on the axis.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "0 <= at <= 1, cells <= 10000"
    )]
    fn cell(self, at: f64) -> usize {
        (at * self.cells().saturating_sub(1) as f64).round() as usize
    }

    /// Returns true if `ticks`, in ascending order, keep far enough apart.
    fn fits(self, ticks: &[Tick]) -> bool {
        let gap = match self {
            Self::Rows { gap, .. } => gap.max(1),
            // The mark, the label, and some visible axis.
            Self::Columns { .. } => {
                3 + ticks.iter().map(|tick| tick.label.len()).max().unwrap_or(0)
            }
        };
        let cells = |pair: &[Tick]| self.cell(pair[1].at).saturating_sub(self.cell(pair[0].at));
        self.cells() > 0 && ticks.windows(2).all(|pair| cells(pair) >= gap)
    }
}

/// Returns the finest ticks that fit, ascending: steps of 1, 2 or 5 on a linear axis; on the others decades (every one
/// or every few, or 1, 2 and 5 of each).
#[must_use]
pub fn ticks(scale: Scale, domain: Domain, room: LabelSpace) -> Vec<Tick> {
    let place = |(value, label)| Tick {
        value,
        at: scale.to_unit(domain, value).unwrap_or(0.0),
        label,
    };
    let fitting = |room: LabelSpace| {
        let decades = decade_candidates(scale, domain)
            .into_iter()
            .map(|marks| marks.into_iter().map(place).collect::<Vec<_>>())
            .filter(|ticks| ticks.len() >= 2 && room.fits(ticks))
            .reduce(|most, next| if next.len() > most.len() { next } else { most });
        decades.or_else(|| {
            linear_candidates(domain, room.most(), i32::MIN)
                .map(|marks| marks.into_iter().map(place).collect::<Vec<_>>())
                .find(|ticks| room.fits(ticks))
        })
    };
    let ticks = fitting(room).unwrap_or_default();
    if ticks.len() >= 2 {
        return ticks;
    }
    // One tick shows no scale: prefer a crowded axis, or the two end ticks of a finer one.
    match room {
        LabelSpace::Rows { cells, gap } if gap > 1 => {
            let gap = gap - 1;
            self::ticks(scale, domain, LabelSpace::Rows { cells, gap })
        }
        _ => linear_candidates(domain, 10 * room.most(), i32::MIN)
            .map(|marks| marks.into_iter().map(place).collect::<Vec<_>>())
            .filter_map(|marks| Some(vec![marks.first()?.clone(), marks.last()?.clone()]))
            .find(|ends| room.fits(ends))
            .unwrap_or(ticks),
    }
}

/// Returns ticks at whole training steps in `from..to` over `columns` columns: each at the first column that shows its
/// step ([`bins::column_of`]).
#[must_use]
pub fn step_ticks(from: u64, to: u64, columns: usize) -> Vec<Tick> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "steps stay far below 2^53, and the casts saturate"
    )]
    whole_number_ticks(from as f64, to.saturating_sub(from), columns, |value| {
        (value as u64).saturating_sub(from)
    })
}

/// Returns ticks for `count` whole numbers from `first` on, such as lags or periods, placed like [`step_ticks`].
#[must_use]
pub fn whole_ticks(first: i64, count: u64, columns: usize) -> Vec<Tick> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "far below 2^53, and the casts saturate"
    )]
    whole_number_ticks(first as f64, count, columns, |value| {
        (value - first as f64) as u64
    })
}

/// Returns ticks at whole numbers; index 0 is `first`.
fn whole_number_ticks(
    first: f64,
    count: u64,
    columns: usize,
    index_of: impl Fn(f64) -> u64,
) -> Vec<Tick> {
    let room = LabelSpace::Columns { cells: columns };
    if count == 0 {
        return Vec::new();
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "far below 2^53"
    )]
    let place = |(value, label): (f64, String)| {
        let index = index_of(value).min(count - 1);
        let column = bins::column_of(index as usize, count as usize, room.cells()).start;
        Tick {
            value,
            at: column as f64 / room.cells().saturating_sub(1).max(1) as f64,
            label,
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    let last = first + (count - 1) as f64;
    let domain = if count == 1 {
        Domain::new(first - 0.25, first + 0.25)
    } else {
        Domain::new(first, last)
    };
    linear_candidates(domain, room.most(), 0)
        .map(|mut marks| {
            marks.retain(|(value, _)| (first..=last).contains(value));
            marks.into_iter().map(place).collect::<Vec<_>>()
        })
        .find(|ticks| room.fits(ticks))
        .unwrap_or_default()
}

/// Returns values with labels, from fine to coarse, in steps of 1, 2 and 5 times a power of ten of at least
/// `least_exponent`. The finest has about `most` values.
fn linear_candidates(
    domain: Domain,
    most: usize,
    least_exponent: i32,
) -> impl Iterator<Item = Vec<(f64, String)>> {
    #[expect(clippy::cast_precision_loss, reason = "at most some 10000")]
    let finest = (domain.max() - domain.min()) / most.max(1) as f64;
    let first = exponent_of(finest).max(least_exponent);
    // Seven powers of ten lead from a ten-thousandth of the domain to beyond its whole width.
    let steps = (first..first + 7).flat_map(|exponent| [1, 2, 5].map(|digit| (digit, exponent)));
    steps
        .filter(move |&(digit, exponent)| decimal(digit, exponent) >= finest)
        .map(move |(digit, exponent)| {
            let step = decimal(digit, exponent);
            // A slight tolerance, so that an end like 0.3 counts as three steps of 0.1.
            #[expect(
                clippy::cast_possible_truncation,
                reason = "at most 1e12 steps, see Domain::of"
            )]
            let (first, last) = (
                (domain.min() / step - 1e-6).ceil() as i64,
                (domain.max() / step + 1e-6).floor() as i64,
            );
            let values: Vec<f64> = (first..=last)
                .map(|count| decimal(count * digit, exponent))
                .collect();
            let labels = labels(&values, exponent);
            values.into_iter().zip(labels).collect()
        })
}

/// Returns labels for multiples of a step with this power of ten, all with the same number of decimals.
fn labels(values: &[f64], exponent: i32) -> Vec<String> {
    let largest = values
        .iter()
        .fold(0.0, |max: f64, value| max.max(value.abs()));
    let magnitude = if largest > 0.0 {
        exponent_of(largest)
    } else {
        0
    };
    let places = |digits: i32| usize::try_from(digits).unwrap_or(0);
    let suffixes = [(12, "T"), (9, "G"), (6, "M"), (3, "k")];
    // `1200` is shorter than `1.2k`, and a suffix after many decimals is hard to read.
    let suffix = suffixes
        .into_iter()
        .find(|&(power, _)| magnitude >= power.max(4) && exponent >= power - 1);
    let label = |&value: &f64| {
        if !(-3..15).contains(&magnitude) {
            let digits = places(magnitude - exponent);
            if value == 0.0 {
                "0".to_owned()
            } else {
                format!("{value:.digits$e}")
            }
        } else if let Some((power, name)) = suffix {
            let digits = places(power - exponent);
            let name = if value == 0.0 { "" } else { name };
            format!("{:.digits$}{name}", value / 10f64.powi(power))
        } else {
            let digits = places(-exponent);
            format!("{value:.digits$}")
        }
    };
    values.iter().map(label).collect()
}

/// Returns choices of labelled decades, generally the finer ones first; none on a linear axis.
fn decade_candidates(scale: Scale, domain: Domain) -> Vec<Vec<(f64, String)>> {
    let (min, max) = scale.range(domain);
    let choices: Vec<Vec<(i64, i32)>> = match scale {
        Scale::Linear => Vec::new(),
        Scale::Log => {
            let decades = exponent_of(min)..=exponent_of(max);
            let dense = decades.clone().flat_map(|e| [(1, e), (2, e), (5, e)]);
            let every = [1, 2, 3, 5, 10, 20, 50, 100, 200].map(|every| {
                let some = decades.clone().filter(|e| e % every == 0);
                some.map(|e| (1, e)).collect()
            });
            std::iter::once(dense.collect()).chain(every).collect()
        }
        Scale::SymLog { .. } => {
            // Downwards from the largest: decades next to zero are crowded and may be left out.
            let low = exponent_of(scale.linear(domain));
            let high = exponent_of(min.abs().max(max.abs()));
            let choice = |(every, low): (usize, i32)| {
                let side: Vec<i32> = (low..=high).rev().step_by(every).collect();
                let negative = side.iter().map(|&e| (-1, e));
                let positive = side.iter().rev().map(|&e| (1, e));
                negative.chain([(0, 0)]).chain(positive).collect()
            };
            let every = [1, 2, 3, 5].into_iter();
            every
                .flat_map(|every| (low..=high).map(move |low| (every, low)))
                .map(choice)
                .collect()
        }
    };
    let labelled = |choice: Vec<(i64, i32)>| {
        let inside = |&(digit, e): &(i64, i32)| (min..=max).contains(&decimal(digit, e));
        let marks: Vec<_> = choice.into_iter().filter(inside).collect();
        let plain = marks.iter().all(|(_, e)| (-3..=4).contains(e));
        let label = |(digit, e)| (decimal(digit, e), decade_label(digit, e, plain));
        marks.into_iter().map(label).collect()
    };
    choices.into_iter().map(labelled).collect()
}

fn decade_label(digit: i64, exponent: i32, plain: bool) -> String {
    if digit == 0 {
        "0".to_owned()
    } else if plain || exponent == 0 {
        // `1` stays `1` even beside `1e-6`.
        let places = usize::try_from(-exponent).unwrap_or(0);
        format!("{:.places$}", decimal(digit, exponent))
    } else {
        format!("{digit}e{exponent}")
    }
}

/// Returns `digits * 10^exponent`, as close to the decimal number as possible.
#[expect(clippy::cast_precision_loss, reason = "tick counts are below 2^53")]
fn decimal(digits: i64, exponent: i32) -> f64 {
    if exponent < 0 {
        digits as f64 / 10f64.powi(-exponent)
    } else {
        digits as f64 * 10f64.powi(exponent)
    }
}

/// Returns the decimal exponent of a positive number: -2 for 0.05.
#[expect(clippy::cast_possible_truncation, reason = "-324..=308")]
fn exponent_of(value: f64) -> i32 {
    value.log10().floor() as i32
}

#[cfg(test)]
mod tests {
    use super::super::scale::tests::any_scale;
    use super::*;
    use proptest::prelude::*;

    fn label_texts(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    fn linear(min: f64, max: f64, rows: usize) -> Vec<Tick> {
        ticks(Scale::Linear, Domain::new(min, max), LabelSpace::rows(rows))
    }

    #[test]
    fn linear_ticks_are_round_and_have_constant_digits() {
        assert_eq!(label_texts(&linear(0.0, 2.4, 12)), ["0", "1", "2"]);
        assert_eq!(
            label_texts(&linear(0.03, 0.22, 12)),
            ["0.05", "0.10", "0.15", "0.20"]
        );
        assert_eq!(label_texts(&linear(-0.3, 0.3, 5)), ["-0.2", "0.0", "0.2"]);
        assert_eq!(
            label_texts(&linear(2.30, 2.3031, 9)),
            ["2.300", "2.301", "2.302", "2.303"]
        );
        assert_eq!(label_texts(&linear(0.0, 1200.0, 8)), ["0", "500", "1000"]);
        assert_eq!(
            label_texts(&linear(0.0, 4e-4, 9)),
            ["0", "1e-4", "2e-4", "3e-4", "4e-4"]
        );
        assert_eq!(
            label_texts(&linear(0.0, 6e5, 12)),
            ["0", "200k", "400k", "600k"]
        );
        assert_eq!(
            label_texts(&linear(0.5, 0.5, 9)).len(),
            3,
            "a flat domain has room on both sides"
        );
    }

    #[test]
    fn log_ticks_are_decades() {
        let log = |min, max, rows| ticks(Scale::Log, Domain::new(min, max), LabelSpace::rows(rows));
        assert_eq!(
            label_texts(&log(0.01, 10.0, 12)),
            ["0.01", "0.1", "1", "10"]
        );
        assert_eq!(label_texts(&log(1e-8, 1.0, 12)), ["1e-6", "1e-3", "1"]);
        assert_eq!(
            label_texts(&log(0.1, 2.5, 20)),
            ["0.1", "0.2", "0.5", "1", "2"]
        );
        assert_eq!(
            label_texts(&log(2.1, 2.9, 12)),
            ["2.2", "2.4", "2.6", "2.8"]
        );
    }

    #[test]
    fn symlog_ticks_are_decades_on_both_sides() {
        let scale = Scale::SymLog { linear: 1e-4 };
        let ticks = ticks(scale, Domain::symmetric(0.05), LabelSpace::rows(13));
        assert_eq!(label_texts(&ticks), ["-0.01", "0", "0.01"]);
        assert_eq!(ticks[1].at.to_bits(), 0.5f64.to_bits());

        let shown = |min, max, linear, rows| {
            let ticks = self::ticks(
                Scale::SymLog { linear },
                Domain::new(min, max),
                LabelSpace::rows(rows),
            );
            ticks
                .into_iter()
                .map(|tick| tick.label)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(shown(-1.0, 1.0, 1e-5, 12), "-1 0 1");
        assert_eq!(shown(-1e-3, 4.0, 1e-6, 12), "-0.001 0 0.001 1");
        assert_eq!(shown(-4.0, -1e-4, 1e-6, 12), "-1 -1e-2 -1e-4");
        assert_eq!(shown(-0.9, -0.2, 1e-3, 12), "-0.8 -0.6 -0.4 -0.2");
    }

    #[test]
    fn lags_have_ticks_on_both_sides_of_zero() {
        assert_eq!(
            label_texts(&whole_ticks(-10, 21, 63)),
            ["-10", "-8", "-6", "-4", "-2", "0", "2", "4", "6", "8", "10"]
        );
        assert_eq!(
            label_texts(&whole_ticks(-10, 21, 30)),
            ["-10", "-5", "0", "5", "10"]
        );
        assert_eq!(
            whole_ticks(-10, 21, 63)[5].at.to_bits(),
            (30.0f64 / 62.0).to_bits()
        );
        assert_eq!(whole_ticks(i64::MIN, u64::MAX, 0), []);
    }

    #[test]
    fn steps_are_whole_and_large_ones_short() {
        assert_eq!(label_texts(&step_ticks(0, 4, 80)), ["0", "1", "2", "3"]);
        assert_eq!(
            label_texts(&step_ticks(1100, 1501, 40)),
            ["1100", "1200", "1300", "1400", "1500"]
        );
        assert_eq!(
            label_texts(&step_ticks(0, 40_000, 40)),
            ["0", "10k", "20k", "30k"]
        );
        assert_eq!(
            label_texts(&step_ticks(12_000, 12_010, 40)),
            ["12000", "12002", "12004", "12006", "12008"]
        );
        assert_eq!(label_texts(&step_ticks(7, 8, 40)), ["7"]);
        assert!(step_ticks(8, 8, 40).is_empty() && step_ticks(9, 8, 40).is_empty());
        assert!(step_ticks(0, 8, 0).is_empty());
    }

    proptest! {
        #[test]
        fn ticks_do_not_overlap_on_any_axis(
            scale in any_scale(),
            a in prop::num::f64::ANY,
            b in prop::num::f64::ANY,
            cells in 0usize..120,
            vertical in any::<bool>(),
        ) {
            let room = if vertical { LabelSpace::rows(cells) } else { LabelSpace::Columns { cells } };
            let ticks = ticks(scale, Domain::new(a, b), room);
            let at: Vec<usize> = ticks.iter().map(|tick| room.cell(tick.at)).collect();
            prop_assert!(at.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", ticks);
            prop_assert!(at.last().is_none_or(|&last| last < cells));
        }

        #[test]
        fn a_usual_axis_has_a_scale(
            scale in any_scale(),
            a in -1e6f64..1e6,
            span in 1e-3f64..1e6,
            rows in 3usize..80,
        ) {
            let ticks = ticks(scale, Domain::new(a, a + span), LabelSpace::rows(rows));
            prop_assert!(ticks.len() >= 2, "{:?}", ticks);
            let labels: std::collections::BTreeSet<_> = label_texts(&ticks).into_iter().collect();
            prop_assert_eq!(labels.len(), ticks.len());
        }

        #[test]
        fn step_ticks_are_in_range(from: u64, steps in 0u64..100_000, columns in 0usize..300) {
            let to = from.saturating_add(steps);
            let ticks = step_ticks(from, to, columns);
            prop_assert!(ticks.iter().all(|tick| (0.0..=1.0).contains(&tick.at)));
        }

        #[test]
        fn usual_step_axes_have_ticks(from in 0u64..1_000_000, steps in 2u64..100_000, columns in 30usize..300) {
            let ticks = step_ticks(from, from + steps, columns);
            prop_assert!(!ticks.is_empty());
            for tick in &ticks {
                let value: u64 = format!("{:.0}", tick.value).parse().expect("a whole step");
                prop_assert!((from..from + steps).contains(&value));
            }
        }
    }
}
