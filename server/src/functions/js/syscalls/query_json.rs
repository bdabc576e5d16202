//! Queries as the package writes them in JSON.

use serde_json::{Map, Value as Json};
use vestibule_schema::path::FieldPath;

use super::args::{Args, defined_in_tree};
use super::error::SyscallError;
use crate::database::{
    Arithmetic, Bound, BoundKind, Comparison, Expression, Operator, Order, Query, SearchFilter,
    Source,
};

/// Reads the argument `query`.
pub(super) fn parse_query(args: &Args<'_>) -> Result<Query, SyscallError> {
    let json = args.tree("query")?;
    let query = Reader(&json).query();
    query.map_err(|reason| args.refuse("query", reason))
}

/// Why a query cannot be read.
type Reason = String;

/// Part of a query's JSON.
#[derive(Clone, Copy)]
struct Reader<'j>(&'j Json);

impl<'j> Reader<'j> {
    fn query(self) -> Result<Query, Reason> {
        let source = self.field("source")?;
        let order = match source.0.get("order").and_then(Json::as_str) {
            None | Some("asc") => Order::Asc,
            Some("desc") => Order::Desc,
            Some(other) => return Err(format!("unknown order \"{other}\"")),
        };
        let (table, source) = match source.text("type")? {
            "FullTableScan" => (source.text("tableName")?.to_string(), Source::FullTableScan),
            "IndexRange" => {
                let (table, index) = source.index_name()?;
                let bounds = source.list("range")?;
                let bounds = bounds.map(Reader::bound).collect::<Result<_, _>>()?;
                let index = index.to_string().into();
                (table.to_string(), Source::IndexRange { index, bounds })
            }
            "Search" => {
                let (table, index) = source.index_name()?;
                let filters = source.list("filters")?;
                let filters = filters
                    .map(Reader::search_filter)
                    .collect::<Result<_, _>>()?;
                let index = index.to_string().into();
                (table.to_string(), Source::Search { index, filters })
            }
            other => return Err(format!("unknown source \"{other}\"")),
        };
        let operators = self.list("operators")?.map(Reader::operator);
        Ok(Query {
            table: table.into(),
            source,
            order,
            operators: operators.collect::<Result<_, _>>()?,
        })
    }

    fn search_filter(self) -> Result<SearchFilter, Reason> {
        let field = self.text("fieldPath")?.to_string().into();
        match self.text("type")? {
            "Search" => Ok(SearchFilter::Search {
                field,
                text: self.text("value")?.to_string(),
            }),
            "Eq" => Ok(SearchFilter::Eq {
                field,
                value: self.field("value")?.value()?,
            }),
            other => Err(format!("unknown search filter \"{other}\"")),
        }
    }

    fn bound(self) -> Result<Bound, Reason> {
        let kind = match self.text("type")? {
            "Eq" => BoundKind::Eq,
            "Gt" => BoundKind::Gt,
            "Gte" => BoundKind::Gte,
            "Lt" => BoundKind::Lt,
            "Lte" => BoundKind::Lte,
            other => return Err(format!("unknown comparison \"{other}\"")),
        };
        Ok(Bound {
            kind,
            field: self.text("fieldPath")?.to_string().into(),
            value: self.field("value")?.value()?,
        })
    }

    fn operator(self) -> Result<Operator, Reason> {
        match self.only_field()? {
            ("filter", expression) => expression.expression().map(Operator::Filter),
            ("limit", limit) => limit.count().map(Operator::Limit),
            (other, _) => Err(format!("unknown operator \"{other}\"")),
        }
    }

    fn count(self) -> Result<usize, Reason> {
        let number = self.0.as_f64();
        let number = number.filter(|number| *number >= 0.0 && number.fract() == 0.0);
        // A float beyond it becomes the largest number, which limits nothing either.
        number
            .map(|number| number as usize)
            .ok_or_else(|| format!("a limit must be a non-negative integer, not {}", self.0))
    }

