//! Vector search in actions: a read of its own, on a thread beside those of queries.

use serde::Serialize;
use vestibule_schema::id::DocumentId;
use vestibule_schema::table::{Table, VectorIndex};

use super::action::ActionCtx;
use super::error::{Error, Result, SystemError};
use crate::database::{DatabaseError, Nearest, VectorFilter, VectorQuery, nearest};

/// What a vector search looks for.
///
/// ```
/// use vestibule_server::prelude::*;
///
/// let search = VectorSearch::near([0.5, 0.25])
///     .limit(5)
///     .filter(VectorFilter::eq("genre", "comedy").or(VectorFilter::eq("genre", "satire")));
/// # let _ = search;
/// ```
#[derive(Clone, Debug)]
pub struct VectorSearch {
    vector: Vec<f64>,
    limit: Option<f64>,
    filter: Option<VectorFilter>,
}

/// A document of table `T` that a vector search found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Near<T: Table> {
    /// Its id.
    #[serde(rename = "_id")]
    pub id: DocumentId<T>,
    /// The cosine of the angle between its vector and the one that was searched, from -1 to 1.
    #[serde(rename = "_score")]
    pub score: f64,
}

impl VectorSearch {
    /// The documents whose vectors are nearest to this one.
    pub fn near(vector: impl Into<Vec<f64>>) -> VectorSearch {
        VectorSearch {
            vector: vector.into(),
            limit: None,
            filter: None,
        }
    }

    /// At most so many documents: 1 to 256. It is 10 where nothing is said.
    pub fn limit(self, limit: usize) -> VectorSearch {
        VectorSearch {
            limit: Some(limit as f64),
            ..self
        }
    }

    /// Only documents that `filter` lets pass.
    pub fn filter(self, filter: VectorFilter) -> VectorSearch {
        VectorSearch {
            filter: Some(filter),
            ..self
        }
    }
}

impl ActionCtx {
    /// The documents whose vectors are nearest, the nearest first, as of the newest commit. The documents themselves are for
    /// a query to read.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use vestibule_server::prelude::*;
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Movie { title: String, genre: String, embedding: Vec<f64> }
    ///
    /// impl Movie {
    ///     const BY_EMBEDDING: VectorIndex<Movie> = VectorIndex::new("by_embedding", "embedding", 2, &["genre"]);
    /// }
    ///
    /// impl Table for Movie {
    ///     const NAME: &'static str = "movies";
    ///     const VECTOR_INDEXES: &'static [VectorIndex<Movie>] = &[Movie::BY_EMBEDDING];
    /// }
    ///
    /// async fn comedies_like(ctx: ActionCtx, vector: Vec<f64>) -> Result<Vec<Near<Movie>>> {
    ///     let search = VectorSearch::near(vector).filter(VectorFilter::eq("genre", "comedy"));
    ///     ctx.vector_search(Movie::BY_EMBEDDING, search).await
    /// }
    /// ```
    pub async fn vector_search<T: Table>(
        &self,
        index: VectorIndex<T>,
        search: VectorSearch,
    ) -> Result<Vec<Near<T>>> {
        let VectorSearch {
            vector,
            limit,
            filter,
        } = search;
        let found = self.nearest(VectorQuery {
            table: T::NAME.to_owned(),
            index: index.name().to_owned(),
            vector,
            limit,
            filter,
        });
        let near = found.await?.into_iter().map(|Nearest { id, score }| Near {
            id: DocumentId::new(id.table(), id.internal()),
            score,
        });
        Ok(near.collect())
    }

