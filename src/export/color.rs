//! Colours on white paper: blue helps, orange hurts, and series are distinguishable to colour-blind readers.
//!
//! [`HELP`] and [`HURT`] are the terminal theme's. Up to eight series have colours that were found by a search: as far
//! from each other and from these two as possible, for every kind of colour vision. More are taken from a ramp from dark
//! blue to yellow with rising luminance, which shows their order.

/// An sRGB colour: red, green, blue.
pub type Rgb = [u8; 3];

pub const INK: Rgb = [0x20, 0x20, 0x20];
pub const GREY: Rgb = [0x70, 0x70, 0x70];
pub const GRID: Rgb = [0xe4, 0xe4, 0xe4];
/// Negative LCA: the loss went down.
pub const HELP: Rgb = [0x1f, 0x80, 0xd0];
/// Positive LCA: the loss went up.
pub const HURT: Rgb = [0xd5, 0x5e, 0x00];
/// No measurement.
pub const GAP: Rgb = [0xc0, 0xc0, 0xc0];

/// Neither blue nor orange, which stand for signs.
const SERIES: [Rgb; 8] = [
    [0x55, 0x11, 0xff],
    [0xaa, 0x00, 0x77],
    [0x00, 0x55, 0x00],
    [0x00, 0xcc, 0xaa],
    [0xcc, 0xaa, 0x55],
    [0x33, 0x11, 0x22],
    [0xbb, 0xaa, 0xee],
    [0x00, 0x00, 0x77],
];

/// Dark blue to yellow, evenly spaced.
const RAMP: [Rgb; 5] = [
    [0x08, 0x22, 0x4d],
    [0x3f, 0x4d, 0x70],
    [0x7a, 0x79, 0x7c],
    [0xb8, 0xa7, 0x67],
    [0xf2, 0xdd, 0x40],
];

/// Orange and blue, from the middle of the scale outwards.
const UPWARDS: [Rgb; 4] = [[0xf7; 3], [0xfb, 0xc0, 0x8a], HURT, [0x7a, 0x2e, 0x00]];
const DOWNWARDS: [Rgb; 4] = [[0xf7; 3], [0x9c, 0xcc, 0xf0], HELP, [0x08, 0x3a, 0x70]];

/// Returns the colour of series `index` of `count`.
#[must_use]
pub fn series(index: usize, count: usize) -> Rgb {
    if count <= SERIES.len() {
        return SERIES[index % SERIES.len()];
    }
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 series")]
    along(&RAMP, index as f64 / (count - 1) as f64)
}

/// Returns the colour at a position from -1 (helps) to 1 (hurts); [`GAP`] for NaN.
#[must_use]
pub fn diverging(place: f64) -> Rgb {
    if place.is_nan() {
        GAP
    } else if place < 0.0 {
        along(&DOWNWARDS, -place)
    } else {
        along(&UPWARDS, place)
    }
}

/// Returns the colour of helping or hurting; grey for neither.
#[must_use]
pub fn of_sign(value: f64) -> Rgb {
    if value < 0.0 {
        HELP
    } else if value > 0.0 {
        HURT
    } else {
        GREY
    }
}

/// Interpolates between evenly spaced colours, at `place` (0 to 1).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped to the number of colours, and to a byte between two"
)]
fn along(colors: &[Rgb], place: f64) -> Rgb {
    let at = place.clamp(0.0, 1.0) * (colors.len() - 1) as f64;
    let left = (at as usize).min(colors.len() - 2);
    let share = at - left as f64;
    let mix = |i: usize| {
        let (a, b) = (f64::from(colors[left][i]), f64::from(colors[left + 1][i]));
        (a + (b - a) * share).round() as u8
    };
    [mix(0), mix(1), mix(2)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::{VISIONS, contrasts, distance};

    fn luminance(rgb: Rgb) -> f64 {
        let linear = rgb.map(|byte| {
            let c = f64::from(byte) / 255.0;
            if c <= 0.04045 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    #[test]
    fn both_arms_darken_alike_and_the_middle_is_light() {
        assert_eq!(diverging(0.0), [0xf7; 3]);
        assert_eq!(diverging(f64::NAN), GAP);
        assert_eq!(diverging(-9.0), diverging(-1.0));
        let mut last = [1.0; 2];
        for tenth in 1..=10 {
            let place = f64::from(tenth) / 10.0;
            let both = [diverging(place), diverging(-place)].map(luminance);
            assert!(both[0] < last[0] && both[1] < last[1], "{place}");
            assert!((both[0] - both[1]).abs() < 0.11, "{place}: {both:?}");
            last = both;
        }
    }

    #[test]
    fn series_differ_from_each_other_and_from_signs_for_every_colour_vision() {
        for (at, one) in SERIES.into_iter().enumerate() {
            let [_, on_white] = contrasts(one);
            assert!(on_white > 2.0, "{at}: {on_white}");
            for (name, vision) in &VISIONS {
                let apart = |other| distance(vision, one, other);
                for (before, other) in SERIES.into_iter().enumerate().take(at) {
                    assert!(
                        apart(other) > 27.0,
                        "{name} {at} {before}: {}",
                        apart(other)
                    );
                }
                for sign in [HELP, HURT] {
                    assert!(
                        apart(sign) > 20.0,
                        "{name} {at} and a sign: {}",
                        apart(sign)
                    );
                }
            }
        }
    }

    #[test]
    fn many_series_rise_in_luminance() {
        let colors: Vec<f64> = (0..22).map(|i| luminance(series(i, 22))).collect();
        assert!(colors.windows(2).all(|pair| pair[0] < pair[1]));
        let few: std::collections::HashSet<Rgb> = (0..8).map(|i| series(i, 8)).collect();
        assert_eq!(few.len(), 8);
    }
}
