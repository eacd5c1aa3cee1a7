//! The Decomposition: how the layers' contributions add up to the change of the loss.
//!
//! ```text
//!  step 412  loss 0.53121  …
//!  LCA by layer, 4 steps a column; ━ Δloss          layer      cursor  column   since
//!   nats│  ▂▂  ▅                                    █ fc1    -1.2e-3 -4.1e-3  -0.812
//!  -0.01┤ ▇██▇━█▆▃▂━━▂▂                             █ fc2    -3.1e-4 …
//!  LCA since step 0                                 █ fc3
//!   nats│⠉⠒⠤⣀⣀⡠⠤⠤⣀                                  sum LCA  -1.5e-3 …
//!  LCA by layer and 4 steps                         Δloss    -1.5e-3
//!    fc1│▒▒▓▓░░                                     residual +3.1e-7
//! ```
//!
//! The stacks are of exact sums, and stand beside the actual change of the loss. Of more than eight layers
//! the seven that did most in the window have colours of their own, the selected one among them, and
//! the others are one part, so that the stacks still add up. The heat map has them all. Stacks and running
//! sums are linear whatever `g` says: lengths of logarithms do not add up.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::Widget;

use super::sheet::{NUMBER, Row, Sheet, closing_rows, nats};
use super::spread::{Running, Spread, View, charts, ends, titled};
use super::status;
use super::words::{self, either};
use crate::analysis::scale::{Domain, Scale};
use crate::app::{App, Stretch};
use crate::tui::theme::{ColorLevel, Glyphs, Theme};
use crate::tui::widget::heat_map::{self, HeatMap};
use crate::tui::widget::{Details, LEFT_AXIS, LineChart, Pen, Series, StackedBars};

/// Rows of the smallest chart with its title.
const LEAST: u16 = 9;
/// Cells of the narrowest chart.
const NARROWEST: u16 = 26;

/// A part of the stacks: some layers together.
struct Part {
    name: String,
    layers: Vec<usize>,
}

impl Part {
    fn sum(&self, steps: &Stretch<'_>) -> f64 {
        self.layers
            .iter()
            .map(|&layer| steps.layer_sums(layer).lca)
            .sum()
    }
}

struct Decomposition<'a> {
    app: &'a App,
    theme: &'a Theme,
    view: View<'a>,
    parts: Vec<Part>,
}

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    let status = Rect { height: 1, ..area };
    status::line(app, theme, area.width).render(status, buf);
    let view = View::of(app);
    if view.window.is_empty() || app.timeline.layers() == 0 {
        return;
    }
    let body = Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    };
    let parts = parts(app, &view.window);
    let screen = Decomposition {
        app,
        theme,
        view,
        parts,
    };
    screen.draw(body, buf);
}

/// The layers with a colour of their own, in the order of the network, and the others.
fn parts(app: &App, window: &Stretch<'_>) -> Vec<Part> {
    let layers = &app.header.layout.layers;
    let part = |layer: usize| Part {
        name: layers[layer].name.clone(),
        layers: vec![layer],
    };
    if layers.len() <= Theme::CATEGORIES {
        return (0..layers.len()).map(part).collect();
    }
    let mut most: Vec<usize> = (0..layers.len()).collect();
    let size = |layer: usize| window.layer_sums(layer).lca.abs();
    // The selected layer first; what is no number is as large as can be.
    most.sort_by(|&a, &b| {
        let selected = (b == app.layer).cmp(&(a == app.layer));
        selected.then_with(|| size(b).total_cmp(&size(a)))
    });
    let mut others = most.split_off(Theme::CATEGORIES - 1);
    most.sort_unstable();
    others.sort_unstable();
    let others = Part {
        name: format!("{} others", others.len()),
        layers: others,
    };
    most.into_iter().map(part).chain([others]).collect()
}

