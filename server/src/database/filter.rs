//! Filter expressions, evaluated for each scanned document.

use std::borrow::Cow;

use serde::Serialize;
use vestibule_schema::convert::to_field;
use vestibule_schema::path::FieldPath;
use vestibule_schema::value::{Object, Value};

use super::error::QueryError;

/// A filter expression, as `.filter(q => …)` builds one. `None` of a literal is `undefined`.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Field(FieldPath),
    Literal(Option<Value>),
    /// A constant that is no value, with the reason.
    Unwritable(String),
    Compare(Comparison, Box<Expression>, Box<Expression>),
    Arithmetic(Arithmetic, Box<Expression>, Box<Expression>),
    Negate(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
}

/// How two values are compared: always by the total order, across types, `undefined` lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Arithmetic on two int64 (checked) or two float64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Expression {
    /// The value of a field, `undefined` where it is missing. `path` must be a valid field path.
    pub fn field(path: FieldPath) -> Expression {
        Expression::Field(path)
    }

    /// A constant. `None` is what a missing field is, as an insert of `None` leaves it; null is `Nullable` or `Value::Null`.
    pub fn literal(value: impl Serialize) -> Expression {
        match to_field(&value) {
            Ok(value) => Expression::Literal(value),
            Err(error) => Expression::Unwritable(error.to_string()),
        }
    }

    /// Compares two expressions.
    pub fn compare(comparison: Comparison, left: Expression, right: Expression) -> Expression {
        Expression::Compare(comparison, Box::new(left), Box::new(right))
    }

    /// Whether `document` passes. A result that is not a boolean is an error.
    pub fn accepts(&self, document: &Object) -> Result<bool, QueryError> {
        boolean(self.evaluate(document)?.as_deref())
    }

    fn evaluate<'a>(&'a self, document: &'a Object) -> Result<Option<Cow<'a, Value>>, QueryError> {
        let computed = match self {
            Expression::Field(path) => return Ok(path.lookup(document).map(Cow::Borrowed)),
            Expression::Literal(value) => return Ok(value.as_ref().map(Cow::Borrowed)),
            Expression::Unwritable(why) => return Err(QueryError::Filter(why.clone())),
            Expression::Compare(comparison, left, right) => {
                let (left, right) = (left.evaluate(document)?, right.evaluate(document)?);
                Value::Boolean(comparison.holds(left.as_deref(), right.as_deref()))
            }
            Expression::Arithmetic(operator, left, right) => {
                let (left, right) = (left.evaluate(document)?, right.evaluate(document)?);
                operator.apply(left.as_deref(), right.as_deref())?
            }
            Expression::Negate(operand) => negate(operand.evaluate(document)?.as_deref())?,
            Expression::And(operands) => Value::Boolean(all(operands, document, true)?),
            Expression::Or(operands) => Value::Boolean(!all(operands, document, false)?),
            Expression::Not(operand) => Value::Boolean(!operand.accepts(document)?),
        };
        Ok(Some(Cow::Owned(computed)))
    }
}

