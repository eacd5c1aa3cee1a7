//! Tables as CSV: a header line, then one line per row (RFC 4180 with `\n`).
//!
//! A number is the shortest text that reads back as the same bits: `0.1`, `-3e-7`. Non-finite numbers are `NaN`, `inf`
//! or `-inf`, which pandas, R, Julia, `DuckDB` and Rust read as numbers; an empty field would be a missing value to
//! some of them and an error to others. Units are in the header: `lca fc1 (nats)`. Text that a spreadsheet would take
//! for a formula is prefixed with an apostrophe, and characters that a terminal would obey are replaced.

use std::io::{self, Write};

use csv::{Error, ErrorKind, Writer};

use super::table::{Table, Values};
use crate::text::{harmless, no_formula};

/// Writes a table.
///
/// # Errors
/// Writing to `out` fails.
pub fn write(table: &Table, out: impl Write) -> io::Result<()> {
    rows(table, out).map_err(|error| match error.into_kind() {
        ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    })
}

fn rows(table: &Table, out: impl Write) -> Result<(), Error> {
    let mut writer = Writer::from_writer(out);
    let columns = table.columns();
    if columns.is_empty() {
        return Ok(writer.flush()?);
    }
    for column in columns {
        writer.write_field(text(&column.heading()))?;
    }
    writer.write_record(None::<&[u8]>)?;
    for row in 0..table.rows() {
        for column in columns {
            match &column.values {
                Values::F64(values) => writer.write_field(number(values[row]))?,
                Values::U64(values) => writer.write_field(values[row].to_string())?,
                Values::Text(values) => writer.write_field(text(&values[row]))?,
            }
        }
        writer.write_record(None::<&[u8]>)?;
    }
    Ok(writer.flush()?)
}

/// A cell that no program obeys. Formulas are recognised before tabs become spaces.
fn text(cell: &str) -> String {
    harmless(&no_formula(cell))
}

/// Returns the shortest text that reads back as the same number.
#[must_use]
pub fn number(value: f64) -> String {
    // `{}` would write the smallest number with 324 digits.
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Column;
    use super::super::table::tests::awkward;
    use super::*;

    fn written(table: &Table) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(table, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn written_values_are_read_back() {
        let table = awkward();
        let bytes = written(&table);
        let mut reader = csv::Reader::from_reader(&bytes[..]);
        let headers = reader.headers().unwrap();
        assert_eq!(headers, vec!["step", "lca fc1 (nats)", "layer, name"]);
        let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), table.rows());
        for (row, record) in records.iter().enumerate() {
            let [step, lca, word] = [0, 1, 2].map(|column| &record[column]);
            match (&table.columns()[0].values, &table.columns()[1].values) {
                (Values::U64(steps), Values::F64(numbers)) => {
                    assert_eq!(step.parse::<u64>().unwrap(), steps[row]);
                    let read: f64 = lca.parse().unwrap();
                    let same = read.to_bits() == numbers[row].to_bits();
                    assert!(same || (read.is_nan() && numbers[row].is_nan()), "{lca}");
                }
                other => panic!("{other:?}"),
            }
            assert!(
                matches!(&table.columns()[2].values, Values::Text(w) if harmless(&w[row]) == word)
            );
        }
    }

    #[test]
    fn no_text_is_interpreted_as_a_formula() {
        for (cell, shown) in [
            ("a\u{1b}[2J\nb", "a\u{fffd}[2J b"),
            ("\u{202e}a", "\u{fffd}a"),
            ("\t=1", "' =1"),
        ] {
            let column = Column::text(cell, vec![cell.to_owned()]);
            let table = Table::new("t", vec![column]).unwrap();
            assert_eq!(written(&table), format!("{shown}\n{shown}\n").as_bytes());
        }
    }

    #[test]
    fn a_table_without_rows_or_columns_is_written_too() {
        let none = Table::new("t", Vec::new()).unwrap();
        assert_eq!(written(&none), b"");
        let column = Column::f64("loss", Some("nats"), Vec::new());
        let empty = Table::new("t", vec![column]).unwrap();
        assert_eq!(written(&empty), b"loss (nats)\n");
    }

    proptest! {
        #[test]
        fn numbers_keep_every_bit(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            let read: f64 = number(value).parse().unwrap();
            prop_assert!(read.to_bits() == bits || (read.is_nan() && value.is_nan()));
        }
    }
}
