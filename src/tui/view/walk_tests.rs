//! Tests of every key on every screen: a key that is offered has a visible effect or says why it has none; any other
//! key changes nothing.

use ratatui::buffer::Buffer;

use super::help::ELSEWHERE;
use super::testing::{Run, RunShape, app, drawn, seen, theme};
use crate::app::{Action, App, Depth, Here, Other, Screen, Sort};
use crate::tui::keys::{Binding, GROUPS};

const SIZES: [(u16, u16); 2] = [(80, 24), (120, 40)];

/// All state that a key may change.
fn state(app: &mut App) -> String {
    let (orders, effects) = (app.model.take_orders(), app.take_effects());
    let (nav, overlays, playback) = (&app.nav, &app.overlays, &app.playback);
    let quit = app.quit;
    format!("{nav:?} {overlays:?} {playback:?} {quit:?} {orders:?} {effects:?}")
}

/// A run viewed from some place, and how to get back there.
struct Walk {
    run: Run,
    size: (u16, u16),
    failed: Vec<String>,
}

impl Walk {
    fn new(size: (u16, u16)) -> Self {
        let shape = RunShape {
            steps: 80,
            classes: 4,
            ..RunShape::default()
        };
        let mut run = Run::new(shape);
        let second = Run::new(RunShape { steps: 60, ..shape });
        let other = Other {
            model: second.app.model,
            name: "b.h5".to_owned(),
        };
        run.app.compare_with("a.h5", vec![other]);
        for line in 0..100 {
            run.app.model.log.push(&format!("line {line}"));
        }
        Self {
            run,
            size,
            failed: Vec::new(),
        }
    }

    /// Goes to a place where steps, rows and orders lie on either side of the selection.
    fn go(&mut self, here: Here) {
        let app = &mut self.run.app;
        (app.overlays.open, app.overlays.prompt, app.nav.comparing) = (None, None, false);
        app.event(crate::feed::FeedEvent::Paused(false));
        app.act(Action::Follow);
        app.overlays.say("");
        let nav = &mut app.nav;
        nav.filter.clear();
        (nav.sort, nav.linear, nav.one_layer) = (Sort::Order, false, false);
        nav.bookmarks = [7, 21].into();
        nav.window.go_to((Some(40), Some(30)));
        (nav.layer, nav.unit, nav.parameter, nav.class) = (1, 1, 25, 1);
        nav.focus = usize::from(here == Here::Network(Screen::Run)) * 2;
        (nav.log_scroll.rows, nav.within_class) = (10, true);
        nav.depth = match here {
            Here::Comparison | Here::Network(_) => Depth::Network,
            Here::Layer => Depth::Layer(1),
            Here::Unit => Depth::Unit { layer: 1, unit: 1 },
            Here::Parameter => Depth::Parameter {
                layer: 1,
                unit: 1,
                parameter: 25,
            },
        };
        nav.screen = match here {
            Here::Network(screen) => screen,
            _ => Screen::Decomposition,
        };
        nav.comparing = here == Here::Comparison;
        assert_eq!(app.nav.here(), here);
    }

    /// The screen once all queries are answered.
    fn seen(&mut self) -> Buffer {
        let (width, height) = self.size;
        self.run.settle(width, height, &theme());
        seen(&mut self.run.app, self.size)
    }

    fn try_key(&mut self, here: Here, binding: &Binding) {
        self.go(here);
        let before = self.seen();
        let app = &mut self.run.app;
        let (offered, was) = (app.offers(binding.action), state(app));
        app.act(binding.action);
        let is = state(app);
        let (name, size) = (binding.name, self.size);
        if !offered {
            if is != was {
                self.failed.push(format!(
                    "{name} is not offered at {here:?}, {size:?}: {was} {is}"
                ));
            }
            return;
        }
        // A tab that is open already.
        if matches!((binding.action, here), (Action::Screen(to), Here::Network(at)) if to == at) {
            return;
        }
        let leaves =
            self.run.app.quit.take().is_some() || is.contains("Copy") || is.contains("Export");
        let same = self.seen() == before;
        if same && !leaves {
            self.failed.push(format!(
                "{name} does nothing that is seen at {here:?}, {size:?}"
            ));
        }
    }
}

fn places() -> impl Iterator<Item = Here> {
    let network = Screen::ALL.into_iter().map(Here::Network);
    network.chain([Here::Comparison, Here::Layer, Here::Unit, Here::Parameter])
}

#[test]
fn offered_keys_change_the_screen_and_others_do_not() {
    for size in SIZES {
        let mut walk = Walk::new(size);
        for here in places() {
            for binding in GROUPS.iter().flat_map(|group| group.bindings) {
                walk.try_key(here, binding);
            }
        }
        assert!(walk.failed.is_empty(), "{:#?}", walk.failed);
    }
}

#[test]
fn help_and_footer_name_what_the_table_offers() {
    let size = (80, 24);
    let mut walk = Walk::new(size);
    let line = |buf: &Buffer, y: u16| -> String {
        (0..buf.area.width).map(|x| buf[(x, y)].symbol()).collect()
    };
    for here in places() {
        walk.go(here);
        let footer = line(&walk.seen(), size.1 - 1);
        let app = &mut walk.run.app;
        for group in GROUPS.iter().filter(|group| !group.footer.is_empty()) {
            let named = footer.contains(&format!(" {}  ", group.footer));
            assert!(!named || group.is_offered(app), "{here:?}: {footer}");
        }
        app.act(Action::Help);
        let all = drawn(app, (200, 90), &theme()).0;
        let lines: Vec<String> = (0..90).map(|y| line(&all, y)).collect();
        let at = |text: &str| lines.iter().position(|line| line.contains(text));
        let elsewhere = at(ELSEWHERE).unwrap_or(usize::MAX);
        for group in GROUPS {
            let row = at(group.help).unwrap_or_else(|| panic!("{}", group.help));
            assert_eq!(
                row < elsewhere,
                group.is_offered(app),
                "{here:?}: {}",
                group.help
            );
        }
        app.act(Action::Dismiss);
    }
}

/// A live training offers other keys than a finished file.
#[test]
fn a_live_run_and_a_replay_offer_what_they_have() {
    let offered = |app: &App| {
        [Action::Freeze, Action::PauseTraining, Action::Faster].map(|action| app.offers(action))
    };
    let mut live = app(3, &[-0.1, 0.2, -0.3]);
    assert_eq!(offered(&live), [true, true, false]);
    for action in [Action::Freeze, Action::PauseTraining] {
        let before = drawn(&live, (80, 24), &theme()).0;
        live.act(action);
        assert_ne!(drawn(&live, (80, 24), &theme()).0, before, "{action:?}");
    }
    let run = Run::new(RunShape::default());
    assert_eq!(offered(&run.app), [true, false, true]);
}
