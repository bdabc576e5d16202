//! The database as functions written in Rust meet it: tables as types, documents by serde.

mod query;
mod search;

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use serde::Serialize;
pub use vestibule_schema::convert::Nullable;
use vestibule_schema::convert::to_value;
use vestibule_schema::id::DocumentId;
use vestibule_schema::table::Table;
use vestibule_schema::value::{Object, Value};

use super::error::{DatabaseError, QueryError};
use super::pagination::{PageBorders, PaginationOptions, RawPage};
use super::query::Query;
use super::transaction::Transaction;
use super::writing::Patch;

pub use query::{IndexRange, TableQuery};
pub use search::SearchFilters;

/// A document of table `T`: its fields, with `id` and `creation_time` beside them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Document<T: Table> {
    /// Its id.
    #[serde(rename = "_id")]
    pub id: DocumentId<T>,
    /// When it was inserted: milliseconds since the Unix epoch, with a fraction.
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    /// Its own fields.
    #[serde(flatten)]
    pub value: T,
}

impl<T: Table> Deref for Document<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

fn convert_error<T: Table>(source: vestibule_schema::convert::ConvertError) -> QueryError {
    QueryError::Convert {
        table: T::NAME.to_string(),
        source,
    }
}

/// A page of a paginated query, as official clients expect it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<D> {
    /// The documents.
    pub page: Vec<D>,
    /// Whether the page ends where the query does.
    pub is_done: bool,
    /// Where the next page starts.
    pub continue_cursor: String,
    /// Where a client may split the page.
    pub split_cursor: Nullable<String>,
    /// Whether it should or must.
    pub page_status: Nullable<&'static str>,
}

impl<D> Page<D> {
    /// The same page with each document turned into something else.
    pub fn map<E>(self, map: impl FnMut(D) -> E) -> Page<E> {
        Page {
            page: self.page.into_iter().map(map).collect(),
            is_done: self.is_done,
            continue_cursor: self.continue_cursor,
            split_cursor: self.split_cursor,
            page_status: self.page_status,
        }
    }

    /// As [`Page::map`], stopping at the first error.
    pub fn try_map<E, X>(self, map: impl FnMut(D) -> Result<E, X>) -> Result<Page<E>, X> {
        let Page {
            page,
            is_done,
            continue_cursor,
            split_cursor,
            page_status,
        } = self;
        let page = page.into_iter().map(map).collect::<Result<_, _>>()?;
        Ok(Page {
            page,
            is_done,
            continue_cursor,
            split_cursor,
            page_status,
        })
    }
}

/// Reads documents: the database of a query. A mutation's [`DatabaseWriter`] is one too, so a helper that takes
/// `&mut DatabaseReader<'_>` serves both.
pub struct DatabaseReader<'v> {
    pub(crate) tx: Transaction<'v>,
    pub(crate) borders: PageBorders,
}

impl<'v> DatabaseReader<'v> {
    /// A reader over a transaction. `borders` is where its paginated read starts from, and ends.
    pub fn new(tx: Transaction<'v>, borders: PageBorders) -> Self {
        DatabaseReader { tx, borders }
    }

    /// The document with this id, `None` when there is none.
    pub fn get<T: Table>(
        &mut self,
        id: DocumentId<T>,
    ) -> Result<Option<Document<T>>, DatabaseError> {
        check_table::<T>(&self.tx, id, "get")?;
        let stored = self.tx.get_stored(id.untyped())?;
        stored.map(|stored| self.tx.read_as(&stored)).transpose()
    }

    /// A query over `T`'s table.
    pub fn query<T: Table>(&mut self) -> TableQuery<'_, 'v, T> {
        TableQuery {
            tx: &mut self.tx,
            borders: &mut self.borders,
            query: Ok(Query::table(T::NAME)),
            table: PhantomData,
        }
    }

    /// One page of a query over any table, as [`TableQuery::paginate`] reads one of a typed query.
    pub fn paginate(
        &mut self,
        query: &Query,
        options: &PaginationOptions,
    ) -> Result<RawPage, DatabaseError> {
        let page = self.tx.paginate(query, options, &mut self.borders)?;
        page.try_map(|stored| self.tx.decode(&stored))
    }

    /// The transaction itself, for what the typed calls do not cover.
    pub fn transaction(&mut self) -> &mut Transaction<'v> {
        &mut self.tx
    }
}

/// Reads and writes documents: the database of a mutation. It reads with its [`DatabaseReader`].
pub struct DatabaseWriter<'v> {
    reader: DatabaseReader<'v>,
}

impl<'v> Deref for DatabaseWriter<'v> {
    type Target = DatabaseReader<'v>;

