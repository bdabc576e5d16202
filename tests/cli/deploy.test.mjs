// Pushing with the official command line: dev, deploy and codegen, and what they say when something is wrong.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import { ended, openApp, startServer } from "./harness.mjs";

test("dev pushes an app, and pushing it again changes nothing", async (t) => {
  const server = await startServer(t);
  const app = openApp(t, server);
  const first = ended(await app.convex("dev", "--once"));
  assert.match(first.all, /Added table indexes:/);
  assert.match(first.all, /Convex functions ready!/);
  assert.match(app.read(".env.local"), new RegExp(`CONVEX_URL=${server.url}`));
  const second = ended(await app.convex("dev", "--once"));
  assert.match(second.all, /Convex functions ready!/);
  assert.doesNotMatch(second.all, /indexes/);
  ended(await app.convex("run", "rooms:open", '{"title":"blue"}'));
  const list = ended(await app.convex("run", "rooms:list"));
  assert.equal(JSON.parse(list.out)[0].title, "blue");
});

test("dev can run a function after its push", async (t) => {
  const app = openApp(t, await startServer(t));
  const result = ended(await app.convex("dev", "--once", "--run", "rooms:list"));
  assert.match(result.all, /Convex functions ready!/);
});

test("codegen and a trial change nothing, and deploy does", async (t) => {
  const server = await startServer(t);
  const app = openApp(t, server);
  ended(await app.convex("codegen"));
  const missing = ended(await app.convex("run", "rooms:list"), 1);
  assert.match(missing.all, /Could not find function/);
  ended(await app.convex("deploy", "--dry-run"));
  assert.match(app.read("convex/_generated/api.d.ts"), /greetings/);
  assert.match(ended(await app.convex("run", "rooms:list"), 1).all, /Could not find function/);
  const deployed = ended(await app.convex("deploy", "--message", "the first one"));
  assert.match(deployed.all, /Deployed Convex functions/);
  assert.equal(ended(await app.convex("run", "rooms:list")).out.trim(), "[]");
});

test("a module that is taken away is gone after the next push", async (t) => {
  const app = openApp(t, await startServer(t));
  ended(await app.convex("deploy"));
  app.write("convex/greetings.ts", 'export const nothing = "here";\n');
  ended(await app.convex("deploy"));
  const gone = ended(await app.convex("run", "greetings:greet", '{"name":"Ada"}'), 1);
  assert.match(gone.all, /Could not find function for 'greetings:greet'/);
  // The list of what there is comes from the server.
  assert.match(gone.all, /rooms:list/);
});

test("a schema that documents do not fit fails the push, and the old one stays", async (t) => {
  const app = openApp(t, await startServer(t));
  ended(await app.convex("deploy"));
  ended(await app.convex("run", "rooms:open", '{"title":"blue"}'));
  app.edit("convex/schema.ts", "title: v.string()", "title: v.string(), floor: v.number()");
  const refused = ended(await app.convex("deploy", "--typecheck", "disable"), 1);
  assert.match(refused.all, /in table "rooms" does not match the schema: Object is missing the required field `floor`/);
  ended(await app.convex("run", "rooms:open", '{"title":"green"}'));
});

test("an app that throws while it is imported is refused with its error", async (t) => {
  const app = openApp(t, await startServer(t));
  app.write("convex/broken.ts", 'throw new Error("not today");\nexport const x = 1;\n');
  const refused = ended(await app.convex("deploy", "--typecheck", "disable"), 1);
  assert.match(refused.all, /Failed to analyze broken\.js: Uncaught Error: not today/);
  const dev = ended(await app.convex("dev", "--once", "--typecheck", "disable"), 1);
  assert.match(dev.all, /not today/);
});

test("an auth config names the variable that it lacks", async (t) => {
  const app = openApp(t, await startServer(t));
  app.write(
    "convex/auth.config.ts",
    'export default { providers: [{ domain: process.env.ISSUER!, applicationID: "convex" }] };\n',
  );
  const refused = ended(await app.convex("deploy", "--typecheck", "disable"), 1);
  assert.match(refused.all, /Environment variable ISSUER/);
  ended(await app.convex("env", "set", "ISSUER", "https://issuer.example"));
  ended(await app.convex("deploy", "--typecheck", "disable"));
});

test("a wrong key and a key that may look only are refused in a sentence", async (t) => {
  const server = await startServer(t, { flags: ["--read-only"] });
  const wrong = openApp(t, { ...server, key: "vestibule|00" });
  const refused = ended(await wrong.convex("deploy"), 1);
  assert.match(refused.all, /The admin key is not one of this deployment/);
  const looking = openApp(t, server);
  assert.match(ended(await looking.convex("deploy"), 1).all, /may look at the deployment and not change it/);
  ended(await looking.convex("env", "list"));
});

test("what was pushed is there after a restart", async (t) => {
  const server = await startServer(t);
  ended(await openApp(t, server).convex("deploy"));
  await server.stop();
  const again = await startServer(t, { data: server.data });
  const list = ended(await openApp(t, again).convex("run", "rooms:list"));
  assert.equal(list.out.trim(), "[]");
});

/** Passes requests on to `server`, and holds those that finish a push. */
async function holdingFinish(t, server) {
  let [reached, release] = [];
  const [isReached, isReleased] = [new Promise((resolve) => (reached = resolve)), new Promise((resolve) => (release = resolve))];
  const proxy = http.createServer(async (request, answer) => {
    if (request.url === "/api/deploy2/finish_push") {
      reached();
      await isReleased;
    }
    const { method, headers } = request;
    const passed = http.request(new URL(request.url, server.url), { method, headers }, (response) => {
      answer.writeHead(response.statusCode, response.headers);
      response.pipe(answer);
    });
    request.pipe(passed);
  });
  t.after(() => {
    proxy.close();
    proxy.closeAllConnections();
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  return { url: `http://127.0.0.1:${proxy.address().port}`, key: server.key, isReached, release };
}

test("of two deploys at once the one that finishes first is live whole, and the other is told", async (t) => {
  const server = await startServer(t);
  const held = await holdingFinish(t, server);
  const [slow, fast] = [openApp(t, held), openApp(t, server)];
  for (const [app, word] of [[slow, "Slow"], [fast, "Fast"]]) {
    app.edit("convex/greetings.ts", "Hello, ", `${word}, `);
    app.write(`convex/${word.toLowerCase()}.ts`, 'import { query } from "./_generated/server";\nexport const here = query({ args: {}, handler: () => true });\n');
  }
  const deploying = slow.convex("deploy");
  await held.isReached;
  assert.match(ended(await fast.convex("deploy")).all, /Deployed Convex functions/);
  held.release();
  const told = ended(await deploying, 1);
  assert.match(told.all, /Another push was finished during this one: push again\./);
  assert.doesNotMatch(told.all, /Deployed Convex functions/);
  assert.match(ended(await fast.convex("run", "greetings:greet", '{"name":"Ada"}')).out, /Fast, Ada/);
  assert.equal(ended(await fast.convex("run", "fast:here")).out.trim(), "true");
  assert.match(ended(await fast.convex("run", "slow:here"), 1).all, /Could not find function/);
  // The one that was too late pushes again.
  ended(await slow.convex("deploy"));
  assert.match(ended(await slow.convex("run", "greetings:greet", '{"name":"Ada"}')).out, /Slow, Ada/);
});
