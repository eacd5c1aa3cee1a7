//! Legends: the names of a chart's series, or the ends of its ramp.
//!
//! ```text
//!  █ layer1  █ layer2  █ layer3         wraps over the rows available; names are cut before
//!  █ layer4  █ layer5  +2               a series is left out; +2 counts those left out
//!
//!  -1e-3 ▓▓▒▒░░ 0 ''++## +1e-3 nats, log from ±1e-6
//! ```

use ratatui::text::{Line, Span};
use ratatui::{buffer::Buffer, layout::Rect, style::Style, widgets::Widget};

use super::names::elided;
use crate::analysis::scale::Scale;
use crate::tui::theme::{ColorLevel, Glyphs, Theme};

/// A series in a legend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'a> {
    pub name: &'a str,
    pub symbol: char,
    pub style: Style,
}

/// The names of series in order, over as many rows as the area has.
#[derive(Clone, Copy, Debug)]
pub struct Legend<'a> {
    pub theme: &'a Theme,
    pub entries: &'a [Entry<'a>],
}

/// The position of an entry, and its name as it fits.
type Placed = (u16, u16, String);

/// The shortest width to which names are cut.
const SHORTEST: usize = 3;

impl Legend<'_> {
    /// The number of rows that it needs at this width to show every name in full.
    #[must_use]
    pub fn rows(&self, width: u16) -> u16 {
        let longest = self.longest();
        let fits = |&rows: &u16| self.placed(width, rows, longest).is_some();
        let most = u16::try_from(self.entries.len()).unwrap_or(u16::MAX);
        (0..=most).find(fits).unwrap_or(0)
    }

    fn longest(&self) -> usize {
        let widths = self
            .entries
            .iter()
            .map(|entry| Span::raw(entry.name).width());
        widths.max().unwrap_or(0)
    }

    /// Places all entries, with names of at most `longest` cells; `None` if they do not fit. An entry wider than a row
    /// gets a row and is cut.
    fn placed(&self, width: u16, rows: u16, longest: usize) -> Option<Vec<Placed>> {
        let (mut x, mut y) = (0u16, 0u16);
        let place = |entry: &Entry<'_>| {
            let room = usize::from(width.saturating_sub(2));
            let name = elided(entry.name, longest.min(room), self.theme.glyphs);
            let own = u16::try_from(2 + Span::raw(&name).width()).unwrap_or(u16::MAX - 2);
            if x > 0 && x.saturating_add(own) > width {
                (x, y) = (0, y + 1);
            }
            let at = (x, y);
            x = x.saturating_add(own + 2);
            (at.1 < rows && width > 2).then_some((at.0, at.1, name))
        };
        self.entries.iter().map(place).collect()
    }
}

impl Widget for Legend<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        if area.is_empty() {
            return;
        }
        let names = (SHORTEST..=self.longest().max(SHORTEST)).rev();
        let all = names
            .into_iter()
            .find_map(|longest| self.placed(area.width, area.height, longest));
        // If not even short names fit, show as many as do, and the number of the others.
        let some = || {
            (0..self.entries.len()).rev().find_map(|kept| {
                let entries = &self.entries[..kept];
                let kept = Legend { entries, ..self };
                let placed = kept.placed(area.width, area.height, SHORTEST)?;
                let more = format!("+{}", self.entries.len() - entries.len());
                let (x, y) = placed.last().map_or((1, 0), |(x, y, name)| {
                    (
                        x + 4 + u16::try_from(Span::raw(name).width()).unwrap_or(0),
                        *y,
                    )
                });
                let fits = usize::from(x) + more.len() <= usize::from(area.width);
                fits.then_some((placed, (x, y, more)))
            })
        };
        let (placed, more) = match all {
            Some(placed) => (placed, None),
            None => match some() {
                Some((placed, more)) => (placed, Some(more)),
                None => return,
            },
        };
        for ((x, y, name), entry) in placed.into_iter().zip(self.entries) {
            let (x, y) = (area.x + x, area.y + y);
            buf.set_string(x, y, entry.symbol.to_string(), entry.style);
            buf.set_stringn(
                x + 2,
                y,
                name,
                usize::from(area.right() - x - 2),
                Style::new(),
            );
        }
        if let Some((x, y, more)) = more {
            buf.set_string(area.x + x, area.y + y, more, self.theme.dim);
        }
    }
}

/// The ends of a ramp of signed values.
#[derive(Clone, Copy, Debug)]
pub struct RampLegend<'a> {
    pub theme: &'a Theme,
    pub scale: Scale,
    pub max: f64,
    pub unit: &'a str,
}

impl RampLegend<'_> {
    /// A line of at most `width` cells; empty if not even the ends fit.
    #[must_use]
    pub fn line(&self, width: u16) -> Line<'static> {
        let ascii = self.theme.glyphs == Glyphs::Ascii;
        let end = short(self.max);
        let log = match self.scale {
            Scale::Linear => String::new(),
            Scale::SymLog { linear } => {
                let sign = if ascii { "+-" } else { "±" };
                format!(", log from {sign}{}", short(linear))
            }
            Scale::Log => ", log".to_owned(),
        };
        let unit = elided(self.unit, 16, self.theme.glyphs);
        for (cells, tail) in [
            (9, format!(" {unit}{log}")),
            (6, format!(" {unit}{log}")),
            (6, format!(" {unit}")),
            (3, format!(" {unit}")),
            (3, String::new()),
        ] {
            let line = self.with(cells, &end, tail.trim_end());
            if line.width() <= usize::from(width) {
                return line;
            }
        }
        Line::default()
    }

    fn with(&self, cells: u8, end: &str, tail: &str) -> Line<'static> {
        let cell = |place: u8, side: f64| {
            let unit = side * (f64::from(place) - 0.5) / f64::from(cells);
            let (symbol, style) = self.theme.signed_cell(unit);
            Span::styled(symbol.to_string(), style)
        };
        let zero = if self.theme.colors == ColorLevel::None {
            Style::new()
        } else {
            self.theme.signed(0.0)
        };
        let mut spans = vec![Span::styled(format!("-{end} "), self.theme.dim)];
        spans.extend((1..=cells).rev().map(|place| cell(place, -1.0)));
        spans.push(Span::styled(" 0 ", zero));
        spans.extend((1..=cells).map(|place| cell(place, 1.0)));
        spans.push(Span::styled(format!(" +{end}{tail}"), self.theme.dim));
        Line::from(spans)
    }
}

