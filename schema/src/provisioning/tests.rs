//! The machine against its table of cases, and every short history of two people against the promise.

use std::collections::BTreeMap;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    steps: Vec<CaseStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseStep {
    event: Event,
    state: State,
    effects: Vec<Effect>,
}

#[test]
fn the_machine_does_what_the_table_of_cases_says() {
    let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let mut state = State::default();
        for (index, expected) in case.steps.into_iter().enumerate() {
            let (next, effects) = step(state, expected.event);
            assert_eq!(next, expected.state, "{}: step {index}", case.name);
            assert_eq!(effects, expected.effects, "{}: step {index}", case.name);
            state = next;
        }
    }
}

#[test]
fn work_is_admitted_by_the_state_it_arrives_in() {
    let ada = person(0);
    assert_eq!(State::default().admission(), Admission::Anonymous);
    let (state, _) = step(
        State::default(),
        Event::IdentityVerified {
            version: 1,
            key: ada,
        },
    );
    assert_eq!(state.admission(), Admission::Hold);
    let (open, _) = step(
        state.clone(),
        Event::Committed {
            version: 1,
            ts: Timestamp(5),
        },
    );
    assert_eq!(open.admission(), Admission::Run { at: Timestamp(5) });
    let (refused, _) = step(state, Event::Refused { version: 1 });
    assert_eq!(refused.admission(), Admission::Reject(Reason::Refused));
}

#[test]
fn every_short_history_of_two_people_keeps_the_promise() {
    let mut explorer = Explorer::default();
    explorer.visit(&World::default(), 6);
    // Each kind of end was really reached, so the assertions were not empty.
    assert!(explorer.histories > 1_000_000, "{}", explorer.histories);
    assert!(explorer.opened > 0 && explorer.rejected > 0 && explorer.ignored > 0);
}

fn person(number: u8) -> IdentityKey {
    IdentityKey::new(format!("https://issuer.example|{number}"))
}

/// An observer's knowledge of one connection's history, kept apart from the machine's own state.
#[derive(Clone, Default)]
struct World {
    state: State,
    /// The person presented under each version; `None` for a sign-out.
    presented: BTreeMap<IdentityVersion, Option<IdentityKey>>,
    /// Commits that arrived, by the version they answered.
    commits: Vec<(IdentityVersion, Timestamp)>,
    /// The version and person of each call that waits: one arrives after every event if the gate is closed.
    held: Vec<(IdentityVersion, IdentityKey)>,
    /// The versions for which a run was asked for.
    runs: Vec<IdentityVersion>,
}

#[derive(Default)]
struct Explorer {
    histories: u64,
    opened: u64,
    rejected: u64,
    ignored: u64,
}

impl Explorer {
    fn visit(&mut self, world: &World, depth: u32) {
        self.histories += 1;
        if depth == 0 {
            return;
        }
        for event in world.possible_events() {
            let mut next = world.clone();
            self.apply(&mut next, event);
            self.visit(&next, depth - 1);
        }
    }

    fn apply(&mut self, world: &mut World, event: Event) {
        let before = world.state.clone();
        world.observe(&event);
        let (state, effects) = step(before.clone(), event.clone());
        if is_out_of_date(&before, &event) {
            self.ignored += 1;
            assert_eq!(
                state, before,
                "an event of an older version changes nothing: {event:?}"
            );
            assert_eq!(effects, [], "and asks for nothing: {event:?}");
        }
        world.state = state;
        for effect in effects {
            match effect {
                Effect::RejectHeld { .. } => {
                    self.rejected += 1;
                    world.held.clear();
                }
                Effect::Run { version, key } => world.check_run(version, &key),
                Effect::Open { version, at } => {
                    self.opened += 1;
                    world.check_open(version, at);
                }
            }
        }
        world.check_refresh(&before, &event);
        world.check_rest();
        world.accept_call();
    }
}

/// Whether the event belongs to a version that is no longer, or not yet, the connection's.
fn is_out_of_date(state: &State, event: &Event) -> bool {
    let newest = state.version();
    match event {
        Event::IdentityVerified { version, .. }
        | Event::Refreshed { version, .. }
        | Event::SignedOut { version } => *version <= newest,
        Event::Committed { version, .. }
        | Event::Refused { version }
        | Event::Failed { version } => match state {
            State::Provisioning { run_version, .. } => *version < *run_version || *version > newest,
            State::Unprovisioned { .. } | State::Provisioned { .. } => true,
        },
        Event::Retried { version } => *version != newest,
    }
}

impl World {
    /// Everything that could happen next: news under the next version, and answers to any version.
    fn possible_events(&self) -> Vec<Event> {
        let newest = self.state.version();
        let mut events = vec![Event::Retried { version: newest }];
        for key in [person(0), person(1)] {
            events.push(Event::IdentityVerified {
                version: newest + 1,
                key: key.clone(),
            });
            events.push(Event::Refreshed {
                version: newest + 1,
                key,
            });
        }
        events.push(Event::SignedOut {
            version: newest + 1,
        });
        for version in 1..=newest {
            // Commits are numbered as they come, so that each one can be told apart.
            let ts = Timestamp(self.commits.len() as u64 + 1);
            events.push(Event::Committed { version, ts });
            events.push(Event::Refused { version });
            events.push(Event::Failed { version });
        }
        events
    }

