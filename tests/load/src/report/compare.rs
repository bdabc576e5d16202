//! Runs side by side: which belong together, and how one subject's rate relates to another's.

use std::collections::{BTreeMap, BTreeSet};

use super::{Report, Run};
use crate::alternatives::Alternative;

/// Two subjects at one setting, pair by pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Such as `transfers`.
    pub scenario: String,
    /// The flags.
    pub settings: BTreeMap<String, String>,
    /// The server whose rate is the numerator.
    pub subject: String,
    /// The server whose rate is the denominator.
    pub against: String,
    /// The number of each pair and its ratio of rates, ascending by number. A pair without a rate to divide by is left out.
    pub ratios: Vec<(u32, f64)>,
}

impl Comparison {
    /// The median of the ratios.
    pub fn median(&self) -> f64 {
        let ratios: Vec<f64> = self.ratios.iter().map(|(_, ratio)| *ratio).collect();
        median(&ratios).expect("a comparison has a pair")
    }

    /// The smallest and the largest ratio.
    pub fn range(&self) -> (f64, f64) {
        let ratios = self.ratios.iter().map(|(_, ratio)| *ratio);
        ratios.fold((f64::INFINITY, 0.0), |(least, most), ratio| {
            (least.min(ratio), f64::max(most, ratio))
        })
    }
}

/// All comparisons that the runs allow: the first subject that is not an alternative against each other one.
pub fn comparisons(report: &Report) -> Vec<Comparison> {
    groups(report).iter().flat_map(compare).collect()
}

/// The comparisons within a group.
pub(super) fn compare(group: &Group) -> Vec<Comparison> {
    let subjects = group.subjects();
    let Some((first, others)) = subjects.split_first() else {
        return Vec::new();
    };
    let compared = others.iter().map(|other| Comparison {
        scenario: group.scenario.to_owned(),
        settings: group.settings.clone(),
        subject: first.name.to_owned(),
        against: other.name.to_owned(),
        ratios: ratios(first, other),
    });
    compared
        .filter(|comparison| !comparison.ratios.is_empty())
        .collect()
}

fn ratios(one: &Subject, other: &Subject) -> Vec<(u32, f64)> {
    let pairs: BTreeSet<u32> = one.runs.iter().map(|run| run.pair).collect();
    let ratio = |pair| {
        let (one, other) = (one.rate_in(pair)?, other.rate_in(pair)?);
        (other > 0.0).then(|| (pair, one / other))
    };
    pairs.into_iter().filter_map(ratio).collect()
}

/// The runs of one scenario at one setting.
pub(super) struct Group<'a> {
    pub scenario: &'a str,
    pub settings: &'a BTreeMap<String, String>,
    pub runs: Vec<&'a Run>,
}

impl<'a> Group<'a> {
    /// Its subjects, those that are no alternatives first, else in the order in which they ran.
    pub fn subjects(&self) -> Vec<Subject<'a>> {
        let mut subjects: Vec<Subject> = Vec::new();
        for run in &self.runs {
            match subjects.iter_mut().find(|known| known.name == run.subject) {
                Some(known) => known.runs.push(run),
                None => subjects.push(Subject {
                    name: &run.subject,
                    runs: vec![run],
                }),
            }
        }
        subjects.sort_by_key(|subject| subject.name.parse::<Alternative>().is_ok());
        subjects
    }

    /// The settings in words, such as `alpha 0, clients 64`.
    pub fn told_settings(&self) -> String {
        told_settings(self.settings)
    }
}

/// Settings in words, such as `alpha 0, clients 64`.
pub(super) fn told_settings(settings: &BTreeMap<String, String>) -> String {
    let each: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    each.join(", ")
}

/// All runs of one subject at one setting.
pub(super) struct Subject<'a> {
    pub name: &'a str,
    /// Never empty.
    pub runs: Vec<&'a Run>,
}

impl<'a> Subject<'a> {
    fn rate_in(&self, pair: u32) -> Option<f64> {
        let run = self.runs.iter().find(|run| run.pair == pair)?;
        Some(run.rate).filter(|rate| rate.is_finite())
    }

    /// The median of its rates.
    pub fn median_rate(&self) -> f64 {
        let rates: Vec<f64> = self.runs.iter().map(|run| run.rate).collect();
        median(&rates).expect("a subject has a run")
    }

    /// Its least and its highest rate.
    pub fn rates(&self) -> (f64, f64) {
        let rates = self.runs.iter().map(|run| run.rate);
        rates.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), rate| {
            (least.min(rate), most.max(rate))
        })
    }

    /// The run in the middle when they are sorted by rate: the one to look at first.
    pub fn middle_run(&self) -> &'a Run {
        let mut runs = self.runs.clone();
        runs.sort_by(|one, other| one.rate.total_cmp(&other.rate));
        runs[(runs.len() - 1) / 2]
    }
}

/// The runs by scenario and settings, in the order in which these first occur.
pub(super) fn groups(report: &Report) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    for run in &report.runs {
        let known = groups
            .iter_mut()
            .find(|group| group.scenario == run.scenario && *group.settings == run.settings);
        match known {
            Some(group) => group.runs.push(run),
            None => groups.push(Group {
                scenario: &run.scenario,
                settings: &run.settings,
                runs: vec![run],
            }),
        }
    }
    groups
}

/// The middle of some numbers, or the mean of the two in the middle.
pub(super) fn median(numbers: &[f64]) -> Option<f64> {
    let mut numbers = numbers.to_vec();
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => None,
        count if count.is_multiple_of(2) => {
            Some(f64::midpoint(numbers[middle - 1], numbers[middle]))
        }
        _ => Some(numbers[middle]),
    }
}
