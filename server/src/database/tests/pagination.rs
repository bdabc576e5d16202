//! Pages: their borders, cursors and journals, and what happens at limits.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use vestibule_schema::object;

use super::*;

fn rooms() -> Schema {
    schema([table("rooms", &[("by_a", &["a"]), ("by_ab", &["a", "b"])])])
}

fn with(values: impl IntoIterator<Item = i32>) -> Rig {
    let mut rig = Rig::new(rooms());
    rig.commit(|tx| {
        for a in values {
            tx.insert("rooms", object! {"a" => a}).unwrap();
        }
    });
    rig
}

fn options(items: usize, cursor: Option<&str>) -> PaginationOptions {
    PaginationOptions {
        num_items: items as f64,
        cursor: cursor.map(str::to_string),
        ..PaginationOptions::default()
    }
}

fn try_page(
    rig: &Rig,
    query: &Query,
    options: &PaginationOptions,
) -> Result<RawPage, DatabaseError> {
    rig.query(|tx| super::super::pagination::paginate(tx, query, options, None))
        .0
}

fn page(rig: &Rig, query: &Query, options: &PaginationOptions) -> RawPage {
    try_page(rig, query, options).unwrap()
}

/// The same page again, as a subscription runs it.
fn again(rig: &Rig, query: &Query, options: &PaginationOptions, journal: &str) -> RawPage {
    let paginate = |tx: &mut Transaction<'_>| {
        super::super::pagination::paginate(tx, query, options, Some(journal))
    };
    rig.query(paginate).0.unwrap()
}

fn numbers(page: &RawPage) -> Vec<i32> {
    let number = |document: &RawDocument| document.fields["a"].as_f64().unwrap() as i32;
    page.page.iter().map(number).collect()
}

fn by_a() -> Query {
    index("rooms", "by_a")
}

fn only_even() -> Operator {
    let field = || Expression::field("a".parse().unwrap());
    let modulo = Expression::Arithmetic(
        Arithmetic::Modulo,
        Box::new(field()),
        Box::new(Expression::literal(2.0)),
    );
    Operator::Filter(Expression::compare(
        Comparison::Equal,
        modulo,
        Expression::literal(0.0),
    ))
}

#[test]
fn pages_follow_one_another_without_gap_or_overlap() {
    let rig = with(0..10);
    let first = page(&rig, &by_a(), &options(4, None));
    assert_eq!((numbers(&first), first.is_done), (vec![0, 1, 2, 3], false));
    let second = page(&rig, &by_a(), &options(4, Some(&first.continue_cursor)));
    assert_eq!(
        (numbers(&second), second.is_done),
        (vec![4, 5, 6, 7], false)
    );
    let third = page(&rig, &by_a(), &options(4, Some(&second.continue_cursor)));
    assert_eq!((numbers(&third), third.is_done), (vec![8, 9], true));
    let behind = page(&rig, &by_a(), &options(4, Some(&third.continue_cursor)));
    assert_eq!((numbers(&behind), behind.is_done), (vec![], true));
    assert_eq!(behind.continue_cursor, third.continue_cursor);
}

#[test]
fn a_page_that_ends_with_the_last_document_does_not_know_that_it_is_the_last() {
    let rig = with(0..4);
    let full = page(&rig, &by_a(), &options(4, None));
    assert_eq!((full.page.len(), full.is_done), (4, false));
    let empty = page(&rig, &by_a(), &options(4, Some(&full.continue_cursor)));
    assert_eq!((empty.page.len(), empty.is_done), (0, true));
    assert!(page(&rig, &by_a(), &options(5, None)).is_done);
}

#[test]
fn an_empty_or_unknown_table_is_done_at_once() {
    let rig = with([]);
    for query in [by_a(), Query::table("rooms"), Query::table("nowhere")] {
        let only = page(&rig, &query, &options(3, None));
        assert_eq!(
            (only.page.len(), only.is_done, only.split_cursor),
            (0, true, None)
        );
    }
    let refused = try_page(&rig, &index("rooms", "by_x"), &options(3, None));
    assert_eq!(text(refused), "Index rooms.by_x not found.");
}

