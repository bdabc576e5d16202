//! Tables and their indexes: as Rust types declare them, and the schema of a deployment, which a push brings.

mod error;
mod json;
mod method;
#[cfg(test)]
mod tests;
mod validate;

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::path::FieldPath;
use crate::validator::Validator;

pub use error::SchemaError;
pub use method::{IndexMethod, SearchIndex, VectorIndex};

/// A type whose values are the documents of one table.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use vestibule_schema::{DocumentId, Index, Schema, Table};
///
/// #[derive(Serialize, Deserialize)]
/// struct User { name: String, token: String }
///
/// impl User {
///     const BY_TOKEN: Index<User> = Index::unique("by_token", &["token"]);
/// }
///
/// impl Table for User {
///     const NAME: &'static str = "users";
///     const INDEXES: &'static [Index<User>] = &[User::BY_TOKEN];
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Message { author: DocumentId<User>, body: String }
///
/// impl Table for Message {
///     const NAME: &'static str = "messages";
/// }
///
/// let schema = Schema::new().table::<User>().table::<Message>();
/// schema.validate()?;
/// assert_eq!(
///     schema.table_named("messages").unwrap().document.to_string(),
///     r#"v.object({author: v.id("users"), body: v.string()})"#
/// );
/// # Ok::<(), vestibule_schema::SchemaError>(())
/// ```
pub trait Table: Serialize + DeserializeOwned + 'static {
    /// The table's name: an identifier that does not start with `_`.
    const NAME: &'static str;
    /// The indexes besides `by_id` and `by_creation_time`, which every table has.
    const INDEXES: &'static [Index<Self>] = &[];
    /// The indexes of words, for full text search.
    const SEARCH_INDEXES: &'static [SearchIndex<Self>] = &[];
    /// The indexes of vectors, for the nearest to a given one.
    const VECTOR_INDEXES: &'static [VectorIndex<Self>] = &[];

    /// The validator of its documents, for a type that does not tell its shape, such as an untagged enum. It is learnt
    /// from `Deserialize` where there is none.
    fn document_validator() -> Option<Validator> {
        None
    }
}

/// An index of the table `T`: its documents in the order of some fields, then of their creation.
pub struct Index<T: ?Sized> {
    name: &'static str,
    fields: &'static [&'static str],
    unique: bool,
    table: PhantomData<fn(&T)>,
}

impl<T: ?Sized> Index<T> {
    /// The index `name` over `fields`, each the path to a field, as in `author.name`.
    pub const fn new(name: &'static str, fields: &'static [&'static str]) -> Self {
        Index {
            name,
            fields,
            unique: false,
            table: PhantomData,
        }
    }

    /// An index in which no two documents have the same values in all `fields`.
    pub const fn unique(name: &'static str, fields: &'static [&'static str]) -> Self {
        Index {
            name,
            fields,
            unique: true,
            table: PhantomData,
        }
    }

    /// The index's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The paths of the indexed fields, in order.
    pub const fn fields(&self) -> &'static [&'static str] {
        self.fields
    }

    /// Whether two documents may not have the same values in all fields.
    pub const fn is_unique(&self) -> bool {
        self.unique
    }
}

// Written out because deriving them would ask the same of `T`, of which an index holds nothing.

impl<T: ?Sized> Clone for Index<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Index<T> {}

impl<T: ?Sized> fmt::Debug for Index<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("name", &self.name)
            .field("fields", &self.fields)
            .field("unique", &self.unique)
            .finish()
    }
}

/// The tables that a deployment declares. Tables it does not name are free of rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    tables: Vec<TableDefinition>,
    checks_documents: bool,
    /// The fault that could not even be written down as a definition; `validate` reports it.
    malformed: Option<SchemaError>,
}

impl Default for Schema {
    fn default() -> Self {
        Schema::new()
    }
}

impl Schema {
    /// A schema without tables, which holds documents to their tables' validators.
    pub fn new() -> Self {
        Schema {
            tables: Vec::new(),
            checks_documents: true,
            malformed: None,
        }
    }

    /// Adds the table of `T`; its documents are what `T` reads.
    pub fn table<T: Table>(mut self) -> Self {
        match TableDefinition::of::<T>() {
            Ok(definition) => self.tables.push(definition),
            Err(error) => self.malformed = self.malformed.or(Some(error)),
        }
        self
    }

    /// Adds a table.
    pub fn define(mut self, definition: TableDefinition) -> Self {
        self.tables.push(definition);
        self
    }

    /// Lets documents be written whatever the validators say; indexes still apply.
    pub fn without_document_checks(mut self) -> Self {
        self.checks_documents = false;
        self
    }

    /// Whether documents are held to their tables' validators.
    pub fn checks_documents(&self) -> bool {
        self.checks_documents
    }

    /// The tables, in the order they were added.
    pub fn tables(&self) -> &[TableDefinition] {
        &self.tables
    }

    /// The table called `name`, if this schema declares it.
    pub fn table_named(&self, name: &str) -> Option<&TableDefinition> {
        self.tables.iter().find(|table| table.name == name)
    }
}

/// One table of a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDefinition {
    /// Its name.
    pub name: String,
    /// Its indexes.
    pub indexes: Vec<IndexDefinition>,
    /// The validator of its documents, system fields aside.
    pub document: Validator,
}

impl TableDefinition {
    /// The table `name`, whose documents are free and which has no indexes of its own.
    pub fn new(name: impl Into<String>) -> Self {
        TableDefinition {
            name: name.into(),
            indexes: Vec::new(),
            document: Validator::Any,
        }
    }

    /// The table of `T`. Fails when an index of `T` has a field that is no path, and when the shape of `T` cannot be
    /// learnt.
    pub fn of<T: Table>() -> Result<Self, SchemaError> {
        let ordered = T::INDEXES
            .iter()
            .map(|index| IndexDefinition::new(index.name, index.fields, index.unique));
        let search = T::SEARCH_INDEXES.iter().map(SearchIndex::definition);
        let vector = T::VECTOR_INDEXES.iter().map(VectorIndex::definition);
        let indexes = ordered.chain(search).chain(vector);
        Ok(TableDefinition {
            name: T::NAME.to_owned(),
            indexes: indexes.collect::<Result<_, _>>()?,
            document: match T::document_validator() {
                Some(validator) => validator,
                None => Validator::learn::<T>().map_err(|reason| SchemaError::Unlearnt {
                    table: T::NAME.to_owned(),
                    reason,
                })?,
            },
        })
    }
}

/// One index of a table, without the `_creationTime` that ends an index of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexDefinition {
    /// Its name.
    pub name: String,
    /// The indexed fields, in order. In an index of words or of vectors, the field that holds them comes first, and the
    /// fields to filter by follow.
    pub fields: Vec<FieldPath>,
    /// Whether two documents may not have the same values in all fields.
    pub unique: bool,
    /// How it finds documents.
    pub method: IndexMethod,
}

impl IndexDefinition {
    /// The index of order `name` over `fields`. Fails when a field is no path.
    pub fn new<F: AsRef<str>>(name: &str, fields: &[F], unique: bool) -> Result<Self, SchemaError> {
        let path = |field: &F| {
            let field = field.as_ref();
            field.parse().map_err(|_| SchemaError::FieldSyntax {
                index: name.to_owned(),
                field: field.to_owned(),
            })
        };
        Ok(IndexDefinition {
            name: name.to_owned(),
            fields: fields.iter().map(path).collect::<Result<_, _>>()?,
            unique,
            method: IndexMethod::Order,
        })
    }
}
