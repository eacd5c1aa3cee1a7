//! Named columns of equal length, to be written as CSV, JSON or Parquet.

/// The values of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Numbers; NaN for missing measurements.
    F64(Vec<f64>),
    U64(Vec<u64>),
    Text(Vec<String>),
}

impl Values {
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F64(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// For example `lca fc1`; unique within a table.
    pub name: String,
    /// For example `nats`.
    pub unit: Option<&'static str>,
    pub values: Values,
}

impl Column {
    /// Creates a column of numbers.
    #[must_use]
    pub fn f64(name: impl Into<String>, unit: Option<&'static str>, values: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            unit,
            values: Values::F64(values),
        }
    }

    /// Creates a column of whole numbers.
    #[must_use]
    pub fn u64(name: impl Into<String>, unit: Option<&'static str>, values: Vec<u64>) -> Self {
        Self {
            name: name.into(),
            unit,
            values: Values::U64(values),
        }
    }

    /// Creates a column of texts.
    #[must_use]
    pub fn text(name: impl Into<String>, values: Vec<String>) -> Self {
        Self {
            name: name.into(),
            unit: None,
            values: Values::Text(values),
        }
    }

    /// Returns name and unit: `lca fc1 (nats)`.
    #[must_use]
    pub fn heading(&self) -> String {
        match self.unit {
            Some(unit) => format!("{} ({unit})", self.name),
            None => self.name.clone(),
        }
    }
}

/// Error for columns of different lengths.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column '{name}' has {rows} rows, the ones before it have {expected}: this is a bug")]
pub struct Uneven {
    name: String,
    rows: usize,
    expected: usize,
}

/// A table: every column has [`rows`](Self::rows) values and a unique name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    title: String,
    columns: Vec<Column>,
}

impl Table {
    /// Creates a table of these columns. A repeated name gets a number: layers of a file may share names.
    ///
    /// # Errors
    /// The first column whose length differs from the first one's.
    pub fn new(title: impl Into<String>, columns: Vec<Column>) -> Result<Self, Uneven> {
        let mut table = Self {
            title: title.into(),
            columns: Vec::with_capacity(columns.len()),
        };
        let expected = columns.first().map_or(0, |column| column.values.len());
        let mut names = std::collections::HashSet::new();
        for mut column in columns {
            let rows = column.values.len();
            if rows != expected {
                return Err(Uneven {
                    name: column.name,
                    rows,
                    expected,
                });
            }
            let plain = column.name.clone();
            let mut number = 2_u64;
            while !names.insert(column.name.clone()) {
                column.name = format!("{plain} #{number}");
                number += 1;
            }
            table.columns.push(column);
        }
        Ok(table)
    }

    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.values.len())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A table with every kind of value that writers must preserve.
    pub fn awkward() -> Table {
        let numbers = vec![
            0.1,
            -1.0 / 3.0,
            5e-324,
            f64::MAX,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
        ];
        let words = ["fc1", "a,b", "\"q\"", "<&>'", "two\nlines", "é", "", "z"];
        let columns = vec![
            Column::u64("step", None, vec![0, 1, 2, 3, 4, 5, u64::MAX, 1 << 53]),
            Column::f64("lca fc1", Some("nats"), numbers),
            Column::text("layer, name", words.map(str::to_owned).to_vec()),
        ];
        Table::new("awkward <values>", columns).unwrap()
    }

    #[test]
    fn columns_are_of_one_length() {
        let columns = vec![
            Column::u64("step", None, vec![0, 1]),
            Column::f64("loss", Some("nats"), vec![0.5]),
        ];
        let error = Table::new("t", columns).unwrap_err().to_string();
        assert!(error.contains("'loss' has 1 rows"), "{error}");
        assert_eq!(Table::new("t", Vec::new()).unwrap().rows(), 0);
        assert_eq!(awkward().rows(), 8);
    }

    #[test]
    fn every_column_has_a_name_of_its_own() {
        let column = |name: &str| Column::u64(name, None, vec![1]);
        let names = ["a", "a", "a #2", "a"];
        let table = Table::new("t", names.map(column).to_vec()).unwrap();
        let names: Vec<&str> = table.columns().iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["a", "a #2", "a #2 #2", "a #3"]);
    }

    #[test]
    fn headings_have_units() {
        assert_eq!(awkward().columns()[1].heading(), "lca fc1 (nats)");
        assert_eq!(awkward().columns()[0].heading(), "step");
    }
}
