//! The tabs of the screens or, deeper in the network, the path to the current place.
//!
//! ```text
//!  1 Overview  2 Decomposition  3 Oscillation  4 Synchronisation  5 Classes  …
//!  1 Overview › fc1 › unit 12 › weight [12, 305]     step 412 · helps most · /fc
//! ```

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::text::{Line, Span};

use super::words::{either, width_of};
use crate::app::{Action, App, Depth, Screen, Sort};
use crate::layout::ParamLayout;
use crate::tui::frame::{Frame, Hit};
use crate::tui::theme::Theme;

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let settings = settings(app, theme);
    let width = u16::try_from(settings.width()).unwrap_or(area.width);
    let [left, right] = Layout::horizontal([Fill(1), Length(width)]).areas(area);
    match app.nav.depth {
        _ if app.compared().is_some() => {
            frame.render(Line::styled(" Comparison", theme.accent), left);
        }
        Depth::Network => tabs(left, frame),
        _ => frame.render(path(app, theme), left),
    }
    frame.render(settings, right);
}

/// Draws the tabs of all screens, with full names, short names or numbers only, whichever fits first.
fn tabs(area: Rect, frame: &mut Frame) {
    type Name = fn(Screen) -> &'static str;
    let names: [Name; 3] = [Screen::name, Screen::short_name, |_| ""];
    let (here, theme) = (frame.app.nav.screen, frame.theme);
    let label = |screen: Screen, name: Name| {
        let name = if screen == here {
            screen.name()
        } else {
            name(screen)
        };
        format!("{} {name}", screen.number()).trim_end().to_owned()
    };
    let fits = |name: &Name| {
        let widths = Screen::ALL.map(|screen| width_of(&label(screen, *name)) + 2);
        widths.iter().sum::<u16>() < area.width
    };
    let name = names.into_iter().find(fits).unwrap_or(names[2]);
    let mut x = area.x + 1;
    for screen in Screen::ALL {
        let label = label(screen, name);
        let tab = Rect::new(x, area.y, width_of(&label), 1).intersection(area);
        x += tab.width + 2;
        let style = if screen == here {
            theme.accent
        } else {
            theme.dim
        };
        let (number, name) = label.split_at(1);
        let spans = [Span::styled(number, theme.key), Span::styled(name, style)];
        frame.render(Line::from_iter(spans), tab);
        frame.hit(tab, Hit::Click(Action::Screen(screen)));
    }
}

fn path(app: &App, theme: &Theme) -> Line<'static> {
    let layout = &app.model.header.layout;
    let mut parts = vec![app.nav.screen.name().to_owned()];
    let layer_name = |layer: usize| layout.layers.get(layer).map(|layer| layer.name.clone());
    parts.extend(app.nav.depth.layer().and_then(layer_name));
    match app.nav.depth {
        Depth::Network | Depth::Layer(_) => {}
        Depth::Unit { unit, .. } => parts.push(format!("unit {unit}")),
        Depth::Parameter {
            unit, parameter, ..
        } => {
            parts.push(format!("unit {unit}"));
            parts.push(parameter_name(layout, parameter));
        }
    }
    let between = either(theme, " › ", " > ");
    let last = parts.pop().unwrap_or_default();
    let before: String = parts.into_iter().map(|part| part + between).collect();
    Line::from(vec![
        Span::styled(format!(" {} ", app.nav.screen.number()), theme.key),
        Span::styled(before, theme.dim),
        Span::styled(last, theme.accent),
    ])
}

/// The name of a parameter by its index in its tensor: `weight [12, 305]`.
pub fn parameter_name(layout: &ParamLayout, parameter: usize) -> String {
    let tensor = layout.tensors.iter().find(|t| t.range.contains(&parameter));
    let Some(tensor) = tensor else {
        return format!("parameter {parameter}");
    };
    let mut rest = parameter - tensor.range.start;
    let mut place = Vec::new();
    for &length in tensor.four_axes().iter().rev() {
        place.push((rest % length.max(1)).to_string());
        rest /= length.max(1);
    }
    place.reverse();
    format!("{} [{}]", tensor.kind.name(), place.join(", "))
}

/// The step at the cursor, if no line below names it, and the settings of the lists that differ from the defaults.
fn settings(app: &App, theme: &Theme) -> Line<'static> {
    let mut words = Vec::new();
    let cursor = app.cursor();
    let below = app.nav.depth != Depth::Network && app.compared().is_none();
    let step = cursor.filter(|_| below).map(|step| format!("step {step}"));
    if app.nav.sort != Sort::Order {
        words.push(app.nav.sort.name().to_owned());
    }
    if !app.nav.filter.is_empty() && app.overlays.prompt.is_none() {
        words.push(format!("/{}", app.nav.filter));
    }
    let between = either(theme, " · ", ", ");
    let mut spans = Vec::new();
    if let Some(step) = step {
        let end = if words.is_empty() { " " } else { between };
        spans.push(Span::styled(step + end, theme.header));
    }
    if !words.is_empty() {
        let words = format!("{} ", words.join(between));
        spans.push(Span::styled(words, theme.warning));
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::layout::TensorKind;

    #[test]
    fn inside_the_network_the_title_shows_path_and_step() {
        let mut app = super::super::testing::app(2, &[0.1; 30]);
        let here = |app: &App| settings(app, &super::super::testing::theme()).to_string();
        assert_eq!(here(&app), "", "a line of its own has it");
        app.act(Action::Enter);
        app.act(Action::Move(-9));
        assert_eq!(here(&app), "step 20 ");
        app.act(Action::Sort);
        assert_eq!(here(&app), "step 20 · helps most ");
    }

    #[test]
    fn a_parameter_is_named_by_its_place_in_its_tensor() {
        let mut layout = ParamLayout::default();
        let kernel = (TensorKind::Weight, vec![4, 3, 2, 2]);
        layout.push_layer("conv", "conv", 4, &[kernel, (TensorKind::Bias, vec![4])]);
        assert_eq!(parameter_name(&layout, 0), "weight [0, 0, 0, 0]");
        assert_eq!(
            parameter_name(&layout, 12 + 4 + 2 + 1),
            "weight [1, 1, 1, 1]"
        );
        assert_eq!(parameter_name(&layout, 50), "bias [2]");
        assert_eq!(parameter_name(&layout, 999), "parameter 999");
    }
}
