//! The exported JSON form of a schema, as `schema.js` gives it, with our own `"unique": true` on unique indexes.

use serde_json::{Map, Value as Json, json};

use super::{IndexDefinition, Schema, SchemaError, TableDefinition};
use crate::validator::Validator;

/// Kinds of index that Convex has and this server does not: refused by name rather than passed over.
const UNSUPPORTED_INDEXES: [&str; 5] = [
    "stagedDbIndexes",
    "searchIndexes",
    "stagedSearchIndexes",
    "vectorIndexes",
    "stagedVectorIndexes",
];

impl Schema {
    /// The exported form.
    pub fn to_json(&self) -> Json {
        let tables: Vec<Json> = self.tables.iter().map(table_to_json).collect();
        json!({"tables": tables, "schemaValidation": self.checks_documents})
    }

    /// Reads the exported form. The rules on names and fields are for [`Schema::validate`].
    pub fn from_json(json: &Json) -> Result<Self, SchemaError> {
        let schema = as_object(json, "a schema")?;
        let tables = list(schema, "tables", "a list of `tables`")?;
        let checks_documents = match schema.get("schemaValidation") {
            None => false,
            Some(Json::Bool(checks)) => *checks,
            Some(other) => return Err(shape("`schemaValidation` to be a boolean", other)),
        };
        Ok(Schema {
            tables: tables
                .iter()
                .map(table_from_json)
                .collect::<Result<_, _>>()?,
            checks_documents,
            malformed: None,
        })
    }
}

fn table_to_json(table: &TableDefinition) -> Json {
    let indexes: Vec<Json> = table.indexes.iter().map(index_to_json).collect();
    let mut json = json!({
        "tableName": table.name,
        "indexes": indexes,
        "documentType": table.document.to_json(),
    });
    for kind in UNSUPPORTED_INDEXES {
        json[kind] = json!([]);
    }
    json
}

fn index_to_json(index: &IndexDefinition) -> Json {
    let fields: Vec<String> = index.fields.iter().map(ToString::to_string).collect();
    let mut json = json!({"indexDescriptor": index.name, "fields": fields});
    if index.unique {
        json["unique"] = Json::Bool(true);
    }
    json
}

fn table_from_json(json: &Json) -> Result<TableDefinition, SchemaError> {
    let table = as_object(json, "a table")?;
    let name = text(table, "tableName", "a table with a `tableName`")?;
    for kind in UNSUPPORTED_INDEXES {
        if !list(table, kind, "a list of indexes")?.is_empty() {
            let table = name.to_owned();
            return Err(SchemaError::UnsupportedIndexes { table, kind });
        }
    }
    let indexes = list(table, "indexes", "a list of `indexes`")?;
    let document = match table.get("documentType") {
        None | Some(Json::Null) => Validator::Any,
        Some(json) => Validator::from_json(json).map_err(|reason| SchemaError::Document {
            table: name.to_owned(),
            reason,
        })?,
    };
    Ok(TableDefinition {
        name: name.to_owned(),
        indexes: indexes
            .iter()
            .map(index_from_json)
            .collect::<Result<_, _>>()?,
        document,
    })
}

fn index_from_json(json: &Json) -> Result<IndexDefinition, SchemaError> {
    let index = as_object(json, "an index")?;
    let name = text(
        index,
        "indexDescriptor",
        "an index with an `indexDescriptor`",
    )?;
    let fields = list(index, "fields", "a list of `fields`")?;
    let field = |field: &Json| match field.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(shape("the name of a field", field)),
    };
    let fields: Vec<String> = fields.iter().map(field).collect::<Result<_, _>>()?;
    let unique = match index.get("unique") {
        None => false,
        Some(Json::Bool(unique)) => *unique,
        Some(other) => return Err(shape("`unique` to be a boolean", other)),
    };
    IndexDefinition::new(name, &fields, unique)
}

fn as_object<'a>(
    json: &'a Json,
    expected: &'static str,
) -> Result<&'a Map<String, Json>, SchemaError> {
    json.as_object().ok_or_else(|| shape(expected, json))
}

/// The list under `name`; an absent or null one is empty.
fn list<'a>(
    node: &'a Map<String, Json>,
    name: &str,
    expected: &'static str,
) -> Result<&'a [Json], SchemaError> {
    match node.get(name) {
        None | Some(Json::Null) => Ok(&[]),
        Some(Json::Array(list)) => Ok(list),
        Some(other) => Err(shape(expected, other)),
    }
}

fn text<'a>(
    node: &'a Map<String, Json>,
    name: &str,
    expected: &'static str,
) -> Result<&'a str, SchemaError> {
    let found = node.get(name).unwrap_or(&Json::Null);
    found.as_str().ok_or_else(|| shape(expected, found))
}

fn shape(expected: &'static str, found: &Json) -> SchemaError {
    let found = found.to_string();
    SchemaError::Shape { expected, found }
}
