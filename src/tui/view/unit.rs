//! Inside a unit: its weights as an image or as kernels, and as a list.
//!
//! ```text
//!  fc1, unit 12: 785 parameters; totals over the first 412 steps
//!   parameter           total   help  in view   flip │ total LCA: input, 1×28×28
//!  *weight [12, 305]  -1.2e-3  50.9%  -1.1e-4    6.7 │   ▓▓▒▒░░  ''++
//!   weight [12, 306]  -1.1e-3  …                     │ -1e-3 ▓▒░ 0 '+# +1e-3 nats
//!                                                    │ weights after 400 steps
//!  weight [12, 305]  total -1.2e-3  in view -1.1e-4 (103 of 412 steps)  at 410 …   value 0.0123
//!  bias  total +1.2e-5  value -0.0012
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Margin, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::cells::{self, lca, put, put_column, row};
use super::tabs::parameter_name;
use super::words::{
    self, NUMBER, either, elided, every, number, percent, scrolled, sentence, several,
    signed_scale, worded,
};
use crate::analysis::numbers;
use crate::analysis::scale::Scale;
use crate::app::{App, Depth, Picture, RunModel};
use crate::query::{Answer, RecordedSums, UnitParams, no_totals};
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;
use crate::tui::widget::{ImageMap, RampLegend};

/// Width of the list beside the pictures.
const LIST: u16 = 56;
/// Columns of numbers in the list, as many as fit.
const COLUMNS: [&str; 4] = ["total", "help", "in view", "flip"];
/// The narrowest picture; if even this does not fit, the list is alone.
const NARROWEST_PICTURE: u16 = 14;

/// The screen of a unit.
#[expect(clippy::struct_field_names, reason = "its place in its layer")]
struct Unit<'a> {
    app: &'a App,
    theme: &'a Theme,
    layer: usize,
    unit: usize,
    known: &'a UnitParams,
    /// Sums over the steps in view, if any of them is recorded.
    window: Option<&'a RecordedSums>,
    listed: Vec<usize>,
}

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let Depth::Unit { layer, unit } = app.nav.depth else {
        return;
    };
    let query = app.about_unit(layer, unit);
    let answer = query.and_then(|query| frame.ask(0, query));
    let query = app.about_window(app.nav.unit_topic(layer, unit), 1);
    let window = match frame.ask_now(1, query) {
        Some((_, Answer::Unit(window))) => window.recorded.as_ref(),
        _ => None,
    };
    let known = match answer {
        Some((_, Answer::Unit(known))) => known,
        Some((_, Answer::Unknown(why))) => return sentence(area, why, frame),
        _ => return sentence(area, "reading unit …", frame),
    };
    let unit = Unit {
        app,
        theme,
        layer,
        unit,
        known,
        window,
        listed: app.listed_parameters(layer, unit),
    };
    unit.draw(area, frame);
}

