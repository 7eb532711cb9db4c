import { defineConfig } from "vitest/config";

// On a real Kubernetes control plane, by hand: `make test-k8s`. One file at a time, each with a cluster of its own.
export default defineConfig({
  test: {
    include: ["dist/test/k8s/**/*.test.js"],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: "forks",
    fileParallelism: false,
    reporters: ["verbose"],
  },
});
