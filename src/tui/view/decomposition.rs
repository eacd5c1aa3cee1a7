//! The Decomposition screen: how the layers' LCA adds up to the change of the loss.
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
//! The stacks show exact sums beside the actual change of the loss. With more than eight layers, the seven with the
//! largest LCA in view have their own colours, always including the selected one; the others form a single part, so
//! that the stacks still add up. The heat map shows all layers. Stacks and running sums stay linear regardless of `g`:
//! logarithmic lengths do not add up.

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;

use super::cells::largest;
use super::sheet::{Row, Sheet, closing_rows, column, nats};
use super::spread::{Running, Spread, View, charts, ends, named, titled};
use super::status;
use super::words::{self, either, more};
use crate::analysis::scale::{Domain, Scale};
use crate::app::{App, Stretch};
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;
use crate::tui::widget::heat_map::{self, HeatMap};
use crate::tui::widget::{Details, Entry, LEFT_AXIS, LineChart, Pen, Series, StackedBars};

/// Rows of the smallest chart with its title.
const LEAST: u16 = 9;
/// Cells of the narrowest chart.
const NARROWEST: u16 = 26;

/// A part of the stacks: one or more layers.
struct Part {
    name: String,
    layers: Vec<usize>,
}

impl Part {
    fn sum(&self, steps: &Stretch<'_>) -> f64 {
        self.layers.iter().map(|&layer| steps.lca(layer)).sum()
    }
}

struct Decomposition<'a> {
    app: &'a App,
    theme: &'a Theme,
    view: View<'a>,
    parts: Vec<Part>,
}

pub fn draw(area: Rect, frame: &mut Frame) {
    let below = status::draw(area, frame);
    if let Some(screen) = Decomposition::of(frame.app, frame.theme) {
        screen.draw(below, frame);
    }
}