impl Unit<'_> {
    fn draw(&self, area: Rect, frame: &mut Frame) {
        let singles = self.singles();
        let below = u16::from(!singles.is_empty());
        let rows = [Length(1), Fill(1), Length(1), Length(below)];
        let [title, middle, selected, below] = Layout::vertical(rows).areas(area);
        frame.render(self.title(area.width), title);
        let list = LIST.min(area.width * 3 / 5);
        if area.width - list > NARROWEST_PICTURE {
            let [list, pictures] = Layout::horizontal([Length(list), Fill(1)])
                .spacing(1)
                .areas(middle);
            self.list(list, frame);
            self.pictures(pictures, frame);
        } else {
            self.list(middle, frame);
        }
        frame.render(self.selected(area.width), selected);
        frame.render(cells::fitting(singles, area.width), below);
    }

    fn title(&self, width: u16) -> Line<'static> {
        let layer = &self.app.model.header.layout.layers[self.layer];
        let count = self.listed.len();
        let name = elided(&layer.name, usize::from(width / 3), self.theme);
        let totals = match &self.known.totals {
            Some(totals) => format!("totals over the first {} steps", totals.steps),
            None => no_totals(&self.app.model.header)[1].to_owned(),
        };
        let name = format!(" {name}, unit {}", self.unit);
        let texts = [
            format!("  {count} parameters; {totals}; * traced, t next"),
            format!("  {count} parameters; {totals}"),
            format!("  {totals}"),
            match &self.known.totals {
                Some(totals) => format!("  after {} steps", totals.steps),
                None => format!("  {}", no_totals(&self.app.model.header)[0]),
            },
        ];
        let room = usize::from(width.saturating_sub(words::width_of(&name)));
        let text = worded(&texts, room, self.theme);
        Line::from(vec![
            Span::styled(name, self.theme.header),
            Span::styled(text, self.theme.dim),
        ])
    }

    /// A parameter's name, shortened if it does not fit in a list, where all parameters share the unit's index and most
    /// are weights.
    fn name(&self, parameter: usize, room: usize) -> String {
        let long = parameter_name(&self.app.model.header.layout, parameter);
        let narrow = long.replace(", ", ",");
        let short = narrow.replacen("weight ", "w ", 1);
        worded(&[long, narrow, short], room, self.theme)
    }

    fn list(&self, area: Rect, frame: &mut Frame) {
        let [head, lines] = Layout::vertical([Length(1), Fill(1)]).areas(area);
        let buf = &mut *frame.buffer;
        put(head, buf, Line::styled("  parameter", self.theme.header));
        // The last parameter of each tensor has the longest name; drop columns before cutting it.
        let last = (self.known.rows.iter()).filter_map(|row| row.end.checked_sub(1));
        let longest = last.map(|it| self.name(it, 16).chars().count()).max();
        let room = usize::from(area.width).saturating_sub(longest.unwrap_or(0) + 3);
        let columns = (room / usize::from(NUMBER)).clamp(1, COLUMNS.len());
        // If not every step in view is recorded, the title gives the number of those that are.
        let window = match self.window {
            Some(window) if !window.is_complete() => several(window.count),
            _ => COLUMNS[2].to_owned(),
        };
        let [total, help, _, every] = COLUMNS;
        for (place, title) in [total, help, &window, every][..columns].iter().enumerate() {
            put_column(
                head,
                buf,
                from_right(place, columns),
                title,
                self.theme.header,
            );
        }
        let place = (self.listed.iter()).position(|&it| it == self.app.nav.parameter);
        let fit = usize::from(lines.height);
        let first = scrolled(place.unwrap_or(0), fit, self.listed.len());
        let shown = &self.listed[first..];
        for (line, &parameter) in lines.rows().zip(shown) {
            self.row(line, (parameter, columns), buf);
        }
        frame.rows(lines, shown.iter().copied());
    }

    fn row(&self, line: Rect, (parameter, columns): (usize, usize), buf: &mut Buffer) {
        let traced = is_traced(&self.app.model, parameter);
        let room = usize::from(line.width).saturating_sub(columns * usize::from(NUMBER) + 2);
        let name = self.name(parameter, room);
        let style = if parameter == self.app.nav.parameter {
            self.theme.selected
        } else {
            Style::default()
        };
        let mark = if traced { "*" } else { " " };
        let spans = vec![
            Span::styled(format!(" {mark}"), self.theme.accent),
            Span::styled(name, style),
        ];
        put(line, buf, Line::from(spans));
        let Some(at) = self.known.position_of(parameter) else {
            return;
        };
        let (help, turns) = self.shares(at);
        let (total, window) = (self.total(at), self.in_window(at));
        let text = |value: Option<f64>| value.map_or_else(String::new, number);
        let color = |value: Option<f64>| self.theme.of_sign(value.unwrap_or(0.0));
        let texts = [
            (text(total), color(total)),
            (percent(help), Style::default()),
            (text(window), color(window)),
            (every(turns), Style::default()),
        ];
        for (place, (text, style)) in texts[..columns].iter().enumerate() {
            put_column(line, buf, from_right(place, columns), text, *style);
        }
    }

    fn total(&self, at: usize) -> Option<f64> {
        self.known.totals.as_ref()?.lca_sum.get(at).copied()
    }

    fn in_window(&self, at: usize) -> Option<f64> {
        self.window?.lca_sum.get(at).copied()
    }

    /// The share of the steps in which the parameter helped, and the mean number of steps between sign flips of its
    /// updates.
    fn shares(&self, at: usize) -> (f64, f64) {
        let Some(totals) = &self.known.totals else {
            return (f64::NAN, f64::NAN);
        };
        #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
        let steps = totals.steps as f64;
        let count = |counts: &[u32]| counts.get(at).map_or(f64::NAN, |&n| n.into());
        (
            count(&totals.helped) / steps,
            steps / count(&totals.update_flips),
        )
    }

    fn pictures(&self, area: Rect, frame: &mut Frame) {
        let (layer, unit) = (self.layer, self.unit);
        let chosen = Picture::of(&self.app.model.header, layer, unit, self.app.nav.parameter);
        let Some(picture) = chosen else {
            return;
        };
        let weights = self.known.weights.as_ref();
        // Draw the two side by side if both fit whole, otherwise one above the other if enough rows remain.
        let tall = area.height >= 24 && usize::from(area.width / 2) < picture.columns + 3;
        let [one, other] = if tall {
            let first = Length((area.height / 2).saturating_sub(1));
            Layout::vertical([first, Fill(1)]).spacing(1).areas(area)
        } else {
            cells::halves(area)
        };
        let both = weights.is_some() && (tall || other.width >= 2 * NARROWEST_PICTURE);
        let sums = self.known.totals.as_ref().map(|it| it.lca_sum.as_slice());
        let (title, values) = match (sums, self.window) {
            (Some(values), _) => ("total LCA", values),
            (None, Some(window)) => ("LCA in view", window.lca_sum.as_slice()),
            (None, None) => return sentence(area, no_totals(&self.app.model.header)[0], frame),
        };
        let values: Vec<f64> = self.pixels(&picture, values);
        let first = if both { one } else { area };
        let titles = [
            format!("{title}: {}", picture.note),
            format!("LCA: {}", picture.note),
            title.to_owned(),
        ];
        self.picture(first, frame, (&titles, "nats"), &picture, &values);
        if let Some(weights) = weights.filter(|_| both) {
            let values: Vec<f64> = self.pixels(&picture, &weights.values);
            let titles = [
                format!("weights after {} steps", weights.steps),
                format!("after {} steps", weights.steps),
            ];
            self.picture(other, frame, (&titles, ""), &picture, &values);
        }
    }

    /// The values of a picture's parameters.
    fn pixels<T: Copy + Into<f64>>(&self, picture: &Picture, values: &[T]) -> Vec<f64> {
        let parameters = picture.parameters.clone();
        let Some(start) = self.known.position_of(parameters.start) else {
            return Vec::new();
        };
        let own = values.iter().skip(start).take(parameters.len());
        own.map(|&value| value.into()).collect()
    }

    fn picture(
        &self,
        area: Rect,
        frame: &mut Frame,
        (titles, unit): (&[String], &str),
        picture: &Picture,
        values: &[f64],
    ) {
        let title = worded(titles, area.width.into(), self.theme);
        let title = title.replace('×', either(self.theme, "×", "x"));
        frame.render(Line::styled(title, self.theme.header), row(area, 0));
        if area.height < 3 {
            return;
        }
        let max = cells::largest(values.iter().copied());
        let scale = match unit {
            "" => Scale::Linear,
            _ => signed_scale(&self.app.nav, max),
        };
        let image = ImageMap {
            theme: self.theme,
            values,
            tiles: picture.tiles,
            rows: picture.rows,
            columns: picture.columns,
            scale,
            max,
            selected: self.app.nav.parameter.checked_sub(picture.parameters.start),
        };
        frame.render(image, area.inner(Margin::new(0, 1)));
        let legend = RampLegend {
            theme: self.theme,
            scale,
            max,
            unit,
        };
        frame.render(legend.line(area.width), row(area, area.height - 1));
    }

    /// The selected parameter's numbers.
    fn selected(&self, width: u16) -> Line<'static> {
        let parameter = self.app.nav.parameter;
        let name = parameter_name(&self.app.model.header.layout, parameter);
        let name = vec![Span::styled(format!(" {name}"), self.theme.selected)];
        let mut parts = vec![(0, name)];
        let Some(at) = self.known.position_of(parameter) else {
            return cells::fitting(parts, width);
        };
        if let Some(total) = self.total(at) {
            parts.push((0, vec![Span::raw("  total "), lca(self.theme, total)]));
        }
        match self.window {
            Some(window) => {
                let sum = self.in_window(at).unwrap_or(f64::NAN);
                parts.push((1, vec![Span::raw("  in view "), lca(self.theme, sum)]));
                if !window.is_complete() {
                    let all = window.steps.end - window.steps.start;
                    let text = format!(" ({} of {all} steps)", window.count);
                    parts.push((1, vec![Span::styled(text, self.theme.dim)]));
                }
            }
            None => {
                let text = "  in view: not recorded (--record-params)";
                parts.push((4, vec![Span::styled(text, self.theme.dim)]));
            }
        }
        let recorded = self.known.recorded.as_ref();
        if let Some(&here) = recorded.and_then(|it| it.lca_sum.get(at)) {
            let step = self.app.cursor();
            let at = step.map_or_else(String::new, |step| format!("  {} ", words::at(step)));
            parts.push((2, vec![Span::raw(at), lca(self.theme, here)]));
        }
        parts.extend(self.weight(at).map(|span| (3, vec![span])));
        if let Some(residual) = words::residual_at(self.app) {
            let text = format!("  {residual}");
            parts.push((5, vec![Span::styled(text, self.theme.dim)]));
        }
        cells::fitting(parts, width)
    }

    fn weight(&self, at: usize) -> Option<Span<'static>> {
        let weights = self.known.weights.as_ref()?;
        let value = weights.values.get(at)?;
        let value = numbers::decimals(f64::from(*value), 6);
        Some(Span::raw(format!("  value {value}")))
    }

    /// Biases and other tensors with one parameter for each unit; if there is little room, the last go first.
    fn singles(&self) -> Vec<(u8, Vec<Span<'static>>)> {
        let layout = &self.app.model.header.layout;
        let tensors = layout.tensors[layout.layers[self.layer].tensors.clone()].iter();
        let mut parts = Vec::new();
        for tensor in tensors.filter(|tensor| tensor.row_len() == 1) {
            let Some(at) = self.known.position_of(tensor.row(self.unit).start) else {
                continue;
            };
            let rank = u8::try_from(parts.len()).unwrap_or(u8::MAX);
            let between = match rank {
                0 => "",
                _ => either(self.theme, "  ·", "  |"),
            };
            let mut spans = vec![Span::raw(format!("{between} {}", tensor.kind.name()))];
            if let Some(total) = self.total(at) {
                spans.extend([Span::raw("  total "), lca(self.theme, total)]);
            }
            spans.extend(self.weight(at));
            parts.push((rank, spans));
        }
        parts
    }
}

/// The position of a column of numbers, counted from the right edge.
fn from_right(place: usize, columns: usize) -> u16 {
    u16::try_from(columns - 1 - place).unwrap_or(0)
}

pub fn is_traced(model: &RunModel, parameter: usize) -> bool {
    let traced = &model.header.traced;
    traced.binary_search(&(parameter as u64)).is_ok()
}
