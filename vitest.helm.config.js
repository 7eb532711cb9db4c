import { defineConfig } from "vitest/config";

// With the real helm and kubeconform that Go builds: `make test-helm`.
export default defineConfig({
  test: {
    include: ["dist/test/helm/**/*.test.js"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
