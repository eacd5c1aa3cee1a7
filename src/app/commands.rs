//! Commands typed after `:`.

use super::run_model::RunModel;
use super::screen::{Screen, Sort};

/// A command as its help lists it.
pub struct Command {
    pub name: &'static str,
    pub arguments: &'static str,
    pub help: &'static str,
}

const fn command(name: &'static str, arguments: &'static str, help: &'static str) -> Command {
    Command {
        name,
        arguments,
        help,
    }
}

/// All commands except screen names and step numbers.
pub const COMMANDS: &[Command] = &[
    command("layer", "NAME", "open a layer"),
    command("unit", "N", "open a unit of the layer"),
    command(
        "param",
        "N",
        "open a parameter, by its index in the flat vector",
    ),
    command("class", "NAME", "select a class by name or number"),
    command(
        "sort",
        "ORDER",
        "sort lists: network, helps, hurts, share, oscillation, largest",
    ),
    command(
        "filter",
        "TEXT",
        "show only layers and tensors whose name contains TEXT; without TEXT, all",
    ),
    command("zoom", "A..B", "show steps A to B-1; without a range, all"),
    command("bookmark", "", "set or remove a bookmark at the cursor"),
    command("events", "", "list events, warnings and bookmarks"),
    command("compare", "", "toggle comparison with other runs"),
    command("copy", "", "copy the table of the view to the clipboard"),
    command(
        "export",
        "FORMAT",
        "write the table or picture to a file: csv, json, parquet, svg, png",
    ),
    command("log", "", "show the log of the run and the recorder"),
    command("pause", "", "pause the training"),
    command("resume", "", "resume a paused training"),
    command("help", "", "list these commands"),
    command("keys", "", "list the keys"),
    command("quit", "", "quit"),
];

/// Formats that `export` accepts.
pub(super) const FORMATS: [&str; 5] = ["csv", "json", "parquet", "svg", "png"];

/// Returns a one-word name for an order.
pub(super) fn sort_word(sort: Sort) -> &'static str {
    sort.name()
        .split(' ')
        .find(|word| *word != "help")
        .unwrap_or_default()
}

impl RunModel {
    /// Returns the completions of a command's last word, in the order of the help.
    #[must_use]
    pub fn completions(&self, line: &str) -> Vec<String> {
        let Some((word, rest)) = line.split_once(' ') else {
            let commands = COMMANDS.iter().map(|command| command.name.to_owned());
            let screens = Screen::ALL.map(|screen| screen.name().to_lowercase());
            return beginning(line, commands.chain(screens));
        };
        let rest = rest.trim_start();
        let header = &self.header;
        match word {
            "layer" => {
                let layers = header.layout.layers.iter();
                beginning(rest, layers.map(|layer| layer.name.clone()))
            }
            "class" => beginning(rest, header.classes.iter().cloned()),
            "sort" => beginning(rest, Sort::ALL.map(|sort| sort_word(sort).to_owned())),
            "export" => beginning(rest, FORMATS.map(str::to_owned)),
            _ => Vec::new(),
        }
    }

    /// Returns the line with its last word extended as far as all completions agree.
    pub(super) fn completed(&self, line: &str) -> String {
        let found = self.completions(line);
        let Some(first) = found.first() else {
            return line.to_owned();
        };
        let mut common = first.clone();
        while !found.iter().all(|other| starts(other, &common)) {
            common.pop();
        }
        let before = line.split_once(' ').map(|(word, _)| format!("{word} "));
        let is_command = before.is_none();
        let takes_more = COMMANDS
            .iter()
            .any(|command| command.name == common && !command.arguments.is_empty());
        let space = if found.len() == 1 && is_command && takes_more {
            " "
        } else {
            ""
        };
        before.unwrap_or_default() + &common + space
    }
}

fn beginning(start: &str, words: impl IntoIterator<Item = String>) -> Vec<String> {
    let words = words.into_iter();
    words.filter(|word| starts(word, start)).collect()
}

