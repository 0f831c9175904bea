//! The first row of an answer as JSON ("Text Resultset").

use serde_json::{Map, Value as Json};

use super::packet::{Packet, number, text};
use crate::probe::reader::Reader;
use crate::probe::sql::Cell;

/// Marks a value that is not there.
const NULL: u8 = 0xfb;

/// A column's name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    name: String,
    cell: Cell,
}

/// Reads how many columns there will be.
pub(super) fn count(packet: &Packet) -> Option<u64> {
    number(&mut Reader(&packet.body))
}

impl Column {
    /// Reads a ColumnDefinition41.
    pub(super) fn read(packet: &Packet) -> Option<Self> {
        let mut rest = Reader(&packet.body);
        // Catalogue, database, table and its own name.
        for _ in 0..4 {
            text(&mut rest)?;
        }
        let name = String::from_utf8_lossy(text(&mut rest)?).into_owned();
        text(&mut rest)?;
        // What follows is 12 bytes long; character set and width.
        rest.take(7)?;
        Some(Self { name, cell: cell(rest.u8()?) })
    }
}

/// What a type is ("Column Types", `enum_field_types`).
fn cell(kind: u8) -> Cell {
    match kind {
        1 | 2 | 3 | 8 | 9 | 13 => Cell::Whole,
        0 | 4 | 5 | 246 => Cell::Fraction,
        245 => Cell::Json,
        _ => Cell::Text,
    }
}

/// Reads a row into `facts`.
pub(super) fn fill(facts: &mut Map<String, Json>, columns: &[Column], packet: &Packet) -> Option<()> {
    let mut rest = Reader(&packet.body);
    for column in columns {
        let value = if rest.0.first() == Some(&NULL) {
            rest.take(1)?;
            Json::Null
        } else {
            column.cell.to_json(&String::from_utf8_lossy(text(&mut rest)?))
        };
        facts.insert(column.name.clone(), value);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: &[u8]) -> Packet {
        Packet { number: 1, body: body.to_vec() }
    }

    #[test]
    fn a_row_is_read_by_its_types_and_a_cut_one_is_none() {
        let column = |kind: u8| {
            let body = [&b"\x03def\0\0\0\x01n\0\x0c\x2d\0\x0a\0\0\0"[..], &[kind], &[0; 5]].concat();
            Column::read(&packet(&body)).unwrap()
        };
        for (kind, text, json) in
            [(8, "-7", "-7"), (246, "1.50", "1.5"), (245, "{\"a\": 1}", "{\"a\":1}"), (253, "007", "\"007\"")]
        {
            let row = [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            let mut facts = Map::new();
            fill(&mut facts, &[column(kind)], &packet(&row)).unwrap();
            assert_eq!(facts["n"].to_string(), json);
            assert_eq!(fill(&mut facts, &[column(kind)], &packet(&row[..1])), None);
        }
        let mut facts = Map::new();
        fill(&mut facts, &[column(3)], &packet(&[NULL])).unwrap();
        assert_eq!(facts["n"], Json::Null);
        assert_eq!(Column::read(&packet(b"\x03def\0\0\0\x01n\0\x0c")), None);
    }
}
