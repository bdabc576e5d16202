//! Vector search: its rules, its order, and random vectors against a plain computation.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::table::{IndexDefinition, IndexMethod, Schema, TableDefinition};
use vestibule_schema::value::{Object, Value};

use super::super::search::tests::faults;
use super::super::tests::{Rig, schema, table};
use super::compile::VECTOR_RESULTS_DEFAULT;
use super::*;

const DIMENSIONS: u32 = 3;

fn movies() -> Schema {
    let index = IndexDefinition {
        method: IndexMethod::Vector {
            dimensions: DIMENSIONS,
        },
        ..IndexDefinition::new("by_emb", &["emb", "genre", "year"], false).unwrap()
    };
    let movies = TableDefinition {
        indexes: vec![index],
        ..TableDefinition::new("movies")
    };
    schema([movies, table("rooms", &[("by_n", &["n"])])])
}

fn movie(emb: impl IntoIterator<Item = f64>, genre: &str) -> Object {
    let emb: Vec<Value> = emb.into_iter().map(Value::Float64).collect();
    object! { "emb" => Value::Array(emb), "genre" => genre }
}

fn near(vector: impl Into<Vec<f64>>) -> VectorQuery {
    VectorQuery {
        table: "movies".to_owned(),
        index: "by_emb".to_owned(),
        vector: vector.into(),
        limit: None,
        filter: None,
    }
}

fn run(rig: &Rig, query: &VectorQuery) -> Result<Vec<Nearest>, String> {
    let found = rig
        .query(|tx| nearest(tx.view(), tx.environment(), query))
        .0;
    found.map_err(|error| error.to_string())
}

fn ids(rig: &Rig, query: &VectorQuery) -> Vec<DocumentId> {
    let found = run(rig, query).unwrap();
    found.iter().map(|found| found.id).collect()
}

#[test]
fn the_nearest_come_first_and_length_does_not_matter() {
    let mut rig = Rig::new(movies());
    let far = rig.insert("movies", movie([-1.0, 0.0, 0.0], "a"));
    let same = rig.insert("movies", movie([1e-200, 0.0, 0.0], "a"));
    let aside = rig.insert("movies", movie([1e200, 1e200, 0.0], "a"));
    let none = rig.insert("movies", movie([0.0, 0.0, 0.0], "a"));
    let endless = rig.insert("movies", movie([f64::INFINITY, 0.0, 0.0], "a"));
    let found = run(&rig, &near([5.0, 0.0, 0.0])).unwrap();
    let scores: Vec<f64> = found.iter().map(|found| found.score).collect();
    let got: Vec<DocumentId> = found.iter().map(|found| found.id).collect();
    let mut without = [none, endless];
    without.sort_by_key(|id| std::cmp::Reverse(id.internal().0));
    assert_eq!(got, [same, aside, without[0], without[1], far]);
    assert_eq!([scores[0], scores[4]], [1.0, -1.0]);
    assert!((scores[1] - 0.5_f64.sqrt()).abs() < 1e-6, "{scores:?}");
}

#[test]
fn only_arrays_of_as_many_floats_are_found() {
    let mut rig = Rig::new(movies());
    for emb in [
        Value::Null,
        Value::from("text"),
        Value::Array(vec![]),
        Value::Array(vec![Value::Float64(1.0); 2]),
        Value::Array(vec![Value::Float64(1.0); 4]),
        Value::Array(vec![Value::Int64(1); 3]),
    ] {
        rig.insert("movies", object! { "emb" => emb });
    }
    rig.insert("movies", object! { "genre" => "a" });
    assert_eq!(run(&rig, &near([1.0, 0.0, 0.0])), Ok(Vec::new()));
}

#[test]
fn a_search_that_breaks_a_rule_is_refused_in_known_words() {
    let mut rig = Rig::new(movies());
    rig.insert("rooms", object! { "n" => 1 });
    let refused = |change: fn(&mut VectorQuery)| {
        let mut query = near([1.0, 0.0, 0.0]);
        change(&mut query);
        run(&rig, &query).unwrap_err()
    };
    assert_eq!(
        refused(|query| query.limit = Some(300.0)),
        "Vector queries can fetch at most 256 results, requested 300."
    );
    assert_eq!(
        refused(|query| query.limit = Some(0.0)),
        "The limit of a vector query must be a positive integer, not 0."
    );
    assert_eq!(
        refused(|query| query.vector = vec![1.0, 2.0]),
        "Expected a vector with dimensions 3, received 2."
    );
    assert_eq!(
        refused(|query| query.filter = Some(VectorFilter::eq("title", "x"))),
        "Vector query against movies.by_emb contains a filter on \"title\" but that field isn't indexed for filtering \
         in `filterFields`."
    );
    assert_eq!(
        refused(|query| {
            let many = (0..65).map(|_| ("genre".to_owned(), None));
            query.filter = Some(many.collect());
        }),
        "Vector query against movies.by_emb has too many conditions. Max: 64 Actual: 65"
    );
    assert_eq!(
        refused(|query| query.index = "by_x".to_owned()),
        "Index movies.by_x not found."
    );
    assert_eq!(
        refused(|query| query.index = "by_id".to_owned()),
        "Index movies.by_id is not a vector index"
    );
    assert_eq!(
        refused(|query| (query.table, query.index) = ("rooms".to_owned(), "by_n".to_owned())),
        "Index rooms.by_n is not a vector index"
    );
    let mut nowhere = near([1.0, 0.0, 0.0]);
    nowhere.table = "nowhere".to_owned();
    assert_eq!(run(&rig, &nowhere), Ok(Vec::new()));
}

