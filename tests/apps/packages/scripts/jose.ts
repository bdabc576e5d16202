import * as jose from "jose";
import { type Script, thrown, utf8 } from "./script";

const NOW = new Date("2026-01-01T00:00:00Z");
const secret = utf8("a secret of thirty-two bytes, yes");
const claims = { sub: "ada", role: "admin", deep: { list: [1, "two", null] } };
const sign = (alg: string, key: jose.CryptoKey | Uint8Array) =>
  new jose.SignJWT(claims).setProtectedHeader({ alg, kid: "k1" }).setIssuer("https://issuer.example").setAudience("app").setIssuedAt(NOW).setExpirationTime(new Date(NOW.getTime() + 60_000)).sign(key);
const options = { issuer: "https://issuer.example", audience: "app", currentDate: NOW };
/** Signs with a new key, and verifies with a set that holds its public half. */
const both = (alg: string) => async () => {
  const { publicKey, privateKey } = await jose.generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await jose.exportJWK(publicKey)), kid: "k1", alg };
  const keys = jose.createLocalJWKSet({ keys: [jwk] });
  const token = await sign(alg, privateKey);
  const again = await jose.importPKCS8(await jose.exportPKCS8(privateKey), alg, { extractable: true });
  const { payload, protectedHeader } = await jose.jwtVerify(token, keys, options);
  const forged = `${token.slice(0, -8)}AAAAAAAA`;
  return [payload, protectedHeader, Object.keys(jwk).sort(), again.type, await thrown(() => jose.jwtVerify(forged, keys, options))];
};
const RSA = {
  kty: "RSA",
  n: "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
  e: "AQAB",
};

export const script: Script = {
  hs256: () => sign("HS256", secret),
  hs512: () => sign("HS512", secret),
  hs256verifies: async () => jose.jwtVerify(await sign("HS256", secret), secret, options),
  rs256: both("RS256"),
  ps256: both("PS256"),
  es256: both("ES256"),
  es384: both("ES384"),
  eddsa: both("EdDSA"),
  expired: async () => jose.jwtVerify(await sign("HS256", secret), secret, { ...options, currentDate: new Date("2027-01-01") }),
  otherAudience: async () => jose.jwtVerify(await sign("HS256", secret), secret, { ...options, audience: "other" }),
  notAToken: () => jose.jwtVerify("a.b.c", secret),
  decodes: async () => [jose.decodeJwt(await sign("HS256", secret)), jose.decodeProtectedHeader(await sign("HS256", secret))],
  thumbprint: () => jose.calculateJwkThumbprint(RSA),
  imports: async () => ((await jose.importJWK(RSA, "RS256")) as jose.CryptoKey).algorithm,
  encrypts: async () => {
    const key = utf8("0123456789abcdef0123456789abcdef");
    const sealed = await new jose.EncryptJWT(claims).setProtectedHeader({ alg: "dir", enc: "A256GCM" }).encrypt(key);
    return (await jose.jwtDecrypt(sealed, key)).payload;
  },
  wraps: async () => {
    const { publicKey, privateKey } = await jose.generateKeyPair("RSA-OAEP-256", { extractable: true });
    const sealed = await new jose.CompactEncrypt(utf8("hush")).setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A128CBC-HS256" }).encrypt(publicKey);
    return new TextDecoder().decode((await jose.compactDecrypt(sealed, privateKey)).plaintext);
  },
  agrees: async () => {
    const { publicKey, privateKey } = await jose.generateKeyPair("ECDH-ES", { extractable: true });
    const sealed = await new jose.CompactEncrypt(utf8("hush")).setProtectedHeader({ alg: "ECDH-ES", enc: "A256GCM" }).encrypt(publicKey);
    return new TextDecoder().decode((await jose.compactDecrypt(sealed, privateKey)).plaintext);
  },
};
