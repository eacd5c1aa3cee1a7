//! User-defined colours that replace the theme's.

use std::fmt;
use std::str::FromStr;

use ratatui::style::{Color, Style};

use super::theme::{ColorLevel, Theme, UnknownWord};

/// The terminal's background. The theme's own colours are legible on any; those for a dark or a light one are more
/// legible there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    /// Unknown: colours of middle luminance.
    #[default]
    Auto,
    Dark,
    Light,
}

impl Background {
    const ALL: [Self; 3] = [Self::Auto, Self::Dark, Self::Light];

    /// Colours that replace the theme's, in the same hues.
    #[must_use]
    pub fn colors(self) -> Vec<(Paint, [u8; 3])> {
        let colors: [[u8; 3]; 8] = match self {
            Self::Auto => return Vec::new(),
            Self::Dark => [
                [0x5f, 0xaf, 0xff],
                [0xff, 0x87, 0x2f],
                [0xd7, 0x87, 0xaf],
                [0x2f, 0xc3, 0xd4],
                [0xa8, 0xa8, 0xa8],
                [0xd7, 0xaf, 0x2f],
                [0xff, 0x6b, 0x6b],
                [0x3f, 0xc8, 0x9a],
            ],
            Self::Light => [
                [0x00, 0x5f, 0xaf],
                [0xaf, 0x43, 0x00],
                [0x8f, 0x3f, 0x6b],
                [0x00, 0x66, 0x70],
                [0x5f, 0x5f, 0x5f],
                [0x7a, 0x58, 0x00],
                [0xaf, 0x1f, 0x1f],
                [0x00, 0x66, 0x4a],
            ],
        };
        Paint::ALL.into_iter().zip(colors).collect()
    }
}

impl fmt::Display for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Dark => "dark",
            Self::Light => "light",
        })
    }
}

impl FromStr for Background {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|background| background.to_string() == word);
        found.ok_or_else(|| UnknownWord::new(word, "auto, dark, light"))
    }
}

/// A theme colour that can be replaced.
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
            Self::Help => ("help", "negative LCA: lowered the loss"),
            Self::Hurt => ("hurt", "positive LCA: raised the loss"),
            Self::HeldOut => ("held-out", "the held-out loss"),
            Self::Accent => ("accent", "active elements and keys"),
            Self::Dim => ("dim", "axes, hints, column heads"),
            Self::Warning => ("warning", "a residual above the tolerance"),
            Self::Error => ("error", "errors"),
            Self::Live => ("live", "the state of a live run"),
        }
    }

    /// The styles that use the colour.
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
    /// Returns the theme with other colours, given as red, green and blue. With 256 colours the nearest is used; with
    /// fewer the theme stays as it is.
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

/// The nearest colour of the 256: of the cube (16 to 231) or the greys (232 to 255).
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

    /// WCAG 2 relative luminance.
    fn luminance(rgb: [u8; 3]) -> f64 {
        let [r, g, b] = rgb.map(|byte| {
            let c = f64::from(byte) / 255.0;
            if c <= 0.04045 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    #[test]
    fn a_known_background_has_more_contrast() {
        for (paint, rgb) in Background::Dark.colors() {
            assert!((luminance(rgb) + 0.05) / 0.05 >= 7.0, "{paint:?} on black");
        }
        for (paint, rgb) in Background::Light.colors() {
            assert!(1.05 / (luminance(rgb) + 0.05) >= 5.5, "{paint:?} on white");
        }
        for background in Background::ALL {
            assert_eq!(background.to_string().parse(), Ok(background));
        }
        assert!("grey".parse::<Background>().is_err());
    }

    #[test]
    fn only_the_named_colours_change() {
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
    fn every_colour_name_changes_the_theme() {
        let plain = Theme::new(ColorLevel::TrueColor, Glyphs::Braille);
        for paint in Paint::ALL {
            let painted = plain.clone().painted(&[(paint, [1, 2, 3])]);
            assert_ne!(painted, plain, "{paint:?}");
        }
    }
}
