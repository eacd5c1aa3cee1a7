//! The look of every screen: glyph sets, colour levels and named styles.
//!
//! Blue helps, orange hurts; both, and the third colour beside them, remain distinct to colour-blind eyes. Every colour
//! has a middle luminance, so that it is legible on a dark and on a light background without asking the terminal which
//! it has. The numbers beside the swatches are WCAG contrast ratios against black and white; a test recomputes them.

use std::fmt;
use std::str::FromStr;

use ratatui::style::{Color, Modifier, Style};
use thiserror::Error;

/// A word that is none of those offered.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unknown value '{given}' ({offered})")]
pub struct UnknownWord {
    given: String,
    offered: &'static str,
}

impl UnknownWord {
    pub(super) fn new(given: &str, offered: &'static str) -> Self {
        Self {
            given: given.to_owned(),
            offered,
        }
    }
}

/// The glyph set of charts, finest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// `⣇⣀` 2×4 dots a cell.
    #[default]
    Braille,
    /// `▀▄█` 1×2 dots a cell.
    Blocks,
    /// `+-#` one dot a cell, nothing outside ASCII.
    Ascii,
}

impl Glyphs {
    /// Columns and rows of dots in one cell.
    #[must_use]
    pub fn dots_per_cell(self) -> (u16, u16) {
        match self {
            Self::Braille => (2, 4),
            Self::Blocks => (1, 2),
            Self::Ascii => (1, 1),
        }
    }
}

impl Glyphs {
    /// Detects the glyph set from the environment: ASCII if the locale (`LC_ALL`, `LC_CTYPE` or `LANG`, the first that
    /// is set) is not UTF-8, and on the Linux console, whose font has no more.
    ///
    /// Without any of the three the locale is `C`, and tmux and screen then draw everything else as `_`. Where the
    /// terminal could do more, as in a container without a locale, ASCII is still readable.
    pub fn detect(env: impl Fn(&str) -> Option<String>) -> Self {
        let word = |name| env(name).unwrap_or_default().to_ascii_lowercase();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(word);
        let locale = locale.into_iter().find(|locale| !locale.is_empty());
        let is_utf8 = locale.is_some_and(|it| it.contains("utf-8") || it.contains("utf8"));
        if is_utf8 && !word("TERM").starts_with("linux") {
            Self::Braille
        } else {
            Self::Ascii
        }
    }
}

/// The number of colours the terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorLevel {
    TrueColor,
    Ansi256,
    Ansi16,
    /// Bold, dim, underline and reverse only.
    None,
}

/// Terminals with true colour that say so in `TERM`, which an SSH session passes on (unlike `COLORTERM`).
const TRUE_COLOR_TERMS: [&str; 6] = ["kitty", "alacritty", "foot", "wezterm", "ghostty", "direct"];

impl ColorLevel {
    /// Detects the level from the environment: `NO_COLOR`, `COLORTERM`, `TERM`.
    pub fn detect(env: impl Fn(&str) -> Option<String>) -> Self {
        let word = |name| env(name).unwrap_or_default().to_ascii_lowercase();
        let term = word("TERM");
        if !word("NO_COLOR").is_empty() || ["", "dumb"].contains(&term.as_str()) {
            Self::None
        } else if ["truecolor", "24bit"].contains(&word("COLORTERM").as_str())
            || TRUE_COLOR_TERMS.iter().any(|name| term.contains(name))
        {
            Self::TrueColor
        } else if term.contains("256color") {
            Self::Ansi256
        } else if term.starts_with("vt1") || term.starts_with("vt2") {
            Self::None
        } else {
            // The Linux console, and anything else in use today.
            Self::Ansi16
        }
    }
}

impl fmt::Display for ColorLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TrueColor => "truecolor",
            Self::Ansi256 => "256",
            Self::Ansi16 => "16",
            Self::None => "none",
        })
    }
}

impl FromStr for ColorLevel {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        [Self::TrueColor, Self::Ansi256, Self::Ansi16, Self::None]
            .into_iter()
            .find(|level| level.to_string() == word)
            .ok_or_else(|| UnknownWord {
                given: word.to_owned(),
                offered: "truecolor, 256, 16, none",
            })
    }
}

