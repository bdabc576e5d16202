//! The record of a build that keeps none: everything here is empty.

use std::future::{Ready, ready};

use vestibule_schema::identity::IdentityKey;
use vestibule_schema::wire::RequestId;

use super::{Event, Point};

/// A connection or an HTTP request.
#[derive(Debug)]
pub struct Seat;

/// Where a call came from.
#[derive(Clone, Copy, Debug)]
pub struct Tag;

impl Seat {
    #[inline(always)]
    pub fn take() -> Seat {
        Seat
    }

    #[inline(always)]
    pub(super) fn number(&self) -> u64 {
        0
    }

    #[inline(always)]
    pub fn tag(&self, _version: u32, _request: Option<RequestId>) -> Tag {
        Tag
    }
}

impl Tag {
    /// No mark.
    #[inline(always)]
    pub fn none() -> Tag {
        Tag
    }

    #[inline(always)]
    pub fn provisioning() -> Tag {
        Tag
    }

    #[inline(always)]
    pub fn is_provisioning(self) -> bool {
        false
    }

    #[inline(always)]
    pub fn call(self) -> Option<super::CallOf> {
        None
    }
}

/// States an event.
#[inline(always)]
pub fn event(_event: impl FnOnce() -> Event) {}

/// A point where a task may be held up.
#[inline(always)]
pub fn pause(_point: Point, _whom: impl FnOnce() -> Option<IdentityKey>) -> Ready<()> {
    ready(())
}

/// A point where a thread may be held up.
#[inline(always)]
pub fn stop(_point: Point, _whom: impl FnOnce() -> Option<IdentityKey>) {}
