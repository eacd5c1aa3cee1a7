//! Words and numbers as the screens write them.

use crate::tui::theme::{Glyphs, Theme};

/// The first where the terminal shows more than ASCII, else the second.
pub fn either(theme: &Theme, unicode: &'static str, ascii: &'static str) -> &'static str {
    match theme.glyphs {
        Glyphs::Ascii => ascii,
        Glyphs::Braille | Glyphs::Blocks => unicode,
    }
}

/// A loss in nats: five decimals, or three digits once it has exploded.
pub fn loss(nats: f64) -> String {
    if nats.abs() < 1e5 {
        format!("{nats:.5}")
    } else {
        format!("{nats:.2e}")
    }
}

/// A share as a percentage in six columns: ` 52.1%`; blank for NaN.
pub fn percent(share: f64) -> String {
    if share.is_finite() {
        format!("{:5.1}%", share * 100.0)
    } else {
        " ".repeat(6)
    }
}

/// A number of steps in six columns: `  6.7`, ` never`; blank for NaN.
pub fn every(steps: f64) -> String {
    if steps.is_nan() {
        " ".repeat(6)
    } else if steps.is_infinite() {
        " never".to_owned()
    } else if steps < 1000.0 {
        format!("{steps:6.1}")
    } else {
        format!("{steps:6.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_columns() {
        for share in [0.0, 0.521, 1.0, f64::NAN] {
            assert_eq!(percent(share).chars().count(), 6);
        }
        for steps in [1.0, 6.66, 999.9, 12345.0, f64::INFINITY, f64::NAN] {
            assert_eq!(every(steps).chars().count(), 6);
        }
    }
}