/// One colour at the three levels; with `None` a modifier takes its place.
#[derive(Clone, Copy)]
struct Swatch {
    rgb: [u8; 3],
    ansi256: u8,
    ansi16: Option<Color>,
}

const fn swatch(rgb: [u8; 3], ansi256: u8, ansi16: Option<Color>) -> Swatch {
    Swatch {
        rgb,
        ansi256,
        ansi16,
    }
}

// Contrast against black and white: of the true colour, then of the 256-colour one. The 16 colours are the user's own
// palette; those chosen here have 3 or more against both in xterm's, where green, yellow and cyan vanish on white, and
// dark blue on black.
const BLUE: Swatch = swatch([0x1f, 0x80, 0xd0], 32, Some(Color::LightBlue)); // 5.1 4.2   5.4 3.9
const ORANGE: Swatch = swatch([0xd5, 0x5e, 0x00], 166, Some(Color::Red)); //    5.4 3.9   5.5 3.8
const ROSE: Swatch = swatch([0xb5, 0x64, 0x8d], 132, Some(Color::Magenta)); //  5.2 4.1   4.8 4.4
const GREEN: Swatch = swatch([0x0a, 0x8a, 0x66], 29, None); //                  4.8 4.3   4.6 4.5
const TEAL: Swatch = swatch([0x0e, 0x8f, 0x9e], 30, Some(Color::LightBlue)); // 5.4 3.9   4.8 4.4
const AMBER: Swatch = swatch([0xa8, 0x7b, 0x00], 136, Some(Color::Magenta)); // 5.5 3.8   6.3 3.3
const RED: Swatch = swatch([0xd3, 0x2f, 0x2f], 160, Some(Color::Red)); //       4.2 5.0   3.9 5.4
const GREY: Swatch = swatch([0x80, 0x80, 0x80], 244, None); //                  5.3 3.9   5.3 3.9

impl Swatch {
    fn at(self, level: ColorLevel) -> Option<Color> {
        let [red, green, blue] = self.rgb;
        match level {
            ColorLevel::TrueColor => Some(Color::Rgb(red, green, blue)),
            ColorLevel::Ansi256 => Some(Color::Indexed(self.ansi256)),
            ColorLevel::Ansi16 => self.ansi16,
            ColorLevel::None => None,
        }
    }
}

/// The named styles.
///
/// [`Theme::cursor`] and [`Theme::selected`] are both reverse video: a chart in a selected row un-reverses its cursor
/// column, provided the row's style is in the buffer before the chart is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Theme {
    pub colors: ColorLevel,
    pub glyphs: Glyphs,
    /// Negative LCA: the loss went down.
    pub help: Style,
    /// Positive LCA: the loss went up.
    pub hurt: Style,
    /// An LCA of zero, and NaN.
    pub neutral: Style,
    /// The training loss: the terminal's own text colour in bold, the most legible of all.
    pub train: Style,
    /// The held-out loss.
    pub held_out: Style,
    pub title: Style,
    /// The active element, such as a tab or the focused pane.
    pub accent: Style,
    /// Axes, hints and other secondary text.
    pub dim: Style,
    /// Column headings of a table.
    pub header: Style,
    /// The selected row.
    pub selected: Style,
    /// The cursor's column.
    pub cursor: Style,
    pub warning: Style,
    pub error: Style,
    /// The mark of a live run.
    pub live: Style,
    /// A key in a hint.
    pub key: Style,
}

