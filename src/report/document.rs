//! The content of a report, independent of its format: headings, paragraphs, tables and figures.
//!
//! A text is plain: nothing in it is markup, whatever file it comes from. Every table and every figure has a unique
//! name, which its data file shares.

use std::collections::HashSet;
use std::io;

use super::words;
use crate::export::{Exhibit, Figure, Table, Values, draw, draw_narrow, svg};
use crate::text::harmless;

/// A report.
#[derive(Clone, Debug, Default)]
pub struct Document {
    pub title: String,
    /// A line under the title: date and producer.
    pub note: String,
    sections: Vec<Section>,
    names: HashSet<String>,
}

/// A heading and the blocks under it.
#[derive(Clone, Debug)]
pub struct Section {
    pub heading: String,
    /// 2 for a section, 3 for a subsection.
    pub level: u8,
    pub blocks: Vec<Block>,
}

/// A part of a section.
#[derive(Clone, Debug)]
pub enum Block {
    Text(String),
    /// A configuration or a command, verbatim.
    Code {
        caption: String,
        text: String,
    },
    Exhibit(Box<CaptionedExhibit>),
}

/// Numbers as a table, a figure, or both; all of them are in `data/NAME.csv`.
#[derive(Clone, Debug)]
pub struct CaptionedExhibit {
    /// For example `loss`: letters, digits and dashes.
    pub name: String,
    pub caption: String,
    /// In full precision. A column `x` directly before one called `x ± error` is shown combined with it.
    pub table: Table,
    /// Number of rows of the table to show; 0 for none.
    pub shown: usize,
    pub figure: Option<Figure>,
}

/// Suffix of a column with the standard errors of the column before it.
const ERROR: &str = " ± error";

/// Returns the name of the column with the standard errors of `column`.
#[must_use]
pub fn error_of(column: &str) -> String {
    format!("{column}{ERROR}")
}

impl Document {
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            ..Self::default()
        }
    }

    /// Begins a section.
    pub fn section(&mut self, heading: impl Into<String>) {
        self.begin(heading.into(), 2);
    }

    /// Begins a subsection.
    pub fn part(&mut self, heading: impl Into<String>) {
        self.begin(heading.into(), 3);
    }

    fn begin(&mut self, heading: String, level: u8) {
        self.sections.push(Section {
            heading,
            level,
            blocks: Vec::new(),
        });
    }

    /// Adds a paragraph.
    pub fn text(&mut self, text: impl Into<String>) {
        self.push(Block::Text(text.into()));
    }

    /// Adds verbatim text, which keeps its lines.
    pub fn code(&mut self, caption: impl Into<String>, text: impl Into<String>) {
        self.push(Block::Code {
            caption: caption.into(),
            text: text.into(),
        });
    }

    /// Adds a table; its first `shown` rows are in the report, all of them in its file.
    pub fn table(&mut self, name: &str, caption: impl Into<String>, table: Table, shown: usize) {
        self.exhibit(CaptionedExhibit {
            name: name.to_owned(),
            caption: caption.into(),
            table,
            shown,
            figure: None,
        });
    }

    /// Adds a figure; its table is only in its file.
    pub fn figure(&mut self, name: &str, caption: impl Into<String>, exhibit: Exhibit) {
        self.exhibit(CaptionedExhibit {
            name: name.to_owned(),
            caption: caption.into(),
            table: exhibit.table,
            shown: 0,
            figure: Some(exhibit.figure),
        });
    }

    /// Adds numbers. A repeated name gets a number appended.
    pub fn exhibit(&mut self, mut exhibit: CaptionedExhibit) {
        let plain = words::slug(&exhibit.name);
        exhibit.name.clone_from(&plain);
        let mut number = 2_u64;
        while !self.names.insert(exhibit.name.clone()) {
            exhibit.name = format!("{plain}-{number}");
            number += 1;
        }
        self.push(Block::Exhibit(Box::new(exhibit)));
    }

    /// Adds a block to the last section; blocks before the first section have no heading.
    fn push(&mut self, block: Block) {
        if self.sections.is_empty() {
            self.begin(String::new(), 2);
        }
        if let Some(section) = self.sections.last_mut() {
            section.blocks.push(block);
        }
    }

    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    pub(super) fn exhibits(&self) -> impl Iterator<Item = &CaptionedExhibit> {
        let blocks = self.sections.iter().flat_map(|section| &section.blocks);
        blocks.filter_map(|block| match block {
            Block::Exhibit(exhibit) => Some(&**exhibit),
            _ => None,
        })
    }
}

