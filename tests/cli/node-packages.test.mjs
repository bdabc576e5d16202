// Packages that `convex.json` leaves out of the bundle: the server installs them with npm, from a registry of the test's own.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ended, openApp, push, pushOf, startServer } from "./harness.mjs";
import { APP, failure, value } from "./node.mjs";

const PACKAGES = fileURLToPath(new URL("node_modules", import.meta.url));

/** The files of some packages, by name. Each version has a text of its own. */
const files = (version) => ({
  greeter: {
    "package.json": { name: "greeter", version, main: "index.js", dependencies: { "@test/inner": "^2.0.0" }, scripts: { install: "node -e \"require('fs').writeFileSync('ran', '')\"" } },
    "index.js": `const fs = require("fs"), path = require("path");
      exports.greet = (name) => require("@test/inner").bow("hello " + name) + " ${version}";
      exports.ran = () => fs.existsSync(path.join(__dirname, "ran"));
      exports.data = () => JSON.parse(fs.readFileSync(path.join(__dirname, "data.json"), "utf8"));`,
    "data.json": { read: true },
  },
  "@test/inner": {
    "package.json": { name: "@test/inner", version: "2.1.0", type: "commonjs", exports: "./main.cjs" },
    "main.cjs": 'exports.bow = (text) => text + "!";',
  },
  modern: {
    "package.json": { name: "modern", version: "3.0.0", type: "module", exports: { ".": { import: "./main.mjs" }, "./deep": "./deep.mjs" } },
    "main.mjs": "export default await Promise.resolve('top-level');",
    "deep.mjs": "export const deep = import.meta.url.endsWith('/modern/deep.mjs');",
  },
});

const write = (folder, contents) => {
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of Object.entries(contents)) writeFileSync(path.join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
};

/** A registry with these packages. It counts the packages that were asked for. */
async function registry(t, packages) {
  const folder = mkdtempSync(path.join(tmpdir(), "vestibule-registry-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const tarball = (name) => {
    const place = path.join(folder, name.replace("/", "-"));
    write(path.join(place, "package"), packages[name]);
    return execFileSync("tar", ["-czf", "-", "-C", place, "package"]);
  };
  const tarballs = new Map(Object.keys(packages).map((name) => [name, tarball(name)]));
  const asked = [];
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://registry");
    const [name, file] = decodeURIComponent(pathname.slice(1)).split("/-/");
    const bytes = tarballs.get(name);
    if (bytes === undefined) return response.writeHead(404).end("{}");
    if (file !== undefined) return response.end(bytes);
    asked.push(name);
    const manifest = packages[name]["package.json"];
    const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
    const dist = { tarball: `http://${request.headers.host}/${name}/-/it.tgz`, integrity };
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ name, "dist-tags": { latest: manifest.version }, versions: { [manifest.version]: { ...manifest, dist } } }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${server.address().port}/`, asked };
}

/** The app with modules that import the packages, which lie in its own node_modules as a developer's npm has put them there. */
function openWith(t, server, packages) {
  const app = openApp(t, server, APP);
  rmSync(path.join(app.folder, "node_modules"));
  for (const name of readdirSync(PACKAGES).filter((name) => !name.startsWith("."))) {
    mkdirSync(path.join(app.folder, "node_modules"), { recursive: true });
    symlinkSync(path.join(PACKAGES, name), path.join(app.folder, "node_modules", name));
  }
  for (const [name, contents] of Object.entries(packages)) write(path.join(app.folder, "node_modules", name), contents);
  const versions = Object.entries(packages).map(([name, contents]) => [name, `^${contents["package.json"].version}`]);
  const manifest = JSON.parse(app.read("package.json"));
  app.write("package.json", JSON.stringify({ ...manifest, dependencies: { ...manifest.dependencies, ...Object.fromEntries(versions) } }));
  app.write("convex.json", JSON.stringify({ node: { externalPackages: ["greeter", "modern"] } }));
  app.write(
    "convex/packages.ts",
    `"use node";
    import greeter from "greeter";
    import modern from "modern";
    import { deep } from "modern/deep";
    import { action } from "./_generated/server";
    export const greet = action(async (_, { name }: { name: string }) => [greeter.greet(name), modern, deep]);
    export const data = action(async () => [greeter.data().read, greeter.ran()]);`,
  );
  return app;
}

const deploy = (app, code = 0) => app.convex("deploy", "--typecheck", "disable").then((result) => ended(result, code));

test("packages that a bundle leaves out are installed once, in the developer's version, without their scripts", async (t) => {
  const old = files("1.2.3");
  const { url, asked } = await registry(t, old);
  process.env.npm_config_registry = url;
  t.after(() => delete process.env.npm_config_registry);
  const server = await startServer(t, { flags: ["--node-packages"] });
  const app = openWith(t, server, old);
  ended(await app.convex("env", "set", "GREETING", "hello"));
  await deploy(app);
  assert.deepEqual(await value(server, "packages:greet", { name: "Ada" }), ["hello Ada! 1.2.3", "top-level", true]);
  assert.deepEqual(await value(server, "packages:data"), [true, false]);
  assert.deepEqual(asked.toSorted(), ["@test/inner", "greeter", "modern"]);
  const installed = () => readdirSync(path.join(server.data, "node/packages"));
  assert.equal(installed().length, 1);

  // The same list with other code, and the old one when another push comes between.
  app.edit("convex/packages.ts", "[greeter.greet(name), modern, deep]", "[modern, deep, greeter.greet(name)]");
  await deploy(app);
  assert.deepEqual(await value(server, "packages:greet", { name: "Eve" }), ["top-level", true, "hello Eve! 1.2.3"]);
  assert.equal(asked.length, 3, "an equal list is installed once");
  assert.equal(installed().length, 1);

  // A version that the registry lacks: the push fails with npm's words, and the app goes on.
  const source = 'export const go = Object.assign(() => {}, { isAction: true, isPublic: true, invokeAction: async () => "1" });';
  const body = pushOf({}, null, { nodeDependencies: [{ name: "greeter", version: "9.9.9" }] });
  body.appDefinition.changedModules = [{ path: "go.js", source, environment: "node" }];
  const refused = await push(server, body);
  assert.deepEqual([refused.status, refused.body.code], [400, "NodePackagesNotInstalled"]);
  assert.match(refused.body.message, /npm install failed: [^]*greeter@9\.9\.9/);
  assert.deepEqual(await value(server, "packages:greet", { name: "Bob" }), ["top-level", true, "hello Bob! 1.2.3"]);
  assert.equal(installed().length, 1, "nothing of it is left");
});

test("a package that is not installed is named by the call that needs it", async (t) => {
  const server = await startServer(t);
  const source = 'import "greeter"; export const go = Object.assign(() => {}, { isAction: true, isPublic: true, invokeAction: async () => "1" });';
  const body = pushOf({});
  body.appDefinition.changedModules = [{ path: "go.js", source, environment: "node" }];
  const refused = await push(server, body);
  assert.equal(refused.status, 400);
  assert.match(refused.body.message, /Failed to analyze go\.js: [^]*greeter/);
  assert.match((await failure(server, "go:go")).errorMessage, /Could not find/);
});
