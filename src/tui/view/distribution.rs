//! The Distribution screen: how many parameters help, by how much, and how often.
//!
//! ```text
//!  step 412  loss 0.53121  …
//!  allocations in the steps 0-411, all layers            all layers       fc2
//!      param-steps│   ▂▅▇▆▃│▃▆▇▄▂                   in view
//!               1e6┤ ▁▃███▇│▇██▅▂▁                   help              50.8%     50.1%
//!                  └-1e-6───┴0────1e-6── nats         idle               3.1%      0.2%
//!  share of parameters that help, hurt and are idle   hurt              46.1%     49.7%
//!      %│───help────────── 50 %                      kurtosis          1.2e3       310
//!  parameters by how often they helped in 400 steps   tail index         1.41      1.80
//!        │      ▂▇▅▁│50 %                            after 400 steps
//!        └0─────────┴50──────────100── %              Gini, helping     0.712     0.613
//! ```
//!
//! `a` switches the charts between all layers together and the selected one; the table shows both. The bins of the
//! first chart are octaves on either side of 0, and no LCA in it is exactly 0: its axis is a symmetric logarithm, and
//! its counts are logarithmic or linear (`g`). Kurtosis and tail index of the steps in view are computed from these
//! bins and are approximate ([`Octaves`](crate::analysis::octaves::Octaves)).

use std::ops::Range;

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};

use super::distribution_data::Known;
use super::distribution_numbers as numbers;
use super::spread::{Spread, View, charts, ends, named, titled};
use super::status;
use super::words::{sentence, steps};
use crate::analysis::bins::Extent;
use crate::analysis::scale::{Domain, Scale};
use crate::app::{App, GroupSums, Navigation, Stretch};
use crate::query::{self, Snapshot};
use crate::tui::frame::Frame;
use crate::tui::widget::{Bin, Details, Entry, Histogram, LineChart, Pen, Series};

/// Rows of the smallest chart with its title.
const LEAST: u16 = 8;

/// Number of charts; the focus after them shows the full table.
const CHARTS: usize = 3;

pub fn draw(area: Rect, frame: &mut Frame) {
    let app = frame.app;
    let body = status::draw(area, frame);
    let view = View::of(app);
    if view.window.is_empty() || app.model.timeline.layers() == 0 {
        return;
    }
    let known = Known::ask(frame);
    let focus = app.nav.focus % (CHARTS + 2);
    if focus == CHARTS + 1 {
        return numbers::full(body, &view, &known, frame);
    }
    let table = numbers::WIDTH.min(body.width / 2);
    let [left, right] = Layout::horizontal([Fill(1), Length(table)])
        .spacing(1)
        .areas(body);
    let chosen = usize::from(app.nav.one_layer);
    for (chart, part) in charts(left, CHARTS, LEAST, focus) {
        match chart {
            0 => allocations(part, known.histograms[chosen], frame),
            1 => help(part, &view, frame),
            _ => how_often(part, known.snapshots[chosen], frame),
        }
    }
    numbers::beside(right, &view, &known, frame);
}

/// The name of the layer that the charts show.
fn whose(app: &App) -> String {
    match app.model.header.layout.layers.get(app.nav.layer) {
        Some(layer) if app.nav.one_layer => layer.name.clone(),
        _ => "all layers".to_owned(),
    }
}

