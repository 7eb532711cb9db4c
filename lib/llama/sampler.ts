/**
 * Continuous batching: many requests of unequal length share every pass through the model.
 *
 * - A request's answer depends on the weights, its prompt, seed, temperature and stop tokens, and on nothing
 *   else: not on what runs beside it, when it came, or what was cancelled.
 * - Token i is drawn with `uniformAt(seed, i)`; its log-probability is that of the distribution it was drawn
 *   from, temperature included. At temperature 0 the likeliest token is taken and its log-probability is that
 *   at temperature 1.
 * - Only tokens of the tokenizer are drawn; rows of the embeddings that are padding have probability 0.
 * - The tokens of an answer include the stop token that ended it.
 * - Equal prompts are read once (see `prompt-store.ts`). Nothing is ever truncated: what cannot fit is refused.
 * - One thread; `step` runs one batch and returns what ended in it.
 */
import { CovoteError, invalid } from "../core/errors.js";
import { uniformAt } from "../core/random.js";
import { type LlamaConfig, tokensOf } from "./config.js";
import { createDecoder } from "./decoder.js";
import { createInFlight, stillInFlight } from "./in-flight.js";
import type { Kernels } from "./kernels.js";
import { type Acquired, createPromptStore } from "./prompt-store.js";
import { atLeastOne, checkRequest, pageCount } from "./request-limits.js";

export interface SampleRequest {
  /** Unique among the requests in flight. */
  id: string;
  /** Token ids. */
  prompt: readonly number[];
  /** Tokens to generate at most; prompt and these must fit the model's positions. */
  maxTokens: number;
  /** 0 (greedy), or 0.01 to 100. */
  temperature: number;
  /** Any integer; its lower 32 bits count. */
  seed: number;
  /** Token ids that end the answer. */
  stop: readonly number[];
}

export interface Sample {
  id: string;
  tokens: Uint32Array;
  /** Natural logarithms, one per token. */
  logprobs: Float32Array;
  finish: "stop" | "length";
  promptTokens: number;
  /** Prompt tokens whose keys and values were there already. */
  cachedTokens: number;
  /** From the first token to the last, in milliseconds. */
  decodeMs: number;
}

/** How a request ended; a cancelled one ends without. */
export type SampleOutcome = { t: "done"; sample: Sample } | { t: "failed"; id: string; error: CovoteError };

export interface SamplerOptions {
  config: LlamaConfig;
  kernels: Kernels;
  weights: Float32Array;
  /** Answers generated side by side. Default 64. */
  slots?: number;
  /** Prompt tokens read per step at most, so that answers under way are not held up. Default 128. */
  prefillRows?: number;
  /** Memory for keys and values, in bytes. Default: twice what all slots need at full length, up to 256 MiB. */
  kvBytes?: number;
  /** Requests waiting for a slot at most. Default 4096. */
  maxWaiting?: number;
  /** A clock, in milliseconds. Default: it stands still, so that samples of equal requests are equal. */
  now?: () => number;
}

export interface SamplerStats {
  running: number;
  waiting: number;
  generatedTokens: number;
  /** Prompt tokens run through the model. */
  prefilledTokens: number;
  /** Prompt tokens that were there already. */
  cachedTokens: number;
  steps: number;
}

export interface Sampler {
  readonly slots: number;
  /** Throws `invalid_argument` (can never run), `already_exists` or `overloaded`. */
  submit(request: SampleRequest): void;
  /** Frees the request's slot at once. False when there is no such request (any more). */
  cancel(id: string): boolean;
  /** Runs one batch. Empty when nothing ended. */
  step(): SampleOutcome[];
  /** True while `step` has something to do. */
  readonly busy: boolean;
  /** New weights for everything submitted from now on; throws `failed_precondition` while `busy`. */
  load(weights: Float32Array): void;
  stats(): SamplerStats;
}

interface Running {
  request: SampleRequest;
  acquired: Acquired;
  table: number;
  tokens: number[];
  logprobs: number[];
  /** When the first token was drawn. */
  firstAtMs: number;
}