#[test]
fn descending_pages_go_down() {
    let mut rig = with(0..7);
    let query = Query {
        order: Order::Desc,
        ..by_a()
    };
    let first = page(&rig, &query, &options(3, None));
    assert_eq!(numbers(&first), [6, 5, 4]);
    rig.insert("rooms", object! {"a" => 4});
    rig.insert("rooms", object! {"a" => 9});
    let second = page(&rig, &query, &options(3, Some(&first.continue_cursor)));
    assert_eq!(numbers(&second), [3, 2, 1]);
    let first = again(&rig, &query, &options(3, None), &first.continue_cursor);
    assert_eq!(numbers(&first), [9, 6, 5, 4, 4]);
    let third = page(&rig, &query, &options(3, Some(&second.continue_cursor)));
    assert_eq!((numbers(&third), third.is_done), (vec![0], true));
}

#[test]
fn a_live_page_keeps_its_borders() {
    let mut rig = with([0, 10, 20, 30, 40]);
    let first = page(&rig, &by_a(), &options(2, None));
    let start = first.continue_cursor.clone();
    let second = page(&rig, &by_a(), &options(2, Some(&start)));
    assert_eq!(
        (numbers(&first), numbers(&second)),
        (vec![0, 10], vec![20, 30])
    );

    rig.commit(|tx| {
        for a in [5, 25, 26, 35, -1] {
            tx.insert("rooms", object! {"a" => a}).unwrap();
        }
        // The border itself goes; its place stays.
        tx.delete(first.page[1].id).unwrap();
    });
    let first = again(&rig, &by_a(), &options(2, None), &start);
    assert_eq!(
        (numbers(&first), &first.continue_cursor),
        (vec![-1, 0, 5], &start)
    );
    let end = second.continue_cursor;
    let second = again(&rig, &by_a(), &options(2, Some(&start)), &end);
    assert_eq!(
        (numbers(&second), &second.continue_cursor),
        (vec![20, 25, 26, 30], &end)
    );
    assert!(!second.is_done);
}

#[test]
fn the_last_page_stays_open_ended() {
    let mut rig = with(0..3);
    let last = page(&rig, &by_a(), &options(5, None));
    assert!(last.is_done);
    rig.commit(|tx| {
        for a in 3..20 {
            tx.insert("rooms", object! {"a" => a}).unwrap();
        }
    });
    let grown = again(&rig, &by_a(), &options(5, None), &last.continue_cursor);
    assert_eq!((grown.page.len(), grown.is_done), (20, true));
}

#[test]
fn a_given_end_beats_the_journal() {
    let rig = with(0..10);
    let journal = page(&rig, &by_a(), &options(7, None)).continue_cursor;
    let end = page(&rig, &by_a(), &options(4, None)).continue_cursor;
    let options = PaginationOptions {
        end_cursor: Some(end.clone()),
        ..options(2, None)
    };
    let bounded = again(&rig, &by_a(), &options, &journal);
    assert_eq!(
        (numbers(&bounded), bounded.continue_cursor),
        (vec![0, 1, 2, 3], end)
    );
}

#[test]
fn a_page_depends_on_what_lies_between_its_borders() {
    let mut rig = with([0, 10, 20, 30, 40]);
    let start = page(&rig, &by_a(), &options(1, None)).continue_cursor;
    let options = options(2, Some(&start));
    let mut reads_of = |journal: Option<&str>| {
        let paginate = |tx: &mut Transaction<'_>| {
            super::super::pagination::paginate(tx, &by_a(), &options, journal).unwrap()
        };
        let (page, reads) = rig.query(paginate);
        let stale = [-5, 5, 15, 25].map(|a| {
            let (_, changes) = rig.run(|tx| tx.insert("rooms", object! {"a" => a}).unwrap());
            changes.touched.iter().any(|key| reads.contains(key))
        });
        (page.continue_cursor, stale)
    };
    let (end, stale) = reads_of(None);
    assert_eq!(stale, [false, true, true, false]);
    assert_eq!(reads_of(Some(&end)), (end, [false, true, true, false]));
}

#[test]
fn filtered_documents_move_the_page_on_without_filling_it() {
    let rig = with(0..10);
    let query = Query {
        operators: vec![only_even()],
        ..by_a()
    };
    let first = page(&rig, &query, &options(2, None));
    assert_eq!(numbers(&first), [0, 2]);
    let rest = page(&rig, &query, &options(9, Some(&first.continue_cursor)));
    assert_eq!((numbers(&rest), rest.is_done), (vec![4, 6, 8], true));
}

