// Calls that wait for a client without a socket, and their end when the client is closed.

import { ConvexReactClient } from "convex/react";
import { expect, test } from "vitest";
import WebSocket from "ws";
import { ReachableClient } from "../src/reachable.js";

/** A client of a server that is not there. */
const newClient = () =>
  new ConvexReactClient("http://127.0.0.1:9", {
    webSocketConstructor: WebSocket as unknown as typeof globalThis.WebSocket,
    unsavedChangesWarning: false,
    logger: false,
  });

test("an identity that waits for a socket is told when the client has replaced its token, in order", async () => {
  const client = newClient();
  const reachable = new ReachableClient(client);
  const told: string[] = [];
  reachable.replacing(true);
  reachable.tell(() => told.push("nobody"));
  reachable.tell(() => told.push("Ada"));
  expect(told).toEqual([]);
  reachable.replacing(false);
  expect(told).toEqual(["nobody", "Ada"]);
  await client.close();
});

test("a client that is closed meanwhile is told nothing, and closes", async () => {
  const client = newClient();
  const reachable = new ReachableClient(client);
  client.setAuth(() => Promise.resolve(null), undefined, (isReplacing) => reachable.replacing(isReplacing));
  reachable.replacing(true);
  reachable.tell(() => client.clearAuth());
  await expect(client.close()).resolves.toBeUndefined();
});

const turn = () => new Promise((resolve) => setTimeout(resolve));

test("an identity waits while a token is on its way, and is told in order", async () => {
  const client = newClient();
  const reachable = new ReachableClient(client);
  const told: string[] = [];
  reachable.fetched();
  reachable.tell(() => told.push("nobody"));
  reachable.fetched();
  reachable.tell(() => told.push("Ada"));
  await Promise.resolve();
  expect(told).toEqual([]);
  await turn();
  expect(told).toEqual(["nobody", "Ada"]);
  reachable.tell(() => told.push("Bo"));
  expect(told).toEqual(["nobody", "Ada", "Bo"]);
  reachable.fetched();
  reachable.tell(() => told.push("nobody any more"));
  await client.close();
  await turn();
  expect(told).toHaveLength(3);
});

// The official client would forget whose token it was and, when told of one more identity, reject a promise that no
// code holds, which fails the run.
test.each([0, 1, 2, 3, 4, 5])("the client takes another identity %i microtasks after it was given a token", async (microtasks) => {
  const client = newClient();
  const reachable = new ReachableClient(client);
  let fetches = 0;
  const never = () => {
    fetches += 1;
    return new Promise<null>(() => {});
  };
  await new Promise<void>((given) => {
    client.setAuth(async ({ forceRefreshToken }) => {
      if (!forceRefreshToken) return null;
      reachable.fetched();
      given();
      return "a.b.c";
    });
  });
  for (let passed = 0; passed < microtasks; passed++) await null;
  reachable.tell(() => client.setAuth(never));
  await turn();
  reachable.tell(() => client.setAuth(never));
  await turn();
  expect(fetches).toBe(2);
  await client.close();
});
