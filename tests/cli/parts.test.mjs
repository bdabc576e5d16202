// An app whose parts this server takes and cannot run yet: each of those fails at its call with a sentence, the rest runs.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ended, openApp, startServer } from "./harness.mjs";

const MIXED = fileURLToPath(new URL("apps/mixed", import.meta.url));

test("components, node modules and indexes of other kinds are pushed and run", async (t) => {
  const app = openApp(t, await startServer(t), MIXED);
  const pushed = ended(await app.convex("deploy", "--typecheck", "disable"));
  assert.match(pushed.all, /\[\+\] notes\.by_words \(text\)/);
  assert.match(pushed.all, /\[\+\] notes\.by_meaning \(vector\)/);
  assert.match(pushed.all, /notes\.by_text.*staged/i);
  assert.match(app.read("convex/_generated/api.d.ts"), /rateLimiter.*ComponentApi<"rateLimiter">/);

  const fails = async (name, args, sentence) => assert.match(ended(await app.convex("run", name, args), 1).all, sentence);
  await fails("notes:byText", "{}", /Index notes\.by_text is currently staged and not available to query until it is enabled/);

  assert.equal(ended(await app.convex("run", "asis:go")).out.trim(), '"gone"');
  assert.match(ended(await app.convex("run", "mail:host")).out, /!function/);
  assert.equal(ended(await app.convex("run", "notes:limited")).out.trim(), "true");
  assert.equal(ended(await app.convex("run", "notes:limited")).out.trim(), "false");
  ended(await app.convex("run", "notes:add", '{"text":"a hello"}'));
  assert.deepEqual(JSON.parse(ended(await app.convex("run", "notes:list")).out), ["a hello"]);
  assert.equal(JSON.parse(ended(await app.convex("run", "notes:found")).out)[0].text, "a hello");
  assert.deepEqual(JSON.parse(ended(await app.convex("run", "notes:near")).out), []);
  const spec = JSON.parse(ended(await app.convex("function-spec")).out).functions;
  const hash = spec.find(({ identifier }) => identifier === "mail.js:hash");
  assert.deepEqual([hash.functionType, hash.visibility.kind, hash.returns.type], ["Action", "public", "string"]);
  assert.equal(spec.find(({ identifier }) => identifier === "mail.js:host").visibility.kind, "internal");
});

test("a staged index is enabled by a later push", async (t) => {
  const app = openApp(t, await startServer(t), MIXED);
  ended(await app.convex("deploy", "--typecheck", "disable"));
  ended(await app.convex("run", "notes:add", '{"text":"hello"}'));
  app.edit("convex/schema.ts", ', staged: true', "");
  const enabled = ended(await app.convex("deploy", "--typecheck", "disable"));
  assert.match(enabled.all, /notes\.by_text/);
  assert.equal(JSON.parse(ended(await app.convex("run", "notes:byText")).out)[0].text, "hello");
});

test("the log that developers watch names the parts that are not run", async (t) => {
  const app = openApp(t, await startServer(t, { flags: ["--node", "off"] }), MIXED);
  ended(await app.convex("deploy", "--typecheck", "disable"));
  const all = await app.follow(["logs", "--history", "10"], (line) => line.includes("cannot run them yet"));
  assert.match(all, /the "use node" module mail\.js/);
});
