//! The first row of an answer as JSON: numbers, truth values and JSON by their types, everything else as PostgreSQL writes it.

use serde_json::{Map, Value as Json};

use crate::probe::reader::Reader;
use crate::probe::sql::Cell;

/// Types by their numbers (`pg_type.dat`).
const BOOL: u32 = 16;
const WHOLE: [u32; 4] = [20, 21, 23, 26];
const FRACTIONS: [u32; 3] = [700, 701, 1700];
const JSON: [u32; 2] = [114, 3802];

/// A column's name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    name: String,
    kind: u32,
}

/// Reads a RowDescription.
pub(super) fn columns(body: &[u8]) -> Option<Vec<Column>> {
    let mut reader = Reader(body);
    (0..reader.u16()?).map(|_| column(&mut reader)).collect()
}

fn column(reader: &mut Reader<'_>) -> Option<Column> {
    let name = String::from_utf8_lossy(reader.until_zero()?).into_owned();
    // Table and number within it.
    reader.take(6)?;
    let kind = reader.u32()?;
    // Size, modifier and format.
    reader.take(8)?;
    Some(Column { name, kind })
}

/// Reads a DataRow into `facts`.
pub(super) fn fill(facts: &mut Map<String, Json>, columns: &[Column], body: &[u8]) -> Option<()> {
    let mut reader = Reader(body);
    if usize::from(reader.u16()?) != columns.len() {
        return None;
    }
    for column in columns {
        let value = match reader.u32()? {
            // -1
            u32::MAX => Json::Null,
            length => typed(column.kind, &String::from_utf8_lossy(reader.take(usize::try_from(length).ok()?)?)),
        };
        facts.insert(column.name.clone(), value);
    }
    Some(())
}

fn typed(kind: u32, text: &str) -> Json {
    let cell = match kind {
        BOOL => Cell::Truth,
        kind if WHOLE.contains(&kind) => Cell::Whole,
        kind if FRACTIONS.contains(&kind) => Cell::Fraction,
        kind if JSON.contains(&kind) => Cell::Json,
        _ => Cell::Text,
    };
    cell.to_json(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_their_types_say() {
        for (kind, text, json) in [
            (BOOL, "t", "true"),
            (20, "-7", "-7"),
            (1700, "1.50", "1.5"),
            (701, "NaN", "\"NaN\""),
            (3802, "{\"a\": [1]}", "{\"a\":[1]}"),
            (25, "007", "\"007\""),
        ] {
            assert_eq!(typed(kind, text).to_string(), json, "{kind} {text}");
        }
    }

    #[test]
    fn rows_that_are_cut_are_none() {
        assert_eq!(columns(&[0, 1, b'a', 0, 0]), None);
        let columns = columns(&[[0, 1, b'a', 0].as_slice(), &[0; 9], &[23], &[0; 8]].concat()).unwrap();
        assert_eq!(columns, [Column { name: "a".to_owned(), kind: 23 }]);
        let mut facts = Map::new();
        assert_eq!(fill(&mut facts, &columns, &[0, 1, 0, 0, 0, 9, b'1']), None);
        assert_eq!(fill(&mut facts, &columns, &[0, 2]), None);
        assert_eq!(fill(&mut facts, &columns, &[0, 1, 0, 0, 0, 2, b'4', b'2']), Some(()));
        assert_eq!(Json::Object(facts).to_string(), r#"{"a":42}"#);
    }
}