/// Formats a number with up to three digits: `1e-3`, `0.25`, `1.23e-4`.
fn short(value: f64) -> String {
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    if rounded == 0.0 || !rounded.is_finite() || (0.01..1e4).contains(&rounded.abs()) {
        format!("{rounded}")
    } else {
        format!("{rounded:e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ratatui::style::Color;

    use crate::tui::widget::testing::{ALL, LEVELS, text};

    fn drawn(names: &[&str], width: u16, height: u16) -> Vec<String> {
        let theme = Theme::new(ColorLevel::Ansi256, Glyphs::Ascii);
        let entry = |(index, name): (usize, &&'static str)| {
            let pen = theme.category(index);
            Entry {
                name,
                symbol: pen.mark,
                style: pen.style,
            }
        };
        let names: Vec<&'static str> = names.iter().map(|name| &*name.to_string().leak()).collect();
        let entries: Vec<_> = names.iter().enumerate().map(entry).collect();
        let legend = Legend {
            theme: &theme,
            entries: &entries,
        };
        let area = Rect::new(0, 0, width, height);
        let mut buf = Buffer::empty(area);
        legend.render(area, &mut buf);
        for (x, entry) in (0..width).zip(&entries).take(1) {
            if buf[(x, 0)].symbol() == "*" {
                assert_eq!(Some(buf[(x, 0)].fg), entry.style.fg);
            }
        }
        text(&buf)
    }

    #[test]
    fn names_wrap_then_are_cut_then_are_counted() {
        let names = ["conv1", "conv2", "dense.weight", "head"];
        assert_eq!(
            drawn(&names, 40, 2),
            ["* conv1  o conv2  + dense.weight  x head", ""]
        );
        assert_eq!(
            drawn(&names, 24, 2),
            ["* conv1  o conv2", "+ dense.weight  x head"]
        );
        assert_eq!(drawn(&names, 34, 1), ["* conv1  o conv2  + dens~t  x head"]);
        assert_eq!(drawn(&names, 17, 1), ["* co~  o co~  +2"]);
        assert_eq!(drawn(&names, 5, 1), [" +4"]);
        assert_eq!(drawn(&[], 5, 1), [""]);
    }

    #[test]
    fn the_legend_reserves_rows_for_full_names() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        let entry = |name| Entry {
            name,
            symbol: '*',
            style: Style::new(),
        };
        let entries = ["conv1", "conv2", "dense.weight", "head"].map(entry);
        let rows = |width| {
            let entries = &entries;
            Legend {
                theme: &theme,
                entries,
            }
            .rows(width)
        };
        assert_eq!([rows(40), rows(24), rows(15), rows(5)], [1, 2, 4, 4]);
    }

    #[test]
    fn the_ramp_labels_its_ends_and_its_log_scale() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        let legend = RampLegend {
            theme: &theme,
            scale: Scale::SymLog { linear: 1e-6 },
            max: 1e-3,
            unit: "nats",
        };
        let text = |width| legend.line(width).to_string();
        assert_eq!(
            text(60),
            "-1e-3 ===---___ 0 '''+++### +1e-3 nats, log from +-1e-6"
        );
        assert_eq!(text(40), "-1e-3 ==--__ 0 ''++## +1e-3 nats");
        assert_eq!(text(24), "-1e-3 =-_ 0 '+# +1e-3");
        assert_eq!(text(10), "");
        let theme = Theme::new(ColorLevel::Ansi16, Glyphs::Braille);
        let line = RampLegend {
            theme: &theme,
            scale: Scale::Linear,
            ..legend
        }
        .line(30);
        assert_eq!(line.spans[1].style.bg, Some(Color::LightCyan));
        assert_eq!(line.to_string(), "-1e-3     0     +1e-3 nats");
    }

    proptest! {
        #[test]
        fn no_names_or_numbers_panic(
            names in prop::collection::vec(any::<String>(), 0..9),
            (width, height) in (0u16..60, 0u16..5),
            glyphs in prop::sample::select(ALL.to_vec()),
            level in prop::sample::select(LEVELS.to_vec()),
            (max, linear) in (prop::num::f64::ANY, prop::num::f64::ANY),
        ) {
            let theme = Theme::new(level, glyphs);
            let entries: Vec<_> = names
                .iter()
                .map(|name| Entry { name, symbol: '*', style: Style::new() })
                .collect();
            let legend = Legend { theme: &theme, entries: &entries };
            let _ = legend.rows(width);
            legend.render(Rect::new(1, 1, width, height), &mut Buffer::empty(Rect::new(0, 0, 40, 4)));
            for scale in [Scale::Linear, Scale::Log, Scale::SymLog { linear }] {
                let ramp = RampLegend { theme: &theme, scale, max, unit: "nats" };
                prop_assert!(ramp.line(width).width() <= usize::from(width));
            }
        }
    }
}
