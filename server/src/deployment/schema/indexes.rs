//! Indexes of all kinds, as a schema declares them, and the rules that those of other kinds than database indexes keep.

use std::ops::RangeInclusive;

use serde_json::{Map, Value as Json, json};
use vestibule_schema::path::{FieldPath, check_identifier};
use vestibule_schema::table::SchemaError;
use vestibule_schema::validator::Validator;

use super::{PushedSchemaError, PushedTable};

pub(super) const INDEXES_MAX: usize = 64;
pub(super) const FILTER_FIELDS_MAX: usize = 16;
pub(super) const DIMENSIONS: RangeInclusive<u64> = 2..=4_096;

/// One index of a pushed schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedIndex {
    /// Its name, unique in its table.
    pub name: String,
    /// Whether it is only to be built so far, and not to be used.
    pub staged: bool,
    /// The kind of index and its fields.
    pub kind: IndexKind,
}

/// The kind of an index, with the fields it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// The order of some fields.
    Database { fields: Vec<FieldPath> },
    /// The words in a field.
    Search {
        search_field: FieldPath,
        filter_fields: Vec<FieldPath>,
    },
    /// The nearness of vectors.
    Vector {
        vector_field: FieldPath,
        dimensions: u64,
        filter_fields: Vec<FieldPath>,
    },
}

const NOT_THERE: &str = "does not exist";
const NO_TEXT: &str = "is neither a string or optional string";
const NO_VECTOR: &str = "is neither an array of float64 or optional array of float64";

impl PushedIndex {
    /// The indexes of a table, in the order of the exported lists.
    pub(super) fn all_of(
        table: &str,
        json: &Map<String, Json>,
    ) -> Result<Vec<PushedIndex>, PushedSchemaError> {
        const LISTS: [(&str, bool); 6] = [
            ("indexes", false),
            ("stagedDbIndexes", true),
            ("searchIndexes", false),
            ("stagedSearchIndexes", true),
            ("vectorIndexes", false),
            ("stagedVectorIndexes", true),
        ];
        let mut indexes = Vec::new();
        for (list, staged) in LISTS {
            let declared = json.get(list).and_then(Json::as_array);
            for index in declared.into_iter().flatten() {
                let reader = Reader { table, json: index };
                let name = reader.text("indexDescriptor")?;
                let kind = match list {
                    "indexes" | "stagedDbIndexes" => reader.database(name, staged)?,
                    "searchIndexes" | "stagedSearchIndexes" => reader.search(name)?,
                    _ => reader.vector(name)?,
                };
                let name = name.to_owned();
                indexes.push(PushedIndex { name, staged, kind });
            }
        }
        Ok(indexes)
    }

    /// As diffs show it. A database index ends in `_creationTime`.
    pub fn to_json(&self, table: &str) -> Json {
        let name = format!("{table}.{}", self.name);
        let mut json = match &self.kind {
            IndexKind::Database { fields } => {
                let mut fields = texts(fields);
                fields.push("_creationTime".to_owned());
                json!({"name": name, "type": "database", "fields": fields})
            }
            IndexKind::Search {
                search_field,
                filter_fields,
            } => json!({
                "name": name, "type": "search",
                "searchField": search_field.to_string(), "filterFields": texts(filter_fields),
            }),
            IndexKind::Vector {
                vector_field,
                dimensions,
                filter_fields,
            } => json!({
                "name": name, "type": "vector", "dimensions": dimensions,
                "vectorField": vector_field.to_string(), "filterFields": texts(filter_fields),
            }),
        };
        if self.staged {
            json["staged"] = json!(true);
        }
        json
    }

    /// The fields it indexes, as lists of a table's indexes show them.
    pub fn fields_json(&self) -> Json {
        match &self.kind {
            IndexKind::Database { fields } => {
                let mut fields = texts(fields);
                fields.push("_creationTime".to_owned());
                json!(fields)
            }
            IndexKind::Search {
                search_field,
                filter_fields,
            } => json!({
                "searchField": search_field.to_string(), "filterFields": texts(filter_fields),
            }),
            IndexKind::Vector {
                vector_field,
                dimensions,
                filter_fields,
            } => json!({
                "vectorField": vector_field.to_string(),
                "filterFields": texts(filter_fields),
                "dimensions": dimensions,
            }),
        }
    }
}

