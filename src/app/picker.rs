//! The state of the run picker: runs in a folder, those chosen by a filter, in an order, some of them marked.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::runs::{Column, Filter, ListUpdate, RunEntry, Settings, differing, in_short};

/// The most runs that can be opened together.
pub const MOST_OPEN: usize = 2;

/// The most characters in the filter.
const LONGEST: usize = 200;

/// An action that a key or the mouse triggers in the picker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickerAction {
    /// Move the selection by this many rows.
    Select(i64),
    First,
    Last,
    /// Select this row.
    Choose(usize),
    /// Mark the selected run, or remove its mark.
    Mark,
    /// Open all marked runs, or the selected one.
    Open,
    Back,
    Quit,
    /// Select the next or an earlier column.
    Column(i64),
    /// Sort by the selected column; again, the other way round.
    Sort,
    /// Sort by a column; again, the other way round.
    SortBy(Column),
    /// Start typing a filter.
    Filter,
    Type(char),
    Erase,
    /// End typing and keep the filter.
    Submit,
    /// Close the help, or end typing and remove the filter.
    Dismiss,
    Help,
}

/// The end of picking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Picked {
    /// Runs to open, the first one first.
    Open(Vec<PathBuf>),
    /// Return to where the picker was opened.
    Back,
    Quit,
}

/// The run picker.
#[derive(Default)]
pub struct Picker {
    /// The name of the folder.
    pub folder: String,
    entries: BTreeMap<PathBuf, RunEntry>,
    /// The settings of each run that are not the same in all.
    differences: HashMap<PathBuf, String>,
    /// The runs that pass the filter, in order.
    rows: Vec<PathBuf>,
    selected: Option<PathBuf>,
    /// In the order in which they were marked.
    marked: Vec<PathBuf>,
    /// The selected column.
    pub column: Column,
    sort: (Column, bool),
    filter: Filter,
    pub filter_text: String,
    pub typing: bool,
    pub help: bool,
    /// A message in the last line, until the next key.
    pub notice: String,
    /// Set once the picker is to close.
    pub picked: Option<Picked>,
}

impl Picker {
    /// A picker without runs, sorted by the latest start.
    #[must_use]
    pub fn new(folder: impl Into<String>) -> Self {
        Self {
            folder: folder.into(),
            sort: (Column::Started, true),
            ..Self::default()
        }
    }

    /// Forgets the runs, which will be listed anew. The selection, the marks and the filter stay.
    pub fn reopen(&mut self) {
        self.entries.clear();
        self.rows.clear();
    }

    /// Takes in a change of the list. The selection stays on its run.
    pub fn update(&mut self, update: ListUpdate) {
        let mut other_settings = false;
        match update {
            ListUpdate::Entries(entries) => {
                for entry in entries {
                    let settings = |entry: &RunEntry| entry.facts().map(|it| it.settings.clone());
                    let new = settings(&entry);
                    let path = entry.path.clone();
                    let old = self.entries.insert(path, entry);
                    other_settings |= old.and_then(|old| settings(&old)) != new;
                }
            }
            ListUpdate::Gone(paths) => {
                for path in &paths {
                    self.entries.remove(path);
                }
                self.marked.retain(|path| !paths.contains(path));
                other_settings = true;
            }
            ListUpdate::Failed(why) => self.notice = why,
        }
        if other_settings {
            self.find_differences();
        }
        self.arrange();
    }

    fn find_differences(&mut self) {
        let runs = (self.entries.iter()).filter_map(|(path, entry)| Some((path, entry.facts()?)));
        let (paths, all): (Vec<&PathBuf>, Vec<&Settings>) =
            runs.map(|(path, facts)| (path, &facts.settings)).unzip();
        let mut differing = differing(&all);
        // It has a column of its own.
        differing.retain(|(key, _)| key.split('.').next() != Some("network"));
        // What is special about a layer is the shortest.
        differing.sort_by_key(|(key, _)| *key != "layer");
        let text = |run: usize| -> String {
            let said = differing.iter().filter(|(_, values)| values[run] != "–");
            let words: Vec<String> = said
                .map(|(key, values)| in_short(key, values[run]))
                .collect();
            words.join(" ")
        };
        let runs = paths.iter().enumerate();
        self.differences = runs
            .map(|(run, path)| ((*path).clone(), text(run)))
            .collect();
    }

    /// Chooses the rows and sorts them.
    fn arrange(&mut self) {
        let at = self.selected_row();
        let passing = self
            .entries
            .values()
            .filter(|entry| self.filter.passes(entry));
        let mut rows: Vec<&RunEntry> = passing.collect();
        let (column, descending) = self.sort;
        rows.sort_by(|a, b| {
            column
                .order(a, b, descending)
                .then_with(|| a.path.cmp(&b.path))
        });
        self.rows = rows.into_iter().map(|entry| entry.path.clone()).collect();
        let is_there = |path: &PathBuf| self.rows.contains(path);
        if !self.selected.as_ref().is_some_and(is_there) {
            let last = self.rows.len().saturating_sub(1);
            self.selected = self.rows.get(at.unwrap_or(0).min(last)).cloned();
        }
    }

