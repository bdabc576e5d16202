//! Ranges of bytes, as requests ask for them: one, or all.

use std::ops::Range;

use axum::http::header::{ETAG, IF_NONE_MATCH, IF_RANGE, RANGE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The requested part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it.
    Whole,
    /// These bytes, which it has.
    Part(Range<u64>),
    /// Bytes that it has not, several ranges, or something else that no answer has.
    Unsatisfiable,
    /// Nothing: the client has it.
    Unchanged,
}

impl Asked {
    /// The part that `headers` ask for, of a file of `bytes` bytes that `etag` names.
    pub fn of(headers: &HeaderMap, bytes: u64, etag: &HeaderValue) -> Asked {
        if named(headers, IF_NONE_MATCH, etag) {
            return Asked::Unchanged;
        }
        let mut ranges = headers.get_all(RANGE).iter();
        let Some(range) = ranges.next() else {
            return Asked::Whole;
        };
        // A range of another file than this one means all of this one.
        if headers.contains_key(IF_RANGE) && headers.get(IF_RANGE) != Some(etag) {
            return Asked::Whole;
        }
        let part = range.to_str().ok().and_then(|range| parse(range, bytes));
        match part.filter(|_| ranges.next().is_none()) {
            Some(part) => Asked::Part(part),
            None => Asked::Unsatisfiable,
        }
    }
}

/// Whether a header lists the entity tag, or every one. Weak tags are compared as strong ones: stored content never
/// changes.
fn named(headers: &HeaderMap, header: HeaderName, etag: &HeaderValue) -> bool {
    debug_assert_ne!(header, ETAG);
    let Ok(etag) = etag.to_str() else {
        return false;
    };
    let values = headers.get_all(header).into_iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(','));
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// The one range that `text` asks for, cut to what there is; `None` when there is none of it.
fn parse(text: &str, bytes: u64) -> Option<Range<u64>> {
    let (unit, range) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number longer than any file's size is still a number.
        is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let range = match (first.trim(), last.trim()) {
        ("", last) => bytes.saturating_sub(number(last)?)..bytes,
        (first, "") => number(first)?..bytes,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            first..last.saturating_add(1).min(bytes)
        }
    };
    (range.start < range.end).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG_TEXT: HeaderValue = HeaderValue::from_static("\"abc\"");

    fn asked(headers: &[(&'static str, &'static str)], bytes: u64) -> Asked {
        let headers = headers.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        Asked::of(&headers.collect(), bytes, &ETAG_TEXT)
    }

    #[test]
    fn one_range_is_answered_and_everything_else_is_not() {
        let part = |start, end| Asked::Part(start..end);
        for (range, bytes, expected) in [
            ("bytes=0-4", 10, part(0, 5)),
            ("bytes=0-0", 10, part(0, 1)),
            ("bytes=9-9", 10, part(9, 10)),
            ("bytes=5-", 10, part(5, 10)),
            ("bytes=-3", 10, part(7, 10)),
            ("bytes=-30", 10, part(0, 10)),
            ("bytes=2-99999999999999999999999", 10, part(2, 10)),
            ("Bytes = 1-2", 10, part(1, 3)),
            ("bytes= 1 - 2 ", 10, part(1, 3)),
            ("bytes=10-", 10, Asked::Unsatisfiable),
            ("bytes=10-12", 10, Asked::Unsatisfiable),
            ("bytes=4-3", 10, Asked::Unsatisfiable),
            ("bytes=-0", 10, Asked::Unsatisfiable),
            ("bytes=-", 10, Asked::Unsatisfiable),
            ("bytes=", 10, Asked::Unsatisfiable),
            ("bytes=0-1,3-4", 10, Asked::Unsatisfiable),
            ("bytes=0-1,", 10, Asked::Unsatisfiable),
            ("bytes=a-b", 10, Asked::Unsatisfiable),
            ("bytes=+1-2", 10, Asked::Unsatisfiable),
            ("bytes=0x1-2", 10, Asked::Unsatisfiable),
            ("items=0-1", 10, Asked::Unsatisfiable),
            ("0-1", 10, Asked::Unsatisfiable),
            ("bytes=0-", 0, Asked::Unsatisfiable),
            ("bytes=-1", 0, Asked::Unsatisfiable),
        ] {
            assert_eq!(asked(&[("range", range)], bytes), expected, "{range}");
        }
        assert_eq!(asked(&[], 10), Asked::Whole);
        let twice = [("range", "bytes=0-1"), ("range", "bytes=2-3")];
        assert_eq!(asked(&twice, 10), Asked::Unsatisfiable);
    }

    #[test]
    fn a_range_of_another_file_means_all_of_this_one() {
        let with = |tag| asked(&[("range", "bytes=0-1"), ("if-range", tag)], 10);
        assert_eq!(with("\"abc\""), Asked::Part(0..2));
        assert_eq!(with("\"other\""), Asked::Whole);
        assert_eq!(with("Wed, 21 Oct 2015 07:28:00 GMT"), Asked::Whole);
    }

    #[test]
    fn whoever_has_the_file_is_not_sent_it_again() {
        for (tags, expected) in [
            ("\"abc\"", Asked::Unchanged),
            ("W/\"abc\"", Asked::Unchanged),
            ("\"x\", \"abc\"", Asked::Unchanged),
            ("*", Asked::Unchanged),
            ("\"x\"", Asked::Whole),
            ("abc", Asked::Whole),
        ] {
            assert_eq!(asked(&[("if-none-match", tags)], 10), expected, "{tags}");
        }
    }
}
