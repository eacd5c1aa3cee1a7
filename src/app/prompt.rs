//! Typed lines: commands and filters.

use super::action::Action;
use super::commands;
use super::screen::{Depth, Prompt, PromptKind, Screen, Sort};
use super::state::{App, Overlay};

/// Most characters in a line.
const LONGEST: usize = 200;

/// Most commands kept in the history.
const REMEMBERED: usize = 100;

/// Most names in a message.
const NAMES: usize = 12;

impl App {
    pub(super) fn ask_for(&mut self, kind: PromptKind) {
        let text = match kind {
            PromptKind::Command => String::new(),
            PromptKind::Filter => self.filter.clone(),
        };
        self.prompt = Some(Prompt {
            kind,
            text,
            recalled: 0,
        });
    }

    /// Closes the prompt without running its line; a filter is cleared.
    pub(super) fn leave_prompt(&mut self) {
        if let Some(prompt) = self.prompt.take()
            && prompt.kind == PromptKind::Filter
        {
            self.filter.clear();
        }
    }

    pub(super) fn edit(&mut self, action: Action) {
        let Some(prompt) = &mut self.prompt else {
            return;
        };
        match action {
            Action::Type(letter) if prompt.text.chars().count() < LONGEST => {
                prompt.text.push(letter);
            }
            Action::Erase if prompt.text.pop().is_none() => return self.leave_prompt(),
            Action::Submit => {
                let Some(Prompt { kind, text, .. }) = self.prompt.take() else {
                    return;
                };
                match kind {
                    PromptKind::Command => {
                        self.remember(text.trim());
                        self.command(text.trim());
                    }
                    PromptKind::Filter => self.say_if_nothing_passes(),
                }
                return;
            }
            Action::Complete if prompt.kind == PromptKind::Command => {
                let line = prompt.text.clone();
                let completed = self.completed(&line);
                if let Some(prompt) = &mut self.prompt {
                    prompt.text = completed;
                }
                return;
            }
            Action::Recall(by) if prompt.kind == PromptKind::Command => {
                let back = prompt
                    .recalled
                    .saturating_add_signed(isize::try_from(by).unwrap_or(0));
                prompt.recalled = back.min(self.history.len());
                let at = self.history.len() - prompt.recalled;
                prompt.text = self.history.get(at).cloned().unwrap_or_default();
                return;
            }
            _ => {}
        }
        if prompt.kind == PromptKind::Filter {
            self.filter.clone_from(&prompt.text);
            self.select_listed();
        }
    }

    /// Moves the selection to a listed layer if it is not on one.
    fn select_listed(&mut self) {
        let layers = self.listed_layers();
        if !layers.contains(&self.layer)
            && let Some(&first) = layers.first()
        {
            self.layer = first;
        }
    }

    fn remember(&mut self, line: &str) {
        if line.is_empty() {
            return;
        }
        self.history.retain(|before| before != line);
        self.history.push(line.to_owned());
        if self.history.len() > REMEMBERED {
            self.history.remove(0);
        }
    }

    fn say_if_nothing_passes(&mut self) {
        if !self.filter.is_empty() && self.listed_layers().is_empty() {
            let filter = &self.filter;
            self.say(format!(
                "no layer or tensor name contains '{filter}'; / and Esc remove the filter"
            ));
        }
    }

    /// Runs a command.
    fn command(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        if let Ok(step) = word.parse::<u64>() {
            return self.jump_to(step);
        }
        let screen = Screen::ALL
            .into_iter()
            .find(|screen| screen.name().eq_ignore_ascii_case(word));
        match word {
            "" => {}
            "q" | "quit" => self.act(Action::Quit),
            "help" => self.open_help(Overlay::Commands),
            "keys" => self.act(Action::Help),
            "layer" => self.look_into(rest),
            "unit" => self.look_into_unit(rest),
            "param" | "parameter" => self.look_at_parameter(rest),
            "class" => self.select_class(rest),
            "sort" => self.sort_by(rest),
            "filter" => {
                rest.clone_into(&mut self.filter);
                self.select_listed();
                self.say_if_nothing_passes();
            }
            "zoom" => self.zoom_to(rest),
            "bookmark" => self.toggle_bookmark(),
            "events" => self.act(Action::Events),
            "compare" => self.act(Action::Compare),
            "copy" => self.act(Action::Copy),
            "export" => self.export_as(rest),
            "log" => self.show_log(),
            "pause" => self.order_pause(true),
            "resume" => self.order_pause(false),
            _ if screen.is_some() => self.act(Action::Screen(screen.unwrap_or_default())),
            _ => self.say(format!("unknown command '{word}' (:help lists all)")),
        }
    }

