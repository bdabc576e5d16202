//! Us and an alternative, one right after the other, again and again: what one of them shows alone says more about the
//! machine at that moment than about either.

use crate::report::Run;

/// How many times the one's rate is the other's, pair by pair, ascending.
pub fn ratios(runs: &[Run]) -> Vec<f64> {
    let pairs = runs.chunks_exact(2);
    let mut ratios: Vec<f64> = pairs.map(|pair| pair[0].rate / pair[1].rate).collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

/// The middle one of some ratios, or between the two in the middle.
pub fn median(ratios: &[f64]) -> Option<f64> {
    let (below, above) = (ratios.len().checked_sub(1)? / 2, ratios.len() / 2);
    Some((ratios[below] + ratios[above]) / 2.0)
}

/// What the pairs show, in one line.
pub fn verdict(runs: &[Run]) -> Option<String> {
    let [ours, other, ..] = runs else {
        return None;
    };
    if ours.subject == other.subject {
        return None;
    }
    let ratios = ratios(runs);
    let (Some(least), Some(most)) = (ratios.first(), ratios.last()) else {
        return None;
    };
    let (unit, ours, other) = (&ours.unit, &ours.subject, &other.subject);
    Some(format!(
        "{ours} makes {:.2} times the {unit} of {other}: the median of {} pairs, from {least:.2} to {most:.2}",
        median(&ratios)?,
        ratios.len(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[2.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
    }
}
