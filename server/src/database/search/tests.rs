//! Text search: its rules, its order, what makes a result stale, and random documents against a plain reading of the rules.

mod model;

use vestibule_schema::id::DocumentId;
use vestibule_schema::key::decode_key;
use vestibule_schema::object;
use vestibule_schema::table::{IndexDefinition, IndexMethod, Schema, TableDefinition};
use vestibule_schema::value::{Object, Value};

use super::super::building::DERIVED_STEP_ENTRIES_MAX;
use super::super::catalog::{Catalog, decode_entry, encode_entry};
use super::super::check::{Compared, Inconsistency, compare};
use super::super::pagination::{PaginationOptions, paginate};
use super::super::tests::{Rig, schema, table};
use super::super::{
    DatabaseError, Expression, Limits, Operator, PageBorders, Query, QueryError, RawDocument,
    ReadSet, Source, Transaction,
};
use super::compile::QUERY_TERMS_MAX;
use super::matching::{POSTINGS_READ_MAX, SEARCH_TERMS_MAX};
use super::*;
use crate::storage::Direction;

fn words(name: &str, fields: &[&str]) -> IndexDefinition {
    IndexDefinition {
        method: IndexMethod::Search,
        ..IndexDefinition::new(name, fields, false).unwrap()
    }
}

fn notes() -> Schema {
    let notes = TableDefinition {
        indexes: vec![words("by_text", &["text", "owner", "meta.kind"])],
        ..TableDefinition::new("notes")
    };
    schema([notes, table("rooms", &[("by_n", &["n"])])])
}

fn rig() -> Rig {
    Rig::new(notes())
}

fn note(text: &str, owner: &str) -> Object {
    object! { "text" => text, "owner" => owner }
}

fn text_of(text: &str) -> SearchFilter {
    SearchFilter::Search {
        field: "text".into(),
        text: text.into(),
    }
}

fn eq(field: &str, value: impl Into<Value>) -> SearchFilter {
    SearchFilter::Eq {
        field: field.to_string().into(),
        value: Some(value.into()),
    }
}

fn filtered(filters: Vec<SearchFilter>) -> Query {
    Query {
        source: Source::Search {
            index: "by_text".into(),
            filters,
        },
        ..Query::table("notes")
    }
}

fn search(text: &str) -> Query {
    filtered(vec![text_of(text)])
}

fn texts(found: &[RawDocument]) -> Vec<String> {
    let text = |found: &RawDocument| found.fields["text"].as_str().unwrap().to_string();
    found.iter().map(text).collect()
}

fn found(rig: &Rig, query: &Query) -> Vec<String> {
    texts(&rig.query(|tx| tx.collect(query).unwrap()).0)
}

fn refusal(rig: &Rig, query: &Query) -> String {
    let refused = rig.query(|tx| tx.collect(query)).0;
    refused.unwrap_err().to_string()
}

#[test]
fn a_search_finds_documents_with_one_of_its_words_the_best_first() {
    let mut rig = rig();
    for text in [
        "a whale",
        "a long tale of a white whale and of many other things",
        "the tale",
        "whale, whale, whale",
        "nothing",
    ] {
        rig.insert("notes", note(text, "ada"));
    }
    assert_eq!(
        found(&rig, &search("Whale!")),
        [
            "whale, whale, whale",
            "a whale",
            "a long tale of a white whale and of many other things",
        ]
    );
    assert_eq!(found(&rig, &search("white TALE")).len(), 2);
    assert_eq!(found(&rig, &search("")), [""; 0]);
    assert_eq!(found(&rig, &search("!?")), [""; 0]);
    assert_eq!(found(&rig, &search("missing")), [""; 0]);
}

#[test]
fn a_document_with_more_of_the_words_comes_first() {
    let mut rig = rig();
    rig.insert("notes", note("rare fish", "ada"));
    for _ in 0..9 {
        rig.insert("notes", note("some fish", "ada"));
    }
    assert_eq!(found(&rig, &search("fish rare x"))[0], "rare fish");
}

