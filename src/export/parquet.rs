//! Tables as Parquet: one Parquet column per column, none of them optional; NaN stays NaN.
//!
//! Column names come without units. The file's key-value metadata holds `lcascope.title`, and `lcascope.units` as a
//! JSON object from names to units. Whole numbers are unsigned 64-bit integers; texts are UTF-8.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::table::{Column, Table, Values};

/// Rows per row group.
const GROUP: usize = 1 << 20;

/// Writes a table.
///
/// # Errors
/// Writing to `out` fails.
pub fn write(table: &Table, out: impl Write + Send) -> io::Result<()> {
    file(table, out).map_err(|error| match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(cause) => io::Error::other(cause),
        },
        other => io::Error::other(other),
    })
}

fn file(table: &Table, out: impl Write + Send) -> Result<()> {
    let fields = table.columns().iter().map(field).collect::<Result<_>>()?;
    let schema = Type::group_type_builder("table").with_fields(fields);
    let units: serde_json::Map<_, _> = (table.columns().iter())
        .filter_map(|column| Some((column.name.clone(), column.unit?.into())))
        .collect();
    let entry = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    let properties = WriterProperties::builder()
        .set_created_by(concat!("lcascope ", env!("CARGO_PKG_VERSION")).to_owned())
        // Measured numbers hardly ever repeat.
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(vec![
            entry("lcascope.title", table.title().to_owned()),
            entry("lcascope.units", serde_json::Value::from(units).to_string()),
        ]))
        .build();
    let mut writer =
        SerializedFileWriter::new(out, Arc::new(schema.build()?), Arc::new(properties))?;
    let rows = table.rows();
    for start in (0..rows).step_by(GROUP) {
        let mut group = writer.next_row_group()?;
        for column in table.columns() {
            values(&mut group, &column.values, start, rows.min(start + GROUP))?;
        }
        group.close()?;
    }
    writer.close()?;
    Ok(())
}

fn field(column: &Column) -> Result<Arc<Type>> {
    let (physical, logical) = match column.values {
        Values::F64(_) => (Physical::DOUBLE, None),
        Values::U64(_) => (Physical::INT64, Some(LogicalType::integer(64, false))),
        Values::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(&column.name, physical);
    let field = builder
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(logical)
        .build()?;
    Ok(Arc::new(field))
}

/// Writes the rows `start..end` of the group's next column.
fn values<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &Values,
    start: usize,
    end: usize,
) -> Result<()> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("too few columns".to_owned()));
    };
    match values {
        Values::F64(values) => {
            let typed = column.typed::<DoubleType>();
            typed.write_batch(&values[start..end], None, None)?;
        }
        Values::U64(values) => {
            // The logical type says how to interpret the bits.
            let bits: Vec<i64> = (values[start..end].iter())
                .map(|value| value.cast_signed())
                .collect();
            column.typed::<Int64Type>().write_batch(&bits, None, None)?;
        }
        Values::Text(values) => {
            let texts: Vec<ByteArray> = (values[start..end].iter())
                .map(|text| ByteArray::from(text.as_str()))
                .collect();
            column
                .typed::<ByteArrayType>()
                .write_batch(&texts, None, None)?;
        }
    }
    column.close()
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    use super::super::table::tests::awkward;
    use super::*;

    fn written(table: &Table) -> SerializedFileReader<bytes::Bytes> {
        let mut file = Vec::new();
        write(table, &mut file).unwrap();
        SerializedFileReader::new(bytes::Bytes::from(file)).unwrap()
    }

    #[test]
    fn written_values_are_read_back() {
        let table = awkward();
        let reader = written(&table);
        let metadata = reader.metadata().file_metadata();
        let entries = metadata.key_value_metadata().unwrap();
        let value = |key: &str| {
            let entry = entries.iter().find(|entry| entry.key == key);
            entry.and_then(|entry| entry.value.clone()).unwrap()
        };
        assert_eq!(value("lcascope.title"), "awkward <values>");
        assert_eq!(value("lcascope.units"), r#"{"lca fc1":"nats"}"#);
        let mut rows = 0;
        for (index, row) in reader.get_row_iter(None).unwrap().enumerate() {
            let row = row.unwrap();
            for ((name, field), column) in row.get_column_iter().zip(table.columns()) {
                assert_eq!(name, &column.name);
                match (field, &column.values) {
                    (Field::Double(read), Values::F64(values)) => {
                        assert_eq!(read.to_bits(), values[index].to_bits());
                    }
                    (Field::ULong(read), Values::U64(values)) => assert_eq!(*read, values[index]),
                    (Field::Str(read), Values::Text(values)) => assert_eq!(read, &values[index]),
                    other => panic!("{other:?}"),
                }
            }
            rows += 1;
        }
        assert_eq!(rows, table.rows());
    }

    #[test]
    fn rows_are_written_in_groups() {
        let steps: Vec<u64> = (0..=GROUP as u64).collect();
        let table = Table::new("t", vec![Column::u64("step", None, steps)]).unwrap();
        let reader = written(&table);
        let groups = reader.metadata().row_groups();
        let rows: Vec<i64> = groups
            .iter()
            .map(parquet::file::metadata::RowGroupMetaData::num_rows)
            .collect();
        assert_eq!(rows, [1 << 20, 1]);
        let empty = written(&Table::new("t", Vec::new()).unwrap());
        assert_eq!(empty.metadata().num_row_groups(), 0);
    }
}
