//! Axes: from values to places and back, ticks with labels, and numbers in a fixed width.
//!
//! ```text
//! Linear    (v - min) / (max - min)
//! Log       the same of log10 v; a lower bound that is not positive becomes max / 1e6
//! SymLog    the same of sign(v) log10(1 + |v| / linear): straight near zero, decades far out
//! ```

use super::bins;

/// The values of an axis from end to end: both finite, `min < max`, and far enough apart to be
/// divided into ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Domain {
    min: f64,
    max: f64,
}

impl Default for Domain {
    fn default() -> Self {
        Self { min: 0.0, max: 1.0 }
    }
}

impl Domain {
    /// From `a` to `b`, in whichever order they come. See [`Domain::of`] for what is not a number.
    #[must_use]
    pub fn new(a: f64, b: f64) -> Self {
        Self::of([a, b])
    }

    /// `-max..max`, for signed values.
    #[must_use]
    pub fn symmetric(max: f64) -> Self {
        Self::of([-max, max])
    }

    /// The smallest domain with all `values`. Those that are not finite are ignored; a single value
    /// gets room on both sides; without any it is 0..1.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        // Far beyond any loss, and its square of differences still has room in an f64.
        const LIMIT: f64 = 1e300;
        let finite = values.into_iter().filter(|value| value.is_finite());
        let ends = finite.fold(None, |ends, value| {
            let value = value.clamp(-LIMIT, LIMIT);
            let (min, max): (f64, f64) = ends.unwrap_or((value, value));
            Some((min.min(value), max.max(value)))
        });
        let Some((min, max)) = ends else {
            return Self::default();
        };
        let magnitude = min.abs().max(max.abs());
        if max - min > (magnitude * 1e-12).max(1e-280) {
            return Self { min, max };
        }
        let room = if magnitude < 1e-260 {
            0.5
        } else {
            magnitude * 0.05
        };
        Self {
            min: min - room,
            max: max + room,
        }
    }

    #[must_use]
    pub fn min(self) -> f64 {
        self.min
    }

    #[must_use]
    pub fn max(self) -> f64 {
        self.max
    }

    /// The part that has a logarithm.
    fn positive(self) -> (f64, f64) {
        match self {
            Self { max, .. } if max < 1e-290 => (1e-6, 1.0),
            Self { min, max } if min <= 0.0 => (max * 1e-6, max),
            Self { min, max } => (min, max),
        }
    }
}

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scale {
    #[default]
    Linear,
    Log,
    /// `linear` is where the straight part around zero gives way to decades, in the values' unit.
    SymLog {
        linear: f64,
    },
}

impl Scale {
    /// The place of `value` on the axis: 0 at the domain's minimum, 1 at its maximum, and at the
    /// nearest end outside. `None` for NaN.
    #[must_use]
    pub fn to_unit(self, domain: Domain, value: f64) -> Option<f64> {
        let (low, high) = self.ends(domain);
        let place = (self.bend(domain, value) - low) / (high - low);
        (!value.is_nan()).then(|| place.clamp(0.0, 1.0))
    }

    /// The value at a place of the axis, the inverse of [`Scale::to_unit`]. A place that is not a
    /// number is taken as the minimum.
    #[must_use]
    pub fn from_unit(self, domain: Domain, unit: f64) -> f64 {
        let (low, high) = self.ends(domain);
        let unit = if unit.is_nan() { 0.0 } else { unit };
        let bent = low + unit.clamp(0.0, 1.0) * (high - low);
        let value = match self {
            Self::Linear => bent,
            Self::Log => 10f64.powf(bent),
            Self::SymLog { .. } => {
                let linear = self.linear(domain);
                (bent.abs().exp_m1() * linear).copysign(bent)
            }
        };
        // Rounding may step over an end.
        let (min, max) = self.range(domain);
        value.clamp(min, max)
    }

    /// The place of a signed value on an axis that is alike on both sides of zero: -1 at `-max` and
    /// beyond, 0 at zero, 1 at `max` and beyond. `None` for NaN. A `max` that is no magnitude (zero,
    /// or not a number) is taken as 1.
    #[must_use]
    pub fn to_signed_unit(self, max: f64, value: f64) -> Option<f64> {
        let sound = max.is_finite() && max > 1e-270;
        let domain = Domain::new(0.0, if sound { max } else { 1.0 });
        let place = self.to_unit(domain, value.abs())?;
        Some(if value == 0.0 {
            0.0
        } else {
            place.copysign(value)
        })
    }

