import { defineConfig } from "vitest/config";

// Tests run from the compiled output, so that what is tested is what runs (worker threads included).
export default defineConfig({
  test: {
    include: ["dist/test/**/*.test.js"],
    // These have commands of their own: they need Prometheus, or what Go builds or pip installs (vitest.*.config.js).
    exclude: ["dist/test/observability/**", "dist/test/helm/**", "dist/test/k8s/**", "dist/test/python/**"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
