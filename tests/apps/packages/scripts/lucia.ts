import { generateIdFromEntropySize, Scrypt, TimeSpan, verifyRequestOrigin } from "lucia";
import { type Script, thrown } from "./script";

export const script: Script = {
  ids: () => [generateIdFromEntropySize(10).length, /^[a-z2-7]+$/.test(generateIdFromEntropySize(25))],
  spans: () => new TimeSpan(2, "w").milliseconds(),
  origins: () => [verifyRequestOrigin("https://a.example", ["a.example"]), verifyRequestOrigin("https://b.example", ["a.example"])],
  refuses: () => thrown(() => new Scrypt().verify("nonsense", "password")),
};