/// Returns true if the word starts with `start`, ignoring case.
fn starts(word: &str, start: &str) -> bool {
    word.to_lowercase().starts_with(&start.to_lowercase())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::action::Action;
    use super::super::overlays::Overlay;
    use super::super::screen::Depth;
    use super::super::state::App;
    use super::super::timeline::tests::step;
    use super::*;
    use crate::feed::{FeedEvent, Origin};
    use crate::layout::{ParamLayout, TensorKind};
    use crate::record::RunHeader;

    fn app() -> App {
        let mut layout = ParamLayout::default();
        for name in ["conv1", "conv2"] {
            layout.push_layer(name, "linear", 4, &[(TensorKind::Bias, vec![4])]);
        }
        let header = RunHeader {
            classes: vec!["cat".to_owned(), "dog".to_owned()],
            layout,
            ..RunHeader::default()
        };
        let mut app = App::new(Arc::new(header), Origin::Replay);
        let steps = (0..50).map(|t| step(t, [-1.0, 0.5]));
        app.event(FeedEvent::Steps(steps.collect()));
        app
    }

    fn typed(app: &mut App, text: &str) {
        app.act(Action::Command);
        for letter in text.chars() {
            app.act(Action::Type(letter));
        }
    }

    fn run(app: &mut App, text: &str) {
        typed(app, text);
        app.act(Action::Submit);
    }

    fn line(app: &App) -> &str {
        app.overlays
            .prompt
            .as_ref()
            .map_or("", |prompt| &prompt.text)
    }

    #[test]
    fn every_command_in_the_help_exists_and_lists_its_arguments() {
        for command in COMMANDS {
            let mut app = app();
            run(&mut app, command.name);
            assert!(
                !app.overlays.notice().starts_with("unknown command"),
                "{}",
                command.name
            );
        }
        let mut app = app();
        for (wrong, hint) in [
            ("fly", ":help"),
            ("layer x", "conv1, conv2"),
            ("class bird", "cat, dog"),
            ("sort up", "network, helps"),
            ("export doc", "csv, json"),
            ("zoom 9", "A..B"),
            ("zoom 60..70", "0..50"),
            ("filter zzz", "zzz"),
            ("resume", "no training"),
        ] {
            run(&mut app, wrong);
            assert!(
                app.overlays.notice().contains(hint),
                "{wrong}: {}",
                app.overlays.notice()
            );
        }
    }

    #[test]
    fn commands_have_their_documented_effect() {
        let mut app = app();
        run(&mut app, "zoom 10..20");
        assert_eq!(app.nav.window.visible(50), 10..20);
        run(&mut app, "zoom");
        assert!(app.nav.window.shows_all());
        run(&mut app, "sort share");
        assert_eq!(app.nav.sort, Sort::HelpShare);
        run(&mut app, "class dog");
        assert_eq!((app.nav.class, app.nav.screen), (1, Screen::Classes));
        run(&mut app, "layer conv2");
        assert_eq!(app.nav.depth, Depth::Layer(1));
        run(&mut app, "export png");
        assert_eq!(app.take_effects().len(), 1);
        run(&mut app, "help");
        assert_eq!(app.overlays.open, Some(Overlay::Commands));
    }

    #[test]
    fn tab_completes_up_to_the_first_ambiguity() {
        let mut app = app();
        typed(&mut app, "lay");
        app.act(Action::Complete);
        assert_eq!(line(&app), "layer ");
        app.act(Action::Complete);
        assert_eq!(line(&app), "layer conv");
        assert_eq!(app.model.completions("layer conv"), ["conv1", "conv2"]);
        app.act(Action::Type('2'));
        app.act(Action::Submit);
        assert_eq!(app.nav.depth, Depth::Layer(1));
        typed(&mut app, "xyz");
        app.act(Action::Complete);
        assert_eq!(line(&app), "xyz");
    }

    #[test]
    fn recalled_commands_come_latest_first() {
        let mut app = app();
        for text in ["3", "sort helps", "3"] {
            run(&mut app, text);
        }
        app.act(Action::Command);
        for (by, expected) in [
            (1, "3"),
            (1, "sort helps"),
            (1, "sort helps"),
            (-1, "3"),
            (-1, ""),
        ] {
            app.act(Action::Recall(by));
            assert_eq!(line(&app), expected);
        }
    }
}
