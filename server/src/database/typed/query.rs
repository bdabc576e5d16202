//! A query over a typed table, as a chain of calls.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::Serialize;
use vestibule_schema::convert::to_field;
use vestibule_schema::path::FieldPath;
use vestibule_schema::table::{Index, Table};

use super::super::error::{DatabaseError, QueryError};
use super::super::filter::Expression;
use super::super::pagination::{PaginationOptions, RawPage};
use super::super::query::{Bound, BoundKind, Operator, Order, Query, Source};
use super::super::transaction::Transaction;
use super::{Document, Nullable, Page, PageBorders};

/// A query over one table, before it runs.
pub struct TableQuery<'t, 'v, T> {
    pub(super) tx: &'t mut Transaction<'v>,
    pub(super) borders: &'t mut PageBorders,
    pub(super) query: Result<Query, QueryError>,
    pub(super) table: PhantomData<fn() -> T>,
}

impl<T: Table> TableQuery<'_, '_, T> {
    /// Reads only documents whose first field of `index` equals `value`. `None` finds those in which the field is missing,
    /// as an insert of `None` leaves it; null is [`Nullable`] or `Value::Null`.
    pub fn index(self, index: Index<T>, value: impl Serialize) -> Self {
        let first = index.fields()[0];
        self.index_range(index, |range| range.eq(first, value))
    }

    /// Reads a range of `index`: equalities on its first fields, then at most one lower and one upper bound on the next.
    pub fn index_range(
        mut self,
        index: Index<T>,
        range: impl FnOnce(IndexRange) -> IndexRange,
    ) -> Self {
        let range = range(IndexRange {
            fields: index.fields(),
            bounds: Ok(Vec::with_capacity(index.fields().len())),
        });
        if let Ok(query) = &mut self.query {
            match range.bounds {
                Ok(bounds) => {
                    query.source = Source::IndexRange {
                        index: index.name().into(),
                        bounds,
                    }
                }
                Err(error) => self.query = Err(error),
            }
        }
        self
    }

    /// Ascending by default.
    pub fn order(mut self, order: Order) -> Self {
        if let Ok(query) = &mut self.query {
            query.order = order;
        }
        self
    }

    /// Keeps only documents that `expression` accepts. Every scanned document is still read, so prefer an index where
    /// there is one.
    pub fn filter(mut self, expression: Expression) -> Self {
        if let Ok(query) = &mut self.query {
            query.operators.push(Operator::Filter(expression));
        }
        self
    }

    /// Every document.
    pub fn collect(self) -> Result<Vec<Document<T>>, DatabaseError> {
        self.read(None)
    }

    /// At most `n` documents.
    pub fn take(self, n: usize) -> Result<Vec<Document<T>>, DatabaseError> {
        self.read(Some(n))
    }

    /// The first document.
    pub fn first(self) -> Result<Option<Document<T>>, DatabaseError> {
        Ok(self.read(Some(1))?.pop())
    }

    /// The only document; an error that names them when there are several.
    pub fn unique(self) -> Result<Option<Document<T>>, DatabaseError> {
        let stored = self.tx.unique_stored(&self.query?)?;
        stored.map(|stored| self.tx.read_as(&stored)).transpose()
    }

    fn read(self, limit: Option<usize>) -> Result<Vec<Document<T>>, DatabaseError> {
        let stored = self.tx.collect_stored(&self.query?, limit)?;
        stored
            .iter()
            .map(|stored| self.tx.read_as(stored))
            .collect()
    }

    /// How many documents there are; reads them all.
    pub fn count(self) -> Result<usize, DatabaseError> {
        let mut count = 0;
        self.tx.scan(&self.query?, |_| {
            count += 1;
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// One page. A function may read one page in an execution; its borders then stay where they are when the
    /// query runs again for a subscriber.
    pub fn paginate(self, options: &PaginationOptions) -> Result<Page<Document<T>>, DatabaseError> {
        let page = self.tx.paginate(&self.query?, options, self.borders)?;
        let RawPage {
            page,
            is_done,
            continue_cursor,
            split_cursor,
            page_status,
        } = page.try_map(|stored| self.tx.read_as(&stored))?;
        Ok(Page {
            page,
            is_done,
            continue_cursor,
            split_cursor: Nullable(split_cursor),
            page_status: Nullable(page_status.map(|status| status.as_str())),
        })
    }
}

/// Bounds of an index range.
pub struct IndexRange {
    /// The paths of the index's own fields.
    fields: &'static [&'static str],
    bounds: Result<Vec<Bound>, QueryError>,
}

impl IndexRange {
    /// The field equals `value`; with `None` it is missing.
    pub fn eq(self, field: &str, value: impl Serialize) -> Self {
        self.bound(BoundKind::Eq, field, value)
    }

    /// The field comes after `value` in the total order of values.
    pub fn gt(self, field: &str, value: impl Serialize) -> Self {
        self.bound(BoundKind::Gt, field, value)
    }

    /// The field is `value` or comes after it.
    pub fn gte(self, field: &str, value: impl Serialize) -> Self {
        self.bound(BoundKind::Gte, field, value)
    }

    /// The field comes before `value`; so does a missing field.
    pub fn lt(self, field: &str, value: impl Serialize) -> Self {
        self.bound(BoundKind::Lt, field, value)
    }

    /// The field is `value` or comes before it; so does a missing field.
    pub fn lte(self, field: &str, value: impl Serialize) -> Self {
        self.bound(BoundKind::Lte, field, value)
    }

    /// The text of a field path; one of the index's own needs no look.
    fn field(&self, field: &str) -> Result<Cow<'static, str>, QueryError> {
        if let Some(own) = self.fields.iter().find(|own| **own == field) {
            return Ok(Cow::Borrowed(own));
        }
        match field.parse::<FieldPath>() {
            Ok(path) => Ok(path.to_string().into()),
            Err(_) => Err(QueryError::IndexRange(format!(
                "`{field}` is not a field path"
            ))),
        }
    }

    fn bound(mut self, kind: BoundKind, field: &str, value: impl Serialize) -> Self {
        let bound = self.field(field).and_then(|field| match to_field(&value) {
            Ok(value) => Ok(Bound { kind, field, value }),
            Err(error) => Err(QueryError::IndexRange(format!(
                "the value compared with \"{field}\": {error}"
            ))),
        });
        match (&mut self.bounds, bound) {
            (Ok(bounds), Ok(bound)) => bounds.push(bound),
            (Ok(_), Err(error)) => self.bounds = Err(error),
            (Err(_), _) => {}
        }
        self
    }
}