#[test]
fn a_page_offers_a_position_in_its_middle() {
    let rig = with(0..9);
    for (items, split_at) in [
        (1, None),
        (2, None),
        (3, Some(1)),
        (4, Some(2)),
        (9, Some(4)),
    ] {
        let whole = page(&rig, &by_a(), &options(items, None));
        let Some(split_at) = split_at else {
            assert_eq!(whole.split_cursor, None);
            continue;
        };
        let split = whole.split_cursor.clone().unwrap();
        let until = PaginationOptions {
            end_cursor: Some(split.clone()),
            ..options(items, None)
        };
        let lower = page(&rig, &by_a(), &until);
        assert_eq!(numbers(&lower).last(), Some(&split_at));
        let end_cursor = Some(whole.continue_cursor.clone());
        let upper = PaginationOptions {
            end_cursor,
            ..options(items, Some(&split))
        };
        let upper = page(&rig, &by_a(), &upper);
        assert_eq!([numbers(&lower), numbers(&upper)].concat(), numbers(&whole));
    }
}

#[test]
fn a_page_at_its_own_limits_is_cut_and_goes_on_behind_the_cut() {
    let rig = with(0..20);
    let rows = PaginationOptions {
        maximum_rows_read: Some(3.0),
        ..options(10, None)
    };
    let bytes_of_one = 2 + 38 + 23 + 2 + 9;
    let bytes = PaginationOptions {
        maximum_bytes_read: Some(f64::from(2 * bytes_of_one + 1)),
        ..options(10, None)
    };
    for mut options in [rows, bytes] {
        let mut seen = Vec::new();
        loop {
            let page = page(&rig, &by_a(), &options);
            seen.extend(numbers(&page));
            if page.is_done {
                break;
            }
            assert_eq!(
                (page.page.len(), page.page_status),
                (3, Some(PageStatus::SplitRequired))
            );
            options.cursor = Some(page.continue_cursor);
        }
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
    }
    // At least one document is read, whatever the limit; a page that is full was not cut.
    let least = PaginationOptions {
        maximum_bytes_read: Some(1.0),
        ..options(10, None)
    };
    assert_eq!(numbers(&page(&rig, &by_a(), &least)), [0]);
    let full = PaginationOptions {
        maximum_rows_read: Some(3.0),
        ..options(3, None)
    };
    assert_eq!(
        page(&rig, &by_a(), &full).page_status,
        Some(PageStatus::SplitRecommended)
    );
    let easy = PaginationOptions {
        maximum_rows_read: Some(4.0),
        ..options(3, None)
    };
    assert_eq!(page(&rig, &by_a(), &easy).page_status, None);
}

#[test]
fn filtered_documents_count_towards_the_limit_on_rows() {
    let rig = with((0..5).map(|n| 2 * n + 1));
    let query = Query {
        operators: vec![only_even()],
        ..by_a()
    };
    let options = PaginationOptions {
        maximum_rows_read: Some(2.0),
        ..options(1, None)
    };
    let cut = page(&rig, &query, &options);
    assert_eq!((cut.page.len(), cut.is_done), (0, false));
    assert_eq!(cut.page_status, Some(PageStatus::SplitRequired));
}

#[test]
fn a_page_that_meets_the_limits_of_its_execution_gives_what_it_has() {
    let mut rig = with(0..10);
    rig.environment.limits.documents_read_max = 6;
    let cut = page(&rig, &by_a(), &options(6, None));
    assert_eq!(
        (cut.page.len(), cut.page_status),
        (6, Some(PageStatus::SplitRecommended))
    );

    // With its end given, the page keeps it: the client splits to see the rest.
    rig.environment.limits.documents_read_max = 10;
    let whole = page(&rig, &by_a(), &options(9, None));
    rig.environment.limits.documents_read_max = 6;
    let cut = again(&rig, &by_a(), &options(6, None), &whole.continue_cursor);
    assert_eq!(numbers(&cut), [0, 1, 2, 3, 4, 5]);
    assert_eq!(cut.page_status, Some(PageStatus::SplitRequired));
    assert_eq!(cut.continue_cursor, whole.continue_cursor);
    let until = PaginationOptions {
        end_cursor: cut.split_cursor.clone(),
        ..options(6, None)
    };
    assert_eq!(numbers(&page(&rig, &by_a(), &until)), [0, 1, 2, 3]);

    // Nothing read, nothing to give.
    let (refused, _) = rig.query(|tx| {
        tx.take(&by_a(), 6).unwrap();
        super::super::pagination::paginate(tx, &by_a(), &options(6, None), None)
    });
    assert!(
        text(refused)
            .starts_with("Too many documents read in a single function execution (limit: 6).")
    );
}

