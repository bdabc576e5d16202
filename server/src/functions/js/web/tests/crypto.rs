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
