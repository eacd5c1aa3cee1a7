//! One parameter over the steps: its value, its gradient and its LCA.
//!
//! ```text
//!  parameter 9713, weight [12, 305] of fc1  traced at every step
//!  total -1.2e-3 over the first 412 steps, helped in 50.9%; update sign flip every 6.7 steps, …
//!  value at the start of step 57: +0.0123
//!   0.02┤⠈⢢⡀
//!  full gradient at the start of step 57: -1.2e-4 nats
//!  LCA in step 57: -1.2e-6 nats; -1.2e-3 in view, sign flip every 4.1 steps
//! ```

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::cells::{self, lca};
use super::spread::charts;
use super::tabs::parameter_name;
use super::unit::is_traced;
use super::words::{self, exact, number, often, percent, sentence, signed_scale};
use crate::analysis::scale::{Domain, Scale};
use crate::app::{App, Depth};
use crate::query::{Answer, Binned, GroupTotals, ParameterHistory, Topic, no_totals};
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;
use crate::tui::widget::{Details, LineChart, Pen, Series};

/// Rows of the smallest chart with its title.
const LEAST: u16 = 5;

/// A curve and its title.
struct Curve<'a> {
    name: &'static str,
    unit: &'static str,
    binned: &'a Binned,
    at: Option<&'a Binned>,
    scale: Scale,
    style: Style,
    /// The frequency of its zero crossings and turns, in words, the most important first.
    counts: Vec<String>,
}

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let Depth::Parameter {
        layer,
        unit,
        parameter,
    } = app.nav.depth
    else {
        return;
    };
    let topic = Topic::Parameter {
        index: parameter as u64,
    };
    let columns = LineChart::plot_columns(area, theme.glyphs);
    let window = frame.ask(0, app.about_window(topic.clone(), columns));
    let cursor = app.about_cursor(topic);
    let at = match cursor.and_then(|query| frame.ask(1, query)) {
        Some((_, Answer::History(history))) => Some(history),
        _ => None,
    };
    if let Some(query) = app.about_unit(layer, unit) {
        frame.ask(2, query);
    }
    let traced = is_traced(&app.model, parameter);
    let rows = [Length(1), Length(1), Fill(1)];
    let [top, next, below] = Layout::vertical(rows).areas(area);
    frame.render(title(app, theme, parameter, traced, area.width), top);
    frame.render(totals(app, theme, parameter, area.width), next);
    let window = match window {
        Some((_, Answer::History(history))) => history,
        Some((_, Answer::Unknown(why))) => return sentence(below, why, frame),
        _ => return sentence(below, "reading parameter …", frame),
    };
    let curves = curves(app, theme, window, at);
    let advice = (!traced).then(|| advice(&curves));
    let said = advice.as_ref().map_or(0, |text| {
        let room = usize::from(area.width.saturating_sub(16)).max(1);
        u16::try_from(text.chars().count().div_ceil(room)).unwrap_or(1)
    });
    let [place, below] = Layout::vertical([Length(said), Fill(1)]).areas(below);
    if let Some(text) = &advice {
        sentence(place, text, frame);
    }
    // Draw as many as fit, LCA first if room is short; `f` shows each in full in turn.
    let order: Vec<&Curve<'_>> = match below.height {
        0..12 => curves.iter().rev().collect(),
        _ => curves.iter().collect(),
    };
    for (chart, place) in charts(below, order.len(), LEAST, app.nav.focus) {
        if let Some(curve) = order.get(chart) {
            draw_curve(place, frame, curve);
        }
    }
}

fn title(app: &App, theme: &Theme, parameter: usize, traced: bool, width: u16) -> Line<'static> {
    let layout = &app.model.header.layout;
    let layer = app.nav.depth.layer();
    let layer = layer.and_then(|layer| layout.layers.get(layer));
    let of = layer.map_or_else(String::new, |layer| format!(" of {}", layer.name));
    let name = format!(" {}{of}", parameter_name(layout, parameter));
    let traced = if traced {
        "traced at every step"
    } else {
        "not traced"
    };
    let dim = |text: String| vec![Span::styled(text, theme.dim)];
    let parts = vec![
        (0, vec![Span::styled(name, theme.header)]),
        (1, dim(format!("  {traced}"))),
        (2, dim(format!("; parameter {parameter} of the run"))),
        (3, dim("; t: next traced".to_owned())),
    ];
    cells::fitting(parts, width)
}