fn allocations(area: Rect, known: Result<&query::AllocationHistogram, &str>, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let found = match known {
        Ok(found) => found,
        Err(why) => {
            let titles = ["allocations of single parameters", "allocations"];
            let area = titled(area, &titles, frame);
            return sentence(area, why, frame);
        }
    };
    let (steps, whose) = (steps(&found.steps), whose(app));
    let titles = [
        format!("allocations of single parameters, {whose}, {steps}"),
        format!("allocations, {whose}, {steps}"),
        format!("allocations, {steps}"),
        steps,
    ];
    // Help is left of 0: the order distinguishes the two as well.
    let pens = [pen(theme.help, '='), pen(theme.hurt, '#')];
    let marked = theme.needs_marks(pens.len());
    let symbols = if marked {
        pens.map(|pen| pen.mark)
    } else {
        ['█'; 2]
    };
    let names = [["help <0", "help"], ["hurt >0", "hurt"]].map(|names| names[usize::from(!marked)]);
    let entries = [0, 1].map(|side| Entry {
        name: names[side],
        symbol: symbols[side],
        style: pens[side].style,
    });
    let area = named(area, &titles, &entries, frame);
    let shown = occupied(&found.counts);
    let bins: Vec<Bin> = (shown.clone())
        .map(|bin| Bin {
            count: count(found.counts[bin]),
            pen: match found.edges.get(bin + 1) {
                Some(&upper) if upper <= 0.0 => pens[0],
                _ => pens[1],
            },
        })
        .collect();
    let room = usize::from(Histogram::plot_area(area).width);
    let labels = labels(&found.edges, &shown, room);
    let edges: Vec<(f64, &str)> = labels
        .iter()
        .map(|(at, text)| (*at, text.as_str()))
        .collect();
    let chart = Histogram {
        theme,
        bins: &bins,
        log: !app.nav.linear,
        unit: "count",
        edges: &edges,
        name: "nats",
        reference: None,
        highlight: None,
    };
    frame.render(chart, area);
}

fn pen(style: ratatui::style::Style, mark: char) -> Pen {
    Pen { style, mark }
}

#[expect(clippy::cast_precision_loss, reason = "counts, drawn")]
fn count(count: u64) -> f64 {
    count as f64
}

/// The range of bins with any count, widened to be symmetric about the middle.
fn occupied(counts: &[u64]) -> Range<usize> {
    let n = counts.len();
    let first = counts.iter().position(|&count| count > 0).unwrap_or(n / 2);
    let last = counts.iter().rposition(|&count| count > 0).unwrap_or(n / 2);
    // With no margin the unbounded outermost bins stay; the largest one leaves a bin on either side of zero.
    let margin = first
        .min(n.saturating_sub(last + 1))
        .min((n / 2).saturating_sub(1));
    margin..n - margin
}

/// Width of a label and the blank after it: `-1e-10`.
const LABEL: usize = 8;

/// Labels for the bins shown, which take `cells` cells: 0, and powers of ten, alike on both sides.
fn labels(edges: &[f64], shown: &Range<usize>, cells: usize) -> Vec<(f64, String)> {
    let inside = edges.get(shown.start..=shown.end).unwrap_or_default();
    let Some(middle) = inside.iter().position(|&edge| edge == 0.0) else {
        return Vec::new();
    };
    // To the right of 0, from where the octaves begin: positions of powers of ten among the edges.
    let above = &inside[middle..];
    let place = |power: i32| {
        let value = 10f64.powi(power);
        let bin = above
            .partition_point(|&edge| edge <= value)
            .checked_sub(1)?;
        let (from, to) = (*above.get(bin)?, *above.get(bin + 1)?);
        let octave = (to / from).log2();
        let known = bin > 0 && octave.is_finite() && octave > 0.0;
        #[expect(clippy::cast_precision_loss, reason = "few edges")]
        known.then(|| bin as f64 + (value / from).log2() / octave)
    };
    let powers: Vec<(i32, f64)> = (-330..300)
        .rev()
        .filter_map(|power| Some((power, place(power)?)))
        .collect();
    // Every nth power, as many as fit on a side, the largest first.
    let fit = (cells / 2 / LABEL).max(1);
    let each = powers.len().div_ceil(fit).max(1);
    #[expect(clippy::cast_precision_loss, reason = "few edges")]
    let zero = middle as f64;
    let mut labels = vec![(zero, "0".to_owned())];
    for (power, place) in powers.into_iter().step_by(each) {
        labels.push((zero + place, format!("1e{power}")));
        labels.push((zero - place, format!("-1e{power}")));
    }
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    labels
}

/// The sums of the layers that the charts show.
fn sums(nav: &Navigation, steps: &Stretch<'_>) -> GroupSums {
    if nav.one_layer {
        steps.layer_sums(nav.layer)
    } else {
        steps.total_sums()
    }
}

