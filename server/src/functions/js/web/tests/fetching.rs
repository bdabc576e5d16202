//! Requests, responses, bodies and the calls of the package that make them.

use super::check;

#[test]
fn bodies_requests_and_responses_are_the_standards() {
    check(
        "action",
        &[
            (
                r#"try { await fetch("https://silent.example", { signal: AbortSignal.timeout(5) }); } catch (error) { return error.name; }"#,
                "TimeoutError",
            ),
            (
                r#"fetch("https://down.example")"#,
                "TypeError: fetch failed",
            ),
            (
                r#"const b = new Blob(["a", new Uint8Array([98]), new Blob(["c"])], { type: "Text/Plain" }); return [b.size, b.type, await b.text(), await b.slice(1, 2).text(), await b.slice(-1).text()];"#,
                r#"[3,"text/plain","abc","b","c"]"#,
            ),
            (
                r#"const f = new File(["x"], "n.txt", { type: "t/x", lastModified: 5 }); return [f.name, f.lastModified, f instanceof Blob, Object.prototype.toString.call(f)];"#,
                r#"["n.txt",5,true,"[object File]"]"#,
            ),
            (
                r#"const f = new FormData(); f.append("a", "1"); f.append("a", "2"); f.set("b", new Blob(["hi"], { type: "text/x" }), 'b"q.txt'); const r = new Response(f); const g = await r.formData(); const b = g.get("b"); return [g.getAll("a"), b.name, b.type, await b.text()];"#,
                r#"[["1","2"],"b\"q.txt","text/x","hi"]"#,
            ),
            (
                r#"const g = await new Response(new URLSearchParams({ a: "b c" })).formData(); return g.get("a");"#,
                "b c",
            ),
            (
                r#"const r = new Response("hi", { status: 201, headers: { X: "1" } }); const c = r.clone(); return [r.status, r.ok, r.headers.get("content-type"), await r.text(), r.bodyUsed, await c.text()];"#,
                r#"[201,true,"text/plain;charset=UTF-8","hi",true,"hi"]"#,
            ),
            (
                r#"const r = new Response("x"); await r.text(); return r.text();"#,
                "TypeError: Body is unusable: Body has already been read",
            ),
            (
                r#"const r = Response.json({ a: 1 }, { status: 202 }); return [r.status, r.headers.get("content-type"), await r.json()];"#,
                r#"[202,"application/json",{"a":1}]"#,
            ),
            (
                r#"const r = Response.redirect("http://a/b", 307); return [r.status, r.headers.get("location")];"#,
                r#"[307,"http://a/b"]"#,
            ),
            (
                r#"new Response("x", { status: 204 })"#,
                "TypeError: Response with status 204 cannot have body",
            ),
            (
                "new Response(null, { status: 99 })",
                r#"RangeError: init["status"] must be in the range of 200 to 599, inclusive."#,
            ),
            (
                r#"const r = new Request("http://a/b#c", { method: "post", body: "{}", headers: { a: "b" } }); const q = new Request(r, { headers: { x: "y" } }); return [r.method, r.url, q.headers.get("x"), q.headers.get("a"), await q.text(), r.bodyUsed];"#,
                r#"["POST","http://a/b#c","y",null,"{}",true]"#,
            ),
            (
                r#"new Request("/x")"#,
                "TypeError: Failed to parse URL from /x",
            ),
            (
                r#"new Request("http://a", { body: "x" })"#,
                "TypeError: Request with GET/HEAD method cannot have body.",
            ),
            (
                r#"const r = await fetch("http://a/b#f", { method: "POST", body: "hello", headers: { A: "1" } }); const j = await r.json(); return [r.status, r.headers.get("content-type"), r.headers.getSetCookie(), r.url, j.method, j.body, j.headers];"#,
                r#"[200,"application/json",["a=1","b=2"],"http://a/b","POST","hello",[["a","1"],["content-type","text/plain;charset=UTF-8"]]]"#,
            ),
            (
                r#"const r = await fetch("http://a", { method: "PUT", body: ReadableStream.from(["ab", "c"]).pipeThrough(new TextEncoderStream()), duplex: "half" }); let n = 0; let t = ""; for await (const c of r.body.pipeThrough(new TextDecoderStream())) { n++; t += c; } return [n, JSON.parse(t).body];"#,
                r#"[2,"abc"]"#,
            ),
            (
                r#"fetch("ftp://a")"#,
                "TypeError: fetch: only http and https are supported, not ftp:",
            ),
            (
                r#"fetch("http://a", { signal: AbortSignal.abort() })"#,
                "AbortError: This operation was aborted",
            ),
            (
                r#"const r = $$.jsSyscall("requestFromConvexJson", { convexJson: { url: "http://s/h?x=1", method: "POST", headerPairs: [["content-type", "text/plain"]], streamId: $$.host("stream.open", new Uint8Array([104, 105])), signal: "s1" } }); return [r.method, r.url, r.headers.get("content-type"), await r.text(), r.signal.aborted];"#,
                r#"["POST","http://s/h?x=1","text/plain","hi",false]"#,
            ),
            (
                r#"const j = $$.jsSyscall("convexJsonFromResponse", { response: new Response("ok", { status: 201, headers: [ ["set-cookie", "a"], ["set-cookie", "b"], ], }), }); return [j.status, j.headerPairs, typeof j.streamId];"#,
                r#"[201,[["content-type","text/plain;charset=UTF-8"],["set-cookie","a"],["set-cookie","b"]],"number"]"#,
            ),
            (
                r#"$$.jsSyscall("convexJsonFromResponse", { response: {} })"#,
                "Error: HTTP actions must return a Response",
            ),
            (
                r#"const id = await $$.jsSyscall("storage/storeBlob", { blob: new Blob(["z"], { type: "a/b" }) }); const b = await $$.jsSyscall("storage/getBlob", { storageId: id }); return [id, b.type, await b.text(), await $$.jsSyscall("storage/getBlob", { storageId: "id9" })];"#,
                r#"["id1","a/b","z",null]"#,
            ),
            (
                "const r = new Response(ReadableStream.from([new Uint8Array([1]), new Uint8Array([2, 3])])); const c = r.clone(); return [[...(await r.bytes())], [...new Uint8Array(await c.arrayBuffer())]];",
                "[[1,2,3],[1,2,3]]",
            ),
        ],
    );
}

#[test]
fn forms_are_read_as_browsers_write_them() {
    let body = |parts: &str| {
        format!(
            r#"const body = "{parts}"; const headers = {{ "content-type": "multipart/form-data; boundary=b" }}; const form = await new Response(body, {{ headers }}).formData(); return [...form].map(([name, value]) => [name, typeof value === "string" ? value : value.name + ":" + value.type + ":" + value.size]);"#
        )
    };
    let plain = body(
        r#"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"x.bin\"\r\nContent-Type: a/b\r\n\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"n\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--b--\r\n"#,
    );
    let without_head = body(r"--b\r\n\r\nx\r\n--b--");
    let cut = body(r#"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1"#);
    let malformed = "TypeError: Failed to parse body as FormData";
    check(
        "action",
        &[
            (
                &plain,
                r#"[["a","1"],["f","x.bin:a/b:0"],["n",":application/octet-stream:0"]]"#,
            ),
            (&without_head, malformed),
            (&cut, malformed),
        ],
    );
    check(
        "mutation",
        &[(
            &plain,
            "fatal: Can't use formData() in queries and mutations. Please consider using an action. \
             See https://docs.convex.dev/functions/actions for more details.",
        )],
    );
}
