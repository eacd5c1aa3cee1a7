//! Window: the newest step shown, the range in view, and the cursor.

use std::ops::Range;

use crate::query::StepScope;

/// The newest step that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The newest step of the run.
    Newest,
    /// The view is frozen: steps from this one on are hidden.
    At(u64),
}

/// The view of the timeline. All methods take `end`, the number of steps so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    head: Head,
    /// `None` follows the newest step shown.
    cursor: Option<u64>,
    /// Number of steps in view; `None` shows all.
    width: Option<u64>,
}

/// Fewest steps in view.
const NARROWEST: u64 = 8;

impl Default for Window {
    fn default() -> Self {
        Self {
            head: Head::Newest,
            cursor: None,
            width: None,
        }
    }
}

impl Window {
    /// Returns the number of steps that may be shown.
    #[must_use]
    pub fn shown(&self, end: u64) -> u64 {
        match self.head {
            Head::Newest => end,
            Head::At(head) => head.min(end),
        }
    }

    /// Returns the cursor's step; `None` before the first step.
    #[must_use]
    pub fn cursor(&self, end: u64) -> Option<u64> {
        let newest = self.shown(end).checked_sub(1)?;
        Some(self.cursor.map_or(newest, |cursor| cursor.min(newest)))
    }

    /// Returns true if the window shows the whole run, however long it gets.
    #[must_use]
    pub fn shows_all(&self) -> bool {
        self.width.is_none()
    }

    /// Returns the cursor and the width of the window: `None` follows, or shows all.
    #[must_use]
    pub fn place(&self) -> (Option<u64>, Option<u64>) {
        (self.cursor, self.width)
    }

    /// Restores a cursor and a width.
    pub fn go_to(&mut self, (cursor, width): (Option<u64>, Option<u64>)) {
        self.cursor = cursor;
        self.width = width.map(|width| width.max(1));
    }

    /// Shows these steps, with the cursor in the middle.
    pub fn show(&mut self, steps: &Range<u64>) {
        let width = (steps.end - steps.start).max(1);
        self.go_to((Some(steps.start + width / 2), Some(width)));
    }

    /// Returns true if the view follows the newest step.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.head == Head::Newest && self.cursor.is_none()
    }

    /// Returns true if these steps stay the same as the run goes on from `end` steps.
    #[must_use]
    pub fn stands(&self, part: StepScope, end: u64) -> bool {
        let next = end.saturating_add(1);
        match part {
            StepScope::Window => self.visible(end) == self.visible(next),
            StepScope::Cursor => self.cursor(end) == self.cursor(next),
            StepScope::All => self.shown(end) == self.shown(next),
        }
    }

    #[must_use]
    pub fn frozen(&self) -> bool {
        self.head != Head::Newest
    }

    /// Returns the steps in view. The cursor is always among them.
    #[must_use]
    pub fn visible(&self, end: u64) -> Range<u64> {
        let shown = self.shown(end);
        let width = self.width.unwrap_or(shown).min(shown);
        let start = match self.cursor(end) {
            // The cursor stays in the middle, as far as the ends allow.
            Some(cursor) if self.cursor.is_some() => {
                cursor.saturating_sub(width / 2).min(shown - width)
            }
            _ => shown - width,
        };
        start..start + width
    }

    /// Returns the steps of a chart's axis: those in view, and if these are the whole run so far, some steps to come,
    /// of `whole` in all. This keeps columns in place while steps are added, so that a new step redraws little of the
    /// terminal.
    #[must_use]
    pub fn axis(&self, end: u64, whole: u64) -> Range<u64> {
        let visible = self.visible(end);
        if self.shows_all() {
            visible.start..with_room(visible.end).min(whole).max(visible.end)
        } else {
            visible
        }
    }

    /// Moves the cursor by this many steps. At the newest step it stays where it is: it only follows when told to.
    pub fn move_by(&mut self, steps: i64, end: u64) {
        if let Some(cursor) = self.cursor(end) {
            let newest = self.shown(end) - 1;
            self.cursor = Some(cursor.saturating_add_signed(steps).min(newest));
        }
    }

    /// Moves the cursor to the first step.
    pub fn home(&mut self) {
        self.cursor = Some(0);
    }

    /// Shows the newest step again and follows it.
    pub fn follow(&mut self) {
        self.head = Head::Newest;
        self.cursor = None;
    }

    /// Freezes the view at the newest step, or unfreezes it.
    pub fn toggle_freeze(&mut self, end: u64) {
        self.head = match self.head {
            Head::Newest => Head::At(end),
            Head::At(_) => Head::Newest,
        };
    }

    /// Shows only the steps before `head`, with the cursor on the last of them.
    pub fn set_head(&mut self, head: u64) {
        self.head = Head::At(head);
        self.cursor = None;
    }

    /// Halves or doubles the window around the cursor.
    pub fn zoom(&mut self, closer: bool, end: u64) {
        let shown = self.shown(end);
        let width = self.width.unwrap_or(shown).min(shown);
        let width = if closer { width / 2 } else { width * 2 };
        self.width = (width < shown).then_some(width.max(NARROWEST));
    }

    /// Shows all steps.
    pub fn zoom_out(&mut self) {
        self.width = None;
    }
}

