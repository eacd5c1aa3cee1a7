//! Colours of signed values, and pens for many series.
//!
//! ```text
//!               -1         0         +1     blue helps, orange hurts
//! truecolor     light … deep dark deep … light        smooth
//! 256           117 39 31 24  235  94 130 208 215     four steps a side
//! 16            cyan light-blue blue  black  red light-red yellow
//! none          ▓  ▒  ░             ╵  ┼  ╬           NaN ·
//!   and ASCII   =  -  _             '  +  #           NaN .
//! ```
//!
//! A value's colour is the cell's background, with a legible foreground on it, so the terminal's own background does
//! not matter. Lightness shows the magnitude, alike on both sides; hue shows the sign. NaN is grey. Without colours
//! each sign has its own glyphs, denser for larger magnitudes, and only an exact zero is blank.

use ratatui::style::{Color, Style};

use super::theme::{ColorLevel, Glyphs, Theme};
use super::widget::Pen;

/// Stops of the ramp, from zero outwards.
const HELP: [[u8; 3]; 4] = [
    [0x26, 0x26, 0x26],
    [0x0a, 0x4a, 0x80],
    [0x1f, 0x86, 0xd8],
    [0x6f, 0xc4, 0xff],
];
const HURT: [[u8; 3]; 4] = [
    [0x26, 0x26, 0x26],
    [0x74, 0x3a, 0x00],
    [0xd4, 0x6a, 0x10],
    [0xff, 0xad, 0x5c],
];
const HELP_256: [u8; 5] = [235, 24, 31, 39, 117];
const HURT_256: [u8; 5] = [235, 94, 130, 208, 215];
const HELP_16: [Color; 4] = [
    Color::Black,
    Color::Blue,
    Color::LightBlue,
    Color::LightCyan,
];
const HURT_16: [Color; 4] = [
    Color::Black,
    Color::Red,
    Color::LightRed,
    Color::LightYellow,
];

/// Colours of series without order or sign, of middle luminance like the named styles, and none like those of help and
/// hurt. The true colours equal those of the 256.
const CATEGORIES: [(u8, [u8; 3]); 8] = [
    (93, [135, 0, 255]),
    (65, [95, 135, 95]),
    (126, [175, 0, 135]),
    (102, [135, 135, 135]),
    (200, [255, 0, 215]),
    (139, [175, 135, 175]),
    (99, [135, 95, 255]),
    (59, [95, 95, 95]),
];
/// Those of the 16 colours that are legible on both black and white in xterm and do not stand for a sign.
const CATEGORIES_16: [Color; 2] = [Color::Magenta, Color::DarkGray];
const MARKS: [char; 8] = ['*', 'o', '+', 'x', '%', '@', '&', '~'];

impl Theme {
    /// The number of series that [`Theme::category`] distinguishes.
    pub const CATEGORIES: usize = MARKS.len();

    /// Whether colours alone can distinguish this many series; otherwise marks or letters must.
    #[must_use]
    pub fn colors_tell(&self, series: usize) -> bool {
        series
            <= match self.colors {
                ColorLevel::TrueColor | ColorLevel::Ansi256 => CATEGORIES.len(),
                ColorLevel::Ansi16 => CATEGORIES_16.len(),
                ColorLevel::None => 1,
            }
    }

    /// Whether curves of this many series need marks: because there are too few colours, or only ASCII glyphs.
    #[must_use]
    pub fn needs_marks(&self, series: usize) -> bool {
        self.glyphs == Glyphs::Ascii || !self.colors_tell(series)
    }

    /// The style of a cell for a value from -1 (full help) to +1 (full hurt); values beyond are clamped. With colours
    /// it sets the background, and a foreground that is legible on it.
    #[must_use]
    pub fn signed(&self, unit: f64) -> Style {
        let Some(color) = self.signed_color(unit) else {
            return match unit {
                unit if unit.is_nan() => self.dim,
                unit if unit < 0.0 => self.help,
                unit if unit > 0.0 => self.hurt,
                _ => self.neutral,
            };
        };
        Style::new().bg(color).fg(ink(color))
    }

