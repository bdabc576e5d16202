//! Every state that three connections and two people can bring about. Identities are presented, refreshed and taken
//! back; calls, retries and lost connections happen. Each person has one run that commits, refuses, fails or tries
//! again. And the same with one thing broken at a time, to prove that the model would notice.

mod broken;
mod connection;
mod world;

use stateright::{Checker, Model, Property};

use connection::{Machine, Person, Violation};
use world::{Action, Budget, SingleFlight, World};

/// The machine of each connection, and the single run that they share.
struct Gates {
    machine: Machine,
    runs: SingleFlight,
    budget: Budget,
}

impl Gates {
    fn sound(budget: Budget) -> Gates {
        Gates {
            machine: vestibule_schema::provisioning::step,
            runs: SingleFlight::Sound,
            budget,
        }
    }
}

impl Model for Gates {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.budget)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.possible(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.act(action, self.machine, self.runs);
        assert!(
            next.remaining() < world.remaining(),
            "everything ends some time: not {action:?} in {world:?}"
        );
        Some(next.in_order())
    }

    fn properties(&self) -> Vec<Property<Gates>> {
        let never = |name, condition| Property::<Gates>::always(name, condition);
        let sometimes = |name, condition| Property::<Gates>::sometimes(name, condition);
        vec![
            never("G1", |_, world| world.violation != Some(Violation::G1)),
            never("G4", |_, world| world.violation != Some(Violation::G4)),
            never("G7", |_, world| world.violation != Some(Violation::G7)),
            never("G8", |_, world| !world.is_dead_end()),
            // Each of these came about, so the invariants were not kept by doing nothing.
            sometimes("two connections wait for one run", |_, world| {
                world.is_run_shared()
            }),
            sometimes("a commit came after the run had read", |_, world| {
                world.is_run_overtaken()
            }),
            sometimes("an answer is late", |_, world| world.is_answer_late()),
            sometimes("a refreshed identity was let in", |_, world| {
                world.is_refreshed_open()
            }),
            sometimes("calls wait for two people", |_, world| {
                Person::ALL
                    .iter()
                    .all(|person| world.is_call_held_for(*person))
            }),
        ]
    }
}

#[test]
fn in_every_state_that_three_identities_with_everything_else_lead_to_the_gate_keeps_its_promise() {
    let budget = Budget {
        identities: 3,
        calls: 2,
        retries: 1,
        losses: 1,
        deletions: 1,
        troubles: 1,
    };
    let checked = Gates::sound(budget).checker().threads(2).spawn_bfs().join();
    let states = checked.unique_state_count();
    println!(
        "{states} states, the last after {} steps",
        checked.max_depth()
    );
    checked.assert_properties();
    assert!(states > 2_000_000, "{states} states are not all");
}

#[test]
fn in_every_state_that_four_identities_lead_to_the_gate_keeps_its_promise() {
    let budget = Budget {
        identities: 4,
        calls: 1,
        ..Budget::default()
    };
    let checked = Gates::sound(budget).checker().threads(2).spawn_bfs().join();
    let states = checked.unique_state_count();
    println!(
        "{states} states, the last after {} steps",
        checked.max_depth()
    );
    for invariant in ["G1", "G4", "G7", "G8"] {
        checked.assert_no_discovery(invariant);
    }
    assert!(states > 1_000_000, "{states} states are not all");
}
