//! crypto.subtle.

use super::check;

#[test]
fn keys_sign_encrypt_and_derive() {
    check(
        "action",
        &[
            (
                r#"const hex = (b) => [...new Uint8Array(b)].map((x) => x.toString(16).padStart(2, "0")).join(""); const d = new TextEncoder().encode("abc"); return Promise.all(["SHA-1", "sha-256", "SHA-384", "SHA-512"].map(async (a) => hex(await crypto.subtle.digest(a, d)).slice(0, 16)));"#,
                r#"["a9993e364706816a","ba7816bf8f01cfea","cb00753f45a35e8b","ddaf35a193617aba"]"#,
            ),
            (
                r#"const e = new TextEncoder(); const k = await crypto.subtle.importKey("raw", e.encode("key"), { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]); const s = await crypto.subtle.sign("HMAC", k, e.encode("The quick brown fox jumps over the lazy dog")); return [btoa(String.fromCharCode(...new Uint8Array(s))), await crypto.subtle.verify("HMAC", k, s, e.encode("The quick brown fox jumps over the lazy dog")), await crypto.subtle.verify("HMAC", k, s, e.encode("x")), k.type, k.extractable, k.algorithm, k.usages];"#,
                r#"["97yD9DBThCSxMpjmqm+xQ+9NWaFJRhdZl0edvC0aPNg=",true,false,"secret",false,{"name":"HMAC","hash":{"name":"SHA-256"},"length":24},["sign","verify"]]"#,
            ),
            (
                r#"const k = await crypto.subtle.importKey("raw", new Uint8Array(16), "AES-GCM", true, ["encrypt"]); return [await crypto.subtle.exportKey("jwk", k), Object.prototype.toString.call(k)];"#,
                r#"[{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAA","key_ops":["encrypt"],"ext":true,"alg":"A128GCM"},"[object CryptoKey]"]"#,
            ),
            (
                r#"const k = await crypto.subtle.importKey("raw", new Uint8Array(16), "AES-GCM", false, ["encrypt"]); return crypto.subtle.exportKey("raw", k);"#,
                "InvalidAccessError: key is not extractable",
            ),
            (
                r#"const k = await crypto.subtle.importKey("raw", new Uint8Array(32), "AES-GCM", false, ["encrypt", "decrypt"]); const iv = new Uint8Array(12); const d = new TextEncoder().encode("hi"); const c = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: d }, k, d); const p = await crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData: d }, k, c); const bad = await crypto.subtle.decrypt({ name: "AES-GCM", iv }, k, c).catch((e) => e.name); return [c.byteLength, new TextDecoder().decode(p), bad];"#,
                r#"[18,"hi","OperationError"]"#,
            ),
            (
                r#"const k = await crypto.subtle.importKey("raw", new Uint8Array(16), "AES-CBC", false, ["encrypt", "decrypt"]); const a = { name: "AES-CBC", iv: new Uint8Array(16) }; const c = await crypto.subtle.encrypt(a, k, new Uint8Array(20)); return [c.byteLength, (await crypto.subtle.decrypt(a, k, c)).byteLength];"#,
                "[32,20]",
            ),
            (
                r#"const k = await crypto.subtle.importKey("raw", new Uint8Array(16), "AES-CTR", false, ["encrypt", "decrypt"]); const a = { name: "AES-CTR", counter: new Uint8Array(16), length: 64 }; const c = await crypto.subtle.encrypt(a, k, new Uint8Array([1, 2, 3])); return [...new Uint8Array(await crypto.subtle.decrypt(a, k, c))];"#,
                "[1,2,3]",
            ),
            (
                r#"const e = new TextEncoder(); const k = await crypto.subtle.importKey("raw", e.encode("password"), "PBKDF2", false, ["deriveBits", "deriveKey"]); const b = await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt: e.encode("salt"), iterations: 1 }, k, 256); const d = await crypto.subtle.deriveKey({ name: "PBKDF2", hash: "SHA-256", salt: e.encode("salt"), iterations: 2 }, k, { name: "AES-GCM", length: 256 }, true, ["encrypt"]); return [btoa(String.fromCharCode(...new Uint8Array(b))), d.algorithm];"#,
                r#"["Eg+2z/z4syxD5yJSVsT4N6hlSMkszDVICAWYfLcL4Xs=",{"name":"AES-GCM","length":256}]"#,
            ),
            (
                r#"const k = await crypto.subtle.importKey("raw", new Uint8Array(22).fill(11), "HKDF", false, ["deriveBits"]); const h = Uint8Array.from({ length: 13 }, (_, i) => i); const f = Uint8Array.from({ length: 10 }, (_, i) => 0xf0 + i); const b = await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: h, info: f }, k, 64); return [...new Uint8Array(b)];"#,
                "[60,178,95,37,250,172,213,122]",
            ),
            (
                r#"const out = []; for (const [a, u, p] of [ [{ name: "ECDSA", namedCurve: "P-256" }, ["sign", "verify"], { name: "ECDSA", hash: "SHA-256" }], [{ name: "ECDSA", namedCurve: "P-384" }, ["sign", "verify"], { name: "ECDSA", hash: "SHA-384" }], [{ name: "Ed25519" }, ["sign", "verify"], "Ed25519"], [{ name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" }, ["sign", "verify"], "RSASSA-PKCS1-v1_5"], [{ name: "RSA-PSS", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" }, ["sign", "verify"], { name: "RSA-PSS", saltLength: 32 }], ]) { const pair = await crypto.subtle.generateKey(a, true, u); const d = new Uint8Array([1, 2, 3]); let ok = true; for (const [pf, qf] of [ ["jwk", "jwk"], ["pkcs8", "spki"], ]) { const pk = await crypto.subtle.importKey(pf, await crypto.subtle.exportKey(pf, pair.privateKey), a, true, ["sign"]); const qk = await crypto.subtle.importKey(qf, await crypto.subtle.exportKey(qf, pair.publicKey), a, true, ["verify"]); const s = await crypto.subtle.sign(p, pk, d); ok = ok && (await crypto.subtle.verify(p, qk, s, d)) && !(await crypto.subtle.verify(p, qk, s, new Uint8Array([1]))); } out.push(ok); } return out;"#,
                "[true,true,true,true,true]",
            ),
            (
                r#"const out = []; for (const a of [{ name: "ECDH", namedCurve: "P-256" }, { name: "X25519" }]) { const x = await crypto.subtle.generateKey(a, true, ["deriveBits"]); const y = await crypto.subtle.generateKey(a, true, ["deriveBits"]); const raw = await crypto.subtle.exportKey("raw", y.publicKey); const open = await crypto.subtle.importKey("raw", raw, a, true, []); const s = await crypto.subtle.deriveBits({ name: a.name, public: open }, x.privateKey, 256); const t = await crypto.subtle.deriveBits({ name: a.name, public: x.publicKey }, y.privateKey, 256); out.push(String(new Uint8Array(s)) === String(new Uint8Array(t)), raw.byteLength); } return out;"#,
                "[true,65,true,32]",
            ),
            (
                r#"const a = { name: "RSA-OAEP", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" }; const p = await crypto.subtle.generateKey(a, false, ["encrypt", "decrypt"]); const c = await crypto.subtle.encrypt("RSA-OAEP", p.publicKey, new Uint8Array([5, 6])); return [c.byteLength, [...new Uint8Array(await crypto.subtle.decrypt("RSA-OAEP", p.privateKey, c))], p.privateKey.extractable, p.publicKey.algorithm.modulusLength, p.publicKey.usages];"#,
                r#"[256,[5,6],false,2048,["encrypt"]]"#,
            ),
            (
                r#"const jwk = { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }; const k = await crypto.subtle.importKey("jwk", jwk, "Ed25519", true, ["verify"]); const s = Uint8Array.from(atob("hgyY0il+MGCjP0JzlnkAA9vZJOx9kQuyx2bqE2hwjJGhRWtwNT+lVzRC0QZ9wUJkKRg4wF2Gwb8lIYbCGiJnQQ=="), (c) => c.charCodeAt(0)); return [await crypto.subtle.verify("Ed25519", k, s, new TextEncoder().encode("nope")), (await crypto.subtle.exportKey("raw", k)).byteLength];"#,
                "[false,32]",
            ),
            (
                r#"crypto.subtle.importKey("spki", new Uint8Array(9), { name: "ECDSA", namedCurve: "P-256" }, true, ["verify"])"#,
                "DataError: The key data is invalid",
            ),
            (
                r#"crypto.subtle.digest("MD5", new Uint8Array(1))"#,
                "NotSupportedError: Unrecognized algorithm name: MD5",
            ),
            (
                "crypto.subtle.wrapKey()",
                "fatal: Not implemented: wrapKey for SubtleCrypto. Consider calling an action defined in Node.js instead (https://docs.convex.dev/functions/actions).",
            ),
            (
                r#"const k = await crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-512" }, true, ["sign"]); return (await crypto.subtle.exportKey("raw", k)).byteLength;"#,
                "128",
            ),
            (
                "[new Set([crypto.randomUUID(), crypto.randomUUID()]).size, crypto.randomUUID().length, crypto instanceof Crypto, crypto.subtle instanceof SubtleCrypto]",
                "[2,36,true,true]",
            ),
        ],
    );
}