/// Whether two lists name the same fields, in whatever order.
fn same_set(one: &[FieldPath], other: &[FieldPath]) -> bool {
    let all_in =
        |one: &[FieldPath], other: &[FieldPath]| one.iter().all(|field| other.contains(field));
    all_in(one, other) && all_in(other, one)
}

fn texts(fields: &[FieldPath]) -> Vec<String> {
    fields.iter().map(ToString::to_string).collect()
}

/// Reads one index of `table`.
struct Reader<'j> {
    table: &'j str,
    json: &'j Json,
}

impl<'j> Reader<'j> {
    fn database(&self, name: &str, staged: bool) -> Result<IndexKind, PushedSchemaError> {
        let fields = self.fields(name, "fields")?;
        if fields.is_empty() {
            return Err(PushedSchemaError::NoFields {
                table: self.table.to_owned(),
                kind: if staged { "staged " } else { "" },
                index: name.to_owned(),
            });
        }
        Ok(IndexKind::Database { fields })
    }

    fn search(&self, name: &str) -> Result<IndexKind, PushedSchemaError> {
        Ok(IndexKind::Search {
            search_field: self.field(name, self.text("searchField")?)?,
            filter_fields: self.filter_fields(name, "Search")?,
        })
    }

    fn vector(&self, name: &str) -> Result<IndexKind, PushedSchemaError> {
        let dimensions = &self.json["dimensions"];
        let number = dimensions.as_f64().filter(|number| number.fract() == 0.0);
        let number = number.map(|number| number as u64);
        Ok(IndexKind::Vector {
            vector_field: self.field(name, self.text("vectorField")?)?,
            dimensions: number
                .filter(|number| DIMENSIONS.contains(number))
                .ok_or_else(|| PushedSchemaError::Dimensions(dimensions.to_string()))?,
            filter_fields: self.filter_fields(name, "Vector")?,
        })
    }

    fn filter_fields(
        &self,
        name: &str,
        kind: &'static str,
    ) -> Result<Vec<FieldPath>, PushedSchemaError> {
        let fields = self.fields(name, "filterFields")?;
        match fields.len() > FILTER_FIELDS_MAX {
            true => Err(PushedSchemaError::TooManyFilterFields { kind }),
            false => Ok(fields),
        }
    }

    fn fields(&self, name: &str, key: &str) -> Result<Vec<FieldPath>, PushedSchemaError> {
        let list = match &self.json[key] {
            Json::Null => return Ok(Vec::new()),
            Json::Array(list) => list,
            _ => return Err(self.shape()),
        };
        let field = |json: &Json| match json.as_str() {
            Some(text) => self.field(name, text),
            None => Err(self.shape()),
        };
        list.iter().map(field).collect()
    }

    fn field(&self, name: &str, text: &str) -> Result<FieldPath, PushedSchemaError> {
        text.parse().map_err(|_| PushedSchemaError::FieldSyntax {
            index: name.to_owned(),
            field: text.to_owned(),
        })
    }

    fn text(&self, key: &str) -> Result<&'j str, PushedSchemaError> {
        self.json[key].as_str().ok_or_else(|| self.shape())
    }

    fn shape(&self) -> PushedSchemaError {
        PushedSchemaError::Shape {
            table: self.table.to_owned(),
            found: self.json.to_string(),
        }
    }
}

impl PushedTable {
    /// Checks the rules that hold between indexes of all kinds, and those of search and vector indexes. `documents` is
    /// the validator of the table's documents.
    pub(super) fn check(&self, documents: Option<&Validator>) -> Result<(), PushedSchemaError> {
        if self.indexes.len() > INDEXES_MAX {
            return Err(PushedSchemaError::TooManyIndexes(self.name.clone()));
        }
        for (position, index) in self.indexes.iter().enumerate() {
            self.check_name(&index.name)?;
            for first in &self.indexes[..position] {
                self.check_differ(first, index)?;
            }
            if let Some(documents) = documents {
                self.check_fields(index, documents)?;
            }
        }
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), PushedSchemaError> {
        if name.starts_with('_') || name == "by_id" || name == "by_creation_time" {
            return Err(SchemaError::ReservedIndexName {
                table: self.name.clone(),
                index: name.to_owned(),
            }
            .into());
        }
        Ok(check_identifier(name).map_err(|_| SchemaError::IndexName(name.to_owned()))?)
    }

