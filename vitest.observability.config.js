import { defineConfig } from "vitest/config";

// Against a real Prometheus: `make test-observability`. One cluster, and time to scrape it.
export default defineConfig({
  test: {
    include: ["dist/test/observability/**/*.test.js"],
    testTimeout: 240_000,
    hookTimeout: 240_000,
    pool: "forks",
    fileParallelism: false,
  },
});
