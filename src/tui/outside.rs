//! Work that the screen leaves to others: it knows neither the path of the run file nor how to make tables.

use crossbeam_channel::Receiver;

use crate::app::Effect;

/// The result of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A notice: what was done, or why it failed.
    Said(String),
    /// A text for the terminal's clipboard, and a description of it.
    Text { text: String, what: String },
}

/// Carries out the effects that the screen cannot.
pub trait Outside {
    /// Starts an effect without waiting for it, and returns a notice.
    fn begin(&mut self, effect: Effect) -> String;

    /// The channel on which results arrive.
    fn outcomes(&self) -> Receiver<Outcome>;
}