#[test]
fn any_equality_of_a_filter_lets_a_document_pass() {
    let mut rig = Rig::new(movies());
    let comedy = rig.insert("movies", movie([1.0, 0.0, 0.0], "comedy"));
    let drama = rig.insert("movies", movie([1.0, 0.1, 0.0], "drama"));
    let mut old = movie([1.0, 0.2, 0.0], "western");
    old.insert("year".to_owned(), Value::Float64(1950.0));
    let old = rig.insert("movies", old);
    let of = |filter: VectorFilter| {
        let mut query = near([1.0, 0.0, 0.0]);
        query.filter = Some(filter);
        ids(&rig, &query)
    };
    let genre = |genre: &str| VectorFilter::eq("genre", genre);
    assert_eq!(of(genre("comedy")), [comedy]);
    assert_eq!(of(genre("comedy").or(genre("western"))), [comedy, old]);
    assert_eq!(
        of(genre("drama").or(VectorFilter::eq("year", 1950.0))),
        [drama, old]
    );
    assert_eq!(
        of(genre("western").or(VectorFilter::eq("year", 1950.0))),
        [old]
    );
    assert_eq!(of(VectorFilter::eq("year", None::<f64>)), [comedy, drama]);
    assert_eq!(of(genre("none")), []);
    assert_eq!(of(VectorFilter::from_iter([])), []);
}

#[test]
fn a_search_gives_ten_documents_where_it_does_not_say() {
    let mut rig = Rig::new(movies());
    for n in 0..20 {
        rig.insert("movies", movie([1.0, f64::from(n), 0.0], "a"));
    }
    let mut query = near([1.0, 0.0, 0.0]);
    assert_eq!(ids(&rig, &query).len(), VECTOR_RESULTS_DEFAULT);
    query.limit = Some(3.0);
    assert_eq!(ids(&rig, &query).len(), 3);
    query.limit = Some(256.0);
    assert_eq!(ids(&rig, &query).len(), 20);
}

#[derive(Clone, Debug)]
struct Step {
    /// The document to change, of those that are there; else a new one.
    which: Option<proptest::sample::Index>,
    /// `None` takes the document away.
    fields: Option<Object>,
    is_folded: bool,
}

fn vector() -> impl Strategy<Value = Vec<f64>> {
    vec(select(vec![-2.0, -1.0, 0.0, 0.5, 1.0]), DIMENSIONS as usize)
}

fn step() -> impl Strategy<Value = Step> {
    let fields = (vector(), select(vec!["a", "b"])).prop_map(|(emb, genre)| movie(emb, genre));
    let parts = (
        option::of(any::<proptest::sample::Index>()),
        option::weighted(0.9, fields),
        any::<bool>(),
    );
    parts.prop_map(|(which, fields, is_folded)| Step {
        which,
        fields,
        is_folded,
    })
}

/// The scores of all documents of a genre, the best first.
fn expected(rig: &Rig, query: &VectorQuery, genre: Option<&str>) -> Vec<(DocumentId, f64)> {
    let all = rig
        .query(|tx| tx.collect(&super::super::Query::table("movies")).unwrap())
        .0;
    let taken = all.iter().filter(|movie| {
        let found = movie.fields.get("genre").and_then(Value::as_str);
        genre.is_none_or(|genre| found == Some(genre))
    });
    let mut scored: Vec<(DocumentId, f64)> = taken
        .map(|movie| {
            let Value::Array(emb) = &movie.fields["emb"] else {
                panic!("every movie has a vector");
            };
            let emb: Vec<f64> = emb.iter().map(|number| number.as_f64().unwrap()).collect();
            let length = |vector: &[f64]| vector.iter().map(|n| n * n).sum::<f64>().sqrt();
            let product: f64 = emb.iter().zip(&query.vector).map(|(a, b)| a * b).sum();
            let lengths = length(&emb) * length(&query.vector);
            let cosine = if lengths > 0.0 {
                product / lengths
            } else {
                0.0
            };
            (movie.id, cosine)
        })
        .collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    scored
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn searches_find_what_a_plain_computation_finds(
        steps in vec(step(), 1..12),
        vector in vector(),
        genre in option::of(select(vec!["a", "b"])),
    ) {
        let mut rig = Rig::new(movies());
        for Step { which, fields, is_folded } in steps {
            rig.commit(|tx| {
                let all = tx.collect(&super::super::Query::table("movies")).unwrap();
                let id = which.filter(|_| !all.is_empty()).map(|which| which.get(&all).id);
                match (id, fields) {
                    (Some(id), Some(fields)) => tx.replace(id, fields).unwrap(),
                    (Some(id), None) => tx.delete(id).unwrap(),
                    (None, Some(fields)) => drop(tx.insert("movies", fields).unwrap()),
                    (None, None) => {}
                }
            });
            if is_folded {
                rig.fold();
            }
        }
        let mut query = near(vector);
        query.limit = Some(256.0);
        query.filter = genre.map(|genre| VectorFilter::eq("genre", genre));
        let found = run(&rig, &query).unwrap();
        let expected = expected(&rig, &query, genre);
        prop_assert_eq!(found.len(), expected.len());
        for (found, (_, score)) in found.iter().zip(&expected) {
            prop_assert!((found.score - score).abs() < 1e-6, "{:?} {:?}", found, expected);
        }
        for pair in found.windows(2) {
            let in_order = pair[0].score > pair[1].score
                || pair[0].score == pair[1].score && pair[0].id.internal().0 > pair[1].id.internal().0;
            prop_assert!(in_order, "{:?}", pair);
        }
        prop_assert_eq!(faults(&rig).0, Vec::<String>::new());
    }
}