impl CaptionedExhibit {
    /// Returns the picture as elements of a page: for a wide screen, and for a phone.
    pub(super) fn pictures(&self) -> io::Result<Option<[String; 2]>> {
        let Some(figure) = &self.figure else {
            return Ok(None);
        };
        let broad = svg::element(&draw(figure)?)?;
        let narrow = svg::element(&draw_narrow(figure)?)?;
        Ok(Some([broad, narrow]))
    }

    /// Returns the part of the table that is shown.
    pub(super) fn view(&self) -> ShownTable {
        let columns = self.table.columns();
        let rows = self.shown.min(self.table.rows());
        let mut view = ShownTable {
            columns: Vec::new(),
            left_out: self.table.rows() - rows,
        };
        let mut at = 0;
        while let Some(column) = columns.get(at) {
            let error = columns.get(at + 1).filter(|next| {
                let of = next.name.strip_suffix(ERROR);
                of == Some(column.name.as_str())
            });
            let cell = |row: usize| match (&column.values, error.map(|error| &error.values)) {
                (Values::F64(x), Some(Values::F64(e))) => words::with_error(x[row], e[row]),
                (Values::F64(x), _) if is_p_value(&column.name) => words::p_value(x[row]),
                (Values::F64(x), _) => words::number(x[row]),
                (Values::U64(x), _) => words::count(x[row]),
                (Values::Text(x), _) => harmless(&x[row]),
            };
            view.columns.push(ShownColumn {
                heading: harmless(&column.heading()),
                words: matches!(column.values, Values::Text(_)),
                cells: (0..rows).map(cell).collect(),
            });
            at += if error.is_some() { 2 } else { 1 };
        }
        view
    }
}

fn is_p_value(name: &str) -> bool {
    name == "p" || name.starts_with("p ") || name.ends_with(" p")
}

/// A table as shown.
pub(super) struct ShownTable {
    pub columns: Vec<ShownColumn>,
    /// Number of rows that are only in the file.
    pub left_out: usize,
}

pub(super) struct ShownColumn {
    pub heading: String,
    /// Whether the cells are words (left-aligned) rather than numbers (right-aligned).
    pub words: bool,
    pub cells: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::Column;

    #[test]
    fn errors_follow_their_numbers() {
        let columns = vec![
            Column::text("layer", vec!["fc1".to_owned()]),
            Column::f64("LCA", Some("nats"), vec![-1.25]),
            Column::f64(error_of("LCA"), Some("nats"), vec![0.5]),
            Column::f64("p", None, vec![1e-5]),
            Column::u64("n", None, vec![12_345]),
        ];
        let mut document = Document::new("t");
        document.table("a", "", Table::new("t", columns).unwrap(), 9);
        let view = document.exhibits().next().unwrap().view();
        let cells: Vec<&str> = view.columns.iter().map(|c| c.cells[0].as_str()).collect();
        assert_eq!(
            cells,
            [
                "fc1",
                "−1.25\u{a0}±\u{a0}0.50",
                "1.0\u{a0}×\u{a0}10⁻⁵",
                "12,345"
            ],
        );
        assert_eq!(view.columns[1].heading, "LCA (nats)");
    }

    #[test]
    fn exhibit_names_are_unique_and_valid_file_names() {
        let mut document = Document::new("t");
        for name in ["../a b", "../a b", ""] {
            document.table(name, "", Table::default(), 0);
        }
        let names: Vec<&str> = document.exhibits().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a-b", "a-b-2", "numbers"]);
    }
}
