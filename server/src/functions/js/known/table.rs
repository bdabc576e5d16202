//! The functions that are known, with the fingerprints of their versions and the heads that they get.
//!
//! A version that is missing here is told in the log with its fingerprint, and counted. Before a fingerprint is added, the package's
//! change has to be read: `tests/cli/known.test.mjs` compares what is known with the package's own code.

use super::MARK;

/// The work of a head.
#[derive(Clone, Copy)]
pub(super) enum Head {
    /// Conversion of a value to JSON; the fourth parameter keeps what is undefined.
    ToJson,
    /// Conversion of JSON to a value.
    FromJson,
    /// A key of a password, its salt and options as `@noble/hashes` and lucia have them.
    Scrypt,
    /// The inner hash of bcryptjs.
    Bcrypt,
}

/// A function that may be known.
pub(super) struct Known {
    /// As its package calls it.
    pub name: &'static str,
    pub head: Head,
    pub fingerprints: &'static [&'static str],
}

pub(super) const KNOWN: &[Known] = &[
    Known {
        name: "convexToJsonInternal",
        head: Head::ToJson,
        fingerprints: &[
            "c2193319e7fe8a1e", // convex 1.17 to 1.28
            "f551d16237ed9a66", // convex 1.30 to 1.40
            "224b57d3b8171012", // convex 1.45
            "8db01269c1ca79b3", // convex 1.49
        ],
    },
    Known {
        name: "jsonToConvex",
        head: Head::FromJson,
        fingerprints: &[
            "7814f0b6f0baa69d", // convex 1.17 to 1.40
            "bdc2a44ffa0c3628", // convex 1.45 and 1.49
        ],
    },
    Known {
        name: "scrypt",
        head: Head::Scrypt,
        fingerprints: &[
            "26d274e72aa3c7d5", // lucia 3.0 to 3.2, which @convex-dev/auth uses
            "bfa2aca7f8df3921", // @noble/hashes 1.3.3
            "b87a49531e4e1469", // 1.4.0
            "bb642cbc718d958d", // 1.5.0
            "dc59c80e52392c3b", // 1.7.1
            "a774a8620702d9ec", // 1.8.0
            "68309349f83ab398", // 2.0.1
            "f309297b6ee79b40", // 2.2.0
            "0c9b7c671bc1f476", // 2.4.0
        ],
    },
    Known {
        name: "scryptAsync",
        head: Head::Scrypt,
        fingerprints: &[
            "d12cb6435dcc6929", // @noble/hashes 1.3.3
            "1f43842574dc6433", // 1.4.0
            "346653c69be323b7", // 1.5.0
            "67e5a4ed263796c6", // 1.7.1
            "4a64b35e8ea7f10b", // 1.8.0
            "49c3aecedf787c61", // 2.0.1
            "1bbb288db28a5399", // 2.2.0
            "85a50b0022aeab1a", // 2.4.0
        ],
    },
    Known {
        name: "_crypt",
        head: Head::Bcrypt,
        fingerprints: &[
            "1b622b33dc98f501", // bcryptjs 3.0.0 to 3.0.2
            "10778ccd6e8ac46e", // bcryptjs 3.0.3
        ],
    },
];

impl Known {
    /// The name as a bundle has it.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.name)
    }
}

impl Head {
    /// The head of a function with these parameters: a block that returns, or leaves everything as it was.
    pub fn text(self, parameters: &[&str]) -> Option<String> {
        let (answer, result) = match (self, parameters) {
            (Head::ToJson, [value, _, _, keeps]) => (
                format!("{MARK}toJson({value},{keeps})"),
                format!("return {MARK}r"),
            ),
            (Head::FromJson, [json]) => {
                (format!("{MARK}fromJson({json})"), format!("return {MARK}r"))
            }
            (Head::Scrypt, [password, salt, options]) => (
                scrypt(password, salt, options),
                format!("return new Uint8Array({MARK}r)"),
            ),
            (Head::Bcrypt, [password, salt, rounds, callback, progress]) => (
                bcrypt(password, salt, rounds, progress),
                bcrypt_result(callback),
            ),
            _ => return None,
        };
        Some(format!(
            "{{let {MARK}r={answer};if({MARK}r!==void 0){{{result}}}}}"
        ))
    }
}

/// Reports of progress are the package's affair, and so are errors: a bound of memory that is too low, or no number.
fn scrypt(password: &str, salt: &str, options: &str) -> String {
    let is_octets =
        |name: &str| format!("(typeof {name}==\"string\"||{name} instanceof Uint8Array)");
    let (password_is, salt_is) = (is_octets(password), is_octets(salt));
    let (memory, uses) = (
        format!("{options}.maxmem"),
        format!("128*{options}.r*({options}.N+{options}.p+1)"),
    );
    let memory_is = format!(
        "({memory}===void 0||typeof {memory}==\"number\"&&{memory}%1===0&&{memory}<=9007199254740991&&{memory}>={uses})"
    );
    format!(
        "{password_is}&&{salt_is}&&typeof {options}==\"object\"&&{options}&&{options}.onProgress===void 0&&{memory_is}\
         ?{MARK}call(\"scrypt\",{password},{salt},{options}.N,{options}.r,{options}.p,\"dkLen\"in {options}?{options}.dkLen:32):void 0"
    )
}

fn bcrypt(password: &str, salt: &str, rounds: &str, progress: &str) -> String {
    format!(
        "{progress}===void 0?{MARK}call(\"bcrypt\",Uint8Array.from({password}),Uint8Array.from({salt}),{rounds}):void 0"
    )
}

/// With a callback the package finishes in a turn of its own, by the same two functions.
fn bcrypt_result(callback: &str) -> String {
    format!(
        "{MARK}r=Array.from(new Uint8Array({MARK}r));if({callback}===void 0)return {MARK}r;\
         (typeof setImmediate==\"function\"?setImmediate:setTimeout)(()=>{callback}(null,{MARK}r));return"
    )
}
