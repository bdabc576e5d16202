import { blake2b } from "@noble/hashes/blake2";
import { blake3 } from "@noble/hashes/blake3";
import { hkdf } from "@noble/hashes/hkdf";
import { hmac } from "@noble/hashes/hmac";
import { ripemd160, sha1 } from "@noble/hashes/legacy";
import { pbkdf2, pbkdf2Async } from "@noble/hashes/pbkdf2";
import { scrypt, scryptAsync } from "@noble/hashes/scrypt";
import { sha256, sha384, sha512 } from "@noble/hashes/sha2";
import { keccak_256, sha3_256 } from "@noble/hashes/sha3";
import { concatBytes, randomBytes } from "@noble/hashes/utils";
import { type Script, utf8 } from "./script";

const long = () => utf8("0123456789".repeat(500));

export const script: Script = {
  sha2: () => [sha256("abc"), sha384("abc"), sha512(long())],
  sha3: () => [sha3_256("abc"), keccak_256("abc")],
  blakes: () => [blake2b("abc"), blake3(long(), { dkLen: 64 })],
  old: () => [sha1("abc"), ripemd160("abc")],
  hmac: () => [hmac(sha256, "key", "message"), hmac.create(sha512, utf8("key")).update("in ").update("parts").digest()],
  hkdf: () => hkdf(sha256, utf8("key"), utf8("salt"), "info", 64),
  pbkdf2: async () => [pbkdf2(sha256, "password", "salt", { c: 64, dkLen: 32 }), await pbkdf2Async(sha512, "password", "salt", { c: 16, dkLen: 64 })],
  scrypt: () => scrypt("password", "NaCl", { N: 64, r: 8, p: 2, dkLen: 64 }),
  scryptAsync: () => scryptAsync("passwörd", "salt", { N: 128, r: 4, p: 1, dkLen: 32 }),
  scryptRefuses: () => scrypt("password", "salt", { N: 63, r: 8, p: 1 }),
  utils: () => [concatBytes(utf8("a"), utf8("b")), randomBytes(16).length],
};
