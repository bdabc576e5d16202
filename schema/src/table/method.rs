//! Indexes by their access method, and those of words and of vectors as Rust types declare them.

use std::fmt;
use std::marker::PhantomData;

use super::{IndexDefinition, SchemaError};

/// How an index finds documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexMethod {
    /// By the order of its fields.
    #[default]
    Order,
    /// By the words in its first field.
    Search,
    /// By how near the vector in its first field is to another.
    Vector {
        /// The numbers in each vector.
        dimensions: u32,
    },
}

/// A search index of the table `T`: the words of one field, and the fields that a search may filter by.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use vestibule_schema::{Schema, SearchIndex, Table};
///
/// #[derive(Serialize, Deserialize)]
/// struct Message { channel: String, body: String }
///
/// impl Message {
///     const BY_BODY: SearchIndex<Message> = SearchIndex::new("by_body", "body", &["channel"]);
/// }
///
/// impl Table for Message {
///     const NAME: &'static str = "messages";
///     const SEARCH_INDEXES: &'static [SearchIndex<Message>] = &[Message::BY_BODY];
/// }
///
/// Schema::new().table::<Message>().validate()?;
/// # Ok::<(), vestibule_schema::SchemaError>(())
/// ```
pub struct SearchIndex<T: ?Sized> {
    name: &'static str,
    search_field: &'static str,
    filter_fields: &'static [&'static str],
    table: PhantomData<fn(&T)>,
}

/// A vector index of the table `T`: the vectors in one field, and the fields that a search may filter by.
pub struct VectorIndex<T: ?Sized> {
    name: &'static str,
    vector_field: &'static str,
    dimensions: u32,
    filter_fields: &'static [&'static str],
    table: PhantomData<fn(&T)>,
}

impl<T: ?Sized> SearchIndex<T> {
    /// The index `name` of the words in `search_field`. Each field is a path, as in `author.name`.
    pub const fn new(
        name: &'static str,
        search_field: &'static str,
        filter_fields: &'static [&'static str],
    ) -> Self {
        SearchIndex {
            name,
            search_field,
            filter_fields,
            table: PhantomData,
        }
    }

    /// The index's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The path of the field whose words are indexed.
    pub const fn search_field(&self) -> &'static str {
        self.search_field
    }

    /// The paths of the fields that a search may filter by.
    pub const fn filter_fields(&self) -> &'static [&'static str] {
        self.filter_fields
    }

    pub(super) fn definition(&self) -> Result<IndexDefinition, SchemaError> {
        let fields = with_filters(self.search_field, self.filter_fields);
        let definition = IndexDefinition::new(self.name, &fields, false)?;
        Ok(IndexDefinition {
            method: IndexMethod::Search,
            ..definition
        })
    }
}

impl<T: ?Sized> VectorIndex<T> {
    /// The index `name` of the vectors of `dimensions` numbers in `vector_field`. Each field is a path.
    pub const fn new(
        name: &'static str,
        vector_field: &'static str,
        dimensions: u32,
        filter_fields: &'static [&'static str],
    ) -> Self {
        VectorIndex {
            name,
            vector_field,
            dimensions,
            filter_fields,
            table: PhantomData,
        }
    }

    /// The index's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The path of the field that holds the vectors.
    pub const fn vector_field(&self) -> &'static str {
        self.vector_field
    }

    /// The numbers in each vector.
    pub const fn dimensions(&self) -> u32 {
        self.dimensions
    }

    /// The paths of the fields that a search may filter by.
    pub const fn filter_fields(&self) -> &'static [&'static str] {
        self.filter_fields
    }

    pub(super) fn definition(&self) -> Result<IndexDefinition, SchemaError> {
        let fields = with_filters(self.vector_field, self.filter_fields);
        let definition = IndexDefinition::new(self.name, &fields, false)?;
        Ok(IndexDefinition {
            method: IndexMethod::Vector {
                dimensions: self.dimensions,
            },
            ..definition
        })
    }
}

fn with_filters(field: &'static str, filter_fields: &'static [&'static str]) -> Vec<&'static str> {
    std::iter::once(field)
        .chain(filter_fields.iter().copied())
        .collect()
}

// Written out because deriving them would ask the same of `T`, of which an index holds nothing.

impl<T: ?Sized> Clone for SearchIndex<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for SearchIndex<T> {}

impl<T: ?Sized> Clone for VectorIndex<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for VectorIndex<T> {}

impl<T: ?Sized> fmt::Debug for SearchIndex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchIndex")
            .field("name", &self.name)
            .field("search_field", &self.search_field)
            .field("filter_fields", &self.filter_fields)
            .finish()
    }
}

impl<T: ?Sized> fmt::Debug for VectorIndex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VectorIndex")
            .field("name", &self.name)
            .field("vector_field", &self.vector_field)
            .field("dimensions", &self.dimensions)
            .field("filter_fields", &self.filter_fields)
            .finish()
    }
}
