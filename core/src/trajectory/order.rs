//! Order of snapshots, from the numbers in their names.
//!
//! Numbers are compared by value: `9` comes before `10`, `0.25` before `0.5`, `2e3` before `1e4`; a hyphen before one
//! is not a minus sign. All names must be alike except for their numbers. If there are several, those after a word that
//! counts progress (`step=1200`) and those without a word decide, the first of them first; without a progress word the
//! integers do, if any of them vary, else all. Measurements (`loss=0.5`) never do. Ambiguous names are rejected, since
//! a path in the wrong order would look like any other.

use std::cmp::Ordering;

use super::name::{NamePart, Number, escaped, has_comma, list, parts, words};

/// Words before a number that says when a snapshot was saved.
const PROGRESS: [&str; 16] = [
    "step",
    "steps",
    "epoch",
    "epochs",
    "ep",
    "iter",
    "iters",
    "iteration",
    "iterations",
    "it",
    "update",
    "updates",
    "checkpoint",
    "ckpt",
    "batch",
    "t",
];

/// Words before a measurement or a setting, which does not say when.
const MEASURES: [&str; 8] = [
    "loss", "acc", "accuracy", "error", "score", "auc", "lr", "seed",
];

const REMEDY: &str = "Name all alike, with a number for the order in which they were saved (step_0, \
                      step_1, …); links in another folder are sufficient (ln -s)";

/// Sorts the names of snapshots by when they were saved.
///
/// # Errors
/// The order cannot be determined; the message lists the names.
pub fn sort(names: &mut [String]) -> Result<(), String> {
    let read: Vec<Vec<NamePart>> = names.iter().map(|name| parts(name)).collect();
    let is_numbered =
        |parts: &Vec<NamePart>| parts.iter().any(|part| matches!(part, NamePart::Number(_)));
    let (with, without): (Vec<_>, Vec<_>) = names
        .iter()
        .zip(&read)
        .partition(|(_, parts)| is_numbered(parts));
    let only =
        |some: &[(&String, &Vec<NamePart>)]| list(some.iter().map(|(name, _)| name.as_str()));
    if with.is_empty() {
        let names = only(&without);
        return Err(format!(
            "the names of its points contain no number, so their order is unknown: {names}. {REMEDY}"
        ));
    }
    if !without.is_empty() {
        return Err(format!(
            "only some of the names of its points contain a number, so their order is unknown: {} without, {} with. \
             {REMEDY}",
            only(&without),
            only(&with)
        ));
    }
    let same_words = |a: &[NamePart], b: &[NamePart]| words(a).eq(words(b));
    if let Some(other) = (1..names.len()).find(|&k| !same_words(&read[0], &read[k])) {
        return Err(format!(
            "the names of its points follow more than one pattern, so their order is unknown: {} and {}. {REMEDY}",
            escaped(&names[0]),
            escaped(&names[other])
        ));
    }
    if let Some(name) = names.iter().find(|name| has_comma(name)) {
        return Err(format!(
            "the comma in the number of {} is ambiguous; use a decimal point. {REMEDY}",
            escaped(name)
        ));
    }
    let columns = columns(&read);
    if let Some([a, b]) = columns.iter().find_map(PositionNumbers::ambiguous) {
        return Err(format!(
            "the order of {} and {} is ambiguous: decimals or versions. {REMEDY}",
            escaped(&names[a]),
            escaped(&names[b])
        ));
    }
    let deciding = deciding_columns(&columns);
    let by_number = |&a: &usize, &b: &usize| {
        let orders = deciding
            .iter()
            .map(|column| column.numbers[a].value.cmp(&column.numbers[b].value));
        orders.fold(Ordering::Equal, Ordering::then)
    };
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(by_number);
    if let Some(pair) = order
        .windows(2)
        .find(|pair| by_number(&pair[0], &pair[1]).is_eq())
    {
        return Err(format!(
            "{} and {} have the same number, or only a measured value, so their order is unknown. {REMEDY}",
            escaped(&names[pair[0]]),
            escaped(&names[pair[1]])
        ));
    }
    let sorted: Vec<String> = order.into_iter().map(|k| names[k].clone()).collect();
    names.clone_from_slice(&sorted);
    Ok(())
}

