//! The rows: the quantity that grows, and the work whose cost must not grow with it.

use crate::rig::Rig;
use crate::{drafts, frames, logins, reads, transfers, watching, writes};

/// One cost that must stay flat.
pub struct Row {
    /// Its name on the command line and in reports.
    pub name: &'static str,
    /// The quantity that grows.
    pub grows: &'static str,
    /// The unit of the cost.
    pub unit: &'static str,
    /// How far it grows; ascending.
    pub sizes: &'static [usize],
    /// Everything that is there before the work begins.
    pub scene: fn(size: usize) -> Box<dyn Scene>,
}

/// Work that can be made again and again at one size.
pub trait Scene {
    /// Makes the work once, and returns how many units that was.
    fn once(&mut self) -> u64;

    /// The rooms it is made in.
    fn rig(&self) -> &Rig;
}

const SIZES: &[usize] = &[100, 1_000, 10_000, 100_000];

/// All rows.
pub const ROWS: [Row; 11] = [
    Row {
        name: "write-beside-subscriptions",
        grows: "live queries that the write misses",
        unit: "write with the one delivery it causes",
        sizes: SIZES,
        scene: |size| Box::new(watching::Missed::new(size)),
    },
    Row {
        name: "subscribers-of-one-query",
        grows: "subscribers of the changed query",
        unit: "delivery",
        sizes: SIZES,
        scene: |size| Box::new(watching::Shared::new(size)),
    },
    Row {
        name: "writes-spread-over",
        grows: "documents that the writes are spread over: at 1 all meet",
        unit: "write",
        sizes: &[1, 100, 1_000, 10_000],
        scene: |size| Box::new(writes::Contended::new(size)),
    },
    Row {
        name: "write-by-index",
        grows: "documents in the table",
        unit: "write",
        sizes: SIZES,
        scene: |size| Box::new(writes::Scattered::new(size)),
    },
    Row {
        name: "transfer",
        grows: "documents in the table",
        unit: "request of a client: two look-ups, two patches, the answer's record",
        sizes: SIZES,
        scene: |size| Box::new(transfers::Transfers::new(size)),
    },
    Row {
        name: "draft-beside-commits",
        grows: "commits since the oldest draft under way began, each to a document of its own",
        unit: "mutation beside the lane",
        sizes: SIZES,
        scene: |size| Box::new(drafts::Beside::new(size)),
    },
    Row {
        name: "frames",
        grows: "characters of a text among the arguments",
        unit: "call read and answer written, as texts",
        sizes: &[1, 10, 100, 1_000],
        scene: |size| Box::new(frames::Frames::new(size)),
    },
    Row {
        name: "read-by-index",
        grows: "documents in the table",
        unit: "read of one document",
        sizes: SIZES,
        scene: |size| Box::new(reads::Reads::of_one(size)),
    },
    Row {
        name: "read-of-a-range",
        grows: "documents in the table",
        unit: "read of 20 documents",
        sizes: SIZES,
        scene: |size| Box::new(reads::Reads::of_a_range(size)),
    },
    Row {
        name: "known-user",
        grows: "known users",
        unit: "login with a changed claim",
        sizes: SIZES,
        scene: |size| Box::new(logins::Known::new(size)),
    },
    Row {
        name: "first-login",
        grows: "known users",
        unit: "login of somebody new, 100 at once",
        sizes: SIZES,
        scene: |size| Box::new(logins::First::new(size)),
    },
];
