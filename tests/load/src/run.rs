//! The measurements around every run: the usage of the processes meanwhile.

use std::collections::BTreeMap;
use std::thread::JoinHandle;

use anyhow::bail;

use crate::measure::Window;
use crate::metrics::{APPENDS, Metrics};
use crate::report::{Figure, Run};
use crate::server::Server;
use crate::usage::Used;

/// The usage until the borders of the measured time.
pub struct Measured<'s> {
    server: &'s Server,
    borders: Vec<anyhow::Result<Border>>,
}

struct Border {
    server: Option<Used>,
    client: Used,
    /// Asked for beside the run, which goes on meanwhile. Nothing where they cannot be told.
    metrics: JoinHandle<Option<Metrics>>,
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
    pub fn border(&mut self) {
        let border = self.look();
        self.borders.push(border);
    }

    fn look(&self) -> anyhow::Result<Border> {
        let address = self.server.address.clone();
        let has_metrics = self.server.has_app;
        Ok(Border {
            server: self.server.used()?,
            client: Used::by_us()?,
            metrics: std::thread::spawn(move || match has_metrics {
                true => Metrics::of(&address).ok(),
                false => None,
            }),
        })
    }

    /// A run with the fields that all runs share.
    pub fn run(self, scenario: &str, unit: &str, window: &Window) -> anyhow::Result<Run> {
        let mut borders = self.borders.into_iter();
        let (Some(start), Some(end)) = (borders.next(), borders.next()) else {
            bail!("the run ended before its measured time did");
        };
        let (start, end) = (start?, end?);
        let appends = |border: JoinHandle<Option<Metrics>>| border.join().ok()??.value(APPENDS);
        let appends = appends(start.metrics).zip(appends(end.metrics));
        let used = end.server.zip(start.server);
        let server = used.map(|(end, start)| {
            let mut usage = end.since(&start);
            usage.fsyncs = appends.map(|(start, end)| (end - start) as u64);
            usage
        });
        let mut figures = Vec::new();
        if let Some(server) = &server
            && window.count() > 0
        {
            let cpu_seconds = server.user_cpu_seconds + server.system_cpu_seconds;
            figures.push(Figure {
                name: format!("server CPU per {}", one(unit)),
                value: cpu_seconds * 1e6 / window.count() as f64,
                unit: "µs".to_string(),
            });
        }
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
            figures,
            errors: BTreeMap::new(),
            checks: Vec::new(),
            server,
            client: end.client.since(&start.client),
        })
    }
}

/// The name of one unit.
fn one(unit: &str) -> String {
    if let Some(stem) = unit.strip_suffix("ies") {
        return format!("{stem}y");
    }
    let plural = if unit.ends_with("shes") { "es" } else { "s" };
    unit.strip_suffix(plural).unwrap_or(unit).to_string()
}

/// Settings as a run tells them.
pub fn settings<const N: usize>(settings: [(&str, String); N]) -> BTreeMap<String, String> {
    let own = |(name, value): (&str, String)| (name.to_string(), value);
    settings.map(own).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_is_named_well() {
        let units = ["transfers", "deliveries", "pushes", "files", "sign-ups"];
        let names = ["transfer", "delivery", "push", "file", "sign-up"];
        assert_eq!(units.map(one), names);
    }
}
