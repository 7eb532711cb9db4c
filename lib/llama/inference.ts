/**
 * A small Llama in a thread of its own: asynchronous generation and scoring that never block the caller.
 *
 * - A request is served by exactly one version of the weights, and its answer says which.
 * - An aborted request rejects at once with `cancelled` (or `deadline_exceeded`), and its slot is freed before
 *   the next token.
 * - When the thread dies, everything pending, and every later call, rejects with `unavailable`.
 * - Calls made in one turn of the event loop travel in one message, as do answers that end in one pass.
 */
import { Worker } from "node:worker_threads";
import { deferred } from "../core/deferred.js";
import { CovoteError, invalid } from "../core/errors.js";
import type { LlamaConfig } from "./config.js";
import type { Bundle, Command, InferenceSetup, Ready, Reply, Totals } from "./inference-protocol.js";
import { layoutOf } from "./layout.js";
import { checkRequest, checkSequence } from "./request-limits.js";
import type { Sample, SampleRequest } from "./sampler.js";

export interface InferenceOptions {
  config: LlamaConfig;
  weights: Float32Array;
  /** Name of these weights, for answers. */
  version: string;
  /** Requests run side by side. Default 64. */
  slots?: number;
  /** Prompt tokens read per pass at most. Default 128 when generating, 256 when scoring. */
  prefillRows?: number;
  /** Memory for keys and values, in bytes. Default: twice what all slots need at full length, up to 256 MiB. */
  kvBytes?: number;
  /** Requests waiting for a slot at most; beyond: `overloaded`. Default 4096. */
  maxWaiting?: number;
  /** Module of the thread. Default: `inference-worker.js` beside this file; tests put another in its place. */
  thread?: URL;
}

export type InferenceRequest = Omit<SampleRequest, "id">;

export interface InferenceSample extends Omit<Sample, "id"> {
  /** The version of the weights that drew every token. */
  version: string;
}

export interface InferenceStats extends Totals {
  running: number;
  waiting: number;
}

export interface Inference {
  readonly config: LlamaConfig;
  readonly slots: number;
  /** The version that requests submitted now will be served by. */
  readonly version: string;
  generate(
    request: InferenceRequest,
    options?: { signal?: AbortSignal | undefined },
  ): Promise<InferenceSample>;
  /** One raw score per sequence, or the reason why there is none. Rejects only as a whole: abort, dead thread. */
  score(
    sequences: readonly (readonly number[])[],
    options?: { signal?: AbortSignal | undefined },
  ): Promise<(number | CovoteError)[]>;
  /** Weights for every request submitted from now on; resolves when they serve. Takes a copy. */
  load(weights: Float32Array, version: string): Promise<void>;
  /** Totals are as of the last message of the thread. */
  stats(): InferenceStats;
  /** Resolves with the reason when the thread has ended without `close`: nothing will be served again. */
  readonly died: Promise<CovoteError>;
  /** Rejects what is pending with `unavailable` and ends the thread. Idempotent. */
  close(): Promise<void>;
}

interface Pending {
  settle(reply: Reply): void;
  reject(error: CovoteError): void;
}

const noTotals: Totals = { generatedTokens: 0, prefilledTokens: 0, cachedTokens: 0, steps: 0, busyMs: 0 };

