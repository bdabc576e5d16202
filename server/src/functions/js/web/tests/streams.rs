//! Streams.

use super::check;

#[test]
fn streams_carry_chunks() {
    check(
        "action",
        &[
            (
                "const r = new ReadableStream({ start(c) { c.enqueue(1); c.enqueue(2); c.close(); }, }); const o = []; for await (const x of r) o.push(x); return o;",
                "[1,2]",
            ),
            (
                "let n = 0; const r = new ReadableStream({ pull(c) { c.enqueue(n++); if (n === 5) c.close(); }, }); const [a, b] = r.tee(); const o = []; for await (const x of a) o.push(x); for await (const x of b) o.push(x); return o;",
                "[0,1,2,3,4,0,1,2,3,4]",
            ),
            (
                r#"const r = ReadableStream.from([1, 2, 3]); const o = []; await r .pipeThrough( new TransformStream({ transform(x, c) { c.enqueue(x * 2); }, flush(c) { c.enqueue("end"); }, }), ) .pipeTo( new WritableStream({ write(x) { o.push(x); }, close() { o.push("closed"); }, }), ); return o;"#,
                r#"[2,4,6,"end","closed"]"#,
            ),
            (
                "let cancelled; const r = new ReadableStream({ pull(c) { c.enqueue(1); }, cancel(x) { cancelled = x; }, }); for await (const x of r) break; return String(cancelled) + r.locked;",
                "undefinedfalse",
            ),
            (
                r#"const r = new ReadableStream({ start(c) { c.error(new Error("bad")); }, }); return r.getReader().read();"#,
                "Error: bad",
            ),
            (
                r#"const r = new ReadableStream({ type: "bytes", start(c) { c.enqueue(new Uint8Array([1, 2, 3, 4, 5])); c.close(); }, }); const rd = r.getReader({ mode: "byob" }); const a = await rd.read(new Uint8Array(3)); const b = await rd.read(new Uint8Array(3)); const c = await rd.read(new Uint8Array(3)); return [[...a.value], [...b.value], c.done, c.value.length];"#,
                "[[1,2,3],[4,5],true,0]",
            ),
            (
                r#"let n = 0; const r = new ReadableStream({ type: "bytes", autoAllocateChunkSize: 4, pull(c) { const v = c.byobRequest.view; if (n++ < 2) { v[0] = n; c.byobRequest.respond(1); } else { c.close(); c.byobRequest.respond(0); } }, }); const o = []; for await (const x of r) o.push(...x); return o;"#,
                "[1,2]",
            ),
            (
                r#"const { readable, writable } = new TransformStream(); const w = writable.getWriter(); w.write("a"); w.write("b"); w.close(); const o = []; for await (const x of readable) o.push(x); return o;"#,
                r#"["a","b"]"#,
            ),
            (
                r#"class Up extends TransformStream { constructor() { super({ transform(x, c) { c.enqueue(String(x).toUpperCase()); }, }); } } const o = []; for await (const x of ReadableStream.from(["a"]).pipeThrough(new Up())) o.push(x); return o;"#,
                r#"["A"]"#,
            ),
            (
                r#"let s = ""; for await (const x of ReadableStream.from(["h", "é"]).pipeThrough(new TextEncoderStream()).pipeThrough(new TextDecoderStream())) s += x; return s;"#,
                "hé",
            ),
            (
                r#"const ws = new WritableStream({ write() { throw new Error("w"); }, }); const w = ws.getWriter(); await w.write(1).catch(() => {}); return w.closed;"#,
                "Error: w",
            ),
            (
                "const w = new WritableStream({}, { highWaterMark: 2 }).getWriter(); return [w.desiredSize, (w.write(1), w.desiredSize)];",
                "[2,1]",
            ),
            (
                r#"const src = new ReadableStream({ pull(c) { c.enqueue("x"); }, cancel(r) { globalThis.cc = r.message; }, }); try { await src.pipeTo( new WritableStream({ write() { throw new Error("sink"); }, }), ); } catch (e) { return e.message + globalThis.cc; }"#,
                "sinksink",
            ),
            (
                r#"const c = new AbortController(); const src = new ReadableStream({ async pull(k) { await new Promise((r) => setTimeout(r, 1)); k.enqueue("x"); }, }); setTimeout(() => c.abort(), 5); try { await src.pipeTo(new WritableStream(), { signal: c.signal }); } catch (e) { return e.name; }"#,
                "AbortError",
            ),
        ],
    );
}
