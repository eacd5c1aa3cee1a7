//! Tables as JSON: an object with the columns in order, each with its name, unit and values.
//!
//! ```json
//! {"title": "…", "columns": [
//!   {"name": "step", "unit": null, "values": [0, 1]},
//!   {"name": "lca fc1", "unit": "nats", "values": [-0.0123, null]}
//! ]}
//! ```
//!
//! JSON has neither NaN nor infinities: NaN is `null`, and infinities, which show that a training diverged, are the
//! strings `"Infinity"` and `"-Infinity"`, as in the JSON of Protocol Buffers. Every other number reads back as the
//! same bits. In Python: `pandas.DataFrame({c["name"]: c["values"] for c in table["columns"]})`.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeSeq, SerializeStruct, Serializer};

use super::table::{Column, Table, Values};

/// Writes a table, and a newline.
///
/// # Errors
/// Writing to `out` fails.
pub fn write(table: &Table, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, table)?;
    writeln!(out)?;
    out.flush()
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Table", 2)?;
        object.serialize_field("title", self.title())?;
        object.serialize_field("columns", self.columns())?;
        object.end()
    }
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Column", 3)?;
        object.serialize_field("name", &self.name)?;
        object.serialize_field("unit", &self.unit)?;
        object.serialize_field("values", &self.values)?;
        object.end()
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::F64(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    // Explicit, so as not to depend on what `serde_json` does with them.
                    match value {
                        &f64::INFINITY => list.serialize_element("Infinity")?,
                        &f64::NEG_INFINITY => list.serialize_element("-Infinity")?,
                        value => list.serialize_element(&(!value.is_nan()).then_some(value))?,
                    }
                }
                list.end()
            }
            Self::U64(values) => values.serialize(serializer),
            Self::Text(values) => values.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::table::tests::awkward;
    use super::*;

    #[test]
    fn written_values_are_read_back() {
        let table = awkward();
        let mut bytes = Vec::new();
        write(&table, &mut bytes).unwrap();
        let read: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read["title"], "awkward <values>");
        let columns = read["columns"].as_array().unwrap();
        assert_eq!(columns.len(), table.columns().len());
        for (json, column) in columns.iter().zip(table.columns()) {
            assert_eq!(json["name"], column.name);
            assert_eq!(json["unit"].as_str(), column.unit);
            let list = json["values"].as_array().unwrap();
            assert_eq!(list.len(), table.rows());
            match &column.values {
                Values::F64(values) => {
                    for (value, json) in values.iter().zip(list) {
                        let text = json.as_str().map(|text| text.parse().unwrap());
                        let read = json.as_f64().or(text).map(f64::to_bits);
                        let expected = (!value.is_nan()).then_some(value.to_bits());
                        assert_eq!(read, expected, "{json}");
                        assert_eq!(json.is_string(), value.is_infinite());
                    }
                }
                Values::U64(values) => {
                    let read: Vec<u64> = list.iter().map(|v| v.as_u64().unwrap()).collect();
                    assert_eq!(&read, values);
                }
                Values::Text(values) => {
                    let read: Vec<&str> = list.iter().map(|v| v.as_str().unwrap()).collect();
                    assert_eq!(&read, values);
                }
            }
        }
    }
}
