//! Names cut to a width in cells.

use ratatui::text::Span;

use crate::text::is_invisible_control;
use crate::tui::theme::Glyphs;

/// The width of a text in cells, at most `most`.
pub(super) fn cells_of(text: &str, most: u16) -> u16 {
    u16::try_from(Span::raw(text).width()).map_or(most, |own| own.min(most))
}

/// `text` in at most `width` cells, cut after the middle: numbers tend to come before it, and the layer's function at
/// the end. Invisible characters that have an effect (`is_obeyed`) are removed.
#[must_use]
pub fn elided(text: &str, width: usize, glyphs: Glyphs) -> String {
    let shown = || text.chars().filter(|letter| !is_invisible_control(*letter));
    let whole: String = shown().collect();
    if Span::raw(&whole).width() <= width {
        return whole;
    }
    let kept = width.saturating_sub(1);
    let end = kept / 3;
    let letters: Vec<char> = shown().collect();
    let start = fitting(letters.iter().copied(), kept - end);
    let end = fitting(letters.iter().rev().copied(), end);
    let end: String = end.chars().rev().collect();
    let sign = match (width, glyphs) {
        (0, _) => "",
        (_, Glyphs::Ascii) => "~",
        (_, Glyphs::Braille | Glyphs::Blocks) => "…",
    };
    format!("{start}{sign}{end}")
}

/// The longest prefix of `letters` that fits in `width` cells.
fn fitting(letters: impl Iterator<Item = char>, width: usize) -> String {
    let mut text = String::new();
    for letter in letters {
        text.push(letter);
        if Span::raw(&text).width() > width {
            text.pop();
            break;
        }
    }
    text
}

/// The longest prefix of `text` that fits in `width` cells, without invisible characters that have an effect.
pub(super) fn first_letters(text: &str, width: usize) -> String {
    fitting(
        text.chars().filter(|letter| !is_invisible_control(*letter)),
        width,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_names_are_shortened_by_display_width() {
        let cut = |text, width| elided(text, width, Glyphs::Braille);
        assert_eq!(cut("conv1", 5), "conv1");
        assert_eq!(cut("stage3.block2.conv1.weight", 12), "stage3.b…ght");
        assert_eq!(cut("層層層層", 5), "層…");
        assert_eq!(cut("a\u{1b}[31mb", 9), "a[31mb");
        assert_eq!(elided("conv1", 3, Glyphs::Ascii), "co~");
        assert_eq!(cut("conv1", 0), "");
    }

    proptest! {
        #[test]
        fn a_cut_name_fits(name in any::<String>(), width in 0usize..20) {
            prop_assert!(Span::raw(elided(&name, width, Glyphs::Ascii)).width() <= width);
        }
    }
}
