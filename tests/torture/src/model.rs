//! The app as plain maps: what each step must have seen when transactions run one after the other.

use std::collections::BTreeMap;

use crate::steps::{BALANCE, Kind, SIDES, Step, other_side};

/// The state after some transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    lists: BTreeMap<String, Vec<String>>,
    accounts: BTreeMap<String, (i64, u32)>,
    /// Whether a side is on duty, and how often it was changed.
    sides: BTreeMap<(String, String), (bool, u32)>,
    groups: BTreeMap<String, Vec<String>>,
}

impl Model {
    /// Takes a transaction and returns its results.
    pub fn run(&mut self, id: &str, steps: &[Step]) -> Vec<String> {
        steps.iter().map(|step| self.step(id, step)).collect()
    }

    fn step(&mut self, id: &str, step: &Step) -> String {
        match step.kind {
            Kind::Append => {
                let list = self.lists.entry(step.key.clone()).or_default();
                list.push(step.other.clone());
                (list.len() - 1).to_string()
            }
            Kind::Read => self
                .lists
                .get(&step.key)
                .map_or(String::new(), |list| list.join(",")),
            Kind::Transfer => {
                let amount = i64::from(step.amount);
                let from = self.change(&step.key, -amount);
                let to = self.change(&step.other, amount);
                format!("{from},{to}")
            }
            Kind::Total => {
                let all = self.accounts.iter();
                let all =
                    all.map(|(name, (balance, changes))| format!("{name}:{balance}:{changes}"));
                let mut all: Vec<String> = all.collect();
                all.sort();
                all.join(",")
            }
            Kind::Leave | Kind::Return => self.turn(step),
            Kind::Join => {
                let group = self.groups.entry(step.key.clone()).or_default();
                let before = sorted(group);
                if group.len() < step.amount as usize {
                    group.push(id.to_string());
                }
                before
            }
            Kind::Members => self
                .groups
                .get(&step.key)
                .map_or(String::new(), |it| sorted(it)),
            Kind::Schedule => String::new(),
        }
    }

    fn change(&mut self, name: &str, amount: i64) -> u32 {
        let account = self.accounts.entry(name.to_string());
        let account = account.or_insert((BALANCE, 0));
        account.0 += amount;
        account.1 += 1;
        account.1 - 1
    }

    fn turn(&mut self, step: &Step) -> String {
        let state = |side: &str| {
            let side = (step.key.clone(), side.to_string());
            self.sides.get(&side).copied().unwrap_or((true, 0))
        };
        let (was_on, changes) = state(&step.other);
        let (other_is_on, other_changes) = state(other_side(&step.other));
        let is_on = match step.kind {
            Kind::Leave => was_on && !other_is_on,
            _ => true,
        };
        if is_on != was_on {
            let side = (step.key.clone(), step.other.clone());
            self.sides.insert(side, (is_on, changes + 1));
        }
        format!("{changes},{other_changes},{was_on},{is_on}")
    }

    /// Pairs of which no side is on duty.
    pub fn skewed(&self) -> Vec<String> {
        let pairs = self.sides.keys().map(|(pair, _)| pair.clone());
        let is_off = |pair: &String, side: &str| {
            let side = self.sides.get(&(pair.clone(), side.to_string()));
            side.is_some_and(|side| !side.0)
        };
        pairs
            .filter(|pair| SIDES.iter().all(|side| is_off(pair, side)))
            .collect()
    }
}

fn sorted(names: &[String]) -> String {
    let mut names = names.to_vec();
    names.sort();
    names.join(",")
}
