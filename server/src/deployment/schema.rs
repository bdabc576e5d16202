//! The schema of a push: the tables and database indexes that are built, and the definitions that are kept beside.

mod error;
mod indexes;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value as Json, json};
use vestibule_schema::table::{IndexDefinition, Schema};
use vestibule_schema::validator::Validator;

pub use error::PushedSchemaError;
pub use indexes::{IndexKind, PushedIndex};

/// A schema as `schema.js` exports it, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct PushedSchema {
    /// The schema that the database is brought in line with: tables, enabled database indexes, document validators.
    pub schema: Schema,
    /// Every table with all its indexes, in the order of the file.
    pub tables: Vec<PushedTable>,
    /// As it was exported.
    json: Json,
}

/// One table of a pushed schema.
#[derive(Clone, Debug, PartialEq)]
pub struct PushedTable {
    /// Its name.
    pub name: String,
    /// Its indexes of all kinds, staged ones too.
    pub indexes: Vec<PushedIndex>,
    /// The validator that its documents will have to match once it is no longer staged.
    pub staged_document: Option<Validator>,
}

impl PushedSchema {
    /// Reads and checks the JSON text that `schema.js` exports.
    pub fn from_text(text: &str) -> Result<PushedSchema, PushedSchemaError> {
        let json = serde_json::from_str(text).map_err(|_| PushedSchemaError::NotSchema)?;
        PushedSchema::from_json(json)
    }

    /// Reads and checks an exported schema.
    pub fn from_json(json: Json) -> Result<PushedSchema, PushedSchemaError> {
        let declared = json["tables"]
            .as_array()
            .ok_or(PushedSchemaError::NotSchema)?;
        let mut tables = Vec::new();
        let mut enabled = json.clone();
        // All database indexes, staged ones too, keep the same rules.
        let mut everything = json.clone();
        for (position, table) in declared.iter().enumerate() {
            let Json::Object(table) = table else {
                return Err(PushedSchemaError::NotSchema);
            };
            tables.push(PushedTable::read(table)?);
            enabled["tables"][position] = plain(table, &["indexes"]);
            everything["tables"][position] = plain(table, &["indexes", "stagedDbIndexes"]);
        }
        let everything = Schema::from_json(&everything)?;
        everything.validate()?;
        for (table, definition) in tables.iter().zip(everything.tables()) {
            let documents = everything
                .checks_documents()
                .then_some(&definition.document);
            table.check(documents)?;
        }
        Ok(PushedSchema {
            schema: Schema::from_json(&enabled)?,
            tables,
            json,
        })
    }

    /// As it was exported.
    pub fn as_json(&self) -> &Json {
        &self.json
    }

    /// Whether documents are held to their tables' validators.
    pub fn checks_documents(&self) -> bool {
        self.schema.checks_documents()
    }

    /// The table called `name`.
    pub fn table(&self, name: &str) -> Option<&PushedTable> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// As the reply to a push shows it: database indexes with the `_creationTime` that ends them.
    pub fn to_reply(&self) -> Json {
        let mut reply = self.json.clone();
        let tables = reply["tables"].as_array_mut();
        for table in tables.into_iter().flatten() {
            for key in ["indexes", "stagedDbIndexes"] {
                let indexes = table.get_mut(key).and_then(Json::as_array_mut);
                for index in indexes.into_iter().flatten() {
                    if let Some(fields) = index["fields"].as_array_mut() {
                        fields.push(json!("_creationTime"));
                    }
                }
            }
            if table["documentType"].is_null() {
                table["documentType"] = json!({"type": "any"});
            }
        }
        reply["schemaValidation"] = json!(self.checks_documents());
        reply
    }
}

impl PushedTable {
    /// The database indexes that are to be built and not to be used yet.
    pub fn staged_indexes(&self) -> impl Iterator<Item = IndexDefinition> + '_ {
        self.indexes.iter().filter_map(|index| match &index.kind {
            IndexKind::Database { fields } if index.staged => Some(IndexDefinition {
                name: index.name.clone(),
                fields: fields.clone(),
                unique: false,
            }),
            _ => None,
        })
    }

    fn read(table: &Map<String, Json>) -> Result<PushedTable, PushedSchemaError> {
        let name = table.get("tableName").and_then(Json::as_str);
        let name = name.ok_or(PushedSchemaError::NotSchema)?;
        let staged_document = match table.get("stagedDocumentType") {
            None | Some(Json::Null) => None,
            Some(json) => Some(Validator::from_json(json).map_err(|reason| {
                PushedSchemaError::StagedDocument {
                    table: name.to_owned(),
                    reason: reason.to_string(),
                }
            })?),
        };
        Ok(PushedTable {
            name: name.to_owned(),
            indexes: PushedIndex::all_of(name, table)?,
            staged_document,
        })
    }
}

/// The table with the database indexes under `keys`, and none of other kinds.
fn plain(table: &Map<String, Json>, keys: &[&str]) -> Json {
    let lists = keys.iter().filter_map(|key| table.get(*key)?.as_array());
    let indexes: Vec<&Json> = lists.flatten().collect();
    json!({
        "tableName": table.get("tableName"),
        "indexes": indexes,
        "documentType": table.get("documentType"),
    })
}
