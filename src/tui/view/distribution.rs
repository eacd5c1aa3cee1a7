//! The Distribution: how many parameters help, how much each, and how often.
//!
//! ```text
//!  step 412  loss 0.53121  …
//!  allocations in the steps 0-411, all layers            all layers       fc2
//!      param-steps│   ▂▅▇▆▃│▃▆▇▄▂                   in the window
//!               1e6┤ ▁▃███▇│▇██▅▂▁                   help              50.8%     50.1%
//!                  └-1e-6───┴0────1e-6── nats         zero               3.1%      0.2%
//!  help, zero and hurt in percent of the parameters   hurt              46.1%     49.7%
//!      %│───help────────── 50 %                      kurtosis          1.2e3       310
//!  parameters by how often they helped in 400 steps   tail index         1.41      1.80
//!        │      ▂▇▅▁│50 %                            after 400 steps
//!        └0─────────┴50──────────100── %              Gini, helping     0.712     0.613
//! ```
//!
//! `a` takes all layers together, or the selected one alone, into the charts; the numbers are of both. The
//! bins of the first chart are octaves on either side of 0, which no allocation in it is: its axis is a
//! symmetric logarithm, its counts are logarithmic or linear (`g`). Kurtosis and tail index of the window
//! are from these bins, and are about right ([`Octaves`]).

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget;

use super::distribution_numbers as numbers;
use super::spread::{View, charts, titled};
use super::status;
use super::words::sentence;
use crate::analysis::bins::Extent;
use crate::analysis::octaves::Octaves;
use crate::analysis::scale::{Domain, Scale};
use crate::app::{App, GroupSums, Stretch};
use crate::query::{self, Answer, Part, Query, Snapshot, Topic};
use crate::tui::theme::Theme;
use crate::tui::widget::{Bin, Details, Histogram, LineChart, Pen, Series};

/// Rows of the smallest chart with its title.
const LEAST: u16 = 8;

/// What the charts are of: a layer, or all.
pub fn chosen(app: &App) -> Option<u32> {
    (!app.pooled).then(|| selected(app))
}

pub fn selected(app: &App) -> u32 {
    u32::try_from(app.layer).unwrap_or(u32::MAX)
}

/// The question about the parameters' totals up to the cursor.
pub fn about_totals(app: &App, layer: Option<u32>) -> Option<Query> {
    let end = app.window.cursor(app.timeline.end())? + 1;
    Some(Query {
        topic: Topic::Snapshot { layer },
        part: Part::Cursor,
        steps: 0..end,
        columns: 1,
    })
}

pub fn wants(_: Rect, app: &App, _: &Theme) -> Vec<Query> {
    if app.timeline.end() == 0 || app.header.layout.layers.is_empty() {
        return Vec::new();
    }
    let both = [None, Some(selected(app))];
    let histograms = both.map(|layer| app.about_window(Topic::Histogram { layer }, 1));
    let totals = both
        .into_iter()
        .filter_map(|layer| about_totals(app, layer));
    histograms.into_iter().chain(totals).collect()
}

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    let line = Rect { height: 1, ..area };
    status::line(app, theme, area.width).render(line, buf);
    let view = View::of(app);
    if view.window.is_empty() || app.timeline.layers() == 0 {
        return;
    }
    let body = Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    };
    let table = numbers::WIDTH.min(body.width / 2);
    let left = Rect {
        width: body.width - table - 1,
        ..body
    };
    let right = Rect {
        x: left.right() + 1,
        width: table,
        ..body
    };
    for (chart, part) in charts(left, 3, LEAST, app.focus) {
        match chart {
            0 => allocations(part, app, theme, buf),
            1 => help(part, &view, app, theme, buf),
            _ => how_often(part, app, theme, buf),
        }
    }
    numbers::sheet(&view, app, theme).draw(right, buf);
}

/// Who the charts are of.
fn whose(app: &App) -> String {
    match app.header.layout.layers.get(app.layer) {
        Some(layer) if !app.pooled => layer.name.clone(),
        _ => "all layers".to_owned(),
    }
}

/// What is known of the window's allocations, or of those of another one, until its own are known: it says
/// which steps they are of.
pub fn histogram(app: &App, layer: Option<u32>) -> Result<&query::Histogram, &str> {
    match app
        .desk
        .answer(&app.about_window(Topic::Histogram { layer }, 1))
    {
        Some((_, Answer::Histogram(found))) => Ok(found),
        Some((_, Answer::Unknown(why))) => Err(why),
        _ => Err("reading …"),
    }
}