    fn observe(&mut self, event: &Event) {
        match event {
            Event::IdentityVerified { version, key } | Event::Refreshed { version, key } => {
                self.presented.insert(*version, Some(key.clone()));
            }
            Event::SignedOut { version } => {
                self.presented.insert(*version, None);
            }
            Event::Committed { version, ts } => self.commits.push((*version, *ts)),
            Event::Refused { .. } | Event::Failed { .. } | Event::Retried { .. } => {}
        }
    }

    fn presented_under(&self, version: IdentityVersion) -> Option<&IdentityKey> {
        self.presented.get(&version).and_then(Option::as_ref)
    }

    /// A run is only asked for the newest identity, as the person who presented it.
    fn check_run(&mut self, version: IdentityVersion, key: &IdentityKey) {
        assert_eq!(version, self.state.version());
        assert_eq!(self.presented_under(version), Some(key));
        assert!(
            self.held.iter().all(|(_, held)| held == key),
            "nothing of another person waits for this run"
        );
        self.runs.push(version);
    }

    /// The gate opens for the newest version alone, at a commit that answers a run for the same person. No other person
    /// was presented in between. The waiting work runs as the person who sent it.
    fn check_open(&mut self, version: IdentityVersion, at: Timestamp) {
        assert_eq!(version, self.state.version());
        let key = self
            .presented_under(version)
            .expect("somebody is presented");
        let (answered, _) = *self
            .commits
            .iter()
            .rfind(|(_, ts)| *ts == at)
            .expect("the gate opens at a commit");
        let run_version = *self.runs.last().expect("a run was asked for");
        assert!((run_version..=version).contains(&answered));
        for between in run_version..=version {
            assert_eq!(self.presented_under(between), Some(key));
        }
        for (_, held) in &self.held {
            assert_eq!(held, key, "held work runs as the person who sent it");
        }
        self.held.clear();
    }

    /// A refresh by the same person neither closes an open gate nor gives up a run.
    fn check_refresh(&self, before: &State, event: &Event) {
        let Event::Refreshed { key, version } = event else {
            return;
        };
        if *version <= before.version() || before.key() != Some(key) {
            return;
        }
        match (before, &self.state) {
            (
                State::Provisioned {
                    committed_at: earlier,
                    ..
                },
                State::Provisioned { committed_at, .. },
            ) => assert_eq!(earlier, committed_at),
            (
                State::Provisioning {
                    run_version: earlier,
                    ..
                },
                State::Provisioning { run_version, .. },
            ) => assert_eq!(earlier, run_version),
            (State::Unprovisioned { .. }, State::Provisioning { .. }) => {}
            (before, after) => panic!("a refresh led from {before:?} to {after:?}"),
        }
    }

    /// The invariants between events.
    fn check_rest(&self) {
        self.check_late_news_changes_nothing();
        match &self.state {
            State::Unprovisioned { ended, version } => {
                assert_eq!(self.held, [], "nothing waits behind a gate that has ended");
                let ended_key = ended.as_ref().map(|ended| &ended.key);
                assert_eq!(self.presented_under(*version), ended_key);
            }
            State::Provisioning { version, key, .. } => {
                assert_eq!(self.presented_under(*version), Some(key));
                self.check_every_answer_ends_the_wait();
            }
            State::Provisioned {
                version,
                key,
                committed_at,
            } => {
                assert_eq!(self.held, [], "nothing waits behind an open gate");
                assert_eq!(self.presented_under(*version), Some(key));
                assert!(self.commits.iter().any(|(answered, ts)| {
                    ts == committed_at && self.presented_under(*answered) == Some(key)
                }));
            }
        }
    }

    fn check_late_news_changes_nothing(&self) {
        let version = self.state.version();
        let key = person(1);
        let late = [
            Event::IdentityVerified {
                version,
                key: key.clone(),
            },
            Event::Refreshed { version, key },
            Event::SignedOut { version },
        ];
        for event in late {
            assert!(is_out_of_date(&self.state, &event));
            assert_eq!(
                step(self.state.clone(), event),
                (self.state.clone(), vec![])
            );
        }
    }

    /// A closed gate ends with any answer to its newest version, and with a sign-out.
    fn check_every_answer_ends_the_wait(&self) {
        let version = self.state.version();
        let ends = [
            Event::Committed {
                version,
                ts: Timestamp::MAX,
            },
            Event::Refused { version },
            Event::Failed { version },
            Event::SignedOut {
                version: version + 1,
            },
        ];
        for event in ends {
            let (next, effects) = step(self.state.clone(), event);
            assert!(!matches!(next, State::Provisioning { .. }));
            assert!(matches!(
                effects[..],
                [Effect::Open { .. } | Effect::RejectHeld { .. }]
            ));
        }
    }

    /// A call arrives under the newest identity: it is held, run or rejected as the state says.
    fn accept_call(&mut self) {
        let version = self.state.version();
        match self.state.admission() {
            Admission::Anonymous => assert_eq!(self.presented_under(version), None),
            Admission::Reject(_) => {}
            Admission::Hold => {
                let key = self.state.key().expect("somebody waits").clone();
                self.held.push((version, key));
            }
            Admission::Run { at } => {
                let key = self.state.key().expect("somebody is let in");
                assert_eq!(self.presented_under(version), Some(key));
                assert!(self.commits.iter().any(|(_, ts)| *ts == at));
            }
        }
    }
}
