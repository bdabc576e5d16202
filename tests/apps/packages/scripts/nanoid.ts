import { customAlphabet, customRandom, nanoid, urlAlphabet } from "nanoid";
import type { Script } from "./script";

export const script: Script = {
  looks: () => [nanoid(), nanoid(8), nanoid(64)].map((id) => [id.length, [...id].every((letter) => urlAlphabet.includes(letter))]),
  differs: () => new Set(Array.from({ length: 100 }, () => nanoid())).size,
  alphabet: () => /^[01]{12}$/.test(customAlphabet("01", 12)()),
  chosen: () => customRandom("abcdef", 10, (size) => new Uint8Array(size).map((_, index) => index * 7))(),
};
