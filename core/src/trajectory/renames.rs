//! Translates the names of tensors in files into those of the network.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A replacement of one text by another in the names of tensors in files, written `FROM=TO`.
///
/// FROM is replaced wherever it occurs, but not within a word or a number: `fc1` does not match in `fc10`. TO may be
/// empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rename {
    from: String,
    to: String,
}

/// A text that is not a [`Rename`].
#[derive(Debug, thiserror::Error)]
#[error(
    "invalid renaming `{0}`: use FROM=TO, such as encoder.=net. (FROM in the names of tensors in files is replaced by TO, which may be empty)"
)]
pub struct RenameError(String);

impl Rename {
    /// Returns the new name, or `None` if FROM does not occur.
    pub(super) fn apply(&self, name: &str) -> Option<String> {
        let splits = |before: Option<char>, after: Option<char>| {
            let parts = [before, after].map(|c| c.is_some_and(char::is_alphanumeric));
            parts == [true, true]
        };
        let mut renamed = String::new();
        let mut copied = 0;
        for (at, found) in name.match_indices(&self.from) {
            let (before, after) = (&name[..at], &name[at + found.len()..]);
            if splits(before.chars().next_back(), found.chars().next())
                || splits(found.chars().next_back(), after.chars().next())
            {
                continue;
            }
            renamed += &name[copied..at];
            renamed += &self.to;
            copied = at + found.len();
        }
        (copied > 0).then(|| renamed + &name[copied..])
    }
}

impl FromStr for Rename {
    type Err = RenameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((from, to)) if !from.is_empty() => Ok(Self {
                from: from.to_owned(),
                to: to.to_owned(),
            }),
            _ => Err(RenameError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Rename {
    type Error = RenameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Rename> for String {
    fn from(rename: Rename) -> Self {
        rename.to_string()
    }
}

impl fmt::Display for Rename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_renamed_wherever_they_stand() {
        for (rename, name, renamed) in [
            ("encoder.=", "encoder.fc1.weight", "fc1.weight"),
            ("fc1=a", "x.fc1.fc1.weight", "x.a.a.weight"),
            ("fc1=a", "fc10.weight", ""),
            ("fc1=a", "sfc1.weight", ""),
            ("layers.1=fc", "layers.10.bias", ""),
            ("net_=", "net_fc1.weight", "fc1.weight"),
            (
                "bn1.weight=bn1.scale",
                "block.bn1.weight",
                "block.bn1.scale",
            ),
            ("fc1=fc1", "fc1.bias", "fc1.bias"),
            ("é=e", "é.é", "e.e"),
            ("a=b=c", "a", "b=c"),
        ] {
            let rename: Rename = rename.parse().unwrap();
            assert_eq!(
                rename.apply(name).unwrap_or_default(),
                renamed,
                "{rename} {name}"
            );
            assert_eq!(rename.to_string().parse::<Rename>().unwrap(), rename);
        }
        for text in ["", "=", "=a", "fc1"] {
            let error = text.parse::<Rename>().unwrap_err().to_string();
            assert!(error.contains("FROM=TO"), "{error}");
        }
    }
}