/// What is known of the parameters' totals at the cursor, or before it.
pub fn snapshot(app: &App, layer: Option<u32>) -> Result<&Snapshot, &str> {
    let query = about_totals(app, layer);
    let until = query.as_ref().map_or(0, |query| query.steps.end);
    match query.and_then(|query| app.desk.answer(&query)) {
        Some((_, Answer::Snapshot(found))) if found.steps <= until => Ok(found),
        Some((_, Answer::Unknown(why))) => Err(why),
        _ => Err("reading …"),
    }
}

/// The bins as octaves, where they are.
pub fn octaves(found: &query::Histogram) -> Option<Octaves> {
    let mut octaves = Octaves::new(&found.edges)?;
    octaves.add(&found.counts);
    Some(octaves)
}

fn allocations(area: Rect, app: &App, theme: &Theme, buf: &mut Buffer) {
    let found = match histogram(app, chosen(app)) {
        Ok(found) => found,
        Err(why) => {
            let area = titled(area, "allocations of single parameters", theme, buf);
            return sentence(area, why, theme, buf);
        }
    };
    let steps = format!(
        "{}-{}",
        found.steps.start,
        found.steps.end.saturating_sub(1)
    );
    let title = format!("allocations in the steps {steps}, {}", whose(app));
    let area = titled(area, &title, theme, buf);
    let shown = occupied(&found.counts);
    let bins: Vec<Bin> = (shown.clone())
        .map(|bin| Bin {
            count: count(found.counts[bin]),
            pen: match found.edges.get(bin + 1) {
                Some(&upper) if upper <= 0.0 => pen(theme.help, '='),
                _ => pen(theme.hurt, '#'),
            },
        })
        .collect();
    let labels = labels(&found.edges, &shown);
    let edges: Vec<(f64, &str)> = labels
        .iter()
        .map(|(at, text)| (*at, text.as_str()))
        .collect();
    let chart = Histogram {
        theme,
        bins: &bins,
        log: app.log_scale,
        unit: "count",
        edges: &edges,
        name: "nats",
        reference: None,
        highlight: None,
    };
    chart.render(area, buf);
}

fn pen(style: ratatui::style::Style, mark: char) -> Pen {
    Pen { style, mark }
}

#[expect(clippy::cast_precision_loss, reason = "counts, drawn")]
fn count(count: u64) -> f64 {
    count as f64
}

/// The bins with any count, as many on either side of the middle.
fn occupied(counts: &[u64]) -> Range<usize> {
    let n = counts.len();
    let first = counts.iter().position(|&count| count > 0).unwrap_or(n / 2);
    let last = counts.iter().rposition(|&count| count > 0).unwrap_or(n / 2);
    // Far out, the outermost is infinite; near zero, one octave at least.
    let margin = first
        .min(n.saturating_sub(last + 1))
        .min((n / 2).saturating_sub(1));
    margin..n - margin
}

/// Labels at edges of the bins that are shown: 0, and some powers of ten or so on either side.
fn labels(edges: &[f64], shown: &Range<usize>) -> Vec<(f64, String)> {
    let inside = edges.get(shown.start..=shown.end).unwrap_or_default();
    let each = (inside.len() / 6).max(1);
    let middle = inside.iter().position(|&edge| edge == 0.0).unwrap_or(0);
    let label = |(at, &edge): (usize, &f64)| {
        let wanted = edge.is_finite() && at.abs_diff(middle).is_multiple_of(each);
        let text = if edge == 0.0 {
            "0".to_owned()
        } else {
            format!("{edge:.0e}")
        };
        #[expect(clippy::cast_precision_loss, reason = "few edges")]
        wanted.then_some((at as f64, text))
    };
    inside.iter().enumerate().filter_map(label).collect()
}

/// What the chosen layers did.
fn sums(app: &App, steps: &Stretch<'_>) -> GroupSums {
    match app.pooled {
        true => steps.total_sums(),
        false => steps.layer_sums(app.layer),
    }
}

