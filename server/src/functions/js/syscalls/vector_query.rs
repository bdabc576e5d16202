//! Vector searches as the package writes them in JSON.

use std::fmt::Display;

use serde::Deserialize;
use serde_json::Value as Json;
use vestibule_schema::path::ComponentPath;
use vestibule_schema::value::Value;

use super::super::encoded;
use super::args::defined_in_tree;
use super::error::SyscallError;
use super::tables::TableKind;
use crate::database::{Nearest, VectorQuery, stored_name};

/// The arguments of `vectorSearch`.
#[derive(Deserialize)]
struct Args {
    query: Query,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Query {
    index_name: String,
    vector: Vec<f64>,
    #[serde(default)]
    limit: Option<f64>,
    #[serde(default)]
    expressions: Option<Json>,
}

const COMBINATION: &str = "Filters should be a combination of `q.eq` and `q.or`.";
const OPERANDS: &str =
    "`q.eq` must take a field path as its first argument and a value as its second";

/// Reads the arguments of a function of `component`.
pub fn vector_query(text: &str, component: &ComponentPath) -> Result<VectorQuery, SyscallError> {
    let refuse = |error: &dyn Display| {
        SyscallError::bad_request(format!("Invalid arguments for `vectorSearch`: {error}"))
    };
    let tree = encoded::tree(text).map_err(|error| refuse(&error))?;
    let args: Result<Args, _> = serde_json::from_value(tree);
    let Args { query } = args.map_err(|error| refuse(&error))?;
    let name = query.index_name.split_once('.').ok_or_else(|| {
        SyscallError::bad_request(format!(
            "Invalid arguments for `vectorSearch`: \"{}\" is not the name of a table and an index",
            query.index_name
        ))
    })?;
    let (table, index) = name;
    let mut equalities = Vec::new();
    if let Some(expression) = &query.expressions {
        add(expression, &mut equalities).map_err(SyscallError::bad_request)?;
    }
    // To functions there are no tables of the server's own with vectors.
    let table = match TableKind::named(table) {
        TableKind::User => table,
        TableKind::Hidden | TableKind::PublicSystem => "",
    };
    Ok(VectorQuery {
        table: stored_name(component, table).into_owned(),
        index: index.to_owned(),
        vector: query.vector,
        limit: query.limit,
        filter: query
            .expressions
            .is_some()
            .then(|| equalities.into_iter().collect()),
    })
}

/// Adds the equalities of an expression. Nesting is bounded by the JSON parser.
fn add(
    expression: &Json,
    equalities: &mut Vec<(String, Option<Value>)>,
) -> Result<(), &'static str> {
    let object = expression.as_object().filter(|object| object.len() == 1);
    let (name, operands) = object
        .and_then(|object| object.iter().next())
        .ok_or(COMBINATION)?;
    let operands = operands.as_array();
    match (name.as_str(), operands) {
        ("$eq", Some(operands)) => {
            let [field, value] = &operands[..] else {
                return Err(OPERANDS);
            };
            let field = field["$field"].as_str().ok_or(OPERANDS)?;
            let value = value.get("$literal").ok_or(OPERANDS)?;
            let value = defined_in_tree(value).map_err(|_| OPERANDS)?;
            equalities.push((field.to_owned(), value));
            Ok(())
        }
        ("$or", Some(operands)) => operands
            .iter()
            .try_for_each(|operand| add(operand, equalities)),
        _ => Err(COMBINATION),
    }
}

/// The found documents, as functions read them.
pub fn found_json(found: &[Nearest]) -> Json {
    let results = found
        .iter()
        .map(|found| serde_json::json!({"_id": found.id.to_string(), "_score": found.score}));
    serde_json::json!({"results": results.collect::<Vec<_>>()})
}
