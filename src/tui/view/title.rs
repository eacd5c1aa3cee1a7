//! The title line: what is shown, and where it stands.
//!
//! ```text
//!  lcascope ● LIVE  mnist-fc · MNIST sample · step 412/960 · epoch 17.2 · 28.4 steps/s
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::words::either;
use crate::app::{App, Phase};
use crate::tui::theme::Theme;

/// Steps over which the speed is averaged.
const SPEED_STEPS: u64 = 50;

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    let dot = either(theme, " · ", " | ");
    let header = &app.header;
    let end = app.timeline.end();
    let mut parts = vec![
        header.network.clone(),
        header.dataset.clone(),
        format!("step {end}/{}", header.planned_steps),
    ];
    if header.steps_per_epoch > 0 {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
        let epoch = end as f64 / header.steps_per_epoch as f64;
        parts.push(format!("epoch {epoch:.1}"));
    }
    if let Some(rate) = steps_per_second(app) {
        parts.push(format!("{rate:.1} steps/s"));
    }
    if let Some(rate) = app.play_rate() {
        parts.push(format!("playing {rate} steps/s"));
    } else if app.window.frozen() {
        parts.push(format!("frozen at step {}", app.window.shown(end)));
    }
    let line = Line::from(vec![
        Span::styled(" lcascope ", theme.title),
        phase(app.phase(), theme),
        Span::raw("  "),
        Span::raw(parts.join(dot)),
    ]);
    line.render(area, buf);
}

fn phase(phase: Phase, theme: &Theme) -> Span<'static> {
    let (unicode, ascii, style) = match phase {
        Phase::Live => ("● LIVE", "LIVE", theme.live),
        Phase::Paused => ("‖ PAUSED", "PAUSED", theme.warning),
        Phase::Following => ("◐ FOLLOWING", "FOLLOWING", theme.live),
        Phase::WriterLost => ("✗ writer lost", "writer lost", theme.error),
        Phase::Replay => ("■ REPLAY", "REPLAY", theme.accent),
        Phase::Finished => ("■ FINISHED", "FINISHED", theme.accent),
        Phase::Stopped => ("■ STOPPED", "STOPPED", theme.warning),
        Phase::Failed => ("✗ FAILED", "FAILED", theme.error),
    };
    Span::styled(either(theme, unicode, ascii), style)
}

/// The training's speed over its last steps.
fn steps_per_second(app: &App) -> Option<f64> {
    let end = app.timeline.end();
    let newest = app.timeline.entry(end.checked_sub(1)?)?;
    let earlier = app.timeline.entry(end.saturating_sub(SPEED_STEPS + 1))?;
    let seconds = newest.seconds - earlier.seconds;
    #[expect(clippy::cast_precision_loss, reason = "at most a few hundred steps")]
    let steps = (newest.end - earlier.end) as f64;
    (seconds > 0.0).then(|| steps / seconds)
}