    /// The coordinate in which the axis is evenly spaced.
    fn bend(self, domain: Domain, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            // Zero and less lie below every positive value.
            Self::Log => value.max(0.0).log10(),
            Self::SymLog { .. } => {
                let linear = self.linear(domain);
                (value.abs() / linear).min(f64::MAX).ln_1p().copysign(value)
            }
        }
    }

    /// The values at the two ends.
    fn range(self, domain: Domain) -> (f64, f64) {
        match self {
            Self::Log => domain.positive(),
            _ => (domain.min, domain.max),
        }
    }

    /// The coordinates of the two ends.
    fn ends(self, domain: Domain) -> (f64, f64) {
        let (min, max) = self.range(domain);
        (self.bend(domain, min), self.bend(domain, max))
    }

    /// The symmetric log's `linear`, kept where the arithmetic is sound.
    fn linear(self, domain: Domain) -> f64 {
        let magnitude = domain.min.abs().max(domain.max.abs());
        match self {
            Self::SymLog { linear } if linear > 0.0 => {
                linear.clamp(magnitude * 1e-18, magnitude * 1e6)
            }
            _ => magnitude,
        }
    }
}

/// A labelled place of an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    pub value: f64,
    /// Its place, 0..=1.
    pub at: f64,
    /// Short, and with the same digits as its neighbours'.
    pub label: String,
}

/// What an axis has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// A vertical axis of so many cells, a label a row, at least `gap` rows from one to the next.
    Rows { cells: usize, gap: usize },
    /// A horizontal axis of so many cells: labels stand side by side.
    Columns { cells: usize },
}

impl Room {
    /// A vertical axis with as many ticks as look well.
    #[must_use]
    pub fn rows(cells: usize) -> Self {
        let gap = (cells / 4).clamp(1, 3);
        Self::Rows { cells, gap }
    }

    fn cells(self) -> usize {
        let (Self::Rows { cells, .. } | Self::Columns { cells }) = self;
        cells.min(10_000)
    }

    /// More ticks than fit in any case.
    fn most(self) -> usize {
        match self {
            Self::Rows { gap, .. } => self.cells() / gap.max(1) + 1,
            Self::Columns { .. } => self.cells() / 4 + 1,
        }
    }

    /// The cell of a place on the axis.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "0 <= at <= 1, cells <= 10000"
    )]
    fn cell(self, at: f64) -> usize {
        (at * self.cells().saturating_sub(1) as f64).round() as usize
    }

    /// Whether `ticks`, in ascending order, keep apart.
    fn fits(self, ticks: &[Tick]) -> bool {
        let gap = match self {
            Self::Rows { gap, .. } => gap.max(1),
            // The mark, the label, and some axis to see.
            Self::Columns { .. } => {
                3 + ticks.iter().map(|tick| tick.label.len()).max().unwrap_or(0)
            }
        };
        let cells = |pair: &[Tick]| self.cell(pair[1].at).saturating_sub(self.cell(pair[0].at));
        self.cells() > 0 && ticks.windows(2).all(|pair| cells(pair) >= gap)
    }
}

/// The finest ticks for which there is room, ascending: steps of 1, 2 or 5 on a linear axis,
/// decades (or several, or their 1, 2 and 5) on the others.
#[must_use]
pub fn ticks(scale: Scale, domain: Domain, room: Room) -> Vec<Tick> {
    let place = |(value, label)| Tick {
        value,
        at: scale.to_unit(domain, value).unwrap_or(0.0),
        label,
    };
    let fitting = |room: Room| {
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
    // One tick tells no scale: rather a crowded axis than that, or the two ends of a finer one.
    match room {
        Room::Rows { cells, gap } if gap > 1 => {
            let gap = gap - 1;
            self::ticks(scale, domain, Room::Rows { cells, gap })
        }
        _ => linear_candidates(domain, 10 * room.most(), i32::MIN)
            .map(|marks| marks.into_iter().map(place).collect::<Vec<_>>())
            .filter_map(|marks| Some(vec![marks.first()?.clone(), marks.last()?.clone()]))
            .find(|ends| room.fits(ends))
            .unwrap_or(ticks),
    }
}

/// Ticks for training steps `from..to` over so many columns, at whole steps: each stands at the
/// first column that shows its step ([`bins::column_of`]).
#[must_use]
pub fn step_ticks(from: u64, to: u64, columns: usize) -> Vec<Tick> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "steps stay far below 2^53, and the casts saturate"
    )]
    whole(from as f64, to.saturating_sub(from), columns, |value| {
        (value as u64).saturating_sub(from)
    })
}

