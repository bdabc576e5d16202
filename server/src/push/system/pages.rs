//! Pages of a table's documents, filtered and in the order of an index.

use data_encoding::BASE64;
use serde::Deserialize;
use vestibule_schema::object;
use vestibule_schema::value::Value;

use super::data::page_value;
use super::filters::{Asked, Problem};
use super::query;
use super::reach::shown_name;
use crate::database::PaginationOptions;
use crate::functions::{Function, QueryCtx, Result};

/// Bytes of a page's filters, as base64. Each value of theirs is compared with each document.
const FILTERS_BYTES_MAX: usize = 64 << 10;
/// Documents that one page looks at, and the bytes of them.
pub const PAGE_ROWS_MAX: f64 = 10_000.0;
pub const PAGE_BYTES_MAX: f64 = 5_242_880.0;

pub fn functions() -> Vec<Function> {
    vec![query(
        "_system/frontend/paginatedTableDocuments:default",
        paginated,
    )]
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paginated {
    table: String,
    pagination_opts: PaginationOptions,
    /// JSON text in base64.
    #[serde(default)]
    filters: Option<String>,
}

fn paginated(ctx: &mut QueryCtx<'_>, args: Paginated) -> Result<Value> {
    let Paginated {
        table,
        pagination_opts,
        filters,
    } = args;
    let table = shown_name(ctx.component(), &table)?;
    let query = match read(filters.as_deref()).and_then(|asked| asked.query(ctx, &table)) {
        Ok(Some(query)) => query,
        // A table that is not there yet has no index, and no documents either.
        Ok(None) => return page_of(Vec::new()),
        Err(problems) => return page_of(problems),
    };
    let page = ctx
        .db()
        .paginate(&query, &bounded(pagination_opts, PAGE_ROWS_MAX))?;
    page_value(page, |document| Ok(Value::Object(document.fields)))
}

/// The same options, with the bounds of a page.
pub fn bounded(options: PaginationOptions, rows_max: f64) -> PaginationOptions {
    let within = |asked: Option<f64>, max: f64| Some(asked.map_or(max, |asked| asked.min(max)));
    PaginationOptions {
        num_items: options.num_items.min(rows_max),
        maximum_rows_read: within(options.maximum_rows_read, rows_max),
        maximum_bytes_read: within(options.maximum_bytes_read, PAGE_BYTES_MAX),
        ..options
    }
}

fn read(filters: Option<&str>) -> Result<Asked, Vec<Problem>> {
    let Some(filters) = filters else {
        return Ok(Asked::default());
    };
    if filters.len() > FILTERS_BYTES_MAX {
        return Err(vec![Problem::of_all(format!(
            "The filters take {FILTERS_BYTES_MAX} bytes at the most, not {}.",
            filters.len()
        ))]);
    }
    let json = BASE64
        .decode(filters.as_bytes())
        .map_err(|error| error.to_string())
        .and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
    json.map_err(|error| {
        vec![Problem::of_all(format!(
            "The filters cannot be read: {error}"
        ))]
    })
}

/// The only page, which says why the filters cannot be used.
fn page_of(problems: Vec<Problem>) -> Result<Value> {
    let problems = problems.into_iter().map(Problem::into_value);
    Ok(Value::Object(object! {
        "page" => Value::Array(problems.collect()),
        "isDone" => true,
        "continueCursor" => "",
    }))
}