    /// Carries out an action.
    pub fn act(&mut self, action: PickerAction) {
        self.notice.clear();
        match action {
            PickerAction::Select(rows) => {
                let at = self.selected_row().unwrap_or(0);
                let by = isize::try_from(rows).unwrap_or(0);
                self.choose(at.saturating_add_signed(by));
            }
            PickerAction::First => self.choose(0),
            PickerAction::Last => self.choose(usize::MAX),
            PickerAction::Choose(row) => self.choose(row),
            PickerAction::Mark => self.toggle_mark(),
            PickerAction::Open => self.open(),
            PickerAction::Back => self.picked = Some(Picked::Back),
            PickerAction::Quit => self.picked = Some(Picked::Quit),
            PickerAction::Column(by) => self.next_column(by),
            PickerAction::Sort => self.sort_by(self.column),
            PickerAction::SortBy(column) => self.sort_by(column),
            PickerAction::Filter => self.typing = true,
            PickerAction::Type(letter) => {
                if self.filter_text.chars().count() < LONGEST {
                    self.filter_text.push(letter);
                }
                self.apply_filter();
            }
            PickerAction::Erase => {
                self.typing = self.filter_text.pop().is_some();
                self.apply_filter();
            }
            PickerAction::Submit => {
                self.typing = false;
                self.apply_filter();
            }
            PickerAction::Dismiss if self.help => self.help = false,
            PickerAction::Dismiss => {
                self.typing = false;
                self.filter_text.clear();
                self.apply_filter();
            }
            PickerAction::Help => self.help = true,
        }
    }

    /// Applies the text typed. While it is not a filter, the last one stays.
    fn apply_filter(&mut self) {
        match Filter::parse(&self.filter_text) {
            Ok(filter) => {
                self.filter = filter;
                self.arrange();
            }
            Err(why) => self.notice = why,
        }
    }

    fn choose(&mut self, row: usize) {
        let last = self.rows.len().saturating_sub(1);
        self.selected = self.rows.get(row.min(last)).cloned();
    }

    /// Marks the selected run, or removes its mark, and goes to the next row.
    fn toggle_mark(&mut self) {
        let Some(path) = self.selected.clone() else {
            return;
        };
        if self.marked.contains(&path) {
            self.marked.retain(|marked| *marked != path);
        } else if self.marked.len() == MOST_OPEN {
            self.notice = format!("at most {MOST_OPEN} runs can be opened together");
            return;
        } else if self
            .entry(&path)
            .is_none_or(|entry| entry.facts().is_none())
        {
            self.notice = "this file is not a run that can be opened".to_owned();
            return;
        } else {
            self.marked.push(path);
        }
        self.act_quietly(PickerAction::Select(1));
    }

    fn act_quietly(&mut self, action: PickerAction) {
        let notice = std::mem::take(&mut self.notice);
        self.act(action);
        self.notice = notice;
    }

    fn open(&mut self) {
        if !self.marked.is_empty() {
            self.picked = Some(Picked::Open(self.marked.clone()));
            return;
        }
        match self.selected_entry() {
            Some(entry) => self.picked = Some(Picked::Open(vec![entry.path.clone()])),
            None => self.notice = "there is no run to open".to_owned(),
        }
    }

    fn next_column(&mut self, by: i64) {
        let count = i64::try_from(Column::ALL.len()).unwrap_or(1);
        let at = Column::ALL.iter().position(|column| *column == self.column);
        let at = at.and_then(|at| i64::try_from(at).ok()).unwrap_or(0);
        let next = usize::try_from((at + by).rem_euclid(count)).unwrap_or(0);
        self.column = Column::ALL[next];
    }

    /// Sorts by a column, and selects the first row.
    fn sort_by(&mut self, column: Column) {
        let descending = self.sort.0 == column && !self.sort.1;
        self.sort = (column, descending);
        self.column = column;
        self.arrange();
        self.choose(0);
    }

    /// Returns the column by which the rows are sorted, and whether the greatest come first.
    #[must_use]
    pub fn sort(&self) -> (Column, bool) {
        self.sort
    }

    /// Returns the number of files, whether they pass the filter or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Returns the files that pass the filter, in order.
    #[must_use]
    pub fn rows(&self) -> &[PathBuf] {
        &self.rows
    }

    #[must_use]
    pub fn entry(&self, path: &Path) -> Option<&RunEntry> {
        self.entries.get(path)
    }

    /// Returns the settings of a run that are not the same in all runs.
    #[must_use]
    pub fn differences(&self, path: &Path) -> &str {
        self.differences.get(path).map_or("", String::as_str)
    }

    #[must_use]
    pub fn selected_row(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.rows.iter().position(|path| path == selected)
    }

    /// Returns the selected run, if it passes the filter.
    #[must_use]
    pub fn selected_entry(&self) -> Option<&RunEntry> {
        self.entry(self.rows.get(self.selected_row()?)?)
    }

    /// Returns the place of a run among the marked ones.
    #[must_use]
    pub fn mark(&self, path: &Path) -> Option<usize> {
        self.marked.iter().position(|marked| marked == path)
    }

    #[must_use]
    pub fn marked(&self) -> usize {
        self.marked.len()
    }
}
