// Packages that apps use, unmodified: listed inputs give the same in functions of each kind as under Node.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { ConvexHttpClient } from "convex/browser";
import { build } from "esbuild";
import { deploy, here, shared, startServer } from "./harness.mjs";
import { startServices } from "./services.mjs";

// Node shall be where the server's functions are.
process.env.TZ = "UTC";
const NAMES = readdirSync(path.join(here, "packages/convex")).filter((file) => !/^(schema|runner|tsconfig)\b/.test(file)).map((file) => path.basename(file, ".ts"));
// These talk to a service, which only actions may.
const TALKERS = ["ai", "openai", "resend", "stripe"];
// The needs of a case that only actions may use.
const RANDOMNESS = "cryptographic randomness";
const NEEDS = {
  bcryptjs: { hashesAsync: "setTimeout", compares: "setTimeout" },
  jose: { rs256: RANDOMNESS, ps256: RANDOMNESS, es256: RANDOMNESS, es384: RANDOMNESS, eddsa: RANDOMNESS, wraps: RANDOMNESS, agrees: RANDOMNESS },
};

const all = shared(async (t) => {
  const server = await startServer(t);
  const app = await deploy(t, server, "packages");
  // All are loaded before the first call: while Node reads hundreds of files, it does not see that a connection was closed.
  const scripts = await underNode(app);
  return { server, scripts, world: { services: await startServices(t) } };
});

/** The scripts under Node. */
async function underNode(app) {
  const outdir = path.join(app.folder, "node");
  const entryPoints = [...NAMES, "script"].map((name) => path.join(app.folder, "scripts", `${name}.ts`));
  await build({ entryPoints, bundle: true, packages: "external", splitting: true, platform: "node", format: "esm", outdir, outExtension: { ".js": ".mjs" } });
  const load = (name) => import(pathToFileURL(path.join(outdir, `${name}.mjs`)));
  const scripts = {};
  for (const name of NAMES) scripts[name] = (await load(name)).script;
  return { ...scripts, tell: (await load("script")).tell };
}

for (const name of NAMES) {
  test(`${name} gives in functions what it gives under Node`, async () => {
    const { server, scripts, world } = all();
    const client = new ConvexHttpClient(server.url, { logger: false });
    const kinds = TALKERS.includes(name) ? ["action"] : ["action", "query", "mutation"];
    for (const [what, run] of Object.entries(scripts[name])) {
      const asUnderNode = JSON.parse(await scripts.tell(run, world));
      for (const kind of kinds) {
        const found = await client[kind](`${name}:${kind}`, { name: what, world }).then(JSON.parse, (error) => ({ failed: error.message, cause: `${error.cause}` }));
        const need = kind === "action" ? undefined : NEEDS[name]?.[what];
        if (need === undefined) assert.deepEqual(found, asUnderNode, `${name}.${what} in a ${kind}`);
        else assert.match(JSON.stringify(found), new RegExp(`Can't use ${need} in queries and mutations`), `${name}.${what} in a ${kind}`);
      }
    }
  });
}
