//! The run picker on the terminal: its loop and its keys. [`view`] draws it.

mod view;

use std::io;

use crossbeam_channel::{Receiver, never, select};
use crossterm::event::{Event, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

pub use view::{Hits, draw};

use super::input::Input;
use super::job::in_background;
use super::keys::{self, KeyMap, Request};
use super::painter::Painter;
use super::run::{BACKGROUND, Exit, OnTerminal, STRAY, ScreenOptions};
use crate::app::{Action, Overlay, Picked, Picker, PickerAction};
use crate::runs::ListUpdate;

/// The end of the picker.
#[derive(Debug)]
pub enum PickerEnd {
    Picked(Picked),
    Exit(Exit),
}

/// Shows the picker until a run is picked, the user leaves, the terminal is gone or a signal arrives.
///
/// # Errors
/// The terminal cannot be drawn on.
pub fn pick(
    picker: &mut Picker,
    updates: &Receiver<ListUpdate>,
    options: &ScreenOptions,
    signals: &Receiver<i32>,
) -> io::Result<PickerEnd> {
    // Lines printed by others are kept until the terminal has been restored.
    let (said, _) = crossbeam_channel::bounded(STRAY);
    let mut updates = updates.clone();
    let mut painter = Painter::new(options.fps);
    let mut hits = Hits::default();
    let mut taken: Option<OnTerminal> = None;
    picker.picked = None;
    loop {
        if taken.is_none() && !in_background() {
            taken = Some(OnTerminal::take(options.mouse, &said)?);
            painter.urgent();
        }
        if let Some(on) = &mut taken
            && painter.is_due()
        {
            let drawn = on.draw(|frame| {
                hits = draw(frame.area(), frame.buffer_mut(), picker, options);
            });
            if drawn.is_err() {
                return Ok(PickerEnd::Exit(Exit::Hangup));
            }
            painter.drawn();
        }
        let (input, patience) = match &taken {
            Some(on) => (on.input.events.clone(), painter.patience(false)),
            None => (never(), BACKGROUND),
        };
        select! {
            recv(updates) -> update => match update {
                Ok(update) => {
                    picker.update(update);
                    updates.try_iter().take(64).for_each(|update| picker.update(update));
                    painter.changed();
                }
                Err(_) => updates = never(),
            },
            recv(signals) -> signal => if let Ok(signal) = signal {
                return Ok(PickerEnd::Exit(Exit::from_signal(signal)));
            },
            recv(input) -> input => match input {
                Ok(Input::Event(Event::Key(key))) => match request(&options.keys, key, picker) {
                    Some(PickerRequest::Act(action)) => {
                        picker.act(action);
                        painter.urgent();
                    }
                    Some(PickerRequest::Suspend) => {
                        taken = None;
                        rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?;
                    }
                    None => {}
                },
                Ok(Input::Event(Event::Mouse(event))) => {
                    if let Some(action) = mouse_action(&hits, event).filter(|_| !picker.typing) {
                        picker.act(action);
                        painter.urgent();
                    }
                }
                Ok(Input::Event(_)) => {}
                Ok(Input::Resized) => painter.changed(),
                Ok(Input::Continued) => taken = None,
                Ok(Input::Hangup) | Err(_) if in_background() => taken = None,
                Ok(Input::Hangup) | Err(_) => return Ok(PickerEnd::Exit(Exit::Hangup)),
            },
            default(patience) => {}
        }
        if let Some(picked) = picker.picked.take() {
            return Ok(PickerEnd::Picked(picked));
        }
    }
}

enum PickerRequest {
    Act(PickerAction),
    Suspend,
}

/// Returns what a key requests.
fn request(keys: &KeyMap, key: KeyEvent, picker: &Picker) -> Option<PickerRequest> {
    let overlay = picker.help.then_some(Overlay::Help);
    let action = match keys::pressed(keys, key, overlay, picker.typing)? {
        Request::Suspend => return Some(PickerRequest::Suspend),
        Request::Act(action) => action,
    };
    let action = match action {
        Action::Select(rows) => PickerAction::Select(rows),
        Action::Home => PickerAction::First,
        Action::Follow => PickerAction::Last,
        Action::Move(columns) => PickerAction::Column(columns),
        Action::Freeze => PickerAction::Mark,
        Action::Enter => PickerAction::Open,
        Action::Back | Action::Runs => PickerAction::Back,
        Action::Sort => PickerAction::Sort,
        Action::Filter => PickerAction::Filter,
        Action::Type(letter) => PickerAction::Type(letter),
        Action::Erase => PickerAction::Erase,
        Action::Submit => PickerAction::Submit,
        Action::Dismiss => PickerAction::Dismiss,
        // While typing, the arrows still choose a row.
        Action::Recall(rows) => PickerAction::Select(-rows),
        Action::Help => PickerAction::Help,
        Action::Quit => PickerAction::Quit,
        _ => return None,
    };
    Some(PickerRequest::Act(action))
}

/// Returns the action of the mouse: a click on a selected row opens it.
fn mouse_action(hits: &Hits, mouse: MouseEvent) -> Option<PickerAction> {
    match mouse.kind {
        MouseEventKind::ScrollUp => Some(PickerAction::Select(-1)),
        MouseEventKind::ScrollDown => Some(PickerAction::Select(1)),
        MouseEventKind::Down(MouseButton::Left) => {
            let at = Position::new(mouse.column, mouse.row);
            let hit = hits.0.iter().rfind(|(area, _)| area.contains(at))?;
            Some(hit.1)
        }
        _ => None,
    }
}
