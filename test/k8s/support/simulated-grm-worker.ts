/**
 * A grm-worker as a process of its own, with everything of the real one but the model: its engine is simulated, so
 * that a vote takes a known time. Responses are `good N`; see reward-cluster.ts.
 */
import { createSimulatedEngine } from "../../../lib/engine/simulated.js";
import { postcardsJudgment } from "../../../lib/engine/simulated-judge.js";
import { runServiceProcess } from "../../../lib/runtime/service-process.js";
import { mountGrmWorker, serviceName } from "../../../services/grm-worker/mount.js";
import { panelOf, qualityOf } from "../../support/reward-cluster.js";

await runServiceProcess({ name: serviceName, args: process.argv.slice(2), env: process.env }, (runtime) => {
  mountGrmWorker(runtime, {
    name: serviceName,
    openEngine: async () =>
      createSimulatedEngine({
        respond: postcardsJudgment({ panelOf, quality: qualityOf, noise: 1 }),
        latency: { fixedMs: 1500, sigma: 0.3 },
        slots: 16,
        version: { number: 1, version: "grm-1" },
      }),
  });
  return undefined;
});