fn help(area: Rect, view: &View<'_>, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let whose = whose(app);
    let titles = [
        format!("share of parameters, {whose}"),
        format!("share, {whose}"),
        "share".to_owned(),
        "%".to_owned(),
    ];
    let styles = [
        ("help", pen(theme.help, '=')),
        ("hurt", pen(theme.hurt, '#')),
        ("idle", pen(theme.neutral, '.')),
    ];
    let marked = theme.needs_marks(styles.len());
    let entries = styles.map(|(name, pen)| Entry {
        name,
        symbol: if marked { pen.mark } else { '─' },
        style: pen.style,
    });
    let area = named(area, &titles, &entries, frame);
    let dots = LineChart::plot_columns(area, theme.glyphs);
    // A column shows the share over all of its steps together.
    let spread = Spread::over(&view.window, dots);
    let shares: [fn(&GroupSums) -> f64; 3] =
        [GroupSums::help_share, GroupSums::hurt_share, |sums| {
            1.0 - sums.help_share() - sums.hurt_share()
        }];
    let own: Vec<GroupSums> = spread.bars.iter().map(|bar| sums(&app.nav, bar)).collect();
    let curves = shares.map(|share| {
        let mut columns = own.iter();
        // One call for each column, in order.
        spread.curve(|_| columns.next().map_or(f64::NAN, |sums| 100.0 * share(sums)))
    });
    let half = vec![
        Some(Extent {
            min: 50.0,
            max: 50.0
        });
        dots
    ];
    let line = Series {
        name: "",
        pen: pen(theme.dim, '-'),
        extents: &half,
    };
    let drawn = styles.iter().zip(&curves).rev();
    let drawn = drawn.map(|((_, pen), extents)| Series {
        name: "",
        pen: *pen,
        extents,
    });
    let series: Vec<Series<'_>> = std::iter::once(line).chain(drawn).collect();
    let chart = LineChart {
        theme,
        series: &series,
        scale: Scale::Linear,
        domain: Domain::of(ends(curves.iter().chain([&half]))),
        unit: "%",
        steps: view.window.steps(),
        cursor: view.mark_dot(dots),
    };
    let details = Details {
        marks: marked,
        ..Details::default()
    };
    frame.render(chart.with(details), area);
}

