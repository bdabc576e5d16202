// `vestibule serve` as people run it, with apps that the official command line pushes.

import assert from "node:assert/strict";
import { createSign, generateKeyPairSync } from "node:crypto";
import { readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { api, appOf, ended, openApp, push, pushOf } from "./harness.mjs";
import { directory, serve, serveOnTerminal, vestibule } from "./serve.mjs";

const folder = (app) => fileURLToPath(new URL(`apps/${app}`, import.meta.url));
const CLOUD = "https://api.example.test";
const SITE = "https://site.example.test";

function keys() {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "one", use: "sig", alg: "RS256" };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = (issuer, subject) => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: issuer, sub: subject, aud: "convex", iat: now - 60, exp: now + 3600 };
    const text = `${part({ alg: "RS256", kid: "one", typ: "JWT" })}.${part(claims)}`;
    return `${text}.${createSign("sha256").update(text).sign(privateKey, "base64url")}`;
  };
  return { jwks: JSON.stringify({ keys: [jwk] }), token };
}

async function call(server, kind, path, token) {
  const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  const body = JSON.stringify({ path, args: {}, format: "json" });
  const response = await fetch(`${server.url}/api/${kind}`, { method: "POST", headers, body });
  return response.json();
}

const value = async (...asked) => {
  const answer = await call(...asked);
  assert.equal(answer.status, "success", JSON.stringify(answer));
  return answer.value;
};

async function deployed(t, server, app = "site") {
  const opened = openApp(t, server, folder(app));
  ended(await opened.convex("deploy"));
  return opened;
}

test("a deployment is its own issuer, and reaches itself by names that lead nowhere", async (t) => {
  const { jwks, token } = keys();
  const flags = ["--origin", CLOUD, "--site-origin", SITE, "--env", `JWKS=${jwks}`, "--env", "PLACE=the attic, left"];
  const server = await serve(t, directory(t), { flags });
  await deployed(t, server);
  assert.equal(await value(server, "query", "site:whoami", token(SITE, "ada")), "ada");
  const origins = { cloud: CLOUD, site: SITE, place: "the attic, left" };
  assert.deepEqual(await value(server, "query", "site:origins"), origins);
  assert.ok((await value(server, "mutation", "site:uploadUrl")).startsWith(`${CLOUD}/api/storage/upload?token=`));
  const told = await value(server, "action", "site:askItself");
  assert.equal(told.echo.url, `${SITE}/echo?x=1`);
  assert.equal(told.echo.body, "hello");
  assert.match(told.echo.agent, /^vestibule/);
  assert.deepEqual([told.query, told.file, told.length], [origins, "a file", "6"]);
  const refused = await call(server, "action", "site:askOthers");
  assert.equal(refused.status, "error");
  const stranger = await call(server, "query", "site:whoami", keys().token(SITE, "mallory"));
  assert.notEqual(stranger.status, "success");
  // The addresses by which this test asks are not those of the origins. That is said once.
  assert.equal(server.says("another host than --origin").length, 1);
});

test("HTTP actions are at the root of the site and below /http, and an issuer moves with its origin", async (t) => {
  const { jwks, token } = keys();
  const data = directory(t);
  const env = { VESTIBULE_ENV_JWKS: jwks };
  const first = await serve(t, data, { env });
  await deployed(t, first);
  const post = async (address) => (await fetch(address, { method: "POST", body: "x" })).json();
  assert.equal((await post(`${first.siteUrl}/echo?q`)).url, `${first.siteUrl}/echo?q`);
  assert.equal((await post(`${first.url}/http/echo`)).url, `${first.url}/echo`);
  assert.equal((await fetch(`${first.siteUrl}/version`)).status, 404);
  assert.equal(await value(first, "query", "site:whoami", token(first.siteUrl, "ada")), "ada");
  assert.deepEqual(first.says("another host"), []);
  assert.equal(await first.stop(), 0);
  const second = await serve(t, data, { flags: ["--site-origin", "http://moved.example.test:3211"] });
  assert.equal(await value(second, "query", "site:whoami", token("http://moved.example.test:3211", "ada")), "ada");
  const before = await call(second, "query", "site:whoami", token(first.siteUrl, "ada"));
  assert.notEqual(before.status, "success", "the issuer is another now");
});

