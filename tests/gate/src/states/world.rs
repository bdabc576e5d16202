//! Three connections, the runs that they share and the documents that those make.

use std::cmp::Ordering;

use vestibule_schema::provisioning::{Reason, State};

use super::connection::{Answer, Asked, Connection, Facts, Machine, Person, Violation};

const CONNECTIONS: usize = 3;
/// Identities presented, refreshed or taken back on one connection.
const VERSIONS_MAX: u32 = 3;

/// How often what may happen: without an end there would be no end of states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Identities presented, refreshed or taken back, on all connections together.
    pub identities: u8,
    pub calls: u8,
    pub retries: u8,
    pub losses: u8,
    pub deletions: u8,
    /// Troubles of a run after which it tries again by itself.
    pub troubles: u8,
}

/// The single run, or one with a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SingleFlight {
    Sound,
    /// Of those who wait, one is not told.
    ForgetOne,
    /// A caller that joined takes any outcome.
    AnyOutcomeWillDo,
    /// It lands before it has committed.
    EndEarly,
    /// It runs as the other person.
    MixUpPeople,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Present(usize, Person),
    Refresh(usize, Person),
    SignOut(usize),
    Call(usize),
    Retry(usize),
    Lose(usize),
    Hear(usize, usize),
    Delete(Person),
    /// The run reads.
    Read(Person),
    /// The run commits, or has found that there is nothing to write.
    Commit(Person),
    Refuse(Person),
    /// The run is given up, by its deadline say, or is lost.
    Fail(Person),
    /// The run meets trouble and begins anew.
    Trouble(Person),
}

/// A run under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SharedRun {
    Begun,
    HasRead { at: u8 },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    connections: Vec<Connection>,
    runs: [Option<SharedRun>; 2],
    /// The people whose documents existed after each commit.
    documents: Vec<[bool; 2]>,
    budget: Budget,
    pub violation: Option<Violation>,
}

impl World {
    pub fn new(budget: Budget) -> World {
        World {
            connections: vec![Connection::new(); CONNECTIONS],
            runs: [None; 2],
            documents: vec![[false; 2]],
            budget,
            violation: None,
        }
    }

    fn newest(&self) -> u8 {
        u8::try_from(self.documents.len() - 1).expect("there are a few commits")
    }

    fn has_document(&self, person: Person, at: u8) -> bool {
        self.documents[usize::from(at)][person as usize]
    }

    fn write(&mut self, person: Person, exists: bool) {
        let mut documents = self.documents[usize::from(self.newest())];
        documents[person as usize] = exists;
        self.documents.push(documents);
    }

    // ---- what may happen ---------------------------------------------------------------------------------------

    pub fn possible(&self, actions: &mut Vec<Action>) {
        if self.violation.is_some() {
            return;
        }
        for (at, connection) in self.connections.iter().enumerate() {
            if !connection.is_lost {
                self.possible_on(at, connection, actions);
            }
        }
        for person in Person::ALL {
            if self.budget.deletions > 0 && self.has_document(person, self.newest()) {
                actions.push(Action::Delete(person));
            }
            match self.runs[person as usize] {
                None => {}
                Some(SharedRun::Begun) => {
                    actions.extend([Action::Read(person), Action::Fail(person)])
                }
                Some(SharedRun::HasRead { .. }) => {
                    actions.extend([
                        Action::Commit(person),
                        Action::Refuse(person),
                        Action::Fail(person),
                    ]);
                    if self.budget.troubles > 0 {
                        actions.push(Action::Trouble(person));
                    }
                }
            }
        }
    }

    fn possible_on(&self, at: usize, connection: &Connection, actions: &mut Vec<Action>) {
        let may_present = self.budget.identities > 0 && connection.gate.version() < VERSIONS_MAX;
        if may_present {
            for person in Person::ALL {
                actions.extend([Action::Present(at, person), Action::Refresh(at, person)]);
            }
            actions.push(Action::SignOut(at));
        }
        if self.budget.calls > 0 && connection.held.is_none() {
            actions.push(Action::Call(at));
        }
        let has_ended = matches!(
            &connection.gate,
            State::Unprovisioned { ended: Some(_), .. }
        );
        if self.budget.retries > 0 && has_ended {
            actions.push(Action::Retry(at));
        }
        if self.budget.losses > 0 {
            actions.push(Action::Lose(at));
        }
        for (position, asked) in connection.asked.iter().enumerate() {
            if asked.answer.is_some() {
                actions.push(Action::Hear(at, position));
            }
        }
    }

