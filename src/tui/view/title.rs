//! The title line: the run shown and its state.
//!
//! ```text
//!  lcascope ● LIVE  mnist-fc · MNIST sample · 412/960 steps · epoch 17.2 · 28.4 steps/s
//! ```

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::facts;
use super::words::{either, fitting};
use crate::analysis::numbers;
use crate::app::Phase;
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let dot = either(theme, " · ", " | ");
    let header = &app.model.header;
    let end = app.model.timeline.end();
    let step = match header.planned_steps {
        0 if end == 1 => "1 step".to_owned(),
        0 => format!("{end} steps"),
        planned => format!("{end}/{planned} steps"),
    };
    let step = match header.chord() {
        Some(every) => format!("{step} of {every}"),
        None => step,
    };
    let epoch = (header.steps_per_epoch > 0).then(|| {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
        let epoch =
            end.saturating_mul(header.lca_every.max(1)) as f64 / header.steps_per_epoch as f64;
        format!("epoch {epoch:.1}")
    });
    let view = match app.playback.rate() {
        Some(rate) => Some(format!("playing {rate} steps/s")),
        None if app.playback.is_paused() => Some("replay paused".to_owned()),
        None if app.nav.window.frozen() => {
            let newest = app.shown_steps().end.saturating_sub(1);
            Some(format!("frozen at step {newest}"))
        }
        None => None,
    };
    let speed = facts::steps_per_second(&app.model).map(numbers::speed);
    let parts = [
        (0, Some(header.network.clone())),
        (5, Some(header.dataset.clone())),
        (1, Some(step)),
        (4, epoch),
        (3, speed),
        (2, view),
    ];
    let parts = parts
        .into_iter()
        .filter_map(|(rank, part)| Some((rank, part?)));
    let phase = phase(app.model.phase(), theme);
    let room = usize::from(area.width).saturating_sub(12 + phase.width());
    let text = fitting(parts.collect(), dot, room);
    let line = Line::from(vec![
        Span::styled(" lcascope ", theme.title),
        phase,
        Span::raw("  "),
        Span::raw(text),
    ]);
    frame.render(line, area);
}

fn phase(phase: Phase, theme: &Theme) -> Span<'static> {
    let (unicode, ascii, style) = match phase {
        Phase::Live => ("● LIVE", "LIVE", theme.live),
        Phase::Pausing => ("‖ PAUSING", "PAUSING", theme.warning),
        Phase::Paused => ("‖ PAUSED", "PAUSED", theme.warning),
        Phase::Following => ("◐ FOLLOWING", "FOLLOWING", theme.live),
        Phase::Disconnected => ("✗ DISCONNECTED", "DISCONNECTED", theme.warning),
        Phase::WriterLost => ("✗ CRASHED", "CRASHED", theme.error),
        Phase::Replay => ("■ REPLAY", "REPLAY", theme.accent),
        Phase::Finished => ("■ FINISHED", "FINISHED", theme.accent),
        Phase::Stopped => ("■ STOPPED", "STOPPED", theme.warning),
        Phase::Failed => ("✗ FAILED", "FAILED", theme.error),
    };
    Span::styled(either(theme, unicode, ascii), style)
}
