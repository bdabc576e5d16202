//! Variables whose names are almost those of settings.

use super::{FILE_SUFFIX, Setting, SettingError};

/// The prefix of this server's variables.
const PREFIX: &str = "VESTIBULE_";
/// The second prefix, of the deployment's own variables, which have any name.
const DEPLOYMENT_PREFIX: &str = "ENV_";
/// A name that differs by this many letters is taken for a mistake.
const LETTERS_MAX: usize = 2;
/// Shorter names are too near to each other for more than one.
const SHORT_NAME: usize = 5;

/// Refuses the first name that is no setting's but nearly one's.
pub(super) fn check<'n>(
    names: impl Iterator<Item = &'n str>,
    settings: &[Setting],
) -> Result<(), SettingError> {
    let known: Vec<&str> = settings
        .iter()
        .filter_map(|setting| setting.variable.strip_prefix(PREFIX))
        .collect();
    for name in names {
        let Some(found) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if found.starts_with(DEPLOYMENT_PREFIX) {
            continue;
        }
        let (bare, suffix) = match found.strip_suffix(FILE_SUFFIX) {
            Some(bare) => (bare, FILE_SUFFIX),
            None => (found, ""),
        };
        if known.contains(&bare) {
            continue;
        }
        if let Some(meant) = settings.iter().find(|setting| is_meant(bare, setting)) {
            return Err(SettingError::Misspelt {
                found: name.to_owned(),
                meant: format!("{}{suffix}", meant.variable),
            });
        }
    }
    Ok(())
}

/// Whether a name, without its prefix, is nearly that of a setting's variable or flag.
fn is_meant(found: &str, setting: &Setting) -> bool {
    let flag = setting.flag.unwrap_or_default();
    let flag = flag.replace('-', "_").to_ascii_uppercase();
    let variable = setting.variable.strip_prefix(PREFIX);
    variable.is_some_and(|variable| is_near(found, variable)) || flag == found
}

fn is_near(found: &str, known: &str) -> bool {
    let letters_max = match known.len() <= SHORT_NAME {
        true => LETTERS_MAX - 1,
        false => LETTERS_MAX,
    };
    distance(found, known) <= letters_max
}

/// How many letters must be added, taken away or changed to make one name of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (position, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = position + 1;
        for (column, candidate) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *candidate);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_counts_letters() {
        for (one, other, letters) in [
            ("ISSUER", "ISSUER", 0),
            ("ISSUR", "ISSUER", 1),
            ("ISUSER", "ISSUER", 2),
            ("", "DEV", 3),
            ("PORT", "DEV", 4),
        ] {
            assert_eq!(distance(one, other), letters, "{one} {other}");
        }
    }
}
