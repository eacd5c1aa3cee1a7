//! The Classes screen: the LCA of every layer for the loss of each class.
//!
//! ```text
//!  step 412  loss 0.53121  …
//!  at step 412, nats                          steps 0-411, nats
//!  class       all       fc1       fc2        class       all       fc1       fc2
//!  0      -1.2e-4   -1.0e-4   -2.0e-5        0      -0.0812   …
//!  1      +3.1e-5   …
//!  sum    -1.5e-3   -1.2e-3   -3.1e-4        sum              sum over the classes
//!  LCA    -1.5e-3   -1.2e-3   -3.1e-4        LCA              the layer's own LCA, as on every screen
//!  off    +1.2e-9   …                        off              the difference of the two
//!  class 1: loss, nats                        class 1: LCA by layer, summed since step 0
//! ```
//!
//! A cell's colour shows its value; each table has its own scale. If the numbers of all layers do not fit, a heat map
//! shows them, with the numbers of the selected class beside it. LCA by class is that of `(n_c/N)·L_c`, so that the
//! classes add up; the curve shows `L_c` itself.

use std::ops::Range;

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;

use super::cells::{halves, largest};
use super::class_curves;
use super::sheet::{NUMBER, Row, Sheet, nats};
use super::spread::{View, titled};
use super::status;
use super::words::{self, number, sentence, signed_scale};
use crate::app::{App, Stretch};
use crate::query::{Answer, Binned, Query, Topic};
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;
use crate::tui::widget::heat_map::{self, HeatMap};
use crate::tui::widget::{LEFT_AXIS, XAxis};

/// Closing rows of a table.
const CLOSING: u16 = 3;
/// Rows of the smallest chart, with its title.
const LEAST: u16 = 7;
/// Width of a class's name.
const NAME: u16 = 12;

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let body = status::draw(area, frame);
    if app.model.header.classes.is_empty() {
        let why = "This run's data set has no classes.";
        return sentence(body, why, frame);
    }
    let Some(cursor) = app.about_cursor(Topic::ClassLayers) else {
        return;
    };
    let view = View::of(app);
    let window = app.about_window(Topic::ClassLayers, 1);
    let tables = [
        (frame.ask(0, cursor), &view.at),
        (frame.ask(1, window), &view.window),
    ];
    let tables = tables.map(|(answer, steps)| Table {
        app,
        theme,
        answer,
        steps,
    });
    let [above, below] = divided(body, app);
    for (at, area) in shown(above, app) {
        tables[at].draw(area, frame);
    }
    class_curves::draw(below, frame);
}

/// The tables shown (0: at the cursor, 1: of the steps in view) and their areas.
fn shown(above: Rect, app: &App) -> Vec<(usize, Rect)> {
    match app.nav.focus % 5 {
        0 if two_fit(above.width, app) => (0..).zip(halves(above)).collect(),
        0 | 2 => vec![(1, above)],
        1 => vec![(0, above)],
        _ => Vec::new(),
    }
}

/// Splits the screen into the tables' part and the curves' part.
fn divided(body: Rect, app: &App) -> [Rect; 2] {
    let classes = u16::try_from(app.model.header.classes.len()).unwrap_or(u16::MAX);
    let wanted = classes.saturating_add(2 + CLOSING);
    let table = match app.nav.focus % 5 {
        1 | 2 => body.height,
        3 | 4 => 0,
        _ if body.height < 2 + CLOSING + 3 + LEAST => body.height,
        _ => wanted.min(body.height - LEAST),
    };
    let [above, below] = Layout::vertical([Length(table), Fill(1)]).areas(body);
    let [_, above] = Layout::horizontal([Length(1), Fill(1)]).areas(above);
    [above, below]
}

/// Whether both tables fit side by side.
fn two_fit(width: u16, app: &App) -> bool {
    let columns = u16::try_from(app.listed_layers().len() + 1).unwrap_or(u16::MAX);
    columns.saturating_mul(NUMBER).saturating_add(NAME) <= width / 2
}

/// A table of LCA by class and layer, over some steps.
struct Table<'a> {
    app: &'a App,
    theme: &'a Theme,
    answer: Option<(&'a Query, &'a Answer)>,
    /// The stream's version of these steps.
    steps: &'a Stretch<'a>,
}