/// The numbers at one position of all names.
struct PositionNumbers {
    /// The word before them, in lower case; empty if there is none.
    word: String,
    numbers: Vec<Number>,
}

fn columns(names: &[Vec<NamePart>]) -> Vec<PositionNumbers> {
    let mut columns: Vec<PositionNumbers> = Vec::new();
    for parts in names {
        let mut place = 0;
        let mut word = "";
        for part in parts {
            match part {
                NamePart::Word(text) => word = text,
                NamePart::Number(number) => {
                    if place == columns.len() {
                        columns.push(PositionNumbers {
                            word: last_word(word),
                            numbers: Vec::new(),
                        });
                    }
                    columns[place].numbers.push(number.clone());
                    word = "";
                    place += 1;
                }
            }
        }
    }
    columns
}

/// Returns the last word in lower case: `step` for `-global_Step=`.
fn last_word(text: &str) -> String {
    let text = text.trim_end_matches(|c: char| !c.is_alphabetic());
    let word = text.rsplit(|c: char| !c.is_alphabetic()).next();
    word.unwrap_or_default().to_lowercase()
}

impl PositionNumbers {
    fn varies(&self) -> bool {
        self.numbers
            .iter()
            .any(|number| number.value != self.numbers[0].value)
    }

    fn counts_progress(&self) -> bool {
        PROGRESS.contains(&self.word.as_str())
    }

    fn is_whole(&self) -> bool {
        self.numbers.iter().all(|number| number.fraction.is_empty())
    }

    /// Returns two names whose order depends on whether `1.10` is a decimal or a version.
    fn ambiguous(&self) -> Option<[usize; 2]> {
        let lengths = || self.numbers.iter().map(|number| number.fraction.len());
        // Decimals of different lengths are not written with trailing zeros.
        let shortest = lengths().filter(|&length| length > 0).min()?;
        let has_zeros =
            |number: &Number| number.fraction.len() > shortest && number.fraction.ends_with('0');
        if !self.numbers.iter().any(has_zeros) {
            return None;
        }
        let mut order: Vec<usize> = (0..self.numbers.len()).collect();
        order.sort_by(|&a, &b| self.numbers[a].value.cmp(&self.numbers[b].value));
        let pairs = order.windows(2).map(|pair| [pair[0], pair[1]]);
        let version = |k: usize| &self.numbers[k].version;
        pairs.into_iter().find(|&[a, b]| version(a) > version(b))
    }
}

