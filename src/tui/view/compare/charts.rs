//! The charts of a comparison: losses, and the LCA of the selected layer, of all runs on one axis.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::Line;
use ratatui::widgets::Widget;

use super::super::words::{self, elided};
use super::{group_name, pen};
use crate::analysis::bins::{self, Extent};
use crate::analysis::scale::{Domain, Scale};
use crate::app::{App, Comparison};
use crate::runs::letter;
use crate::tui::theme::Theme;
use crate::tui::widget::{LineChart, Pen, Series};

/// The number that a chart shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chart {
    Train,
    HeldOut,
    /// LCA of the selected layer.
    Layer,
}

/// The charts of all runs.
pub(super) struct Charts<'a> {
    pub app: &'a App,
    pub comparison: &'a Comparison<'a>,
    pub layers: &'a [Vec<Option<usize>>],
    pub theme: &'a Theme,
}

impl Charts<'_> {
    /// Draws as many charts as fit beside each other, or the one chosen in full.
    pub fn draw(&self, area: Rect, buf: &mut Buffer) {
        let all = [Chart::Train, Chart::HeldOut, Chart::Layer];
        let shown: Vec<Chart> = match self.app.nav.chart % 4 {
            0 if area.width >= 150 => all.to_vec(),
            0 if area.width >= 100 => vec![Chart::Train, Chart::Layer],
            0 => vec![Chart::Train],
            chart => vec![all[chart - 1]],
        };
        let shown: Vec<Chart> = shown.into_iter().filter(|chart| self.has(*chart)).collect();
        let areas = Layout::horizontal(shown.iter().map(|_| Fill(1))).split(area);
        let only = shown.len() == 1 && self.app.nav.chart.is_multiple_of(4);
        for (&chart, &area) in shown.iter().zip(areas.iter()) {
            // Room is scarce: the one chart of a narrow screen needs no title.
            let title = if only {
                String::new()
            } else {
                self.title(chart, area.width)
            };
            let said = u16::from(!title.is_empty());
            let [line, below] = Layout::vertical([Length(said), Fill(1)]).areas(area);
            Line::styled(title, self.theme.header).render(line, buf);
            self.chart(below, buf, chart);
        }
    }

    /// Returns true if a run has the numbers of a chart; the training losses are always shown.
    fn has(&self, chart: Chart) -> bool {
        match chart {
            Chart::Train => true,
            Chart::HeldOut => {
                let axis = axis_of(self.comparison);
                let runs = 0..self.comparison.runs.len();
                let extents = |run| self.extents(run, chart, &axis, 1);
                runs.flat_map(extents).any(|extent| extent.is_some())
            }
            Chart::Layer => self.app.nav.layer < self.app.model.header.layout.layers.len(),
        }
    }

    fn title(&self, chart: Chart, width: u16) -> String {
        match chart {
            Chart::Train => " training loss".to_owned(),
            Chart::HeldOut => " held-out loss".to_owned(),
            Chart::Layer => {
                let layers = &self.app.model.header.layout.layers;
                let name = &layers[self.app.nav.layer].name;
                let name = elided(name, usize::from(width / 2), self.theme);
                format!(" LCA of {name} per step")
            }
        }
    }

    /// The numbers of a run by column; empty if it lacks them.
    fn extents(
        &self,
        run: usize,
        chart: Chart,
        axis: &Range<u64>,
        columns: usize,
    ) -> Vec<Option<Extent>> {
        let steps = self.comparison.steps();
        let stretch = self.comparison.runs[run].timeline.stretch(&steps);
        let on = stretch.columns_on(axis, columns);
        match chart {
            Chart::Train => on.train_loss(),
            Chart::HeldOut => on.test_loss(),
            Chart::Layer => {
                let mut rows = self.layers.iter();
                let row = rows.find(|row| row[0] == Some(self.app.nav.layer));
                let layer = row.and_then(|row| row[run]);
                layer.map_or_else(|| vec![None; columns], |layer| on.layer(layer))
            }
        }
    }

    fn chart(&self, area: Rect, buf: &mut Buffer, chart: Chart) {
        let axis = axis_of(self.comparison);
        if axis.is_empty() || area.is_empty() {
            return;
        }
        let columns = LineChart::plot_columns(area, self.theme.glyphs);
        let runs = self.comparison.runs.len();
        let all: Vec<Vec<Option<Extent>>> = (0..runs)
            .map(|run| self.extents(run, chart, &axis, columns))
            .collect();
        let curves = if self.app.nav.means {
            self.means(&all, columns)
        } else {
            let curve = |(run, extents)| (letter(run), pen(self.theme, run), extents);
            all.into_iter().enumerate().map(curve).collect()
        };
        let ends = curves
            .iter()
            .flat_map(|(.., extents)| extents.iter().flatten());
        let domain = Domain::of(ends.flat_map(|e| [f64::from(e.min), f64::from(e.max)]));
        let largest = domain.min().abs().max(domain.max().abs());
        // The first run is drawn last, over the others.
        let series: Vec<Series> = (curves.iter().rev())
            .map(|(name, pen, extents)| Series {
                name,
                pen: *pen,
                extents,
            })
            .collect();
        let nav = &self.app.nav;
        let cursor = self.comparison.cursor();
        let cursor = cursor.filter(|step| axis.contains(step) && !nav.window.follows());
        let size = |steps: u64| usize::try_from(steps).unwrap_or(usize::MAX);
        let n = size(axis.end - axis.start);
        let column = |step: u64| bins::column_of(size(step - axis.start), n, columns).start;
        let chart = LineChart {
            theme: self.theme,
            series: &series,
            scale: match chart {
                Chart::Layer => words::signed_scale(nav, largest),
                _ if nav.linear => Scale::Linear,
                _ => Scale::Log,
            },
            domain,
            unit: "nats",
            steps: axis.clone(),
            cursor: cursor.map(column),
        };
        chart.render(area, buf);
    }

    /// The mean of the runs of each configuration and, of several, lines at the least and the greatest.
    fn means(
        &self,
        all: &[Vec<Option<Extent>>],
        columns: usize,
    ) -> Vec<(String, Pen, Vec<Option<Extent>>)> {
        let mut curves = Vec::new();
        for group in self.comparison.groups {
            let at = |column: usize| -> Vec<Extent> {
                group.iter().filter_map(|&run| all[run][column]).collect()
            };
            let line = |of: fn(&[Extent]) -> f32| -> Vec<Option<Extent>> {
                let value = |column: usize| {
                    // A mean of fewer runs would jump where one ends.
                    let extents = at(column);
                    (extents.len() == group.len()).then(|| of(&extents))
                };
                let extent = |value: f32| Extent {
                    min: value,
                    max: value,
                };
                (0..columns)
                    .map(|column| value(column).map(extent))
                    .collect()
            };
            let pen = pen(self.theme, group[0]);
            curves.push((group_name(group), pen, line(middle)));
            if group.len() > 1 {
                let edge = Pen {
                    style: pen.style.add_modifier(Modifier::DIM),
                    mark: '.',
                };
                let least =
                    |all: &[Extent]| all.iter().fold(f32::MAX, |least, it| least.min(it.min));
                let most = |all: &[Extent]| all.iter().fold(f32::MIN, |most, it| most.max(it.max));
                curves.push((String::new(), edge, line(least)));
                curves.push((String::new(), edge, line(most)));
            }
        }
        curves
    }
}

/// The mean of the middles of some runs' extents.
#[expect(clippy::cast_precision_loss, reason = "a few runs")]
fn middle(extents: &[Extent]) -> f32 {
    let middles = extents
        .iter()
        .map(|extent| f32::midpoint(extent.min, extent.max));
    middles.sum::<f32>() / extents.len() as f32
}

/// All steps shown that any run has: the axis of the charts.
fn axis_of(comparison: &Comparison) -> Range<u64> {
    let steps = comparison.steps();
    let stretches = comparison
        .runs
        .iter()
        .map(|run| run.timeline.stretch(&steps).steps());
    let ranges = stretches.filter(|steps| !steps.is_empty());
    let all = ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
    all.unwrap_or(0..0)
}
