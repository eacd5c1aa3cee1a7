//! Lines that are typed: commands and filters.

use super::screen::{Depth, Prompt, PromptKind, Screen};
use super::state::{Action, App};

/// Letters that a line may have.
const LONGEST: usize = 200;

impl App {
    pub(super) fn ask_for(&mut self, kind: PromptKind) {
        let text = match kind {
            PromptKind::Command => String::new(),
            PromptKind::Filter => self.filter.clone(),
        };
        self.prompt = Some(Prompt { kind, text });
    }

    /// Leaves the line without doing what it says; a filter is taken off.
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
                let Some(Prompt { kind, text }) = self.prompt.take() else {
                    return;
                };
                if kind == PromptKind::Command {
                    self.command(text.trim());
                }
                return;
            }
            _ => {}
        }
        if prompt.kind == PromptKind::Filter {
            self.filter.clone_from(&prompt.text);
            self.select_listed();
        }
    }

    /// Keeps a listed layer selected.
    fn select_listed(&mut self) {
        let layers = self.listed_layers();
        if !layers.contains(&self.layer)
            && let Some(&first) = layers.first()
        {
            self.layer = first;
        }
    }

    /// Obeys a command.
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
            "help" => self.act(Action::Help),
            "layer" => self.look_into(rest),
            _ if screen.is_some() => self.act(Action::Screen(screen.unwrap_or_default())),
            _ => self.say(format!(
                "no command '{word}'; a step's number, a screen's name, layer NAME, help, quit"
            )),
        }
    }

    fn look_into(&mut self, name: &str) {
        let layers = &self.header.layout.layers;
        match layers.iter().position(|layer| layer.name == name) {
            Some(layer) => {
                self.layer = layer;
                self.unit = 0;
                self.depth = Depth::Layer(layer);
            }
            None => self.say(format!("no layer '{name}'")),
        }
    }

    /// Moves the cursor to a step, as far as there is one.
    pub(super) fn jump_to(&mut self, step: u64) {
        self.settle();
        let end = self.timeline.end();
        self.window.home();
        let by = i64::try_from(step).unwrap_or(i64::MAX);
        self.window.move_by(by, end);
        if self.window.cursor(end) != Some(step) {
            self.say(format!("step {step} is not there yet"));
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
            self.say(format!("bookmark at step {step}"));
        }
    }
}
