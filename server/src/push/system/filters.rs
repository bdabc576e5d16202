//! The filters of the dashboard, as queries of the database.

use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;
use vestibule_schema::object;
use vestibule_schema::path::FieldPath;
use vestibule_schema::table::IndexMethod;
use vestibule_schema::value::Value;

use super::documents::UNSET;
use crate::database::{
    Bound, BoundKind, Comparison, Expression, OPERATORS_MAX, Operator, Order, Query, SearchFilter,
    Source, TableMeta,
};
use crate::functions::QueryCtx;

/// All that is asked of a table. Unknown parts are left alone.
#[derive(Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    clauses: Vec<Clause>,
    #[serde(default)]
    order: Option<String>,
    #[serde(default)]
    index: Option<AskedIndex>,
}

/// One condition on a field.
#[derive(Deserialize)]
struct Clause {
    field: String,
    op: String,
    /// As JSON writes values. None is `undefined`.
    #[serde(default, deserialize_with = "given")]
    value: Option<Json>,
    #[serde(default = "yes")]
    enabled: bool,
}

/// A range of an index, or a text search.
#[derive(Deserialize)]
struct AskedIndex {
    name: String,
    #[serde(default)]
    clauses: Vec<IndexClause>,
    #[serde(default)]
    search: Option<String>,
}

/// A condition on one field of the index, in the order of its fields. That of a search names its field.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexClause {
    #[serde(default)]
    field: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default, deserialize_with = "given")]
    value: Option<Json>,
    #[serde(default)]
    lower_op: Option<String>,
    #[serde(default, deserialize_with = "given")]
    lower_value: Option<Json>,
    #[serde(default)]
    upper_op: Option<String>,
    #[serde(default, deserialize_with = "given")]
    upper_value: Option<Json>,
}

/// A value that is there, null too.
fn given<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(json).map(Some)
}

fn yes() -> bool {
    true
}

/// Why a filter cannot be used.
pub struct Problem {
    /// Its place among the filters.
    filter: Option<usize>,
    error: String,
}

impl Problem {
    /// Of no filter in particular.
    pub fn of_all(error: String) -> Problem {
        Problem {
            filter: None,
            error,
        }
    }

    /// As pages show it in the place of documents.
    pub fn into_value(self) -> Value {
        let filter = self
            .filter
            .map_or(Value::from(-1.0), |at| Value::from(at as f64));
        Value::Object(object! { "error" => self.error, "filter" => filter })
    }
}

impl Asked {
    /// The query for this; `None` where the table is not there.
    pub fn query(
        &self,
        ctx: &mut QueryCtx<'_>,
        table: &str,
    ) -> Result<Option<Query>, Vec<Problem>> {
        let all = |error: String| vec![Problem::of_all(error)];
        let tx = ctx.db().transaction();
        let catalog = tx.catalog();
        let Some(meta) = catalog.table(table) else {
            tx.record_catalog()
                .map_err(|error| all(error.to_string()))?;
            return Ok(None);
        };
        let order = match self.order.as_deref() {
            Some("asc") => Order::Asc,
            None | Some("desc") => Order::Desc,
            Some(other) => {
                return Err(all(format!(
                    "The order is \"asc\" or \"desc\", not {other:?}."
                )));
            }
        };
        let source = match &self.index {
            None => Source::FullTableScan,
            Some(index) => {
                // Pushes make and take indexes.
                tx.record_catalog()
                    .map_err(|error| all(error.to_string()))?;
                index.source(meta).map_err(all)?
            }
        };
        let order = match source {
            // The best come first.
            Source::Search { .. } => Order::Asc,
            Source::FullTableScan | Source::IndexRange { .. } => order,
        };
        let mut operators = Vec::new();
        let mut problems = Vec::new();
        for (at, clause) in self.clauses.iter().enumerate() {
            if !clause.enabled {
                continue;
            }
            match clause.expression() {
                Ok(expression) => operators.push(Operator::Filter(expression)),
                Err(error) => problems.push(Problem {
                    filter: Some(at),
                    error,
                }),
            }
        }
        if operators.len() > OPERATORS_MAX {
            problems.push(Problem::of_all(format!(
                "A page has {OPERATORS_MAX} filters at the most."
            )));
        }
        match problems.is_empty() {
            true => Ok(Some(Query {
                table: table.to_owned().into(),
                source,
                order,
                operators,
            })),
            false => Err(problems),
        }
    }
}