#[test]
fn a_word_comes_before_those_that_only_begin_so_however_many_have_it() {
    let mut rig = rig();
    for text in [
        "fish",
        "fish",
        "fishing",
        "fisher fishery fishing",
        "fishes fishes fishes",
    ] {
        rig.insert("notes", note(text, "ada"));
    }
    let all = [
        "fish",
        "fish",
        "fishes fishes fishes",
        "fishing",
        "fisher fishery fishing",
    ];
    assert_eq!(found(&rig, &search("fish")), all);
}

#[test]
fn equal_scores_go_from_the_newest_document_to_the_oldest() {
    let mut rig = rig();
    let ids: Vec<DocumentId> = ["one fish", "two fish", "red fish"]
        .map(|text| rig.insert("notes", note(text, "ada")))
        .into();
    let (got, _) = rig.query(|tx| tx.collect(&search("fish")).unwrap());
    let got: Vec<DocumentId> = got.iter().map(|found| found.id).collect();
    assert_eq!(got, [ids[2], ids[1], ids[0]]);
}

#[test]
fn the_last_word_may_be_the_beginning_of_one_and_then_counts_half() {
    let mut rig = rig();
    for text in ["whales", "wha", "what", "when"] {
        rig.insert("notes", note(text, "ada"));
    }
    assert_eq!(found(&rig, &search("wha")), ["wha", "what", "whales"]);
    assert_eq!(found(&rig, &search("wha zzz")), ["wha"]);
    assert_eq!(found(&rig, &search("zzz wha")).len(), 3);
}

#[test]
fn equalities_hold_exactly_and_undefined_is_a_value() {
    let mut rig = rig();
    let kind = |text: &str, kind: Option<Value>| {
        let meta = kind.map(|kind| object! { "kind" => kind });
        let mut fields = note(text, "ada");
        fields.extend(meta.map(|meta| ("meta".to_string(), Value::Object(meta))));
        fields
    };
    rig.insert("notes", kind("fish float", Some(Value::Float64(1.0))));
    rig.insert("notes", kind("fish integer", Some(Value::Int64(1))));
    rig.insert("notes", kind("fish null", Some(Value::Null)));
    rig.insert("notes", kind("fish missing", None));
    rig.insert("notes", note("fish of another", "bob"));
    let of = |filter: SearchFilter| found(&rig, &filtered(vec![text_of("fish"), filter]));
    assert_eq!(of(eq("meta.kind", 1.0)), ["fish float"]);
    assert_eq!(of(eq("meta.kind", Value::Int64(1))), ["fish integer"]);
    assert_eq!(of(eq("meta.kind", Value::Null)), ["fish null"]);
    assert_eq!(of(eq("owner", "bob")), ["fish of another"]);
    let missing = SearchFilter::Eq {
        field: "meta.kind".into(),
        value: None,
    };
    assert_eq!(of(missing.clone()).len(), 2);
    let both = filtered(vec![text_of("fish"), missing, eq("owner", "ada")]);
    assert_eq!(found(&rig, &both), ["fish missing"]);
    let never = filtered(vec![
        text_of("fish"),
        eq("owner", "ada"),
        eq("owner", "bob"),
    ]);
    assert_eq!(found(&rig, &never), [""; 0]);
}

#[test]
fn only_documents_whose_field_is_a_string_are_found() {
    let mut rig = rig();
    for text in [
        Value::Float64(1.0),
        Value::Null,
        Value::Array(vec!["fish".into()]),
    ] {
        rig.insert("notes", object! { "text" => text });
    }
    rig.insert("notes", object! { "owner" => "ada" });
    assert_eq!(found(&rig, &search("fish 1 null")), [""; 0]);
}