/// The layers with their own colour, in the order of the network, then the others as one part, if there are any.
fn parts(app: &App, window: &Stretch<'_>) -> Vec<Part> {
    let layers = &app.model.header.layout.layers;
    let part = |layer: usize| Part {
        name: layers[layer].name.clone(),
        layers: vec![layer],
    };
    if layers.len() <= Theme::CATEGORIES {
        return (0..layers.len()).map(part).collect();
    }
    let mut most: Vec<usize> = (0..layers.len()).collect();
    let sizes: Vec<f64> = (most.iter())
        .map(|&layer| window.lca(layer).abs())
        .collect();
    // The selected layer comes first; NaN sorts as the largest.
    most.sort_by(|&a, &b| {
        let selected = (b == app.nav.layer).cmp(&(a == app.nav.layer));
        selected.then_with(|| sizes[b].total_cmp(&sizes[a]))
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

impl<'a> Decomposition<'a> {
    fn of(app: &'a App, theme: &'a Theme) -> Option<Self> {
        let view = View::of(app);
        if view.window.is_empty() || app.model.timeline.layers() == 0 {
            return None;
        }
        let parts = parts(app, &view.window);
        Some(Self {
            app,
            theme,
            view,
            parts,
        })
    }

    fn draw(&self, area: Rect, frame: &mut Frame) {
        let table = match area.width {
            0..90 => 36.min(area.width - NARROWEST - 1),
            _ => 48.min(area.width / 2),
        };
        let [left, right] = Layout::horizontal([Fill(1), Length(table)])
            .spacing(1)
            .areas(area);
        let spread = Spread::new(&self.view.window, left);
        let looks = self.looks(&spread);
        let layers = 0..self.app.model.timeline.layers();
        let lca: Vec<Vec<f64>> = layers
            .map(|layer| spread.values(|column| column.lca(layer)))
            .collect();
        for (chart, part) in charts(left, 3, LEAST, self.app.nav.focus) {
            match chart {
                0 => self.stacks(&lca, &spread, part, frame),
                1 => self.curves(&looks, part, frame),
                _ => self.heat_map(&lca, &spread, part, frame),
            }
        }
        self.sheet(&looks, &spread).draw(right, frame);
    }

    /// The symbol and style of each part, in the stacks and in the table.
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

    fn stacks(&self, lca: &[Vec<f64>], spread: &Spread<'_>, area: Rect, frame: &mut Frame) {
        let mark = either(self.theme, "━ actual Δloss", "= actual dloss");
        let short = either(self.theme, "━ Δloss", "= dloss");
        let each = each(spread);
        let titles = [
            format!("LCA by layer, {each}; {mark}"),
            format!("LCA, {each}; {short}"),
            format!("{each}; {short}"),
            each,
        ];
        let area = titled(area, &titles, frame);
        let cells = 0..spread.cells();
        let values: Vec<f64> = (self.parts.iter())
            .flat_map(|part| {
                let sum = |cell: usize| part.layers.iter().map(|&layer| lca[layer][cell]).sum();
                cells.clone().map(sum)
            })
            .collect();
        let totals = spread.values(Stretch::loss_change);
        let mut chart = self.stacked(&values, &totals, spread);
        chart.cursor = self.view.mark().and_then(|step| spread.cell_of(step));
        frame.render(chart, area);
    }

    fn curves(&self, looks: &[(char, Style)], area: Rect, frame: &mut Frame) {
        let first = self.view.window.steps().start;
        let titles = [
            format!("LCA by layer, summed since step {first}"),
            format!("LCA summed since step {first}"),
            format!("LCA since step {first}"),
            format!("since {first}"),
        ];
        // The table shows the layers' symbols.
        let marked = self.theme.needs_marks(self.parts.len());
        let change = Pen {
            style: self.theme.train,
            mark: '=',
        };
        let entry = Entry {
            name: either(self.theme, "Δloss", "dloss"),
            symbol: if marked { change.mark } else { '─' },
            style: change.style,
        };
        let area = named(area, &titles, &[entry], frame);
        let dots = LineChart::plot_columns(area, self.theme.glyphs);
        let window = &self.view.window;
        let running = Running::new(window, dots);
        let all = running.curve(&window.running_change());
        let parts: Vec<_> = (self.parts.iter())
            .map(|part| running.curve(&window.running_lca(&part.layers)))
            .collect();
        let pen = |part: usize| {
            let pen = self.theme.category(part);
            match looks.get(part) {
                Some(&(mark, _)) if marked => Pen { mark, ..pen },
                _ => pen,
            }
        };
        let domain = Domain::of(ends(parts.iter().chain([&all])).chain([0.0]));
        let all = Series {
            name: "",
            pen: change,
            extents: &all,
        };
        let curves = parts.iter().enumerate().map(|(part, extents)| Series {
            name: "",
            pen: pen(part),
            extents,
        });
        let series: Vec<Series<'_>> = std::iter::once(all).chain(curves).collect();
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
            marks: marked,
            ..Details::default()
        };
        frame.render(chart.with(details), area);
    }

    fn heat_map(&self, lca: &[Vec<f64>], spread: &Spread<'_>, area: Rect, frame: &mut Frame) {
        let each = each(spread);
        let titles = [
            format!("LCA of every layer, {each}"),
            format!("LCA, {each}"),
            each,
        ];
        let area = titled(area, &titles, frame);
        let listed = self.app.listed_layers();
        let dense = listed.len() > usize::from(area.height.saturating_sub(2));
        let lines = heat_map::plot_area(area, LEFT_AXIS).height;
        let fit = usize::from(lines) * heat_map::rows_per_cell(self.theme, dense);
        let selected = listed.iter().position(|&layer| layer == self.app.nav.layer);
        let first = words::scrolled(selected.unwrap_or(0), fit, listed.len());
        let rows = listed.iter().map(|&layer| lca[layer].as_slice());
        let values: Vec<f64> = rows.collect::<Vec<_>>().concat();
        let max = largest(values.iter().copied());
        let shown = &listed[first..];
        let names: Vec<&str> = (shown.iter())
            .map(|&layer| self.app.model.header.layout.layers[layer].name.as_str())
            .collect();
        let chart = HeatMap {
            theme: self.theme,
            values: &values[first * spread.cells()..],
            rows: listed.len(),
            columns: spread.cells(),
            scale: words::signed_scale(&self.app.nav, max),
            max,
            unit: "nats",
            names: &names,
            gutter: LEFT_AXIS,
            first,
            selected,
            cursor: self.view.mark().and_then(|step| spread.cell_of(step)),
            dense,
            x_axis: spread.axis(),
        };
        frame.render(chart, area);
    }

    /// The table of exact numbers: at the cursor's step, summed up to it, and over the chart column it is in.
    fn sheet(&self, looks: &[(char, Style)], spread: &Spread<'_>) -> Sheet<'a> {
        let first = self.view.window.steps().start;
        let asked = first..self.view.cursor.map_or(first, |step| step + 1);
        let until = self.app.model.timeline.stretch(&asked);
        let mut stretches = vec![&self.view.at, &until];
        let since = more(&format!("since {first}"), &until, &asked);
        let mut columns = vec![column(self.view.cursor_title()), column(since)];
        let at = self
            .view
            .cursor
            .and_then(|step| spread.bars.column_of(step));
        if let Some(bar) = at
            .and_then(|at| spread.bars.get(at))
            .filter(|it| it.len() > 1)
        {
            let steps = bar.steps();
            stretches.push(bar);
            columns.push(column(format!("{}-{}", steps.start, steps.end - 1)));
        }
        let listed = self.app.listed_layers();
        let row = |&layer: &usize| {
            let part = self.parts.iter().position(|part| part.layers == [layer]);
            let mark = part.and_then(|part| looks.get(part)).copied();
            Row {
                mark: Some(mark.unwrap_or((' ', Style::default()))),
                name: self.app.model.header.layout.layers[layer].name.clone(),
                style: Style::default(),
                cells: (stretches.iter())
                    .map(|steps| nats(steps.lca(layer), self.theme))
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
        closing.extend(closing_rows(&self.app.model, self.theme, &stretches));
        Sheet {
            theme: self.theme,
            title: "nats",
            groups: Vec::new(),
            columns,
            rows: listed.iter().map(row).collect(),
            selected: listed.iter().position(|&layer| layer == self.app.nav.layer),
            items: listed,
            closing,
        }
    }
}

/// The number of steps in a column, in words.
fn each(spread: &Spread<'_>) -> String {
    match spread.widest() {
        0 | 1 => "1 step per column".to_owned(),
        steps => format!("{steps} steps per column"),
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
            // Match the numbers that follow a name, not those in a chart.
            let line = |name: &str| -> Vec<f64> {
                let words = |line: &str| -> Vec<f64> {
                    let (_, rest) = line.rsplit_once(name).unwrap_or_default();
                    rest.split_whitespace().map(number).collect()
                };
                // Skip the status line, which has the step's residual too.
                let mut found = screen.lines().skip(3).map(words);
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
    fn each_chart_can_be_maximised_in_turn() {
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
        let parts = parts(&app, &app.model.timeline.whole());
        assert_eq!(parts.len(), Theme::CATEGORIES);
        let whole = app.model.timeline.whole();
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