impl Decomposition<'_> {
    fn draw(&self, area: Rect, buf: &mut Buffer) {
        let table = match area.width {
            0..90 => 36.min(area.width - NARROWEST - 1),
            _ => 48.min(area.width / 2),
        };
        let left = Rect {
            width: area.width - table - 1,
            ..area
        };
        let right = Rect {
            x: left.right() + 1,
            width: table,
            ..area
        };
        let spread = Spread::new(&self.view.window, left);
        let looks = self.looks(&spread);
        for (chart, part) in charts(left, 3, LEAST, self.app.focus) {
            match chart {
                0 => self.stacks(&spread, part, buf),
                1 => self.curves(&looks, part, buf),
                _ => self.heat_map(&spread, part, buf),
            }
        }
        self.sheet(&looks, &spread, right, buf);
    }

    /// What each part looks like, in the stacks and in the table.
    fn looks(&self, spread: &Spread<'_>) -> Vec<(char, Style)> {
        let names: Vec<&str> = self.parts.iter().map(|part| part.name.as_str()).collect();
        let entries = self.stacked(&[], &[], spread).entries(&names);
        entries
            .iter()
            .map(|entry| (entry.symbol, entry.style))
            .collect()
    }

    fn stacked<'b>(
        &'b self,
        values: &'b [f64],
        totals: &'b [f64],
        spread: &Spread<'_>,
    ) -> StackedBars<'b> {
        StackedBars {
            theme: self.theme,
            values,
            series: self.parts.len(),
            columns: spread.cells(),
            first_category: 0,
            totals,
            extent: StackedBars::extent(values, spread.cells(), totals),
            unit: "nats",
            x_axis: spread.axis(),
            cursor: None,
        }
    }

    fn stacks(&self, spread: &Spread<'_>, area: Rect, buf: &mut Buffer) {
        let mark = either(self.theme, "━ actual Δloss", "= actual dloss");
        let title = format!("LCA by layer, {}; {mark}", each(spread));
        let area = titled(area, &title, self.theme, buf);
        let values: Vec<f64> = (self.parts.iter())
            .flat_map(|part| spread.values(|column| part.sum(column)))
            .collect();
        let totals = spread.values(Stretch::loss_change);
        let mut chart = self.stacked(&values, &totals, spread);
        chart.cursor = self.view.mark().and_then(|step| spread.cell_of(step));
        chart.render(area, buf);
    }

    fn curves(&self, looks: &[(char, Style)], area: Rect, buf: &mut Buffer) {
        let first = self.view.window.steps().start;
        let title = format!("LCA by layer, summed since step {first}");
        let area = titled(area, &title, self.theme, buf);
        let dots = LineChart::plot_columns(area, self.theme.glyphs);
        let running = Running::new(&self.view.window, dots);
        let change = running.sums(Stretch::loss_change);
        let parts: Vec<_> = (self.parts.iter())
            .map(|part| running.sums(|entry| part.sum(entry)))
            .collect();
        let letters = self.theme.glyphs == Glyphs::Ascii || self.theme.colors == ColorLevel::None;
        let pen = |part: usize| {
            let pen = self.theme.category(part);
            match looks.get(part) {
                Some(&(mark, _)) if letters => Pen { mark, ..pen },
                _ => pen,
            }
        };
        let all = Series {
            name: either(self.theme, "Δloss", "dloss"),
            pen: Pen {
                style: self.theme.train,
                mark: '=',
            },
            extents: &change,
        };
        let curves = parts.iter().enumerate().map(|(part, extents)| Series {
            name: "",
            pen: pen(part),
            extents,
        });
        let series: Vec<Series<'_>> = std::iter::once(all).chain(curves).collect();
        let domain = Domain::of(ends(parts.iter().chain([&change])).chain([0.0]));
        let chart = LineChart {
            theme: self.theme,
            series: &series,
            scale: Scale::Linear,
            domain,
            unit: "nats",
            steps: self.view.window.steps(),
            cursor: self.view.mark_dot(dots),
        };
        let details = Details {
            zero_line: true,
            marks: letters,
            ..Details::default()
        };
        chart.with(details).render(area, buf);
    }

    fn heat_map(&self, spread: &Spread<'_>, area: Rect, buf: &mut Buffer) {
        let title = format!("LCA of every layer, {}", each(spread));
        let area = titled(area, &title, self.theme, buf);
        let listed = self.app.listed_layers();
        let names: Vec<&str> = (listed.iter())
            .map(|&layer| self.app.header.layout.layers[layer].name.as_str())
            .collect();
        let values: Vec<f64> = (listed.iter())
            .flat_map(|&layer| spread.values(|column| column.layer_sums(layer).lca))
            .collect();
        let finite = values.iter().filter(|value| value.is_finite());
        let max = finite.fold(0.0_f64, |max, value| max.max(value.abs()));
        let selected = listed.iter().position(|&layer| layer == self.app.layer);
        let dense = names.len() > usize::from(area.height.saturating_sub(2));
        let lines = heat_map::plot_area(area, LEFT_AXIS).height;
        let fit = usize::from(lines) * heat_map::rows_per_cell(self.theme, dense);
        let chart = HeatMap {
            theme: self.theme,
            values: &values,
            rows: names.len(),
            columns: spread.cells(),
            scale: self.scale(max),
            max,
            unit: "nats",
            names: &names,
            gutter: LEFT_AXIS,
            first: words::scrolled(selected.unwrap_or(0), fit, names.len()),
            selected,
            cursor: self.view.mark().and_then(|step| spread.cell_of(step)),
            dense,
            x_axis: spread.axis(),
        };
        chart.render(area, buf);
    }

    fn scale(&self, max: f64) -> Scale {
        match self.app.log_scale {
            true => Scale::SymLog {
                linear: max / 100.0,
            },
            false => Scale::Linear,
        }
    }

    /// The exact numbers: of the cursor's step, of the sums up to it, of the column that it is in.
    fn sheet(&self, looks: &[(char, Style)], spread: &Spread<'_>, area: Rect, buf: &mut Buffer) {
        let first = self.view.window.steps().start;
        let end = self.view.cursor.map_or(first, |step| step + 1);
        let until = self.app.timeline.stretch(&(first..end));
        let mut stretches = vec![&self.view.at, &until];
        let mut columns = vec![
            ("cursor".to_owned(), NUMBER),
            (format!("since {first}"), 11),
        ];
        let at = self
            .view
            .cursor
            .and_then(|step| spread.bars.column_of(step));
        if let Some(column) = at
            .and_then(|at| spread.bars.get(at))
            .filter(|it| it.len() > 1)
        {
            let steps = column.steps();
            stretches.push(column);
            columns.push((format!("{}-{}", steps.start, steps.end - 1), 12));
        }
        let listed = self.app.listed_layers();
        let row = |&layer: &usize| {
            let part = self.parts.iter().position(|part| part.layers == [layer]);
            let mark = part.and_then(|part| looks.get(part)).copied();
            Row {
                mark: Some(mark.unwrap_or((' ', Style::default()))),
                name: self.app.header.layout.layers[layer].name.clone(),
                style: Style::default(),
                cells: (stretches.iter())
                    .map(|steps| nats(steps.layer_sums(layer).lca, self.theme))
                    .collect(),
            }
        };
        let others = self
            .parts
            .iter()
            .zip(looks)
            .filter(|(part, _)| part.layers.len() > 1);
        let mut closing: Vec<Row> = others
            .map(|(part, &mark)| Row {
                mark: Some(mark),
                name: part.name.clone(),
                style: Style::default(),
                cells: (stretches.iter())
                    .map(|steps| nats(part.sum(steps), self.theme))
                    .collect(),
            })
            .collect();
        closing.extend(closing_rows(self.app, self.theme, &stretches));
        let sheet = Sheet {
            theme: self.theme,
            title: "nats",
            groups: &[],
            columns,
            rows: listed.iter().map(row).collect(),
            selected: listed.iter().position(|&layer| layer == self.app.layer),
            closing,
        };
        sheet.draw(area, buf);
    }
}

