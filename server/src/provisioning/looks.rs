//! Looking for an identity's document, and waiting for it as for the answer of a live query. Two queries of the server's own
//! do the looking: what they read decides when they are asked again.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;
use vestibule_schema::object;
use vestibule_schema::table::IndexMethod;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value};
use vestibule_schema::wire::QueryId;

use super::plan::Plan;
use crate::auth::Caller;
use crate::database::{
    Bound, BoundKind, DatabaseError, Dependency, Order, Query, Source, Transaction,
};
use crate::deployment::provisioning::{DocumentRule, PROVISION_WHEN, PROVISION_WITH, Stated};
use crate::functions::{
    Call, CallSource, Function, FunctionOutcome, QueryCtx, QueryOutcome, Registry, Result,
    SystemError,
};
use crate::subscriptions::{
    LiveQueries, Moment, QueryResult, QuerySetChange, QuerySpec, Subscriber,
};

/// Documents of a table that are looked through while its index is being built.
pub const SCANNED_MAX: usize = 10_000;

const LOOK: &str = "_system/provisioning:look";
const UNMET: &str = "_system/provisioning:unmet";

/// The result of looking for a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Found,
    Missing,
    /// There is no such index, as after a push that has renamed it.
    NoIndex,
    /// The index is being built, and its table is too large to look through.
    Building,
}

impl Look {
    const ALL: [Look; 4] = [Look::Found, Look::Missing, Look::NoIndex, Look::Building];

    fn name(self) -> &'static str {
        match self {
            Look::Found => "found",
            Look::Missing => "missing",
            Look::NoIndex => "no index",
            Look::Building => "building",
        }
    }

    /// Reads what the query returned.
    pub fn read(result: &QueryResult) -> std::result::Result<Look, String> {
        Look::of(&result.outcome)
    }

    /// As [`Self::read`], of one run.
    pub fn of(outcome: &QueryOutcome) -> std::result::Result<Look, String> {
        let value = returned(outcome)?;
        let look = Look::ALL
            .into_iter()
            .find(|look| value.as_str() == Some(look.name()));
        look.ok_or_else(|| format!("looking for a document gave {value}"))
    }
}

fn returned(outcome: &QueryOutcome) -> std::result::Result<&Value, String> {
    match outcome {
        QueryOutcome::Done(FunctionOutcome::Returned(value)) => Ok(value),
        QueryOutcome::Done(FunctionOutcome::Threw(thrown)) => Err(thrown.message.clone()),
        QueryOutcome::Suspended => Err("a query of the server's own was suspended".to_owned()),
    }
}

/// The queries with which the gate looks, to be registered beside those of the app.
pub fn functions(stated: &Stated) -> Vec<Function> {
    let stated = stated.clone();
    let unmet = move |ctx: &mut QueryCtx<'_>, _: Value| unmet(ctx, &stated);
    vec![
        Function::query(LOOK, look).internal(),
        Function::query(UNMET, unmet).internal(),
    ]
}

/// The call that looks for the document whose indexed field equals `value`.
pub(super) fn look_call(rule: &DocumentRule, value: Value) -> Call {
    let args = object! {
        "table" => rule.table.as_str(),
        "index" => rule.index.as_str(),
        "value" => value,
    };
    Call {
        path: LOOK.parse().expect("the path is well formed"),
        args: Value::Object(args),
        caller: Caller::system(),
        source: CallSource::Function(None),
    }
}

/// The call that says what stands in the way of the rules.
fn unmet_call() -> Call {
    Call {
        path: UNMET.parse().expect("the path is well formed"),
        args: Value::Object(Object::new()),
        caller: Caller::system(),
        source: CallSource::Function(None),
    }
}

// ---- the queries -------------------------------------------------------------------------------------------

