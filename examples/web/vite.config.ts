// Vite for the example. Another app needs only `plugins`.

import react from "@vitejs/plugin-react";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  plugins: [react()],
  resolve: {
    // The package as it stands in this repository, with this app's copy of the libraries that both use.
    alias: { "@vestibule/react": here("../../client/react/src/index.ts") },
    dedupe: ["convex", "react", "react-dom"],
  },
  // Named, as Vite would otherwise find them while the page loads, and load it again.
  optimizeDeps: {
    include: ["convex/react", "convex/react-clerk", "convex/server", "convex/values", "react", "react/jsx-dev-runtime", "react-dom/client"],
  },
  // The styles are those of the example `chat`.
  server: { host: "127.0.0.1", fs: { allow: [here("../..")] } },
});
