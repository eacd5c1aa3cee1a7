//! Expressions that choose runs from a list.
//!
//! ```text
//! lenet lr<0.1 status:failed      all words must apply
//! ```
//!
//! A word is part of a run's name, network, data set, status or settings. `KEY:TEXT` is part of one of them, and
//! `KEY<NUMBER` (also `<=`, `>`, `>=`, `=`, `!=`) compares one. A key is the title of a column or a setting.

use std::cmp::Ordering;

use super::column::Column;
use super::entry::RunEntry;
use super::settings::{SHORT, in_short};

/// The operators, those of two letters first.
const OPERATORS: [(&str, Operator); 7] = [
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("!=", Operator::Differs),
    ("<", Operator::Below),
    (">", Operator::Above),
    ("=", Operator::Equals),
    (":", Operator::Contains),
];

/// Other words for columns.
const SPELLINGS: [(&str, &str); 7] = [
    ("name", "file"),
    ("step", "steps"),
    ("progress", "done"),
    ("held_out", "held-out"),
    ("test", "held-out"),
    ("acc", "accuracy"),
    ("duration", "took"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    AtMost,
    AtLeast,
    Differs,
    Below,
    Above,
    Equals,
    Contains,
}

/// A filter for runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter(Vec<Term>);

#[derive(Clone, Debug, PartialEq)]
struct Term {
    /// The whole word, in small letters.
    word: String,
    compares: Option<Comparison>,
}

#[derive(Clone, Debug, PartialEq)]
struct Comparison {
    key: String,
    column: Option<Column>,
    operator: Operator,
    value: String,
    number: Option<f64>,
}

impl Filter {
    /// Parses an expression.
    ///
    /// # Errors
    /// A word compares a number with something else, or has no value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let terms = text.split_whitespace().map(Term::parse);
        terms.collect::<Result<_, _>>().map(Self)
    }

    /// Returns true if a run is to be listed.
    #[must_use]
    pub fn passes(&self, entry: &RunEntry) -> bool {
        self.0.iter().all(|term| term.passes(entry))
    }
}

impl Term {
    fn parse(word: &str) -> Result<Self, String> {
        let lower = word.to_lowercase();
        let found = OPERATORS
            .iter()
            .filter_map(|&(sign, operator)| Some((lower.find(sign)?, sign, operator)));
        // At the same place, the longer one comes first.
        let first = found.min_by_key(|(at, ..)| *at).filter(|(at, ..)| *at > 0);
        let Some((at, sign, operator)) = first else {
            return Ok(Self {
                word: lower,
                compares: None,
            });
        };
        let (key, value) = (&lower[..at], &lower[at + sign.len()..]);
        if value.is_empty() {
            return Err(format!("`{word}`: a value is missing after {sign}"));
        }
        let mut spellings = SPELLINGS.iter().chain(&SHORT);
        let spelled = spellings.find(|(short, _)| *short == key);
        let key = spelled.map_or(key, |(_, long)| long);
        let column = Column::ALL.into_iter().find(|column| column.title() == key);
        let number = value.trim_end_matches('%').parse().ok();
        if column.is_some_and(Column::is_number)
            && number.is_none()
            && operator != Operator::Contains
        {
            return Err(format!("`{word}`: {value} is not a number"));
        }
        let compares = Some(Comparison {
            key: key.replace('-', "_"),
            column,
            operator,
            value: value.to_owned(),
            number,
        });
        Ok(Self {
            word: lower,
            compares,
        })
    }

    fn passes(&self, entry: &RunEntry) -> bool {
        let compared = self.compares.as_ref().and_then(|it| it.passes(entry));
        compared.unwrap_or_else(|| self.is_part_of(entry))
    }

    /// Returns true if the word is part of a text about the run.
    fn is_part_of(&self, entry: &RunEntry) -> bool {
        let has = |text: &str| text.to_lowercase().contains(&self.word);
        let columns = [Column::File, Column::Status, Column::Network];
        columns.iter().any(|column| has(&column.text(entry)))
            || entry.facts().is_some_and(|facts| {
                let mut settings = facts.settings.iter();
                has(&facts.dataset) || settings.any(|(key, value)| has(&in_short(key, value)))
            })
    }
}

impl Comparison {
    /// Returns the result for a run; `None` if its key is neither a column nor a setting of it.
    fn passes(&self, entry: &RunEntry) -> Option<bool> {
        let (text, number) = if let Some(column) = self.column {
            (column.text(entry), column.number(entry))
        } else {
            let settings = &entry.facts()?.settings;
            let (_, value) = settings.iter().find(|(key, _)| *key == self.key)?;
            let text = value.replace(['"', '\''], "");
            let number = text.parse().ok();
            (text, number)
        };
        let text = text.to_lowercase();
        if self.operator == Operator::Contains {
            return Some(text.contains(&self.value));
        }
        let order = match number.zip(self.number) {
            Some((a, b)) => a.partial_cmp(&b),
            // The run has no such number, or the file is no run.
            None if self.column.is_some_and(Column::is_number) || text.is_empty() => None,
            None => Some(text.as_str().cmp(&self.value)),
        };
        let Some(order) = order else {
            return Some(false);
        };
        Some(match self.operator {
            Operator::AtMost => order != Ordering::Greater,
            Operator::AtLeast => order != Ordering::Less,
            Operator::Differs => order != Ordering::Equal,
            Operator::Below => order == Ordering::Less,
            Operator::Above => order == Ordering::Greater,
            Operator::Equals => order == Ordering::Equal,
            Operator::Contains => text.contains(&self.value),
        })
    }
}
