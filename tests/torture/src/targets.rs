//! Functions over bytes that must end, whatever the bytes are: nothing panics, and a value that is read is written back as
//! the same value. A fuzzer calls them (`tests/fuzz`), and so does a bounded run in `cargo test`.

use std::sync::{Arc, LazyLock};

use vestibule_schema::id::DocumentId;
use vestibule_schema::key::{decode_key, encode_key, encoded_size};
use vestibule_schema::value::Value;
use vestibule_schema::wire::{ClientMessage, ServerMessage};
use vestibule_server::auth::{
    AdminKeys, AuthConfig, Authenticator, DeploymentSecret, parse_authorization,
};
use vestibule_server::clock::SystemClock;
use vestibule_server::outbound::{Origins, Own};

/// A target, and inputs to begin with.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Its work on bytes.
    pub run: fn(&[u8]),
    /// Inputs that it takes.
    pub corpus: &'static [&'static [u8]],
}

/// All targets.
pub const TARGETS: [Target; 6] = [
    Target {
        name: "message",
        run: message,
        corpus: &[
            br#"{"type":"Connect","sessionId":"6f1c2a4e-1d2f-4c3b-9a8d-0e1f2a3b4c5d","connectionCount":0,"lastCloseReason":null,"maxObservedTimestamp":"AAAAAAAAAAA=","clientTs":1}"#,
            br#"{"type":"Authenticate","baseVersion":0,"tokenType":"User","value":"a.b.c"}"#,
            br#"{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[{"type":"Add","queryId":0,"udfPath":"a:b","args":[{"x":{"$integer":"AQAAAAAAAAA="}}],"journal":null},{"type":"Remove","queryId":1}]}"#,
            br#"{"type":"Mutation","requestId":7,"udfPath":"a:b","args":[{"y":{"$bytes":"AQID"},"z":[1,-0.0,null,true,"t"]}]}"#,
            br#"{"type":"Action","requestId":8,"udfPath":"a:b","args":[{}]}"#,
            br#"{"type":"Event","eventType":"x","event":{"a":1}}"#,
            br#"{"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"AQAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":[],"logLines":[],"journal":null}]}"#,
            br#"{"type":"MutationResponse","requestId":0,"success":true,"result":null,"ts":"AQAAAAAAAAA=","logLines":[]}"#,
        ],
    },
    Target {
        name: "value",
        run: value,
        corpus: &[
            br#"{"a":[1,2.5,-0.0,1e300,"x",null,true],"b":{"$integer":"AQAAAAAAAAA="},"c":{"$bytes":"AQID"},"d":{"$float":"AAAAAAAA+H8="}}"#,
            br#"[[[[[[[[{"deep":[]}]]]]]]]]"#,
            br#""\ud83d\ude00\u0000""#,
        ],
    },
    Target {
        name: "key",
        run: key,
        corpus: &[
            b"\x00",
            b"\x03\x80\x00\x00\x00\x00\x00\x00\x01",
            b"\x05ab\x00",
            b"\x09\x05ab\x00\x01\x00\x00",
        ],
    },
    Target {
        name: "order",
        run: order,
        corpus: &[
            br#"[1,2]"#,
            br#"["a","a\u0000b"]"#,
            br#"[{"a":1},{"a":1,"b":[]}]"#,
            br#"[{"$integer":"AQAAAAAAAAA="},{"$bytes":"AA=="}]"#,
            br#"[-1.5,[null,false,true]]"#,
        ],
    },
    Target {
        name: "id",
        run: id,
        corpus: &[
            b"j57cw1z8d9s0k3q2m4n6p8r0t2v4x6y8",
            b"k170000000000000000000000000000",
        ],
    },
    Target {
        name: "token",
        run: token,
        corpus: &[
            b"Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL2EuYiIsInN1YiI6InMiLCJhdWQiOlsiYyJdLCJleHAiOjE4OTM0NTYwMDB9.AAAA",
            b"Convex vestibule|0123456789abcdef",
            b"Basic YTpi",
        ],
    },
];

/// A message of a client or a server.
pub fn message(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(message) = ClientMessage::parse(text)
        && let Ok(again) = message.to_json()
    {
        let read = ClientMessage::parse(&again).expect("a written message is read");
        assert_eq!(read, message, "{again}");
    }
    if let Ok(message) = ServerMessage::parse(text) {
        let again = message.to_json();
        let read = ServerMessage::parse(&again).expect("a written message is read");
        assert_eq!(read.to_json(), again);
    }
}

fn parsed(bytes: &[u8]) -> Option<Value> {
    let json = serde_json::from_slice(bytes).ok()?;
    Value::from_json(&json).ok()
}

