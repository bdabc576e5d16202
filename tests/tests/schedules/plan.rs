//! Schedules: small steps that follow from a seed, readable when printed, and valid whichever of them are left out.

use std::fmt;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use vestibule_server::probe::Point;

use super::issuer::Face;

/// The course of a person's provisioning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Welcome,
    Slow,
    /// It breaks the first time.
    Flaky,
    Refused,
    /// It passes a limit.
    Failing,
    Panicking,
}

impl Manner {
    /// The beginning of the subject, by which the app knows.
    pub fn prefix(self) -> &'static str {
        match self {
            Manner::Welcome => "ok",
            Manner::Slow => "slow",
            Manner::Flaky => "flaky",
            Manner::Refused => "refuse",
            Manner::Failing => "fail",
            Manner::Panicking => "panic",
        }
    }

    /// Whether they are let in in the end.
    pub fn is_let_in(self) -> bool {
        matches!(self, Manner::Welcome | Manner::Slow | Manner::Flaky)
    }
}

/// The query that a client watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    Me,
    WhoAmI,
    Mine,
    /// Looks at no identity.
    Pulse,
}

impl Watched {
    pub const ALL: [Watched; 4] = [Watched::Me, Watched::WhoAmI, Watched::Mine, Watched::Pulse];

    pub fn path(self) -> &'static str {
        match self {
            Watched::Me => "users:me",
            Watched::WhoAmI => "users:whoami",
            Watched::Mine => "notes:mine",
            Watched::Pulse => "notes:pulse",
        }
    }
}

/// The kind of a schedule's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Speaks the protocol, and knows nothing of the guarantee.
    Naive,
    /// The Rust client.
    Rust,
    /// A page with the React package.
    React,
    /// As naive, of a server whose functions are pushed, and whose users a mutation makes.
    TypeScript,
    /// The same, where users come by a webhook.
    Webhook,
}

impl Kind {
    /// Whether the server's functions are pushed to it.
    pub fn is_pushed(self) -> bool {
        matches!(self, Kind::TypeScript | Kind::Webhook)
    }

    /// Whether its clients are ours.
    pub fn is_ours(self) -> bool {
        matches!(self, Kind::Rust | Kind::React)
    }
}

/// How good a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    Fresh,
    /// Over at the next [`Step::Wait`].
    Short,
    /// Signed by another key.
    Forged,
}

/// One step. `c` is a client, `p` a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    SignIn {
        c: usize,
        p: usize,
        token: Quality,
    },
    SignOut {
        c: usize,
    },
    Watch {
        c: usize,
        query: Watched,
    },
    Unwatch {
        c: usize,
        query: Watched,
    },
    Mutate {
        c: usize,
    },
    Act {
        c: usize,
    },
    /// Sends the last mutation again, under the same number.
    Again {
        c: usize,
    },
    /// Loses the connection.
    Drop {
        c: usize,
    },
    /// Connects again, presents the identity it wants to be, and sends unanswered calls again.
    Reconnect {
        c: usize,
    },
    /// Waits until everything is answered, for a moment at most.
    Settle {
        c: usize,
    },
    HttpQuery {
        p: usize,
    },
    HttpMutation {
        p: usize,
    },
    /// Holds up the next arrival: of one person, or of any.
    Arm {
        point: Point,
        p: Option<usize>,
    },
    /// Waits until a caller is held up, for a moment at most.
    AwaitPause,
    /// A new person signs in while others are held up.
    Probe,
    Release {
        point: Point,
    },
    /// Time passes, more than a short token has.
    Wait,
    RotateKeys,
    ProviderDown,
    ProviderUp,
    /// kill -9, and a start on the same file.
    Kill,
    /// New code of the functions is on its way.
    Push,
    /// The webhook tells of a person.
    Told {
        p: usize,
    },
}

