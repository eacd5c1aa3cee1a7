//! The user's colours in place of the theme's.

use ratatui::style::{Color, Style};

use super::theme::{ColorLevel, Theme};

/// A colour of the theme that can be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Paint {
    Help,
    Hurt,
    HeldOut,
    Accent,
    Dim,
    Warning,
    Error,
    Live,
}

impl Paint {
    pub const ALL: [Self; 8] = [
        Self::Help,
        Self::Hurt,
        Self::HeldOut,
        Self::Accent,
        Self::Dim,
        Self::Warning,
        Self::Error,
        Self::Live,
    ];

    /// Its name in the configuration, and what it colours.
    #[must_use]
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Help => ("help", "negative LCA: what lowered the loss"),
            Self::Hurt => ("hurt", "positive LCA: what raised it"),
            Self::HeldOut => ("held-out", "the held-out loss"),
            Self::Accent => ("accent", "what is active, and keys"),
            Self::Dim => ("dim", "axes, hints, heads of columns"),
            Self::Warning => ("warning", "a residual above tolerance"),
            Self::Error => ("error", "what has gone wrong"),
            Self::Live => ("live", "the mark of a live run"),
        }
    }

    /// The styles that have the colour.
    fn styles(self, theme: &mut Theme) -> Vec<&mut Style> {
        match self {
            Self::Help => vec![&mut theme.help],
            Self::Hurt => vec![&mut theme.hurt],
            Self::HeldOut => vec![&mut theme.held_out],
            Self::Accent => vec![&mut theme.accent, &mut theme.key],
            Self::Dim => vec![&mut theme.dim, &mut theme.header, &mut theme.neutral],
            Self::Warning => vec![&mut theme.warning],
            Self::Error => vec![&mut theme.error],
            Self::Live => vec![&mut theme.live],
        }
    }
}

impl Theme {
    /// The theme with other colours, each red, green and blue. With 256 colours the nearest is taken;
    /// with fewer the theme stays as it is.
    #[must_use]
    pub fn painted(mut self, colors: &[(Paint, [u8; 3])]) -> Self {
        for (paint, [red, green, blue]) in colors {
            let color = match self.colors {
                ColorLevel::TrueColor => Color::Rgb(*red, *green, *blue),
                ColorLevel::Ansi256 => Color::Indexed(nearest([*red, *green, *blue])),
                ColorLevel::Ansi16 | ColorLevel::None => continue,
            };
            for style in paint.styles(&mut self) {
                *style = style.fg(color);
            }
        }
        self
    }
}

/// The nearest of the 256 colours' cube (16 to 231) and greys (232 to 255).
fn nearest(rgb: [u8; 3]) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let color = |index: u8| match index {
        232.. => [8 + 10 * (index - 232); 3],
        _ => {
            let place = usize::from(index - 16);
            [place / 36, place / 6 % 6, place % 6].map(|level| LEVELS[level])
        }
    };
    let distance = |index: &u8| {
        let parts = color(*index).into_iter().zip(rgb);
        parts
            .map(|(a, b)| u32::from(a.abs_diff(b)).pow(2))
            .sum::<u32>()
    };
    (16..=255).min_by_key(distance).unwrap_or(16)
}

#[cfg(test)]
mod tests {
    use super::super::theme::Glyphs;
    use super::*;

    #[test]
    fn the_nearest_colour_is_found() {
        for (rgb, index) in [
            ([0, 0, 0], 16),
            ([255, 255, 255], 231),
            ([0, 135, 215], 32),
            ([1, 130, 220], 32),
            ([128, 128, 128], 244),
        ] {
            assert_eq!(nearest(rgb), index, "{rgb:?}");
        }
    }

    #[test]
    fn only_what_is_named_changes_and_only_its_colour() {
        let colors = [(Paint::Warning, [0, 135, 215])];
        let plain = Theme::new(ColorLevel::TrueColor, Glyphs::Braille);
        let painted = plain.clone().painted(&colors);
        assert_eq!(painted.warning, plain.warning.fg(Color::Rgb(0, 135, 215)));
        let back = Theme {
            warning: plain.warning,
            ..painted
        };
        assert_eq!(back, plain);
        let of = |level| Theme::new(level, Glyphs::Braille);
        let some = of(ColorLevel::Ansi256).painted(&colors);
        assert_eq!(some.warning.fg, Some(Color::Indexed(32)));
        for level in [ColorLevel::Ansi16, ColorLevel::None] {
            assert_eq!(of(level).painted(&colors), of(level));
        }
    }

    #[test]
    fn every_paint_paints_something_of_its_own() {
        let plain = Theme::new(ColorLevel::TrueColor, Glyphs::Braille);
        for paint in Paint::ALL {
            let painted = plain.clone().painted(&[(paint, [1, 2, 3])]);
            assert_ne!(painted, plain, "{paint:?}");
        }
    }
}
