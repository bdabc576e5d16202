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
    /// Bytes that it has not, or several ranges.
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
        if ranges.next().is_some() {
            return Asked::Unsatisfiable;
        }
        let wanted = range.to_str().ok().and_then(parse);
        match wanted.as_deref() {
            None | Some([]) => Asked::Whole,
            Some([one]) => one.within(bytes).map_or(Asked::Unsatisfiable, Asked::Part),
            Some(_) => Asked::Unsatisfiable,
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

/// One range of bytes, before it is held against a file.
enum Wanted {
    /// From here on, up to and with a last byte or to the end.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Last(u64),
}

impl Wanted {
    /// `None` for text that is no range.
    fn parse(text: &str) -> Option<Wanted> {
        let (first, last) = text.split_once('-')?;
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            // A number longer than any file's size is still a number.
            is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
        };
        match (first.trim(), last.trim()) {
            ("", last) => number(last).map(Wanted::Last),
            (first, "") => Some(Wanted::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Wanted::From(first, Some(last)))
            }
        }
    }

    /// Cut to what there is; `None` when there is none of it.
    fn within(&self, bytes: u64) -> Option<Range<u64>> {
        let range = match *self {
            Wanted::From(first, None) => first..bytes,
            Wanted::From(first, Some(last)) => first..last.saturating_add(1).min(bytes),
            Wanted::Last(count) => bytes.saturating_sub(count)..bytes,
        };
        (range.start < range.end).then_some(range)
    }
}

/// The ranges that `text` asks for. `None` where one is no range of bytes: such a header is none (RFC 9110, 14.2).
fn parse(text: &str) -> Option<Vec<Wanted>> {
    let (unit, ranges) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let ranges = ranges.split(',').map(str::trim);
    let ranges = ranges.filter(|range| !range.is_empty());
    ranges.map(Wanted::parse).collect()
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
    fn one_range_is_answered_several_are_refused_and_others_are_none() {
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
            ("bytes=4-3", 10, Asked::Whole),
            ("bytes=-0", 10, Asked::Unsatisfiable),
            ("bytes=-", 10, Asked::Whole),
            ("bytes=", 10, Asked::Whole),
            ("bytes=0-1,3-4", 10, Asked::Unsatisfiable),
            ("bytes=0-1,", 10, part(0, 2)),
            ("bytes=0-1,a-b", 10, Asked::Whole),
            ("bytes=a-b", 10, Asked::Whole),
            ("bytes=+1-2", 10, Asked::Whole),
            ("bytes=0x1-2", 10, Asked::Whole),
            ("items=0-1", 10, Asked::Whole),
            ("0-1", 10, Asked::Whole),
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
