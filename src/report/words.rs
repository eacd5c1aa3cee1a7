//! Formats numbers and texts for reading. The spaces in a number (`1.5 ± 0.1`, `2 × 10⁻⁷`) are non-breaking.

/// Reduces a name to letters, digits and dashes.
pub fn slug(name: &str) -> String {
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric());
    let parts: Vec<String> = (parts.filter(|part| !part.is_empty()))
        .map(str::to_ascii_lowercase)
        .collect();
    if parts.is_empty() {
        "numbers".to_owned()
    } else {
        parts.join("-")
    }
}

/// Formats a number with four significant figures: `−1.234`, `1.234 × 10⁻⁷`; a dash for NaN.
pub fn number(value: f64) -> String {
    figures(value, 4)
}

/// Formats a number with at most `figures` significant figures, without trailing zeros.
pub fn figures(value: f64, figures: usize) -> String {
    if value.is_nan() {
        return "–".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "−∞" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let (exponent, mantissa) = exponent_and_mantissa(value, figures);
    if !(-4..6).contains(&exponent) {
        return format!(
            "{}\u{a0}×\u{a0}10{}",
            with_minus_signs(trimmed(&mantissa)),
            superscript(exponent)
        );
    }
    let places = i32::try_from(figures).unwrap_or(4) - 1 - exponent;
    let text = format!("{value:.*}", usize::try_from(places).unwrap_or(0));
    with_minus_signs(trimmed(&text))
}

/// Returns the power of ten after rounding, and the mantissa.
fn exponent_and_mantissa(value: f64, figures: usize) -> (i32, String) {
    let text = format!("{value:.*e}", figures.saturating_sub(1));
    match text.split_once('e') {
        Some((mantissa, exponent)) => (exponent.parse().unwrap_or(0), mantissa.to_owned()),
        None => (0, text),
    }
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

fn with_minus_signs(text: &str) -> String {
    text.replace('-', "−")
}

fn superscript(exponent: i32) -> String {
    let digit = |c| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' => '⁰',
        // Superscripts four to nine are consecutive.
        c => char::from_u32(0x2070 + u32::from(c) - u32::from('0')).unwrap_or(c),
    };
    exponent.to_string().chars().map(digit).collect()
}

/// Formats `−1.234 ± 0.020`: two significant figures of the error, and as many decimal places of the number; the number
/// alone if it has no error.
pub fn with_error(value: f64, error: f64) -> String {
    if error.is_nan() || value.is_nan() {
        return number(value);
    }
    if error == 0.0 || error.is_infinite() || value.is_infinite() {
        return format!("{}\u{a0}±\u{a0}{}", number(value), figures(error, 2));
    }
    let (least, _) = exponent_and_mantissa(error, 2);
    let (most, _) = exponent_and_mantissa(value.abs().max(error), 4);
    if most - least > 7 || most < -300 {
        return format!("{}\u{a0}±\u{a0}{}", number(value), figures(error, 2));
    }
    if !(-4..6).contains(&most) {
        let unit = 10_f64.powi(most);
        let places = usize::try_from(1 + most - least).unwrap_or(0);
        let text = format!(
            "({:.places$}\u{a0}±\u{a0}{:.places$})",
            value / unit,
            error / unit
        );
        return format!(
            "{}\u{a0}×\u{a0}10{}",
            with_minus_signs(&text),
            superscript(most)
        );
    }
    let places = usize::try_from(1 - least).unwrap_or(0);
    with_minus_signs(&format!("{value:.places$}\u{a0}±\u{a0}{error:.places$}"))
}

/// Formats a p-value: three decimal places, or two significant figures below 0.001.
pub fn p_value(p: f64) -> String {
    match p {
        p if p.is_nan() => "–".to_owned(),
        p if p >= 0.001 => format!("{p:.3}"),
        p if p > 0.0 => {
            let (exponent, mantissa) = exponent_and_mantissa(p, 2);
            format!("{mantissa}\u{a0}×\u{a0}10{}", superscript(exponent))
        }
        _ => "0".to_owned(),
    }
}

/// Formats a count: `12,345`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a count with its noun: `1 run`, `3 runs`.
pub fn counted(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {what}{s}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_figures() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-0.123_456, "−0.1235"),
            (99_996.0, "99996"),
            (12_345.678, "12346"),
            (1e6, "1\u{a0}×\u{a0}10⁶"),
            (0.000_123_4, "0.0001234"),
            (-1.234_56e-7, "−1.235\u{a0}×\u{a0}10⁻⁷"),
            (9.999_96e-5, "0.0001"),
            (f64::NAN, "–"),
            (f64::NEG_INFINITY, "−∞"),
            (5e-324, "4.941\u{a0}×\u{a0}10⁻³²⁴"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
        assert_eq!(with_error(-1.5, 0.123), "−1.50\u{a0}±\u{a0}0.12");
        let tiny = "4\u{a0}×\u{a0}10⁻³²⁰\u{a0}±\u{a0}5\u{a0}×\u{a0}10⁻³²¹";
        assert_eq!(with_error(4e-320, 5e-321), tiny);
        assert_eq!(with_error(2.0, 0.0), "2\u{a0}±\u{a0}0");
        assert_eq!(with_error(1234.5, 345.0), "1234\u{a0}±\u{a0}345");
        assert_eq!(
            with_error(-1.234e-7, 2e-9),
            "(−1.234\u{a0}±\u{a0}0.020)\u{a0}×\u{a0}10⁻⁷"
        );
        assert_eq!(
            with_error(0.0, 3e-5),
            "(0.0\u{a0}±\u{a0}3.0)\u{a0}×\u{a0}10⁻⁵"
        );
        assert_eq!(
            with_error(1.0, 5e-324),
            "1\u{a0}±\u{a0}4.9\u{a0}×\u{a0}10⁻³²⁴"
        );
        assert_eq!(with_error(1.5, f64::NAN), "1.5");
        assert_eq!(p_value(0.0123), "0.012");
        assert_eq!(p_value(9.999e-5), "1.0\u{a0}×\u{a0}10⁻⁴");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(999), "999");
    }

    #[test]
    fn a_slug_has_letters_and_digits() {
        assert_eq!(slug("../LCA by layer: <x>"), "lca-by-layer-x");
        assert_eq!(slug("é/"), "numbers");
    }
}
