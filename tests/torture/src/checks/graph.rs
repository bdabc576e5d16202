//! The graph: which transaction must have come before which, from the values that each read and wrote, as Elle infers
//! it. A cycle shows that no serial order explains the history. Timestamps of the server are not looked at, unless asked
//! for.
//!
//! Each list, account, side and group is an object with versions: version `n` is its state after `n` changes. Each result
//! tells which version a step met, so the order of writers is known without a guess.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::Event;
use crate::steps::{Kind, SIDES, other_side};

/// Why one event comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    /// It wrote the version that the other replaced.
    WriteWrite,
    /// It wrote the version that the other read.
    WriteRead,
    /// It read the version that the other replaced.
    ReadWrite,
    /// Its answer came before the other was sent.
    RealTime,
    /// Both are of one session, in this order.
    Session,
    /// Its timestamp is smaller.
    Timestamp,
}

/// The sizes of a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GraphCounts {
    /// Transactions and reads.
    pub events: u64,
    /// Edges of all kinds.
    pub edges: u64,
}

/// The effect of a step on an object.
struct Access {
    object: String,
    version: u64,
    writes: bool,
    /// The content of the object, where the result tells it: the values of a list in order, the members of a group.
    content: Option<Vec<String>>,
}

/// The effect of an event on an object, all steps together.
#[derive(Clone, Copy)]
struct Touch {
    /// The version that it met.
    first: u64,
    writes: u64,
}

/// The events and the order that they must have had.
pub struct Graph<'e> {
    events: &'e [Event],
    /// Edges from each node. Nodes after the events are moments.
    out: Vec<Vec<(usize, Edge)>>,
    touches: BTreeMap<String, Vec<(usize, Touch)>>,
    /// The value that each writer put into a list or group, by object and version.
    written: BTreeMap<(String, u64), String>,
    breaches: Vec<String>,
}

impl<'e> Graph<'e> {
    /// The graph of a history without the server's timestamps.
    pub fn new(events: &'e [Event]) -> Graph<'e> {
        let mut graph = Graph {
            events,
            out: vec![Vec::new(); events.len()],
            touches: BTreeMap::new(),
            written: BTreeMap::new(),
            breaches: Vec::new(),
        };
        let accounts = accounts(events);
        let mut contents = Vec::new();
        for node in 0..events.len() {
            graph.add_event(node, &accounts, &mut contents);
        }
        graph.check_contents(&contents);
        graph.add_versions();
        graph.add_sessions();
        graph.add_real_time();
        graph
    }

    /// Adds the order of the server's timestamps.
    pub fn with_timestamps(mut self) -> Graph<'e> {
        let mut known: Vec<(u64, bool, usize)> = Vec::new();
        for (node, event) in self.events.iter().enumerate() {
            // Reads of a timestamp come after its commit.
            known.extend(event.ts.map(|ts| (ts.0, !event.is_mutation, node)));
        }
        known.sort_unstable();
        for pair in known.windows(2) {
            let [(ts, _, before), (next_ts, is_read, after)] = pair else {
                unreachable!("windows of two")
            };
            if ts == next_ts && !is_read {
                let (one, other) = (&self.events[*before].id, &self.events[*after].id);
                self.breaches
                    .push(format!("{one} and {other} committed at one timestamp"));
            }
            self.add(*before, *after, Edge::Timestamp);
        }
        self
    }

    /// The events in an order that has all edges forward, and what speaks against there being one.
    pub fn order(mut self) -> (Vec<usize>, Vec<String>, GraphCounts) {
        let mut incoming = vec![0_u32; self.out.len()];
        let edges = self.out.iter().map(|out| out.len() as u64).sum();
        for (to, _) in self.out.iter().flatten() {
            incoming[*to] += 1;
        }
        let free = (0..self.out.len()).filter(|node| incoming[*node] == 0);
        let mut free: BinaryHeap<Reverse<usize>> = free.map(Reverse).collect();
        let mut order = Vec::new();
        let mut placed = 0;
        while let Some(Reverse(node)) = free.pop() {
            placed += 1;
            order.extend((node < self.events.len()).then_some(node));
            for (to, _) in &self.out[node] {
                incoming[*to] -= 1;
                if incoming[*to] == 0 {
                    free.push(Reverse(*to));
                }
            }
        }
        if placed < self.out.len() {
            let cycle = self.cycle(&incoming);
            self.breaches.push(cycle);
        }
        let counts = GraphCounts {
            events: self.events.len() as u64,
            edges,
        };
        (order, self.breaches, counts)
    }

    fn add(&mut self, from: usize, to: usize, edge: Edge) {
        if from != to {
            self.out[from].push((to, edge));
        }
    }

