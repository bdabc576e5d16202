//! Frames: the texts of calls and of their answers.

use std::hint::black_box;

use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Value;
use vestibule_schema::wire::{ClientMessage, MutationResponse, RequestId, ServerMessage};

use crate::rig::Rig;
use crate::row::Scene;

/// Frames that are read one after another.
const BATCH: u32 = 256;

/// Calls as official clients write them, read, and their answers, written.
pub struct Frames {
    calls: Vec<String>,
    /// Nothing happens there.
    rig: Rig,
}

impl Frames {
    /// Calls with a text of so many characters among their arguments.
    pub fn new(size: usize) -> Frames {
        let text = "x".repeat(size);
        let call = |number| {
            format!(
                r#"{{"type":"Mutation","requestId":{number},"udfPath":"items:move","args":[{{"amount":1,"text":"{text}"}}]}}"#
            )
        };
        Frames {
            calls: (0..BATCH).map(call).collect(),
            rig: Rig::new(),
        }
    }
}

impl Scene for Frames {
    fn once(&mut self) -> u64 {
        for (number, text) in (0..).zip(&self.calls) {
            let call = ClientMessage::parse(text);
            assert!(matches!(call, Ok(ClientMessage::Mutation(_))), "{call:?}");
            let answer = ServerMessage::MutationResponse(MutationResponse {
                request_id: RequestId(number),
                outcome: Ok((Value::Null, Timestamp(number.into()))),
                log_lines: Vec::new(),
            });
            black_box(answer.to_json());
        }
        BATCH.into()
    }

    fn rig(&self) -> &Rig {
        &self.rig
    }
}
