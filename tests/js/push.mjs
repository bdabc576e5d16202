// Pushes the chat in TypeScript with the official command line, and keeps the data directory for chats to start on:
// `node push.mjs FOLDER`. The key of its administrator is in the file `key` beside it.

import { cpSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { ended, openApp, startServer } from "../cli/harness.mjs";

const [folder] = process.argv.slice(2);
const ends = [];
const test = { after: (end) => ends.push(end) };
try {
  const server = await startServer(test);
  const web = fileURLToPath(new URL("../../examples/web", import.meta.url));
  const app = openApp(test, server, path.join(web, "convex"), undefined, "convex");
  app.write("package.json", JSON.stringify({ name: "chat", private: true, type: "module", dependencies: { convex: "1.49.0" } }));
  ended(await app.convex("env", "set", "VESTIBULE_PROVISION_WITH", "users:ensureUser"));
  ended(await app.convex("deploy"));
  await server.stop();
  cpSync(server.data, path.join(folder, "data"), { recursive: true });
  writeFileSync(path.join(folder, "key"), server.key);
} finally {
  for (const end of ends) await end();
}
