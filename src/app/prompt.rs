//! Typed lines: commands and filters.

use super::action::Action;
use super::commands;
use super::effect::Effect;
use super::overlays::{Overlay, Prompt, PromptKind};
use super::screen::{Depth, Screen, Sort};
use super::state::App;

/// Most names in a message.
const NAMES: usize = 12;

impl App {
    /// Closes the prompt without running its line; a filter is cleared.
    pub(super) fn leave_prompt(&mut self) {
        if let Some(prompt) = self.overlays.prompt.take()
            && prompt.kind == PromptKind::Filter
        {
            self.nav.filter.clear();
        }
    }

    /// Edits the line being typed, or runs it.
    pub(super) fn edit(&mut self, action: Action) {
        let Some(prompt) = &mut self.overlays.prompt else {
            return;
        };
        match (action, prompt.kind) {
            (Action::Type(letter), _) => prompt.push(letter),
            (Action::Erase, _) if prompt.text.pop().is_none() => return self.leave_prompt(),
            (Action::Submit, _) => return self.submit(),
            (Action::Complete, PromptKind::Command) => {
                prompt.text = self.model.completed(&prompt.text);
            }
            (Action::Recall(by), PromptKind::Command) => {
                return self.overlays.recall(isize::try_from(by).unwrap_or(0));
            }
            _ => {}
        }
        if prompt.kind == PromptKind::Filter {
            self.nav.filter.clone_from(&prompt.text);
            self.select_listed();
        }
    }

    fn submit(&mut self) {
        let Some(Prompt { kind, text, .. }) = self.overlays.prompt.take() else {
            return;
        };
        match kind {
            PromptKind::Command => {
                self.overlays.remember(text.trim());
                self.command(text.trim());
            }
            PromptKind::Filter => self.say_if_nothing_passes(),
        }
    }

    /// Moves the selection to a listed layer if it is not on one.
    fn select_listed(&mut self) {
        let layers = self.listed_layers();
        if !layers.contains(&self.nav.layer)
            && let Some(&first) = layers.first()
        {
            self.nav.layer = first;
        }
    }