    fn add_event(
        &mut self,
        node: usize,
        accounts: &BTreeSet<String>,
        contents: &mut Vec<(usize, Access)>,
    ) {
        let event = &self.events[node];
        let mut touches: BTreeMap<String, Touch> = BTreeMap::new();
        let Some(accesses) = accesses(event, accounts) else {
            self.breaches
                .push(format!("{event:?} has no readable result"));
            return;
        };
        for access in accesses {
            let touch = touches.entry(access.object.clone()).or_insert(Touch {
                first: access.version,
                writes: 0,
            });
            if touch.first + touch.writes != access.version {
                let (id, object) = (&event.id, &access.object);
                self.breaches
                    .push(format!("{id} saw {object} change within itself: {event:?}"));
            }
            touch.writes += u64::from(access.writes);
            if access.writes {
                let value = access.content.as_ref().and_then(|content| content.last());
                let value = value.cloned().unwrap_or_default();
                let place = (access.object.clone(), access.version + 1);
                self.written.entry(place).or_insert(value);
            } else if access.content.is_some() {
                contents.push((node, access));
            }
        }
        for (object, touch) in touches {
            self.touches.entry(object).or_default().push((node, touch));
        }
    }

    /// Each value of a list that was read is the one that the writer of its version put there.
    fn check_contents(&mut self, contents: &[(usize, Access)]) {
        for (node, access) in contents {
            let read = access.content.as_deref().unwrap_or_default();
            let written = (1..=access.version).map(|version| {
                let place = (access.object.clone(), version);
                self.written.get(&place).map_or("", String::as_str)
            });
            let mut written: Vec<&str> = written.collect();
            let mut read: Vec<&str> = read.iter().map(String::as_str).collect();
            // Members of a group are told by their names.
            if access.object.starts_with("group ") {
                written.sort_unstable();
                read.sort_unstable();
            }
            if written != read {
                let (id, object) = (&self.events[*node].id, &access.object);
                self.breaches.push(format!(
                    "{id} read {object} as {read:?}; written was {written:?}"
                ));
            }
        }
    }

    fn add_versions(&mut self) {
        let touches = std::mem::take(&mut self.touches);
        for (object, touches) in &touches {
            // The event that made each version.
            let mut makers: BTreeMap<u64, usize> = BTreeMap::new();
            for (node, touch) in touches {
                for version in touch.first + 1..=touch.first + touch.writes {
                    if let Some(other) = makers.insert(version, *node) {
                        let (one, other) = (&self.events[other].id, &self.events[*node].id);
                        self.breaches.push(format!(
                            "{one} and {other} both made {object} version {version}"
                        ));
                    }
                }
            }
            for (node, touch) in touches {
                let is_write = touch.writes > 0;
                match makers.get(&touch.first) {
                    Some(maker) if is_write => self.add(*maker, *node, Edge::WriteWrite),
                    Some(maker) => self.add(*maker, *node, Edge::WriteRead),
                    None if touch.first == 0 => {}
                    None => {
                        let (id, version) = (&self.events[*node].id, touch.first);
                        self.breaches.push(format!(
                            "{id} met {object} version {version}, which nobody made"
                        ));
                    }
                }
                if !is_write && let Some(next) = makers.get(&(touch.first + 1)) {
                    self.add(*node, *next, Edge::ReadWrite);
                }
            }
        }
    }

    fn add_sessions(&mut self) {
        let mut sessions: BTreeMap<(usize, u32), usize> = BTreeMap::new();
        for (node, event) in self.events.iter().enumerate() {
            sessions.extend(event.session.map(|place| (place, node)));
        }
        let places: Vec<_> = sessions.into_iter().collect();
        for pair in places.windows(2) {
            let [((session, _), before), ((other, _), after)] = pair else {
                unreachable!("windows of two")
            };
            if session == other {
                self.add(*before, *after, Edge::Session);
            }
        }
    }

    /// An answer comes before everything that is sent after it. Nodes for the moments of answers, one after the other,
    /// say so with few edges.
    fn add_real_time(&mut self) {
        let mut answers: Vec<(u64, usize)> = Vec::new();
        for (node, event) in self.events.iter().enumerate() {
            answers.extend(event.ended.map(|ended| (ended, node)));
        }
        answers.sort_unstable();
        let first = self.out.len();
        self.out.resize(first + answers.len(), Vec::new());
        for (place, (_, node)) in answers.iter().enumerate() {
            self.add(*node, first + place, Edge::RealTime);
            if place > 0 {
                self.add(first + place - 1, first + place, Edge::RealTime);
            }
        }
        for (node, event) in self.events.iter().enumerate() {
            let Some(begun) = event.begun else { continue };
            let before = answers.partition_point(|(ended, _)| *ended < begun);
            if before > 0 {
                self.add(first + before - 1, node, Edge::RealTime);
            }
        }
    }

