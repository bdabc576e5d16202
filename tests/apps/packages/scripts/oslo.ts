import { SHA256, sha256 } from "@oslojs/crypto/sha2";
import { sha1 } from "@oslojs/crypto/sha1";
import { hmac } from "@oslojs/crypto/hmac";
import { generateRandomString } from "@oslojs/crypto/random";
import { constantTimeEqual } from "@oslojs/crypto/subtle";
import { decodeBase64urlIgnorePadding, encodeBase32LowerCaseNoPadding, encodeBase64, encodeHexLowerCase } from "@oslojs/encoding";
import { type Script, utf8 } from "./script";

const random = { read: (bytes: Uint8Array) => bytes.forEach((_, index) => (bytes[index] = index * 37)) };

export const script: Script = {
  hashes: () => [sha256(utf8("abc")), sha1(utf8("abc")), hmac(SHA256, utf8("key"), utf8("abc"))],
  random: () => generateRandomString(random, "abcdefghij", 20),
  equal: () => [constantTimeEqual(utf8("a"), utf8("a")), constantTimeEqual(utf8("a"), utf8("b"))],
  encodes: () => [encodeHexLowerCase(utf8("é")), encodeBase32LowerCaseNoPadding(utf8("hello")), encodeBase64(utf8("hello?")), decodeBase64urlIgnorePadding("aGVsbG8_")],
};