test("fetch reaches private addresses in development alone, and goes by the proxy that the environment names", async (t) => {
  const asked = [];
  const world = createServer((request, response) => {
    asked.push(request.url);
    response.end("here");
  });
  await new Promise((resolve) => world.listen(0, "127.0.0.1", resolve));
  t.after(() => world.close());
  const address = `http://127.0.0.1:${world.address().port}`;
  const fetched = async ({ flags = [], proxies = {} }, url) => {
    // The machine that runs this may have proxies of its own.
    const names = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];
    const none = Object.fromEntries(names.flatMap((name) => [[name, ""], [name.toUpperCase(), ""]]));
    const server = await serve(t, directory(t), { flags, env: { ...none, ...proxies } });
    const body = `async () => JSON.stringify(await (await fetch(${JSON.stringify(url)})).text())`;
    const source = `export const go = Object.assign(() => {}, { isAction: true, isPublic: true, invokeAction: ${body},
      exportArgs: () => '{"type":"any"}', exportReturns: () => "null" });`;
    const pushed = await push(server, pushOf({ "go.js": source }));
    assert.equal(pushed.status, 200, JSON.stringify(pushed.body));
    return call(server, "action", "go:go");
  };
  // Errors are shown, and nothing else of development is on.
  const refused = await fetched({ flags: ["--redact", "false"] }, `${address}/refused`);
  assert.match(refused.errorMessage, /a loopback address, where functions may not go.*--fetch-allow/);
  assert.equal((await fetched({ flags: ["--dev"] }, `${address}/open`)).value, "here");
  const proxies = { HTTP_PROXY: "http://127.0.0.1:9", http_proxy: address };
  const proxied = await fetched({ proxies }, "http://nowhere.invalid/proxied");
  assert.equal(proxied.value, "here", JSON.stringify(proxied));
  assert.deepEqual(asked, ["/open", "http://nowhere.invalid/proxied"]);
});

test("a variable that was given at a start is set once", async (t) => {
  const data = directory(t);
  const place = async (server) => (await value(server, "query", "site:origins")).place;
  const first = await serve(t, data, { flags: ["--env", "PLACE=attic"], env: { VESTIBULE_ENV_JWKS: "{}" } });
  const app = await deployed(t, first);
  assert.equal(await place(first), "attic");
  ended(await app.convex("env", "set", "PLACE", "cellar"));
  await first.stop();
  const second = await serve(t, data, { flags: ["--env", "PLACE=attic"] });
  assert.equal(await place(second), "cellar");
  const again = openApp(t, second, folder("site"));
  ended(await again.convex("env", "remove", "PLACE"));
  await second.stop();
  const third = await serve(t, data, { flags: ["--env", "PLACE=attic"] });
  assert.equal(await place(third), null);
  const wrong = await vestibule(["serve", "--data", data, "--env", "CONVEX_SITE_URL=x"]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /--env cannot be used: .*built-in/);
});

test("the development issuer is a flag of its own, and ends with a push that names a real one", async (t) => {
  const mint = (server) =>
    fetch(`${server.url}/dev/token`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ subject: "ada" }),
    });
  const without = await serve(t, directory(t), { flags: ["--dev"] });
  assert.equal((await mint(without)).status, 404);
  assert.equal(without.says("development mode is on").length, 1);
  const data = directory(t);
  const server = await serve(t, data, { flags: ["--dev-issuer"], env: { VESTIBULE_ENV_JWKS: "{}" } });
  assert.deepEqual(server.says("development mode is on"), []);
  const app = await deployed(t, server);
  const { token } = await (await mint(server)).json();
  assert.equal(await value(server, "query", "site:whoami", token), "ada");
  app.edit("convex/auth.config.ts", "process.env.CONVEX_SITE_URL!", '"https://issuer.example.com"');
  ended(await app.convex("deploy"));
  assert.equal((await mint(server)).status, 404);
  assert.notEqual((await call(server, "query", "site:whoami", token)).status, "success");
  assert.equal(server.says("the development issuer is off: the pushed auth config").length, 1);
  await server.stop();
  const again = await serve(t, data, { flags: ["--dev-issuer"] });
  assert.equal((await mint(again)).status, 404);
  const open = await vestibule(["serve", "--data", data, "--listen", "0.0.0.0:0", "--dev-issuer"]);
  assert.notEqual(open.code, 0);
  assert.match(open.err, /loopback address only/);
});