fn look(ctx: &mut QueryCtx<'_>, args: Value) -> Result<&'static str> {
    let args = args.into_object().unwrap_or_default();
    let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default();
    let (table, index) = (text("table").to_owned(), text("index").to_owned());
    let value = args.get("value").cloned();
    Ok(look_up(ctx.db().transaction(), &table, &index, value)?.name())
}

fn look_up(
    tx: &mut Transaction<'_>,
    table: &str,
    index: &str,
    value: Option<Value>,
) -> std::result::Result<Look, DatabaseError> {
    // Every change of the index is news.
    tx.record_catalog()?;
    let catalog = tx.catalog();
    let index = catalog.table(table).and_then(|table| table.index(index));
    let index = index.filter(|index| index.method == IndexMethod::Order);
    let Some((index, field)) = index.and_then(|index| Some((index, index.fields.first()?))) else {
        return Ok(Look::NoIndex);
    };
    if !index.ready {
        let documents = match tx.take(&Query::table(table.to_owned()), SCANNED_MAX + 1) {
            Ok(documents) => documents,
            Err(DatabaseError::Query(_)) => return Ok(Look::Building),
            Err(error) => return Err(error),
        };
        let is_found = documents
            .iter()
            .any(|document| field.lookup(&document.fields) == value.as_ref());
        return Ok(match (is_found, documents.len() > SCANNED_MAX) {
            (true, _) => Look::Found,
            (false, true) => Look::Building,
            (false, false) => Look::Missing,
        });
    }
    let bound = Bound {
        kind: BoundKind::Eq,
        field: field.to_string().into(),
        value,
    };
    let query = Query {
        table: table.to_owned().into(),
        source: Source::IndexRange {
            index: index.name.clone().into(),
            bounds: vec![bound],
        },
        order: Order::Asc,
        operators: Vec::new(),
    };
    match tx.take(&query, 1)?.is_empty() {
        true => Ok(Look::Missing),
        false => Ok(Look::Found),
    }
}

/// The sentence that says what stands in the way of the rules; null where nothing does.
fn unmet(ctx: &mut QueryCtx<'_>, stated: &Stated) -> Result<Value> {
    let tx = ctx.db().transaction();
    tx.record_catalog()?;
    let definitions = tx.definitions().clone();
    for name in [PROVISION_WITH, PROVISION_WHEN] {
        tx.depend_on(Dependency::Variable(name));
    }
    if let Ok(rules) = stated.rules(&Registry::of(&definitions).deployment().variables) {
        for module in rules.modules() {
            tx.depend_on(Dependency::Module(module));
        }
    }
    Ok(match Plan::of(stated, &definitions) {
        Plan::Unmet(sentence) => Value::String(sentence),
        Plan::Nothing | Plan::Steps(_) => Value::Null,
    })
}

// ---- waiting for them --------------------------------------------------------------------------------------

/// One of the queries, watched.
pub(super) struct Watch {
    subscriber: Subscriber,
    wake: Arc<Notify>,
    floor: Timestamp,
}

impl Watch {
    /// Watches a document. `None` when the deployment has no room for another live query.
    pub fn document(live: &Arc<LiveQueries>, rule: &DocumentRule, value: Value) -> Option<Watch> {
        Watch::begin(live, look_call(rule, value))
    }

    /// Watches what stands in the way of the rules.
    pub fn unmet(live: &Arc<LiveQueries>) -> Option<Watch> {
        Watch::begin(live, unmet_call())
    }

    fn begin(live: &Arc<LiveQueries>, call: Call) -> Option<Watch> {
        let wake = Arc::new(Notify::new());
        let floor = live.functions().database().durable_ts();
        let mut subscriber = Subscriber::new(live.clone(), call.caller, wake.clone());
        let spec = QuerySpec::new(call.path, call.args, None);
        let refused = subscriber.modify(QuerySetChange {
            added: BTreeMap::from([(QueryId(0), spec)]),
            ..QuerySetChange::default()
        });
        refused.is_empty().then_some(Watch {
            subscriber,
            wake,
            floor,
        })
    }

    /// Waits for an answer that was not given here before.
    pub async fn next(
        &mut self,
    ) -> std::result::Result<(Arc<QueryResult>, Timestamp), SystemError> {
        loop {
            match self.subscriber.assemble(self.floor, self.floor) {
                Moment::At { ts, changed } => {
                    if let Some((_, result)) = changed.into_iter().next() {
                        return Ok((result, ts));
                    }
                }
                Moment::NotYet => {}
                Moment::Failed(error) => return Err(error),
            }
            self.wake.notified().await;
        }
    }

    /// Waits until nothing stands in the way any more, or something else does.
    pub async fn until_changed(&mut self, known: &str) -> std::result::Result<(), SystemError> {
        loop {
            let (result, _) = self.next().await?;
            match returned(&result.outcome) {
                Ok(Value::String(sentence)) if sentence == known => {}
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    }
}