    /// The colour of [`Theme::signed`], for half a cell; `None` if the terminal has no colours.
    #[must_use]
    pub fn signed_color(&self, unit: f64) -> Option<Color> {
        let strength = unit.abs().min(1.0);
        let helps = unit < 0.0;
        Some(match self.colors {
            ColorLevel::None => return None,
            ColorLevel::TrueColor if unit.is_nan() => Color::Rgb(0x80, 0x80, 0x80),
            ColorLevel::Ansi256 if unit.is_nan() => Color::Indexed(244),
            ColorLevel::Ansi16 if unit.is_nan() => Color::DarkGray,
            ColorLevel::TrueColor => smooth(if helps { HELP } else { HURT }, strength),
            ColorLevel::Ansi256 => {
                Color::Indexed(nearest(if helps { HELP_256 } else { HURT_256 }, strength))
            }
            ColorLevel::Ansi16 => nearest(if helps { HELP_16 } else { HURT_16 }, strength),
        })
    }

    /// The glyph of a signed value where there are no colours; only zero is blank.
    #[must_use]
    pub fn signed_glyph(&self, unit: f64) -> char {
        let ascii = self.glyphs == Glyphs::Ascii;
        let sides = if ascii {
            [['_', '-', '='], ['\'', '+', '#']]
        } else {
            [['░', '▒', '▓'], ['╵', '┼', '╬']]
        };
        if unit.is_nan() {
            return if ascii { '.' } else { '·' };
        }
        if unit == 0.0 {
            return ' ';
        }
        let [weak, middle, strong] = sides[usize::from(unit > 0.0)];
        match unit.abs() {
            size if size <= 1.0 / 3.0 => weak,
            size if size <= 2.0 / 3.0 => middle,
            _ => strong,
        }
    }

    /// The glyph and style of a whole cell: with colours and Unicode, the colour alone (but for NaN).
    #[must_use]
    pub fn signed_cell(&self, unit: f64) -> (char, Style) {
        let plain = self.colors != ColorLevel::None && self.glyphs != Glyphs::Ascii;
        let symbol = if plain && !unit.is_nan() {
            ' '
        } else {
            self.signed_glyph(unit)
        };
        (symbol, self.signed(unit))
    }

    /// The pen of series `index`; pens repeat after [`Theme::CATEGORIES`].
    #[must_use]
    pub fn category(&self, index: usize) -> Pen {
        let place = index % Self::CATEGORIES;
        let (indexed, [red, green, blue]) = CATEGORIES[place];
        let style = match self.colors {
            ColorLevel::TrueColor => Style::new().fg(Color::Rgb(red, green, blue)),
            ColorLevel::Ansi256 => Style::new().fg(Color::Indexed(indexed)),
            ColorLevel::Ansi16 => Style::new().fg(CATEGORIES_16[place % CATEGORIES_16.len()]),
            ColorLevel::None => Style::new(),
        };
        Pen {
            style,
            mark: MARKS[place],
        }
    }
}

/// Black or white, whichever is more legible on `color`.
pub(super) fn ink(color: Color) -> Color {
    let (dark, light) = match color {
        Color::Rgb(..) => (Color::Rgb(0, 0, 0), Color::Rgb(255, 255, 255)),
        Color::Indexed(_) => (Color::Indexed(16), Color::Indexed(231)),
        _ => (Color::Black, Color::White),
    };
    let is_light = match color {
        Color::Rgb(r, g, b) => {
            let [r, g, b] = [r, g, b].map(u32::from);
            // An approximation: the better contrast changes sides at a grey of 117.
            2 * r + 7 * g + b > 1170
        }
        Color::Indexed(index) => {
            HELP_256[2..].contains(&index) || HURT_256[2..].contains(&index) || index == 244
        }
        Color::LightCyan | Color::LightYellow | Color::LightRed => true,
        _ => false,
    };
    if is_light { dark } else { light }
}