test("the first start says how the command line reaches it, and a busy port which flag chooses another", async (t) => {
  const data = directory(t);
  const first = await serve(t, data, { flags: ["--name", "happy-otter"] });
  assert.match(first.out(), new RegExp(`vestibule admin-key --data ${data} --name happy-otter`));
  const taken = new URL(first.url).host;
  const busy = await vestibule(["serve", "--data", directory(t), "--listen", "127.0.0.1:0", "--site-listen", taken]);
  assert.match(busy.err, new RegExp(`${taken} is in use.*--site-listen`));
  await first.stop();
  const second = await serve(t, data, { flags: ["--name", "happy-otter"], site: "off" });
  assert.equal(second.out(), "");
  assert.equal(second.siteUrl, undefined);
});

test("the first start on a terminal prints the two lines with which the command line deploys", async (t) => {
  const data = directory(t);
  const lines = await serveOnTerminal(t, data, "--dev shows them.");
  const settings = lines.filter((line) => line.startsWith("CONVEX_SELF_HOSTED_"));
  assert.deepEqual(settings.map((line) => line.split("=")[0]), ["CONVEX_SELF_HOSTED_URL", "CONVEX_SELF_HOSTED_ADMIN_KEY"], lines.join("\n"));
  const app = openApp(t, {});
  app.write(".env.local", `${settings.join("\n")}\n`);
  ended(await app.convex("deploy"));
  assert.equal(ended(await app.convex("run", "rooms:list")).out.trim(), "[]");
});

test("in production clients see no text and no line of a pushed function, and the log has all of it", async (t) => {
  const server = await serve(t, directory(t));
  const throwing = (kind) =>
    `export const ${kind}Of = ${kind}({ args: { data: v.optional(v.boolean()) }, handler: async (_, { data }) => {
  console.log("s3cret line of ${kind}");
  if (data) throw new ConvexError({ code: "FULL" });
  throw new Error("s3cret text of ${kind}");
} });\n`;
  const app = appOf(t, server, {
    "convex/m.ts": `import { action, mutation, query } from "./_generated/server"; import { ConvexError, v } from "convex/values";
${["query", "mutation", "action"].map(throwing).join("")}
export const calm = query({ args: {}, handler: () => { console.log("s3cret line of calm"); return 1; } });
`,
    "convex/http.ts": `import { httpRouter } from "convex/server"; import { httpAction } from "./_generated/server";
const http = httpRouter();
http.route({ path: "/throws", method: "GET", handler: httpAction(async () => { console.log("s3cret line of http"); throw new Error("s3cret text of http"); }) });
export default http;
`,
  });
  ended(await app.convex("deploy", "--typecheck", "disable"));
  const REDACTED = /^\[Request ID: [0-9a-f]{16}\] Server Error$/;
  const said = [];
  const logger = Object.fromEntries(["log", "warn", "error", "logVerbose"].map((level) => [level, (...words) => said.push(words.join(" "))]));
  const socket = new ConvexClient(server.url, { logger });
  t.after(() => socket.close());
  for (const kind of ["query", "mutation", "action"]) {
    const ask = (args) => api(server, `/api/${kind}`, { path: `m:${kind}Of`, args, format: "json" }, { key: null });
    const { status, ...answer } = (await ask({})).body;
    assert.equal(status, "error");
    assert.match(answer.errorMessage, REDACTED);
    assert.deepEqual(Object.keys(answer).filter((key) => !["errorMessage", "logLines"].includes(key)), []);
    const refused = (await ask({ data: true })).body;
    assert.match(refused.errorMessage, REDACTED);
    assert.deepEqual(refused.errorData, { code: "FULL" });
    // Errors of arguments show the app's own names and values.
    assert.match((await ask({ data: 7 })).body.errorMessage, REDACTED);
    said.push(JSON.stringify([answer, refused]));
    await assert.rejects(socket[kind](`m:${kind}Of`, {}), ({ message }) => {
      said.push(message);
      return /Server Error/.test(message);
    });
    await assert.rejects(socket[kind](`m:${kind}Of`, { data: true }), ({ data }) => data.code === "FULL");
  }
  const watched = await new Promise((resolve) => socket.onUpdate("m:queryOf", {}, resolve, resolve));
  said.push(watched.message);
  assert.match(watched.message, /Server Error/);
  assert.equal(await socket.query("m:calm", {}), 1);
  said.push(JSON.stringify((await api(server, "/api/query", { path: "m:calm", args: {}, format: "json" }, { key: null })).body));
  for (const url of [`${server.url}/http/throws`, `${server.siteUrl}/throws`]) {
    const response = await fetch(url);
    const text = await response.text();
    assert.equal(response.status, 500);
    assert.match(JSON.parse(text).code, REDACTED);
    said.push(text);
  }
  assert.doesNotMatch(said.join("\n"), /s3cret|m\.ts/);
  // An administrator sees all of it, with the ids that the clients have.
  const told = (await api(server, "/api/function", { path: "m:queryOf", args: {}, format: "json" })).body;
  assert.match(told.errorMessage, /s3cret text of query/);
  let log = "";
  const wanted = ["query", "mutation", "action", "http"].flatMap((kind) => [`s3cret line of ${kind}`, `s3cret text of ${kind}`]);
  await app.follow(["logs", "--history", "100", "--jsonl"], (line) => {
    log += line;
    return wanted.every((text) => log.includes(text));
  });
  const [, id] = said.join().match(/Request ID: ([0-9a-f]{16})/);
  assert.ok(log.includes(id), `the log has the request ${id}`);
});