#[test]
fn queries_verify_but_do_not_draw_randomness_for_keys() {
    let refused = "fatal: Can't use cryptographic randomness in queries and mutations. Please consider using an action. \
                   See https://docs.convex.dev/functions/actions for more details.";
    check(
        "query",
        &[
            (
                r#"crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, true, ["sign"])"#,
                refused,
            ),
            (r#"typeof crypto.randomUUID()"#, "string"),
        ],
    );
}

/// Ivs, tags, hashes and lengths that another implementation used.
#[test]
fn rarer_parameters_give_what_others_read() {
    let vectors = r#"[["P-256","SHA-384","BLPiq8zxIMhKOh3d/87KRbCtc0v9nDuJS15XDM88NMa2XkaWw++UDH6vMR0aqwpKfa4gqPQi1Ar11vJXK52ZhEY=","MUYgRTw8dIVkEt7q0RvqP9tPPEcYL/Q74FNtetEMwSh6V34FbKTF1hG9b4arMou/O23Hehi191n4ztMHu5+SPQ=="], ["P-256","SHA-1","BC8dIngYOatQULmWvhKSp1+pT9NpmxhRp4pjqaMYecTx2bmrIh2jN9dJc5pqnSOHi+tfSK9DwcQjMyFmcE1Zv1o=","1tTVJFgZ4HN7pFDF1owJWWytIIEfZPSnp1p2PpNii/Tb2G5eCEbXC0U8U6pV4mwLiZogRK1KjW8jgtvDLBKfdA=="], ["P-384","SHA-256","BKgwaKx2MCHV58UjIhtNN76fzxIHwm1wAqacfzxz1cVPqdoMDaLY2FxX76QLY4pXjyx918fP3d5K2F4kTaOr+2VLEvQJFB1IOxM3kyjmBa+pkJepF/4lBfyUjFF+FlI/ww==","PdRDhYEpS+TLToV8aYFBuBCilHmI8C8wdwyXkvTJelA1spAcBO9LPMkeTwC/kBGzudSeyIfg8G/TJyqWQn+N2Bm02GCfizsIMsCNp+fmdtv+Z/61q+otOKLBVXviddRS"], ["P-384","SHA-512","BF2UEnSRHIoBhquQhZlX0+G809Qpl9V2Ow+MaaC1wqRPQY8EtNahNS36gqZ+iDhgtH5c/HCcbXflyAmoBG2V4JefBYLl+dPH21D3aWx8KKomg790eAka4470DhMwSA1jig==","c4AX1PeBSSX0ZpUDcd8CMwAYn7oN2z4UqkAT3Nfx4+crG07k6/5z6zYqxIp8kkUAc80FWK/ITeHX+zePYtRKOJvcjGQ1epg2L2sobw0YjMXJYgGlIARjGxr/j+rtXW9O"], ["P-521","SHA-256","BABWODUN89TKTuAk/5RSp+RdThBnhU7CmS81VHVo4V9OFQGLl9y4dc3Fkp1pA+IvWDCOcmuf10/y6QLMR+vjJsntlADfrh5g70rJHTKcFuTsohlvFOSmZsS8YasdGfDIIf5yx0WqF7CcVCDfDfVASeN/tcLxseyNYno9CaT+S8E2ep4fdg==","ATcNdJ5MEaK4SXVD64jxREjtgI6gIHo7uxeLqIMIWgyrqW4Wuu4U+/Ik6RNJxNalsT99dCM0NbKvaNXQH3T+5vG4ANl2ezkMSIbO+comW6e9G6HkCqRknY89xyX7r5pkqWnw3pF9DBsNjS20SwrNluK7HCiJ0ATyAMRT4BFoHxH5tm81"], ["P-521","SHA-512","BACR2IoNGAdziCR5ugGVpjdo0FshUeDODZ6GJxedqquj+XD4PkorBsdHaUlw3DL92cSYdGUtSmxYZauJJCB/MxGAcwAhkSNBvjZFvyiLnGz9IowVl0m9WyQSLEiAYhC5HR+U4uOO1UOf3tx6U9tmaVX7UI2tx9uLroK7Hb1Ncfrt7dUz8g==","Ab/NwYvUZt29ibHN9CSNYtyrHWzVmLDal558Qp9yWo6XW7dlwlPzic/f9gzLwO+JxUvrKJbrWgIlOYd0NsigIlhsAGVPmTTAXy7dlMXIT6hLS2i4KTVphKv9DmE1GfoEvCQgSRInCcet9d5QbxXwX58w3blvLT0Ls9dnVHLl+zGSzxfF"]]"#;
    let from = r#"const from = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)); const d = new TextEncoder().encode("abc");"#;
    let verifies = format!(
        r#"{from} const out = []; for (const [namedCurve, hash, key, signature] of {vectors}) {{ const k = await crypto.subtle.importKey("raw", from(key), {{ name: "ECDSA", namedCurve }}, true, ["verify"]); const s = from(signature); out.push(await crypto.subtle.verify({{ name: "ECDSA", hash }}, k, s, d)); s[5] ^= 1; out.push(await crypto.subtle.verify({{ name: "ECDSA", hash }}, k, s, d)); }} return out;"#
    );
    check(
        "action",
        &[
            (
                &*verifies,
                "[true,false,true,false,true,false,true,false,true,false,true,false]",
            ),
            (
                r#"const out = []; const d = new Uint8Array(3); for (const namedCurve of ["P-256", "P-384", "P-521"]) { const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve }, true, ["sign", "verify"]); for (const hash of ["SHA-1", "SHA-256", "SHA-384", "SHA-512"]) { const s = await crypto.subtle.sign({ name: "ECDSA", hash }, pair.privateKey, d); const other = hash === "SHA-1" ? "SHA-256" : "SHA-1"; out.push(await crypto.subtle.verify({ name: "ECDSA", hash }, pair.publicKey, s, d), await crypto.subtle.verify({ name: "ECDSA", hash: other }, pair.publicKey, s, d)); } } return [out.length, out.every((is, at) => is === (at % 2 === 0))];"#,
                "[24,true]",
            ),
            (
                r#"const hex = (b) => [...new Uint8Array(b)].map((x) => x.toString(16).padStart(2, "0")).join(""); const k = await crypto.subtle.importKey("raw", new Uint8Array(32).fill(7), "AES-GCM", true, ["encrypt", "decrypt"]); const out = []; for (const [iv, tagLength] of [[16, 128], [16, 96], [12, 64], [60, 32]]) { const a = { name: "AES-GCM", iv: new Uint8Array(iv).fill(3), tagLength, additionalData: new Uint8Array(5) }; const c = new Uint8Array(await crypto.subtle.encrypt(a, k, new Uint8Array(20).fill(1))); const p = await crypto.subtle.decrypt(a, k, c); c[0] ^= 1; out.push(hex(c).slice(2), new Uint8Array(p).every((x) => x === 1), await crypto.subtle.decrypt(a, k, c).catch((e) => e.name)); } return out;"#,
                r#"["7e44417b9fe49ce617a9eb96ebd6471d2d3b63f4922ddea5d27810b4176b28bc4d4019",true,"OperationError","7e44417b9fe49ce617a9eb96ebd6471d2d3b63f4922ddea5d27810b4176b28",true,"OperationError","ffa2025b295f437b41425dea56fe0dec3de1eeeb040c81b94f6496",true,"OperationError","17a415522e3a0f6e8091f6312597d4a3098eb6caabd7ac",true,"OperationError"]"#,
            ),
            (
                r#"const k = await crypto.subtle.importKey("raw", new Uint8Array(32), "AES-GCM", false, ["encrypt", "decrypt"]); const iv = new Uint8Array(16); return Promise.all([{ tagLength: 24, iv }, { iv: new Uint8Array(0) }].map((more) => crypto.subtle.encrypt({ name: "AES-GCM", ...more }, k, iv).catch((e) => e.name)).concat(crypto.subtle.decrypt({ name: "AES-GCM", iv }, k, new Uint8Array(15)).catch((e) => e.name)));"#,
                r#"["OperationError","OperationError","OperationError"]"#,
            ),
            (
                r#"const hex = (b) => [...new Uint8Array(b)].map((x) => x.toString(16).padStart(2, "0")).join(""); const k = await crypto.subtle.importKey("raw", new Uint8Array(16).fill(7), "AES-CTR", true, ["encrypt"]); return Promise.all([1, 2, 8, 32, 64, 128].map((length) => crypto.subtle.encrypt({ name: "AES-CTR", counter: new Uint8Array(16).fill(255), length }, k, new Uint8Array(40)).then((c) => hex(c).slice(32, 48), (e) => e.name)));"#,
                r#"["OperationError","3a656a342a3234ea","4434c28164321c13","a18c57b052914353","cb0a9579733b9875","4c83b1490bd1a72c"]"#,
            ),
            (
                r#"const a = { name: "ECDH", namedCurve: "P-256" }; const [x, y] = await Promise.all([1, 2].map(() => crypto.subtle.generateKey(a, true, ["deriveBits"]))); const bits = async (n) => [...new Uint8Array(await crypto.subtle.deriveBits({ name: "ECDH", public: y.publicKey }, x.privateKey, n))]; const all = await bits(256); const some = await bits(12); return [some.length, some[0] === all[0], some[1] === (all[1] & 0xf0), (await bits(255)).length];"#,
                "[2,true,true,32]",
            ),
            (
                r#"const k = await crypto.subtle.importKey("raw", new Uint8Array(4), "PBKDF2", false, ["deriveBits"]); return crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt: new Uint8Array(1), iterations: 1 }, k, 12);"#,
                "OperationError: The length must be a multiple of 8",
            ),
        ],
    );
}