    /// A short cycle among the nodes that could not be placed, in words.
    fn cycle(&self, incoming: &[u32]) -> String {
        let is_left = |node: &usize| incoming[*node] > 0;
        let left: Vec<usize> = (0..self.out.len()).filter(is_left).collect();
        let mut shortest: Option<Vec<(usize, Edge)>> = None;
        const STARTS_MAX: usize = 50;
        for start in left.iter().take(STARTS_MAX) {
            let found = self.cycle_from(*start, incoming);
            let is_shorter = |found: &Vec<_>| {
                let shortest = shortest.as_ref();
                shortest.is_none_or(|known: &Vec<_>| found.len() < known.len())
            };
            shortest = found.filter(is_shorter).or(shortest);
        }
        let mut words = String::from("a cycle:");
        for (node, edge) in shortest.unwrap_or_default() {
            match self.events.get(node) {
                Some(event) => {
                    let Event {
                        id,
                        steps,
                        results,
                        ts,
                        ..
                    } = event;
                    words += &format!("\n  {id} at {ts:?}: {steps:?} = {results:?}\n    {edge:?}");
                }
                None => words += " …",
            }
        }
        words
    }

    fn cycle_from(&self, start: usize, incoming: &[u32]) -> Option<Vec<(usize, Edge)>> {
        let mut came: BTreeMap<usize, (usize, Edge)> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for (to, edge) in &self.out[node] {
                if incoming[*to] == 0 || (came.contains_key(to) && *to != start) {
                    continue;
                }
                came.entry(*to).or_insert((node, *edge));
                if *to == start {
                    let mut cycle = Vec::new();
                    let mut at = start;
                    loop {
                        let (before, edge) = came[&at];
                        cycle.push((before, edge));
                        at = before;
                        if at == start {
                            cycle.reverse();
                            return Some(cycle);
                        }
                    }
                }
                queue.push_back(*to);
            }
        }
        None
    }
}

/// The accounts that transfers name.
fn accounts(events: &[Event]) -> BTreeSet<String> {
    let steps = events.iter().flat_map(|event| &event.steps);
    let transfers = steps.filter(|step| step.kind == Kind::Transfer);
    transfers
        .flat_map(|step| [step.key.clone(), step.other.clone()])
        .collect()
}

fn split(text: &str) -> Vec<String> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts.map(String::from).collect()
}

/// The accesses of an event, in the order of its steps, or nothing where a result is none that the app gives.
fn accesses(event: &Event, accounts: &BTreeSet<String>) -> Option<Vec<Access>> {
    let mut all = Vec::new();
    let mut add = |object: String, version: u64, writes: bool, content| {
        all.push(Access {
            object,
            version,
            writes,
            content,
        });
    };
    if event.steps.len() != event.results.len() {
        return None;
    }
    for (step, result) in event.steps.iter().zip(&event.results) {
        let key = &step.key;
        match step.kind {
            Kind::Append => {
                let value = Some(vec![step.other.clone()]);
                add(format!("list {key}"), result.parse().ok()?, true, value);
            }
            Kind::Read => {
                let values = split(result);
                add(
                    format!("list {key}"),
                    values.len() as u64,
                    false,
                    Some(values),
                );
            }
            Kind::Transfer => {
                let (from, to) = result.split_once(',')?;
                add(format!("account {key}"), from.parse().ok()?, true, None);
                let other = &step.other;
                add(format!("account {other}"), to.parse().ok()?, true, None);
            }
            Kind::Total => {
                let mut changes = BTreeMap::new();
                for account in split(result) {
                    let (rest, count) = account.rsplit_once(':')?;
                    let (name, _) = rest.split_once(':')?;
                    changes.insert(name.to_string(), count.parse().ok()?);
                }
                for name in accounts {
                    let version = changes.get(name).copied().unwrap_or(0);
                    add(format!("account {name}"), version, false, None);
                }
            }
            Kind::Leave | Kind::Return => {
                let parts = split(result);
                let [own, other, was_on, is_on] = &parts[..] else {
                    return None;
                };
                let (side, pair) = (&step.other, &step.key);
                debug_assert!(SIDES.contains(&side.as_str()));
                let other_side = other_side(side);
                add(
                    format!("side {pair} {other_side}"),
                    other.parse().ok()?,
                    false,
                    None,
                );
                let writes = was_on != is_on;
                add(
                    format!("side {pair} {side}"),
                    own.parse().ok()?,
                    writes,
                    None,
                );
            }
            Kind::Join => {
                let before = split(result);
                let (object, version) = (format!("group {key}"), before.len() as u64);
                add(object.clone(), version, false, Some(before));
                if version < u64::from(step.amount) {
                    add(object, version, true, Some(vec![event.id.clone()]));
                }
            }
            Kind::Members => {
                let names = split(result);
                add(
                    format!("group {key}"),
                    names.len() as u64,
                    false,
                    Some(names),
                );
            }
            Kind::Schedule => {}
        }
    }
    Some(all)
}