impl AskedIndex {
    fn source(&self, table: &TableMeta) -> Result<Source, String> {
        let name = self.name.as_str();
        if let Some(text) = &self.search {
            return self.search(table, text);
        }
        let mut fields: Vec<String> = match (name, table.index(name)) {
            ("by_id", _) => vec!["_id".to_owned()],
            ("by_creation_time", _) => Vec::new(),
            (_, Some(index)) if index.method != IndexMethod::Order => {
                return Err(format!("The index {name:?} is not a database index."));
            }
            (_, Some(index)) if index.is_usable() => {
                index.fields.iter().map(ToString::to_string).collect()
            }
            (_, Some(_)) => return Err(format!("The index {name:?} is staged, or being built.")),
            (_, None) => {
                return Err(format!(
                    "The table {} has no index {name:?}.",
                    table.local_name()
                ));
            }
        };
        if name != "by_id" {
            fields.push("_creationTime".to_owned());
        }
        let enabled = self.clauses.iter().take_while(|clause| clause.enabled);
        let mut fields = fields.into_iter();
        let mut bounds = Vec::new();
        for clause in enabled {
            let field = fields
                .next()
                .ok_or_else(|| format!("The index {name:?} has no more fields."))?;
            clause.add_to(&field, &mut bounds)?;
        }
        Ok(Source::IndexRange {
            index: self.name.clone().into(),
            bounds,
        })
    }

    fn search(&self, table: &TableMeta, text: &str) -> Result<Source, String> {
        let index = table.index(&self.name);
        let index = index.filter(|index| index.method == IndexMethod::Search);
        let index = index.ok_or_else(|| {
            format!(
                "The table {} has no search index {:?}.",
                table.name, self.name
            )
        })?;
        if !index.is_usable() {
            return Err(format!(
                "The index {:?} is staged, or being built.",
                self.name
            ));
        }
        let searched = index.fields.first().map(ToString::to_string);
        let mut filters = vec![SearchFilter::Search {
            field: searched.unwrap_or_default().into(),
            text: text.to_owned(),
        }];
        for clause in self.clauses.iter().filter(|clause| clause.enabled) {
            let field = clause.field.clone();
            let field = field.ok_or("A condition of a search names its field.")?;
            filters.push(SearchFilter::Eq {
                field: field.into(),
                value: value_of(clause.value.as_ref())?,
            });
        }
        Ok(Source::Search {
            index: self.name.clone().into(),
            filters,
        })
    }
}

impl IndexClause {
    fn add_to(&self, field: &str, bounds: &mut Vec<Bound>) -> Result<(), String> {
        let mut add = |kind: BoundKind, value: Option<&Json>| -> Result<(), String> {
            bounds.push(Bound {
                kind,
                field: field.to_owned().into(),
                value: value_of(value)?,
            });
            Ok(())
        };
        if self.kind.as_deref() != Some("indexRange") {
            return add(BoundKind::Eq, self.value.as_ref());
        }
        if let Some(op) = &self.lower_op {
            let kind = match op.as_str() {
                "gt" => BoundKind::Gt,
                "gte" => BoundKind::Gte,
                _ => return Err(format!("A lower bound is \"gt\" or \"gte\", not {op:?}.")),
            };
            add(kind, self.lower_value.as_ref())?;
        }
        if let Some(op) = &self.upper_op {
            let kind = match op.as_str() {
                "lt" => BoundKind::Lt,
                "lte" => BoundKind::Lte,
                _ => return Err(format!("An upper bound is \"lt\" or \"lte\", not {op:?}.")),
            };
            add(kind, self.upper_value.as_ref())?;
        }
        Ok(())
    }
}

