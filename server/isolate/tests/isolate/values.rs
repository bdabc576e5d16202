//! Values and errors that cross between JavaScript and the host.

use vestibule_isolate::{Failure, HostValue, engine_version};

use crate::harness::{Bench, thrown};

#[test]
fn the_engine_is_the_version_that_all_this_was_tried_with() {
    assert_eq!(engine_version(), "0.16.2");
}

#[test]
fn every_kind_of_value_crosses_both_ways() {
    let mut bench = Bench::of("export const echo = (v) => Convex.host('echo', v) === v;");
    let values = [
        HostValue::Undefined,
        HostValue::Null,
        HostValue::Bool(true),
        HostValue::Bool(false),
        HostValue::Number(0.0),
        HostValue::Number(-1.5),
        HostValue::Number(f64::from(i32::MIN)),
        HostValue::Number(9_007_199_254_740_993.0),
        HostValue::Number(f64::INFINITY),
        HostValue::String(String::new()),
        HostValue::String("grüße \u{1F600} \0 end".to_owned()),
        HostValue::Bytes(Vec::new()),
        HostValue::Bytes(vec![0, 1, 255]),
    ];
    for value in values {
        let back = bench
            .isolate
            .call(&mut bench.host, "same", std::slice::from_ref(&value));
        assert_eq!(back, Ok(value));
        bench.restore();
    }
    let negative = bench
        .isolate
        .call(&mut bench.host, "same", &[HostValue::Number(-0.0)]);
    assert!(matches!(negative, Ok(HostValue::Number(n)) if n == 0.0 && n.is_sign_negative()));
    bench.restore();
    assert_eq!(bench.once("echo", "[\"text\"]"), Ok("true".to_owned()));
}

#[test]
fn half_a_surrogate_pair_becomes_a_replacement_character() {
    let mut bench = Bench::of("export const f = () => { Convex.host('echo', 'a\\ud800b'); };");
    bench.call("f", "[]").unwrap();
    let expected = HostValue::String("a\u{FFFD}b".to_owned());
    assert_eq!(bench.host.calls[0].1, [expected]);
}

#[test]
fn a_part_of_a_buffer_is_only_that_part() {
    let source = "export const f = () => {
        const all = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
        Convex.host('echo', all.subarray(2, 5));
        Convex.host('echo', new Uint16Array(all.buffer, 4, 1));
        Convex.host('echo', all.buffer);
    };";
    let mut bench = Bench::of(source);
    bench.call("f", "[]").unwrap();
    let sent: Vec<_> = bench
        .host
        .calls
        .iter()
        .map(|(_, args)| args[0].clone())
        .collect();
    let expected = [vec![3, 4, 5], vec![5, 6], vec![1, 2, 3, 4, 5, 6, 7, 8]];
    assert_eq!(sent, expected.map(HostValue::Bytes));
}

#[test]
fn what_does_not_cross_is_refused() {
    let source = "export const f = (kind) => {
        const values = { object: {}, symbol: Symbol('s'), big: 1n, view: new DataView(new ArrayBuffer(1)) };
        const gone = new ArrayBuffer(4); gone.transfer(); values.detached = gone;
        Convex.host('echo', values[kind]);
    };";
    let mut bench = Bench::of(source);
    for kind in ["object", "symbol", "big", "view", "detached"] {
        let thrown = thrown(bench.once("f", &format!("[{kind:?}]")));
        assert_eq!(thrown.name, "TypeError", "{kind}");
        assert!(thrown.message.contains("must be a primitive or bytes"));
    }
    let back = bench.isolate.call(&mut bench.host, "object", &[]);
    assert!(matches!(back, Err(Failure::Threw(_))), "{back:?}");
}

