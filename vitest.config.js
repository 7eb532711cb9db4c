import { defineConfig } from "vitest/config";

// Tests run from the compiled output, so that what is tested is what runs (worker threads included).
export default defineConfig({
  test: {
    include: ["dist/test/**/*.test.js"],
    // Has a command of its own: needs Prometheus.
    exclude: ["dist/test/observability/**"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