impl Theme {
    #[must_use]
    pub fn new(colors: ColorLevel, glyphs: Glyphs) -> Self {
        let plain = Style::new();
        // Without colours, modifiers distinguish the styles.
        let colored = |swatch: Swatch, otherwise: Modifier| match swatch.at(colors) {
            Some(color) => plain.fg(color),
            None => plain.add_modifier(otherwise),
        };
        let reverse = plain.add_modifier(Modifier::REVERSED);
        Self {
            colors,
            glyphs,
            help: colored(BLUE, Modifier::empty()),
            hurt: colored(ORANGE, Modifier::BOLD),
            neutral: colored(GREY, Modifier::empty()),
            train: plain.add_modifier(Modifier::BOLD),
            held_out: colored(ROSE, Modifier::DIM),
            title: plain.add_modifier(Modifier::BOLD),
            accent: colored(TEAL, Modifier::UNDERLINED).add_modifier(Modifier::BOLD),
            dim: colored(GREY, Modifier::DIM),
            header: colored(GREY, Modifier::UNDERLINED).add_modifier(Modifier::BOLD),
            selected: reverse,
            cursor: reverse,
            warning: colored(AMBER, Modifier::BOLD),
            error: colored(RED, Modifier::REVERSED).add_modifier(Modifier::BOLD),
            live: colored(GREEN, Modifier::empty()).add_modifier(Modifier::BOLD),
            key: colored(TEAL, Modifier::empty()).add_modifier(Modifier::BOLD),
        }
    }

