/**
 * The inference thread: owns the kernels and one sampler or scorer, and nothing else.
 *
 * Between two passes it takes in whatever commands have come, so a cancel frees its slot before the next
 * token. `load` waits until everything submitted before it has ended; what was submitted after it waits too:
 * so every request is served by exactly one version.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { CovoteError } from "../core/errors.js";
import type { Bundle, Command, InferenceSetup, Ready, Reply } from "./inference-protocol.js";
import { createKernels } from "./kernels.js";
import { createSampler, type SampleOutcome } from "./sampler.js";
import { createScorer, type ScoreOutcome } from "./scorer.js";

if (parentPort === null) throw new CovoteError("internal", "inference-worker runs in a worker thread only");
serve(parentPort, workerData as InferenceSetup);

function serve(port: MessagePort, setup: InferenceSetup): void {
  let core: Core;
  try {
    core = setup.config.head === "lm" ? samplerCore(setup) : scorerCore(setup);
  } catch (thrown) {
    const { code, message } = CovoteError.from(thrown);
    const ready: Ready = { t: "refused", code, message };
    port.postMessage(ready);
    return;
  }
  let version = setup.version;
  let busyMs = 0;
  /** Commands not yet started, in order: a load that waits for the end of work, and what came after it. */
  let queue: Command[] = [];
  let replies: Reply[] = [];

  const fail = (id: string, thrown: unknown): void => {
    const { code, message } = CovoteError.from(thrown);
    replies.push({ t: "failed", id, code, message });
  };
  const accept = (commands: readonly Command[]): void => {
    for (const command of commands) {
      if (command.t !== "cancel") queue.push(command);
      else if (!core.cancel(command.id)) queue = queue.filter(({ id }) => id !== command.id);
    }
  };
  const start = (): void => {
    let started = 0;
    for (const command of queue) {
      if (command.t === "load" && core.busy()) break;
      started++;
      try {
        if (command.t === "load") {
          core.load(command.weights);
          version = command.version;
          replies.push({ t: "loaded", id: command.id, version });
        } else {
          core.submit(command);
        }
      } catch (thrown) {
        fail(command.id, thrown);
      }
    }
    if (started > 0) queue = queue.slice(started);
  };
  const post = (): void => {
    const bundle: Bundle = { replies, totals: { ...core.totals(), busyMs } };
    replies = [];
    port.postMessage(bundle);
  };
  const run = (): void => {
    const began = performance.now();
    const before = busyMs;
    for (;;) {
      for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
        accept(next.message as Command[]);
      }
      start();
      if (!core.busy()) break;
      core.step(version, replies);
      busyMs = before + performance.now() - began;
      if (replies.length > 0) post();
    }
    post();
  };

  port.on("message", (commands: Command[]) => {
    accept(commands);
    run();
  });
  const ready: Ready = { t: "ready" };
  port.postMessage(ready);
}

/** Sampler and scorer behind one face. */
interface Core {
  submit(command: Command): void;
  cancel(id: string): boolean;
  busy(): boolean;
  step(version: string, replies: Reply[]): void;
  load(weights: Float32Array): void;
  totals(): { generatedTokens: number; prefilledTokens: number; cachedTokens: number; steps: number };
}

function samplerCore(setup: InferenceSetup): Core {
  const { config, weights, slots, prefillRows, kvBytes, maxWaiting } = setup;
  const sampler = createSampler({
    config,
    weights,
    kernels: createKernels(),
    slots,
    prefillRows,
    maxWaiting,
    now: () => performance.now(),
    ...(kvBytes === undefined ? {} : { kvBytes }),
  });
  const reply = (outcome: SampleOutcome, version: string): Reply => {
    if (outcome.t === "failed") return failed(outcome.id, outcome.error);
    return { t: "sampled", ...outcome.sample, version };
  };
  return {
    submit(command) {
      if (command.t !== "sample") throw new CovoteError("invalid_argument", "a language model cannot score");
      sampler.submit(command);
    },
    cancel: sampler.cancel,
    busy: () => sampler.busy,
    step(version, replies) {
      for (const outcome of sampler.step()) replies.push(reply(outcome, version));
    },
    load: sampler.load,
    totals: sampler.stats,
  };
}

function scorerCore(setup: InferenceSetup): Core {
  const { config, weights, slots, prefillRows, kvBytes, maxWaiting } = setup;
  const scorer = createScorer({
    config,
    weights,
    kernels: createKernels(),
    slots,
    rows: prefillRows,
    maxWaiting,
    ...(kvBytes === undefined ? {} : { kvBytes }),
  });
  const reply = (outcome: ScoreOutcome, version: string): Reply => {
    if (outcome.t === "failed") return failed(outcome.id, outcome.error);
    return { t: "scored", id: outcome.id, score: outcome.score, version };
  };
  return {
    submit(command) {
      if (command.t !== "score") throw new CovoteError("invalid_argument", "a scalar model cannot generate");
      scorer.submit(command);
    },
    cancel: scorer.cancel,
    busy: () => scorer.busy,
    step(version, replies) {
      for (const outcome of scorer.step()) replies.push(reply(outcome, version));
    },
    load: scorer.load,
    totals: () => ({ ...scorer.stats(), generatedTokens: 0 }),
  };
}

function failed(id: string, error: CovoteError): Reply {
  return { t: "failed", id, code: error.code, message: error.message };
}
