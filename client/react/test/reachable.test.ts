// What waits for a client that has no socket, and what becomes of it when the client is closed.

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