fn smooth(stops: [[u8; 3]; 4], strength: f64) -> Color {
    let along = strength * 3.0;
    let (from, to, part) = if along < 1.0 {
        (stops[0], stops[1], along)
    } else if along < 2.0 {
        (stops[1], stops[2], along - 1.0)
    } else {
        (stops[2], stops[3], along - 2.0)
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between two bytes"
    )]
    let mixed = |channel: usize| {
        let (from, to) = (f64::from(from[channel]), f64::from(to[channel]));
        (from + (to - from) * part).round() as u8
    };
    Color::Rgb(mixed(0), mixed(1), mixed(2))
}

/// The stop nearest to a strength of 0..=1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a handful of stops"
)]
fn nearest<T: Copy, const N: usize>(stops: [T; N], strength: f64) -> T {
    stops[((strength * (N - 1) as f64).round() as usize).min(N - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::{VISIONS, contrasts, distance, lab, rgb_of};

    const LEVELS: [ColorLevel; 3] = [
        ColorLevel::TrueColor,
        ColorLevel::Ansi256,
        ColorLevel::Ansi16,
    ];

    /// The components of a colour; of the 16, as xterm has them.
    fn rgb(color: Color) -> [u8; 3] {
        match color {
            Color::Rgb(r, g, b) => [r, g, b],
            Color::Indexed(index) => rgb_of(index),
            Color::Black => [0, 0, 0],
            Color::White => [255, 255, 255],
            Color::Blue => [0, 0, 0xee],
            Color::LightBlue => [0x5c, 0x5c, 255],
            Color::LightCyan => [0, 255, 255],
            Color::Red => [0xcd, 0, 0],
            Color::LightRed => [255, 0, 0],
            Color::LightYellow => [255, 255, 0],
            Color::Magenta => [0xcd, 0, 0xcd],
            Color::DarkGray => [0x7f, 0x7f, 0x7f],
            other => panic!("look {other} up"),
        }
    }

    fn color(level: ColorLevel, unit: f64) -> Color {
        let theme = Theme::new(level, Glyphs::Braille);
        theme.signed_color(unit).expect("a level with colours")
    }

    fn strengths() -> impl Iterator<Item = f64> {
        (0..=100u8).map(|percent| f64::from(percent) / 100.0)
    }

    #[test]
    fn marks_are_needed_where_colours_repeat() {
        for (level, most) in [
            (ColorLevel::TrueColor, 8),
            (ColorLevel::Ansi256, 8),
            (ColorLevel::Ansi16, 2),
            (ColorLevel::None, 1),
        ] {
            let theme = Theme::new(level, Glyphs::Braille);
            assert!(!theme.needs_marks(most) && theme.needs_marks(most + 1));
            let mut colors: Vec<_> = (0..most).map(|at| theme.category(at).style.fg).collect();
            colors.dedup();
            assert_eq!(colors.len(), most, "{level}");
            assert!(Theme::new(level, Glyphs::Ascii).needs_marks(1));
        }
    }

    #[test]
    fn strength_is_lightness_for_every_colour_vision() {
        for level in LEVELS {
            for (name, vision) in &VISIONS {
                for side in [-1.0, 1.0] {
                    let lightness: Vec<f64> = strengths()
                        .map(|strength| lab(vision, rgb(color(level, side * strength)))[0])
                        .collect();
                    assert!(lightness.is_sorted(), "{level} {name} {side} {lightness:?}");
                    assert!(lightness[100] - lightness[0] > 40.0);
                    if level == ColorLevel::TrueColor {
                        let largest = lightness.windows(2).map(|pair| pair[1] - pair[0]);
                        assert!(largest.fold(0.0, f64::max) < 2.0, "smooth");
                    }
                }
            }
        }
    }

    #[test]
    fn help_and_hurt_differ_for_every_colour_vision() {
        for level in LEVELS {
            for (name, vision) in &VISIONS {
                for strength in strengths().filter(|&strength| strength >= 0.25) {
                    let [help, hurt] = [-strength, strength].map(|unit| rgb(color(level, unit)));
                    let apart = distance(vision, help, hurt);
                    assert!(apart > 25.0, "{level} {name} {strength}: {apart}");
                    let zero = rgb(color(level, 0.0));
                    for side in [help, hurt] {
                        let apart = distance(vision, side, zero);
                        assert!(apart > 10.0, "{level} {name} {strength}: {apart} from zero");
                    }
                }
            }
        }
    }

    #[test]
    fn nan_has_a_colour_of_its_own() {
        for level in LEVELS {
            for (name, vision) in &VISIONS {
                for unit in strengths().flat_map(|strength| [-strength, strength]) {
                    let none = rgb(color(level, f64::NAN));
                    let apart = distance(vision, none, rgb(color(level, unit)));
                    assert!(apart > 25.0, "{level} {name} {unit}: {apart}");
                }
            }
        }
    }

    #[test]
    fn text_reads_on_every_colour() {
        for level in LEVELS {
            let theme = Theme::new(level, Glyphs::Ascii);
            let units = strengths().flat_map(|strength| [-strength, strength]);
            for unit in units.chain([f64::NAN, f64::INFINITY]) {
                let style = theme.signed(unit);
                let (Some(ink), Some(paper)) = (style.fg, style.bg) else {
                    panic!("{level} {unit} has {style:?}");
                };
                let [dark, light] = contrasts(rgb(paper));
                let own = if rgb(ink) == [0, 0, 0] { dark } else { light };
                assert!(own >= 3.0, "{level} {unit}: {own}");
            }
        }
    }

    #[test]
    fn without_colours_the_glyph_tells_sign_and_strength() {
        let units = [-2.0, -0.5, -1e-9, 0.0, 1e-9, 0.5, 1.0, f64::NAN];
        for (glyphs, expected) in [
            (Glyphs::Ascii, "=-_ '+#."),
            (Glyphs::Blocks, "▓▒░ ╵┼╬·"),
            (Glyphs::Braille, "▓▒░ ╵┼╬·"),
        ] {
            let theme = Theme::new(ColorLevel::None, glyphs);
            let cells = units.map(|unit| theme.signed_cell(unit));
            assert_eq!(
                cells.map(|(symbol, _)| symbol).iter().collect::<String>(),
                expected
            );
            assert!(
                cells
                    .iter()
                    .all(|(_, style)| (style.fg, style.bg) == (None, None))
            );
        }
        let theme = Theme::new(ColorLevel::Ansi256, Glyphs::Braille);
        let (symbol, style) = theme.signed_cell(-1.0);
        assert_eq!((symbol, style.bg), (' ', Some(Color::Indexed(117))));
    }

    #[test]
    fn series_differ_in_colour_for_every_colour_vision_and_in_mark() {
        let theme = Theme::new(ColorLevel::TrueColor, Glyphs::Braille);
        for (first, (index, one)) in CATEGORIES.into_iter().enumerate() {
            assert_eq!(rgb_of(index), one);
            assert!(contrasts(one).into_iter().all(|ratio| ratio >= 3.0));
            for (second, (_, other)) in CATEGORIES.into_iter().enumerate().take(first) {
                for (name, vision) in &VISIONS {
                    let apart = distance(vision, one, other);
                    assert!(apart > 14.0, "{name} {first} {second}: {apart}");
                }
                assert_ne!(theme.category(first).mark, theme.category(second).mark);
            }
            for (name, vision) in &VISIONS {
                for sign in [theme.help, theme.hurt] {
                    let apart = distance(vision, one, rgb(sign.fg.unwrap()));
                    assert!(apart > 15.0, "{name} {first} and a sign: {apart}");
                }
            }
        }
        assert_eq!(theme.category(Theme::CATEGORIES), theme.category(0));
        for color in CATEGORIES_16 {
            assert!(contrasts(rgb(color)).into_iter().all(|ratio| ratio >= 3.0));
            let theme = Theme::new(ColorLevel::Ansi16, Glyphs::Braille);
            assert!(
                ![theme.help, theme.hurt]
                    .iter()
                    .any(|sign| sign.fg == Some(color))
            );
        }
        assert_eq!(
            Theme::new(ColorLevel::None, Glyphs::Ascii)
                .category(3)
                .style,
            Style::new()
        );
    }
}
