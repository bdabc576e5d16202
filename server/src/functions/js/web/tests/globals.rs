//! The small globals.

use super::check;
use super::harness::Engine;

#[test]
fn the_small_globals_are_the_standards() {
    check(
        "query",
        &[
            ("new Date().getTime()", "1700000000123"),
            ("Date.now()", "1700000000123"),
            (
                "Date()",
                "Tue Nov 14 2023 22:13:20 GMT+0000 (Coordinated Universal Time)",
            ),
            ("new Date(5) instanceof Date", "true"),
            ("Date.UTC(1970, 0, 1)", "0"),
            ("new (class D extends Date {})(7).getTime()", "7"),
            ("Date.name + Date.length", "Date7"),
            ("new Date(0).constructor === Date", "true"),
            (
                "Math.random() < 1 && Math.random() !== Math.random()",
                "true",
            ),
            ("process.env.CONVEX_SITE_URL", "https://site.example"),
            ("process.env.NOPE", "undefined"),
            ("Object.keys(process.env)", "[]"),
            (r#""X" in process.env"#, "false"),
            ("typeof process.env.inspect", "function"),
            (
                r#"Array.from(new TextEncoder().encode("hé\ud800"))"#,
                "[104,195,169,239,191,189]",
            ),
            (
                "new TextDecoder().decode(new Uint8Array([0xef, 0xbb, 0xbf, 104]))",
                "h",
            ),
            (
                r#"const d = new TextDecoder(); return d.decode(new Uint8Array([0xe2, 0x82]), { stream: true }) + "|" + d.decode(new Uint8Array([0xac]), { stream: true }) + "|" + d.decode();"#,
                "|€|",
            ),
            (
                r#"new TextDecoder("utf8", { fatal: true }).decode(new Uint8Array([255]))"#,
                "TypeError: The encoded data was not valid.",
            ),
            (
                r#"new TextEncoder().encodeInto("a€b", new Uint8Array(3))"#,
                r#"{"read":1,"written":1}"#,
            ),
            (r#"atob(btoa("hi"))"#, "hi"),
            (
                r#"btoa("€")"#,
                "InvalidCharacterError: The string to be encoded contains characters outside of the Latin1 range.",
            ),
            (
                r#"const u = new URL("/p/../q?a=1&b=2#h", "https://u:p@Ex.com:81/x"); return [u.href, u.origin, u.protocol, u.username, u.password, u.host, u.hostname, u.port, u.pathname, u.search, u.hash];"#,
                r##"["https://u:p@ex.com:81/q?a=1&b=2#h","https://ex.com:81","https:","u","p","ex.com:81","ex.com","81","/q","?a=1&b=2","#h"]"##,
            ),
            (
                r#"const u = new URL("https://e.com/?a=1"); u.searchParams.append("b", "x y"); u.searchParams.delete("a"); return u.href;"#,
                "https://e.com/?b=x+y",
            ),
            (
                r#"const u = new URL("https://e.com/?a=1"); const p = u.searchParams; u.search = "?z=9"; return p.get("z") + [...p].length;"#,
                "91",
            ),
            (r#"new URL("nope")"#, "TypeError: Invalid URL"),
            (r#"URL.canParse("a:b")"#, "true"),
            (r#""" + URL.parse("http://a")"#, "http://a/"),
            (r#"URL.parse("x")"#, "null"),
            (
                r#""" + new URLSearchParams({ a: 1, b: "é" })"#,
                "a=1&b=%C3%A9",
            ),
            (
                r#""" + new URLSearchParams([ ["a", "1"], ["a", "2"], ])"#,
                "a=1&a=2",
            ),
            (
                r#"const p = new URLSearchParams("?a=1&b=2&a=3"); p.set("a", "9"); return p + "|" + p.size + p.has("b", "2") + p.has("b", "3");"#,
                "a=9&b=2|2truefalse",
            ),
            (
                r#"const p = new URLSearchParams("b=2&a=1"); p.sort(); return "" + p;"#,
                "a=1&b=2",
            ),
            (
                r#"[...new Headers({ "X-A": " 1 ", b: 2 })]"#,
                r#"[["b","2"],["x-a","1"]]"#,
            ),
            (
                r#"const h = new Headers([ ["a", "1"], ["A", "2"], ["Set-Cookie", "x"], ["set-cookie", "y"], ]); return [h.get("a"), h.getSetCookie(), [...h.keys()]];"#,
                r#"["1, 2",["x","y"],["a","set-cookie","set-cookie"]]"#,
            ),
            (
                r#"new Headers({ "a b": 1 })"#,
                "TypeError: Invalid header name: a b",
            ),
            (
                "/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID())",
                "true",
            ),
            ("crypto.getRandomValues(new Uint8Array(4)).length", "4"),
            (
                "crypto.getRandomValues(new Float64Array(4)).length",
                "TypeMismatchError: The data argument must be an integer-type TypedArray",
            ),
            (
                r#"[new DOMException("m", "AbortError").code, DOMException.ABORT_ERR, new DOMException("m") instanceof Error]"#,
                "[20,20,true]",
            ),
            (
                r#"Object.prototype.toString.call(new URL("a:b"))"#,
                "[object URL]",
            ),
            (
                "typeof window + typeof global + typeof require + typeof Buffer + typeof navigator",
                "undefinedundefinedundefinedundefinedundefined",
            ),
            (
                "WebAssembly.instantiate()",
                "Error: WebAssembly is not available in this runtime",
            ),
            ("new WeakRef({ a: 1 }).deref().a", "1"),
            ("self === globalThis", "true"),
            (
                "performance.now() + performance.timeOrigin",
                "1700000000001.5",
            ),
            (r#"performance.mark("x").name"#, "x"),
        ],
    );
}

#[test]
fn stacks_of_errors_begin_with_their_message_and_take_any_value() {
    check(
        "query",
        &[
            (r#"new Error("boom").stack.split("\n")[0]"#, "Error: boom"),
            (
                r#"const e = new Error("boom"); return e.stack.endsWith("\n") + "|" + /\n    at [^\n]+ \(row/.test(e.stack) + "|" + Object.keys(e);"#,
                "false|true|",
            ),
            (
                r#"class Own extends Error { constructor(m) { super(m); this.name = "Named"; } } const lines = new Own("x").stack.split("\n"); return [lines[0], lines[1].includes("Own")];"#,
                r#"["Named: x",false]"#,
            ),
            (
                r#"try { null.x; } catch (e) { return e.stack.startsWith(`TypeError: ${e.message}\n    at `); }"#,
                "true",
            ),
            (
                r#"const e = new Error("a"); e.message = "b"; const first = e.stack; e.message = "c"; return [first === e.stack, first.split("\n")[0]];"#,
                r#"[true,"Error: b"]"#,
            ),
            (
                r#"const e = new Error("a"); return [undefined, null, 7, "text", { frames: 1 }].map((value) => { e.stack = value; return [e.stack === value, Object.keys(e).length]; });"#,
                "[[true,0],[true,0],[true,0],[true,0],[true,0]]",
            ),
            (
                r#"const e = Object.freeze(new Error("a")); try { e.stack = undefined; return "kept"; } catch (error) { return error.name; }"#,
                "TypeError",
            ),
            (
                r#"function Old(m) { this.message = m; this.stack = new Error(m).stack; } Old.prototype = Object.create(Error.prototype); const old = new Old("w"); return [Object.keys(old), old.stack.split("\n")[0], Object.create(Error.prototype).stack === undefined];"#,
                r#"[["message","stack"],"Error: w",true]"#,
            ),
            (
                r#"Error.prototype.stack = "all"; return new Error("one").stack.split("\n")[0];"#,
                "Error: one",
            ),
            (
                r#"const o = { name: "Own", message: "m" }; Error.captureStackTrace(o); const bare = {}; Error.captureStackTrace(bare); return [o.stack.split("\n")[0], bare.stack.split("\n")[0], Object.keys(o), bare.stack.includes("captureStackTrace")];"#,
                r#"["Own: m","Error",["name","message"],false]"#,
            ),
            (
                r#"function inner() { const o = {}; Error.captureStackTrace(o, outer); return o; } function outer() { return inner(); } const { stack } = outer(); return [stack.includes("inner"), stack.includes("outer"), stack.includes("row")];"#,
                "[false,false,true]",
            ),
            (
                r#"const e = new Error("late"); Error.captureStackTrace(e); e.name = "Late"; const { stack } = e; e.stack = undefined; return [stack.split("\n")[0], e.stack === undefined, Object.keys(e)];"#,
                r#"["Late: late",true,["name"]]"#,
            ),
            (
                r#"Error.prepareStackTrace = (error, sites) => [error.message, Array.isArray(sites)]; const e = new Error("p"); const o = {}; Error.captureStackTrace(o); return [e.stack, o.stack[1]];"#,
                r#"[["p",true],true]"#,
            ),
            (
                r#"const e = new TypeError("x"); const told = JSON.parse(JSON.stringify(e, Object.getOwnPropertyNames(e))); return [told.message, told.stack === e.stack, Object.keys(e), Object.getOwnPropertyNames({ a: 1, stack: 2 }), Object.getOwnPropertyNames(Object.freeze(new Error("y"))), Object.getOwnPropertyNames("ab")];"#,
                r#"["x",true,[],["a","stack"],["message"],["0","1","length"]]"#,
            ),
            (
                r#"class Own extends Error { get stack() { return "own"; } } const e = new Own("x"); Object.getOwnPropertyNames(e); return e.stack;"#,
                "own",
            ),
            ("Error.captureStackTrace(1)", "TypeError: not an object"),
            (
                "Error.stackTraceLimit = 0; return new Error(\"z\").stack",
                "Error: z",
            ),
            (
                r#"const e = new Error("x"); Object.defineProperty(e, "name", { get() { throw new Error("no"); } }); return e.stack.split("\n")[0];"#,
                "<error>",
            ),
        ],
    );
}

#[test]
fn events_timers_and_clones_are_the_standards() {
    check(
        "action",
        &[
            (
                r#"const t = new EventTarget(); let s = ""; t.addEventListener("a", (e) => (s += e.type + (e.target === t)), { once: true }); t.addEventListener("a", { handleEvent(e) { e.preventDefault(); s += "|"; }, }); const r = t.dispatchEvent(new Event("a", { cancelable: true })); t.dispatchEvent(new Event("a")); return s + r;"#,
                "atrue||false",
            ),
            (
                r#"class My extends Event { constructor(d) { super("my"); this.detail = d; } } class T extends EventTarget {} const t = new T(); let s; t.addEventListener("my", (e) => (s = e.detail)); t.dispatchEvent(new My(5)); return s;"#,
                "5",
            ),
            (
                r#"const c = new AbortController(); let s = 0; c.signal.onabort = () => s++; c.signal.addEventListener("abort", () => (s += 10)); c.abort(); c.abort(); return [s, c.signal.aborted, c.signal.reason.name];"#,
                r#"[11,true,"AbortError"]"#,
            ),
            (
                r#"const c = new AbortController(); const a = AbortSignal.any([c.signal, AbortSignal.abort("x")]); const b = AbortSignal.any([c.signal]); c.abort("y"); return [a.reason, b.reason];"#,
                r#"["x","y"]"#,
            ),
            ("new AbortSignal()", "TypeError: Illegal constructor"),
            (
                r#"new Promise((r) => setTimeout((a, b) => r(a + b), 1, "x", "y"))"#,
                "xy",
            ),
            (
                "new Promise((r) => { let n = 0; const i = setInterval(() => { if (++n === 3) { clearInterval(i); r(n); } }, 1); })",
                "3",
            ),
            (
                r#"new Promise((r) => { const t = setTimeout(() => r("bad"), 1); clearTimeout(t); setTimeout(() => r("good"), 4); })"#,
                "good",
            ),
            (
                r#"const a = new AsyncLocalStorage(); return a.run(5, () => a.getStore() + "," + a.exit(() => a.getStore())) + a.getStore();"#,
                "5,undefinedundefined",
            ),
            (
                "const a = new AsyncLocalStorage(); const f = a.run(7, () => AsyncResource.bind(() => a.getStore())); return f();",
                "7",
            ),
            (
                r#"const a = new AsyncLocalStorage(); const seen = []; async function* numbers() { yield 1; await null; seen.push(a.getStore()); } await a.run(1, async () => { for await (const n of numbers()) seen.push(a.getStore()); queueMicrotask(() => seen.push(a.getStore())); a.enterWith(2); await null; seen.push(a.getStore()); }); await null; return [...seen, a.getStore() ?? null];"#,
                "[1,1,1,2,null]",
            ),
            (
                r#"return [() => structuredClone({ a: new ReadableStream() }), () => new FormData().append("x"), () => new FormData().set("x")].map((f) => { try { f(); } catch (error) { return [error.name, error.message]; } })"#,
                r##"[["DataCloneError","#<Object> could not be cloned."],["TypeError","FormData.append: 2 arguments required, but only 1 present."],["TypeError","FormData.set: 2 arguments required, but only 1 present."]]"##,
            ),
            (
                r#"const o = { d: new Date(5), m: new Map([[1, { a: 2 }]]), s: new Set([1]), e: new RangeError("x"), u: new Uint8Array([1, 2]), r: /a/g, n: null }; o.self = o; const c = structuredClone(o); return [c.self === c, c.d.getTime(), c.m.get(1).a, c.s.has(1), c.e instanceof RangeError, c.e.message, c.u[1], c.u !== o.u, String(c.r)];"#,
                r#"[true,5,2,true,true,"x",2,true,"/a/g"]"#,
            ),
            (
                "structuredClone(() => 1)",
                "DataCloneError:  could not be cloned.",
            ),
        ],
    );
}

#[test]
fn what_needs_time_or_the_network_is_refused_outside_of_actions() {
    let refused = |subject: &str| {
        format!(
            "fatal: Can't use {subject} in queries and mutations. Please consider using an action. \
             See https://docs.convex.dev/functions/actions for more details."
        )
    };
    let (fetch, timeout) = (refused("fetch()"), refused("setTimeout"));
    let rows = [
        (
            r#"fetch("https://a.example").catch(() => 1)"#,
            fetch.as_str(),
        ),
        ("setTimeout(() => 1)", timeout.as_str()),
        ("clearTimeout(5)", "undefined"),
    ];
    check("query", &rows);
    check("mutation", &rows);
    check(
        "import",
        &[(
            "setTimeout(() => 1)",
            "Error: setTimeout unsupported at import time",
        )],
    );
}

#[test]
fn the_console_shows_values_as_the_field_does() {
    let expressions = [
        r#"console.log("it's", 3, { a: 1, "b-c": [1, "x"] }, undefined, null, -0, 5n, Symbol("q"))"#,
        r#"console.log(new Map([[1, { a: 2 }]]), new Set(["s"]), new Error("boom"), new (class Foo { a = 1; })())"#,
        r#"console.warn({ a: { b: { c: { d: { e: { f: { g: 1 } } } } } } })"#,
        r#"console.time("t"), console.timeEnd("t"), console.timeEnd("t")"#,
        r#"console.error({ long: "x".repeat(50), other: "y".repeat(50) })"#,
    ];
    let mut engine = Engine::new(expressions.into_iter());
    let expected = [
        r#"[LOG] 'it\'s' 3 { a: 1, 'b-c': [ 1, 'x' ] } undefined null -0 5n Symbol(q)"#,
        "[LOG] Map (1) { 1 => { a: 2 } } Set (1) { 's' } [Error: boom] Foo { a: 1 }",
        "[WARN] { a: { b: { c: { d: { e: { f: [Object] } } } } } }",
        "[INFO] t: 12ms\n[WARN] Timer 't' does not exist",
        &format!(
            "[ERROR] {{\n  long: '{}',\n  other: '{}'\n}}",
            "x".repeat(50),
            "y".repeat(50)
        ),
    ];
    for (row, expected) in expected.iter().enumerate() {
        engine.run("query", row);
        assert_eq!(engine.host.lines.join("\n"), *expected);
    }
}

#[test]
fn other_character_sets_are_decoded_in_pieces_too() {
    check(
        "query",
        &[
            (
                r#"const d = new TextDecoder("shift_jis"); return [d.decode(new Uint8Array([0x83]), { stream: true }), d.decode(new Uint8Array([0x65])), d.encoding];"#,
                r#"["","テ","shift_jis"]"#,
            ),
            (
                r#"const d = new TextDecoder("utf-16le"); return [0x3d, 0xd8, 0x00].map((byte) => d.decode(new Uint8Array([byte]), { stream: true })).join("") + d.decode(new Uint8Array([0xde]));"#,
                "😀",
            ),
            (
                r#"new TextDecoder("latin1").decode(new Uint8Array([0x80, 0xe9])) + new TextDecoder().decode(new Uint8Array([0xe2, 0x82]))"#,
                "€é\u{FFFD}",
            ),
            (
                r#"const d = new TextDecoder(); return [0xef, 0xbb, 0xbf, 0x41].map((byte) => d.decode(new Uint8Array([byte]), { stream: true }));"#,
                r#"["","","","A"]"#,
            ),
            (
                r#"new TextDecoder("nonsense")"#,
                "RangeError: The encoding label provided ('nonsense') is invalid.",
            ),
        ],
    );
}

#[test]
fn the_prelude_leaves_a_small_image() {
    let image = Engine::new(std::iter::empty()).image_bytes();
    assert!(image < IMAGE_BYTES_MAX, "{image}");
}

/// Restoring costs by the byte, so that the prelude must not grow unseen.
const IMAGE_BYTES_MAX: usize = 1 << 20;

/// The answer of Node.js 22 in UTC.
const DATES: &str = r#"[["2024-02-01 10:20:30-05:00",1706800830000],
    ["2024-02-01 10:20:30+02:00",1706775630000],
    ["2024-02-01 10:20-05:00",1706800800000],
    ["2024-02-01 10:20:30-05",1706800830000],
    ["2024-02-01 10:20:30.123456-05:00",1706800830123],
    ["2024-02-01T10:20:30-0500",1706800830000],
    ["2024-02-01 10:20:30 -0500",1706800830000],
    ["Sep 15 2024 GMT+0200",1726351200000],
    ["Jan 32 2024",null],
    ["0/1/2024",null],
    ["32/01/2024",null],
    ["13/1/2024",null],
    ["1/31/2024",1706659200000],
    ["Feb 30 2024",1709251200000],
    ["Thu, 01 Jan 1970 00:00:00 GMT",0],
    ["2024-02-01",1706745600000],
    ["2024-02-01T10:20:30Z",1706782830000],
    ["2024-02-01 10:20:30",1706782830000],
    ["Jan 5, 2024 10:00 PM",1704492000000],
    ["Mon Jan 05 2024 10:00:00 GMT+0100",1704445200000],
    ["2024-13-01",null],
    ["hello",null],
    ["1-2-2024",1704153600000],
    ["Jan 0 2024",null],
    ["2024-02-01T25:00:00Z",null],
    ["2024-02-01 10:20:30 GMT-0500",1706800830000],
    ["Dec 25, 1995",819849600000],
    ["2024/02/01 10:00:00-08:00",1706810400000]]"#;

#[test]
fn dates_in_texts_are_read_as_v8_reads_them() {
    let body = format!(
        "const dates = {DATES}; return dates.map(([text]) => text).map((text) => [text, Date.parse(text), new Date(text).getTime()]);"
    );
    let rows: Vec<(String, Option<u64>)> = serde_json::from_str(DATES).unwrap();
    let expected: Vec<_> = rows.iter().map(|(text, at)| (text, at, at)).collect();
    check(
        "query",
        &[(&body, &serde_json::to_string(&expected).unwrap())],
    );
}