/// Rounds `steps` up to a multiple of a power of two that is an eighth to a sixteenth of it.
fn with_room(steps: u64) -> u64 {
    let unit = 1 << (steps.max(1).ilog2() + 1).saturating_sub(4);
    steps.checked_next_multiple_of(unit).unwrap_or(steps)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Move {
        By(i64),
        Home,
        Follow,
        Freeze,
        Head(u64),
        Zoom(bool),
        ZoomOut,
        Grow(u64),
    }

    fn any_move() -> impl Strategy<Value = Move> {
        prop_oneof![
            (-50i64..50).prop_map(Move::By),
            Just(Move::Home),
            Just(Move::Follow),
            Just(Move::Freeze),
            (0u64..200).prop_map(Move::Head),
            any::<bool>().prop_map(Move::Zoom),
            Just(Move::ZoomOut),
            (0u64..30).prop_map(Move::Grow),
        ]
    }

    proptest! {
        #[test]
        fn the_window_lies_in_the_run_and_holds_the_cursor(moves in prop::collection::vec(any_move(), 0..40)) {
            let mut window = Window::default();
            let mut end = 0;
            for step in moves {
                match step {
                    Move::By(n) => window.move_by(n, end),
                    Move::Home => window.home(),
                    Move::Follow => window.follow(),
                    Move::Freeze => window.toggle_freeze(end),
                    Move::Head(head) => window.set_head(head),
                    Move::Zoom(closer) => window.zoom(closer, end),
                    Move::ZoomOut => window.zoom_out(),
                    Move::Grow(steps) => end += steps,
                }
                let visible = window.visible(end);
                prop_assert!(visible.start <= visible.end && visible.end <= end);
                if let Some(cursor) = window.cursor(end) {
                    prop_assert!(visible.contains(&cursor), "{:?} {}", visible, cursor);
                } else {
                    prop_assert!(window.shown(end) == 0);
                }
            }
        }
    }

    #[test]
    fn requested_steps_are_shown() {
        let mut window = Window::default();
        for steps in [100..120, 3..4, 0..1000, 990..1000, 7..12] {
            window.show(&steps);
            assert_eq!(window.visible(1000), steps);
        }
        let place = window.place();
        window.follow();
        window.zoom_out();
        assert!(window.shows_all());
        window.go_to(place);
        assert_eq!(window.visible(1000), 7..12);
    }

    #[test]
    fn fixed_parts_of_the_view_are_known_while_the_run_goes_on() {
        let stands = |window: &Window| {
            [StepScope::Window, StepScope::Cursor, StepScope::All]
                .map(|part| window.stands(part, 100))
        };
        let mut window = Window::default();
        assert_eq!(stands(&window), [false; 3]);
        window.move_by(-90, 100);
        assert_eq!(stands(&window), [false, true, false], "the window grows");
        window.zoom(true, 100);
        window.zoom(true, 100);
        assert_eq!(stands(&window), [true, true, false]);
        window.move_by(85, 100);
        assert_eq!(stands(&window), [false, true, false], "its end moves on");
        window.toggle_freeze(100);
        assert_eq!(stands(&window), [true; 3]);
    }

    #[test]
    fn charts_leave_space_for_future_steps() {
        let window = Window::default();
        let ends = |whole: u64| [0, 1, 7, 17, 100, 1000, 1024].map(|n| window.axis(n, whole));
        let room = [0, 1, 7, 18, 104, 1024, 1024].map(|end| 0..end);
        assert_eq!(ends(u64::MAX), room);
        assert_eq!(ends(0), [0, 1, 7, 17, 100, 1000, 1024].map(|end| 0..end));
        assert_eq!(window.axis(1000, 1010), 0..1010);
        assert_eq!(window.axis(u64::MAX, u64::MAX), 0..u64::MAX);
        // At most an eighth of the chart is empty.
        for steps in 1..5000_u64 {
            let axis = window.axis(steps, u64::MAX);
            assert!(
                axis.end >= steps && axis.end - steps <= axis.end / 8,
                "{axis:?}"
            );
        }
        let mut zoomed = window;
        zoomed.zoom(true, 100);
        assert_eq!(zoomed.axis(100, 200), zoomed.visible(100));
    }

    #[test]
    fn a_frozen_view_stays_while_the_run_goes_on() {
        let mut window = Window::default();
        window.toggle_freeze(100);
        assert_eq!(window.visible(150), 0..100);
        assert_eq!(window.cursor(150), Some(99));
        window.toggle_freeze(150);
        assert_eq!(window.visible(150), 0..150);
    }

    #[test]
    fn zooming_in_keeps_the_cursor_and_zooming_out_shows_all() {
        let mut window = Window::default();
        window.home();
        window.move_by(500, 1000);
        window.zoom(true, 1000);
        window.zoom(true, 1000);
        assert_eq!(window.visible(1000), 375..625);
        window.zoom(false, 1000);
        window.zoom(false, 1000);
        assert_eq!(window.visible(1000), 0..1000);
    }
}