/// A whole schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub seed: u64,
    pub kind: Kind,
    pub people: Vec<(Manner, Face)>,
    pub clients: usize,
    pub steps: Vec<Step>,
}

const POINTS: [Point; 8] = [
    Point::TokenReceived,
    Point::Verified,
    Point::LaneEntered,
    Point::FunctionReturned,
    Point::BeforeCommit,
    Point::AfterCommit,
    Point::BeforeOpening,
    Point::BeforeFirstFrame,
];

impl Plan {
    /// The same schedule for clients of ours, which do nothing before they are let in. They are often given the time
    /// for that, and then act.
    pub fn driven_by(self, kind: Kind) -> Plan {
        if kind == Kind::Naive {
            return self;
        }
        let mut rng = StdRng::seed_from_u64(self.seed ^ u64::MAX);
        if kind.is_pushed() {
            return self.pushed(kind, &mut rng);
        }
        let people = self.people.into_iter().map(|(manner, face)| match manner {
            // The official client tries for as long as the page is open, so nothing would come of them.
            Manner::Failing | Manner::Panicking if kind == Kind::React => (Manner::Refused, face),
            _ => (manner, face),
        });
        let people = people.collect();
        let mut steps = Vec::new();
        for step in self.steps {
            steps.push(step);
            let Step::SignIn { c, token, .. } = step else {
                continue;
            };
            if rng.random_bool(0.6) {
                steps.extend(something_at_home(c, &mut rng));
            }
            if token != Quality::Fresh && rng.random_bool(0.6) {
                steps.extend(a_token_that_ends(c));
            }
        }
        if kind == Kind::React {
            steps = steps.into_iter().filter_map(for_pages).collect();
        }
        Plan {
            kind,
            people,
            steps,
            ..self
        }
    }

    /// The same schedule with pushes in between. Where a webhook makes users, it tells of every person in the end, and
    /// of some early, late or twice.
    fn pushed(self, kind: Kind, rng: &mut StdRng) -> Plan {
        let people = self.people.iter().map(|(manner, face)| match kind {
            Kind::Webhook => (Manner::Welcome, *face),
            _ => (*manner, *face),
        });
        let people: Vec<_> = people.collect();
        let mut steps = Vec::new();
        for step in self.steps {
            if rng.random_bool(0.1) {
                steps.push(Step::Push);
            }
            if kind == Kind::Webhook && rng.random_bool(0.2) {
                let p = rng.random_range(0..people.len());
                steps.push(Step::Told { p });
            }
            steps.push(step);
        }
        Plan {
            kind,
            people,
            steps,
            ..self
        }
    }

    /// The schedule of a seed.
    pub fn of_seed(seed: u64) -> Plan {
        let mut rng = StdRng::seed_from_u64(seed);
        let people = (0..rng.random_range(2..=3)).map(|_| person(&mut rng));
        let people: Vec<_> = people.collect();
        let clients = rng.random_range(2..=4);
        let length = rng.random_range(6..=18);
        let mut plan = Plan {
            seed,
            kind: Kind::Naive,
            people,
            clients,
            steps: Vec::new(),
        };
        // A page that has just been opened: it watches and presents its token in one breath.
        for c in 0..clients {
            if rng.random_bool(0.7) {
                plan.open_page(c, &mut rng);
            }
        }
        while plan.steps.len() < length {
            plan.add_something(&mut rng);
        }
        plan
    }

    fn open_page(&mut self, c: usize, rng: &mut StdRng) {
        if rng.random_bool(0.3) {
            let point = *POINTS.choose(rng).expect("there are points");
            self.arm(point, rng);
        }
        let sign_in = self.sign_in(c, rng);
        let mut steps = vec![
            Step::Watch {
                c,
                query: Watched::Me,
            },
            sign_in,
        ];
        if rng.random_bool(0.6) {
            steps.swap(0, 1);
        }
        self.steps.extend(steps);
        if rng.random_bool(0.4) {
            self.steps.push(Step::Mutate { c });
        }
    }

