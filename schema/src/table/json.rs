//! The exported JSON form of a schema, as `schema.js` gives it, with our own `"unique": true` on unique indexes.

use serde_json::{Map, Value as Json, json};

use super::{IndexDefinition, IndexMethod, Schema, SchemaError, TableDefinition};
use crate::validator::Validator;

/// The list of the indexes of each method.
const INDEXES: &str = "indexes";
const SEARCH_INDEXES: &str = "searchIndexes";
const VECTOR_INDEXES: &str = "vectorIndexes";
/// Indexes that are only built. They are no part of a schema: refused by name rather than passed over.
const STAGED_INDEXES: [&str; 3] = [
    "stagedDbIndexes",
    "stagedSearchIndexes",
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
    let mut json = json!({
        "tableName": table.name,
        INDEXES: [], SEARCH_INDEXES: [], VECTOR_INDEXES: [],
        "documentType": table.document.to_json(),
    });
    for kind in STAGED_INDEXES {
        json[kind] = json!([]);
    }
    for index in &table.indexes {
        let list = match index.method {
            IndexMethod::Order => INDEXES,
            IndexMethod::Search => SEARCH_INDEXES,
            IndexMethod::Vector { .. } => VECTOR_INDEXES,
        };
        let list = json[list].as_array_mut();
        list.into_iter()
            .for_each(|list| list.push(index_to_json(index)));
    }
    json
}

fn index_to_json(index: &IndexDefinition) -> Json {
    let mut fields = index.fields.iter().map(ToString::to_string);
    let name = &index.name;
    match index.method {
        IndexMethod::Order => {
            let mut json =
                json!({"indexDescriptor": name, "fields": fields.collect::<Vec<String>>()});
            if index.unique {
                json["unique"] = Json::Bool(true);
            }
            json
        }
        IndexMethod::Search => json!({
            "indexDescriptor": name,
            "searchField": fields.next(),
            "filterFields": fields.collect::<Vec<String>>(),
        }),
        IndexMethod::Vector { dimensions } => json!({
            "indexDescriptor": name,
            "vectorField": fields.next(),
            "dimensions": dimensions,
            "filterFields": fields.collect::<Vec<String>>(),
        }),
    }
}

fn table_from_json(json: &Json) -> Result<TableDefinition, SchemaError> {
    let table = as_object(json, "a table")?;
    let name = text(table, "tableName", "a table with a `tableName`")?;
    for kind in STAGED_INDEXES {
        if !list(table, kind, "a list of indexes")?.is_empty() {
            let table = name.to_owned();
            return Err(SchemaError::UnsupportedIndexes { table, kind });
        }
    }
    let ordered = list(table, INDEXES, "a list of `indexes`")?;
    let search = list(table, SEARCH_INDEXES, "a list of indexes")?;
    let vector = list(table, VECTOR_INDEXES, "a list of indexes")?;
    let document = match table.get("documentType") {
        None | Some(Json::Null) => Validator::Any,
        Some(json) => Validator::from_json(json).map_err(|reason| SchemaError::Document {
            table: name.to_owned(),
            reason,
        })?,
    };
    let ordered = ordered.iter().map(ordered_from_json);
    let search = search.iter().map(search_from_json);
    let vector = vector.iter().map(vector_from_json);
    Ok(TableDefinition {
        name: name.to_owned(),
        indexes: ordered
            .chain(search)
            .chain(vector)
            .collect::<Result<_, _>>()?,
        document,
    })
}

fn ordered_from_json(json: &Json) -> Result<IndexDefinition, SchemaError> {
    let (index, name) = named_index(json)?;
    let fields = field_names(index, "fields", "a list of `fields`")?;
    let unique = match index.get("unique") {
        None => false,
        Some(Json::Bool(unique)) => *unique,
        Some(other) => return Err(shape("`unique` to be a boolean", other)),
    };
    IndexDefinition::new(name, &fields, unique)
}

fn search_from_json(json: &Json) -> Result<IndexDefinition, SchemaError> {
    let (index, name) = named_index(json)?;
    let mut fields = vec![text(index, "searchField", "a `searchField`")?];
    fields.extend(field_names(index, "filterFields", FILTER_FIELDS)?);
    Ok(IndexDefinition {
        method: IndexMethod::Search,
        ..IndexDefinition::new(name, &fields, false)?
    })
}

fn vector_from_json(json: &Json) -> Result<IndexDefinition, SchemaError> {
    let (index, name) = named_index(json)?;
    let mut fields = vec![text(index, "vectorField", "a `vectorField`")?];
    fields.extend(field_names(index, "filterFields", FILTER_FIELDS)?);
    let number = index.get("dimensions").unwrap_or(&Json::Null);
    let is_count =
        |number: &f64| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number);
    let dimensions = number.as_f64().filter(is_count);
    let dimensions = dimensions.map(|number| number as u32);
    Ok(IndexDefinition {
        method: IndexMethod::Vector {
            dimensions: dimensions.ok_or_else(|| SchemaError::Dimensions(number.to_string()))?,
        },
        ..IndexDefinition::new(name, &fields, false)?
    })
}

const FILTER_FIELDS: &str = "a list of `filterFields`";

fn named_index(json: &Json) -> Result<(&Map<String, Json>, &str), SchemaError> {
    let index = as_object(json, "an index")?;
    let name = text(
        index,
        "indexDescriptor",
        "an index with an `indexDescriptor`",
    )?;
    Ok((index, name))
}

fn field_names<'a>(
    index: &'a Map<String, Json>,
    key: &str,
    expected: &'static str,
) -> Result<Vec<&'a str>, SchemaError> {
    let name = |field: &'a Json| {
        let name = field.as_str();
        name.ok_or_else(|| shape("the name of a field", field))
    };
    list(index, key, expected)?.iter().map(name).collect()
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