    fn deref(&self) -> &DatabaseReader<'v> {
        &self.reader
    }
}

impl<'v> DerefMut for DatabaseWriter<'v> {
    fn deref_mut(&mut self) -> &mut DatabaseReader<'v> {
        &mut self.reader
    }
}

impl<'v> DatabaseWriter<'v> {
    /// A writer over a transaction.
    pub fn new(tx: Transaction<'v>, borders: PageBorders) -> Self {
        DatabaseWriter {
            reader: DatabaseReader::new(tx, borders),
        }
    }

    /// The transaction, when the function has ended.
    pub(crate) fn into_transaction(self) -> Transaction<'v> {
        self.reader.tx
    }

    /// Adds a document and returns its id.
    pub fn insert<T: Table>(&mut self, document: T) -> Result<DocumentId<T>, DatabaseError> {
        let id = self.tx.insert(T::NAME, fields_of(&document)?)?;
        Ok(DocumentId::new(id.table(), id.internal()))
    }

    /// Changes some fields, top level only, by the names that clients see. A result equal to the old document writes
    /// nothing. [`modify`](Self::modify) does the same by the fields of the type.
    pub fn patch<T: Table>(
        &mut self,
        id: DocumentId<T>,
        patch: impl Into<Patch>,
    ) -> Result<(), DatabaseError> {
        check_table::<T>(&self.tx, id, "patch")?;
        self.tx.patch(id.untyped(), patch)
    }

    /// Changes a document in place, and writes the fields that `change` changed. No field is named twice, and serde
    /// alone knows how each is called in the database. Returns the changed document, `None` when there is none.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use vestibule_server::prelude::*;
    ///
    /// #[derive(Serialize, Deserialize)]
    /// #[serde(rename_all = "camelCase")]
    /// struct User { display_name: String, visits: f64 }
    ///
    /// impl Table for User {
    ///     const NAME: &'static str = "users";
    /// }
    ///
    /// #[derive(Deserialize)]
    /// struct Rename { user: DocumentId<User>, name: String }
    ///
    /// fn rename(ctx: &mut MutationCtx, args: Rename) -> Result<()> {
    ///     let renamed = ctx.db().modify(args.user, |user| user.display_name = args.name)?; // writes `displayName` alone
    ///     renamed.map(drop).ok_or_else(|| Error::application("NoSuchUser"))
    /// }
    /// # let app = App::new(Schema::new().table::<User>()).mutation("users:rename", rename);
    /// ```
    pub fn modify<T: Table>(
        &mut self,
        id: DocumentId<T>,
        change: impl FnOnce(&mut T),
    ) -> Result<Option<Document<T>>, DatabaseError> {
        check_table::<T>(&self.tx, id, "modify")?;
        let Some(mut document) = self.get(id)? else {
            return Ok(None);
        };
        let before = fields_of(&document.value)?;
        change(&mut document.value);
        let patch = Patch::between(&before, fields_of(&document.value)?);
        self.tx.patch(id.untyped(), patch)?;
        Ok(Some(document))
    }

    /// Replaces every field. A result equal to the old document writes nothing.
    pub fn replace<T: Table>(
        &mut self,
        id: DocumentId<T>,
        document: T,
    ) -> Result<(), DatabaseError> {
        check_table::<T>(&self.tx, id, "replace")?;
        self.tx.replace(id.untyped(), fields_of(&document)?)
    }

    /// Removes a document.
    pub fn delete<T: Table>(&mut self, id: DocumentId<T>) -> Result<(), DatabaseError> {
        check_table::<T>(&self.tx, id, "delete")?;
        self.tx.delete(id.untyped())
    }
}

fn fields_of<T: Table>(document: &T) -> Result<Object, DatabaseError> {
    match to_value(document).map_err(convert_error::<T>)? {
        Value::Object(fields) => Ok(fields),
        other => {
            let reason = format!(
                "a document must be an Object, and `{}` makes {other}",
                std::any::type_name::<T>()
            );
            Err(QueryError::SchemaMismatch {
                table: T::NAME.to_string(),
                reason,
            }
            .into())
        }
    }
}

/// An id that a client sent may be of another table than its type says.
fn check_table<T: Table>(
    tx: &Transaction<'_>,
    id: DocumentId<T>,
    method: &'static str,
) -> Result<(), DatabaseError> {
    match tx.catalog().table_numbered(id.table()) {
        Some(table) if table.name != T::NAME => {
            let (expected, found) = (T::NAME.to_string(), table.name.clone());
            Err(QueryError::IdOfOtherTable {
                method,
                expected,
                found,
            }
            .into())
        }
        _ => Ok(()),
    }
}