    fn sign_in(&self, c: usize, rng: &mut StdRng) -> Step {
        let token = match rng.random_range(0..20) {
            0..=2 => Quality::Short,
            3 => Quality::Forged,
            _ => Quality::Fresh,
        };
        let p = rng.random_range(0..self.people.len());
        Step::SignIn { c, p, token }
    }

    fn arm(&mut self, point: Point, rng: &mut StdRng) {
        let names_nobody = matches!(
            point,
            Point::TokenReceived | Point::BeforeCommit | Point::AfterCommit
        );
        let p =
            (!names_nobody && rng.random_bool(0.7)).then(|| rng.random_range(0..self.people.len()));
        self.steps.push(Step::Arm { point, p });
    }

    fn add_something(&mut self, rng: &mut StdRng) {
        let c = rng.random_range(0..self.clients);
        let p = rng.random_range(0..self.people.len());
        let query = *Watched::ALL.choose(rng).expect("there are queries");
        let point = *POINTS.choose(rng).expect("there are points");
        let step = match rng.random_range(0..1000) {
            0..160 => self.sign_in(c, rng),
            160..200 => Step::SignOut { c },
            200..300 => Step::Watch { c, query },
            300..330 => Step::Unwatch { c, query },
            330..430 => Step::Mutate { c },
            430..480 => Step::Act { c },
            480..515 => Step::Again { c },
            // The next identity sends a request again that has its answer.
            515..530 => {
                let next = self.sign_in(c, rng);
                self.steps.extend([
                    Step::Mutate { c },
                    Step::Settle { c },
                    next,
                    Step::Again { c },
                ]);
                return;
            }
            530..570 => Step::Drop { c },
            570..640 => Step::Reconnect { c },
            640..720 => Step::Settle { c },
            720..760 => Step::HttpQuery { p },
            760..800 => Step::HttpMutation { p },
            800..880 => return self.hold_up(point, rng),
            880..920 => Step::Release { point },
            920..930 => Step::Wait,
            // A person is let in, and their next call comes too late for their token.
            930..940 => {
                let token = Quality::Short;
                self.steps.extend([
                    Step::SignIn { c, p, token },
                    Step::Settle { c },
                    Step::Wait,
                    Step::Mutate { c },
                ]);
                return;
            }
            940..960 => Step::RotateKeys,
            960..970 => Step::ProviderDown,
            970..980 => Step::ProviderUp,
            980..990 => Step::Kill,
            // An account switch there and back: the answers of three runs are under way at once.
            _ => {
                self.steps
                    .extend([(0, c), (1, c), (0, c)].map(|(p, c)| Step::SignIn {
                        c,
                        p,
                        token: Quality::Fresh,
                    }));
                return;
            }
        };
        self.steps.push(step);
    }

    /// Holds up a person on their way in, and checks that others are not.
    fn hold_up(&mut self, point: Point, rng: &mut StdRng) {
        self.arm(point, rng);
        let c = rng.random_range(0..self.clients);
        let sign_in = self.sign_in(c, rng);
        self.steps.extend([sign_in, Step::AwaitPause]);
        match rng.random_range(0..10) {
            0..3 => self.steps.push(Step::Probe),
            3 => self.steps.push(Step::Kill),
            _ => {}
        }
    }
}

/// A step as a page takes it. Its connection is not lost. Over a lost one the official client sends unanswered calls as
/// the user of that moment, and nothing above it can take that back.
fn for_pages(step: Step) -> Option<Step> {
    let token = Quality::Fresh;
    match step {
        Step::SignIn { c, p, .. } => Some(Step::SignIn { c, p, token }),
        Step::Drop { .. }
        | Step::Reconnect { .. }
        | Step::Kill
        | Step::Wait
        | Step::RotateKeys
        | Step::ProviderDown
        | Step::ProviderUp
        | Step::Push
        | Step::Told { .. } => None,
        step => Some(step),
    }
}

