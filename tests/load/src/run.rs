//! What stands around every run: what the processes used meanwhile.

use std::collections::BTreeMap;

use crate::measure::Window;
use crate::report::Run;
use crate::server::Server;
use crate::usage::Used;

/// What was used until the borders of the measured time.
pub struct Measured<'s> {
    server: &'s Server,
    borders: Vec<Border>,
}

struct Border {
    server: Option<Used>,
    client: Used,
}

impl<'s> Measured<'s> {
    /// Nothing measured yet.
    pub fn of(server: &'s Server) -> Measured<'s> {
        Measured {
            server,
            borders: Vec::new(),
        }
    }

    /// The measured time begins, or ends.
    pub fn border(&mut self) -> anyhow::Result<()> {
        self.borders.push(Border {
            server: self.server.used()?,
            client: Used::by_us()?,
        });
        Ok(())
    }

    /// A run with what is the same for all.
    pub fn run(&self, scenario: &str, unit: &str, window: &Window) -> anyhow::Result<Run> {
        let [start, end] = &self.borders[..] else {
            anyhow::bail!("the run ended before its measured time did");
        };
        let server = end.server.zip(start.server);
        Ok(Run {
            scenario: scenario.to_string(),
            subject: self.server.subject.clone(),
            pair: 0,
            settings: BTreeMap::new(),
            unit: unit.to_string(),
            count: window.count(),
            seconds: window.seconds(),
            rate: window.count() as f64 / window.seconds(),
            rate_over_time: window.slices(),
            latencies: Vec::new(),
            figures: Vec::new(),
            errors: BTreeMap::new(),
            checks: Vec::new(),
            server: server.map(|(end, start)| end.since(&start)),
            client: end.client.since(&start.client),
        })
    }
}
