//! A frame: what is drawn, and what drawing leaves behind for the loop.
//!
//! A screen, panel or overlay is a function `draw(area, frame)`. While it draws, it asks for the answers that it shows,
//! says what the mouse does where, and how far its texts scroll. Where two parts of the screen overlap, the one drawn
//! last has the mouse.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::widgets::Widget;

use super::keys::KeyMap;
use super::theme::Theme;
use crate::app::{Action, App, LongText};
use crate::query::{Answer, Query};

/// The effect of the mouse on a part of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// A click carries out an action; the wheel zooms.
    Click(Action),
    /// A row of the list: a click selects this item, and the wheel moves the selection.
    Row(usize),
    /// An overlay: the wheel scrolls it, and clicks have no effect.
    Overlay,
}

/// The queries, mouse areas and scroll ranges of a drawn frame.
#[derive(Debug, Default)]
pub struct Drawn {
    /// The queries of the screen beyond the steps, the most important first.
    pub queries: Vec<Query>,
    hits: Vec<(Rect, Hit)>,
    scrolls: Vec<(LongText, usize)>,
}

impl Drawn {
    /// Returns the effect of the mouse at a position.
    #[must_use]
    pub fn hit(&self, at: impl Into<Position>) -> Option<Hit> {
        let at = at.into();
        let hit = self.hits.iter().rfind(|(area, _)| area.contains(at))?;
        Some(hit.1)
    }

    /// Tells the app how far its texts scroll, so that keys do not run past their ends.
    pub fn limit_scrolling(&self, app: &mut App) {
        for &(text, most) in &self.scrolls {
            app.limit_scrolling(text, most);
        }
    }
}

/// A frame being drawn.
pub struct Frame<'a> {
    pub buffer: &'a mut Buffer,
    pub app: &'a App,
    pub theme: &'a Theme,
    pub keys: &'a KeyMap,
    /// The queries with their ranks.
    asked: Vec<(u8, Query)>,
    drawn: Drawn,
}

impl<'a> Frame<'a> {
    pub fn new(buffer: &'a mut Buffer, app: &'a App, theme: &'a Theme, keys: &'a KeyMap) -> Self {
        Self {
            buffer,
            app,
            theme,
            keys,
            asked: Vec::new(),
            drawn: Drawn::default(),
        }
    }

    /// Records a query and returns the latest answer to one like it, with the query that it answers. Queries of lower
    /// rank are made first, those of the same rank in the order in which they are recorded.
    pub fn ask(&mut self, rank: u8, query: Query) -> Option<(&'a Query, &'a Answer)> {
        let answer = self.app.model.queries.answer(&query);
        match self.asked.iter_mut().find(|(_, asked)| *asked == query) {
            Some((lowest, _)) => *lowest = rank.min(*lowest),
            None => self.asked.push((rank, query)),
        }
        answer
    }

    /// Records a query and returns its answer, perhaps of slightly earlier steps ([`App::known`]).
    pub fn ask_now(&mut self, rank: u8, query: Query) -> Option<(&'a Range<u64>, &'a Answer)> {
        let known = self.app.known(&query);
        self.ask(rank, query);
        known
    }

    /// Records the effect of the mouse on an area.
    pub fn hit(&mut self, area: Rect, hit: Hit) {
        self.drawn.hits.push((area, hit));
    }

    /// Records the rows of a list, one line each from the top of an area on, and the items that they show.
    pub fn rows(&mut self, area: Rect, items: impl IntoIterator<Item = usize>) {
        for (line, item) in area.rows().zip(items) {
            self.hit(line, Hit::Row(item));
        }
    }

    /// Records by how many rows a text can scroll.
    pub fn scrollable(&mut self, text: LongText, most: usize) {
        self.drawn.scrolls.push((text, most));
    }

    pub fn render(&mut self, widget: impl Widget, area: Rect) {
        widget.render(area, self.buffer);
    }

    /// Ends the frame.
    #[must_use]
    pub fn finish(mut self) -> Drawn {
        self.asked.sort_by_key(|(rank, _)| *rank);
        self.drawn.queries = self.asked.into_iter().map(|(_, query)| query).collect();
        self.drawn
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::app::Screen;
    use crate::feed::Origin;
    use crate::query::Topic;
    use crate::record::RunHeader;
    use crate::tui::theme::{ColorLevel, Glyphs};

    #[test]
    fn queries_are_ordered_by_rank_and_the_topmost_area_gets_the_mouse() {
        let app = App::new(Arc::new(RunHeader::default()), Origin::Replay);
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        let keys = KeyMap::default();
        let area = Rect::new(0, 0, 9, 4);
        let mut buffer = Buffer::empty(area);
        let mut frame = Frame::new(&mut buffer, &app, &theme, &keys);
        let [run, tensors, held_out] =
            [Topic::Run, Topic::Tensors, Topic::HeldOut].map(|topic| app.about_all(topic));
        for (rank, query) in [(3, &run), (1, &tensors), (3, &held_out), (0, &run)] {
            assert!(frame.ask(rank, query.clone()).is_none());
        }
        frame.rows(Rect::new(1, 1, 5, 2), [7, 8, 9]);
        let tab = Hit::Click(Action::Screen(Screen::Run));
        frame.hit(Rect::new(2, 2, 1, 1), tab);
        let drawn = frame.finish();
        assert_eq!(drawn.queries, [run, tensors, held_out]);
        assert_eq!(drawn.hit((1, 1)), Some(Hit::Row(7)));
        assert_eq!(drawn.hit((1, 2)), Some(Hit::Row(8)));
        assert_eq!(drawn.hit((2, 2)), Some(tab));
        assert_eq!((drawn.hit((0, 1)), drawn.hit((1, 3))), (None, None));
    }
}
