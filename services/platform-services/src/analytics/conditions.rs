//! Conditions on rows, joined by AND, with their values.

use kit::db::Bind;

/// Rows from `$1` to before `$2`, in milliseconds since the epoch, that fulfil whatever is added.
pub(super) struct Conditions<'a> {
    sql: String,
    binds: Vec<Bind<'a>>,
}

impl<'a> Conditions<'a> {
    /// All rows of a span of time.
    pub(super) fn new(from_ms: i64, to_ms: i64) -> Self {
        Self { sql: "at_ms >= $1 AND at_ms < $2".to_owned(), binds: vec![from_ms.into(), to_ms.into()] }
    }

    /// Adds that a column, named by us, has this value, if there is one.
    pub(super) fn equals(mut self, column: &str, value: Option<&'a str>) -> Self {
        if let Some(value) = value {
            let bound = self.bind(value.into());
            self.sql = format!("{} AND {column} = {bound}", self.sql);
        }
        self
    }

    /// Adds a value and returns its place.
    pub(super) fn bind(&mut self, value: Bind<'a>) -> String {
        self.binds.push(value);
        format!("${}", self.binds.len())
    }

    /// As SQL, to stand after WHERE.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// The values.
    pub(super) fn binds(&self) -> &[Bind<'a>] {
        &self.binds
    }
}
