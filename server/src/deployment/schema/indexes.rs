//! Indexes as a schema declares them, enabled or staged, and as tools are shown them.

use serde_json::{Value as Json, json};
use vestibule_schema::path::FieldPath;
use vestibule_schema::table::{IndexDefinition, IndexMethod};

/// One index of a pushed schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedIndex {
    /// Its name, its fields and its method.
    pub definition: IndexDefinition,
    /// Whether it is only to be built so far, and not to be used.
    pub staged: bool,
}

impl PushedIndex {
    /// Its name, unique in its table.
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// As diffs show it. A database index ends in `_creationTime`.
    pub fn to_json(&self, table: &str) -> Json {
        let (mut json, kind) = match self.definition.method {
            IndexMethod::Order => (json!({"fields": self.fields_json()}), "database"),
            IndexMethod::Search => (self.fields_json(), "search"),
            IndexMethod::Vector { .. } => (self.fields_json(), "vector"),
        };
        json["name"] = json!(format!("{table}.{}", self.name()));
        json["type"] = json!(kind);
        if self.staged {
            json["staged"] = json!(true);
        }
        json
    }

    /// The fields it indexes, as lists of a table's indexes show them.
    pub fn fields_json(&self) -> Json {
        fields_json(&self.definition.fields, self.definition.method)
    }
}

/// The fields of an index, as lists of a table's indexes show them.
pub fn fields_json(fields: &[FieldPath], method: IndexMethod) -> Json {
    let mut texts = fields.iter().map(ToString::to_string);
    match method {
        IndexMethod::Order => {
            let fields: Vec<String> = texts.chain(["_creationTime".to_owned()]).collect();
            json!(fields)
        }
        IndexMethod::Search => json!({
            "searchField": texts.next(),
            "filterFields": texts.collect::<Vec<_>>(),
        }),
        IndexMethod::Vector { dimensions } => json!({
            "vectorField": texts.next(),
            "filterFields": texts.collect::<Vec<_>>(),
            "dimensions": dimensions,
        }),
    }
}
