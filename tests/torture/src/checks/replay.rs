//! The replay: all events in the order of their timestamps, taken one after the other by the plain model. Events without
//! a timestamp go where the graph puts them. Each result must be the model's.

use super::{Event, Graph};
use crate::model::Model;

/// Replays a history and returns what does not fit.
pub fn replay(events: &[Event]) -> Vec<String> {
    let (order, mut breaches, _) = Graph::new(events).with_timestamps().order();
    if !breaches.is_empty() {
        return breaches;
    }
    let mut model = Model::default();
    for event in order.into_iter().map(|node| &events[node]) {
        let expected = model.run(&event.id, &event.steps);
        if expected != event.results {
            breaches.push(format!("{event:?} should have been {expected:?}"));
            // Everything after it may differ for the same reason.
            break;
        }
    }
    for pair in model.skewed() {
        breaches.push(format!("nobody of {pair} is on duty"));
    }
    breaches
}
