import { defineConfig } from "vitest/config";

// Tests run from the compiled output, so that what is tested is what runs (worker threads included).
export default defineConfig({
  test: {
    include: ["dist/test/**/*.test.js"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
