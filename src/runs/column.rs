//! The columns of a list of runs: their cells, and the order of the rows by each.

use std::cmp::Ordering;

use super::entry::{Content, RunEntry};
use super::facts::RunFacts;
use crate::analysis::numbers;
use crate::text::{duration, harmless};

/// A column of a list of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    File,
    Status,
    Steps,
    Progress,
    Loss,
    HeldOut,
    Accuracy,
    /// Start of the run.
    #[default]
    Started,
    /// Time of training.
    Duration,
    Seed,
    Network,
    /// Time since the last sign of life.
    Updated,
    TimeLeft,
}

impl Column {
    pub const ALL: [Self; 13] = [
        Self::File,
        Self::Status,
        Self::Steps,
        Self::Progress,
        Self::Loss,
        Self::HeldOut,
        Self::Accuracy,
        Self::Started,
        Self::Duration,
        Self::Seed,
        Self::Network,
        Self::Updated,
        Self::TimeLeft,
    ];

    /// Returns the title, which is also its name in a filter.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Status => "status",
            Self::Steps => "steps",
            Self::Progress => "done",
            Self::Loss => "loss",
            Self::HeldOut => "held-out",
            Self::Accuracy => "accuracy",
            Self::Started => "started",
            Self::Duration => "took",
            Self::Seed => "seed",
            Self::Network => "network",
            Self::Updated => "updated",
            Self::TimeLeft => "time left",
        }
    }

    /// Returns true if its cells are numbers, which are aligned right.
    #[must_use]
    pub fn is_number(self) -> bool {
        !matches!(
            self,
            Self::File | Self::Status | Self::Started | Self::Network
        )
    }

    /// Returns the number by which rows are sorted and filtered: accuracy and progress in per cent, times in seconds.
    /// `None` if the run has none.
    #[must_use]
    pub fn number(self, entry: &RunEntry) -> Option<f64> {
        let facts = entry.facts();
        let of = |number: fn(&RunFacts) -> f64| facts.map(number);
        #[expect(clippy::cast_precision_loss, reason = "to sort by")]
        let number = match self {
            Self::Steps => of(|facts| facts.status.committed as f64),
            Self::Progress => facts?.progress().map(|share| 100.0 * share),
            Self::Loss => of(|facts| facts.status.loss),
            Self::HeldOut => of(|facts| facts.held_out),
            Self::Accuracy => of(|facts| 100.0 * facts.held_out_accuracy),
            Self::Duration => of(|facts| facts.seconds),
            Self::Seed => of(|facts| facts.seed as f64),
            Self::Updated => of(|facts| facts.status.silent()),
            Self::TimeLeft => facts?.status.seconds_left(),
            Self::File | Self::Status | Self::Started | Self::Network => None,
        };
        number.filter(|number| !number.is_nan())
    }

    /// Returns the cell of a run; empty where the file is not a run, except for its name and status.
    #[must_use]
    pub fn text(self, entry: &RunEntry) -> String {
        let facts = match (self, &entry.content) {
            (Self::File, _) => return entry.name.clone(),
            (Self::Status, Content::Reading) => return "reading".to_owned(),
            (Self::Status, Content::Unreadable(error)) => return error.clone(),
            (_, Content::Reading | Content::Unreadable(_)) => return String::new(),
            (_, Content::Run(facts)) => facts,
        };
        let status = &facts.status;
        let loss = |loss: f64| match loss {
            loss if loss.is_nan() => "-".to_owned(),
            loss => numbers::loss(loss),
        };
        match self {
            Self::File => entry.name.clone(),
            Self::Status => status.word().to_owned(),
            Self::Steps => match status.planned {
                0 => status.committed.to_string(),
                planned => format!("{}/{planned}", status.committed),
            },
            // Rounded down, so that 100 % means all steps.
            Self::Progress => match status.planned {
                0 => String::new(),
                planned => {
                    let done = u128::from(status.committed) * 100 / u128::from(planned);
                    format!("{done}%")
                }
            },
            Self::Loss => loss(status.loss),
            Self::HeldOut => loss(facts.held_out),
            Self::Accuracy => match facts.held_out_accuracy {
                share if share.is_nan() => "-".to_owned(),
                share => format!("{:.2}%", 100.0 * share),
            },
            Self::Started => {
                let time = harmless(&facts.created).replace('T', " ");
                time.chars().take(16).collect()
            }
            Self::Duration => duration(facts.seconds),
            Self::Seed => facts.seed.to_string(),
            Self::Network => harmless(&status.network),
            Self::Updated => format!("{} ago", duration(status.silent())),
            Self::TimeLeft => status.seconds_left().map_or_else(String::new, duration),
        }
    }

    /// Compares two runs by this column; runs without a value come last in either direction.
    #[must_use]
    pub fn order<'a>(self, a: &'a RunEntry, b: &'a RunEntry, descending: bool) -> Ordering {
        let turned = |order: Ordering| if descending { order.reverse() } else { order };
        if self.is_number() {
            // Time passes between two comparisons.
            let number = |entry| match self {
                Self::Updated => RunEntry::facts(entry).map(|facts| -facts.status.updated),
                _ => self.number(entry),
            };
            return match (number(a), number(b)) {
                (Some(a), Some(b)) => turned(a.total_cmp(&b)),
                (a, b) => b.is_some().cmp(&a.is_some()),
            };
        }
        let text = |entry: &'a RunEntry| match (self, entry.facts()) {
            (Self::File, _) => Some(entry.name.as_str()),
            (Self::Status, Some(facts)) => Some(facts.status.word()),
            (Self::Started, Some(facts)) => Some(facts.created.as_str()),
            (_, Some(facts)) => Some(facts.status.network.as_str()),
            (_, None) => None,
        };
        match (text(a), text(b)) {
            (Some(a), Some(b)) => turned(natural(a, b)),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    }
}

/// Compares names with numbers in them by these numbers: `seed-2` before `seed-10`.
fn natural(a: &str, b: &str) -> Ordering {
    let digits =
        |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (mut left, mut right) = (a, b);
    loop {
        let (Some(one), Some(two)) = (left.chars().next(), right.chars().next()) else {
            return left.len().cmp(&right.len()).then_with(|| a.cmp(b));
        };
        let [long, wide] = [left, right].map(digits);
        if long > 0 && wide > 0 {
            let numbers = [&left[..long], &right[..wide]];
            let [one, two] = numbers.map(|number| number.trim_start_matches('0'));
            match one.len().cmp(&two.len()).then_with(|| one.cmp(two)) {
                Ordering::Equal => (left, right) = (&left[long..], &right[wide..]),
                order => return order,
            }
        } else if one == two {
            (left, right) = (&left[one.len_utf8()..], &right[two.len_utf8()..]);
        } else {
            return one.cmp(&two);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_compared_as_numbers() {
        let mut names = ["b", "a10", "a9", "a", "a09b", "a010", "a1"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["a", "a1", "a9", "a09b", "a010", "a10", "b"]);
    }
}