#[test]
fn a_search_that_breaks_a_rule_is_refused_in_known_words() {
    let rig = rig();
    let refused = |filters: Vec<SearchFilter>| refusal(&rig, &filtered(filters));
    assert_eq!(
        refused(vec![eq("owner", "ada")]),
        "Search query against notes.by_text does not contain any search filters. You must include a search filter like \
         `q.search(\"field\", searchText)`."
    );
    assert_eq!(
        refused(vec![text_of("a"), text_of("b")]),
        "Search query against notes.by_text contains multiple search filters against \"text\". Only one is allowed."
    );
    let body = SearchFilter::Search {
        field: "body".into(),
        text: "a".into(),
    };
    assert_eq!(
        refused(vec![body]),
        "Search query against notes.by_text contains a search filter against \"body\", which doesn't match the \
         indexed `searchField` \"text\"."
    );
    assert_eq!(
        refused(vec![text_of("a"), eq("x", "ada")]),
        "Search query against notes.by_text contains an equality filter on \"x\" but that field isn't indexed for \
         filtering in `filterFields`."
    );
    let nine = (0..9).map(|_| eq("owner", "ada")).chain([text_of("a")]);
    assert_eq!(
        refused(nine.collect()),
        "Search query against notes.by_text has too many filter conditions. Max: 8 Actual: 9"
    );
    let named = |table: &'static str, index: &'static str| {
        let source = Source::Search {
            index: index.into(),
            filters: vec![text_of("a")],
        };
        refusal(
            &rig,
            &Query {
                source,
                ..Query::table(table)
            },
        )
    };
    assert_eq!(
        named("rooms", "by_n"),
        "Index rooms.by_n is not a search index"
    );
    assert_eq!(
        named("rooms", "by_id"),
        "Index rooms.by_id is not a search index"
    );
    assert_eq!(named("rooms", "by_x"), "Index rooms.by_x not found.");
    assert_eq!(named("nowhere", "by_id"), "Index nowhere.by_id not found.");
    let ranged = Query {
        source: Source::IndexRange {
            index: "by_text".into(),
            bounds: Vec::new(),
        },
        ..Query::table("notes")
    };
    assert_eq!(
        refusal(&rig, &ranged),
        "Index notes.by_text is not a database index"
    );
}

#[test]
fn a_search_gives_1024_documents_and_says_so_when_asked_for_more() {
    let mut rig = rig();
    rig.commit(|tx| {
        for _ in 0..SEARCH_RESULTS_MAX {
            tx.insert("notes", note("fish", "ada")).unwrap();
        }
    });
    let taken = rig
        .query(|tx| tx.take(&search("fish"), SEARCH_RESULTS_MAX))
        .0;
    assert_eq!(taken.unwrap().len(), SEARCH_RESULTS_MAX);
    assert_eq!(
        refusal(&rig, &search("fish")),
        "Search query scanned too many documents (fetched 1024). Consider using a smaller limit, paginating the query, \
         or using a filter field to limit the number of documents pulled from the search index."
    );
    assert_eq!(found(&rig, &search("bird")), [""; 0]);
}

#[test]
fn filters_and_limits_apply_to_what_is_found() {
    let mut rig = rig();
    for owner in ["ada", "bob", "ada"] {
        rig.insert("notes", note("fish", owner));
    }
    let is_ada = Expression::compare(
        super::super::Comparison::Equal,
        Expression::field("owner".parse().unwrap()),
        Expression::Literal(Some("ada".into())),
    );
    let filtered = Query {
        operators: vec![Operator::Filter(is_ada), Operator::Limit(1)],
        ..search("fish")
    };
    assert_eq!(found(&rig, &filtered).len(), 1);
    let (unique, _) = rig.query(|tx| tx.unique(&search("fish")));
    let unique = unique.unwrap_err().to_string();
    assert!(
        unique.starts_with("unique() query returned more than one result"),
        "{unique}"
    );
    let usage = rig.query(|tx| {
        tx.take(&search("fish"), 2).unwrap();
        tx.usage().documents_read
    });
    assert_eq!(usage.0, 2);
}

#[test]
fn a_transaction_finds_its_own_writes_and_a_rollback_takes_them_back() {
    let mut rig = rig();
    let kept = rig.insert("notes", note("kept fish", "ada"));
    let gone = rig.insert("notes", note("gone fish", "ada"));
    rig.attempt(|tx| {
        tx.delete(gone).unwrap();
        tx.insert("notes", note("new fish", "ada")).unwrap();
        tx.patch(kept, object! { "text" => "changed fish" })
            .unwrap();
        let point = tx.savepoint();
        tx.insert("notes", note("nested fish", "ada")).unwrap();
        assert_eq!(tx.collect(&search("fish")).unwrap().len(), 3);
        tx.roll_back_to(point);
        let got = texts(&tx.collect(&search("fish")).unwrap());
        assert_eq!(got, ["new fish", "changed fish"]);
        assert_eq!(tx.collect(&search("kept")).unwrap(), []);
    });
    assert_eq!(found(&rig, &search("fish")), ["gone fish", "kept fish"]);
}

