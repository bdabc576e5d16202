//! One connection around the real machine: its owner's work for it, and an observer's checks of it.

use std::sync::LazyLock;

use vestibule_schema::identity::IdentityKey;
use vestibule_schema::provisioning::{Admission, Effect, Event, IdentityVersion, State};
use vestibule_schema::timestamp::Timestamp;

/// `schema::provisioning::step`, or a broken machine in its place.
pub type Machine = fn(State, Event) -> (State, Vec<Effect>);

/// An invariant that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// Work ran as a person before a commit for them, or by a commit from before they came.
    G1,
    /// An answer for an older identity version changed something.
    G4,
    /// Work ran as another person than its sender, or waits to.
    G7,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Person {
    Ada,
    Grace,
}

impl Person {
    pub const ALL: [Person; 2] = [Person::Ada, Person::Grace];

    pub fn key(self) -> IdentityKey {
        static KEYS: LazyLock<[IdentityKey; 2]> =
            LazyLock::new(|| ["ada", "grace"].map(|name| IdentityKey::new(name.to_string())));
        KEYS[self as usize].clone()
    }

    fn of(key: &IdentityKey) -> Person {
        match *key == Person::Ada.key() {
            true => Person::Ada,
            false => Person::Grace,
        }
    }
}

/// How a run ended, as a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    Committed(u8),
    Refused(u8),
    Failed,
}

impl Answer {
    fn event(self, version: IdentityVersion) -> Event {
        match self {
            Answer::Committed(ts) => Event::Committed {
                version,
                ts: Timestamp(ts.into()),
            },
            Answer::Refused(_) => Event::Refused { version },
            Answer::Failed => Event::Failed { version },
        }
    }
}

/// A connection waits for a run, or was answered and does not know yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asked {
    pub version: IdentityVersion,
    pub person: Person,
    /// The newest commit when it asked.
    pub newest: u8,
    pub answer: Option<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    pub gate: State,
    /// A lost connection does nothing more.
    pub is_lost: bool,
    pub presented: Option<Person>,
    /// The version since which the person's run is awaited or done: answers for older versions are ignored.
    pub run_version: IdentityVersion,
    /// Its requests, those it has given up included, as if they could not be taken back.
    pub asked: Vec<Asked>,
    /// A call that waits, and who sent it.
    pub held: Option<Person>,
}

/// The facts that a connection's world knows.
pub struct Facts<'w> {
    pub newest: u8,
    /// The people whose documents existed after each commit.
    pub documents: &'w [[bool; 2]],
}

impl Connection {
    pub fn new() -> Connection {
        Connection {
            gate: State::default(),
            is_lost: false,
            presented: None,
            run_version: 0,
            asked: Vec::new(),
            held: None,
        }
    }

    pub fn lose(&mut self) {
        *self = Connection {
            is_lost: true,
            ..Connection::new()
        };
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.gate, State::Provisioning { .. })
    }

    /// A person was verified, whose run must be new.
    pub fn present(
        &mut self,
        person: Person,
        machine: Machine,
        facts: &Facts<'_>,
    ) -> Result<(), Violation> {
        let version = self.gate.version() + 1;
        self.presented = Some(person);
        self.run_version = version;
        let key = person.key();
        self.take(Event::IdentityVerified { version, key }, machine, facts)
    }

    /// A token was verified in which nothing has changed for the provisioning function.
    pub fn refresh(
        &mut self,
        person: Person,
        machine: Machine,
        facts: &Facts<'_>,
    ) -> Result<(), Violation> {
        let version = self.gate.version() + 1;
        let was_let_in_or_waits = !matches!(self.gate, State::Unprovisioned { .. });
        if self.presented != Some(person) || !was_let_in_or_waits {
            self.run_version = version;
        }
        self.presented = Some(person);
        let key = person.key();
        self.take(Event::Refreshed { version, key }, machine, facts)
    }

    pub fn sign_out(&mut self, machine: Machine, facts: &Facts<'_>) -> Result<(), Violation> {
        let version = self.gate.version() + 1;
        self.presented = None;
        self.run_version = version;
        self.take(Event::SignedOut { version }, machine, facts)
    }

    pub fn retry(&mut self, machine: Machine, facts: &Facts<'_>) -> Result<(), Violation> {
        let version = self.gate.version();
        // The owner has given up the run that failed.
        self.asked.retain(|asked| asked.version != version);
        self.run_version = version;
        self.take(Event::Retried { version }, machine, facts)
    }

    /// A call comes in.
    pub fn call(&mut self, facts: &Facts<'_>) -> Result<(), Violation> {
        match self.gate.admission() {
            Admission::Anonymous if self.presented.is_some() => Err(Violation::G7),
            Admission::Anonymous | Admission::Reject(_) => Ok(()),
            Admission::Hold => {
                self.held = self.presented;
                Ok(())
            }
            Admission::Run { at } => self.run_at(at, facts),
        }
    }

    /// An answer arrives.
    pub fn hear(
        &mut self,
        position: usize,
        machine: Machine,
        facts: &Facts<'_>,
    ) -> Result<(), Violation> {
        let asked = self.asked.remove(position);
        let Some(answer) = asked.answer else {
            return Ok(());
        };
        let before = self.gate.clone();
        let is_late = asked.version < self.run_version;
        self.take(answer.event(asked.version), machine, facts)?;
        if is_late && self.gate != before {
            return Err(Violation::G4);
        }
        match (answer, &self.gate) {
            // It was let in by a state that another person may have changed before it asked.
            (Answer::Committed(ts), State::Provisioned { .. })
                if self.gate != before && ts < asked.newest =>
            {
                Err(Violation::G1)
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, event: Event, machine: Machine, facts: &Facts<'_>) -> Result<(), Violation> {
        let (gate, effects) = machine(self.gate.clone(), event);
        self.gate = gate;
        for effect in effects {
            match effect {
                Effect::RejectHeld { .. } => self.held = None,
                Effect::Run { version, key } => {
                    self.ask(version, Person::of(&key), facts.newest)?
                }
                Effect::Open { at, .. } => {
                    if self
                        .held
                        .take()
                        .is_some_and(|sender| self.presented != Some(sender))
                    {
                        return Err(Violation::G7);
                    }
                    self.run_at(at, facts)?;
                }
            }
        }
        self.check_rest()
    }

    fn ask(
        &mut self,
        version: IdentityVersion,
        person: Person,
        newest: u8,
    ) -> Result<(), Violation> {
        if self.presented != Some(person) {
            return Err(Violation::G7);
        }
        self.asked.push(Asked {
            version,
            person,
            newest,
            answer: None,
        });
        Ok(())
    }

    /// Work runs as the person, who must have had a document at the commit that let them in.
    fn run_at(&self, at: Timestamp, facts: &Facts<'_>) -> Result<(), Violation> {
        let Some(person) = self.presented else {
            return Err(Violation::G7);
        };
        let documents = usize::try_from(at.0)
            .ok()
            .and_then(|at| facts.documents.get(at));
        match documents.is_some_and(|documents| documents[person as usize]) {
            true => Ok(()),
            false => Err(Violation::G1),
        }
    }

    /// Waiting work belongs to the presented person, and so does the gate.
    fn check_rest(&self) -> Result<(), Violation> {
        if self.held.is_some() && (self.held != self.presented || !self.is_closed()) {
            return Err(Violation::G7);
        }
        match self.gate.key().map(Person::of) == self.presented {
            true => Ok(()),
            false => Err(Violation::G7),
        }
    }
}