export function createSampler(options: SamplerOptions): Sampler {
  const { config, kernels } = options;
  if (config.head !== "lm")
    throw invalid("config.head", "a scalar model cannot generate; use a LlamaForCausalLM");
  const slots = atLeastOne("slots", options.slots ?? 64);
  const prefillRows = atLeastOne("prefillRows", options.prefillRows ?? 128);
  const maxWaiting = atLeastOne("maxWaiting", options.maxWaiting ?? 4096);
  const now = options.now ?? (() => 0);
  const pages = pageCount(config, kernels, slots, options.kvBytes);
  const decoder = createDecoder({ config, kernels, maxRows: slots + prefillRows, pages });
  const { pagePositions } = decoder;
  const tokenCount = tokensOf(config);
  const store = createPromptStore({ decoder, kernels, pages, outputs: tokenCount });
  const firstLogits = kernels.alloc(tokenCount);
  const probabilities = kernels.alloc(tokenCount + 4);
  const logprobAt = kernels.alloc(1);
  const tables = Array.from({ length: slots }, () => decoder.createTable());
  const inFlight = createInFlight<SampleRequest, Running>({ what: "requests", maxWaiting });
  const { running, waiting } = inFlight;
  const isBusy = (): boolean => inFlight.size() + store.filling > 0;
  let outcomes: SampleOutcome[] = [];
  let generatedTokens = 0;
  let cachedTokens = 0;
  let steps = 0;
  decoder.load(options.weights);

  /** Its place in the batch and its pages. */
  const free = (run: Running): void => {
    running.delete(run.request.id);
    tables.push(run.table);
    store.release(run.acquired);
  };

  const admit = (): void => {
    for (const request of waiting.values()) {
      if (tables.length === 0) return;
      // The last token is never fed back, so it needs no room.
      const acquired = store.acquire(request.prompt, Math.ceil((request.maxTokens - 1) / pagePositions));
      if (acquired === undefined) return;
      const { prompt, own } = acquired;
      const table = tables.pop() as number;
      const whole = prompt.pages.length - 1;
      prompt.pages.forEach((page, i) => {
        const used = i < whole ? pagePositions : prompt.tokens.length - whole * pagePositions;
        decoder.setTable(table, i, page, used);
      });
      own.forEach((page, i) => {
        decoder.setTable(table, prompt.pages.length + i, page, pagePositions);
      });
      waiting.delete(request.id);
      cachedTokens += acquired.cachedTokens;
      const run: Running = { request, acquired, table, tokens: [], logprobs: [], firstAtMs: 0 };
      running.set(request.id, run);
      if (prompt.result !== undefined) drawFirst(run, prompt.result);
    }
  };

  const drawFirst = (run: Running, logits: Float32Array): void => {
    kernels.f32.set(logits, firstLogits >>> 2);
    run.firstAtMs = now();
    draw(run, firstLogits);
  };

  /** Draws the next token from logits in memory, and ends the request when that was its last. */
  const draw = (run: Running, logits: number): void => {
    const { request, tokens, logprobs } = run;
    const greedy = request.temperature === 0;
    const token = kernels.fn.sampleToken(
      logits,
      tokenCount,
      greedy ? 1 : 1 / request.temperature,
      greedy ? 1 : 0,
      uniformAt(request.seed, tokens.length),
      probabilities,
      logprobAt,
    );
    if (token < 0) {
      const problem = "llama: the logits are not finite; load weights from before the training diverged";
      outcomes.push({ t: "failed", id: request.id, error: new CovoteError("internal", problem) });
      free(run);
      return;
    }
    tokens.push(token);
    logprobs.push(kernels.f32[logprobAt >>> 2] as number);
    generatedTokens++;
    const stopped = request.stop.includes(token);
    if (!stopped && tokens.length < request.maxTokens) return;
    outcomes.push({
      t: "done",
      sample: {
        id: request.id,
        tokens: Uint32Array.from(tokens),
        logprobs: Float32Array.from(logprobs),
        finish: stopped ? "stop" : "length",
        promptTokens: request.prompt.length,
        cachedTokens: run.acquired.cachedTokens,
        decodeMs: now() - run.firstAtMs,
      },
    });
    free(run);
  };

  /** Adds the row that feeds the token drawn last. */
  const feed = (run: Running): number => {
    const { tokens, table } = run;
    const { prompt, own } = run.acquired;
    const at = tokens.length - 1;
    const slot = (own[Math.floor(at / pagePositions)] as number) * pagePositions + (at % pagePositions);
    decoder.add(tokens[at] as number, prompt.tokens.length + at, slot, table);
    return decoder.want();
  };

  return {
    slots,
    submit(request) {
      checkRequest(request, config);
      inFlight.add(request);
    },
    cancel(id) {
      const run = running.get(id);
      if (run !== undefined) free(run);
      return run !== undefined || waiting.delete(id);
    },
    step() {
      admit();
      decoder.clear();
      const fed = [...running.values()].filter((run) => run.tokens.length > 0);
      const results = fed.map(feed);
      store.plan(prefillRows);
      if (decoder.rows > 0) {
        decoder.run();
        steps++;
        const filled = new Set(store.collect());
        const started = [...running.values()].filter(
          (run) => run.tokens.length === 0 && filled.has(run.acquired.prompt),
        );
        fed.forEach((run, i) => {
          draw(run, decoder.result(results[i] as number));
        });
        for (const run of started) drawFirst(run, run.acquired.prompt.result as Float32Array);
      }
      const ended = outcomes;
      outcomes = [];
      return ended;
    },
    get busy() {
      return isBusy();
    },
    load(weights) {
      if (isBusy()) throw stillInFlight("requests");
      decoder.load(weights);
      store.forget();
    },
    stats: () => ({
      running: running.size,
      waiting: waiting.size,
      generatedTokens,
      prefilledTokens: store.filledTokens,
      cachedTokens,
      steps,
    }),
  };
}