/// Returns the columns that decide the order, the most significant first.
fn deciding_columns(columns: &[PositionNumbers]) -> Vec<&PositionNumbers> {
    let measures = |column: &&PositionNumbers| MEASURES.contains(&column.word.as_str());
    let times = || columns.iter().filter(|column| !measures(column));
    if times().any(PositionNumbers::counts_progress) {
        let of_progress =
            |column: &&PositionNumbers| column.counts_progress() || column.word.is_empty();
        times().filter(of_progress).collect()
    } else if times().any(|column| column.is_whole() && column.varies()) {
        times().filter(|column| column.is_whole()).collect()
    } else {
        times().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENDING: &str = ".safetensors";

    /// Sorts the names, which are separated by spaces, starting from the reverse order.
    fn sorted(names: &str) -> Result<Vec<String>, String> {
        let mut names: Vec<String> = names
            .split(' ')
            .map(|name| format!("{name}{ENDING}"))
            .collect();
        names.reverse();
        sort(&mut names)?;
        Ok(names)
    }

    #[test]
    fn numbers_in_names_count_by_their_value() {
        for names in [
            "s1 s9 s10 s0011",
            "epoch_0.25 epoch_0.5 epoch_0.75 epoch_1.0",
            "epoch_0.5 epoch_1 epoch_1.5 epoch_10",
            "step_2e3 step_1e4",
            "step_900 step_2e3 step_3000 step_1.5e4",
            "a_1e-05 a_1e-4 a_0.001",
            "1E+2 101",
            "t-1 t-2 t-3",
            "t-0.5 t-1.5 t-2.5",
            "0 00000000000000000000000000000001 9007199254740992 9007199254740993 36893488147419103232",
            "1e99 1e100 1e101",
            "batch64-1 batch64-2",
            "epoch=3-step=1200 epoch=3-step=2400 epoch=10-step=100",
            "step=1200-epoch=3 step=1300-epoch=3 step=2400-epoch=4",
            // A measurement does not say when: the loss may fall or rise.
            "val_loss=0.93-step=5 val_loss=0.21-step=20 val_loss=0.53-step=100",
            "epoch=3-loss=2 epoch=4-loss=1",
            "a_0.93_5 a_0.21_20 a_0.53_100",
            "epoch1_100 epoch1_200 epoch2_100",
            "2024-01-05 2024-02-01 2025-01-01",
            "2024-01-05T09-59-00 2024-01-05T10-00-00",
            "v1.2.3 v1.2.10 v1.10.0",
            "net2-k_1 net2-k_2 net2-k_10",
            "1 2 3",
            "0.1 0.25 0.50",
            "0.10 0.20 0.30",
            "x3e5a-1 x3e5a-2",
            "é-1 é-2",
            "GlobalStep=9 GlobalStep=10",
        ] {
            let right: Vec<String> = names
                .split(' ')
                .map(|name| format!("{name}{ENDING}"))
                .collect();
            assert_eq!(sorted(names).as_ref(), Ok(&right), "{names}");
        }
        let mut behind = ["m.safetensors-00010", "m.safetensors-00009"].map(str::to_owned);
        sort(&mut behind).unwrap();
        assert_eq!(behind, ["m.safetensors-00009", "m.safetensors-00010"]);
    }

    #[test]
    fn an_ambiguous_order_is_refused_and_names_the_files() {
        for (names, needles) in [
            ("init step_1 step_2 final", ["final", "step_1"]),
            ("step_1 step_2 best", ["only some", "best"]),
            ("last epoch=1-step=3", ["last", "epoch=1-step=3"]),
            ("init final", ["no number", "init"]),
            ("a b c d e f g h i j", ["no number", "2 more"]),
            ("epoch_1 step_2", ["epoch_1", "step_2"]),
            (
                "step_1 step_2_best",
                ["more than one pattern", "step_2_best"],
            ),
            ("step_9a step_9b", ["more than one pattern", "step_9b"]),
            ("step_1k step_900", ["step_1k", "step_900"]),
            ("step_1 step_01", ["same number", "step_01"]),
            ("step_1 step_1.0 step_2", ["same number", "step_1.0"]),
            ("step_1e3 step_1000", ["same number", "step_1e3"]),
            (
                "epoch=1-loss=0.5 epoch=1-loss=0.4",
                ["same number", "loss=0.4"],
            ),
            ("loss_0.5 loss_0.4", ["measured value", "loss_0.4"]),
            (
                "s_1e99999999999999999998 s_1e99999999999999999999",
                ["same number", "9998"],
            ),
            ("v1.9 v1.10", ["versions", "v1.10"]),
            ("t_0,25 t_0,5", ["comma", "t_0,"]),
            ("a\u{1b}[J b", ["no number", "\\u{1b}"]),
        ] {
            let error = sorted(names).unwrap_err();
            for needle in needles {
                assert!(error.contains(needle), "{names}: {needle}: {error}");
            }
            assert!(
                error.contains("ln -s") && !error.contains('\u{1b}'),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn numbers_are_ordered_as_their_values_are(
            values in prop::collection::btree_set(0_u64..1_000_000_000_000, 2..20),
            places in 0_usize..5,
        ) {
            // Decimals of equal length, and integers of any length.
            let scale = 10_u64.pow(u32::try_from(places).unwrap());
            let name = |value: u64| match places {
                0 => format!("s{value}"),
                places => format!("s{}.{:0places$}", value / scale, value % scale),
            };
            let right: Vec<String> = values.iter().map(|&value| name(value)).collect();
            prop_assert_eq!(sorted(&right.join(" ")).unwrap(), right.iter().map(|n| format!("{n}{ENDING}")).collect::<Vec<_>>());
        }

        #[test]
        fn any_names_are_sorted_or_refused(names in prop::collection::vec("[0-9a-e.,_=+-]{0,12}", 2..6)) {
            let mut names: Vec<String> = names;
            let before = names.clone();
            if sort(&mut names).is_ok() {
                // The same result, whatever order the system lists them in.
                let mut reversed = before;
                reversed.reverse();
                sort(&mut reversed).unwrap();
                prop_assert_eq!(names, reversed);
            }
        }
    }
}