    fn check_differ(
        &self,
        first: &PushedIndex,
        second: &PushedIndex,
    ) -> Result<(), PushedSchemaError> {
        if first.name == second.name {
            return Err(PushedSchemaError::DuplicateIndex {
                table: self.name.clone(),
                index: first.name.clone(),
            });
        }
        let kind = match (&first.kind, &second.kind) {
            (
                IndexKind::Search {
                    search_field,
                    filter_fields,
                },
                IndexKind::Search {
                    search_field: other_field,
                    filter_fields: other_filters,
                },
            ) if search_field == other_field && same_set(filter_fields, other_filters) => "search",
            (
                IndexKind::Vector {
                    vector_field,
                    dimensions,
                    ..
                },
                IndexKind::Vector {
                    vector_field: other_field,
                    dimensions: other_dimensions,
                    ..
                },
            ) if vector_field == other_field && dimensions == other_dimensions => "vector",
            _ => return Ok(()),
        };
        Err(PushedSchemaError::SameFields {
            table: self.name.clone(),
            kind,
            first: first.name.clone(),
            second: second.name.clone(),
        })
    }

    fn check_fields(
        &self,
        index: &PushedIndex,
        documents: &Validator,
    ) -> Result<(), PushedSchemaError> {
        let refused = |kind, field: &FieldPath, problem| PushedSchemaError::Field {
            table: self.name.clone(),
            kind,
            index: index.name.clone(),
            field: field.to_string(),
            problem,
        };
        let (kind, main, filters, fits, problem): (_, _, _, fn(&Validator) -> bool, _) =
            match &index.kind {
                // The schema has checked these.
                IndexKind::Database { .. } => return Ok(()),
                IndexKind::Search {
                    search_field,
                    filter_fields,
                } => ("search", search_field, filter_fields, may_be_text, NO_TEXT),
                IndexKind::Vector {
                    vector_field,
                    filter_fields,
                    ..
                } => (
                    "vector",
                    vector_field,
                    filter_fields,
                    may_be_vector,
                    NO_VECTOR,
                ),
            };
        for field in std::iter::once(main).chain(filters) {
            if !documents.may_have_field(field) {
                return Err(refused(kind, field, NOT_THERE));
            }
        }
        match any_at(documents, main.fields(), fits) {
            true => Ok(()),
            false => Err(refused(kind, main, problem)),
        }
    }
}

fn may_be_text(validator: &Validator) -> bool {
    match validator {
        Validator::Any | Validator::String | Validator::Id { .. } => true,
        Validator::Literal(value) => value.as_str().is_some(),
        Validator::Union(members) => members.iter().any(may_be_text),
        _ => false,
    }
}

fn may_be_vector(validator: &Validator) -> bool {
    let may_be_number = |element: &Validator| match element {
        Validator::Any | Validator::Number => true,
        Validator::Union(members) => members
            .iter()
            .any(|member| matches!(member, Validator::Number | Validator::Any)),
        _ => false,
    };
    match validator {
        Validator::Any => true,
        Validator::Array(element) => may_be_number(element),
        Validator::Union(members) => members.iter().any(may_be_vector),
        _ => false,
    }
}

/// Whether one of the validators that a value at `path` may have to match is as `fits` says.
fn any_at(validator: &Validator, path: &[String], fits: fn(&Validator) -> bool) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return fits(validator);
    };
    match validator {
        Validator::Any => true,
        Validator::Object(fields) => fields
            .get(first)
            .is_some_and(|field| any_at(&field.validator, rest, fits)),
        Validator::Record { values, .. } => any_at(values, rest, fits),
        Validator::Union(members) => members.iter().any(|member| any_at(member, path, fits)),
        _ => false,
    }
}