#[test]
fn options_that_make_no_page_are_refused() {
    let rig = with([]);
    let items = |num_items| PaginationOptions {
        num_items,
        ..PaginationOptions::default()
    };
    let positive =
        |items: &str| format!("`options.numItems` must be a positive number. Received `{items}`.");
    let rows = |maximum| PaginationOptions {
        maximum_rows_read: Some(maximum),
        ..items(1.0)
    };
    let bytes = |maximum| PaginationOptions {
        maximum_bytes_read: Some(maximum),
        ..items(1.0)
    };
    let above_zero = "maximumRowsRead and maximumBytesRead must be greater than 0".to_string();
    for (options, expected) in [
        (
            items(0.0),
            "Must request at least 1 document while paginating".to_string(),
        ),
        (items(-1.0), positive("-1")),
        (items(1.5), positive("1.5")),
        (items(f64::NAN), positive("NaN")),
        (items(f64::INFINITY), positive("inf")),
        (
            items(32_001.0),
            "Requested too many items: 32001".to_string(),
        ),
        (rows(0.0), above_zero.clone()),
        (rows(f64::NAN), above_zero.clone()),
        (bytes(0.0), above_zero),
    ] {
        assert_eq!(text(try_page(&rig, &by_a(), &options)), expected);
    }
    page(&rig, &by_a(), &items(32_000.0));
    let limited = Query {
        operators: vec![Operator::Limit(3)],
        ..by_a()
    };
    let refused = try_page(&rig, &limited, &items(1.0));
    assert_eq!(text(refused), "A query with a limit cannot be paginated.");
}

#[test]
fn a_cursor_fits_the_query_it_came_from_and_no_other() {
    let rig = with(0..5);
    let a_is = |kind, value| range("rooms", "by_a", [bound(kind, "a", value)]);
    let filtered = |limit: f64| {
        let field = Expression::field("a".parse().unwrap());
        let filter = Expression::compare(Comparison::Less, field, Expression::literal(limit));
        Query {
            operators: vec![Operator::Filter(filter)],
            ..by_a()
        }
    };
    let queries = [
        by_a(),
        Query {
            order: Order::Desc,
            ..by_a()
        },
        index("rooms", "by_ab"),
        Query::table("rooms"),
        Query::table("nowhere"),
        a_is(BoundKind::Gte, 0),
        a_is(BoundKind::Gt, 0),
        a_is(BoundKind::Gte, -1),
        filtered(7.0),
        filtered(8.0),
    ];
    for (made_by, query) in queries.iter().enumerate() {
        let cursor = page(&rig, query, &options(1, None)).continue_cursor;
        for (used_by, query) in queries.iter().enumerate() {
            let start = options(1, Some(&cursor));
            let end = PaginationOptions {
                end_cursor: Some(cursor.clone()),
                ..options(1, None)
            };
            for options in [start, end] {
                let outcome = try_page(&rig, query, &options);
                match made_by == used_by {
                    true => drop(outcome.unwrap()),
                    false => assert!(
                        text(outcome).starts_with("InvalidCursor: "),
                        "{made_by} {used_by}"
                    ),
                }
            }
        }
    }
    let garbage = try_page(&rig, &by_a(), &options(1, Some("garbage")));
    assert!(text(garbage).starts_with("InvalidCursor: "));
}

#[test]
fn a_cursor_outlives_a_restart_and_the_rebuilding_of_its_index() {
    let rig = with(0..6);
    let cursor = page(&rig, &by_a(), &options(2, None)).continue_cursor;
    let rig = rig
        .reopen(schema([table("rooms", &[("by_ab", &["a", "b"])])]))
        .unwrap();
    let rig = rig.reopen(rooms()).unwrap();
    let next = page(&rig, &by_a(), &options(2, Some(&cursor)));
    assert_eq!(numbers(&next), [2, 3]);

    // Under the same name, but over other fields, it is another query's.
    let rig = rig
        .reopen(schema([table("rooms", &[("by_a", &["a", "b"])])]))
        .unwrap();
    let foreign = try_page(&rig, &by_a(), &options(2, Some(&cursor)));
    assert!(text(foreign).starts_with("InvalidCursor: "));
}

#[test]
fn a_cursor_holds_a_position_of_any_length() {
    let mut rig = Rig::new(rooms());
    for _ in 0..2 {
        rig.insert("rooms", object! {"a" => "\0".repeat(1_000_000)});
    }
    let first = page(&rig, &by_a(), &options(1, None));
    let second = page(&rig, &by_a(), &options(1, Some(&first.continue_cursor)));
    assert_eq!((first.page.len(), second.page.len()), (1, 1));
    assert_ne!(first.page[0].id, second.page[0].id);
}