    // ---- what then happens -------------------------------------------------------------------------------------

    pub fn act(&mut self, action: Action, machine: Machine, runs: SingleFlight) {
        let facts = Facts {
            newest: self.newest(),
            documents: &self.documents,
        };
        let connections = &mut self.connections;
        let done = match action {
            Action::Present(at, person) => {
                self.budget.identities -= 1;
                connections[at].present(person, machine, &facts)
            }
            Action::Refresh(at, person) => {
                self.budget.identities -= 1;
                connections[at].refresh(person, machine, &facts)
            }
            Action::SignOut(at) => {
                self.budget.identities -= 1;
                connections[at].sign_out(machine, &facts)
            }
            Action::Call(at) => {
                self.budget.calls -= 1;
                connections[at].call(&facts)
            }
            Action::Retry(at) => {
                self.budget.retries -= 1;
                connections[at].retry(machine, &facts)
            }
            Action::Hear(at, position) => connections[at].hear(position, machine, &facts),
            Action::Lose(at) => {
                self.budget.losses -= 1;
                connections[at].lose();
                Ok(())
            }
            Action::Delete(person) => {
                self.budget.deletions -= 1;
                self.write(person, false);
                Ok(())
            }
            Action::Read(person) => {
                let at = self.newest();
                self.runs[person as usize] = Some(SharedRun::HasRead { at });
                Ok(())
            }
            Action::Trouble(person) => {
                self.budget.troubles -= 1;
                self.runs[person as usize] = Some(SharedRun::Begun);
                Ok(())
            }
            Action::Commit(person) => {
                self.commit(person, runs);
                Ok(())
            }
            Action::Refuse(person) => {
                if let Some(SharedRun::HasRead { at }) = self.runs[person as usize] {
                    self.end_run(person, Answer::Refused(at), runs);
                }
                Ok(())
            }
            Action::Fail(person) => {
                self.end_run(person, Answer::Failed, runs);
                Ok(())
            }
        };
        self.violation = done.err();
        self.start_runs();
    }

    /// A known person costs no commit; otherwise it runs on the lane, at the head.
    fn commit(&mut self, person: Person, runs: SingleFlight) {
        let Some(SharedRun::HasRead { at }) = self.runs[person as usize] else {
            return;
        };
        let made = match runs {
            SingleFlight::MixUpPeople => Person::ALL[1 - person as usize],
            _ => person,
        };
        let committed_at = match self.has_document(person, at) {
            true => at,
            false if runs == SingleFlight::EndEarly => at,
            false => {
                if !self.has_document(made, self.newest()) {
                    self.write(made, true);
                }
                self.newest()
            }
        };
        self.end_run(person, Answer::Committed(committed_at), runs);
    }

    /// Every waiter is told, unless it knows of a commit that the run has not seen: then the next run is its own.
    fn end_run(&mut self, person: Person, answer: Answer, runs: SingleFlight) {
        self.runs[person as usize] = None;
        if runs == SingleFlight::ForgetOne {
            self.forget_one(person);
        }
        let connections = self.connections.iter_mut();
        for asked in connections.flat_map(|connection| &mut connection.asked) {
            let suits = match answer {
                Answer::Committed(at) | Answer::Refused(at) => at >= asked.newest,
                Answer::Failed => true,
            } || runs == SingleFlight::AnyOutcomeWillDo;
            if asked.waits_for(person) && suits {
                asked.answer = Some(answer);
            }
        }
    }

    fn forget_one(&mut self, person: Person) {
        for connection in &mut self.connections {
            let forgotten = connection
                .asked
                .iter()
                .position(|asked| asked.waits_for(person));
            if let Some(forgotten) = forgotten {
                connection.asked.remove(forgotten);
                return;
            }
        }
    }

    /// Every waiter that is on no run starts one.
    fn start_runs(&mut self) {
        for person in Person::ALL {
            let is_wanted = self.waits().any(|asked| asked.waits_for(person));
            if self.runs[person as usize].is_none() && is_wanted {
                self.runs[person as usize] = Some(SharedRun::Begun);
            }
        }
    }

    fn waits(&self) -> impl Iterator<Item = &Asked> {
        self.connections
            .iter()
            .flat_map(|connection| &connection.asked)
    }