/// Whether every operand is `wanted`, stopping at the first that is not.
fn all(operands: &[Expression], document: &Object, wanted: bool) -> Result<bool, QueryError> {
    for operand in operands {
        if operand.accepts(document)? != wanted {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Comparison {
    fn holds(self, left: Option<&Value>, right: Option<&Value>) -> bool {
        let order = left.cmp(&right);
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Arithmetic {
    fn verb(self) -> &'static str {
        match self {
            Arithmetic::Add => "add",
            Arithmetic::Subtract => "subtract",
            Arithmetic::Multiply => "multiply",
            Arithmetic::Divide => "divide",
            Arithmetic::Modulo => "mod",
        }
    }

    fn apply(self, left: Option<&Value>, right: Option<&Value>) -> Result<Value, QueryError> {
        match (left, right) {
            (Some(Value::Int64(a)), Some(Value::Int64(b))) => self.integers(*a, *b),
            (Some(Value::Float64(a)), Some(Value::Float64(b))) => {
                Ok(Value::Float64(self.floats(*a, *b)))
            }
            _ => Err(self.refuse(left, right)),
        }
    }

    fn integers(self, a: i64, b: i64) -> Result<Value, QueryError> {
        if b == 0 && matches!(self, Arithmetic::Divide | Arithmetic::Modulo) {
            return Err(QueryError::Filter(format!(
                "Cannot {} {a} by zero",
                self.verb()
            )));
        }
        let result = match self {
            Arithmetic::Add => a.checked_add(b),
            Arithmetic::Subtract => a.checked_sub(b),
            Arithmetic::Multiply => a.checked_mul(b),
            Arithmetic::Divide => a.checked_div(b),
            Arithmetic::Modulo => a.checked_rem(b),
        };
        result.map(Value::Int64).ok_or_else(|| {
            let verb = self.verb();
            QueryError::Filter(format!(
                "Cannot {verb} {a} and {b}: the result is out of range for Int64"
            ))
        })
    }

    fn floats(self, a: f64, b: f64) -> f64 {
        match self {
            Arithmetic::Add => a + b,
            Arithmetic::Subtract => a - b,
            Arithmetic::Multiply => a * b,
            Arithmetic::Divide => a / b,
            Arithmetic::Modulo => a % b,
        }
    }

    fn refuse(self, left: Option<&Value>, right: Option<&Value>) -> QueryError {
        QueryError::Filter(format!(
            "Cannot {} {} and {}",
            self.verb(),
            describe(left),
            describe(right)
        ))
    }
}

fn negate(operand: Option<&Value>) -> Result<Value, QueryError> {
    match operand {
        Some(Value::Int64(number)) => number.checked_neg().map(Value::Int64).ok_or_else(|| {
            QueryError::Filter(format!(
                "Cannot negate {number}: the result is out of range for Int64"
            ))
        }),
        Some(Value::Float64(number)) => Ok(Value::Float64(-*number)),
        other => Err(QueryError::Filter(format!(
            "Cannot negate {}",
            describe(other)
        ))),
    }
}

fn boolean(value: Option<&Value>) -> Result<bool, QueryError> {
    match value {
        Some(Value::Boolean(boolean)) => Ok(*boolean),
        other => Err(QueryError::Filter(format!(
            "Cannot use value {} as a Boolean",
            describe(other)
        ))),
    }
}

fn describe(value: Option<&Value>) -> String {
    match value {
        Some(value) => format!("{value} (type {})", value.type_name()),
        None => "undefined (type undefined)".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use vestibule_schema::object;

    use super::*;

    fn field(name: &str) -> Expression {
        Expression::field(name.parse().unwrap())
    }

    #[test]
    fn a_missing_field_is_below_every_number() {
        let below = Expression::compare(Comparison::Less, field("n"), Expression::literal(5.0));
        for document in [
            object! {},
            object! {"n" => Value::Null},
            object! {"n" => 9i64},
            object! {"n" => 4.0},
        ] {
            assert!(below.accepts(&document).unwrap(), "{document:?}");
        }
        assert!(!below.accepts(&object! {"n" => 5.0}).unwrap());
    }

    #[test]
    fn int64_and_float64_are_never_equal() {
        let equal = Expression::compare(Comparison::Equal, field("n"), Expression::literal(1.0));
        assert!(!equal.accepts(&object! {"n" => 1i64}).unwrap());
        assert!(equal.accepts(&object! {"n" => 1.0}).unwrap());
    }

    #[test]
    fn wrong_operands_are_named() {
        let cases = [
            (
                Expression::literal(3.0),
                "Cannot use value 3.0 (type Float64) as a Boolean",
            ),
            (
                field("x"),
                "Cannot use value undefined (type undefined) as a Boolean",
            ),
            (
                Expression::Negate(Box::new(Expression::literal("x"))),
                "Cannot negate \"x\" (type String)",
            ),
            (
                arithmetic(Arithmetic::Add, 1i64, 2.0),
                "Cannot add 1 (type Int64) and 2.0 (type Float64)",
            ),
            (
                arithmetic(Arithmetic::Divide, 1i64, 0i64),
                "Cannot divide 1 by zero",
            ),
            (
                arithmetic(Arithmetic::Add, i64::MAX, 1i64),
                "Cannot add 9223372036854775807 and 1: the result is out of range for Int64",
            ),
        ];
        for (expression, text) in cases {
            assert_eq!(
                expression.accepts(&object! {}).unwrap_err().to_string(),
                text
            );
        }
    }

    #[test]
    fn and_or_stop_at_the_first_operand_that_decides() {
        let wrong = Expression::literal(3.0);
        let yes = || Expression::literal(true);
        let no = || Expression::literal(false);
        assert!(
            !Expression::And(vec![no(), wrong.clone()])
                .accepts(&object! {})
                .unwrap()
        );
        assert!(
            Expression::Or(vec![yes(), wrong])
                .accepts(&object! {})
                .unwrap()
        );
        assert!(Expression::And(vec![]).accepts(&object! {}).unwrap());
        assert!(!Expression::Or(vec![]).accepts(&object! {}).unwrap());
    }

    fn arithmetic(
        operator: Arithmetic,
        left: impl Into<Value>,
        right: impl Into<Value>,
    ) -> Expression {
        Expression::Arithmetic(
            operator,
            Box::new(Expression::literal(left.into())),
            Box::new(Expression::literal(right.into())),
        )
    }
}
