//! The findings: the run in sentences, over the whole screen.
//!
//! ```text
//!  What happened                                        steps 0-199
//!  Loss Change Allocation (LCA) divides each step's change of the loss …
//!
//!    Trust: good; sums miss 0.017 % of the loss change, …
//!  ! On the whole, fc3 +0.901 nats hurt; most in steps 6 (+0.723), …
//!
//!  Enter shows where  up, down select  1-8 screens  other keys close
//! ```

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Margin, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::help::wrapped;
use super::words::{self, either, elided, width_of};
use crate::analysis::findings::Finding;
use crate::app::App;
use crate::text::harmless;
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;

/// Cells before a sentence.
const INDENT: u16 = 2;

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    frame.ask(0, app.about_findings());
    frame.render(Clear, area);
    let inside = area.inner(Margin::new(1, 0));
    let rows = [Length(1), Length(2), Length(1), Fill(1), Length(1)];
    let [title, head, _, list, foot] = Layout::vertical(rows).areas(inside);
    titled(title, app, frame);
    let text = "Loss Change Allocation (LCA) divides each step's change of the loss among the layers: below 0 helps, \
                above 0 hurts.";
    for (row, line) in head.rows().zip(wrapped(text, head.width.into())) {
        frame.render(Span::styled(line, theme.dim), row);
    }
    match app.findings() {
        None => frame.render(Span::raw(either(theme, "reading …", "reading ...")), list),
        Some([]) => frame.render(Span::raw("nothing yet: no step is done"), list),
        Some(findings) => sentences(list, findings, frame),
    }
    let keys = either(
        theme,
        "Enter shows where  ↑ ↓ select  1 … 8 screens  Esc closes",
        "Enter shows where  up, down select  1-8 screens  Esc closes",
    );
    frame.render(Span::styled(keys, theme.dim), foot);
}

/// Draws the heading, with the steps that the sentences are about.
fn titled(area: Rect, app: &App, frame: &mut Frame) {
    let theme = frame.theme;
    let steps = match app.findings_until() {
        0 => String::new(),
        end => words::steps(&(0..end)),
    };
    let width = width_of(&steps);
    let [left, right] = Layout::horizontal([Fill(1), Length(width)]).areas(area);
    frame.render(Span::styled("What happened", theme.title), left);
    frame.render(Span::styled(steps, theme.dim), right);
}

/// Draws as many sentences as fit, with the selected one among them.
fn sentences(area: Rect, findings: &[Finding], frame: &mut Frame) {
    let theme = frame.theme;
    let selected = frame.app.overlays.finding_row.min(findings.len() - 1);
    let room = usize::from(area.width.saturating_sub(INDENT));
    let blocks: Vec<Vec<Line>> = (findings.iter().enumerate())
        .map(|(row, finding)| block(finding, row == selected, room, theme))
        .collect();
    let height = usize::from(area.height);
    // From the first sentence on from which the selected one fits.
    let mut first = selected;
    let mut used = blocks[selected].len();
    while first > 0 && used + blocks[first - 1].len() <= height {
        first -= 1;
        used += blocks[first].len();
    }
    let lines: Vec<Line> = blocks[first..].iter().flatten().cloned().collect();
    let hidden = lines.len() > height;
    frame.render(Paragraph::new(lines), area);
    if first > 0 || hidden {
        let text = format!("{}/{}", selected + 1, findings.len());
        let width = width_of(&text);
        let corner = Rect {
            x: area.right().saturating_sub(width),
            y: area.y.saturating_sub(1),
            width,
            height: 1,
        };
        frame.render(
            Span::styled(text, theme.warning),
            corner.intersection(area.outer(Margin::new(0, 1))),
        );
    }
}

/// Returns a sentence in as many lines as it takes.
fn block(finding: &Finding, selected: bool, room: usize, theme: &Theme) -> Vec<Line<'static>> {
    let text = harmless(&finding.text);
    let style = if selected {
        theme.selected
    } else {
        Style::default()
    };
    let sign = if finding.is_trouble { "! " } else { "  " };
    let signs = std::iter::once(sign).chain(std::iter::repeat("  "));
    let lines = signs.zip(wrapped(&text, room)).map(|(sign, text)| {
        let text = elided(&text, room, theme);
        Line::from(vec![
            Span::styled(sign, theme.warning),
            Span::styled(text, style),
        ])
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use crate::app::Action;
    use crate::tui::view::testing::{Run, RunShape, app, plain, text, theme};

    #[test]
    fn every_sentence_can_be_read_at_any_size() {
        let mut run = Run::new(RunShape {
            steps: 120,
            ..RunShape::default()
        });
        run.act(&[Action::Findings]);
        for (width, height) in [(60, 16), (80, 24), (200, 60)] {
            run.settle(width, height, &theme());
            let findings = run.app.findings().unwrap().to_vec();
            assert!(findings.len() > 4, "{findings:?}");
            for (row, finding) in findings.iter().enumerate() {
                run.app.overlays.finding_row = row;
                let screen = text(&run.app, width, height, &plain());
                assert!(screen.is_ascii(), "{screen}");
                let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(words.contains(&finding.text), "{}\n{screen}", finding.text);
            }
        }
    }

    #[test]
    fn before_any_answer_the_screen_says_so() {
        let mut app = app(2, &[0.1]);
        app.act(Action::Findings);
        assert!(text(&app, 80, 24, &plain()).contains("reading ..."));
    }
}