/** Starts the thread; resolves when it can serve. */
export async function openInference(options: InferenceOptions): Promise<Inference> {
  const { config } = options;
  const slots = options.slots ?? 64;
  const maxWaiting = options.maxWaiting ?? 4096;
  const size = layoutOf(config).size;
  checkSize(options.weights, size);
  const setup: InferenceSetup = {
    config,
    weights: options.weights,
    version: options.version,
    slots,
    prefillRows: options.prefillRows ?? (config.head === "lm" ? 128 : 256),
    kvBytes: options.kvBytes,
    // Requests reach the thread before it has given out slots, so there all of them may wait.
    maxWaiting: slots + maxWaiting,
  };
  const worker = new Worker(options.thread ?? new URL("./inference-worker.js", import.meta.url), {
    workerData: setup,
    name: "covote-llama",
  });
  const aborts = createAbortWatch();
  const pending = new Map<string, Pending>();
  let outbox: Command[] = [];
  let nextId = 0;
  let requests = 0; // generations and scores in flight
  let totals = noTotals;
  let version = options.version;
  let dead: CovoteError | undefined;
  const died = deferred<CovoteError>();

  const die = (error: CovoteError): void => {
    dead ??= error;
    const all = [...pending.values()];
    pending.clear();
    for (const { reject } of all) reject(dead);
  };
  /** The thread keeps the process alive only while something is pending. */
  const take = (id: string): Pending | undefined => {
    const waiter = pending.get(id);
    pending.delete(id);
    if (pending.size === 0) worker.unref();
    return waiter;
  };
  const flush = (): void => {
    const commands = outbox;
    outbox = [];
    if (dead !== undefined) return;
    const buffers = commands.flatMap((command) => (command.t === "load" ? [command.weights.buffer] : []));
    worker.postMessage(commands, buffers as ArrayBuffer[]);
  };
  const send = (command: Command): void => {
    outbox.push(command);
    if (outbox.length === 1) queueMicrotask(flush);
  };
  /** Sends a command and waits for its reply. */
  const call = (build: (id: string) => Command, signal?: AbortSignal): Promise<Reply> =>
    new Promise((resolve, reject) => {
      if (dead !== undefined) return reject(dead);
      if (signal?.aborted) return reject(abortError(signal));
      const id = `${nextId++}`;
      const onAbort = (): void => {
        take(id);
        send({ t: "cancel", id });
        reject(abortError(signal as AbortSignal));
      };
      const done = signal === undefined ? (): void => {} : aborts.watch(signal, onAbort);
      worker.ref();
      pending.set(id, {
        settle(reply) {
          done();
          if (reply.t === "failed") reject(new CovoteError(reply.code, reply.message));
          else resolve(reply);
        },
        reject(error) {
          done();
          reject(error);
        },
      });
      send(build(id));
    });
  /** As `call`, counted against the bound of requests in flight. */
  const request = async (build: (id: string) => Command, signal?: AbortSignal): Promise<Reply> => {
    if (requests >= slots + maxWaiting) {
      throw new CovoteError("overloaded", `llama: ${maxWaiting} requests are waiting; retry later`, {
        retryAfterMs: 100,
      });
    }
    requests++;
    try {
      return await call(build, signal);
    } finally {
      requests--;
    }
  };

  const onBundle = (bundle: Bundle): void => {
    totals = bundle.totals;
    for (const reply of bundle.replies) {
      take(reply.id)?.settle(reply);
    }
  };

  await new Promise<void>((resolve, reject) => {
    const failed = (cause: Error): void => {
      if (dead === undefined) died.resolve(new CovoteError("unavailable", `llama thread: ${cause.message}`));
      die(new CovoteError("unavailable", `llama thread: ${cause.message}`, { cause }));
      reject(dead);
    };
    worker.on("error", failed);
    worker.on("messageerror", failed);
    worker.on("exit", (code) => failed(new Error(`ended with exit code ${code}; open it again`)));
    worker.once("message", (ready: Ready) => {
      worker.on("message", onBundle);
      if (ready.t === "ready") return resolve();
      die(new CovoteError(ready.code, ready.message));
      reject(dead);
    });
  });
  worker.unref();

  const scoreOne = async (tokens: readonly number[], signal?: AbortSignal): Promise<number | CovoteError> => {
    try {
      checkSequence(tokens, config);
      const copy = [...tokens];
      const reply = await request((id) => ({ t: "score", id, tokens: copy }), signal);
      return (reply as Extract<Reply, { t: "scored" }>).score;
    } catch (thrown) {
      const error = CovoteError.from(thrown);
      if (dead !== undefined || signal?.aborted) throw error;
      return error;
    }
  };

  return {
    config,
    slots,
    get version() {
      return version;
    },
    async generate(sample, { signal } = {}) {
      if (config.head !== "lm")
        throw invalid("config.head", "a scalar model cannot generate; use a language model");
      checkRequest(sample, config);
      const { maxTokens, temperature, seed } = sample;
      // Copies: the message is made later, when the caller may have changed his arrays.
      const prompt = [...sample.prompt];
      const stop = [...sample.stop];
      const build = (id: string): Command => ({
        t: "sample",
        id,
        prompt,
        maxTokens,
        temperature,
        seed,
        stop,
      });
      const { t: _, id: __, ...answer } = (await request(build, signal)) as Extract<Reply, { t: "sampled" }>;
      return answer;
    },
    async score(sequences, { signal } = {}) {
      if (config.head !== "scalar")
        throw invalid("config.head", "a language model cannot score; use a scalar model");
      return Promise.all(sequences.map((tokens) => scoreOne(tokens, signal)));
    },
    async load(weights, name) {
      checkSize(weights, size);
      const copy = weights.slice();
      const former = version;
      version = name;
      try {
        await call((id) => ({ t: "load", id, weights: copy, version: name }));
      } catch (thrown) {
        if (version === name) version = former;
        throw thrown;
      }
    },
    stats() {
      const running = Math.min(requests, slots);
      return { ...totals, running, waiting: requests - running };
    },
    died: died.promise,
    async close() {
      die(new CovoteError("unavailable", "llama thread: closed; open it again"));
      await worker.terminate();
    },
  };
}

function checkSize(weights: Float32Array, size: number): void {
  if (weights.length === size) return;
  throw invalid("weights", `${weights.length} numbers for a model of ${size}; load weights of this model`);
}

/** One listener per signal, however many requests share it. */
function createAbortWatch(): { watch(signal: AbortSignal, onAbort: () => void): () => void } {
  const watched = new Map<AbortSignal, { handlers: Set<() => void>; stop(): void }>();
  const open = (signal: AbortSignal): { handlers: Set<() => void>; stop(): void } => {
    const handlers = new Set<() => void>();
    const fire = (): void => {
      watched.delete(signal);
      for (const handler of [...handlers]) handler();
    };
    signal.addEventListener("abort", fire, { once: true });
    const entry = { handlers, stop: () => signal.removeEventListener("abort", fire) };
    watched.set(signal, entry);
    return entry;
  };
  return {
    watch(signal, onAbort) {
      const entry = watched.get(signal) ?? open(signal);
      entry.handlers.add(onAbort);
      return () => {
        entry.handlers.delete(onAbort);
        if (entry.handlers.size > 0 || watched.get(signal) !== entry) return;
        watched.delete(signal);
        entry.stop();
      };
    },
  };
}

/** Why a signal was aborted: its own CovoteError, a time-out as `deadline_exceeded`, else `cancelled`. */
function abortError(signal: AbortSignal): CovoteError {
  const error = CovoteError.from(signal.reason);
  return error.code === "internal"
    ? new CovoteError("cancelled", error.message, { cause: signal.reason })
    : error;
}
