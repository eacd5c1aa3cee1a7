//! The state of the run picker: runs in a folder, those chosen by a filter, in an order, some of them marked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::runs::{
    Column, Content, Filter, ListUpdate, RunEntry, Settings, differing, in_short, rank,
};

/// The most runs that can be opened together.
pub const MOST_OPEN: usize = 16;

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
    /// The characters of the longest name in the rows, and the number of their files that have not been read.
    longest_name: usize,
    reading: usize,
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
        differing.sort_by_cached_key(|(key, values)| {
            let distinct: BTreeSet<&&str> = values.iter().collect();
            (rank(key), Reverse(distinct.len()))
        });
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
                .then_with(|| Column::File.order(a, b, false))
                .then_with(|| a.path.cmp(&b.path))
        });
        let lengths = rows.iter().map(|entry| entry.name.chars().count());
        self.longest_name = lengths.max().unwrap_or(0);
        let reading = |entry: &&&RunEntry| entry.content == Content::Reading;
        self.reading = rows.iter().filter(reading).count();
        self.rows = rows.into_iter().map(|entry| entry.path.clone()).collect();
        // Until a row is chosen, the first one is selected, whichever it is.
        let lost = |path: &PathBuf| !self.rows.contains(path);
        if self.selected.as_ref().is_some_and(lost) {
            self.choose(at.unwrap_or(0));
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
        let Some(path) = self.selected_entry().map(|entry| entry.path.clone()) else {
            return;
        };
        if self.marked.contains(&path) {
            self.marked.retain(|marked| *marked != path);
        } else if self.marked.len() == MOST_OPEN {
            self.say(&format!("at most {MOST_OPEN} runs can be opened together"));
            return;
        } else if self
            .entry(&path)
            .is_none_or(|entry| entry.facts().is_none())
        {
            self.say("this file is not a run that can be opened");
            return;
        } else {
            self.marked.push(path);
        }
        self.act_quietly(PickerAction::Select(1));
    }

    fn say(&mut self, notice: &str) {
        notice.clone_into(&mut self.notice);
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
            None => self.say("the list is empty: nothing to open"),
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

    /// Returns the characters of the longest name in the rows.
    #[must_use]
    pub fn longest_name(&self) -> usize {
        self.longest_name
    }

    /// Returns the number of rows whose files have not been read.
    #[must_use]
    pub fn reading(&self) -> usize {
        self.reading
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
        match &self.selected {
            // Comparing whole paths by their parts takes longer.
            Some(selected) => {
                (self.rows.iter()).position(|path| path.as_os_str() == selected.as_os_str())
            }
            None => (!self.rows.is_empty()).then_some(0),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Status;
    use crate::runs::{RunFacts, RunStatus};

    fn run(name: &str, loss: f64, settings: &[(&str, &str)]) -> RunEntry {
        let status = RunStatus {
            status: Status::Finished,
            live: false,
            paused: false,
            message: String::new(),
            committed: 10,
            planned: 20,
            network: "net".to_owned(),
            loss,
            updated: 0.0,
            seconds_a_step: 1.0,
        };
        let settings = settings.iter();
        let facts = RunFacts {
            status,
            created: "2026-01-01T00:00:00Z".to_owned(),
            seed: 7,
            dataset: "digits".to_owned(),
            settings: settings
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            held_out: f64::NAN,
            accuracy: 0.5,
            held_out_accuracy: 0.25,
            seconds: 3.0,
            curve: vec![2.0, 1.0],
        };
        entry(name, Content::Run(Box::new(facts)))
    }

    fn entry(name: &str, content: Content) -> RunEntry {
        RunEntry {
            path: PathBuf::from(name),
            name: name.to_owned(),
            modified: 0.0,
            content,
        }
    }

    /// Three runs and a damaged file.
    fn picker() -> Picker {
        let mut picker = Picker::new("runs");
        picker.update(ListUpdate::Entries(vec![
            run("a10", 0.3, &[("learning_rate", "0.1"), ("steps", "9")]),
            run("a9", 0.1, &[("learning_rate", "0.2"), ("steps", "9")]),
            run("b", 0.2, &[("layer", "[\"fc3:freeze\"]"), ("steps", "9")]),
            entry("bad", Content::Unreadable("is damaged".to_owned())),
        ]));
        picker
    }

    fn rows(picker: &Picker) -> Vec<&str> {
        let rows = picker.rows().iter();
        rows.map(|path| path.to_str().unwrap()).collect()
    }

    #[test]
    fn rows_are_sorted_by_any_column_both_ways_with_unreadable_files_last() {
        let mut picker = picker();
        assert_eq!(rows(&picker), ["a9", "a10", "b", "bad"]);
        picker.act(PickerAction::SortBy(Column::Loss));
        assert_eq!(rows(&picker), ["a9", "b", "a10", "bad"]);
        picker.act(PickerAction::Last);
        picker.act(PickerAction::Sort);
        assert_eq!(rows(&picker), ["a10", "b", "a9", "bad"]);
        assert_eq!(picker.selected_row(), Some(0), "the first row is selected");
        for column in Column::ALL {
            picker.act(PickerAction::SortBy(column));
            assert_eq!(rows(&picker).len(), 4, "{column:?}");
        }
        picker.act(PickerAction::SortBy(Column::File));
        picker.act(PickerAction::Column(-1));
        assert_eq!(picker.column, Column::TimeLeft);
    }

    #[test]
    fn the_selection_stays_on_its_run_when_rows_move_and_vanish() {
        let mut picker = picker();
        picker.act(PickerAction::SortBy(Column::Loss));
        picker.act(PickerAction::Select(1));
        assert_eq!(picker.selected_entry().unwrap().name, "b");
        picker.update(ListUpdate::Entries(vec![run("b", 0.9, &[])]));
        assert_eq!(picker.selected_entry().unwrap().name, "b");
        assert_eq!(picker.selected_row(), Some(2));
        picker.update(ListUpdate::Gone(vec![PathBuf::from("b")]));
        assert_eq!(picker.selected_entry().unwrap().name, "bad");
        picker.update(ListUpdate::Gone(vec![
            "a9".into(),
            "a10".into(),
            "bad".into(),
        ]));
        assert_eq!(picker.selected_row(), None);
        picker.act(PickerAction::Open);
        assert!(picker.picked.is_none() && picker.notice.contains("empty"));
    }

    #[test]
    fn marked_runs_are_opened_in_the_order_of_their_marks() {
        let mut picker = picker();
        picker.act(PickerAction::Last);
        picker.act(PickerAction::Mark);
        assert!(picker.notice.contains("not a run"), "{}", picker.notice);
        picker.act(PickerAction::Choose(2));
        picker.act(PickerAction::Mark);
        picker.act(PickerAction::First);
        picker.act(PickerAction::Mark);
        picker.act(PickerAction::Open);
        let open = Picked::Open(vec!["b".into(), "a9".into()]);
        assert_eq!(picker.picked, Some(open));
        picker.act(PickerAction::First);
        picker.act(PickerAction::Mark);
        picker.act(PickerAction::Open);
        assert_eq!(picker.picked, Some(Picked::Open(vec!["b".into()])));
    }

    #[test]
    fn only_settings_that_differ_are_named() {
        let mut picker = picker();
        let said = |picker: &Picker, name: &str| picker.differences(Path::new(name)).to_owned();
        assert_eq!(said(&picker, "a9"), "lr=0.2");
        assert_eq!(said(&picker, "b"), "fc3:freeze");
        assert_eq!(said(&picker, "bad"), "");
        picker.update(ListUpdate::Gone(vec!["a9".into(), "b".into()]));
        assert_eq!(said(&picker, "a10"), "", "it is the only one");
    }

    #[test]
    fn filters_choose_runs() {
        let mut picker = picker();
        let mut passing = |text: &str| {
            picker.filter_text = text.to_owned();
            picker.act(PickerAction::Submit);
            (rows(&picker).join(" "), picker.notice.clone())
        };
        for (text, expected) in [
            ("", "a9 a10 b bad"),
            ("A", "a9 a10 bad"),
            ("a net", "a9 a10"),
            ("lr<0.15", "a10"),
            ("lr<=0.2", "a9 a10"),
            ("lr>0.1", "a9"),
            ("learning-rate=0.10", "a10"),
            ("lr!=0.1", "a9"),
            ("loss>=0.2 loss<0.25", "b"),
            ("fc3:freeze", "b"),
            ("layer:fc3", "b"),
            ("status:damaged", "bad"),
            ("status:fin file:a", "a9 a10"),
            ("accuracy>=25%", "a9 a10 b"),
            ("done>50", ""),
            ("held-out<9", ""),
            ("started>2025-12-31", "a9 a10 b"),
            ("started<2026-01-01", ""),
            ("seed=7 digits", "a9 a10 b"),
            ("nothing=1", ""),
            ("<3", ""),
        ] {
            assert_eq!(
                passing(text),
                (expected.to_owned(), String::new()),
                "{text}"
            );
        }
        let (left, why) = passing("loss<big");
        assert!(why.contains("`loss<big`: big is not a number"), "{why}");
        assert_eq!(left, "", "the last filter stays");
        assert!(passing("lr<").1.contains("a value is missing after <"));
    }

    #[test]
    fn a_filter_is_applied_as_it_is_typed_and_esc_removes_it() {
        let mut picker = picker();
        picker.act(PickerAction::Filter);
        for letter in "a9".chars() {
            picker.act(PickerAction::Type(letter));
        }
        assert_eq!(rows(&picker), ["a9"]);
        picker.act(PickerAction::Erase);
        assert_eq!(rows(&picker), ["a9", "a10", "bad"]);
        picker.act(PickerAction::Dismiss);
        assert_eq!((rows(&picker).len(), picker.typing), (4, false));
    }
}
