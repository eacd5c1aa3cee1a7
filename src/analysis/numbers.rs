//! Signed numbers in a fixed width.

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