    /// The style of an LCA value, by its sign.
    #[must_use]
    pub fn of_sign(&self, lca: f64) -> Style {
        match lca {
            lca if lca < 0.0 => self.help,
            lca if lca > 0.0 => self.hurt,
            _ => Style::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::{VISIONS, contrasts, distance, rgb_of};

    const SWATCHES: [Swatch; 8] = [BLUE, ORANGE, ROSE, GREEN, TEAL, AMBER, RED, GREY];

    #[test]
    fn contrasts_are_those_in_the_comments() {
        let source = include_str!("theme.rs");
        let documented: Vec<&str> = source
            .lines()
            .filter(|line| line.starts_with("const ") && line.contains(": Swatch = "))
            .map(|line| line.rsplit("//").next().unwrap_or_default().trim())
            .collect();
        let computed = SWATCHES.map(|swatch| {
            let [dark, light] = contrasts(swatch.rgb);
            let [dark256, light256] = contrasts(rgb_of(swatch.ansi256));
            assert!(dark.min(light).min(dark256).min(light256) >= 3.0);
            format!("{dark:.1} {light:.1}   {dark256:.1} {light256:.1}")
        });
        assert_eq!(documented, computed);
    }

    #[test]
    fn the_sixteen_read_on_black_and_white_in_xterm() {
        for color in SWATCHES.iter().filter_map(|swatch| swatch.ansi16) {
            let rgb = match color {
                Color::LightBlue => [0x5c, 0x5c, 0xff],
                Color::Red => [0xcd, 0x00, 0x00],
                Color::Magenta => [0xcd, 0x00, 0xcd],
                other => panic!("look {other} up"),
            };
            assert!(contrasts(rgb).into_iter().all(|ratio| ratio >= 3.0));
        }
    }

    #[test]
    fn help_hurt_and_held_out_differ_for_every_colour_vision() {
        let index = |swatch: Swatch| rgb_of(swatch.ansi256);
        for (name, vision) in &VISIONS {
            for to_rgb in [|swatch: Swatch| swatch.rgb, index] {
                let apart = |a, b| distance(vision, to_rgb(a), to_rgb(b));
                assert!(apart(BLUE, ORANGE) > 90.0, "{name}");
                assert!(apart(BLUE, ROSE) > 25.0, "{name} {}", apart(BLUE, ROSE));
                assert!(apart(ORANGE, ROSE) > 25.0, "{name} {}", apart(ORANGE, ROSE));
            }
        }
    }

    fn styles(theme: &Theme) -> [Style; 15] {
        [
            theme.help,
            theme.hurt,
            theme.neutral,
            theme.train,
            theme.held_out,
            theme.title,
            theme.accent,
            theme.dim,
            theme.header,
            theme.selected,
            theme.cursor,
            theme.warning,
            theme.error,
            theme.live,
            theme.key,
        ]
    }

    #[test]
    fn without_colours_no_style_has_one() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        for style in styles(&theme) {
            assert_eq!((style.fg, style.bg), (None, None));
        }
        assert_ne!(theme.help, theme.hurt);
        assert_ne!(theme.train, theme.held_out);
        assert_ne!(theme.warning, theme.error);
    }

    #[test]
    fn a_level_uses_its_own_colours_only() {
        for (level, fits) in [
            (
                ColorLevel::TrueColor,
                (|c| matches!(c, Color::Rgb(..))) as fn(Color) -> bool,
            ),
            (ColorLevel::Ansi256, |c| matches!(c, Color::Indexed(16..))),
            (ColorLevel::Ansi16, |c| {
                !matches!(c, Color::Rgb(..) | Color::Indexed(_))
            }),
        ] {
            for style in styles(&Theme::new(level, Glyphs::Braille)) {
                assert!(style.fg.is_none_or(fits), "{level} {style:?}");
            }
        }
    }

    #[test]
    fn the_environment_selects_the_colour_level() {
        for (no_color, colorterm, term, expected) in [
            ("", "truecolor", "xterm-256color", ColorLevel::TrueColor),
            ("", "24bit", "linux", ColorLevel::TrueColor),
            ("1", "truecolor", "xterm-256color", ColorLevel::None),
            ("", "", "screen-256color", ColorLevel::Ansi256),
            ("", "", "xterm-kitty", ColorLevel::TrueColor),
            ("", "", "xterm-direct", ColorLevel::TrueColor),
            ("", "", "xterm", ColorLevel::Ansi16),
            ("", "", "linux", ColorLevel::Ansi16),
            ("", "", "vt220", ColorLevel::None),
            ("", "truecolor", "dumb", ColorLevel::None),
            ("", "", "", ColorLevel::None),
        ] {
            let level = ColorLevel::detect(|name| {
                let value = match name {
                    "NO_COLOR" => no_color,
                    "COLORTERM" => colorterm,
                    "TERM" => term,
                    _ => return None,
                };
                Some(value.to_owned())
            });
            assert_eq!(level, expected, "{no_color:?} {colorterm:?} {term:?}");
        }
        assert_eq!(ColorLevel::detect(|_| None), ColorLevel::None);
    }

    #[test]
    fn the_locale_selects_the_glyphs() {
        let utf8 = "xterm-256color";
        for (all, ctype, lang, term, expected) in [
            ("", "", "en_US.UTF-8", utf8, Glyphs::Braille),
            ("", "", "de_DE.utf8@euro", utf8, Glyphs::Braille),
            ("C.UTF-8", "", "", utf8, Glyphs::Braille),
            ("", "UTF-8", "C", utf8, Glyphs::Braille),
            ("C", "", "en_US.UTF-8", utf8, Glyphs::Ascii),
            ("POSIX", "", "", utf8, Glyphs::Ascii),
            ("", "C", "en_US.UTF-8", utf8, Glyphs::Ascii),
            ("", "", "en_US", utf8, Glyphs::Ascii),
            ("", "", "de_DE.ISO-8859-15", utf8, Glyphs::Ascii),
            ("", "", "", utf8, Glyphs::Ascii),
            ("", "", "en_US.UTF-8", "linux", Glyphs::Ascii),
            ("", "", "en_US.UTF-8", "linux-16color", Glyphs::Ascii),
        ] {
            let glyphs = Glyphs::detect(|name| {
                let value = match name {
                    "LC_ALL" => all,
                    "LC_CTYPE" => ctype,
                    "LANG" => lang,
                    "TERM" => term,
                    _ => return None,
                };
                Some(value.to_owned())
            });
            assert_eq!(glyphs, expected, "{all:?} {ctype:?} {lang:?} {term:?}");
        }
        assert_eq!(Glyphs::detect(|_| None), Glyphs::Ascii);
    }

    #[test]
    fn names_and_values_round_trip() {
        for level in ["truecolor", "256", "16", "none"] {
            assert_eq!(
                level.parse().map(|level: ColorLevel| level.to_string()),
                Ok(level.to_owned())
            );
        }
        let error = "8".parse::<ColorLevel>().expect_err("not offered");
        assert_eq!(
            error.to_string(),
            "unknown value '8' (truecolor, 256, 16, none)"
        );
    }
}