/// Ticks for the `count` whole numbers from `first` on, lags or periods, placed like
/// [`step_ticks`].
#[must_use]
pub fn whole_ticks(first: i64, count: u64, columns: usize) -> Vec<Tick> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "far below 2^53, and the casts saturate"
    )]
    whole(first as f64, count, columns, |value| {
        (value - first as f64) as u64
    })
}

/// Ticks at whole numbers of which the one with index 0 is `first`.
fn whole(first: f64, count: u64, columns: usize, index_of: impl Fn(f64) -> u64) -> Vec<Tick> {
    let room = Room::Columns { cells: columns };
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

/// Values with labels, from fine to coarse, in steps of 1, 2 and 5 times a power of ten of at least
/// `least_exponent`; about `most` values at first.
fn linear_candidates(
    domain: Domain,
    most: usize,
    least_exponent: i32,
) -> impl Iterator<Item = Vec<(f64, String)>> {
    #[expect(clippy::cast_precision_loss, reason = "at most some 10000")]
    let finest = (domain.max - domain.min) / most.max(1) as f64;
    let first = exponent_of(finest).max(least_exponent);
    // Seven powers of ten lead from a ten-thousandth of the domain beyond the whole of it.
    let steps = (first..first + 7).flat_map(|exponent| [1, 2, 5].map(|digit| (digit, exponent)));
    steps
        .filter(move |&(digit, exponent)| decimal(digit, exponent) >= finest)
        .map(move |(digit, exponent)| {
            let step = decimal(digit, exponent);
            // A hair of tolerance, so that an end like 0.3 counts as three steps of 0.1.
            #[expect(
                clippy::cast_possible_truncation,
                reason = "at most 1e12 steps, see Domain::of"
            )]
            let (first, last) = (
                (domain.min / step - 1e-6).ceil() as i64,
                (domain.max / step + 1e-6).floor() as i64,
            );
            let values: Vec<f64> = (first..=last)
                .map(|count| decimal(count * digit, exponent))
                .collect();
            let labels = labels(&values, exponent);
            values.into_iter().zip(labels).collect()
        })
}

/// Labels of the multiples of a step with that power of ten, all with the same digits.
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
    // `1200` is shorter than `1.2k`, and a suffix with many places behind the point helps nobody.
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

/// Choices of decades with labels, finer ones first; nothing on a linear axis.
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
            // Downwards from the largest: those next to zero crowd and may be left out.
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
        // `1` is `1` beside `1e-6` too.
        let places = usize::try_from(-exponent).unwrap_or(0);
        format!("{:.places$}", decimal(digit, exponent))
    } else {
        format!("{digit}e{exponent}")
    }
}

/// `digits * 10^exponent`, as near to the decimal number as can be.
#[expect(clippy::cast_precision_loss, reason = "tick counts are below 2^53")]
fn decimal(digits: i64, exponent: i32) -> f64 {
    if exponent < 0 {
        digits as f64 / 10f64.powi(-exponent)
    } else {
        digits as f64 * 10f64.powi(exponent)
    }
}

/// The power of ten of a positive number: -2 of 0.05.
#[expect(clippy::cast_possible_truncation, reason = "-324..=308")]
fn exponent_of(value: f64) -> i32 {
    value.log10().floor() as i32
}

/// A signed number in exactly `width` columns, right-aligned: `+0.0512`, `-1.23e-4`, `–` for NaN.
///
/// Three significant digits if they fit, else fewer; eight columns hold three for every exponent of
/// one figure. Where not even one digit fits, the sign is followed by `#`, as in a spreadsheet.
#[must_use]
pub fn format_signed(value: f64, width: usize) -> String {
    let text = if value.is_nan() {
        "–".to_owned()
    } else if value == 0.0 {
        "0".to_owned()
    } else {
        let shorter = [2, 1, 0].map(|digits| significant(value, digits));
        let shortest = format!("{value:+.0e}");
        shorter
            .into_iter()
            .chain([shortest])
            .find(|text| text.len() <= width)
            .unwrap_or_else(|| {
                format!(
                    "{}{}",
                    if value < 0.0 { '-' } else { '+' },
                    "#".repeat(width)
                )
            })
    };
    format!("{text:>width$.width$}")
}