    fn say_if_nothing_passes(&mut self) {
        if !self.nav.filter.is_empty() && self.listed_layers().is_empty() {
            let filter = &self.nav.filter;
            self.overlays.say(format!(
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
            "help" => self.overlays.show(Overlay::Commands),
            "keys" => self.act(Action::Help),
            "layer" => self.look_into(rest),
            "unit" => self.look_into_unit(rest),
            "param" | "parameter" => self.look_at_parameter(rest),
            "class" => self.select_class(rest),
            "sort" => self.sort_by(rest),
            "filter" => {
                rest.clone_into(&mut self.nav.filter);
                self.select_listed();
                self.say_if_nothing_passes();
            }
            "zoom" => self.zoom_to(rest),
            "bookmark" => self.toggle_bookmark(),
            "events" => self.act(Action::Events),
            "compare" => self.act(Action::Compare),
            "copy" => self.act(Action::Copy),
            "export" => self.export_as(rest),
            "log" => self.nav.show_log(),
            "pause" => self.order_pause(true),
            "resume" => self.order_pause(false),
            _ if screen.is_some() => self.act(Action::Screen(screen.unwrap_or_default())),
            _ => self
                .overlays
                .say(format!("unknown command '{word}' (:help lists all)")),
        }
    }

    fn select_class(&mut self, name: &str) {
        let classes = &self.model.header.classes;
        let named = classes.iter().position(|class| class == name);
        let numbered = name.parse().ok().filter(|&class| class < classes.len());
        match named.or(numbered) {
            Some(class) => {
                self.nav.class = class;
                self.act(Action::Screen(Screen::Classes));
            }
            None if classes.is_empty() => self.overlays.say("this run has no classes"),
            None => {
                let there = classes.join(", ");
                self.overlays
                    .say(format!("unknown class '{name}' (classes: {there})"));
            }
        }
    }

    fn sort_by(&mut self, word: &str) {
        let found = Sort::ALL.into_iter().find(|sort| {
            word == commands::sort_word(*sort) || word.eq_ignore_ascii_case(sort.name())
        });
        match found {
            Some(sort) => self.sort(sort),
            None => {
                let there = Sort::ALL.map(commands::sort_word).join(", ");
                self.overlays
                    .say(format!("unknown order '{word}' (orders: {there})"));
            }
        }
    }

    /// Parses `A..B`, either end of which may be left out; `all` or nothing shows the whole run.
    fn zoom_to(&mut self, range: &str) {
        if matches!(range, "" | "all") {
            return self.nav.window.zoom_out();
        }
        let end = self.model.timeline.end();
        let ends = range.split_once("..").and_then(|(from, to)| {
            let number = |text: &str, open: u64| match text.trim() {
                "" => Some(open),
                text => text.parse::<u64>().ok(),
            };
            Some((number(from, 0)?, number(to, end)?))
        });
        match ends {
            Some((from, to)) if from < to && from < end => {
                self.playback.settle(&mut self.nav.window, end);
                self.nav.window.show(&(from..to.min(end)));
            }
            Some(_) => self
                .overlays
                .say(format!("zoom {range}: not a range within 0..{end}")),
            None => self.overlays.say(format!(
                "zoom {range}: not a range; use A..B, for example zoom 100..200"
            )),
        }
    }

    fn export_as(&mut self, format: &str) {
        match format {
            "" => self.request(|shown| Effect::Export(shown, None)),
            format if commands::FORMATS.contains(&format) => {
                self.request(|shown| Effect::Export(shown, Some(format.to_owned())));
            }
            format => {
                let there = commands::FORMATS.join(", ");
                self.overlays
                    .say(format!("unknown format '{format}' (formats: {there})"));
            }
        }
    }

    fn look_into(&mut self, name: &str) {
        let layers = &self.model.header.layout.layers;
        match layers.iter().position(|layer| layer.name == name) {
            Some(layer) => {
                self.nav.layer = layer;
                self.nav.unit = 0;
                self.nav.depth = Depth::Layer(layer);
                self.nav.comparing = false;
            }
            None => {
                let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
                let more = if names.len() > NAMES { ", ..." } else { "" };
                let there = names[..names.len().min(NAMES)].join(", ");
                self.overlays
                    .say(format!("unknown layer '{name}' (layers: {there}{more})"));
            }
        }
    }

    /// Opens a unit of the open layer, or of the selected one.
    fn look_into_unit(&mut self, number: &str) {
        let layer = self.nav.depth.layer().unwrap_or(self.nav.layer);
        let Some(found) = self.model.header.layout.layers.get(layer) else {
            return;
        };
        let count = found.units.len();
        let unit = number.parse().ok().filter(|&unit| unit < count);
        let rows = unit.map(|unit| self.model.header.layout.unit_rows(layer, unit));
        let first = rows.iter().flatten().find(|row| !row.is_empty());
        match (unit, first) {
            (Some(unit), Some(row)) => {
                (self.nav.layer, self.nav.unit, self.nav.parameter) = (layer, unit, row.start);
                self.nav.depth = Depth::Unit { layer, unit };
                self.nav.comparing = false;
            }
            _ => {
                let name = &found.name;
                let range = match count {
                    0 => format!("layer {name} has no units"),
                    _ => format!("layer {name} has units 0 to {}", count - 1),
                };
                self.overlays
                    .say(format!("unknown unit '{number}': {range}"));
            }
        }
    }

    /// Opens a parameter by its index in the flat vector, as the file numbers them.
    fn look_at_parameter(&mut self, number: &str) {
        let params = self.model.header.layout.params();
        match number.parse().ok().filter(|&parameter| parameter < params) {
            Some(parameter) => {
                self.nav.depth = Depth::Network;
                self.nav.look_at(parameter, &self.model.header.layout);
            }
            None => self.overlays.say(format!(
                "unknown parameter '{number}': the run has parameters 0 to {}",
                params.saturating_sub(1)
            )),
        }
    }

    /// Moves the cursor to a step, or as near as there are steps.
    pub(super) fn jump_to(&mut self, step: u64) {
        let end = self.model.timeline.end();
        self.playback.settle(&mut self.nav.window, end);
        self.nav.window.home();
        let by = i64::try_from(step).unwrap_or(i64::MAX);
        self.nav.window.move_by(by, end);
        if self.cursor() != Some(step) {
            let so_far = if self.model.is_running() {
                " so far"
            } else {
                ""
            };
            self.overlays.say(match end {
                0 => "the run has no steps yet".to_owned(),
                1 => format!("the run has only step 0{so_far}"),
                _ => format!("the run has steps 0 to {}{so_far}", end - 1),
            });
        }
    }

    pub(super) fn toggle_bookmark(&mut self) {
        let Some(step) = self.cursor() else {
            return;
        };
        if self.nav.bookmarks.remove(&step) {
            self.overlays
                .say(format!("bookmark at step {step} removed"));
        } else {
            self.nav.bookmarks.insert(step);
            self.overlays.say(format!("bookmark set at step {step}"));
        }
    }
}
