//! The schema of a push: the tables and indexes that are built, and the definitions that are kept beside.

mod error;
mod indexes;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value as Json, json};
use vestibule_schema::table::{IndexMethod, Schema, TableDefinition};
use vestibule_schema::validator::Validator;

pub use error::PushedSchemaError;
pub use indexes::{PushedIndex, fields_json};

/// A schema as `schema.js` exports it, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct PushedSchema {
    /// The schema that the database is brought in line with: tables, enabled indexes, document validators.
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
        let (mut enabled, mut staged) = (json.clone(), json.clone());
        for (position, table) in declared.iter().enumerate() {
            let table = table.as_object().ok_or(PushedSchemaError::NotSchema)?;
            if !table.get("tableName").is_some_and(Json::is_string) {
                return Err(PushedSchemaError::NotSchema);
            }
            enabled["tables"][position] = with_lists(table, &INDEX_LISTS);
            staged["tables"][position] = with_lists(table, &STAGED_LISTS);
        }
        let schema = Schema::from_json(&enabled)?;
        let staged = Schema::from_json(&staged)?;
        check(&schema, &staged)?;
        let definitions = schema.tables().iter().zip(staged.tables());
        let tables = definitions
            .zip(declared)
            .map(|((enabled, staged), json)| PushedTable::read(enabled, staged, json));
        let tables = tables.collect::<Result<_, _>>()?;
        Ok(PushedSchema {
            schema,
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

/// The lists of indexes that a schema reads, and those from which staged ones come, each in the place of the other.
const INDEX_LISTS: [(&str, &str); 3] = [
    ("indexes", "indexes"),
    ("searchIndexes", "searchIndexes"),
    ("vectorIndexes", "vectorIndexes"),
];
const STAGED_LISTS: [(&str, &str); 3] = [
    ("indexes", "stagedDbIndexes"),
    ("searchIndexes", "stagedSearchIndexes"),
    ("vectorIndexes", "stagedVectorIndexes"),
];

/// The table with its indexes of some lists alone.
fn with_lists(table: &Map<String, Json>, lists: &[(&str, &str)]) -> Json {
    let mut plain = json!({
        "tableName": table.get("tableName"),
        "documentType": table.get("documentType"),
    });
    for (list, from) in lists {
        plain[list] = json!(table.get(*from));
    }
    plain
}

/// Checks the rules of a schema, of which some hold between enabled and staged indexes.
fn check(enabled: &Schema, staged: &Schema) -> Result<(), PushedSchemaError> {
    let mut everything = match enabled.checks_documents() {
        true => Schema::new(),
        false => Schema::new().without_document_checks(),
    };
    for (enabled, staged) in enabled.tables().iter().zip(staged.tables()) {
        if let Some(index) = staged.indexes.iter().find(|index| index.fields.is_empty()) {
            return Err(PushedSchemaError::NoStagedFields {
                table: staged.name.clone(),
                index: index.name.clone(),
            });
        }
        let mut table = enabled.clone();
        table.indexes.extend_from_slice(&staged.indexes);
        everything = everything.define(table);
    }
    Ok(everything.validate()?)
}

impl PushedTable {
    fn read(
        enabled: &TableDefinition,
        staged: &TableDefinition,
        json: &Json,
    ) -> Result<PushedTable, PushedSchemaError> {
        let staged_document = match &json["stagedDocumentType"] {
            Json::Null => None,
            json => Some(Validator::from_json(json).map_err(|reason| {
                PushedSchemaError::StagedDocument {
                    table: enabled.name.clone(),
                    reason: reason.to_string(),
                }
            })?),
        };
        let of = |table: &TableDefinition, staged: bool| {
            let indexes = table.indexes.iter().cloned();
            let indexes = indexes.map(|definition| PushedIndex { definition, staged });
            indexes.collect::<Vec<_>>()
        };
        let mut indexes = [of(enabled, false), of(staged, true)].concat();
        indexes.sort_by_key(|index| match index.definition.method {
            IndexMethod::Order => 0,
            IndexMethod::Search => 1,
            IndexMethod::Vector { .. } => 2,
        });
        Ok(PushedTable {
            name: enabled.name.clone(),
            indexes,
            staged_document,
        })
    }
}
