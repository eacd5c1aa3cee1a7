//! What can be done in the explorer.

use super::screen::Screen;

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Move the cursor by so many steps.
    Move(i64),
    Home,
    /// To the newest step, and follow it.
    Follow,
    ZoomIn,
    ZoomOut,
    ZoomAll,
    /// Freeze the view or, in a replay, play and pause.
    Freeze,
    Faster,
    Slower,
    /// Pause and resume the training.
    PauseTraining,
    /// Linear or symmetric-logarithmic sparklines.
    ToggleScale,
    Screen(Screen),
    NextScreen,
    PreviousScreen,
    /// Move the selection in the list by so many rows.
    Select(i64),
    /// Look into what is selected.
    Enter,
    /// Close what is open, or go one level up.
    Back,
    Sort,
    /// All layers together, or the selected one alone.
    Pool,
    /// Another of the screen's charts in full, or all.
    Focus,
    /// Show the second run beside this one, or this one alone.
    Compare,
    /// The numbers of the view to the clipboard, or to files.
    Copy,
    Export,
    PreviousEvent,
    NextEvent,
    /// Look at the next parameter that was traced at every step.
    NextTraced,
    /// Set or remove a bookmark at the cursor.
    Bookmark,
    /// List events, lints and bookmarks.
    Events,
    /// Within the next class, or the one before; between the last and the first come all together.
    NextClass,
    PreviousClass,
    /// Type a command.
    Command,
    /// Type a part of names to show.
    Filter,
    /// In the line that is being typed.
    Type(char),
    Erase,
    Submit,
    /// Complete the command, or recall one given before.
    Complete,
    Recall(i64),
    Help,
    Quit,
    /// Answers to the question whether to stop the training. A training in another process is stopped
    /// without quitting.
    StopAndQuit,
    LeaveRunning,
    /// Close what lies over the screen.
    Dismiss,
}
