//! What can be typed behind `:`.

use super::screen::{Screen, Sort};
use super::state::App;

/// A command, for its help.
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

/// All commands but the names of screens and the numbers of steps.
pub const COMMANDS: &[Command] = &[
    command("layer", "NAME", "look into a layer"),
    command("unit", "N", "look into a unit of the layer"),
    command(
        "param",
        "N",
        "look at a parameter, by its place in the flat vector",
    ),
    command("class", "NAME", "select a class, by name or number"),
    command(
        "sort",
        "ORDER",
        "sort lists: network, helps, hurts, share, oscillation, largest",
    ),
    command(
        "filter",
        "TEXT",
        "show only layers and tensors with these letters; without any, all",
    ),
    command(
        "zoom",
        "A..B",
        "show the steps from A up to and without B; without them, all",
    ),
    command("bookmark", "", "set or remove a bookmark at the cursor"),
    command("events", "", "say where the events are that [ and ] go to"),
    command(
        "compare",
        "",
        "show the second run beside this one, or this one alone",
    ),
    command("copy", "", "the numbers of the view to the clipboard"),
    command(
        "export",
        "FORMAT",
        "the numbers of the view to files: csv, json, parquet, svg, png",
    ),
    command("log", "", "what the run and its recorder say"),
    command("pause", "", "pause the training"),
    command("resume", "", "let a paused training go on"),
    command("help", "", "these commands"),
    command("keys", "", "the keys"),
    command("quit", "", "leave"),
];

/// Formats that `export` takes.
pub(super) const FORMATS: [&str; 5] = ["csv", "json", "parquet", "svg", "png"];

/// One word for each order.
pub(super) fn sort_word(sort: Sort) -> &'static str {
    sort.name()
        .split(' ')
        .find(|word| *word != "help")
        .unwrap_or_default()
}

impl App {
    /// What the last word of a command may become, in the order of the help.
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

    /// The line with its last word as long as all completions agree.
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

/// Whether a word begins so, in whichever case.
fn starts(word: &str, start: &str) -> bool {
    word.to_lowercase().starts_with(&start.to_lowercase())
}