/// With `digits` figures behind the first, as a plain number from 0.01 to 9999.
fn significant(value: f64, digits: usize) -> String {
    // Rounding may carry into a new figure (9.996 is 10.0): the exponent is read off afterwards.
    let scientific = format!("{value:+.digits$e}");
    let exponent = scientific
        .split_once('e')
        .and_then(|(_, e)| e.parse::<i32>().ok());
    match exponent {
        Some(exponent @ -2..=3) => {
            let places = i32::try_from(digits).unwrap_or(0) - exponent;
            let places = usize::try_from(places).unwrap_or(0);
            format!("{value:+.places$}")
        }
        _ => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    fn linear(min: f64, max: f64, rows: usize) -> Vec<Tick> {
        ticks(Scale::Linear, Domain::new(min, max), Room::rows(rows))
    }

    #[test]
    fn linear_ticks_are_round_and_have_constant_digits() {
        assert_eq!(shown(&linear(0.0, 2.4, 12)), ["0", "1", "2"]);
        assert_eq!(
            shown(&linear(0.03, 0.22, 12)),
            ["0.05", "0.10", "0.15", "0.20"]
        );
        assert_eq!(shown(&linear(-0.3, 0.3, 5)), ["-0.2", "0.0", "0.2"]);
        assert_eq!(
            shown(&linear(2.30, 2.3031, 9)),
            ["2.300", "2.301", "2.302", "2.303"]
        );
        assert_eq!(shown(&linear(0.0, 1200.0, 8)), ["0", "500", "1000"]);
        assert_eq!(
            shown(&linear(0.0, 4e-4, 9)),
            ["0", "1e-4", "2e-4", "3e-4", "4e-4"]
        );
        assert_eq!(shown(&linear(0.0, 6e5, 12)), ["0", "200k", "400k", "600k"]);
        assert_eq!(
            shown(&linear(0.5, 0.5, 9)).len(),
            3,
            "a flat domain has room on both sides"
        );
    }

    #[test]
    fn log_ticks_are_decades() {
        let log = |min, max, rows| ticks(Scale::Log, Domain::new(min, max), Room::rows(rows));
        assert_eq!(shown(&log(0.01, 10.0, 12)), ["0.01", "0.1", "1", "10"]);
        assert_eq!(shown(&log(1e-8, 1.0, 12)), ["1e-6", "1e-3", "1"]);
        assert_eq!(shown(&log(0.1, 2.5, 20)), ["0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(shown(&log(2.1, 2.9, 12)), ["2.2", "2.4", "2.6", "2.8"]);
    }

    #[test]
    fn symlog_ticks_are_decades_on_both_sides() {
        let scale = Scale::SymLog { linear: 1e-4 };
        let ticks = ticks(scale, Domain::symmetric(0.05), Room::rows(13));
        assert_eq!(shown(&ticks), ["-0.01", "0", "0.01"]);
        assert_eq!(ticks[1].at.to_bits(), 0.5f64.to_bits());

        let shown = |min, max, linear, rows| {
            let ticks = self::ticks(
                Scale::SymLog { linear },
                Domain::new(min, max),
                Room::rows(rows),
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
    fn signed_places_are_alike_on_both_sides() {
        let scale = Scale::SymLog { linear: 1e-6 };
        for scale in [Scale::Linear, scale] {
            assert_eq!(scale.to_signed_unit(2.0, 2.0), Some(1.0));
            assert_eq!(scale.to_signed_unit(2.0, f64::NEG_INFINITY), Some(-1.0));
            assert_eq!(scale.to_signed_unit(2.0, 0.0), Some(0.0));
            assert_eq!(scale.to_signed_unit(0.0, 0.0), Some(0.0));
            assert_eq!(scale.to_signed_unit(f64::NAN, -3.0), Some(-1.0));
            assert_eq!(scale.to_signed_unit(2.0, f64::NAN), None);
        }
        assert_eq!(Scale::Linear.to_signed_unit(2.0, -0.5), Some(-0.25));
        let tenth = scale.to_signed_unit(1.0, -1e-3).expect("a number");
        let formula = -(1.0 + 1e3f64).ln() / (1.0 + 1e6f64).ln();
        assert!((tenth - formula).abs() < 1e-12, "{tenth} {formula}");
    }

    #[test]
    fn lags_have_ticks_on_both_sides_of_zero() {
        assert_eq!(
            shown(&whole_ticks(-10, 21, 63)),
            ["-10", "-8", "-6", "-4", "-2", "0", "2", "4", "6", "8", "10"]
        );
        assert_eq!(
            shown(&whole_ticks(-10, 21, 30)),
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
        assert_eq!(shown(&step_ticks(0, 4, 80)), ["0", "1", "2", "3"]);
        assert_eq!(
            shown(&step_ticks(1100, 1501, 40)),
            ["1100", "1200", "1300", "1400", "1500"]
        );
        assert_eq!(
            shown(&step_ticks(0, 40_000, 40)),
            ["0", "10k", "20k", "30k"]
        );
        assert_eq!(
            shown(&step_ticks(12_000, 12_010, 40)),
            ["12000", "12002", "12004", "12006", "12008"]
        );
        assert_eq!(shown(&step_ticks(7, 8, 40)), ["7"]);
        assert!(step_ticks(8, 8, 40).is_empty() && step_ticks(9, 8, 40).is_empty());
        assert!(step_ticks(0, 8, 0).is_empty());
    }

    #[test]
    fn domains_are_sound_whatever_comes() {
        let of = |a, b| (Domain::new(a, b).min(), Domain::new(a, b).max());
        assert_eq!(of(3.0, 1.0), (1.0, 3.0));
        assert_eq!(of(2.0, 2.0), (1.9, 2.1));
        assert_eq!(of(0.0, 0.0), (-0.5, 0.5));
        assert_eq!(of(f64::NAN, 2.0), (1.9, 2.1));
        assert_eq!(of(f64::NAN, f64::INFINITY), (0.0, 1.0));
    }

    #[test]
    fn signed_numbers_keep_their_width() {
        for (value, width, text) in [
            (0.0512, 8, " +0.0512"),
            (-1.234e-4, 8, "-1.23e-4"),
            (-1.234e-12, 8, "-1.2e-12"),
            (9.996, 8, "   +10.0"),
            (-1234.4, 8, "   -1234"),
            (12_345.0, 8, " +1.23e4"),
            (0.0, 8, "       0"),
            (f64::NAN, 8, "       –"),
            (f64::NEG_INFINITY, 8, "    -inf"),
            (0.0512, 5, "+0.05"),
            (1234.0, 4, "+1e3"),
            (-1e-9, 3, "-##"),
            (1.0, 0, ""),
        ] {
            assert_eq!(format_signed(value, width), text);
        }
    }

    fn any_scale() -> impl Strategy<Value = Scale> {
        prop_oneof![
            Just(Scale::Linear),
            Just(Scale::Log),
            prop::num::f64::ANY.prop_map(|linear| Scale::SymLog { linear }),
            (-9i32..3).prop_map(|exponent| Scale::SymLog {
                linear: 10f64.powi(exponent)
            }),
        ]
    }

    proptest! {
        #[test]
        fn width_is_kept_for_every_number(value in prop::num::f64::ANY, width in 0usize..20) {
            prop_assert_eq!(format_signed(value, width).chars().count(), width);
        }

        #[test]
        fn width_is_kept_for_usual_numbers(value in -1e5f64..1e5, width in 0usize..20) {
            prop_assert_eq!(format_signed(value, width).chars().count(), width);
            if width >= 8 {
                let parsed: f64 = format_signed(value, width).trim().parse().expect("a number");
                prop_assert!((parsed - value).abs() <= 0.005_001 * value.abs());
            }
        }

        #[test]
        fn places_go_both_ways(
            scale in any_scale(),
            a in -1e6f64..1e6,
            b in -1e6f64..1e6,
            unit in 0.0f64..=1.0,
        ) {
            let domain = Domain::new(a, b);
            let value = scale.from_unit(domain, unit);
            let back = scale.to_unit(domain, value).expect("a number");
            prop_assert!((back - unit).abs() < 1e-6, "{} {} {}", value, unit, back);
        }

        #[test]
        fn places_rise_with_values(
            scale in any_scale(),
            a in prop::num::f64::ANY,
            b in prop::num::f64::ANY,
            mut values in prop::collection::vec(prop::num::f64::ANY, 2..9),
        ) {
            values.sort_by(f64::total_cmp);
            let domain = Domain::new(a, b);
            let places: Vec<f64> =
                values.into_iter().filter_map(|value| scale.to_unit(domain, value)).collect();
            prop_assert!(places.iter().all(|place| (0.0..=1.0).contains(place)));
            prop_assert!(places.is_sorted());
        }

        #[test]
        fn ticks_keep_apart_on_every_axis(
            scale in any_scale(),
            a in prop::num::f64::ANY,
            b in prop::num::f64::ANY,
            cells in 0usize..120,
            vertical in any::<bool>(),
        ) {
            let room = if vertical { Room::rows(cells) } else { Room::Columns { cells } };
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
            let ticks = ticks(scale, Domain::new(a, a + span), Room::rows(rows));
            prop_assert!(ticks.len() >= 2, "{:?}", ticks);
            let labels: std::collections::BTreeSet<_> = shown(&ticks).into_iter().collect();
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
