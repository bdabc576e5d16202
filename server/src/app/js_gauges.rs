//! Figures of JavaScript functions, read when a client asks for metrics.

use std::fmt::Error;
use std::sync::Weak;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::functions::Functions;
use crate::functions::js::Js;

/// Reads figures off the runtimes, the actions and the mutations beside the lane.
#[derive(Debug)]
pub(super) struct JsGauges {
    pub js: Weak<Js>,
    pub functions: Weak<Functions>,
}

impl Collector for JsGauges {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let (Some(js), Some(functions)) = (self.js.upgrade(), self.functions.upgrade()) else {
            return Ok(());
        };
        encode_now(&mut encoder, &js, &functions)?;
        encode_since_the_start(&mut encoder, &js, &functions)?;
        encode_known(&mut encoder, &js)
    }
}

fn encode_now(
    encoder: &mut DescriptorEncoder,
    js: &Js,
    functions: &Functions,
) -> Result<(), Error> {
    let runtimes = js.runtimes().counts();
    let actions = js.places().counts();
    let (beside, slow) = functions.queued();
    let node = js.node_counts();
    let gauges = [
        (
            "node_processes",
            "Processes of Node.js that run actions with \"use node\"",
            node.processes,
        ),
        (
            "node_calls",
            "Actions under way in processes of Node.js",
            node.calls,
        ),
        (
            "node_resident_bytes",
            "Bytes of memory of the processes of Node.js",
            usize::try_from(node.resident_bytes).unwrap_or(usize::MAX),
        ),
        (
            "js_runtimes_idle",
            "JavaScript runtimes that wait for a call",
            runtimes.idle,
        ),
        (
            "js_runtimes_busy",
            "JavaScript runtimes in which a call is under way",
            runtimes.busy,
        ),
        (
            "js_image_bytes",
            "Bytes of the images of idle JavaScript runtimes",
            runtimes.image_bytes,
        ),
        (
            "js_image_bytes_max",
            "Bytes of the largest image of an idle JavaScript runtime",
            runtimes.image_bytes_max,
        ),
        (
            "js_actions_bytes",
            "Bytes of memory of the JavaScript actions that run",
            actions.bytes,
        ),
        (
            "js_actions_waiting_bytes",
            "Bytes that the JavaScript actions which wait are expected to take",
            actions.waiting_bytes,
        ),
        (
            "mutations_beside_queued",
            "Mutations that wait for a thread beside the lane",
            beside,
        ),
        (
            "spare_threads",
            "Threads that were started because others are at long calls",
            functions.spare_threads(),
        ),
        (
            "functions_contended",
            "Functions whose mutations overtake each other, so that few of them run at once",
            functions.contended(),
        ),
        (
            "calls_stuck",
            "Calls stuck in a native operation, whose threads were replaced",
            functions.stuck(),
        ),
        (
            "slow_queries_queued",
            "Queries that wait for a thread for slow ones",
            slow,
        ),
    ];
    for (name, help, value) in gauges {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
    }
    Ok(())
}

fn encode_since_the_start(
    encoder: &mut DescriptorEncoder,
    js: &Js,
    functions: &Functions,
) -> Result<(), Error> {
    let runtimes = js.runtimes().counts();
    let [started, overtaken, reservations] = functions.draft_counts().read();
    let node = js.node_counts();
    let counts = [
        (
            "node_processes_started",
            "Processes of Node.js that were started",
            node.started,
        ),
        (
            "node_processes_broken",
            "Processes of Node.js that ended before their time",
            node.broke,
        ),
        (
            "js_runtimes_made",
            "JavaScript runtimes made",
            runtimes.made as u64,
        ),
        (
            "mutations_beside",
            "Mutations begun beside the lane",
            started,
        ),
        (
            "mutations_beside_reruns",
            "Times a mutation beside the lane ran again because a commit had overtaken it",
            overtaken,
        ),
        (
            "mutations_beside_reservations",
            "Times a mutation beside the lane asked that others leave as it is what it reads",
            reservations,
        ),
    ];
    for (name, help, value) in counts {
        let count = ConstCounter::new(value);
        count.encode(encoder.encode_descriptor(name, help, None, count.metric_type())?)?;
    }
    let seconds = ConstCounter::new(runtimes.engine_time.as_secs_f64());
    let (name, help) = ("js_engine", "Time in the JavaScript engine");
    let unit = Some(&Unit::Seconds);
    seconds.encode(encoder.encode_descriptor(name, help, unit, seconds.metric_type())?)
}

fn encode_known(encoder: &mut DescriptorEncoder, js: &Js) -> Result<(), Error> {
    let mut found = encoder.encode_descriptor(
        "js_native_heads",
        "Functions in compiled modules that may get a native head, by whether their version is known",
        None,
        MetricType::Counter,
    )?;
    for (name, is_known, count) in js.known_counts() {
        let labels = [
            ("function", name),
            ("known", if is_known { "true" } else { "false" }),
        ];
        ConstCounter::new(count).encode(found.encode_family(&labels)?)?;
    }
    Ok(())
}