impl Clause {
    fn expression(&self) -> Result<Expression, String> {
        let path: FieldPath = self
            .field
            .parse()
            .map_err(|error| format!("{:?} is not the path of a field: {error}", self.field))?;
        let compare = |comparison: Comparison| {
            let value = Expression::Literal(value_of(self.value.as_ref())?);
            Ok(Expression::compare(
                comparison,
                Expression::field(path.clone()),
                value,
            ))
        };
        match self.op.as_str() {
            "eq" => compare(Comparison::Equal),
            "neq" => compare(Comparison::NotEqual),
            "lt" => compare(Comparison::Less),
            "lte" => compare(Comparison::LessOrEqual),
            "gt" => compare(Comparison::Greater),
            "gte" => compare(Comparison::GreaterOrEqual),
            "anyOf" => self.any_of(&path),
            "noneOf" => Ok(Expression::Not(Box::new(self.any_of(&path)?))),
            "type" => self.is_type(&path),
            "notype" => Ok(Expression::Not(Box::new(self.is_type(&path)?))),
            other => Err(format!("There is no filter {other:?}.")),
        }
    }

    fn any_of(&self, path: &FieldPath) -> Result<Expression, String> {
        let Some(Json::Array(values)) = &self.value else {
            return Err("Its value must be a list.".to_owned());
        };
        let equal = |json: &Json| -> Result<Expression, String> {
            Ok(Expression::compare(
                Comparison::Equal,
                Expression::field(path.clone()),
                Expression::Literal(value_of(Some(json))?),
            ))
        };
        Ok(Expression::Or(
            values.iter().map(equal).collect::<Result<_, _>>()?,
        ))
    }

    /// Types follow one another in the order of values, so that a type is a range of them.
    fn is_type(&self, path: &FieldPath) -> Result<Expression, String> {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
        let is = |comparison: Comparison, value: Option<Value>| {
            let field = Expression::field(path.clone());
            Expression::compare(comparison, field, Expression::Literal(value))
        };
        let from_to = |from: (Comparison, Value), to: (Comparison, Value)| {
            Expression::And(vec![is(from.0, Some(from.1)), is(to.0, Some(to.1))])
        };
        let no_bytes = || Value::Bytes(Vec::new());
        let no_elements = || Value::Array(Vec::new());
        let no_fields = || Value::Object(Default::default());
        let name = self.value.as_ref().and_then(Json::as_str);
        Ok(match name.unwrap_or_default() {
            "unset" | "undefined" => is(Equal, None),
            "null" => is(Equal, Some(Value::Null)),
            "bigint" | "int64" => from_to(
                (GreaterOrEqual, Value::Int64(i64::MIN)),
                (LessOrEqual, Value::Int64(i64::MAX)),
            ),
            "number" | "float64" => from_to(
                (Greater, Value::Int64(i64::MAX)),
                (Less, Value::Boolean(false)),
            ),
            "boolean" => from_to(
                (GreaterOrEqual, Value::Boolean(false)),
                (LessOrEqual, Value::Boolean(true)),
            ),
            "string" => from_to((Greater, Value::Boolean(true)), (Less, no_bytes())),
            "bytes" => from_to((GreaterOrEqual, no_bytes()), (Less, no_elements())),
            "array" => from_to((GreaterOrEqual, no_elements()), (Less, no_fields())),
            "object" => is(GreaterOrEqual, Some(no_fields())),
            // Ids are strings.
            "id" => from_to((Greater, Value::Boolean(true)), (Less, no_bytes())),
            other => return Err(format!("There is no type {other:?}.")),
        })
    }
}

/// A value as filters write it. `undefined` is left out, or written as in patches.
fn value_of(json: Option<&Json>) -> Result<Option<Value>, String> {
    match json {
        None => Ok(None),
        Some(Json::String(text)) if text == UNSET => Ok(None),
        Some(json) => Value::from_json(json)
            .map(Some)
            .map_err(|error| format!("Its value cannot be read: {error}")),
    }
}
