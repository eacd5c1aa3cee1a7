//! The last line: the most important keys, or the error message.
//!
//! ```text
//!  ? help  q quit  ← → step  End follow  + - zoom  0 all  Space freeze  g scale
//! ```

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Paragraph, Wrap};

use crate::app::{App, Prompt, PromptKind, RunModel};
use crate::feed::Origin;
use crate::tui::frame::Frame;
use crate::tui::keys::{GROUPS, Group, KeyMap};
use crate::tui::theme::{Glyphs, Theme};

/// The height of the footer: a run's failure is shown in full.
pub fn height(app: &App, width: u16) -> u16 {
    // Wrapping between words leaves up to a long word of every line unused.
    let room = usize::from(width).saturating_sub(16).max(1);
    let lines = trouble(app).chars().count().div_ceil(room);
    u16::try_from(lines).unwrap_or(u16::MAX).clamp(1, TALLEST)
}

/// The run's failure or, without one, the app's notice.
fn trouble(app: &App) -> &str {
    match app.model.message() {
        "" => app.overlays.notice(),
        message => message,
    }
}

/// The tallest footer, in rows.
const TALLEST: u16 = 4;

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    if !trouble(app).is_empty() {
        let text = Text::styled(trouble(app), theme.error);
        let [_, indented] = Layout::horizontal([Length(1), Fill(1)]).areas(area);
        return frame.render(Paragraph::new(text).wrap(Wrap { trim: true }), indented);
    }
    let line = match &app.overlays.prompt {
        Some(prompt) => typed(&app.model, prompt, theme, area.width),
        None => hints(app, theme, frame.keys, area.width),
    };
    frame.render(line, area);
}

/// The prompt with its completions.
fn typed(model: &RunModel, prompt: &Prompt, theme: &Theme, width: u16) -> Line<'static> {
    let text = format!(" {}{}", prompt.kind.sign(), prompt.text);
    // Show the end of a long line, where typing happens.
    let room = usize::from(width.saturating_sub(1));
    let from = text.chars().count().saturating_sub(room);
    let shown: String = text.chars().skip(from).collect();
    let mut left = room.saturating_sub(shown.chars().count());
    let mut spans = vec![Span::raw(shown), Span::styled(" ", theme.cursor)];
    let words = match prompt.kind {
        PromptKind::Command => model.completions(&prompt.text),
        PromptKind::Filter => Vec::new(),
    };
    for word in words {
        let hint = Span::styled(format!("  {word}"), theme.dim);
        if hint.width() > left {
            break;
        }
        left -= hint.width();
        spans.push(hint);
    }
    Line::from(spans)
}

/// Words of the footer, the most useful first.
const ORDER: [&str; 20] = [
    "help",
    "quit",
    "compare",
    "screen",
    "what happened",
    "open",
    "back",
    "freeze",
    "step",
    "zoom",
    "sort",
    "pause",
    "scale",
    "chart",
    "event",
    "worst steps",
    "follow",
    "copy, export",
    "speed",
    "runs",
];

/// Whether a group deserves its room: its keys do something here, and not merely explain why they cannot.
fn useful(group: &Group, app: &App) -> bool {
    let more = match group.footer {
        "" => false,
        "compare" => !app.others.runs.is_empty(),
        "event" => app.has_marks(),
        "follow" => !app.nav.window.follows(),
        "speed" => app.playback.rate().is_some(),
        _ => true,
    };
    more && group.is_offered(app)
}

/// The keys with their words: as many as fit, none of them cut.
fn hints(app: &App, theme: &Theme, keys: &KeyMap, width: u16) -> Line<'static> {
    let mut groups: Vec<(usize, &Group)> = (GROUPS.iter().enumerate())
        .filter(|(_, group)| useful(group, app))
        .collect();
    let rank = |word: &str| ORDER.iter().position(|known| *known == word);
    groups.sort_by_key(|(_, group)| rank(group.footer).unwrap_or(ORDER.len()));
    let mut left = usize::from(width).saturating_sub(1);
    let mut spans = vec![Span::raw(" ")];
    for (at, group) in groups {
        let word = match group.footer {
            "freeze" if app.model.origin == Origin::Replay => "play",
            word => word,
        };
        // The footer shows only the first alternative.
        let label = keys.short_label(at, theme.glyphs == Glyphs::Ascii);
        let label = Span::styled(label, theme.key);
        let word = Span::styled(format!(" {word}"), theme.dim);
        let needed = label.width() + word.width();
        if needed > left || label.width() == 0 {
            continue;
        }
        left = left.saturating_sub(needed + 2);
        spans.extend([label, word, Span::raw("  ")]);
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::RunHeader;
    use crate::tui::theme::ColorLevel;

    #[test]
    fn only_whole_hints_are_shown_and_help_comes_first() {
        let app = App::new(Arc::new(RunHeader::default()), Origin::Replay);
        for glyphs in [Glyphs::Braille, Glyphs::Ascii] {
            let theme = Theme::new(ColorLevel::None, glyphs);
            let keys = KeyMap::default();
            for width in [60, 80, 120, 200] {
                let line = hints(&app, &theme, &keys, width);
                let text = line.to_string();
                assert!(line.width() <= usize::from(width) + 2, "{text}");
                assert!(text.starts_with(" ? help  q quit"), "{text}");
                assert!(!text.contains("pause"), "nobody is training: {text}");
                assert!(text.contains("play") || width < 80, "{text}");
                // No word is cut.
                let words = GROUPS.iter().map(|group| group.footer);
                let words: Vec<&str> = words.chain(["play"]).collect();
                let hints = text.trim().split("  ");
                for hint in hints.filter(|hint| !hint.is_empty()) {
                    assert!(
                        words.iter().any(|word| hint.ends_with(word)),
                        "{hint}: {text}"
                    );
                }
            }
        }
    }
}
