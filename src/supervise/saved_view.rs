//! The saved view of a run: restored when the run is opened, stored when it is closed.

use crate::app::{App, Depth, Navigation, Screen, Sort};
use crate::record::RunHeader;
use crate::view_files::{RunId, SavedView, ViewFolder};

fn run_id(header: &RunHeader) -> RunId {
    RunId::from_header(&header.created, &header.config)
}

/// Restores the view in which the run was left. A view that cannot be used is reported.
pub fn restore(app: &mut App, views: &ViewFolder) {
    match views.load(&run_id(&app.model.header)) {
        Ok(Some(place)) => apply(&mut app.nav, &app.model.header, place),
        Ok(None) => {}
        Err(why) => app.overlays.say(why),
    }
}

/// Stores the view of the run, if possible.
pub fn store(app: &App, views: &ViewFolder) {
    // Only a convenience is lost.
    let header = &app.model.header;
    let _ = views.store(&run_id(header), &current_view(&app.nav, header));
}

fn apply(nav: &mut Navigation, header: &RunHeader, place: SavedView) {
    nav.window.go_to((place.cursor, place.window));
    let screens = Screen::ALL.into_iter();
    let mut named = screens.filter(|screen| screen.name() == place.screen);
    nav.screen = named.next().unwrap_or_default();
    let mut orders = Sort::ALL
        .into_iter()
        .filter(|sort| sort.name() == place.sort);
    nav.sort = orders.next().unwrap_or_default();
    nav.filter = place.filter;
    nav.bookmarks.extend(place.bookmarks);
    let layout = &header.layout;
    let named = layout
        .layers
        .iter()
        .position(|layer| layer.name == place.layer);
    let Some(layer) = named else { return };
    nav.layer = layer;
    let units = layout.layers[layer].units.len();
    nav.depth = match (place.unit.filter(|&unit| unit < units), place.parameter) {
        _ if !place.inside => Depth::Network,
        (None, _) => Depth::Layer(layer),
        (Some(unit), parameter) => {
            nav.unit = unit;
            let parameters = layout.unit_parameters(layer, unit);
            match parameter.filter(|parameter| parameters.contains(parameter)) {
                Some(parameter) => {
                    nav.parameter = parameter;
                    Depth::Parameter {
                        layer,
                        unit,
                        parameter,
                    }
                }
                None => Depth::Unit { layer, unit },
            }
        }
    };
}

fn current_view(nav: &Navigation, header: &RunHeader) -> SavedView {
    let (cursor, window) = nav.window.place();
    let inside = nav.depth.layer();
    let layer = inside.unwrap_or(nav.layer);
    let name = header
        .layout
        .layers
        .get(layer)
        .map(|layer| layer.name.clone());
    let (unit, parameter) = match nav.depth {
        Depth::Network | Depth::Layer(_) => (None, None),
        Depth::Unit { unit, .. } => (Some(unit), None),
        Depth::Parameter {
            unit, parameter, ..
        } => (Some(unit), Some(parameter)),
    };
    SavedView {
        cursor,
        window,
        screen: nav.screen.name().to_owned(),
        sort: nav.sort.name().to_owned(),
        filter: nav.filter.clone(),
        bookmarks: nav.bookmarks.iter().copied().collect(),
        layer: name.unwrap_or_default(),
        inside: inside.is_some(),
        unit,
        parameter,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::app::Action;
    use crate::feed::Origin;
    use crate::layout::{ParamLayout, TensorKind};

    fn app() -> App {
        let mut layout = ParamLayout::default();
        for name in ["a", "b"] {
            layout.push_layer(name, "linear", 3, &[(TensorKind::Weight, vec![3, 4])]);
        }
        let header = RunHeader {
            created: "2026-01-01T00:00:00Z".to_owned(),
            layout,
            ..RunHeader::default()
        };
        App::new(Arc::new(header), Origin::Replay)
    }

    #[test]
    fn the_view_of_a_run_is_restored() {
        let folder = tempfile::tempdir().unwrap();
        let views = ViewFolder::inside(folder.path());
        let mut left = app();
        left.act(Action::Screen(Screen::Oscillation));
        left.act(Action::Select(1));
        left.act(Action::Enter);
        left.act(Action::Select(2));
        left.act(Action::Enter);
        left.act(Action::Enter);
        left.act(Action::Sort);
        left.nav.window.go_to((Some(12), Some(40)));
        left.nav.bookmarks.extend([3, 9]);
        store(&left, &views);
        let mut found = app();
        restore(&mut found, &views);
        assert!(matches!(
            found.nav.depth,
            Depth::Parameter {
                layer: 1,
                unit: 2,
                ..
            }
        ));
        let place = |app: &App| current_view(&app.nav, &app.model.header);
        assert_eq!(place(&found), place(&left));
        assert_eq!(found.nav.bookmarks, left.nav.bookmarks);
    }

    #[test]
    fn a_saved_view_that_does_not_exist_is_ignored() {
        let mut found = app();
        let place = SavedView {
            screen: "Moon".to_owned(),
            layer: "b".to_owned(),
            inside: true,
            unit: Some(900),
            parameter: Some(usize::MAX),
            ..SavedView::default()
        };
        apply(&mut found.nav, &found.model.header, place);
        assert_eq!(
            (found.nav.screen, found.nav.depth),
            (Screen::Overview, Depth::Layer(1))
        );
    }
}