#[derive(Clone, Debug)]
enum Step {
    Insert(i32),
    Delete(Index),
    Move(Index, i32),
    NextPage {
        items: usize,
        rows_max: Option<usize>,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..40).prop_map(Step::Insert),
        2 => any::<Index>().prop_map(Step::Delete),
        1 => (any::<Index>(), 0..40).prop_map(|(which, a)| Step::Move(which, a)),
        3 => next_page(),
    ]
}

fn next_page() -> impl Strategy<Value = Step> {
    (1..6_usize, option::weighted(0.3, 1..6_usize))
        .prop_map(|(items, rows_max)| Step::NextPage { items, rows_max })
}

/// A page as a client holds it.
struct Held {
    options: PaginationOptions,
    end: String,
    is_done: bool,
}

struct Client {
    query: Query,
    pages: Vec<Held>,
}

impl Client {
    fn is_done(&self) -> bool {
        self.pages.last().is_some_and(|page| page.is_done)
    }

    fn next_page(&mut self, rig: &Rig, items: usize, rows_max: Option<usize>) {
        if self.is_done() {
            return;
        }
        let cursor = self.pages.last().map(|page| page.end.as_str());
        let options = PaginationOptions {
            maximum_rows_read: rows_max.map(|rows| rows as f64),
            ..options(items, cursor)
        };
        let page = page(rig, &self.query, &options);
        assert!(page.page.len() <= items);
        let is_cut = page.page_status == Some(PageStatus::SplitRequired);
        assert!(page.is_done || is_cut || page.page.len() == items);
        let (end, is_done) = (page.continue_cursor, page.is_done);
        self.pages.push(Held {
            options,
            end,
            is_done,
        });
    }

    /// Everything it shows once every page has run again.
    fn shown(&self, rig: &Rig) -> Vec<RawDocument> {
        let mut shown = Vec::new();
        for Held {
            options,
            end,
            is_done,
        } in &self.pages
        {
            let page = again(rig, &self.query, options, end);
            assert_eq!((&page.continue_cursor, page.is_done), (end, *is_done));
            self.check_split(rig, options, &page);
            shown.extend(page.page);
        }
        shown
    }

    fn check_split(&self, rig: &Rig, options: &PaginationOptions, whole: &RawPage) {
        let Some(split) = &whole.split_cursor else {
            return;
        };
        let end_cursor = Some(split.clone());
        let lower = page(
            rig,
            &self.query,
            &PaginationOptions {
                end_cursor,
                ..options.clone()
            },
        );
        let (cursor, end_cursor) = (Some(split.clone()), Some(whole.continue_cursor.clone()));
        let upper = page(
            rig,
            &self.query,
            &PaginationOptions {
                cursor,
                end_cursor,
                ..options.clone()
            },
        );
        assert_eq!([lower.page, upper.page].concat(), whole.page);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn all_pages_of_a_changing_table_are_the_table_once_it_is_quiet(
        steps in vec(step(), 1..60),
        rest in next_page(),
        is_descending in any::<bool>(),
        is_filtered in any::<bool>(),
    ) {
        let query = Query {
            order: if is_descending { Order::Desc } else { Order::Asc },
            operators: if is_filtered { vec![only_even()] } else { Vec::new() },
            ..by_a()
        };
        let mut rig = with(0..10);
        let mut client = Client { query: query.clone(), pages: Vec::new() };
        let whole = |rig: &Rig, query: &Query| rig.query(|tx| tx.collect(query).unwrap()).0;
        for step in steps {
            let all = whole(&rig, &by_a());
            let pick = |which: Index| (!all.is_empty()).then(|| which.get(&all).id);
            match step {
                Step::Insert(a) => {
                    rig.insert("rooms", object! {"a" => a});
                }
                Step::Delete(which) => {
                    if let Some(id) = pick(which) {
                        rig.commit(|tx| tx.delete(id)).unwrap();
                    }
                }
                Step::Move(which, a) => {
                    if let Some(id) = pick(which) {
                        rig.commit(|tx| tx.replace(id, object! {"a" => a})).unwrap();
                    }
                }
                Step::NextPage { items, rows_max } => client.next_page(&rig, items, rows_max),
            }
        }
        let Step::NextPage { items, rows_max } = rest else { unreachable!("the strategy makes pages only") };
        while !client.is_done() {
            client.next_page(&rig, items, rows_max);
        }
        prop_assert_eq!(client.shown(&rig), whole(&rig, &query));
    }
}
