// Waiting calls are bounded, and go in order or not at all.

import { expect, test } from "vitest";
import { HELD_CALLS_MAX, HeldCalls } from "../src/held.js";

test("calls go in order, with their own answers", async () => {
  const held = new HeldCalls();
  const order: number[] = [];
  const calls = [1, 2, 3].map((n) => held.hold(() => Promise.resolve(order.push(n))));
  expect(order).toEqual([]);
  held.letGo();
  expect(order).toEqual([1, 2, 3]);
  expect(await Promise.all(calls)).toEqual([1, 2, 3]);
});

test("calls that are rejected never run, and later ones may", async () => {
  const held = new HeldCalls();
  const late = held.hold(() => Promise.reject(new Error("it ran")));
  held.reject("IdentityChanged");
  await expect(late).rejects.toMatchObject({ name: "NotProvisionedError", reason: "IdentityChanged" });
  const next = held.hold(() => Promise.resolve("done"));
  held.letGo();
  expect(await next).toBe("done");
});

test("more than may wait is rejected at once", async () => {
  const held = new HeldCalls();
  const waiting = Array.from({ length: HELD_CALLS_MAX }, () => held.hold(() => Promise.resolve()));
  await expect(held.hold(() => Promise.resolve())).rejects.toMatchObject({ reason: "Failed" });
  held.letGo();
  await Promise.all(waiting);
});
