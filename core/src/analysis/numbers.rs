//! Formatting of numbers: signed ones in a fixed width, losses, shares, speeds.

/// Formats a signed number in exactly `width` columns, right-aligned: `+0.0512`, `-1.23e-4`, `–` for NaN.
///
/// Three significant digits if they fit, else fewer; eight columns fit three digits with any one-digit exponent. If not
/// even one digit fits, the sign is followed by `#`, as in a spreadsheet.
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

/// Formats a loss in nats: five decimals, or three significant digits once it has exploded.
#[must_use]
pub fn loss(nats: f64) -> String {
    decimals(nats, 5)
}

/// Formats a number with `places` decimals, or with three significant digits from 100,000 on.
#[must_use]
pub fn decimals(value: f64, places: usize) -> String {
    if value.abs() < 1e5 {
        format!("{value:.places$}")
    } else {
        format!("{value:.2e}")
    }
}

/// Formats a number that a person chose, such as a learning rate: as written if that is short, else with three
/// significant digits.
#[must_use]
pub fn chosen(value: f64) -> String {
    let exact = value.to_string();
    if exact.len() <= 6 || !value.is_finite() {
        return exact;
    }
    let rounded = significant(value, 2);
    rounded.trim_start_matches('+').to_owned()
}

/// Formats a share of a whole: 0.125 as `12.5%`, more than a hundred times the whole as `1.7e24×`.
#[must_use]
pub fn percent(share: f64, decimals: usize) -> String {
    if share.is_finite() && share.abs() > BEYOND_REASON {
        format!("{share:.1e}×")
    } else {
        format!("{:.decimals$}%", 100.0 * share)
    }
}

/// The multiple of the whole above which a percentage is no longer readable.
pub const BEYOND_REASON: f64 = 100.0;

/// Formats a speed: `28.4 steps/s`, `11 s/step`; a dash if there is none.
#[must_use]
pub fn speed(steps_per_second: f64) -> String {
    let seconds = 1.0 / steps_per_second;
    match seconds {
        _ if steps_per_second.is_nan() || seconds.is_infinite() || seconds <= 0.0 => "–".to_owned(),
        // Speeds that round to 1.0 are given in steps per second.
        _ if steps_per_second >= 0.95 => format!("{steps_per_second:.1} steps/s"),
        _ if seconds < 9.95 => format!("{seconds:.1} s/step"),
        _ if seconds < 1e5 => format!("{seconds:.0} s/step"),
        _ => format!("{seconds:.0e} s/step"),
    }
}

/// Formats with `digits` digits after the first, as a plain number from 0.01 to 9999.
fn significant(value: f64, digits: usize) -> String {
    // Rounding may carry into a new digit (9.996 is 10.0): the exponent is read off afterwards.
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

    #[test]
    fn absurdly_large_numbers_are_short() {
        for (share, text) in [
            (0.1234, "12.3%"),
            (-1.5, "-150.0%"),
            (99.9, "9990.0%"),
            (1.734_955_115_326e22, "1.7e22×"),
            (f64::NAN, "NaN%"),
        ] {
            assert_eq!(percent(share, 1), text);
        }
        for (value, text) in [
            (0.05, "0.05"),
            (0.000_050_000_308_116_713_075, "5.00e-5"),
            (0.049_876_543, "0.0499"),
            (1e-4, "0.0001"),
            (1e-5, "1.00e-5"),
            (123.456_789, "123"),
            (1e20, "1.00e20"),
            (3.0, "3"),
            (0.0, "0"),
        ] {
            assert_eq!(chosen(value), text);
        }
        for (nats, text) in [
            (0.107_154, "0.10715"),
            (99_999.0, "99999.00000"),
            (1.5e12, "1.50e12"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(loss(nats), text);
        }
    }

    #[test]
    fn slow_steps_are_shown_in_seconds() {
        for (rate, text) in [
            (28.44, "28.4 steps/s"),
            (1.0, "1.0 steps/s"),
            (0.96, "1.0 steps/s"),
            (0.9, "1.1 s/step"),
            (0.5, "2.0 s/step"),
            (1.0 / 9.97, "10 s/step"),
            (1.0 / 11.2, "11 s/step"),
            (1.0 / 3600.0, "3600 s/step"),
            (1e-9, "1e9 s/step"),
            (1e6, "1000000.0 steps/s"),
            (0.0, "–"),
            (f64::INFINITY, "–"),
            (f64::NAN, "–"),
            (-1.0, "–"),
        ] {
            assert_eq!(speed(rate), text, "{rate}");
        }
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
    }
}