#[test]
fn a_search_that_stops_reading_early_depends_on_all_that_it_read() {
    let mut rig = rig();
    let with = |kind: &str| {
        let meta = object! { "kind" => kind };
        object! { "text" => "fish", "owner" => "ada", "meta" => meta }
    };
    rig.insert("notes", with("x"));
    // They are newer, so the list of Ada's documents begins with them.
    let others: Vec<DocumentId> = (0..3).map(|_| rig.insert("notes", with("y"))).collect();
    let filters = [text_of("fish"), eq("owner", "ada"), eq("meta.kind", "x")];
    let ranked = |rig: &Rig, postings_max: usize| {
        rig.query(|tx| {
            let mut search = compile("notes", "by_text", &filters, &tx.catalog()).unwrap();
            search.postings_max = postings_max;
            tx.ranked(&search).unwrap().len()
        })
    };
    let (found, whole) = ranked(&rig, POSTINGS_READ_MAX);
    assert_eq!(found, 1);
    // The word has half of them.
    let (found, cut) = ranked(&rig, 6);
    assert_eq!(found, 0);
    let unmarked = |tx: &mut Transaction<'_>| tx.delete(others[1]).unwrap();
    assert!(!makes_stale(&mut rig, &whole, unmarked));
    assert!(makes_stale(&mut rig, &cut, unmarked));
    rig.commit(unmarked);
    assert_eq!(ranked(&rig, 6).0, 1);
}

#[test]
fn a_rare_value_is_found_behind_a_frequent_one_whichever_field_has_it() {
    let mut rig = rig();
    let with = |owner: &str, kind: &str| {
        let meta = object! { "kind" => kind };
        object! { "text" => "fish", "owner" => owner, "meta" => meta }
    };
    rig.insert("notes", with("eve", "usual"));
    rig.insert("notes", with("ada", "rare"));
    // They are newer, so the lists of both frequent values begin with them.
    for _ in 0..40 {
        rig.insert("notes", with("ada", "usual"));
    }
    // With 64 entries in all, the shorter list ends while both are compared. With 16 it is only further. A word that only
    // begins so has a small part of the entries.
    for (postings_max, text) in [(64, "fish"), (16, "fish"), (512, "fi")] {
        for (owner, kind) in [("eve", "usual"), ("ada", "rare")] {
            let filters = [text_of(text), eq("owner", owner), eq("meta.kind", kind)];
            let (ranked, _) = rig.query(|tx| {
                let mut search = compile("notes", "by_text", &filters, &tx.catalog()).unwrap();
                search.postings_max = postings_max;
                tx.ranked(&search).unwrap().len()
            });
            assert_eq!(ranked, 1, "{postings_max} {text} {owner} {kind}");
        }
    }
}

#[test]
fn a_step_of_a_fill_goes_by_the_entries_that_it_writes() {
    let mut rig = rig();
    let words: Vec<String> = (0..DERIVED_STEP_ENTRIES_MAX / 4)
        .map(|at| format!("w{at}"))
        .collect();
    for _ in 0..5 {
        rig.insert("notes", note(&words.join(" "), "ada"));
    }
    let index = rig.commit(|tx| {
        let mut catalog = Catalog::clone(&tx.catalog());
        let mut table = catalog.table("notes").unwrap().as_ref().clone();
        let mut index = table.indexes[0].clone();
        index.id = catalog.next_index_id();
        index.name = "new".into();
        index.ready = false;
        table.indexes.push(index.clone());
        catalog.set(table);
        tx.set_catalog(catalog).unwrap();
        index
    });
    let mut steps = Vec::new();
    loop {
        let step = rig.commit(|tx| {
            let table = tx.catalog().table("notes").unwrap().clone();
            tx.fill_index(&table, &index, 256).unwrap()
        });
        steps.push(step.documents);
        if step.next.is_none() {
            break;
        }
    }
    // Each text has a quarter of the entries in each of three lists.
    assert_eq!(steps, [2, 2, 1]);
    let (entries, _) =
        rig.query(|tx| tx.scan_system(index.id.range(), Direction::Forward, 1 << 20));
    assert_eq!(entries.unwrap().len(), 5 * 3 * words.len());
}