test("a push is gone back from, beside a running server and without one", async (t) => {
  const data = directory(t);
  const server = await serve(t, data, { env: { VESTIBULE_ENV_JWKS: "{}" } });
  const at = (server) => ["--data", data, ...(server ? ["--server", server.url] : [])];
  const done = async (...args) => ended(await vestibule(args)).out.trim();
  assert.equal(await done("deployments", ...at(server)), "");
  const app = openApp(t, server, folder("site"));
  ended(await app.convex("deploy", "--message", "the first"));
  app.edit("convex/site.ts", "process.env.PLACE ?? null", '"moved"');
  ended(await app.convex("deploy"));
  assert.equal((await value(server, "query", "site:origins")).place, "moved");
  const [newest, first] = (await done("deployments", ...at(server))).split("\n");
  assert.match(newest, /^\w+  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  live$/);
  assert.match(first, /the first$/);
  const [id] = first.split(" ");
  const again = await done("rollback", ...at(server), id);
  assert.equal((await value(server, "query", "site:origins")).place, null);
  assert.ok((await done("deployments", ...at(server))).startsWith(again));
  const unknown = await vestibule(["rollback", ...at(server), "nonsense"]);
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /There is no push "nonsense" to go back to/);
  const lost = await vestibule(["deployments", "--data", data, "--server", "http://127.0.0.1:9"]);
  assert.equal(lost.code, 1);
  assert.match(lost.err, /in use by a server, which was not found.*--server/);
  await server.stop();
  const [, back] = (await done("deployments", ...at())).split("\n");
  await done("rollback", ...at(), back.split(" ")[0]);
  const second = await serve(t, data);
  assert.equal((await value(second, "query", "site:origins")).place, "moved");
});

test("data is exported and imported, beside a running server and without one", async (t) => {
  const data = directory(t);
  const other = directory(t);
  const files = directory(t);
  const server = await serve(t, data);
  const beside = ["--data", data, "--server", server.url];
  const lines = path.join(files, "notes.jsonl");
  writeFileSync(lines, '{"n":1}\n{"n":2}\n');
  const first = ended(await vestibule(["import", ...beside, lines, "--table", "notes"]));
  assert.equal(first.out.trim(), "2 documents imported");
  const full = await vestibule(["import", ...beside, lines, "--table", "notes"]);
  assert.equal(full.code, 1);
  assert.match(full.err, /notes/);
  const asked = await vestibule(["import", ...beside, lines, "--table", "notes", "--replace"]);
  assert.equal(asked.code, 1);
  assert.match(asked.err, /nothing was imported: documents would be deleted, which --yes agrees to/);
  ended(await vestibule(["import", ...beside, lines, "--table", "notes", "--append"]));
  const archive = path.join(files, "all.zip");
  assert.equal(ended(await vestibule(["export", ...beside, "--path", archive])).out.trim(), archive);
  const twice = await vestibule(["export", ...beside, "--path", archive]);
  assert.match(twice.err, /is there already/);
  await server.stop();
  // Without a server, into a deployment that is as new as can be.
  ended(await vestibule(["export", "--data", data, "--path", files]));
  assert.equal(readdirSync(files).filter((name) => /^snapshot_\d+\.zip$/.test(name)).length, 1);
  assert.deepEqual(readdirSync(files).filter((name) => name.endsWith(".part")), []);
  const moved = ended(await vestibule(["import", "--data", other, archive, "--replace-all", "--yes"]));
  assert.equal(moved.out.trim(), "4 documents imported");
  for (const [args, says] of [
    [[path.join(files, "none.csv"), "--table", "t"], /cannot be read/],
    [[lines], /--table/],
    [[archive, "--table", "t"], /leave out --table/],
    [[path.join(files, "notes"), "--table", "t"], /say what it is with --format/],
  ]) {
    const refused = await vestibule(["import", "--data", other, ...args]);
    assert.equal(refused.code, 1);
    assert.match(refused.err, says);
  }
});

