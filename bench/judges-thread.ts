/** The thread behind `judges.ts`: grm-workers on simulated engines, or one on the servers of a benchmark. */
import { workerData } from "node:worker_threads";
import { openBus } from "../lib/bus/open-bus.js";
import { systemClock } from "../lib/core/clock.js";
import { deadlineIn } from "../lib/core/deadline.js";
import { silentLogger } from "../lib/core/logger.js";
import { createRandom } from "../lib/core/random.js";
import type { GenerativeEngine } from "../lib/engine/engine.js";
import { openOpenAiEngine } from "../lib/engine/openai.js";
import { createSimulatedEngine, type SimulatedEngine } from "../lib/engine/simulated.js";
import { postcardsJudgment } from "../lib/engine/simulated-judge.js";
import { grammars } from "../lib/grm/grammar.js";
import { createMetrics } from "../lib/host/metrics.js";
import { type RunningService, startGrmWorker } from "../services/grm-worker/service.js";
import { settledHeapMb } from "./heap.js";
import type { JudgesCommand, JudgesOptions } from "./judges.js";
import { panelOf } from "./panel.js";
import { answerCalls } from "./thread.js";

const stopMs = 10_000;
const options = workerData as JudgesOptions;
const clock = systemClock();
const engines: SimulatedEngine[] = [];
const workers: RunningService[] = [];
let slowestMs = new Map<string, number>();

const bus = await openBus({
  servers: options.natsUrl,
  cluster: options.cluster,
  name: "grm-worker",
  random: createRandom(2),
  clock,
});
const workOn = async (name: string, engine: GenerativeEngine): Promise<void> => {
  workers.push(
    await startGrmWorker(
      {
        ...{ bus, engine, clock, log: silentLogger },
        grammar: grammars.postcards,
        metrics: createMetrics({ service: "grm-worker" }),
      },
      { name, votesPerBallot: options.votesPerBallot, groups: 1 },
    ),
  );
};
const { endpoints } = options;
if (endpoints !== undefined) {
  await workOn(
    "worker-servers",
    await openOpenAiEngine({
      field: "grm.engine",
      ...{ endpoints, model: null, server: "auto", apiKey: null, ca: null, tokenizer: null },
      ...{ maxPositions: null, tokens: false, concurrency: options.slots },
      // As the configuration has them by default.
      ...{ connectTimeoutMs: 2000, requestTimeoutMs: 120_000, startTimeoutMs: 10_000 },
      ...{ retryShare: 0.1, hedgeShare: 0.02 },
      ...{ clock, random: createRandom(3), log: silentLogger },
      meter: { attempt: () => undefined, retried: () => undefined, hedged: () => undefined },
    }),
  );
}
for (let i = 0; i < (endpoints === undefined ? options.workers : 0); i++) {
  const engine = createSimulatedEngine({
    respond: postcardsJudgment({ panelOf, quality: (text) => (text.length % 10) / 9 }),
    latency: options.latency,
    slots: options.slots,
    seed: i,
    left: ({ id }, { servedMs }) => {
      const request = requestIdOf(id);
      slowestMs.set(request, Math.max(servedMs, slowestMs.get(request) ?? 0));
    },
  });
  engines.push(engine);
  await workOn(`worker-${i}`, engine);
}
answerCalls<JudgesCommand, unknown>(async (command) => {
  switch (command) {
    case "ready":
      return undefined;
    case "served": {
      const served = slowestMs;
      slowestMs = new Map();
      return served;
    }
    case "slotMs":
      return engines.reduce((sum, engine) => sum + engine.stats().slotMs, 0);
    case "heap":
      slowestMs = new Map();
      return settledHeapMb();
    case "stop":
      for (const worker of workers) await worker.stop(deadlineIn(clock, stopMs));
      return bus.close();
  }
});

/** A vote's id begins with the request's, and goes on with a character that no request id has. */
function requestIdOf(voteId: string): string {
  return /^[A-Za-z0-9_-]*/.exec(voteId)?.[0] ?? "";
}
