//! Figures of pushes and of the live deployment, read when a client asks for metrics.

use std::fmt::Error;
use std::sync::Weak;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::push::Pushes;

/// Reads figures off the room that takes pushes.
#[derive(Debug)]
pub(super) struct PushGauges(pub Weak<Pushes>);

impl Collector for PushGauges {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let Some(pushes) = self.0.upgrade() else {
            return Ok(());
        };
        encode_pushes(&mut encoder, &pushes)?;
        encode_live(&mut encoder, &pushes)
    }
}

fn encode_pushes(encoder: &mut DescriptorEncoder, pushes: &Pushes) -> Result<(), Error> {
    let (live, refused) = pushes.counts().read();
    let help = "Pushes, rollbacks among them, by what became of them";
    let mut counts = encoder.encode_descriptor("pushes", help, None, MetricType::Counter)?;
    for (outcome, count) in [("live", live), ("refused", refused)] {
        ConstCounter::new(count).encode(counts.encode_family(&[("outcome", outcome)])?)?;
    }
    Ok(())
}

fn encode_live(encoder: &mut DescriptorEncoder, pushes: &Pushes) -> Result<(), Error> {
    let live = pushes.live();
    let Some(push) = &live.push else {
        return Ok(());
    };
    let gauges = [
        (
            "deployment_functions",
            "Functions that were pushed",
            live.functions.len(),
        ),
        (
            "deployment_modules",
            "Modules that were pushed",
            live.modules.len(),
        ),
    ];
    for (name, help, value) in gauges {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
    }
    let (name, help) = (
        "deployment_pushed_at",
        "When the live push was made, since 1970",
    );
    let unit = Some(&Unit::Seconds);
    let mut pushed = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    let at = ConstGauge::new(push.at_millis / 1_000.0);
    at.encode(pushed.encode_family(&[("push", push.id.as_str())])?)
}