fn how_often(area: Rect, known: Result<&Snapshot, &str>, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let found = match known {
        Ok(found) => found,
        Err(why) => {
            let titles = [
                "parameters by how often they helped",
                "how often they helped",
            ];
            let area = titled(area, &titles, frame);
            return sentence(area, why, frame);
        }
    };
    let (steps, whose) = (found.steps, whose(app));
    let titles = [
        format!("parameters by how often they helped in the first {steps} steps, {whose}"),
        format!("how often they helped in the first {steps} steps, {whose}"),
        format!("how often they helped in {steps} steps"),
        format!("help in {steps} steps"),
    ];
    let area = titled(area, &titles, frame);
    let bins: Vec<Bin> = (found.helped.iter())
        .map(|&params| Bin {
            count: count(params),
            pen: pen(theme.help, '#'),
        })
        .collect();
    let chart = Histogram {
        theme,
        bins: &bins,
        log: !app.nav.linear,
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
    frame.render(chart, area);
}

#[cfg(test)]
mod tests {
    use ratatui::buffer::Buffer;
    use ratatui::widgets::Widget;

    use super::*;
    use crate::analysis::concentration::concentration;
    use crate::analysis::tails;
    use crate::app::{Action, Screen};
    use crate::query::{Answer, Query, StepScope, Topic};
    use crate::tui::view::testing::number as read;
    use crate::tui::view::testing::{Run, RunShape, plain, theme};

    fn run() -> Run {
        let mut run = Run::new(RunShape::default());
        run.act(&[Action::Screen(Screen::Distribution), Action::Select(1)]);
        run
    }

    /// The two numbers after a name: of all layers, and of the selected one.
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
        let layer = run.app.model.header.layout.layers[1].range.clone();
        let share = |range: Range<usize>| {
            let all = run.lca.iter().flat_map(|step| &step[range.clone()]);
            count(all.clone().filter(|a| **a < 0.0).count() as u64) / count(all.count() as u64)
        };
        // The first is of the steps in view; the charts' titles contain the word too.
        let table = screen.split_once("in view, steps 0-39").unwrap().1;
        let help = pair(table, "help ");
        assert!((help[0] - 100.0 * share(0..60)).abs() < 0.06, "{screen}");
        assert!(
            (help[1] - 100.0 * share(layer.clone())).abs() < 0.06,
            "{screen}"
        );
        // At the cursor, step 27, the latest snapshot is the one after 20 steps.
        assert!(
            screen.contains("first 20 steps") && screen.contains("after 20 steps"),
            "{screen}"
        );
        let mut totals: Vec<f64> = (layer.clone())
            .map(|p| run.lca[..20].iter().map(|step| step[p]).sum())
            .collect();
        let sides = concentration(&mut totals);
        assert!(
            (pair(&screen, "Gini (help)")[1] - sides.helping.gini).abs() < 6e-4,
            "{screen}"
        );
        assert!(
            (pair(&screen, "Gini (hurt)")[1] - sides.hurting.gini).abs() < 6e-4,
            "{screen}"
        );
        let ninety = pair(&screen, "params for 90%")[1];
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
        let known = |topic, part| {
            let steps = 0..1;
            let query = Query {
                topic,
                part,
                steps,
                columns: 1,
            };
            run.app.model.queries.answer(&query).unwrap().1
        };
        let Answer::Snapshot(found) = known(Topic::Snapshot { layer: Some(1) }, StepScope::Cursor)
        else {
            panic!("no snapshot")
        };
        assert_eq!(found.helped.iter().sum::<u64>(), layer.len() as u64);
        let Answer::Histogram(found) = known(Topic::Histogram { layer: None }, StepScope::Window)
        else {
            panic!("no histogram")
        };
        let nonzero = run.lca.iter().flatten().filter(|a| **a != 0.0).count() as u64;
        assert_eq!(found.counts.iter().sum::<u64>(), nonzero);
    }

    #[test]
    fn stale_numbers_are_not_shown_beside_new_ones() {
        let mut run = run();
        run.act(&[Action::Move(-5)]);
        let known = run.text(140, 50, &theme());
        let first = |screen: &str, name: &str| {
            let line = screen.lines().find(|line| line.contains(name));
            let words = line.and_then(|line| line.split(name).nth(1));
            let word = words.and_then(|words| words.split_whitespace().next());
            word.unwrap_or_default().to_owned()
        };
        for name in ["kurtosis approx", "helped (mean)"] {
            assert_ne!(first(&known, name), "-", "{known}");
        }
        // No answer has arrived yet.
        run.act(&[Action::ZoomIn, Action::Home]);
        let screen = crate::tui::view::testing::text(&run.app, 140, 50, &theme());
        for name in ["kurtosis approx", "tail (help)", "helped (mean)"] {
            assert_eq!(first(&screen, name), "-", "{name}: {screen}");
        }
        assert_ne!(first(&screen, "help of active"), "-", "the stream has it");
    }

    /// While a live run continues, all numbers of the steps in view cover the same steps, which are named.
    #[test]
    fn numbers_that_lag_behind_a_live_run_name_their_steps() {
        let run = run();
        let mut live = App::new(run.app.model.header.clone(), crate::feed::Origin::Live);
        live.act(Action::Screen(Screen::Distribution));
        live.event(crate::feed::FeedEvent::Steps(
            run.reader.steps(0..20).unwrap(),
        ));
        let histogram = query::AllocationHistogram {
            steps: 0..20,
            edges: live.model.header.histogram_edges.clone(),
            counts: vec![1; live.model.header.histogram_bins()],
            ..query::AllocationHistogram::default()
        };
        let about = live.about_window(Topic::Histogram { layer: None }, 1);
        live.model.queries.take(about, Answer::Histogram(histogram));
        let text = |live: &App| crate::tui::view::testing::text(live, 140, 50, &theme());
        let before = text(&live);
        assert!(before.contains("in view, steps 0-19"), "{before}");
        live.event(crate::feed::FeedEvent::Steps(
            run.reader.steps(20..30).unwrap(),
        ));
        let screen = text(&live);
        assert!(screen.contains("in steps 0-19"), "{screen}");
        let sums = live.model.timeline.stretch(&(0..20)).total_sums();
        let (_, table) = screen.split_once("in steps 0-19").unwrap();
        let help = pair(table, "help ");
        assert!(
            (help[0] - 100.0 * sums.help_share()).abs() < 0.06,
            "{screen}"
        );
    }

    #[test]
    fn counts_continue_incrementally() {
        let mut run = run();
        for _ in 0..3 {
            run.act(&[Action::ZoomIn]);
            run.settle(120, 40, &theme());
            let window = run.app.nav.window.visible(40);
            let about = run.app.about_window(Topic::Histogram { layer: Some(1) }, 1);
            let Some((_, Answer::Histogram(found))) = run.app.model.queries.answer(&about) else {
                panic!("nothing is known of {about:?}")
            };
            assert_eq!(found.steps, window);
            let steps =
                usize::try_from(window.start).unwrap()..usize::try_from(window.end).unwrap();
            let range = run.app.model.header.layout.layers[1].range.clone();
            let all = run.lca[steps].iter().flat_map(|step| &step[range.clone()]);
            let nonzero = all.filter(|a| **a != 0.0).count() as u64;
            assert_eq!(found.counts.iter().sum::<u64>(), nonzero);
        }
    }

    #[test]
    fn labels_are_powers_of_ten_that_do_not_collide() {
        let edges = crate::lca::histogram_edges();
        let all = 0..edges.len() - 1;
        for cells in [10, 20, 31, 60, 180] {
            let labels = labels(&edges, &all, cells);
            assert!(labels.iter().any(|(_, text)| text == "0"), "{labels:?}");
            assert_eq!(labels.len() % 2, 1, "as many on either side");
            let theme = plain();
            let bins = vec![
                Bin {
                    count: 1.0,
                    pen: pen(theme.help, '=')
                };
                all.len()
            ];
            let named: Vec<(f64, &str)> =
                labels.iter().map(|(at, it)| (*at, it.as_str())).collect();
            let width = u16::try_from(cells + 9).unwrap();
            let area = Rect::new(0, 0, width, 5);
            let mut buf = Buffer::empty(area);
            let chart = Histogram {
                theme: &theme,
                bins: &bins,
                log: false,
                unit: "",
                edges: &named,
                name: "nats",
                reference: None,
                highlight: None,
            };
            chart.render(area, &mut buf);
            let axis: String = (0..width).map(|x| buf[(x, 4)].symbol()).collect();
            // Whole labels that do not touch each other.
            let mut names: Vec<&str> = named.iter().map(|(_, it)| *it).collect();
            names.sort_by_key(|name| std::cmp::Reverse(name.len()));
            let rest = names
                .iter()
                .fold(axis.clone(), |rest, name| rest.replace(name, "#"));
            let cut = rest.contains("##") || rest.contains(|it: char| it.is_ascii_digit());
            assert!(!cut, "{axis}");
            assert!(axis.contains("|0"), "{axis}");
        }
    }

    #[test]
    fn every_number_is_reachable_on_the_smallest_screen() {
        let mut run = run();
        for theme in [plain(), theme()] {
            let screen = run.text(60, 16, &theme);
            for number in [
                "Gini (help)",
                "top 1% (help)",
                "params for 90%",
                "more rows",
            ] {
                assert!(screen.contains(number), "{number}: {screen}");
            }
            // Distinct without colours.
            assert!(
                screen.contains("help") && screen.contains("hurt"),
                "{screen}"
            );
            run.act(&[Action::Focus; 4]);
            let screen = run.text(60, 16, &theme);
            for number in [
                "kurtosis approx",
                "tail index",
                "helped (mean)",
                "idle",
                "top 1% (hurt)",
            ] {
                assert!(screen.contains(number), "{number}: {screen}");
            }
            run.act(&[Action::Focus]);
        }
        let screen = run.text(80, 24, &plain());
        assert!(screen.contains("= help <0  # hurt >0"), "{screen}");
        assert!(screen.contains("= help  # hurt  . idle"), "{screen}");
    }

    #[test]
    fn the_screen_fits_and_every_chart_can_be_maximised() {
        let mut run = run();
        for (width, height) in [(60, 16), (80, 24), (120, 40), (200, 60)] {
            for actions in [
                Action::Focus,
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
        assert!(screen.contains("no totals of the parameters"), "{screen}");
    }
}
