// Bundles the app as the official command line does, and prints it as `start_push` takes it: an `appDefinition`.

import { readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const folder = fileURLToPath(new URL("convex", import.meta.url));
const files = readdirSync(folder).filter((file) => file.endsWith(".ts"));
const { outputFiles } = await build({
  entryPoints: files.map((file) => path.join(folder, file)),
  bundle: true, write: false, format: "esm", platform: "browser", conditions: ["convex", "module"],
  outdir: "/out", splitting: true, chunkNames: "_deps/[hash]",
});
const module = ({ path: file, text }) => ({ path: path.relative("/out", file), source: text, environment: "isolate" });
const modules = outputFiles.map(module);
const config = { path: "convex.config.js", source: 'export default { export: () => ({ definitionType: { type: "app" }, childComponents: [], httpMounts: {}, exports: { type: "branch", branch: [] } }) };', environment: "isolate" };
const isSchema = ({ path }) => path === "schema.js";
console.log(JSON.stringify({
  definition: config,
  dependencies: [],
  // A schema is one module of its own.
  schema: await schema(),
  changedModules: modules.filter((module) => !isSchema(module)),
  unchangedModuleHashes: [],
  udfServerVersion: "1.49.0",
}));

async function schema() {
  const { outputFiles } = await build({ entryPoints: [path.join(folder, "schema.ts")], bundle: true, write: false, format: "esm", platform: "browser", outdir: "/out" });
  return outputFiles.map(module).find(isSchema);
}