/// A value in JSON.
pub fn value(bytes: &[u8]) {
    let Some(value) = parsed(bytes) else {
        return;
    };
    let again = Value::from_json(&value.to_json()).expect("a written value is read");
    assert_eq!(again, value);
    let mut text = String::new();
    value.write_json(&mut text);
    assert_eq!(parsed(text.as_bytes()).as_ref(), Some(&value), "{text}");
    let mut encoded = Vec::new();
    encode_key(&mut encoded, Some(&value));
    let (decoded, bytes) = decode_key(&encoded).expect("an encoded value is decoded");
    assert_eq!((decoded, bytes), (Some(value), encoded.len()));
}

/// The bytes of a key.
pub fn key(bytes: &[u8]) {
    let size = encoded_size(bytes);
    let Ok((value, read)) = decode_key(bytes) else {
        return;
    };
    let mut encoded = Vec::new();
    encode_key(&mut encoded, value.as_ref());
    assert_eq!(encoded, bytes[..read], "equal values have equal bytes");
    if let Some(value) = value.filter(|_| read == bytes.len()) {
        assert_eq!(size.expect("what is decoded has a size"), value.size());
    }
}

/// Two values, whose keys have the same order as they.
pub fn order(bytes: &[u8]) {
    let Some(Value::Array(pair)) = parsed(bytes) else {
        return;
    };
    let [one, other] = &pair[..] else { return };
    let encoded = |value| {
        let mut out = Vec::new();
        encode_key(&mut out, Some(value));
        out
    };
    assert_eq!(
        encoded(one).cmp(&encoded(other)),
        one.cmp(other),
        "{pair:?}"
    );
}

/// The text of an id.
pub fn id(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(id) = text.parse::<DocumentId>() {
        assert_eq!(id.to_string(), text, "an id has one text");
    }
}

/// The value of an `Authorization` header, and a token in it: header, claims and signature.
pub fn token(bytes: &[u8]) {
    static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
        let secret = DeploymentSecret::from_bytes([7; 32]);
        let keys = AdminKeys::new("vestibule", &secret, Vec::new()).expect("the name is legal");
        let clock = Arc::new(SystemClock::new());
        Authenticator::new(AuthConfig::none(), keys, clock, Own::at(Origins::default()))
    });
    // Credentials have no form that could be compared or printed, so that no secret is.
    let _ = parse_authorization([bytes], None);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let text = text.strip_prefix("Bearer ").unwrap_or(text);
    let mut verified = Box::pin(AUTHENTICATOR.verify_user(text));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let outcome = verified.as_mut().poll(&mut cx);
    // No provider is configured, so nothing is waited for and nobody is let in.
    assert!(matches!(outcome, std::task::Poll::Ready(Err(_))));
    assert!(AUTHENTICATOR.verify_admin(text, None).is_err());
}

/// A random change of an input, or two in one.
pub fn mutate(input: &[u8], other: &[u8], rng: &mut impl rand::Rng) -> Vec<u8> {
    const CHANGES_MAX: usize = 4;
    const TOKENS: [&str; 10] = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        "null",
        "-0.0",
        "1e999",
        "{\"$integer\":\"AQAAAAAAAAA=\"}",
        "\\u0000",
    ];
    let mut bytes = input.to_vec();
    for _ in 0..rng.random_range(1..=CHANGES_MAX) {
        let at = rng.random_range(0..=bytes.len());
        let end = rng.random_range(at..=bytes.len());
        match rng.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = rng.random(),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let from = rng.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            5 => {
                let token = TOKENS[rng.random_range(0..TOKENS.len())];
                bytes.splice(at..at, token.bytes());
            }
            _ => bytes.insert(at, rng.random()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    const RUNS: usize = 20_000;

    #[test]
    fn no_bytes_at_all_break_a_target() {
        let seed = std::env::var("VESTIBULE_SEED").ok();
        let seed = seed.and_then(|seed| seed.parse().ok());
        let seed: u64 = seed.unwrap_or_else(rand::random);
        println!("VESTIBULE_SEED={seed}");
        for target in TARGETS {
            println!("{}", target.name);
            let mut rng = StdRng::seed_from_u64(seed);
            let mut inputs: Vec<Vec<u8>> = target.corpus.iter().map(|it| it.to_vec()).collect();
            for run in 0..RUNS {
                let one = &inputs[rng.random_range(0..inputs.len())];
                let other = &inputs[rng.random_range(0..inputs.len())];
                let input = mutate(one, other, &mut rng);
                (target.run)(&input);
                // Some go on from what came out.
                if run % 100 == 0 && input.len() < 4096 {
                    inputs.push(input);
                }
            }
            target.corpus.iter().for_each(|input| (target.run)(input));
        }
    }
}
