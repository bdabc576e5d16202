// Bundles the app once, as a development build, and serves it from an address of its own.

import { once } from "node:events";
import http from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>An app</title><link rel="icon" href="data:,"><div id="root"></div><script src="/app.js"></script></html>`;

/** Serves the app until `close` is called. */
export async function serveApp() {
  const entry = fileURLToPath(new URL("app.jsx", import.meta.url));
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, write: false, jsx: "automatic", define: { "process.env.NODE_ENV": '"development"' } });
  const server = http.createServer((request, response) => {
    const isScript = request.url === "/app.js";
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? outputFiles[0].contents : PAGE);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}