    /// As [`Self::vector_search`], over any table.
    pub(super) async fn nearest(&self, query: VectorQuery) -> Result<Vec<Nearest>> {
        let functions = self.functions();
        let database = functions.database().clone();
        let admitted = functions.vector_searches.clone().acquire_owned().await;
        let admitted = admitted.map_err(|_| Error::new(SystemError::ShuttingDown))?;
        let found = functions.read_slowly(move |view| {
            // The search holds its place to its end, also when its action has ended.
            let _admitted = admitted;
            match nearest(view, database.environment(), &query) {
                Ok(found) => Ok(Ok(found)),
                Err(DatabaseError::Query(error)) => Ok(Err(error)),
                Err(DatabaseError::Storage(error)) => Err(SystemError::Storage(error)),
            }
        });
        found.await.map_err(Error::new)?.map_err(Error::plain)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use vestibule_schema::object;
    use vestibule_schema::table::{Schema, SearchIndex};
    use vestibule_schema::value::Value;

    use super::*;
    use crate::app::App;
    use crate::database::Document;
    use crate::functions::{MutationCtx, QueryCtx};
    use crate::testing::TestApp;

    #[derive(Serialize, Deserialize)]
    struct Note {
        owner: String,
        text: String,
        embedding: Vec<f64>,
    }

    impl Note {
        const BY_TEXT: SearchIndex<Note> = SearchIndex::new("by_text", "text", &["owner"]);
        const BY_EMBEDDING: VectorIndex<Note> =
            VectorIndex::new("by_embedding", "embedding", 2, &["owner"]);
    }

    impl Table for Note {
        const NAME: &'static str = "notes";
        const SEARCH_INDEXES: &'static [SearchIndex<Note>] = &[Note::BY_TEXT];
        const VECTOR_INDEXES: &'static [VectorIndex<Note>] = &[Note::BY_EMBEDDING];
    }

    #[derive(Deserialize)]
    struct Find {
        owner: String,
        text: String,
    }

    #[derive(Deserialize)]
    struct Similar {
        owner: Option<String>,
        vector: Vec<f64>,
    }

    fn add(ctx: &mut MutationCtx<'_>, note: Note) -> Result<DocumentId<Note>> {
        Ok(ctx.db().insert(note)?)
    }

    fn find(ctx: &mut QueryCtx<'_>, Find { owner, text }: Find) -> Result<Vec<String>> {
        let found = ctx.db().query::<Note>();
        let found = found.with_search_index(Note::BY_TEXT, |q| {
            q.search("text", &text).eq("owner", owner)
        });
        let found: Vec<Document<Note>> = found.take(20)?;
        Ok(found.into_iter().map(|note| note.value.text).collect())
    }

    async fn similar(
        ctx: ActionCtx,
        Similar { owner, vector }: Similar,
    ) -> Result<Vec<Near<Note>>> {
        let mut search = VectorSearch::near(vector).limit(2);
        if let Some(owner) = owner {
            search = search.filter(VectorFilter::eq("owner", owner));
        }
        ctx.vector_search(Note::BY_EMBEDDING, search).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn functions_in_rust_search_words_and_vectors() {
        let app = App::new(Schema::new().table::<Note>())
            .mutation("notes:add", add)
            .query("notes:find", find)
            .action("notes:similar", similar)
            .without_provisioning();
        let app = TestApp::start(app).await.unwrap();
        let ada = app.sign_in("ada").await.unwrap();
        let find = object! { "owner" => "ada", "text" => "fis" };
        let mut found = ada.subscribe::<Vec<String>>("notes:find", find).unwrap();
        assert!(found.next().await.unwrap().is_empty());
        let mut ids = Vec::new();
        for (owner, text, vector) in [
            ("bob", "a fish", [1.0, 0.0]),
            ("ada", "a fish", [0.0, 1.0]),
            ("ada", "a bird", [1.0, 1.0]),
        ] {
            let note = Note {
                owner: owner.to_owned(),
                text: text.to_owned(),
                embedding: vector.to_vec(),
            };
            ids.push(ada.mutation::<String>("notes:add", note).await.unwrap());
        }
        found.until(|found| found == &["a fish"]).await.unwrap();
        let near = |owner: Option<&str>| {
            let mut args = object! { "vector" => vec![Value::from(1.0), Value::from(0.1)] };
            args.extend(owner.map(|owner| ("owner".to_owned(), Value::from(owner))));
            ada.action::<Vec<Value>>("notes:similar", args)
        };
        let id = |found: &Value| found.as_object().unwrap()["_id"].clone();
        let all = near(None).await.unwrap();
        let all: Vec<Value> = all.iter().map(id).collect();
        assert_eq!(all, [&*ids[0], &*ids[2]].map(Value::from));
        let adas = near(Some("ada")).await.unwrap();
        let adas: Vec<Value> = adas.iter().map(id).collect();
        assert_eq!(adas, [&*ids[2], &*ids[1]].map(Value::from));
        let refused = ada.action::<Vec<Value>>(
            "notes:similar",
            object! { "vector" => vec![Value::from(1.0)] },
        );
        let refused = refused.await.unwrap_err().to_string();
        let text = "Expected a vector with dimensions 2, received 1.";
        assert!(refused.contains(text), "{refused}");
    }
}
