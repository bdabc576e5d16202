//! The expected database, kept beside it by the functions themselves: each commit's whole state by timestamp, and every
//! query again in plain Rust.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use vestibule_schema::timestamp::Timestamp;

use super::super::harness::Valve;

/// The state behind one commit.
#[derive(Clone, Default)]
pub struct World {
    /// Values by (group, key).
    pub items: BTreeMap<(u32, String), f64>,
    /// Names by subject.
    pub users: BTreeMap<String, String>,
}

/// A person, with the claims of one auth token.
#[derive(Clone, Debug, PartialEq)]
pub struct Who {
    pub subject: String,
    pub name: String,
    pub email: String,
}

/// Where a page ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Border {
    After(String),
    End,
}

/// A mutation that ran: its timestamp and its identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Executed {
    pub ts: Timestamp,
    pub subject: Option<String>,
}

/// The functions' reports to the test.
#[derive(Default)]
pub struct History {
    worlds: Mutex<BTreeMap<Timestamp, Arc<World>>>,
    /// By the tag that each call carries.
    pub executed: Mutex<BTreeMap<String, Vec<Executed>>>,
    /// When each subject was provisioned first.
    pub ensured: Mutex<BTreeMap<String, Timestamp>>,
    /// Each look at an identity: by whom, and the commit it was seen from.
    pub looks: Mutex<Vec<(String, Timestamp)>>,
    /// Page borders by their cursor.
    pub borders: Mutex<BTreeMap<String, Border>>,
    pub ensuring: Arc<Valve>,
}

impl History {
    /// Notes what a commit changed.
    pub fn commit(&self, ts: Timestamp, change: impl FnOnce(&mut World)) {
        let mut worlds = self.worlds.lock();
        let mut world = worlds
            .last_key_value()
            .map_or_else(World::default, |(_, world)| World::clone(world));
        change(&mut world);
        worlds.insert(ts, Arc::new(world));
    }

    /// The state as of a timestamp.
    pub fn at(&self, ts: Timestamp) -> Arc<World> {
        let worlds = self.worlds.lock();
        worlds
            .range(..=ts)
            .next_back()
            .map_or_else(Arc::default, |(_, world)| world.clone())
    }

    /// Every state there was.
    pub fn newest(&self) -> Arc<World> {
        self.at(Timestamp(u64::MAX))
    }
}

/// A query of the random runs.
#[derive(Clone, Debug)]
pub enum Spec {
    Get {
        group: u32,
        key: String,
    },
    Range {
        group: u32,
        from: String,
        to: String,
    },
    Count {
        group: u32,
    },
    Page {
        group: u32,
        items: u32,
        cursor: Option<String>,
    },
    /// Throws for some states.
    Flaky {
        group: u32,
    },
    /// Looks at the identity.
    Me,
    /// Looks at the identity in some states.
    Maybe {
        group: u32,
    },
    /// Looks at other claims in other states.
    Claims {
        group: u32,
    },
}

/// The expected result of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Value(Json),
    /// It threw this data.
    Threw(Json),
}

impl Spec {
    pub fn path(&self) -> &'static str {
        match self {
            Spec::Get { .. } => "items:get",
            Spec::Range { .. } => "items:range",
            Spec::Count { .. } => "items:count",
            Spec::Page { .. } => "items:page",
            Spec::Flaky { .. } => "items:flaky",
            Spec::Me => "users:me",
            Spec::Maybe { .. } => "items:maybe",
            Spec::Claims { .. } => "items:claims",
        }
    }

    pub fn args(&self) -> Json {
        match self {
            Spec::Get { group, key } => json!({ "group": group, "key": key }),
            Spec::Range { group, from, to } => json!({ "group": group, "from": from, "to": to }),
            Spec::Count { group }
            | Spec::Flaky { group }
            | Spec::Maybe { group }
            | Spec::Claims { group } => {
                json!({ "group": group })
            }
            Spec::Page {
                group,
                items,
                cursor,
            } => {
                json!({ "group": group, "paginationOpts": { "numItems": items, "cursor": cursor } })
            }
            Spec::Me => json!({}),
        }
    }

    /// Whether it may look at the identity.
    pub fn may_look(&self) -> bool {
        matches!(self, Spec::Me | Spec::Maybe { .. } | Spec::Claims { .. })
    }

    /// The expected result in `world` for `who`; pages by the journal that came with their result.
    pub fn evaluate(
        &self,
        world: &World,
        who: Option<&Who>,
        journal: Option<&str>,
        history: &History,
    ) -> Told {
        let subject = who.map(|who| who.subject.as_str());
        let of = |group: &u32| {
            let group = *group;
            world
                .items
                .iter()
                .filter(move |((of, _), _)| *of == group)
                .map(|((_, key), value)| (key, *value))
        };
        match self {
            Spec::Get { group, key } => Told::Value(
                world
                    .items
                    .get(&(*group, key.clone()))
                    .map_or(Json::Null, |value| json!(value)),
            ),
            Spec::Range { group, from, to } => Told::Value(json!(
                of(group)
                    .filter(|(key, _)| *key >= from && *key < to)
                    .collect::<Vec<_>>()
            )),
            Spec::Count { group } => Told::Value(json!(of(group).count() as f64)),
            Spec::Flaky { group } => match of(group).count() {
                count if count % 3 == 0 => Told::Threw(json!({ "count": count as f64 })),
                count => Told::Value(json!(count as f64)),
            },
            Spec::Page { group, cursor, .. } => {
                let borders = history.borders.lock();
                let border = |cursor: &str| {
                    borders
                        .get(cursor)
                        .cloned()
                        .expect("every cursor has been made by a run")
                };
                let (start, end) = (
                    cursor.as_deref().map(border),
                    border(journal.expect("a page has a journal")),
                );
                let is_in = |key: &String| {
                    let is_behind_start = match &start {
                        None => true,
                        Some(Border::After(start)) => key > start,
                        Some(Border::End) => false,
                    };
                    is_behind_start && !matches!(&end, Border::After(end) if key > end)
                };
                let keys: Vec<&String> = of(group)
                    .map(|(key, _)| key)
                    .filter(|key| is_in(key))
                    .collect();
                Told::Value(json!({ "page": keys, "isDone": end == Border::End }))
            }
            Spec::Me => match subject.map(|subject| world.users.get(subject)) {
                None => Told::Value(Json::Null),
                Some(Some(name)) => Told::Value(json!(name)),
                Some(None) => Told::Threw(json!({ "code": "UserNotFound" })),
            },
            Spec::Maybe { group } => match of(group).count() {
                count if count % 2 == 0 => Told::Value(json!(count.to_string())),
                count => Told::Value(json!(format!("{count} {}", subject.unwrap_or("nobody")))),
            },
            Spec::Claims { group } => {
                let Some(Who {
                    subject,
                    name,
                    email,
                }) = who
                else {
                    return Told::Value(json!("nobody"));
                };
                Told::Value(json!(match of(group).count() % 4 {
                    0 => subject.clone(),
                    1 => name.clone(),
                    2 => email.clone(),
                    _ => format!("{name} {email}"),
                }))
            }
        }
    }
}
