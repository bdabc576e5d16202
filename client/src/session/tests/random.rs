//! Any order of messages, cuts, refusals, tokens and users. In every case, nothing runs as the wrong person, nothing
//! runs twice, and every call is answered.

use proptest::prelude::*;

use super::world::World;

pub const PEOPLE: [&str; 2] = ["ada", "grace"];

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Op {
    SignIn(usize),
    EnsureUser,
    SignOut,
    Subscribe {
        as_user: bool,
        which: u8,
    },
    Unsubscribe(usize),
    Query {
        as_user: bool,
    },
    Mutation {
        as_user: bool,
        fails: bool,
        is_optimistic: bool,
    },
    Action {
        as_user: bool,
    },
    /// The server takes a message, the gate decides, a Transition is made, the client takes a message.
    ServerTakes,
    ServerDecides,
    ServerTells,
    ClientTakes,
    /// Everything that is on its way arrives.
    Settle,
    Cut {
        taken_before: usize,
    },
    /// The next attempts to connect fail.
    Away(u8),
    Expire,
    RejectToken,
    Refuse(usize),
    LetIn(usize),
    TokensAway(bool),
    Wait(u16),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..PEOPLE.len()).prop_map(Op::SignIn),
        4 => Just(Op::EnsureUser),
        1 => Just(Op::SignOut),
        4 => (any::<bool>(), 0..3_u8).prop_map(|(as_user, which)| Op::Subscribe { as_user, which }),
        2 => any::<usize>().prop_map(Op::Unsubscribe),
        2 => any::<bool>().prop_map(|as_user| Op::Query { as_user }),
        8 => (any::<bool>(), prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(as_user, fails, is_optimistic)| Op::Mutation { as_user, fails, is_optimistic }),
        2 => any::<bool>().prop_map(|as_user| Op::Action { as_user }),
        16 => Just(Op::ServerTakes),
        6 => Just(Op::ServerDecides),
        8 => Just(Op::ServerTells),
        16 => Just(Op::ClientTakes),
        4 => Just(Op::Settle),
        3 => (0..6_usize).prop_map(|taken_before| Op::Cut { taken_before }),
        1 => (0..4_u8).prop_map(Op::Away),
        1 => Just(Op::Expire),
        1 => Just(Op::RejectToken),
        1 => (0..PEOPLE.len()).prop_map(Op::Refuse),
        2 => (0..PEOPLE.len()).prop_map(Op::LetIn),
        1 => any::<bool>().prop_map(Op::TokensAway),
        6 => (0..2_000_u16).prop_map(Op::Wait),
    ]
}

proptest! {
    // More with PROPTEST_CASES; a case that failed is kept beside the crate and runs first.
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn whatever_happens_nothing_runs_twice_or_as_the_wrong_person_and_all_is_answered(
        has_gate in any::<bool>(),
        ops in prop::collection::vec(op(), 1..160),
    ) {
        let mut world = World::new(has_gate);
        for op in ops {
            world.apply(op);
            world.answer_fetches();
        }
        world.heal();
        world.check_end();
    }
}