fn something_at_home(c: usize, rng: &mut StdRng) -> Vec<Step> {
    let query = Watched::Mine;
    let mut steps = vec![Step::Settle { c }, Step::Watch { c, query }];
    for _ in 0..rng.random_range(0..4) {
        steps.push(match rng.random_range(0..10) {
            0..6 => Step::Mutate { c },
            6..8 => Step::Act { c },
            8 => Step::Settle { c },
            _ => Step::Reconnect { c },
        });
    }
    steps
}

/// A token that is short is over while the client does something, and one that was never good is replaced.
fn a_token_that_ends(c: usize) -> [Step; 7] {
    [
        Step::Settle { c },
        Step::Wait,
        Step::Mutate { c },
        Step::Settle { c },
        Step::Again { c },
        Step::Settle { c },
        Step::Mutate { c },
    ]
}

fn person(rng: &mut StdRng) -> (Manner, Face) {
    let manner = match rng.random_range(0..20) {
        0..13 => Manner::Welcome,
        13..15 => Manner::Slow,
        15..17 => Manner::Flaky,
        17 => Manner::Refused,
        18 => Manner::Failing,
        _ => Manner::Panicking,
    };
    let face = match rng.random_bool(0.5) {
        true => Face::Oidc,
        false => Face::Plain,
    };
    (manner, face)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (p, (manner, face)) in self.people.iter().enumerate() {
            writeln!(f, "  person {p}: {manner:?}, at the {face:?} provider")?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {:>2}. {step}", number + 1)?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::SignIn { c, p, token } => {
                write!(f, "client {c} presents a {token:?} token of person {p}")
            }
            Step::SignOut { c } => write!(f, "client {c} signs out"),
            Step::Watch { c, query } => write!(f, "client {c} watches {}", query.path()),
            Step::Unwatch { c, query } => write!(f, "client {c} stops watching {}", query.path()),
            Step::Mutate { c } => write!(f, "client {c} calls a mutation"),
            Step::Act { c } => write!(f, "client {c} calls an action"),
            Step::Again { c } => write!(f, "client {c} sends its last mutation again"),
            Step::Drop { c } => write!(f, "client {c} loses its connection"),
            Step::Reconnect { c } => write!(f, "client {c} connects again"),
            Step::Settle { c } => write!(f, "client {c} waits for its answers"),
            Step::HttpQuery { p } => write!(f, "person {p} runs a query over HTTP"),
            Step::HttpMutation { p } => write!(f, "person {p} runs a mutation over HTTP"),
            Step::Arm { point, p: Some(p) } => write!(f, "person {p} is to stop at {point:?}"),
            Step::Arm { point, p: None } => {
                write!(f, "whoever comes first is to stop at {point:?}")
            }
            Step::AwaitPause => write!(f, "wait until somebody has stopped"),
            Step::Probe => write!(f, "somebody else signs in for the first time"),
            Step::Release { point } => write!(f, "those at {point:?} go on"),
            Step::Wait => write!(f, "time passes"),
            Step::RotateKeys => write!(f, "the provider gets new keys"),
            Step::ProviderDown => write!(f, "the provider goes down"),
            Step::ProviderUp => write!(f, "the provider comes back"),
            Step::Kill => write!(f, "kill -9 and a new start"),
            Step::Push => write!(f, "new code is pushed"),
            Step::Told { p } => write!(f, "the webhook tells of person {p}"),
        }
    }
}

#[test]
fn a_seed_is_a_schedule() {
    for seed in 0..200 {
        let plan = Plan::of_seed(seed);
        assert_eq!(plan, Plan::of_seed(seed));
        assert!((2..=3).contains(&plan.people.len()) && (2..=4).contains(&plan.clients));
        assert_eq!(
            plan.to_string().lines().count(),
            plan.people.len() + plan.steps.len()
        );
    }
}