/// Whether a commit of `body` would make a result stale.
fn makes_stale(rig: &mut Rig, reads: &ReadSet, body: impl FnOnce(&mut Transaction<'_>)) -> bool {
    let changes = rig.changes_of(body);
    changes.touched.iter().any(|key| reads.contains(key))
}

#[test]
fn an_unrelated_write_does_not_make_a_search_stale() {
    let mut rig = rig();
    let id = rig.insert("notes", note("a fish", "ada"));
    let other = rig.insert("notes", note("a bird", "ada"));
    let kind = object! { "kind" => "x" };
    let query = filtered(vec![
        text_of("fish whal"),
        eq("owner", "ada"),
        eq("meta.kind", "x"),
    ]);
    rig.commit(|tx| tx.patch(id, object! { "meta" => kind.clone() }).unwrap());
    let (got, reads) = rig.query(|tx| tx.collect(&query).unwrap());
    assert_eq!(got.len(), 1);
    let with = |text: &str, owner: &str, kind: &str| {
        object! { "text" => text, "owner" => owner, "meta" => object! { "kind" => kind } }
    };
    let inserts = |fields: Object| {
        move |tx: &mut Transaction<'_>| {
            tx.insert("notes", fields).unwrap();
        }
    };
    for unrelated in [
        with("a bird", "ada", "x"),
        with("wha", "ada", "x"),
        with("fish", "bob", "x"),
        with("fish", "ada", "y"),
        with("whales", "ada", "y"),
    ] {
        let shown = format!("{unrelated:?}");
        assert!(
            !makes_stale(&mut rig, &reads, inserts(unrelated)),
            "{shown}"
        );
    }
    for related in [with("fish", "ada", "x"), with("whale", "ada", "x")] {
        let shown = format!("{related:?}");
        assert!(makes_stale(&mut rig, &reads, inserts(related)), "{shown}");
    }
    let patches = |id: DocumentId, fields: Object| {
        move |tx: &mut Transaction<'_>| tx.patch(id, fields).unwrap()
    };
    // It is shown, so any change of it is news; so is one that makes another match.
    assert!(makes_stale(
        &mut rig,
        &reads,
        patches(id, object! { "n" => 1 })
    ));
    assert!(makes_stale(
        &mut rig,
        &reads,
        patches(id, object! { "owner" => "bob" })
    ));
    assert!(makes_stale(
        &mut rig,
        &reads,
        patches(other, with("fish", "ada", "x"))
    ));
    assert!(!makes_stale(
        &mut rig,
        &reads,
        patches(other, object! { "n" => 1 })
    ));
    assert!(!makes_stale(
        &mut rig,
        &reads,
        patches(other, object! { "text" => "birds" })
    ));
    assert!(makes_stale(&mut rig, &reads, |tx| tx.delete(id).unwrap()));
}

#[test]
fn pages_of_a_search_follow_one_another() {
    let mut rig = rig();
    for n in 0..7 {
        rig.insert("notes", note(&format!("fish {}", "x ".repeat(n)), "ada"));
    }
    let all = found(&rig, &search("fish"));
    let page = |cursor: Option<String>, end: Option<String>, items: f64| {
        let options = PaginationOptions {
            num_items: items,
            cursor,
            end_cursor: end,
            ..PaginationOptions::default()
        };
        rig.query(|tx| paginate(tx, &search("fish"), &options, None))
            .0
            .unwrap()
    };
    let (mut got, mut cursor, mut first) = (Vec::new(), None, None);
    loop {
        let next = page(cursor.clone(), None, 3.0);
        assert_eq!((next.split_cursor, next.page_status), (None, None));
        got.extend(texts(&next.page));
        first = first.or(Some(next.continue_cursor.clone()));
        cursor = Some(next.continue_cursor);
        if next.is_done {
            break;
        }
    }
    assert_eq!(got, all);
    let again = page(None, first.clone(), 1.0);
    assert_eq!(texts(&again.page), all[..3]);
    assert_eq!(again.continue_cursor, first.clone().unwrap());
    let options = PaginationOptions {
        num_items: 3.0,
        cursor: first,
        ..PaginationOptions::default()
    };
    let foreign = rig
        .query(|tx| paginate(tx, &search("other"), &options, None))
        .0;
    assert!(matches!(
        foreign,
        Err(DatabaseError::Query(QueryError::ForeignCursor))
    ));
    let borders = &mut PageBorders::default();
    let live = rig.query(|tx| {
        let options = PaginationOptions {
            num_items: 3.0,
            ..PaginationOptions::default()
        };
        tx.paginate(&search("fish"), &options, borders).unwrap()
    });
    assert_eq!(live.0.page.len(), 3);
}