fn help(area: Rect, view: &View<'_>, app: &App, theme: &Theme, buf: &mut Buffer) {
    let title = format!(
        "parameters that help, hurt, do neither, in percent, {}",
        whose(app)
    );
    let area = titled(area, &title, theme, buf);
    let dots = LineChart::plot_columns(area, theme.glyphs);
    let bars = view.window.bars(dots);
    let all = view.window.steps();
    let size = |steps: u64| usize::try_from(steps).unwrap_or(usize::MAX);
    let n = size(all.end - all.start);
    // A column has the share in all of its steps together.
    let curve = |of: fn(&GroupSums) -> f64| -> Vec<Option<Extent>> {
        let shares: Vec<f64> = bars.iter().map(|bar| 100.0 * of(&sums(app, bar))).collect();
        let at = |dot: usize| {
            let step = crate::analysis::bins::index_at(dot, n, dots)? as u64;
            let share = shares.get(bars.column_of(all.start + step)?)?;
            #[expect(clippy::cast_possible_truncation, reason = "a percentage, drawn")]
            let share = *share as f32;
            share.is_finite().then_some(Extent {
                min: share,
                max: share,
            })
        };
        (0..dots).map(at).collect()
    };
    let half = vec![
        Some(Extent {
            min: 50.0,
            max: 50.0
        });
        dots
    ];
    let curves = [
        curve(GroupSums::help_share),
        curve(GroupSums::hurt_share),
        curve(|sums| 1.0 - sums.help_share() - sums.hurt_share()),
    ];
    let styles = [
        ("help", pen(theme.help, '=')),
        ("hurt", pen(theme.hurt, '#')),
        ("zero", pen(theme.neutral, '.')),
    ];
    let line = Series {
        name: "50 %",
        pen: pen(theme.dim, '-'),
        extents: &half,
    };
    let named = styles
        .iter()
        .zip(&curves)
        .rev()
        .map(|((name, pen), extents)| Series {
            name,
            pen: *pen,
            extents,
        });
    let series: Vec<Series<'_>> = std::iter::once(line).chain(named).collect();
    let chart = LineChart {
        theme,
        series: &series,
        scale: Scale::Linear,
        domain: Domain::of(super::spread::ends(curves.iter().chain([&half]))),
        unit: "%",
        steps: all,
        cursor: view.mark_dot(dots),
    };
    chart.with(Details::default()).render(area, buf);
}

