//! The server's memory over a run: before, after, and the most in between.

use std::cell::Cell;

use crate::report::Figure;
use crate::server::Server;
use crate::usage::Used;

const MIB: f64 = (1 << 20) as f64;

/// The memory before a run.
pub struct Memory {
    before: Option<Used>,
    /// The most that looks have seen, of its own and of mapped files.
    most: Cell<(u64, u64)>,
}

impl Memory {
    /// Looks at it now. The peak counts from here on, where the system allows it to be set back.
    pub fn before(server: &Server) -> anyhow::Result<Memory> {
        server.forget_peak();
        Ok(Memory {
            before: server.used()?,
            most: Cell::default(),
        })
    }

    /// Looks at it meanwhile: the system keeps the peak of all, and not of its parts.
    pub fn look(&self, server: &Server) -> anyhow::Result<()> {
        if let Some(used) = server.used()? {
            let (anonymous, mapped) = self.most.get();
            self.most.set((
                anonymous.max(used.anonymous_bytes()),
                mapped.max(used.mapped_bytes()),
            ));
        }
        Ok(())
    }

    /// How its parts have grown, as far as looks saw.
    pub fn parts(&self, server: &Server) -> anyhow::Result<Vec<Figure>> {
        self.look(server)?;
        let Some(before) = self.before else {
            return Ok(Vec::new());
        };
        let (anonymous, mapped) = self.most.get();
        let grown = |name: &str, most: u64, before: u64| {
            Figure::new(name, most.saturating_sub(before) as f64 / MIB, "MiB")
        };
        Ok(vec![
            grown("growth, anonymous", anonymous, before.anonymous_bytes()),
            grown("growth, mapped files", mapped, before.mapped_bytes()),
        ])
    }

    /// The memory since then. Nothing where the process is not ours to look at.
    pub fn figures(&self, server: &Server) -> anyhow::Result<Vec<Figure>> {
        let Some((before, after)) = self.before.zip(server.used()?) else {
            return Ok(Vec::new());
        };
        let mib = |name: &str, bytes: f64| Figure::new(name, bytes / MIB, "MiB");
        let (before, max) = (before.rss_bytes() as f64, after.peak_bytes() as f64);
        Ok(vec![
            mib("RSS before", before),
            mib("RSS after", after.rss_bytes() as f64),
            mib("RSS max", max),
            mib("RSS growth to its max", (max - before).max(0.0)),
        ])
    }
}