#[test]
fn a_refusal_of_the_hosts_can_be_caught_and_has_its_class_and_data() {
    let source = "export const f = (...args) => {
        try { Convex.host('refuse', ...args); } catch (e) {
            return [e instanceof Error, e.constructor.name, e.name, e.message, e.data ?? null,
                typeof e.stack, Object.keys(e).includes('message')];
        }
    };";
    let mut bench = Bench::of(source);
    let long = "x".repeat(1000);
    let cases = [
        (
            r#"["Error", "m"]"#.to_owned(),
            r#"[true,"Error","Error","m",null,"string",false]"#.to_owned(),
        ),
        (
            r#"["TypeError", "%s"]"#.to_owned(),
            r#"[true,"TypeError","TypeError","%s",null,"string",false]"#.to_owned(),
        ),
        (
            format!(r#"["RangeError", "{long}", "{{\"a\":[1]}}"]"#),
            format!(r#"[true,"RangeError","RangeError","{long}",{{"a":[1]}},"string",false]"#),
        ),
        (
            r#"["DataError", "m"]"#.to_owned(),
            r#"[true,"DOMException","DataError","m",null,"string",false]"#.to_owned(),
        ),
    ];
    for (args, expected) in cases {
        assert_eq!(bench.once("f", &args), Ok(expected));
    }
}

#[test]
fn a_thrown_error_has_name_message_frames_and_data() {
    let source = "
        class ConvexError extends Error {}
        export function f() { throw new RangeError('too far'); }
        export function g() {
            const error = new ConvexError('no');
            error.name = 'ConvexError';
            const symbol = Symbol.for('ConvexError');
            error[symbol] = true;
            error.ConvexErrorSymbol = symbol;
            error.data = '{\"code\":1}';
            throw error;
        }";
    let mut bench = Bench::of(source);
    let plain = thrown(bench.once("f", "[]"));
    assert_eq!(
        (plain.name.as_str(), plain.message.as_str()),
        ("RangeError", "too far")
    );
    assert!(plain.stack.contains("at f (m.js:3:"), "{}", plain.stack);
    assert_eq!((plain.data, plain.is_convex_error), (None, false));
    let convex = thrown(bench.once("g", "[]"));
    assert_eq!(convex.name, "ConvexError");
    assert_eq!(convex.data.as_deref(), Some("{\"code\":1}"));
    assert!(convex.is_convex_error);
}

#[test]
fn thrown_values_that_are_no_errors_read_as_engines_print_them() {
    let source = "
        class Room {}
        const values = { text: 'boom', number: 3, nothing: undefined, empty: null, symbol: Symbol('s'),
            plain: {}, room: new Room(), list: [1, 2], bare: Object.create(null) };
        export const f = (kind) => { throw values[kind]; };";
    let mut bench = Bench::of(source);
    let cases = [
        ("text", "boom"),
        ("number", "3"),
        ("nothing", "undefined"),
        ("empty", "null"),
        ("symbol", "Symbol(s)"),
        ("plain", "#<Object>"),
        ("room", "#<Room>"),
        ("list", "1,2"),
        ("bare", "#<Object>"),
    ];
    for (kind, expected) in cases {
        let thrown = thrown(bench.once("f", &format!("[{kind:?}]")));
        assert_eq!(
            (thrown.name.as_str(), thrown.message.as_str()),
            ("", expected)
        );
    }
}

#[test]
fn an_error_whose_getters_throw_is_still_described() {
    let source = "export const f = () => {
        const error = new Error('m');
        Object.defineProperty(error, 'name', { get() { throw 1; } });
        Object.defineProperty(error, 'data', { get() { throw 2; } });
        throw error;
    };";
    let thrown = thrown(Bench::of(source).once("f", "[]"));
    assert_eq!(
        (thrown.name.as_str(), thrown.message.as_str()),
        ("Error", "m")
    );
}

#[test]
fn a_rejection_that_nobody_handles_fails_the_call() {
    let source = "
        export const unhandled = async () => { Promise.reject(new Error('lost')); await 1; return 1; };
        export const late = async () => {
            const lost = Promise.reject(new Error('caught late'));
            await 1;
            try { await lost; } catch (e) { return e.message; }
        };";
    let mut bench = Bench::of(source);
    assert_eq!(thrown(bench.once("unhandled", "[]")).message, "lost");
    assert_eq!(bench.once("late", "[]"), Ok("\"caught late\"".to_owned()));
}

#[test]
fn a_thrown_job_fails_the_call() {
    let source =
        "export const f = () => { queueMicrotask(() => { throw new Error('in a job'); }); };";
    assert_eq!(
        thrown(Bench::of(source).once("f", "[]")).message,
        "in a job"
    );
}