/// The parameter's totals since the first step, as far as they are known.
fn totals(app: &App, theme: &Theme, parameter: usize, width: u16) -> Line<'static> {
    let Depth::Parameter { layer, unit, .. } = app.nav.depth else {
        return Line::default();
    };
    let known = app.unit_now(layer, unit);
    let at = known.and_then(|known| known.position_of(parameter));
    let totals = known.and_then(|known| known.totals.as_ref());
    let (Some(at), Some(totals)) = (at, totals) else {
        let [_, why] = no_totals(&app.model.header);
        return Line::styled(format!(" {why}"), theme.dim);
    };
    #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
    let steps = totals.steps as f64;
    let count = |counts: &[u32]| counts.get(at).map_or(f64::NAN, |&n| f64::from(n));
    let every = |counts: &[u32]| steps / count(counts);
    let total = totals.lca_sum.get(at).copied().unwrap_or(f64::NAN);
    let helped = percent(count(&totals.helped) / steps);
    let texts = [
        (1, format!(" nats over the first {} steps", totals.steps)),
        (2, format!("; helped in {} of them", helped.trim())),
        (
            3,
            format!(
                "; {}",
                often("update sign flip", every(&totals.update_flips))
            ),
        ),
        (
            4,
            format!(
                ", {}",
                often("gradient sign flip", every(&totals.gradient_flips))
            ),
        ),
    ];
    let mut parts = vec![(0, vec![Span::raw(" total LCA "), lca(theme, total)])];
    parts.extend(texts.map(|(rank, text)| (rank, vec![Span::raw(text)])));
    cells::fitting(parts, width)
}

/// Advice on what to record in order to see more.
fn advice(curves: &[Curve<'_>]) -> String {
    let seen = if curves.is_empty() {
        "Its steps were not recorded."
    } else {
        "Only fully recorded steps are shown, without the gradient."
    };
    format!(
        "{seen} Train with --trace N to record N parameters at every step, or with --record-params N and \
         --record-weights N to record all every N steps."
    )
}

fn curves<'a>(
    app: &App,
    theme: &Theme,
    window: &'a ParameterHistory,
    at: Option<&'a ParameterHistory>,
) -> Vec<Curve<'a>> {
    let mut curves = Vec::new();
    let counted = |verb: &str, binned: &Binned, count: fn(&GroupTotals) -> u64| {
        #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
        let every = |group: &GroupTotals| group.steps as f64 / count(group) as f64;
        often(verb, binned.groups.first().map_or(f64::NAN, every))
    };
    if let Some(binned) = &window.value {
        curves.push(Curve {
            name: "value at the start of",
            unit: "",
            binned,
            at: at.and_then(|it| it.value.as_ref()),
            scale: Scale::Linear,
            style: theme.train,
            counts: vec![counted("direction change", binned, |it| it.turns)],
        });
    }
    if let Some(binned) = &window.gradient {
        curves.push(Curve {
            name: "full gradient at the start of",
            unit: "nats",
            binned,
            at: at.and_then(|it| it.gradient.as_ref()),
            scale: Scale::Linear,
            style: theme.held_out,
            counts: vec![counted("sign flip", binned, |it| it.crossings)],
        });
    }
    if let Some(binned) = &window.lca {
        let ends = binned.least.iter().chain(&binned.most);
        let max = cells::largest(ends.map(|&it| it.into()));
        let total = binned.groups.first().map_or(f64::NAN, |it| it.total);
        let total = number(total);
        curves.push(Curve {
            name: "LCA in",
            unit: "nats",
            binned,
            at: at.and_then(|it| it.lca.as_ref()),
            scale: signed_scale(&app.nav, max),
            style: theme.accent,
            counts: [
                Some(format!("{} in view", total.trim())),
                words::residual_at(app),
                Some(counted("sign flip", binned, |it| it.crossings)),
            ]
            .into_iter()
            .flatten()
            .collect(),
        });
    }
    curves
}

