// The package's tests: each starts the servers it needs, from the program that CHAT_BIN names.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.{ts,tsx}"],
    testTimeout: 60_000,
  },
});
