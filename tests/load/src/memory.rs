//! The server's memory over a run: before, after, and the most in between.

use crate::report::Figure;
use crate::server::Server;

const MIB: f64 = (1 << 20) as f64;

/// The memory before a run.
pub struct Memory {
    before: Option<u64>,
}

impl Memory {
    /// Looks at it now. The peak counts from here on, where the system allows it to be set back.
    pub fn before(server: &Server) -> anyhow::Result<Memory> {
        server.forget_peak();
        let before = server.used()?.map(|used| used.rss_bytes());
        Ok(Memory { before })
    }

    /// What has become of it. Nothing where the process is not ours to look at.
    pub fn figures(&self, server: &Server) -> anyhow::Result<Vec<Figure>> {
        let Some((before, after)) = self.before.zip(server.used()?) else {
            return Ok(Vec::new());
        };
        let mib = |name: &str, bytes: f64| Figure::new(name, bytes / MIB, "MiB");
        let (before, max) = (before as f64, after.peak_bytes() as f64);
        Ok(vec![
            mib("RSS before", before),
            mib("RSS after", after.rss_bytes() as f64),
            mib("RSS max", max),
            mib("RSS growth to its max", (max - before).max(0.0)),
        ])
    }
}