#[test]
fn pages_keep_their_documents_when_others_that_match_come_and_go() {
    let mut rig = rig();
    for n in 0..6 {
        rig.insert("notes", note(&format!("fish {n}"), "ada"));
    }
    let page = |rig: &Rig, cursor: Option<&str>, end: Option<&str>| {
        let options = PaginationOptions {
            num_items: 3.0,
            cursor: cursor.map(str::to_owned),
            end_cursor: end.map(str::to_owned),
            ..PaginationOptions::default()
        };
        rig.query(|tx| paginate(tx, &search("fish"), &options, None))
            .0
            .unwrap()
    };
    let first = page(&rig, None, None);
    assert_eq!(texts(&first.page), ["fish 5", "fish 4", "fish 3"]);
    let end = Some(&*first.continue_cursor);
    let both =
        |rig: &Rig| [page(rig, None, end), page(rig, end, None)].map(|page| texts(&page.page));
    let second = ["fish 2", "fish 1", "fish 0"].map(str::to_owned);
    let new = rig.insert("notes", note("fish 6", "ada"));
    assert_eq!(
        both(&rig),
        [
            ["fish 6", "fish 5", "fish 4", "fish 3"]
                .map(str::to_owned)
                .to_vec(),
            second.to_vec()
        ]
    );
    rig.commit(|tx| {
        tx.delete(new).unwrap();
        tx.delete(first.page[0].id).unwrap();
    });
    assert_eq!(
        both(&rig),
        [
            ["fish 4", "fish 3"].map(str::to_owned).to_vec(),
            second.to_vec()
        ]
    );
}

#[test]
fn words_beyond_the_bounds_of_a_search_do_not_count() {
    let mut rig = rig();
    for n in 0..100 {
        rig.insert("notes", note(&format!("w{n:03}"), "ada"));
    }
    let sixteen: Vec<String> = (0..17).map(|n| format!("w{n:03}")).collect();
    assert_eq!(
        found(&rig, &search(&sixteen.join(" "))).len(),
        QUERY_TERMS_MAX
    );
    assert_eq!(found(&rig, &search("w")).len(), SEARCH_TERMS_MAX - 1);
}

#[test]
fn a_start_builds_an_index_over_the_documents_that_are_there_and_takes_it_away() {
    let plain = || schema([table("notes", &[]), table("rooms", &[])]);
    let mut rig = Rig::new(plain());
    for n in 0..3 {
        rig.insert("notes", note(&format!("fish number {n}"), "ada"));
    }
    let rig = rig.reopen(notes()).unwrap();
    assert_eq!(found(&rig, &search("fish")).len(), 3);
    assert_eq!(faults(&rig).0, [""; 0]);
    let rig = rig.reopen(plain()).unwrap();
    assert_eq!(
        refusal(&rig, &search("fish")),
        "Index notes.by_text not found."
    );
    assert_eq!(faults(&rig).0, [""; 0]);
}

#[test]
fn an_order_is_refused() {
    let backwards = Query {
        order: super::super::Order::Desc,
        ..search("fish")
    };
    assert_eq!(
        refusal(&rig(), &backwards),
        "Search queries must always be in relevance order. Can not set order manually."
    );
}

