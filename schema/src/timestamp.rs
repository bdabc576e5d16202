//! Commit timestamps.

/// A place in the order of commits: nanoseconds since the Unix epoch, at most `i64::MAX`. Zero is before every commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);
