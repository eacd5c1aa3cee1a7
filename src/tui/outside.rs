//! What the screen has done by others: it does not know where the run's file lies, nor how tables are made.

use crossbeam_channel::Receiver;

use crate::app::Effect;

/// What came of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A notice: what has been done, or why not.
    Said(String),
    /// A text for the clipboard, which is the terminal's, and what it is.
    Text { text: String, what: String },
}

/// Does what the screen cannot.
pub trait Outside {
    /// Begins, and says so; does not wait.
    fn begin(&mut self, effect: Effect) -> String;

    /// Where to hear what came of it.
    fn outcomes(&self) -> Receiver<Outcome>;
}