/// Everything that does not fit together, and how much was compared.
pub(in super::super) fn faults(rig: &Rig) -> (Vec<String>, Compared) {
    let mut faults = Vec::new();
    let (compared, _) = rig.query(|tx| {
        let catalog: std::sync::Arc<Catalog> = tx.catalog();
        let view = tx.view();
        compare(view, &catalog, &mut |fault: Inconsistency| {
            faults.push(fault.to_string())
        })
    });
    (faults, compared)
}

#[test]
fn a_check_finds_postings_that_are_missing_or_too_many() {
    let mut rig = rig();
    let id = rig.insert("notes", note("one fish", "ada"));
    let (found, compared) = faults(&rig);
    assert_eq!(found, [""; 0]);
    // Two words in three lists, and the document's creation time.
    assert_eq!(compared.index_entries, 2 * 3 + 1);
    let entries = rig
        .query(|tx| {
            let catalog = tx.catalog();
            let index = catalog.table("notes").unwrap().indexes[0].clone();
            let stored = tx.get_stored(id).unwrap().unwrap();
            index
                .derived_entries(stored.bytes(), id.internal())
                .unwrap()
        })
        .0;
    rig.commit(|tx| tx.write_system(entries[0].key.clone(), None));
    let (found, _) = faults(&rig);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("has no entry in index by_text"),
        "{found:?}"
    );
    rig.commit(|tx| tx.write_system(entries[0].key.clone(), Some(entries[0].value.clone())));
    let mut stray = entries[0].key.to_vec();
    stray[5] = b'z';
    rig.commit(|tx| tx.write_system(stray.into(), Some(entries[0].value.clone())));
    let (found, _) = faults(&rig);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("which has other values"), "{found:?}");
}

#[test]
fn a_catalog_entry_of_an_index_of_words_has_nothing_that_one_of_order_needs() {
    let table = rig()
        .query(|tx| tx.catalog().table("notes").unwrap().clone())
        .0;
    let (_, bytes) = encode_entry(&table);
    let decoded = decode_entry(&bytes).unwrap();
    assert_eq!(decoded.indexes, table.indexes);
    let Ok((Some(Value::Object(entry)), _)) = decode_key(&bytes) else {
        panic!("an entry is an object");
    };
    let Value::Array(indexes) = &entry["indexes"] else {
        panic!("its indexes are an array");
    };
    // A version that knows no other indexes refuses to open the file for want of this one.
    assert!(!indexes[0].as_object().unwrap().contains_key("fields"));
}

#[test]
fn the_entries_that_a_transaction_writes_are_bounded_and_a_refused_write_leaves_none() {
    let limits = Limits {
        index_entries_written_max: 12,
        ..Limits::default()
    };
    let mut rig = Rig::with_limits(notes(), limits);
    rig.attempt(|tx| {
        let point = tx.savepoint();
        // Two words in three lists.
        let id = tx.insert("notes", note("one fish", "ada")).unwrap();
        assert_eq!(tx.usage().index_entries_written, 6);
        tx.patch(id, object! { "n" => 1 }).unwrap();
        assert_eq!(tx.usage().index_entries_written, 6);
        let refused = tx.insert("notes", note("a b c", "ada")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "Too many entries of search and vector indexes written in a single function execution (limit: 12). Each \
             distinct word of a text is an entry, once for the table and once for each filter field."
        );
        assert_eq!(tx.collect(&search("b fish")).unwrap().len(), 1);
        tx.roll_back_to(point);
        assert_eq!(tx.usage().index_entries_written, 0);
    });
}

#[test]
fn a_document_that_stays_as_it_was_found_writes_no_postings() {
    let mut rig = rig();
    let id = rig.insert("notes", note("one fish two fish", "ada"));
    let writes = |rig: &mut Rig, fields: Object| {
        let changes = rig.changes_of(|tx| tx.patch(id, fields).unwrap());
        changes.writes.len()
    };
    assert_eq!(writes(&mut rig, object! { "n" => 1 }), 1);
    // The same words as often in another order.
    assert_eq!(
        writes(&mut rig, object! { "text" => "fish two fish one" }),
        1
    );
    // A word goes and another comes, in three lists.
    assert_eq!(
        writes(&mut rig, object! { "text" => "one bird two bird" }),
        1 + 2 * 3
    );
}