/// How many steps a column stands for.
fn each(spread: &Spread<'_>) -> String {
    match spread.widest() {
        0 | 1 => "step by step".to_owned(),
        steps => format!("{steps} steps a column"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Action, Screen};
    use crate::tui::view::testing::{app, is_about, number, plain, row, text, theme};

    fn shown(layers: usize, steps: u32) -> App {
        let allocations: Vec<f64> = (0..steps).map(|t| -0.02 / f64::from(t + 1)).collect();
        let mut app = app(layers, &allocations);
        app.act(Action::Screen(Screen::Decomposition));
        app
    }

    #[test]
    fn the_numbers_close_at_every_common_size() {
        let mut app = shown(3, 100);
        app.act(Action::Move(-40));
        let of =
            |steps: std::ops::Range<u32>| -> f64 { steps.map(|t| -0.03 / f64::from(t + 1)).sum() };
        for (width, height) in [(60, 16), (80, 24), (120, 40), (200, 60)] {
            let screen = text(&app, width, height, &theme());
            // The numbers that follow a name, and not one that stands in a chart.
            let line = |name: &str| -> Vec<f64> {
                let words = |line: &str| -> Vec<f64> {
                    let (_, rest) = line.rsplit_once(name).unwrap_or_default();
                    rest.split_whitespace().map(number).collect()
                };
                let mut found = screen.lines().map(words);
                let found = found.find(|words| words.len() > 1 && words[0].is_finite());
                found.unwrap_or_else(|| panic!("no {name}: {screen}"))
            };
            let (sum, residual) = (line("sum LCA"), line("residual"));
            assert!(
                sum.len() > 1 && is_about(sum[0], of(59..60)) && is_about(sum[1], of(0..60)),
                "{screen}"
            );
            assert!(
                is_about(residual[0], 1e-4) && is_about(residual[1], 6e-3),
                "{screen}"
            );
            let change = line("Δloss  ")[1];
            assert!(is_about(change, of(0..60) + 6e-3), "{screen}");
        }
    }

    #[test]
    fn one_chart_after_the_other_has_all_the_room() {
        let mut app = shown(3, 50);
        let titles = ["actual dloss", "summed since step 0", "LCA of every layer"];
        let seen = |app: &App, height| {
            let screen = text(app, 100, height, &plain());
            assert!(screen.is_ascii(), "{screen}");
            titles.map(|title| screen.contains(title))
        };
        assert_eq!(seen(&app, 40), [true; 3]);
        assert_eq!(seen(&app, 16), [true, false, false]);
        for at in 0..3 {
            app.act(Action::Focus);
            let mut only = [false; 3];
            only[at] = true;
            assert_eq!(seen(&app, 40), only);
        }
        app.act(Action::Focus);
        assert_eq!(seen(&app, 40), [true; 3]);
    }

    #[test]
    fn many_layers_still_add_up() {
        let mut app = shown(20, 30);
        app.act(Action::Select(19));
        let screen = text(&app, 140, 50, &theme());
        let others = screen.lines().find(|line| line.contains("13 others"));
        let others = others.unwrap_or_else(|| panic!("{screen}"));
        let parts = parts(&app, &app.timeline.whole());
        assert_eq!(parts.len(), Theme::CATEGORIES);
        let whole = app.timeline.whole();
        let sum: f64 = parts.iter().map(|part| part.sum(&whole)).sum();
        assert!((sum - whole.total_sums().lca).abs() < 1e-12);
        assert!(
            parts.iter().any(|part| part.layers == [19]),
            "the selected one"
        );
        let last = others
            .split("others")
            .nth(1)
            .unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap();
        assert!(is_about(number(last), parts[7].sum(&whole)), "{screen}");
        assert!(row(&screen, "step").len() > 3, "{screen}");
    }
}