/// The curve's name, its value at the cursor and its counts, with the rank of each part.
fn heading(curve: &Curve<'_>, theme: &Theme) -> Vec<(u8, Vec<Span<'static>>)> {
    let known = curve
        .at
        .and_then(|at| Some((at.steps(), at.groups.first()?)));
    let at = match known {
        Some((steps, group)) if group.steps > 0 => vec![Span::raw(format!(
            " {}: {} {}",
            words::steps(&steps),
            exact(group.total),
            curve.unit
        ))],
        Some((steps, _)) => vec![Span::styled(
            format!(" {}: not recorded", words::steps(&steps)),
            theme.dim,
        )],
        None => vec![Span::styled(" the step at the cursor: unknown", theme.dim)],
    };
    let mut parts = vec![
        (
            0,
            vec![Span::styled(format!(" {}", curve.name), theme.header)],
        ),
        (0, at),
    ];
    for (rank, text) in (2..).zip(&curve.counts) {
        let between = if rank == 2 { "  " } else { ", " };
        parts.push((
            rank,
            vec![Span::styled(format!("{between}{text}"), theme.dim)],
        ));
    }
    parts
}

fn draw_curve(area: Rect, frame: &mut Frame, curve: &Curve<'_>) {
    let (app, theme) = (frame.app, frame.theme);
    let counted = curve.binned.groups.first().map_or(0, |it| it.steps);
    let all = curve.binned.steps();
    let count = all.end - all.start;
    let mut parts = heading(curve, theme);
    if counted != count {
        let text = format!(" ({counted} of {count} steps)");
        parts.push((1, vec![Span::styled(text, theme.dim)]));
    }
    let columns = LineChart::plot_columns(area, theme.glyphs);
    // A band over many steps gets a line of its mean, but only if every step was measured.
    let banded = count > columns as u64 && counted == count;
    let line = Pen {
        style: curve.style,
        mark: '*',
    };
    let pen = if banded {
        Pen {
            style: theme.dim,
            mark: ':',
        }
    } else {
        line
    };
    if banded {
        let mark = if theme.needs_marks(2) {
            line.mark
        } else {
            '─'
        };
        let mark = Span::styled(mark.to_string(), line.style);
        parts.push((9, vec![Span::raw("  "), mark]));
        parts.push((9, vec![Span::styled(" mean", theme.dim)]));
    }
    let [top, area] = Layout::vertical([Length(1), Fill(1)]).areas(area);
    frame.render(cells::fitting(parts, area.width), top);
    if area.height == 0 {
        return;
    }
    let extents = cells::extents(curve.binned, 0, columns);
    let means = if banded {
        cells::means(curve.binned, 0, columns)
    } else {
        Vec::new()
    };
    let ends = extents.iter().flatten();
    let one = |pen, extents| {
        [Series {
            name: "",
            pen,
            extents,
        }]
    };
    let (series, smoothed) = (one(pen, &extents), one(line, &means));
    let chart = LineChart {
        theme,
        series: &series,
        scale: curve.scale,
        domain: Domain::of(ends.flat_map(|it| [f64::from(it.min), f64::from(it.max)])),
        unit: curve.unit,
        steps: all.clone(),
        cursor: cells::cursor(app, &all, columns),
    };
    let details = Details {
        zero_line: true,
        smoothed: if banded { &smoothed } else { &[] },
        ..Details::default()
    };
    frame.render(chart.with(details), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::view::testing;

    #[test]
    fn steps_without_a_value_are_gaps_and_not_zeros() {
        // A weight that never moves, recorded every fourth of 200 steps.
        let measured = |step: &u64| step.is_multiple_of(4);
        let value = |step| if measured(&step) { -0.5 } else { f32::NAN };
        let ends: Vec<f32> = (0..200).map(value).collect();
        let binned = Binned {
            edges: (0..=200).collect(),
            sums: (0..200)
                .map(|step| if measured(&step) { -0.5 } else { 0.0 })
                .collect(),
            least: ends.clone(),
            most: ends,
            groups: vec![GroupTotals {
                steps: 50,
                ..GroupTotals::default()
            }],
        };
        let curve = Curve {
            name: "value",
            unit: "",
            binned: &binned,
            at: None,
            scale: Scale::Linear,
            style: Style::default(),
            counts: Vec::new(),
        };
        let app = testing::app(1, &[-1.0; 200]);
        let (buf, _) = testing::framed(&app, (60, 12), &testing::theme(), |area, frame| {
            draw_curve(area, frame, &curve);
        });
        let area = buf.area;
        let is_dot = |c: char| ('\u{2801}'..='\u{28ff}').contains(&c);
        let rows: Vec<u16> = (1..area.height)
            .filter(|&y| (9..area.width).any(|x| buf[(x, y)].symbol().chars().any(is_dot)))
            .collect();
        assert_eq!(rows.len(), 1, "one value, one row: {buf:?}");
    }
}