fn how_often(area: Rect, app: &App, theme: &Theme, buf: &mut Buffer) {
    let found = match snapshot(app, chosen(app)) {
        Ok(found) => found,
        Err(why) => {
            let area = titled(area, "parameters by how often they helped", theme, buf);
            return sentence(area, why, theme, buf);
        }
    };
    let title = format!(
        "parameters by how often they helped in the first {} steps, {}",
        found.steps,
        whose(app)
    );
    let area = titled(area, &title, theme, buf);
    let bins: Vec<Bin> = (found.helped.iter())
        .map(|&params| Bin {
            count: count(params),
            pen: pen(theme.help, '#'),
        })
        .collect();
    let chart = Histogram {
        theme,
        bins: &bins,
        log: app.log_scale,
        unit: "params",
        edges: &[
            (0.0, "0"),
            (12.5, "25"),
            (25.0, "50"),
            (37.5, "75"),
            (50.0, "100"),
        ],
        name: "% of steps",
        reference: Some((25.0, "50 %")),
        highlight: None,
    };
    chart.render(area, buf);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::concentration::concentration;
    use crate::analysis::tails;
    use crate::app::{Action, Screen};
    use crate::tui::view::testing::number as read;
    use crate::tui::view::testing::{Run, Shape, plain, theme};

    fn run() -> Run {
        let mut run = Run::new(Shape::default());
        run.act(&[Action::Screen(Screen::Distribution), Action::Select(1)]);
        run
    }

    /// The two numbers behind a name: of all layers, and of the selected one.
    fn pair(screen: &str, name: &str) -> [f64; 2] {
        let line = screen
            .lines()
            .find(|line| line.contains(name))
            .unwrap_or_default();
        let words = line
            .split(name)
            .nth(1)
            .unwrap_or_default()
            .split_whitespace();
        let numbers: Vec<f64> = words.map(read).collect();
        [numbers[0], numbers[1]]
    }

    #[test]
    fn the_numbers_are_those_of_the_allocations() {
        let mut run = run();
        run.act(&[Action::Move(-12)]);
        let screen = run.text(140, 50, &theme());
        let layer = run.app.header.layout.layers[1].range.clone();
        let share = |range: Range<usize>| {
            let all = run.lca.iter().flat_map(|step| &step[range.clone()]);
            count(all.clone().filter(|a| **a < 0.0).count() as u64) / count(all.count() as u64)
        };
        let help = pair(&screen, "help ");
        assert!((help[0] - 100.0 * share(0..60)).abs() < 0.06, "{screen}");
        assert!(
            (help[1] - 100.0 * share(layer.clone())).abs() < 0.06,
            "{screen}"
        );
        // At the cursor, step 27, the latest snapshot is that after 20 steps.
        assert!(
            screen.contains("first 20 steps") && screen.contains("after 20 steps"),
            "{screen}"
        );
        let totals: Vec<f64> = (layer.clone())
            .map(|p| run.lca[..20].iter().map(|step| step[p]).sum())
            .collect();
        let sides = concentration(&totals);
        assert!(
            (pair(&screen, "Gini helping")[1] - sides.helping.gini).abs() < 6e-4,
            "{screen}"
        );
        assert!(
            (pair(&screen, "Gini hurting")[1] - sides.hurting.gini).abs() < 6e-4,
            "{screen}"
        );
        let ninety = pair(&screen, "90% of it from")[1];
        assert!(
            (ninety - 100.0 * sides.helping.ninety).abs() < 0.06,
            "{screen}"
        );
        let kurtosis = screen
            .lines()
            .rfind(|line| line.contains("kurtosis"))
            .unwrap_or_default();
        let kurtosis = pair(kurtosis, "kurtosis");
        assert!(
            (kurtosis[1] - tails::excess_kurtosis(&totals)).abs() < 6e-3,
            "{screen}"
        );
        let found = snapshot(&run.app, Some(1)).unwrap();
        assert_eq!(found.helped.iter().sum::<u64>(), layer.len() as u64);
        let found = histogram(&run.app, None).unwrap();
        let nonzero = run.lca.iter().flatten().filter(|a| **a != 0.0).count() as u64;
        assert_eq!(found.counts.iter().sum::<u64>(), nonzero);
    }

    #[test]
    fn numbers_of_another_window_or_cursor_do_not_stand_beside_the_new_one() {
        let mut run = run();
        run.act(&[Action::Move(-5)]);
        let known = run.text(140, 50, &theme());
        let first = |screen: &str, name: &str| {
            let line = screen.lines().find(|line| line.contains(name));
            let words = line.and_then(|line| line.split(name).nth(1));
            let word = words.and_then(|words| words.split_whitespace().next());
            word.unwrap_or_default().to_owned()
        };
        for name in ["kurtosis, about", "helped, mean"] {
            assert_ne!(first(&known, name), "-", "{known}");
        }
        // Nobody has answered yet.
        run.act(&[Action::ZoomIn, Action::Home]);
        let screen = crate::tui::view::testing::text(&run.app, 140, 50, &theme());
        for name in ["kurtosis, about", "tail, helping", "helped, mean"] {
            assert_eq!(first(&screen, name), "-", "{name}: {screen}");
        }
        assert_ne!(first(&screen, "help of movers"), "-", "the stream has it");
    }

    /// While a run goes on under the screen, all numbers of the window are of the same steps, which are named.
    #[test]
    fn numbers_that_lag_behind_a_live_run_name_their_steps() {
        let run = run();
        let mut live = App::new(run.app.header.clone(), crate::feed::Origin::Live);
        live.act(Action::Screen(Screen::Distribution));
        live.event(crate::feed::FeedEvent::Steps(
            run.reader.steps(0..20).unwrap(),
        ));
        let histogram = query::Histogram {
            steps: 0..20,
            edges: live.header.histogram_edges.clone(),
            counts: vec![1; live.header.histogram_bins()],
            ..query::Histogram::default()
        };
        let about = live.about_window(Topic::Histogram { layer: None }, 1);
        live.desk.take(about, Answer::Histogram(histogram));
        let text = |live: &App| crate::tui::view::testing::text(live, 140, 50, &theme());
        assert!(text(&live).contains("in the window"), "{}", text(&live));
        live.event(crate::feed::FeedEvent::Steps(
            run.reader.steps(20..30).unwrap(),
        ));
        let screen = text(&live);
        assert!(screen.contains("in steps 0-19"), "{screen}");
        let sums = live.timeline.stretch(&(0..20)).total_sums();
        let help = pair(&screen, "help ");
        assert!(
            (help[0] - 100.0 * sums.help_share()).abs() < 0.06,
            "{screen}"
        );
    }

    #[test]
    fn counts_go_on_where_they_were() {
        let mut run = run();
        for _ in 0..3 {
            run.act(&[Action::ZoomIn]);
            run.settle(120, 40, &theme());
            let window = run.app.window.visible(40);
            let found = histogram(&run.app, Some(1)).unwrap();
            assert_eq!(found.steps, window);
            let steps =
                usize::try_from(window.start).unwrap()..usize::try_from(window.end).unwrap();
            let range = run.app.header.layout.layers[1].range.clone();
            let all = run.lca[steps].iter().flat_map(|step| &step[range.clone()]);
            let nonzero = all.filter(|a| **a != 0.0).count() as u64;
            assert_eq!(found.counts.iter().sum::<u64>(), nonzero);
        }
    }

    #[test]
    fn it_fits_and_every_chart_can_have_all_the_room() {
        let mut run = run();
        for (width, height) in [(60, 16), (80, 24), (120, 40), (200, 60)] {
            for actions in [
                Action::Focus,
                Action::Focus,
                Action::Focus,
                Action::Focus,
                Action::Pool,
            ] {
                let screen = run.text(width, height, &plain());
                assert!(screen.is_ascii() && screen.contains("help"), "{screen}");
                run.act(&[actions]);
            }
        }
        run.act(&[Action::Home]);
        let screen = run.text(120, 40, &theme());
        assert!(screen.contains("no snapshot of the parameters"), "{screen}");
    }
}
