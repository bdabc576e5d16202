//! How one of many is chosen: evenly, or so that few are chosen often.

use rand::rngs::SmallRng;
use rand_distr::{Distribution, Uniform, Zipf};

/// Chooses numbers below a count.
pub enum Choice {
    /// Each as often as any other.
    Evenly(Uniform<u32>),
    /// By Zipf's distribution: 0 the most often.
    Zipf(Zipf<f64>),
}

impl Choice {
    /// A choice of `count` numbers, 1 at least. `alpha` is Zipf's exponent; 0 is evenly.
    pub fn new(count: u32, alpha: f64) -> Choice {
        match alpha {
            0.0 => Choice::Evenly(Uniform::new(0, count).expect("there is something to choose")),
            _ => {
                let zipf = Zipf::new(count.into(), alpha);
                Choice::Zipf(zipf.expect("there is something to choose"))
            }
        }
    }

    /// One number.
    pub fn choose(&self, rng: &mut SmallRng) -> u32 {
        match self {
            Choice::Evenly(uniform) => uniform.sample(rng),
            Choice::Zipf(zipf) => zipf.sample(rng) as u32 - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn everything_is_chosen_and_the_first_most_often_where_few_are() {
        let mut rng = SmallRng::seed_from_u64(1);
        for (alpha, first_least, first_most) in [(0.0, 800, 1_200), (1.5, 4_000, 8_000)] {
            let choice = Choice::new(10, alpha);
            let mut chosen = [0; 10];
            for _ in 0..10_000 {
                chosen[choice.choose(&mut rng) as usize] += 1;
            }
            assert!((first_least..first_most).contains(&chosen[0]), "{chosen:?}");
            assert!(chosen.iter().all(|count| *count > 0), "{chosen:?}");
        }
    }
}