test("the program brings in CSV and JSON, and takes files along", async (t) => {
  const [data, other, files] = [directory(t), directory(t), directory(t)];
  const server = await serve(t, data);
  await deployed(t, server, "vault");
  const ask = (server, kind, name, args = {}) => new ConvexHttpClient(server.url, { logger: false })[kind](`vault:${name}`, args);
  const beside = ["--data", data, "--server", server.url];
  for (const [name, text, more] of [
    ["notes.csv", 'text\n"one, from CSV"\n', []],
    ["notes.json", '[{"text":"two, from JSON"}]', ["--append"]],
    ["notes", '{"text":"three, from lines"}\n', ["--append", "--format", "jsonLines"]],
  ]) {
    const file = path.join(files, name);
    writeFileSync(file, text);
    const { out } = ended(await vestibule(["import", ...beside, file, "--table", "notes", ...more]));
    assert.equal(out.trim(), "1 documents imported");
  }
  const notes = ["one, from CSV", "two, from JSON", "three, from lines"];
  assert.deepEqual(await ask(server, "query", "notes"), notes);
  const wrong = path.join(files, "wrong.csv");
  writeFileSync(wrong, "text\n7\n");
  const refused = await vestibule(["import", ...beside, wrong, "--table", "notes", "--append"]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /notes/);
  const id = await ask(server, "action", "keep", { text: "a file, as it is" });
  const [plain, whole] = ["plain.zip", "whole.zip"].map((name) => path.join(files, name));
  ended(await vestibule(["export", ...beside, "--path", plain]));
  ended(await vestibule(["export", ...beside, "--include-file-storage", "--path", whole]));
  await server.stop();
  for (const [archive, text] of [[plain, null], [whole, "a file, as it is"]]) {
    ended(await vestibule(["import", "--data", other, archive, "--replace-all", "--yes"]));
    const moved = await serve(t, other);
    await deployed(t, moved, "vault");
    assert.deepEqual(await ask(moved, "query", "notes"), notes);
    assert.equal(await ask(moved, "action", "read", { id }), text);
    await moved.stop();
  }
});

test("the log tells which admin key changed what, and nothing of those who only look", async (t) => {
  const server = await serve(t, directory(t));
  const other = await vestibule(["admin-key", "--data", server.data]);
  const set = (name, key) => api(server, "/api/update_environment_variables", { changes: [{ name, value: "s3cret" }] }, { key });
  assert.equal((await set("ONE", server.key)).status, 200);
  assert.equal((await set("TWO", other.out.trim())).status, 200);
  assert.equal((await set("not a name", server.key)).status, 400);
  assert.equal((await set("THREE", `${server.key}0`)).status, 401);
  assert.equal((await api(server, "/api/v1/list_environment_variables", undefined, { method: "GET" })).status, 200);
  await server.stop();
  const told = server.says("an admin key changed").map(({ fields }) => fields);
  const route = "/api/update_environment_variables";
  assert.deepEqual(told.map(({ route, status }) => [route, status]), [[route, 200], [route, 200], [route, 400]]);
  const [first, second, third] = told.map(({ admin_key: key }) => key);
  assert.equal(third, first);
  assert.notEqual(second, first);
  assert.match(other.err, new RegExp(second), "the id by which the key is revoked");
  assert.doesNotMatch(JSON.stringify(server.lines()), /s3cret/);
});
