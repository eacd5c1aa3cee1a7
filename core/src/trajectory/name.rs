//! Names of snapshots: recognises them, and splits them into words and numbers.

/// Endings of a snapshot's name, which a number may follow.
pub const ENDINGS: [&str; 5] = [".safetensors", ".pt", ".pth", ".bin", ".ckpt"];

/// Returns true if a file of this name is a snapshot: `a.safetensors`, or `a.safetensors-00003` as some programs number
/// them.
pub fn is_snapshot(name: &str) -> bool {
    without_ending(name).is_some()
}

/// Returns the parts of a snapshot's name before and after its ending.
fn without_ending(name: &str) -> Option<(&str, &str)> {
    let splits = ENDINGS.iter().filter_map(|ending| name.rsplit_once(ending));
    splits.into_iter().find(|(_, behind)| {
        let number = behind.trim_start_matches(['-', '_', '.']);
        behind.is_empty() || (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// A part of a name.
pub enum NamePart<'a> {
    Word(&'a str),
    Number(Number),
}

/// A number as a decimal and as a version: 1.10 is 1.1, or version 10 of 1.
#[derive(Clone)]
pub struct Number {
    pub value: DecimalValue,
    pub version: (DecimalValue, DecimalValue),
    pub fraction: String,
}

/// A number of any length, 0.DIGITS · 10^exponent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DecimalValue {
    /// `None` for zero, which comes first.
    exponent: Option<i64>,
    /// Without zeros at either end.
    digits: String,
}

impl DecimalValue {
    /// The value of WHOLE.FRACTIONeEXPONENT.
    fn from_parts(whole: &str, fraction: &str, exponent: i64) -> Self {
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');
        let places = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
        let point = exponent + places(significant) - places(fraction);
        Self {
            exponent: (!significant.is_empty()).then_some(point),
            digits: significant.trim_end_matches('0').to_owned(),
        }
    }
}

/// Splits a name into parts. The ending of a file is dropped.
pub fn parts(name: &str) -> Vec<NamePart<'_>> {
    let (before, behind) = without_ending(name).unwrap_or((name, ""));
    let mut all = Vec::new();
    for text in [before, behind] {
        let mut rest = text;
        let mut chained = false;
        while !rest.is_empty() {
            let digits = |c: char| c.is_ascii_digit();
            match rest.find(digits) {
                Some(0) => {
                    let (number, length) = number(rest, chained);
                    all.push(NamePart::Number(number));
                    rest = &rest[length..];
                }
                next => {
                    let (word, after) = rest.split_at(next.unwrap_or(rest.len()));
                    // 1.2.3 is three numbers.
                    chained = word == "." && matches!(all.last(), Some(NamePart::Number(_)));
                    all.push(NamePart::Word(word));
                    rest = after;
                }
            }
        }
    }
    all
}

/// Returns the number at the start of a text, and its length in bytes.
fn number(text: &str, chained: bool) -> (Number, usize) {
    let whole = leading_digits(text);
    let mut end = whole.len();
    let mut fraction = "";
    if let (Some(behind), false) = (text[end..].strip_prefix('.'), chained) {
        let digits = leading_digits(behind);
        if !digits.is_empty() && !continues(&behind[digits.len()..]) {
            fraction = digits;
            end += 1 + digits.len();
        }
    }
    let mut exponent: i64 = 0;
    if let Some(behind) = text[end..].strip_prefix(['e', 'E']) {
        let (sign, unsigned) = match behind.strip_prefix('-') {
            Some(unsigned) => (-1, unsigned),
            None => (1, behind.strip_prefix('+').unwrap_or(behind)),
        };
        let digits = leading_digits(unsigned);
        let after = &unsigned[digits.len()..];
        let ends = !after.starts_with(char::is_alphanumeric) && !continues(after);
        if !digits.is_empty() && ends {
            // 15 digits are enough: no exponent in use is larger.
            let size: i64 = digits[..digits.len().min(15)].parse().unwrap_or(0);
            exponent = sign * size;
            end = text.len() - after.len();
        }
    }
    let number = Number {
        value: DecimalValue::from_parts(whole, fraction, exponent),
        version: (
            DecimalValue::from_parts(whole, "", 0),
            DecimalValue::from_parts(fraction, "", 0),
        ),
        fraction: fraction.to_owned(),
    };
    (number, end)
}

fn leading_digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit());
    &text[..end.unwrap_or(text.len())]
}

/// Returns true if a point and another number follow.
fn continues(text: &str) -> bool {
    let behind = text.strip_prefix('.');
    behind.is_some_and(|behind| behind.starts_with(|c: char| c.is_ascii_digit()))
}

pub fn has_comma(name: &str) -> bool {
    let is_digit = |b: &u8| b.is_ascii_digit();
    let triples = name.as_bytes().windows(3);
    triples
        .into_iter()
        .any(|it| it[1] == b',' && is_digit(&it[0]) && is_digit(&it[2]))
}

/// Returns the words of a name, with `None` for its numbers.
pub fn words<'a>(parts: &'a [NamePart<'a>]) -> impl Iterator<Item = Option<&'a str>> {
    parts.iter().map(|part| match part {
        NamePart::Word(word) => Some(*word),
        NamePart::Number(_) => None,
    })
}

/// Returns a name with special characters escaped.
pub fn escaped(name: &str) -> String {
    name.escape_debug().to_string()
}

/// Returns a list of the first few names.
pub fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let more = names.len().saturating_sub(SHOWN);
    let mut all: Vec<String> = names.take(SHOWN).map(escaped).collect();
    if more > 0 {
        all.push(format!("… ({more} more)"));
    }
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_recognised_by_their_extension() {
        for name in [
            "a.safetensors",
            "m.safetensors-00003",
            "m.safetensors.3",
            ".safetensors",
            "epoch_0.25.pt",
            "a.pth",
            "model.ckpt-1000",
            "pytorch_model.bin",
        ] {
            assert!(is_snapshot(name), "{name}");
        }
        for name in [
            "a.ptx",
            "a.pt.zip",
            "a.bin.index.json",
            "a.safetensors.index.json",
            "a.safetensors.bak",
            "a.safetensors-",
            "safetensors",
        ] {
            assert!(!is_snapshot(name), "{name}");
        }
    }
}
