//! Words: how text is cut into them, in documents and in queries alike.

/// Bytes at which a word is too long to be one: a hash, or a picture as text.
pub const TERM_BYTES_MAX: usize = 32;

/// The words of a text, in order: runs of letters and digits, in lower case.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty() && word.len() < TERM_BYTES_MAX)
        .map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        tokens(text).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        assert_eq!(of(""), [""; 0]);
        assert_eq!(of(" ,.!\0 "), [""; 0]);
        assert_eq!(of("Don't PANIC: 42nd"), ["don", "t", "panic", "42nd"]);
        assert_eq!(of("snake_case e-mail"), ["snake", "case", "e", "mail"]);
        assert_eq!(of("Ärger, naïve İ"), ["ärger", "naïve", "i\u{307}"]);
        assert_eq!(of("東京タワー 2"), ["東京タワー", "2"]);
    }

    #[test]
    fn a_word_of_32_bytes_is_left_out() {
        let (kept, dropped) = ("a".repeat(31), "b".repeat(32));
        assert_eq!(of(&format!("{kept} {dropped} c")), [&kept, "c"]);
        assert_eq!(of(&"é".repeat(16)), [""; 0]);
    }
}
