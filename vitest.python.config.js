import { defineConfig } from "vitest/config";

// With what pip installs into .venv: `make test-python`.
export default defineConfig({
  test: {
    include: ["dist/test/python/**/*.test.js"],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    pool: "forks",
    maxWorkers: 1,
  },
});