    /// Nesting is bounded by the JSON parser.
    fn expression(self) -> Result<Expression, Reason> {
        let (name, operand) = self.only_field()?;
        if let Some(comparison) = comparison(name) {
            let (left, right) = operand.pair()?;
            return Ok(Expression::compare(comparison, left, right));
        }
        if let Some(arithmetic) = arithmetic(name) {
            let (left, right) = operand.pair()?;
            let (left, right) = (Box::new(left), Box::new(right));
            return Ok(Expression::Arithmetic(arithmetic, left, right));
        }
        match name {
            "$neg" => Ok(Expression::Negate(Box::new(operand.expression()?))),
            "$not" => Ok(Expression::Not(Box::new(operand.expression()?))),
            "$and" => operand.expressions().map(Expression::And),
            "$or" => operand.expressions().map(Expression::Or),
            "$literal" => operand.value().map(Expression::Literal),
            "$field" => {
                let text = operand.0.as_str();
                let text = text.ok_or_else(|| format!("{} is not a field path", operand.0))?;
                let path: Result<FieldPath, _> = text.parse();
                path.map(Expression::field)
                    .map_err(|error| error.to_string())
            }
            other => Err(format!("unknown expression \"{other}\"")),
        }
    }

    fn expressions(self) -> Result<Vec<Expression>, Reason> {
        self.elements()?.map(Reader::expression).collect()
    }

    fn pair(self) -> Result<(Expression, Expression), Reason> {
        let operands = self.expressions()?;
        let [left, right] = <[Expression; 2]>::try_from(operands)
            .map_err(|operands| format!("expected two operands, got {}", operands.len()))?;
        Ok((left, right))
    }

    fn value(self) -> Result<Option<vestibule_schema::value::Value>, Reason> {
        defined_in_tree(self.0).map_err(|error| error.to_string())
    }

    // ---- JSON ------------------------------------------------------------------------------------------------

    fn index_name(self) -> Result<(&'j str, &'j str), Reason> {
        let name = self.text("indexName")?;
        let parts = name.split_once('.');
        parts.ok_or_else(|| format!("\"{name}\" is not the name of a table and an index"))
    }

    fn object(self) -> Result<&'j Map<String, Json>, Reason> {
        let object = self.0.as_object();
        object.ok_or_else(|| format!("expected an object, got {}", self.0))
    }

    fn field(self, name: &str) -> Result<Reader<'j>, Reason> {
        let field = self.object()?.get(name);
        field
            .map(Reader)
            .ok_or_else(|| format!("missing field `{name}`"))
    }

    fn only_field(self) -> Result<(&'j str, Reader<'j>), Reason> {
        let mut fields = self.object()?.iter();
        match (fields.next(), fields.next()) {
            (Some((name, value)), None) => Ok((name, Reader(value))),
            _ => Err(format!("expected an object with one field, got {}", self.0)),
        }
    }

    fn text(self, name: &str) -> Result<&'j str, Reason> {
        let field = self.field(name)?;
        let text = field.0.as_str();
        text.ok_or_else(|| format!("`{name}` must be a string"))
    }

    fn list(self, name: &str) -> Result<impl Iterator<Item = Reader<'j>>, Reason> {
        self.field(name)?.elements()
    }

    fn elements(self) -> Result<impl Iterator<Item = Reader<'j>>, Reason> {
        let elements = self.0.as_array();
        let elements = elements.ok_or_else(|| format!("expected an array, got {}", self.0));
        Ok(elements?.iter().map(Reader))
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        "$eq" => Comparison::Equal,
        "$neq" => Comparison::NotEqual,
        "$lt" => Comparison::Less,
        "$lte" => Comparison::LessOrEqual,
        "$gt" => Comparison::Greater,
        "$gte" => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        "$add" => Arithmetic::Add,
        "$sub" => Arithmetic::Subtract,
        "$mul" => Arithmetic::Multiply,
        "$div" => Arithmetic::Divide,
        "$mod" => Arithmetic::Modulo,
        _ => return None,
    })
}
