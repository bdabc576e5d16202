// The web platform's answers, case by case: run here and by Node.js, with equal answers. Each case returns a value
// that JSON can hold.

const caught = async (work) => {
  try {
    return await work();
  } catch (error) {
    return `! ${error?.name}`;
  }
};
const text = (bytes) => new TextDecoder().decode(bytes);
const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const utf8 = (string) => new TextEncoder().encode(string);
const pairs = (iterable) => [...iterable].map((pair) => [...pair]);
const urlParts = (url) => ["href", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash", "origin"].map((name) => url[name]);
const urls = {
  plain: ["https://user:pa%20ss@EXAMPLE.com:8080/a/../b/./c%2fd?x=1&y=%20#frag"], port: ["http://x:80/"], https: ["https://x:443/"], relative: ["../c?d#e", "https://h/a/b/"], schemeRelative: ["//o/p", "https://h/a"],
  idn: ["https://bücher.example/ä?ö#ü"], ip: ["http://0x7f.1/"], ip6: ["http://[::1]:3000/"], data: ["data:text/plain,hi there"], file: ["file:///C:/a/../b"], blank: ["about:blank"], spaces: ["  https://h/ a b  "],
  tab: ["ht\ttps://h/\na"], back: ["https:\\\\h\\a"], mailto: ["mailto:a@b.c?subject=x"], bad: ["nope"], badPort: ["http://h:99999/"], empty: [""], hostSpace: ["http://a b/"], query: ["?x", "https://h/p?old#old"], hash: ["#x", "https://h/p?old#old"], upper: ["HTTPS://H/%7Efoo"], user: ["https://user@h/p"],
};
const key = (bytes, algorithm, usages) => crypto.subtle.importKey("raw", bytes, algorithm, true, usages);

export const cases = {
  // URLs
  ...Object.fromEntries(Object.entries(urls).map(([name, args]) => [`url ${name}`, () => urlParts(new URL(...args))])),
  "url setters": () => { const u = new URL("https://a/b"); u.port = "81"; u.pathname = "x y"; u.search = "q=1"; u.hash = "h"; u.password = "p"; u.username = "u"; u.hostname = "z"; u.protocol = "http"; return [u.href, `${u}`, JSON.stringify(u)]; },
  "url port cleared": () => { const u = new URL("https://a:81/b"); u.port = ""; u.search = ""; u.hash = ""; return u.href; },
  "url canParse": () => [URL.canParse("x"), URL.canParse("x", "https://h"), URL.parse?.("x") ?? null],
  "url searchParams": () => { const u = new URL("https://h/?a=1&a=2&b=%20+c"); u.searchParams.append("d", "é&"); u.searchParams.delete("a", "1"); u.searchParams.sort(); return [u.href, u.searchParams.getAll("a"), u.searchParams.get("b"), u.searchParams.has("zz"), u.searchParams.size]; },
  "params forms": () => [new URLSearchParams("?a=1&b=2"), new URLSearchParams({ x: "1", y: "2 3" }), new URLSearchParams([["k", "v"], ["k", "w"]]), new URLSearchParams(new Map([["m", "n"]]))].map(String),
  "params walk": () => { const p = new URLSearchParams("a=1&b=2&a=3"); const seen = []; p.forEach((value, name) => seen.push([name, value])); p.set("a", "9"); return [seen, pairs(p), [...p.keys()], [...p.values()], `${p}`]; },
  "params odd": () => `${new URLSearchParams("a&b=&=c&%zz=1&+=%2B")}`,
  // Texts
  "encode": () => [hex(utf8("aé€😀")), hex(utf8("\ud800x")), new TextEncoder().encoding],
  "encodeInto": () => { const to = new Uint8Array(4); const done = new TextEncoder().encodeInto("a€€", to); return [done.read, done.written, hex(to)]; },
  "decode": () => [text(new Uint8Array([0xef, 0xbb, 0xbf, 0x61])), new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x61])).length, text(new Uint8Array([0xff, 0x61, 0xe2, 0x82])), new TextDecoder().encoding],
  "decode fatal": () => caught(() => new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([0xff]))),
  "decode stream": () => { const d = new TextDecoder(); return [d.decode(new Uint8Array([0xe2, 0x82]), { stream: true }), d.decode(new Uint8Array([0xac]), { stream: true }), d.decode()]; },
  "decode latin1": () => new TextDecoder("latin1").decode(new Uint8Array([0xe9, 0x41])),
  "decode utf16": () => new TextDecoder("utf-16le").decode(new Uint8Array([0x41, 0, 0xe9, 0])),
  "decode unknown": () => caught(() => new TextDecoder("nope")),
  "decode view": () => new TextDecoder().decode(new DataView(utf8("abcd").buffer, 1, 2)),
  "atob": async () => [atob("aGk="), atob(" a G k "), await caught(() => atob("a")), await caught(() => atob("*")), btoa("hi\xff"), await caught(() => btoa("€")), atob("")],
  // Headers
  "headers": () => { const h = new Headers({ "X-B": "1", "x-a": " 2 " }); h.append("x-b", "3"); h.append("set-cookie", "a=1"); h.append("Set-Cookie", "b=2"); h.delete("none"); return [pairs(h), h.get("X-b"), h.getSetCookie(), h.has("x-a"), h.get("nope")]; },
  "headers forms": () => [pairs(new Headers([["b", "2"], ["a", "1"]])), pairs(new Headers(new Headers({ q: "r" }))), pairs(new Headers(new Map([["m", "n"]])))],
  "headers bad": async () => [await caught(() => new Headers({ "a b": "1" })), await caught(() => new Headers({ a: "1\n2" })), await caught(() => new Headers([["a"]]))],
  // Bodies
  "blob": async () => { const b = new Blob(["ab", new Uint8Array([99]), new Blob(["d"])], { type: "Text/Plain" }); return [b.size, b.type, await b.text(), await b.slice(1, -1, "x/y").text(), b.slice(0, 1).type, hex(await b.arrayBuffer()), Object.prototype.toString.call(b)]; },
  "blob stream": async () => { let all = ""; for await (const chunk of new Blob(["xyz"]).stream()) all += text(chunk); return all; },
  "file": async () => { const f = new File(["data"], "n.txt", { type: "text/plain", lastModified: 5 }); return [f.name, f.size, f.type, f.lastModified, f instanceof Blob, await f.text()]; },
  "form data": async () => { const f = new FormData(); f.append("a", "1"); f.append("a", "2"); f.set("b", new Blob(["x"], { type: "t/x" }), "f.bin"); const b = f.get("b"); return [f.getAll("a"), b.name, b.type, await b.text(), f.has("z"), [...f.keys()]]; },
  "response": async () => { const r = new Response("hi", { status: 201, statusText: "Made", headers: { a: "b" } }); const c = r.clone(); return [r.status, r.ok, r.statusText, r.headers.get("content-type"), r.headers.get("a"), await r.text(), r.bodyUsed, await c.text(), await caught(() => r.text())]; },
  "response forms": async () => [await new Response(new URLSearchParams({ a: "1 2" })).text(), new Response(new URLSearchParams()).headers.get("content-type"), (await new Response(new Blob(["b"], { type: "x/y" })).blob()).type, new Response(null).body === null, await new Response(utf8("u")).text(), await new Response(utf8("q").buffer).text(), new Response(utf8("u")).headers.get("content-type")],
  "response json": async () => { const r = Response.json({ a: [1] }, { status: 202 }); return [r.status, r.headers.get("content-type"), await r.json()]; },
  "response redirect": () => { const r = Response.redirect("https://h/x", 301); return [r.status, r.headers.get("location")]; },
  "response bad": async () => [await caught(() => new Response("x", { status: 204 })), await caught(() => new Response("x", { status: 99 })), await caught(() => new Response("{").json()), await caught(() => Response.redirect("https://h", 200))],
  "response error": () => [Response.error().type, Response.error().status],
  "response stream": async () => { const s = new ReadableStream({ start(c) { c.enqueue(utf8("a")); c.enqueue(utf8("b")); c.close(); } }); return await new Response(s).text(); },
  "response urlencoded": async () => pairs(await new Response("a=1&b=%20", { headers: { "content-type": "application/x-www-form-urlencoded" } }).formData()),
  "request": async () => { const r = new Request("https://h/p?q#f", { method: "post", body: "x", headers: { a: "b" } }); const c = new Request(r, { headers: { z: "y" } }); return [r.method, r.url, r.headers.get("content-type"), c.headers.get("a"), c.headers.get("z"), await c.text(), r.bodyUsed]; },
  "request bad": async () => [await caught(() => new Request("https://h", { body: "x" })), await caught(() => new Request("nope")), await caught(() => new Request("https://h", { method: "TRACE" })), new Request("https://h", { method: "patch" }).method],
  "request signal": () => { const c = new AbortController(); const r = new Request("https://h", { signal: c.signal }); c.abort(); return [r.signal.aborted, r.signal.reason.name]; },
  // Streams
  "stream pull": async () => { let n = 0; const s = new ReadableStream({ pull(c) { if (++n > 3) c.close(); else c.enqueue(n); } }); const all = []; for await (const x of s) all.push(x); return all; },
  "stream tee": async () => { const [a, b] = ReadableStream.from([1, 2]).tee(); const read = async (s) => { const all = []; for await (const x of s) all.push(x); return all; }; return [await read(a), await read(b)]; },
  "stream pipe": async () => { const seen = []; await ReadableStream.from(["a", "b"]).pipeThrough(new TransformStream({ transform(x, c) { c.enqueue(x + x); }, flush(c) { c.enqueue("!"); } })).pipeTo(new WritableStream({ write(x) { seen.push(x); } })); return seen; },
  "stream text": async () => { let all = ""; for await (const x of ReadableStream.from([utf8("é").slice(0, 1), utf8("é").slice(1)]).pipeThrough(new TextDecoderStream())) all += x; return all; },
  "stream encode": async () => { const all = []; for await (const x of ReadableStream.from(["aé"]).pipeThrough(new TextEncoderStream())) all.push(hex(x)); return all; },
  "stream byob": async () => { const s = new ReadableStream({ type: "bytes", start(c) { c.enqueue(utf8("abcd")); c.close(); } }); const r = s.getReader({ mode: "byob" }); const { value } = await r.read(new Uint8Array(3)); return [text(value), s.locked]; },
  "stream errors": async () => { const s = new ReadableStream({ start(c) { c.error(new RangeError("x")); } }); return [await caught(() => s.getReader().read()), await caught(() => { const t = new ReadableStream(); t.getReader(); t.getReader(); })]; },
  "stream cancel": async () => { let why; const s = new ReadableStream({ cancel(reason) { why = reason; } }); await s.cancel("enough"); return why; },
  "writer": async () => { const all = []; const w = new WritableStream({ write(x) { all.push(x); }, close() { all.push("closed"); } }).getWriter(); await w.write(1); const size = w.desiredSize; await w.close(); return [all, size]; },
  // Events
  "events": () => { const t = new EventTarget(); const seen = []; t.addEventListener("a", (e) => seen.push([e.type, e.target === t]), { once: true }); t.addEventListener("a", { handleEvent: () => seen.push("object") }); t.dispatchEvent(new Event("a")); return [seen, t.dispatchEvent(new Event("a", { cancelable: true })), seen.length]; },
  "event prevented": () => { const t = new EventTarget(); t.addEventListener("a", (e) => e.preventDefault()); const e = new Event("a", { cancelable: true, bubbles: true }); return [t.dispatchEvent(e), e.defaultPrevented, e.bubbles]; },
  "abort": async () => { const c = new AbortController(); const seen = []; c.signal.addEventListener("abort", () => seen.push(1)); c.signal.onabort = () => seen.push(2); c.abort("why"); c.abort("again"); return [seen, c.signal.aborted, c.signal.reason, await caught(() => { const d = new AbortController(); d.abort(); d.signal.throwIfAborted(); })]; },
  "abort any": () => { const a = new AbortController(), b = new AbortController(); const s = AbortSignal.any([a.signal, b.signal]); b.abort(7); return [s.aborted, s.reason, AbortSignal.abort(3).reason]; },
  "dom exception": () => { const e = new DOMException("m", "AbortError"); return [e.name, e.message, e.code, e instanceof Error, `${e}`, DOMException.ABORT_ERR]; },
  // Clones
  "clone": () => { const v = { d: new Date(5), m: new Map([[1, { x: 1 }]]), s: new Set([1]), r: /a/gi, b: utf8("q"), n: null, u: undefined, big: 5n, e: new RangeError("r") }; v.self = v; const c = structuredClone(v); return [c.self === c, c.d.getTime(), c.m.get(1).x, [...c.s], `${c.r}`, c.b[0], "u" in c, `${c.big}`, c.e.name, c.e instanceof RangeError, c.m !== v.m]; },
  "clone bad": async () => [await caught(() => structuredClone(() => 1)), await caught(() => structuredClone(Symbol("x")))],
  "clone buffer": () => { const b = new Uint8Array([1, 2, 3]).subarray(1); const c = structuredClone({ b, again: b.buffer }); return [[...c.b], c.b.buffer === c.again, c.again.byteLength]; },
  // Cryptography
  "digest": async () => { const out = {}; for (const name of ["SHA-1", "SHA-256", "SHA-384", "SHA-512"]) out[name] = hex(await crypto.subtle.digest(name, utf8("abc"))); return out; },
  "digest bad": () => caught(() => crypto.subtle.digest("MD5", utf8("a"))),
  "hmac": async () => { const k = await key(utf8("secret"), { name: "HMAC", hash: "SHA-256" }, ["sign", "verify"]); const s = await crypto.subtle.sign("HMAC", k, utf8("m")); return [hex(s), await crypto.subtle.verify("HMAC", k, s, utf8("m")), await crypto.subtle.verify("HMAC", k, s, utf8("n")), k.algorithm, k.type, k.extractable, k.usages, await crypto.subtle.exportKey("jwk", k)]; },
  "hmac 512": async () => hex(await crypto.subtle.sign("HMAC", await key(utf8("k"), { name: "HMAC", hash: "SHA-512" }, ["sign"]), utf8("m"))),
  "pbkdf2": async () => hex(await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt: utf8("salt"), iterations: 100 }, await crypto.subtle.importKey("raw", utf8("pw"), "PBKDF2", false, ["deriveBits"]), 256)),
  "hkdf": async () => hex(await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: utf8("s"), info: utf8("i") }, await crypto.subtle.importKey("raw", utf8("ikm"), "HKDF", false, ["deriveBits"]), 128)),
  "aes gcm": async () => { const k = await key(new Uint8Array(32).fill(7), "AES-GCM", ["encrypt", "decrypt"]); const iv = new Uint8Array(12).fill(1); const c = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: utf8("ad") }, k, utf8("plain")); return [hex(c), text(await crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData: utf8("ad") }, k, c)), await caught(() => crypto.subtle.decrypt({ name: "AES-GCM", iv }, k, c))]; },
  "aes cbc": async () => { const k = await key(new Uint8Array(16).fill(7), "AES-CBC", ["encrypt", "decrypt"]); const iv = new Uint8Array(16).fill(1); const c = await crypto.subtle.encrypt({ name: "AES-CBC", iv }, k, utf8("plain")); return [hex(c), text(await crypto.subtle.decrypt({ name: "AES-CBC", iv }, k, c))]; },
  "aes ctr": async () => { const k = await key(new Uint8Array(16).fill(7), "AES-CTR", ["encrypt"]); return hex(await crypto.subtle.encrypt({ name: "AES-CTR", counter: new Uint8Array(16), length: 64 }, k, utf8("plain"))); },
  "rsa verify": async () => { const jwk = { kty: "RSA", e: "AQAB", n: RSA_N }; const k = await crypto.subtle.importKey("jwk", jwk, { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, true, ["verify"]); return [k.algorithm.name, k.algorithm.modulusLength, hex(k.algorithm.publicExponent), k.algorithm.hash, await crypto.subtle.verify("RSASSA-PKCS1-v1_5", k, new Uint8Array(256), utf8("m")), hex(await crypto.subtle.digest("SHA-256", await crypto.subtle.exportKey("spki", k)))]; },
  "ec import": async () => { const k = await crypto.subtle.importKey("jwk", EC, { name: "ECDSA", namedCurve: "P-256" }, true, ["verify"]); return [k.algorithm, hex(await crypto.subtle.exportKey("raw", k)), await crypto.subtle.exportKey("jwk", k)]; },
  "ed25519": async () => { const k = await crypto.subtle.importKey("jwk", ED, "Ed25519", true, ["sign"]); return hex(await crypto.subtle.sign("Ed25519", k, utf8("m"))); },
  "key usages": async () => { const k = await key(utf8("s"), { name: "HMAC", hash: "SHA-256" }, ["verify"]); return [await caught(() => crypto.subtle.sign("HMAC", k, utf8("m"))), await caught(() => key(utf8("s"), { name: "HMAC", hash: "SHA-256" }, [])), await caught(() => key(new Uint8Array(5), "AES-GCM", ["encrypt"]))]; },
  "random": () => { const a = crypto.getRandomValues(new Uint8Array(16)); return [a.length, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID())]; },
  "random bad": async () => [await caught(() => crypto.getRandomValues(new Uint8Array(65537))), await caught(() => crypto.getRandomValues(new Float32Array(1)))],
  // Language
  "async storage": async () => { const { AsyncLocalStorage } = globalThis; const s = new AsyncLocalStorage(); const got = await s.run({ id: 1 }, async () => { await null; await Promise.all([1, 2].map(async () => { await null; })); return s.getStore().id; }); return [got, s.getStore() === undefined, s.run(2, () => s.exit(() => s.getStore() === undefined)), AsyncLocalStorage.bind ? s.run(3, () => AsyncLocalStorage.bind(() => s.getStore()))() : null]; },
  "async storage in generators": async () => { const s = new AsyncLocalStorage(); const seen = []; async function* numbers() { seen.push(s.getStore()); yield 1; await null; seen.push(s.getStore()); yield 2; } await s.run(7, async () => { for await (const n of numbers()) seen.push([n, s.getStore()]); }); const one = numbers(); await s.run("a", () => one.next()); await s.run("b", () => one.next()); return [seen, s.getStore() === undefined]; },
  "async storage in microtasks": async () => { const s = new AsyncLocalStorage(); const seen = []; s.run(1, () => queueMicrotask(() => { seen.push(s.getStore()); queueMicrotask(() => seen.push(s.getStore())); })); queueMicrotask(() => seen.push(s.getStore() ?? null)); await null; await null; await null; return [seen, await caught(() => queueMicrotask(5)).then((told) => typeof told)]; },
  "async storage entered": async () => { const s = new AsyncLocalStorage(); const one = async (n) => { s.enterWith(n); await null; await Promise.resolve(1); return s.getStore(); }; const all = await Promise.all([1, 2, 3].map(one)); s.enterWith("here"); await null; const here = s.getStore(); s.run("inner", () => s.enterWith("lost")); await null; return [all, here, s.getStore()]; },
  "locale compare": () => [["b", "a", "C", "ä", "Z", "10", "9", "_", "é", "e"].sort((x, y) => x.localeCompare(y)), "a".localeCompare("A"), "a".localeCompare("á"), "résumé".localeCompare("resume"), "".localeCompare("a"), "a b".localeCompare("ab")],
  "locale numbers": () => [(1234567.891).toLocaleString(), (0.5).toLocaleString(), (-1234).toLocaleString(), (1e21).toLocaleString(), NaN.toLocaleString(), (12n ** 12n).toLocaleString(), (1234.5).toLocaleString("en-US", { style: "currency", currency: "USD" }), (0.256).toLocaleString("en-US", { style: "percent" }), (1234.5).toLocaleString(undefined, { minimumFractionDigits: 2 }), (1234.5678).toLocaleString("en-US", { maximumFractionDigits: 1 }), (1234567).toLocaleString("en-US", { notation: "compact" }), (5).toLocaleString("en-US", { minimumIntegerDigits: 2 })],
  "locale dates": () => { const d = new Date(Date.UTC(2024, 1, 5, 15, 4, 9)); return [d.toLocaleString("en-US", { timeZone: "UTC" }), d.toLocaleDateString("en-US", { timeZone: "UTC" }), d.toLocaleTimeString("en-US", { timeZone: "UTC" }), d.toLocaleDateString("en-US", { timeZone: "America/New_York", dateStyle: "medium" }), d.toLocaleDateString("en-US", { timeZone: "UTC", weekday: "long", year: "numeric", month: "long", day: "numeric" }), d.toLocaleTimeString("en-US", { timeZone: "Asia/Tokyo", hour: "2-digit", minute: "2-digit" }), d.toLocaleString("en-US", { timeZone: "Europe/Berlin", hour12: false }), d.toLocaleDateString("en-US", { timeZone: "UTC", month: "short", day: "numeric" }), d.toLocaleString("en-US", { timeZone: "UTC", dateStyle: "full", timeStyle: "short" }), d.toLocaleString("en-US", { timeZone: "America/Los_Angeles", timeZoneName: "short" })]; },
  "locale midnight": () => ["en-US", "en-GB", "en-CA"].flatMap((locale) => [{ hour12: false }, { hour12: true }, { hourCycle: "h24" }, { hour12: false, hourCycle: "h11" }].map((options) => { const d = new Date(Date.UTC(2024, 10, 28, 0, 7)); const format = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", timeZone: "UTC", ...options }); const { hourCycle, hour12 } = format.resolvedOptions(); return [format.format(d), hourCycle, hour12]; }).concat(new Date(Date.UTC(2024, 10, 28, 0, 7)).toLocaleString(locale, { timeZone: "UTC", hour12: false }))),
  "locales": () => ["de-DE", "es-ES", "fr-FR", "it-IT", "ja-JP", "nl-NL", "pt-BR", "sv-SE"].map((locale) => [Date.UTC(2024, 10, 8, 9, 7, 5), Date.UTC(2025, 2, 31, 23, 59)].flatMap((at) => [{}, { dateStyle: "full" }, { dateStyle: "long", timeStyle: "short" }, { dateStyle: "medium" }, { dateStyle: "short", timeStyle: "medium" }, { weekday: "long", day: "numeric", month: "long" }, { month: "short", year: "numeric" }, { day: "2-digit", month: "2-digit", year: "numeric" }, { hour: "2-digit", minute: "2-digit" }, { month: "long", day: "numeric", hour: "numeric", minute: "2-digit" }, { hour: "numeric", minute: "2-digit", hour12: true }, { weekday: "short" }].map((options) => { const format = new Intl.DateTimeFormat(locale, { timeZone: "Europe/Berlin", ...options }); return [format.format(at), format.formatToParts(at)]; })).concat([0, -0.5, 1234.5, 12345.678, -1234567.891, NaN, Infinity].flatMap((number) => [{}, { style: "percent" }, { style: "currency", currency: "EUR" }, { style: "currency", currency: "USD" }, { style: "currency", currency: "JPY", currencyDisplay: "code" }, { maximumFractionDigits: 1, useGrouping: false }, { signDisplay: "always" }].map((options) => [number.toLocaleString(locale, options), new Intl.NumberFormat(locale, options).formatToParts(number)])))),
  "intl": () => [new Intl.NumberFormat("en-US", { style: "currency", currency: "EUR" }).format(12.5), new Intl.DateTimeFormat("en-US", { timeZone: "UTC" }).format(new Date(0)), new Intl.NumberFormat().format(1e6)],
  "case": () => ["ß".toUpperCase(), "İ".toLowerCase().length, "ΑΣ".toLowerCase(), "é".normalize("NFD").length, "ﬁ".normalize("NFKC")],
  "modern": () => [[3, 1, 2].toSorted(), [1, 2, 3].at(-1), [1, 2].with(0, 9), Object.groupBy([1, 2, 3], (n) => (n % 2 ? "odd" : "even")), [1, 2, 3].findLast((n) => n < 3), "a-b".replaceAll("-", "+"), Object.hasOwn({ a: 1 }, "a"), [..."a1b2".matchAll(/\d/g)].map((m) => m[0]), new Set([1, 2]).union?.(new Set([3])).size ?? null, Array.fromAsync !== undefined, "x".isWellFormed(), Promise.withResolvers !== undefined],
  "regex": () => ["2024-05".replace(/(?<y>\d+)-(?<m>\d+)/u, "$<m>/$<y>"), /\p{L}/u.test("é"), "aBc".match(/(?<=a)b/i)[0], /^.$/su.test("😀"), "a\nb".match(/^b$/m)[0]],
  "numbers": () => [0.1 + 0.2, (25).toString(36), parseFloat("1e3x"), Number("0x1f"), (1.005).toFixed(2), (123.456).toPrecision(4), Math.hypot(3, 4), Math.fround(5.5), Number.MAX_SAFE_INTEGER, (5e-324).toString(), (1e21).toString(), Math.clz32(1), BigInt.asIntN(8, 255n).toString(), JSON.stringify({ a: 1e21, b: -0 })],
  "dates": () => [new Date("2024-02-30").getTime(), new Date("2024-02-05T10:00:00+02:00").toISOString(), Date.UTC(2024, 0), new Date(2024, 0, 31).getTime(), Date.parse("Mon, 05 Feb 2024 10:00:00 GMT"), new Date("nope").getTime(), new Date(0).toString(), new Date(0).toUTCString(), new Date(0).toDateString(), new Date("2024-02-05").getDay(), Date.parse("Feb 5, 2024"), Date.parse("2024/02/05 10:00")],
  "json": async () => [JSON.stringify({ u: undefined, f() {}, d: new Date(0), n: NaN, s: "\u2028\ud800" }), JSON.stringify([undefined]), await caught(() => JSON.parse("{a:1}")), JSON.stringify({ a: [1, { b: 2 }] }, null, 2), JSON.parse('{"__proto__":1}').__proto__],
  "presence": () => ["console", "Convex", "process", "self", "crypto", "Crypto", "SubtleCrypto", "CryptoKey", "DOMException", "Event", "EventTarget", "structuredClone", "setTimeout", "setInterval", "clearTimeout", "clearInterval", "AbortController", "AbortSignal", "AsyncLocalStorage", "AsyncResource", "ReadableStream", "ReadableStreamDefaultReader", "ReadableStreamBYOBReader", "WritableStream", "WritableStreamDefaultWriter", "TransformStream", "TextEncoder", "TextDecoder", "TextEncoderStream", "TextDecoderStream", "URL", "URLSearchParams", "atob", "btoa", "Blob", "File", "Headers", "FormData", "Request", "Response", "fetch", "performance", "PerformanceEntry", "PerformanceMark", "PerformanceMeasure", "WebAssembly", "queueMicrotask"].filter((name) => typeof globalThis[name] === "undefined"),
  "performance": () => { const m = performance.mark?.("a"); return [typeof performance.now(), typeof performance.timeOrigin, m?.name ?? null, typeof performance.measure]; },
};
const RSA_N = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
const EC = { kty: "EC", crv: "P-256", x: "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", y: "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM" };
const ED = { kty: "OKP", crv: "Ed25519", d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" };

/** The answers of the cases by name, as JSON text. */
export const answers = async () => {
  const all = {};
  for (const [name, answer] of Object.entries(cases)) {
    try {
      all[name] = JSON.parse(JSON.stringify((await answer()) ?? null));
    } catch (error) {
      all[name] = `! ${error?.name}`;
    }
  }
  return JSON.stringify(all);
};
