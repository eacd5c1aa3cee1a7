//! Actions: what the user can do in the explorer.

use super::screen::Screen;

/// An action that a key triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Move the cursor by this many steps.
    Move(i64),
    Home,
    /// Go to the newest step and follow it.
    Follow,
    ZoomIn,
    ZoomOut,
    ZoomAll,
    /// Freeze the view; in a replay, play or pause.
    Freeze,
    Faster,
    Slower,
    /// Pause or resume the training.
    PauseTraining,
    /// Toggle between linear and symmetric-logarithmic charts.
    ToggleScale,
    Screen(Screen),
    NextScreen,
    PreviousScreen,
    /// Move the selection in the list by this many rows.
    Select(i64),
    /// Select this item of the list.
    Choose(usize),
    /// Open the selected item.
    Enter,
    /// Close what is open, or go up one level.
    Back,
    Sort,
    /// Toggle between all layers together and only the selected one; in a comparison, between runs and their means.
    Pool,
    /// Show the next of the screen's charts in full, then all of them again.
    Focus,
    /// Toggle the comparison with other runs.
    Compare,
    /// Copy the numbers in view to the clipboard, or export them to files.
    Copy,
    Export,
    PreviousEvent,
    NextEvent,
    /// Open the next parameter that was traced at every step.
    NextTraced,
    /// Set or remove a bookmark at the cursor.
    Bookmark,
    /// List events, lints and bookmarks.
    Events,
    /// Show what happened in the run, in sentences.
    Findings,
    /// Go to the selected layer's next worse or next milder step.
    Worse,
    Milder,
    /// Restrict to the next or the previous class; all classes together come between the last and the first. In a
    /// comparison, select the next or the previous run.
    NextClass,
    PreviousClass,
    /// Start typing a command.
    Command,
    /// Start typing a filter for names.
    Filter,
    /// Edit the line being typed.
    Type(char),
    Erase,
    Submit,
    /// Complete the command, or recall an earlier one.
    Complete,
    Recall(i64),
    Help,
    /// List the runs in this run's folder.
    Runs,
    Quit,
    /// Answers to whether the training should stop. Stopping a training in another process does not close the explorer.
    StopAndQuit,
    LeaveRunning,
    /// Close the open overlay or prompt.
    Dismiss,
}