/// LCA by class and layer, `[C, L]` in nats, as stored in the file.
struct Sums<'a> {
    of: &'a Binned,
    classes: usize,
    layers: usize,
}

impl Sums<'_> {
    fn get(&self, class: usize, layer: usize) -> f64 {
        let group = self.of.groups.get(class * self.layers + layer);
        group.map_or(f64::NAN, |group| group.total)
    }

    fn class(&self, class: usize) -> f64 {
        (0..self.layers).map(|layer| self.get(class, layer)).sum()
    }

    fn layer(&self, layer: usize) -> f64 {
        (0..self.classes).map(|class| self.get(class, layer)).sum()
    }

    fn total(&self) -> f64 {
        (0..self.layers).map(|layer| self.layer(layer)).sum()
    }
}

impl Table<'_> {
    /// The sums and the steps of their query, or why there are none.
    fn known(&self) -> Result<(&Range<u64>, Sums<'_>), &str> {
        let header = &self.app.model.header;
        let (classes, layers) = (header.classes.len(), header.layout.layers.len());
        match self.answer {
            Some((asked, Answer::Binned(of))) if of.groups.len() == classes * layers => {
                let sums = Sums {
                    of,
                    classes,
                    layers,
                };
                Ok((&asked.steps, sums))
            }
            Some((_, Answer::Unknown(why))) => Err(why),
            _ => Err("reading …"),
        }
    }

    /// Whether the numbers of these layers fit.
    fn fits(listed: &[usize], width: u16) -> bool {
        let columns = u16::try_from(listed.len() + 1).unwrap_or(u16::MAX);
        columns.saturating_mul(NUMBER).saturating_add(NAME) <= width
    }

    fn draw(&self, area: Rect, frame: &mut Frame) {
        let (asked, sums) = match self.known() {
            Ok(known) => known,
            Err(why) => return sentence(area, why, frame),
        };
        // The title starts in the same column as the names.
        let over = Rect {
            x: area.x.saturating_sub(1),
            ..area
        };
        titled(over, &title(asked, sums.of), frame);
        let [_, area] = Layout::vertical([Length(1), Fill(1)]).areas(area);
        let listed = self.app.listed_layers();
        if Self::fits(&listed, area.width) {
            return self.sheet(&sums, &listed).draw(area, frame);
        }
        let numbers = (NAME + 2 * NUMBER + 4).min(area.width / 2);
        let [map, right] = Layout::horizontal([Fill(1), Length(numbers)])
            .spacing(1)
            .areas(area);
        self.heat_map(&sums, &listed, map, frame);
        self.selected(&sums, &listed).draw(right, frame);
    }

    /// The largest magnitude of any cell.
    fn largest(sums: &Sums<'_>, listed: &[usize]) -> f64 {
        let cells = (0..sums.classes).flat_map(|c| listed.iter().map(move |&l| sums.get(c, l)));
        largest(cells)
    }

    fn sheet(&self, sums: &Sums<'_>, listed: &[usize]) -> Sheet<'_> {
        let max = Self::largest(sums, listed);
        let scale = signed_scale(&self.app.nav, max);
        let cell = |value: f64| {
            let unit = scale.to_signed_unit(max, value).unwrap_or(f64::NAN);
            (format!(" {}", number(value)), self.theme.signed(unit))
        };
        let names = listed.iter().map(|&l| self.layer_name(l));
        let columns = std::iter::once("all".to_owned()).chain(names);
        let room = usize::from(NUMBER) - 1;
        let row = |class: usize| Row {
            mark: None,
            name: self.app.model.header.classes[class].clone(),
            style: Style::default(),
            cells: std::iter::once(nats(sums.class(class), self.theme))
                .chain(listed.iter().map(|&layer| cell(sums.get(class, layer))))
                .collect(),
        };
        Sheet {
            theme: self.theme,
            title: "class",
            groups: Vec::new(),
            columns: columns
                .map(|name| (words::elided(&name, room, self.theme), NUMBER))
                .collect(),
            rows: (0..sums.classes).map(row).collect(),
            items: (0..sums.classes).collect(),
            selected: Some(self.app.nav.class),
            closing: self.closing(sums, listed),
        }
    }

    fn layer_name(&self, layer: usize) -> String {
        self.app.model.header.layout.layers[layer].name.clone()
    }

    /// The closing rows: the sum over the classes, the layers' own LCA, and the difference.
    fn closing(&self, sums: &Sums<'_>, listed: &[usize]) -> Vec<Row> {
        // Until the next answer arrives, the stream's steps may differ from the answer's.
        let same = self.steps.steps() == sums.of.steps() && measured(sums.of) == self.steps.len();
        let own = |lca: f64| if same { lca } else { f64::NAN };
        let by_class: Vec<f64> = std::iter::once(sums.total())
            .chain(listed.iter().map(|&layer| sums.layer(layer)))
            .collect();
        let total = own(self.steps.total_sums().lca);
        let layers: Vec<f64> = std::iter::once(total)
            .chain(listed.iter().map(|&layer| own(self.steps.lca(layer))))
            .collect();
        let off = by_class
            .iter()
            .zip(&layers)
            .map(|(by_class, lca)| lca - by_class);
        let row = |name: &str, values: Vec<f64>, dim: bool| Row {
            mark: None,
            name: name.to_owned(),
            style: self.theme.header,
            cells: (values.into_iter())
                .map(|value| {
                    if dim {
                        (number(value), self.theme.dim)
                    } else {
                        nats(value, self.theme)
                    }
                })
                .collect(),
        };
        vec![
            row("sum", by_class.clone(), false),
            row("LCA", layers.clone(), false),
            row("difference", off.collect(), true),
        ]
    }

    /// The numbers of the selected class by layer.
    fn selected(&self, sums: &Sums<'_>, listed: &[usize]) -> Sheet<'_> {
        let class = self.app.nav.class.min(sums.classes.saturating_sub(1));
        let row = |name: String, style, a: f64, b: f64| Row {
            mark: None,
            name,
            style,
            cells: vec![nats(a, self.theme), nats(b, self.theme)],
        };
        let name = &self.app.model.header.classes[class];
        Sheet {
            theme: self.theme,
            title: "layer",
            groups: Vec::new(),
            columns: vec![
                (words::elided(name, 8, self.theme), NUMBER),
                ("sum".to_owned(), NUMBER),
            ],
            rows: (listed.iter())
                .map(|&l| {
                    row(
                        self.layer_name(l),
                        Style::default(),
                        sums.get(class, l),
                        sums.layer(l),
                    )
                })
                .collect(),
            items: Vec::new(),
            selected: listed.iter().position(|&layer| layer == self.app.nav.layer),
            closing: vec![row(
                "all".to_owned(),
                self.theme.header,
                sums.class(class),
                sums.total(),
            )],
        }
    }

    fn heat_map(&self, sums: &Sums<'_>, listed: &[usize], area: Rect, frame: &mut Frame) {
        let classes = self.app.model.header.classes.iter();
        let classes: Vec<&str> = classes.map(String::as_str).collect();
        let layers: Vec<&str> = (listed.iter())
            .map(|&layer| self.app.model.header.layout.layers[layer].name.as_str())
            .collect();
        let plot = heat_map::plot_area(area, LEFT_AXIS);
        let first = words::scrolled(self.app.nav.class, plot.height.into(), classes.len());
        let shown = first..sums.classes.min(first + usize::from(plot.height));
        let values: Vec<f64> = (shown.clone())
            .flat_map(|class| listed.iter().map(move |&layer| sums.get(class, layer)))
            .collect();
        let max = Self::largest(sums, listed);
        let map = HeatMap {
            theme: self.theme,
            values: &values,
            rows: classes.len(),
            columns: layers.len(),
            scale: signed_scale(&self.app.nav, max),
            max,
            unit: "nats",
            names: &classes[shown.clone()],
            gutter: LEFT_AXIS,
            first,
            selected: Some(self.app.nav.class),
            cursor: None,
            dense: false,
            x_axis: XAxis::Names(&layers),
        };
        frame.render(map, area);
        let lines = Rect {
            x: area.x,
            width: area.width,
            ..plot
        };
        frame.rows(lines, shown);
    }
}

/// The number of steps in which LCA by class was measured.
fn measured(binned: &Binned) -> u64 {
    binned.groups.first().map_or(0, |group| group.steps)
}

/// The steps that a table covers, as a title in longer and shorter words.
fn title(steps: &Range<u64>, binned: &Binned) -> Vec<String> {
    let (all, known) = (steps.end - steps.start, measured(binned));
    let range = words::steps(steps);
    match all {
        1 => vec![format!("LCA at {range}, nats"), range],
        _ if known < all => vec![
            format!("LCA in {known} of {range}, nats"),
            format!("{known} of {range}"),
        ],
        _ => vec![format!("LCA in {range}, nats"), range],
    }
}

#[cfg(test)]
mod tests {
    use crate::app::{Action, Screen};
    use crate::tui::view::testing::number as read;
    use crate::tui::view::testing::{Run, RunShape, is_about, plain, row, text, theme};

    fn run(shape: RunShape) -> Run {
        let mut run = Run::new(shape);
        run.act(&[Action::Screen(Screen::Classes)]);
        run
    }

    #[test]
    fn classes_add_up_to_the_layers() {
        let mut run = run(RunShape::default());
        run.act(&[Action::Move(-10), Action::Select(1)]);
        let screen = run.text(140, 40, &theme());
        let (sum, lca, off) = (
            row(&screen, "sum"),
            row(&screen, "LCA  "),
            row(&screen, "difference"),
        );
        assert_eq!((sum.len(), lca.len(), off.len()), (10, 10, 10), "{screen}");
        let at = |layer: usize| run.layer(29, layer);
        let all: f64 = (0..3).map(at).sum();
        assert!(
            is_about(read(lca[1]), all) && is_about(read(sum[1]), all),
            "{screen}"
        );
        assert!(
            is_about(read(lca[2]), at(0)) && is_about(read(sum[2]), at(0)),
            "{screen}"
        );
        let window: f64 = (0..40).map(|t| run.layer(t, 2)).sum();
        assert!(is_about(read(sum[9]), window), "{screen}");
        assert!(read(off[9]).abs() < 1e-7, "{screen}");
        let words = row(&screen, "class 1");
        let loss = format!("class 1: loss {:.5} nats at step 29", run.class_loss[30][1]);
        assert!(screen.contains(&loss), "{loss}: {screen}");
        let of_class: f64 = run.by_class[29][1].iter().sum();
        assert!(is_about(read(words[2]), of_class), "{screen}");
        assert!(is_about(read(words[3]), run.by_class[29][1][0]), "{screen}");
    }

    #[test]
    fn many_layers_are_a_heat_map() {
        let mut run = run(RunShape {
            layers: 20,
            ..RunShape::default()
        });
        let screen = run.text(80, 24, &plain());
        assert!(screen.is_ascii() && screen.contains("class 0"), "{screen}");
        let all = screen
            .lines()
            .find(|line| line.contains(" all "))
            .unwrap_or_default();
        let words: Vec<&str> = all
            .split(" all ")
            .nth(1)
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let of_class: f64 = (0..40).flat_map(|t| run.by_class[t][0].clone()).sum();
        assert!(
            words
                .first()
                .is_some_and(|word| is_about(read(word), of_class)),
            "{screen}"
        );
    }

    #[test]
    fn the_loss_at_the_cursor_is_that_of_the_cursors_step() {
        let mut run = run(RunShape::default());
        run.act(&[Action::Move(-10)]);
        let screen = run.text(120, 40, &theme());
        assert!(screen.contains(" nats at step 29 "), "{screen}");
        run.act(&[Action::Move(-3)]);
        let screen = text(&run.app, 120, 40, &theme());
        assert!(!screen.contains(" nats at step"), "not known yet: {screen}");
        let screen = run.text(120, 40, &theme());
        assert!(screen.contains(" nats at step 26 "), "{screen}");
    }

    #[test]
    fn without_class_allocations_a_sentence_says_why() {
        let mut run = run(RunShape {
            classes: 0,
            ..RunShape::default()
        });
        assert!(run.text(60, 16, &theme()).contains("no classes"));
    }

    #[test]
    fn the_screen_fits_and_every_part_can_be_maximised() {
        let mut run = run(RunShape::default());
        for (width, height) in [(60, 16), (80, 24), (120, 40), (200, 60)] {
            for _ in 0..5 {
                let screen = run.text(width, height, &plain());
                assert!(screen.is_ascii(), "{screen}");
                run.act(&[Action::Focus]);
            }
        }
    }
}
