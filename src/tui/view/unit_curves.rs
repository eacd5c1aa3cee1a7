//! Running sums of the units that help most and hurt most over the steps in view.

use ratatui::layout::Rect;

use super::cells;
use super::spread::{draw_sums, named};
use crate::analysis::bins::Extent;
use crate::analysis::scale::Domain;
use crate::query::Binned;
use crate::tui::frame::Frame;
use crate::tui::widget::{Entry, LineChart, Series};

/// The number of units at either end.
const EACH: usize = 3;

/// The running sum of a unit's LCA after each column, `[N]`; NaN after a column that was not measured.
fn running(units: &Binned, unit: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let add = |&a: &f64| {
        sum += a;
        sum
    };
    units.row(unit).iter().map(add).collect()
}

/// The units with the lowest and the highest sums, each once.
fn extremes(units: &Binned) -> Vec<usize> {
    let mut order: Vec<usize> = (0..units.groups.len()).collect();
    order.retain(|&unit| units.groups[unit].total.is_finite());
    let total = |unit: usize| units.groups[unit].total;
    let by_total = |a: &usize, b: &usize| total(*a).total_cmp(&total(*b)).then(a.cmp(b));
    // Only the ends need sorting.
    let count = order.len();
    if count > 2 * EACH {
        order.select_nth_unstable_by(EACH, by_total);
        order[EACH..].select_nth_unstable_by(count - 2 * EACH, by_total);
        order.drain(EACH..count - EACH);
    }
    order.sort_unstable_by(by_total);
    let worst = order.len().min(EACH);
    let (best, worst) = order.split_at(worst);
    best.iter().chain(worst.iter().rev()).copied().collect()
}

pub fn draw(area: Rect, frame: &mut Frame, units: &Binned) {
    let (app, theme) = (frame.app, frame.theme);
    let chosen = extremes(units);
    let names: Vec<String> = chosen.iter().map(|unit| format!("unit {unit}")).collect();
    let marked = theme.needs_marks(chosen.len());
    let entries: Vec<Entry<'_>> = (names.iter().enumerate())
        .map(|(at, name)| {
            let pen = theme.category(at);
            Entry {
                name,
                symbol: if marked { pen.mark } else { '─' },
                style: pen.style,
            }
        })
        .collect();
    let titles = [
        "running sums in view, nats: units that help most and hurt most",
        "running sums: units that help most and hurt most",
        "running sums of units",
    ];
    let area = named(area, &titles, &entries, frame);
    let columns = LineChart::plot_columns(area, theme.glyphs);
    let sums: Vec<Vec<f64>> = chosen.iter().map(|&unit| running(units, unit)).collect();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "charts need no more than f32"
    )]
    let curve = |sums: &Vec<f64>| -> Vec<Option<Extent>> {
        let at = |at: Option<usize>| {
            let value = *sums.get(at?)? as f32;
            let point = Extent {
                min: value,
                max: value,
            };
            value.is_finite().then_some(point)
        };
        cells::spread(units, columns).map(at).collect()
    };
    let curves: Vec<Vec<Option<Extent>>> = sums.iter().map(curve).collect();
    let series: Vec<Series<'_>> = (curves.iter().enumerate())
        .map(|(index, extents)| Series {
            name: "",
            pen: theme.category(index),
            extents,
        })
        .collect();
    let domain = Domain::of(sums.iter().flatten().copied().chain([0.0]));
    let steps = units.steps();
    let cursor = cells::cursor(app, &steps, columns);
    draw_sums(area, frame, &series, domain, steps, cursor);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::GroupTotals;

    fn units(totals: &[f64]) -> Binned {
        Binned {
            edges: vec![0, 1, 2],
            sums: totals.iter().flat_map(|&a| [a / 4.0, a * 0.75]).collect(),
            groups: totals
                .iter()
                .map(|&total| GroupTotals {
                    total,
                    ..GroupTotals::default()
                })
                .collect(),
            ..Binned::default()
        }
    }

    #[test]
    fn the_best_and_the_worst_unit_are_listed_once() {
        assert!(extremes(&units(&[])).is_empty());
        assert_eq!(extremes(&units(&[1.0])), [0]);
        assert_eq!(extremes(&units(&[4.0, 1.0, 2.0, 3.0])), [1, 2, 3, 0]);
        let many = units(&[0.0, -9.0, 5.0, f64::NAN, 1.0, 2.0, 3.0, -1.0]);
        assert_eq!(extremes(&many), [1, 7, 0, 2, 6, 5]);
    }

    #[test]
    fn running_sums_end_at_the_total() {
        assert_eq!(running(&units(&[4.0]), 0), [1.0, 4.0]);
    }
}
