// Makes better-sqlite3's native part: compiled where the headers of this very Node are installed, else fetched ready-made.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";

const ADVICE = `better-sqlite3 could not be built for Node ${process.version}: it needs g++, make, python3 and Node's headers
(\`apt-get install g++ make python3 libnode-dev\` beside Debian's own nodejs; NodeSource's brings its headers along).`;
const PACKAGE = path.join(import.meta.dirname, "node_modules/better-sqlite3");

if (!loads() && !build()) {
  console.error(ADVICE);
  process.exit(1);
}

// In a process of its own: a native part that does not fit may take down the one that loads it.
function loads() {
  const program = 'new (require("better-sqlite3"))(":memory:").prepare("SELECT 1").get()';
  return spawnSync(process.execPath, ["-e", program], { cwd: import.meta.dirname, stdio: "ignore" }).status === 0;
}

function build() {
  const prefix = headers();
  const env = { ...process.env };
  if (prefix) Object.assign(env, { npm_config_nodedir: prefix, npm_config_build_from_source: "true" });
  return spawnSync("npm", ["run", "install"], { cwd: PACKAGE, env, stdio: "inherit" }).status === 0 && loads();
}

function headers() {
  const own = path.dirname(path.dirname(process.execPath));
  return [own, "/usr", "/usr/local"].find((prefix) => {
    const file = path.join(prefix, "include/node/node_version.h");
    if (!existsSync(file)) return false;
    const text = readFileSync(file, "utf8");
    const numbers = ["MAJOR", "MINOR", "PATCH"].map((part) => text.match(new RegExp(`#define NODE_${part}_VERSION (\\d+)`))?.[1]);
    return `v${numbers.join(".")}` === process.version;
  });
}