    /// Connections are alike: of all states that differ in their order alone, this one stands for all.
    pub fn in_order(mut self) -> World {
        self.connections.sort_by(compare);
        self
    }

    // ---- what is asked of it -----------------------------------------------------------------------------------

    /// A measure of what can still happen, which every step makes smaller: so every history ends.
    pub fn remaining(&self) -> u32 {
        let budget = &self.budget;
        let whims = budget.identities
            + budget.calls
            + budget.retries
            + budget.losses
            + budget.deletions
            + budget.troubles;
        let run = |run: &SharedRun| match run {
            SharedRun::Begun => 2,
            SharedRun::HasRead { .. } => 1,
        };
        let runs: u32 = self.runs.iter().flatten().map(run).sum();
        let waits: u32 = self
            .waits()
            .map(|asked| match asked.answer {
                Some(_) => 1,
                None if self.is_overtaken(asked) => 20,
                None => 10,
            })
            .sum();
        1000 * u32::from(whims) + runs + waits
    }

    /// Whether the run under way had read before a commit that the asker knows of.
    fn is_overtaken(&self, asked: &Asked) -> bool {
        matches!(self.runs[asked.person as usize], Some(SharedRun::HasRead { at }) if at < asked.newest)
    }

    /// Nothing can happen any more, and yet a gate is closed.
    pub fn is_dead_end(&self) -> bool {
        let is_stuck =
            |connection: &Connection| connection.is_closed() || connection.held.is_some();
        let mut actions = Vec::new();
        self.violation.is_none() && self.connections.iter().any(is_stuck) && {
            self.possible(&mut actions);
            !actions.iter().any(Action::is_the_servers)
        }
    }

    pub fn is_run_shared(&self) -> bool {
        let waiting = |connection: &&Connection| {
            connection
                .asked
                .iter()
                .any(|asked| asked.waits_for(Person::Ada))
        };
        self.connections.iter().filter(waiting).count() == CONNECTIONS
    }

    pub fn is_run_overtaken(&self) -> bool {
        self.waits()
            .any(|asked| asked.answer.is_none() && self.is_overtaken(asked))
    }

    pub fn is_answer_late(&self) -> bool {
        self.connections.iter().any(|connection| {
            let is_late =
                |asked: &Asked| asked.answer.is_some() && asked.version < connection.run_version;
            connection.asked.iter().any(is_late)
        })
    }

    pub fn is_refreshed_open(&self) -> bool {
        self.connections.iter().any(|connection| {
            matches!(connection.gate, State::Provisioned { version, .. } if version > connection.run_version)
        })
    }

    pub fn is_call_held_for(&self, person: Person) -> bool {
        self.connections
            .iter()
            .any(|connection| connection.held == Some(person))
    }
}

impl Action {
    /// Whether the server does it by itself, and not a person.
    fn is_the_servers(&self) -> bool {
        match self {
            Action::Hear(..)
            | Action::Read(_)
            | Action::Commit(_)
            | Action::Refuse(_)
            | Action::Fail(_) => true,
            Action::Present(..)
            | Action::Refresh(..)
            | Action::SignOut(_)
            | Action::Call(_)
            | Action::Retry(_)
            | Action::Lose(_)
            | Action::Delete(_)
            | Action::Trouble(_) => false,
        }
    }
}

impl Asked {
    fn waits_for(&self, person: Person) -> bool {
        self.answer.is_none() && self.person == person
    }
}

fn compare(one: &Connection, other: &Connection) -> Ordering {
    let rest = |connection: &Connection| {
        (
            connection.is_lost,
            connection.presented,
            connection.run_version,
            connection.held,
        )
    };
    rank(&one.gate)
        .cmp(&rank(&other.gate))
        .then_with(|| rest(one).cmp(&rest(other)))
        .then_with(|| one.asked.cmp(&other.asked))
}

fn rank(gate: &State) -> (u8, u32, u64) {
    match gate {
        State::Unprovisioned { version, ended } => {
            let ended = ended.as_ref().map_or(0, |ended| match ended.reason {
                Reason::Refused => 1,
                Reason::Failed => 2,
            });
            (0, *version, ended)
        }
        State::Provisioning {
            version,
            run_version,
            ..
        } => (1, *version, u64::from(*run_version)),
        State::Provisioned {
            version,
            committed_at,
            ..
        } => (2, *version, committed_at.0),
    }
}