    fn select_class(&mut self, name: &str) {
        let classes = &self.header.classes;
        let named = classes.iter().position(|class| class == name);
        let numbered = name.parse().ok().filter(|&class| class < classes.len());
        match named.or(numbered) {
            Some(class) => {
                self.class = class;
                self.act(Action::Screen(Screen::Classes));
            }
            None if classes.is_empty() => self.say("this run has no classes"),
            None => {
                let there = classes.join(", ");
                self.say(format!("unknown class '{name}' (classes: {there})"));
            }
        }
    }

    fn sort_by(&mut self, word: &str) {
        let found = Sort::ALL.into_iter().find(|sort| {
            word == commands::sort_word(*sort) || word.eq_ignore_ascii_case(sort.name())
        });
        match found {
            Some(sort) => self.sort = sort,
            None => {
                let there = Sort::ALL.map(commands::sort_word).join(", ");
                self.say(format!("unknown order '{word}' (orders: {there})"));
            }
        }
    }

    /// Parses `A..B`, either end of which may be left out; `all` or nothing shows the whole run.
    fn zoom_to(&mut self, range: &str) {
        if matches!(range, "" | "all") {
            return self.window.zoom_out();
        }
        let end = self.timeline.end();
        let ends = range.split_once("..").and_then(|(from, to)| {
            let number = |text: &str, open: u64| match text.trim() {
                "" => Some(open),
                text => text.parse::<u64>().ok(),
            };
            Some((number(from, 0)?, number(to, end)?))
        });
        match ends {
            Some((from, to)) if from < to && from < end => {
                self.settle();
                self.window.show(&(from..to.min(end)));
            }
            Some(_) => self.say(format!("zoom {range}: not a range within 0..{end}")),
            None => self.say(format!(
                "zoom {range}: not a range; use A..B, for example zoom 100..200"
            )),
        }
    }

    fn export_as(&mut self, format: &str) {
        match format {
            "" => self.export(None),
            format if commands::FORMATS.contains(&format) => self.export(Some(format.to_owned())),
            format => {
                let there = commands::FORMATS.join(", ");
                self.say(format!("unknown format '{format}' (formats: {there})"));
            }
        }
    }

    fn look_into(&mut self, name: &str) {
        let layers = &self.header.layout.layers;
        match layers.iter().position(|layer| layer.name == name) {
            Some(layer) => {
                self.layer = layer;
                self.unit = 0;
                self.depth = Depth::Layer(layer);
                self.comparing = false;
            }
            None => {
                let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
                let more = if names.len() > NAMES { ", ..." } else { "" };
                let there = names[..names.len().min(NAMES)].join(", ");
                self.say(format!("unknown layer '{name}' (layers: {there}{more})"));
            }
        }
    }

    /// Opens a unit of the open layer, or of the selected one.
    fn look_into_unit(&mut self, number: &str) {
        let layer = self.depth.layer().unwrap_or(self.layer);
        let Some(found) = self.header.layout.layers.get(layer) else {
            return;
        };
        let count = found.units.len();
        let unit = number.parse().ok().filter(|&unit| unit < count);
        let rows = unit.map(|unit| self.header.layout.unit_rows(layer, unit));
        let first = rows.iter().flatten().find(|row| !row.is_empty());
        match (unit, first) {
            (Some(unit), Some(row)) => {
                (self.layer, self.unit, self.parameter) = (layer, unit, row.start);
                self.depth = Depth::Unit { layer, unit };
                self.comparing = false;
            }
            _ => {
                let name = &found.name;
                let range = match count {
                    0 => format!("layer {name} has no units"),
                    _ => format!("layer {name} has units 0 to {}", count - 1),
                };
                self.say(format!("unknown unit '{number}': {range}"));
            }
        }
    }

    /// Opens a parameter by its index in the flat vector, as the file numbers them.
    fn look_at_parameter(&mut self, number: &str) {
        let params = self.header.layout.params();
        match number.parse().ok().filter(|&parameter| parameter < params) {
            Some(parameter) => {
                self.depth = Depth::Network;
                self.look_at(parameter);
            }
            None => self.say(format!(
                "unknown parameter '{number}': the run has parameters 0 to {}",
                params.saturating_sub(1)
            )),
        }
    }

    /// Moves the cursor to a step, or as near as there are steps.
    pub(super) fn jump_to(&mut self, step: u64) {
        self.settle();
        let end = self.timeline.end();
        self.window.home();
        let by = i64::try_from(step).unwrap_or(i64::MAX);
        self.window.move_by(by, end);
        if self.window.cursor(end) != Some(step) {
            self.say(format!("step {step} does not exist yet"));
        }
    }

    pub(super) fn toggle_bookmark(&mut self) {
        let Some(step) = self.window.cursor(self.timeline.end()) else {
            return;
        };
        if self.bookmarks.remove(&step) {
            self.say(format!("bookmark at step {step} removed"));
        } else {
            self.bookmarks.insert(step);
            self.say(format!("bookmark set at step {step}"));
        }
    }
}
