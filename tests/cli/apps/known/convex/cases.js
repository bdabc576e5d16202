// The answers of packages whose slow functions this server knows. Runs in functions and in Node, which have to agree.
import { scrypt, scryptAsync } from "@noble/hashes/scrypt.js";
import bcrypt from "bcryptjs";
import { Scrypt } from "lucia";

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const utf8 = (text) => new TextEncoder().encode(text);

const said = async (work) => {
  try {
    const value = await work();
    return value instanceof Uint8Array ? `${value.constructor.name} ${hex(value)}` : String(value);
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

// Salt and key of "correct horse" as lucia stores them, made by Node's own scrypt.
const HASHED =
  "0123456789abcdef0123456789abcdef:c967f8a4438e68448871a4fbb9b41b2aacaa6d9d98bf76d9740467af6a3305c6" +
  "601235ae3706eaeaafd4c037201f630b3c3670caf74d8be1d22256672828773e";

const SALT = "$2b$04$abcdefghijklmnopqrstuu";

export const CASES = {
  luciaKnowsAHash: () => new Scrypt().verify(HASHED, "correct horse"),
  luciaKnowsAWrongPassword: () => new Scrypt().verify(HASHED, "correct house"),
  async luciaKnowsItsOwnHash() {
    const lucia = new Scrypt();
    const hash = await lucia.hash("pässword");
    const [salt, key] = hash.split(":");
    const again = await scryptAsync("pässword", salt, { N: 16384, r: 16, p: 1, dkLen: 64 });
    return `${await lucia.verify(hash, "pässword")} ${salt.length} ${key === hex(again)}`;
  },
  rfc7914: () => scrypt("password", "NaCl", { N: 1024, r: 8, p: 16, dkLen: 64 }),
  rfc7914Small: () => scrypt("", "", { N: 16, r: 1, p: 1, dkLen: 64 }),
  bytesAndALoneSurrogate: () => scrypt(utf8("\u00e4"), "a\ud800b", { N: 2, r: 3, p: 2 }),
  asynchronously: () => scryptAsync("password", utf8("NaCl"), { N: 64, r: 4, p: 1, dkLen: 33 }),
  withProgress() {
    let last = 0;
    const key = scrypt("a", "b", { N: 16, r: 1, p: 1, onProgress: (part) => (last = part) });
    return `${hex(key)} ${last}`;
  },
  noPowerOfTwo: () => scrypt("a", "b", { N: 15, r: 1, p: 1 }),
  noOptions: () => scrypt("a", "b"),
  noParallelism: () => scrypt("a", "b", { N: 16, r: 1, p: 0 }),
  noLength: () => scrypt("a", "b", { N: 16, r: 1, p: 1, dkLen: 0 }),
  undefinedLength: () => scrypt("a", "b", { N: 16, r: 1, p: 1, dkLen: undefined }),
  aNumberForAPassword: () => scrypt(1, "b", { N: 16, r: 1, p: 1 }),
  wordsForAPassword: () => scrypt(new Uint16Array(2), "b", { N: 16, r: 1, p: 1 }),
  enoughMemory: () => scryptAsync("a", "b", { N: 1024, r: 16, p: 1, maxmem: 128 * 1024 * 16 * 2 }),
  tooMuchMemory: () => scrypt("a", "b", { N: 16, r: 1, p: 1, maxmem: 10 }),
  bcrypt: () => bcrypt.hashSync("password", SALT),
  bcryptOfMuch: () => bcrypt.hashSync("x\u00e4\u{1F600}".repeat(30), SALT),
  bcryptOfNothing: () => bcrypt.hashSync("", SALT),
  bcryptOfOldSalts: () => bcrypt.hashSync("password", SALT.replace("2b", "2")),
  bcryptCompares: () => bcrypt.compareSync("password", bcrypt.hashSync("password", SALT)),
  bcryptTooFewRounds: () => bcrypt.hashSync("password", SALT.replace("04", "03")),
};

export const answers = async () => {
  const found = {};
  for (const [name, work] of Object.entries(CASES)) found[name] = await said(work);
  return found;
};
