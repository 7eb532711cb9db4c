import { afterEach, describe, expect, test } from "vitest";
import { CovoteError } from "../../lib/core/errors.js";
import {
  type Inference,
  type InferenceOptions,
  type InferenceRequest,
  openInference,
} from "../../lib/llama/inference.js";
import { createKernels } from "../../lib/llama/kernels.js";
import { createSampler } from "../../lib/llama/sampler.js";
import { tinyConfig, tinyWeights } from "../support/tiny-llama.js";

const config = tinyConfig({ maxPositions: 2048 });
const weights = tinyWeights(config);
const opened: Inference[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((inference) => inference.close()));
});

async function open(options: Partial<InferenceOptions> = {}): Promise<Inference> {
  const inference = await openInference({ config, weights, version: "one", ...options });
  opened.push(inference);
  return inference;
}

function requestOf(overrides: Partial<InferenceRequest> = {}): InferenceRequest {
  return { prompt: [4, 6, 7, 8], maxTokens: 20, temperature: 1, seed: 1, stop: [], ...overrides };
}

/** Long enough that whatever is sent in the meantime arrives before its end. */
const endless = requestOf({ maxTokens: 2000, seed: 9 });

async function errorOf(work: Promise<unknown>): Promise<CovoteError> {
  const thrown: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(CovoteError);
  return thrown as CovoteError;
}

describe("generating", () => {
  test("gives what the sampler gives, with the version that served it", async () => {
    const inference = await open();
    const sampler = createSampler({ config, weights, kernels: createKernels(), slots: 2 });
    const seeds = [1, 2, 3, 4, 5];
    const answers = await Promise.all(seeds.map((seed) => inference.generate(requestOf({ seed }))));
    for (const seed of seeds) sampler.submit({ ...requestOf({ seed }), id: `${seed}` });
    while (sampler.busy) {
      for (const outcome of sampler.step()) {
        if (outcome.t === "failed") throw outcome.error;
        const { tokens, logprobs, finish, promptTokens } = outcome.sample;
        const answer = answers[Number(outcome.sample.id) - 1];
        expect(answer).toMatchObject({ tokens, logprobs, finish, promptTokens, version: "one" });
      }
    }
    expect(inference.stats()).toMatchObject({
      running: 0,
      waiting: 0,
      generatedTokens: 100,
      prefilledTokens: 4,
    });
  });

  test("a request that can never run is refused before it is sent", async () => {
    const inference = await open();
    const error = await errorOf(inference.generate(requestOf({ maxTokens: 2045 })));
    expect(error).toMatchObject({ code: "invalid_argument" });
    expect(error.message).toMatch(/4 tokens and 2045 to generate exceed the model's 2048 positions/);
    expect((await errorOf(inference.score([[4]]))).code).toBe("invalid_argument");
  });

  test("more than slots and waiting room hold is overloaded", async () => {
    const inference = await open({ slots: 1, maxWaiting: 2 });
    const accepted = [1, 2, 3].map((seed) => inference.generate(requestOf({ seed })));
    expect((await errorOf(inference.generate(requestOf()))).code).toBe("overloaded");
    expect((await Promise.all(accepted)).length).toBe(3);
    expect((await inference.generate(requestOf())).tokens.length).toBe(20);
  });
});

describe("cancelling", () => {
  test("an abort rejects at once and frees the slot for the next one", async () => {
    const inference = await open({ slots: 1 });
    const abort = new AbortController();
    const first = errorOf(inference.generate(endless, { signal: abort.signal }));
    const next = inference.generate(requestOf());
    abort.abort();
    expect((await first).code).toBe("cancelled");
    expect((await next).tokens.length).toBe(20);
    // The first one drew nearly nothing of its 2000 tokens.
    expect(inference.stats().generatedTokens).toBeLessThan(2000);
  });

  test("one signal for many requests, aborted before or during, and a time-out", async () => {
    const inference = await open({ slots: 2 });
    const abort = new AbortController();
    const many = Array.from({ length: 30 }, (_, seed) =>
      errorOf(inference.generate({ ...endless, seed }, { signal: abort.signal })),
    );
    abort.abort();
    for (const error of await Promise.all(many)) expect(error.code).toBe("cancelled");
    expect((await errorOf(inference.generate(requestOf(), { signal: abort.signal }))).code).toBe("cancelled");
    const slow = inference.generate(endless, { signal: AbortSignal.timeout(1) });
    expect((await errorOf(slow)).code).toBe("deadline_exceeded");
  });
});

describe("new weights", () => {
  const other = tinyWeights(config, 2);

  test("serve what is submitted after them; what was in flight ends on the old ones", async () => {
    const inference = await open({ slots: 2 });
    const before = [1, 2, 3].map((seed) => inference.generate(requestOf({ seed })));
    const loaded = inference.load(other, "two");
    const after = inference.generate(requestOf());
    expect(inference.version).toBe("two");
    await loaded;
    expect((await Promise.all(before)).map(({ version }) => version)).toEqual(["one", "one", "one"]);
    const fresh = await open({ weights: other, version: "two" });
    const { decodeMs: _, ...drawn } = await fresh.generate(requestOf());
    expect(await after).toMatchObject(drawn);
  });

  test("a request that waits behind new weights can be cancelled, and the caller's array stays his", async () => {
    const inference = await open({ slots: 1 });
    const abort = new AbortController();
    const first = inference.generate(requestOf());
    const mine = other.slice();
    const loaded = inference.load(mine, "two");
    mine.fill(NaN);
    const behind = errorOf(inference.generate(endless, { signal: abort.signal }));
    abort.abort();
    expect((await behind).code).toBe("cancelled");
    expect((await first).version).toBe("one");
    await loaded;
    expect((await inference.generate(requestOf())).version).toBe("two");
  });

  test("of another size are refused, and the old ones go on serving", async () => {
    const inference = await open();
    expect((await errorOf(inference.load(new Float32Array(3), "two"))).message).toMatch(
      /3 numbers for a model/,
    );
    expect((await inference.generate(requestOf())).version).toBe("one");
  });
});

describe("the end", () => {
  test("close rejects what is pending and whatever comes later with unavailable, and can be called twice", async () => {
    const inference = await open();
    const pending = errorOf(inference.generate(endless));
    await Promise.all([inference.close(), inference.close()]);
    expect((await pending).code).toBe("unavailable");
    expect((await errorOf(inference.generate(requestOf()))).code).toBe("unavailable");
    expect((await errorOf(inference.load(weights, "two"))).code).toBe("unavailable");
  });

  test("a thread that dies rejects what is pending and whatever comes later with unavailable", async () => {
    const inference = await open({
      thread: new URL("../support/dying-inference-worker.js", import.meta.url),
    });
    const pending = [errorOf(inference.generate(endless)), errorOf(inference.load(weights, "two"))];
    for (const error of await Promise.all(pending)) {
      expect(error).toMatchObject({
        code: "unavailable",
        message: "llama thread: ended with exit code 3; open it again",
      });
    }
    expect((await errorOf(inference.generate(requestOf()))).code).toBe("unavailable");
  });

  test("a set-up that cannot work is refused with its reason", async () => {
    const error = await errorOf(openInference({ config, weights, version: "one", kvBytes: 10 }));
    expect(error).toMatchObject({ code: "invalid_argument" });
    expect(error.message).toMatch(/^kvBytes: must be at least/);
    expect(
      (await errorOf(openInference({ config, weights: new Float32Array(1), version: "one" }))).code,
    ).toBe("invalid_argument");
  });
});

describe("scoring", () => {
  const scalar = tinyConfig({ head: "scalar" });

  test("one number per sequence, an error in place where there can be none", async () => {
    const inference = await open({ config: scalar, weights: tinyWeights(scalar) });
    const [good, long, bad, same] = await inference.score([
      [4, 5],
      new Array<number>(97).fill(4),
      [99],
      [4, 5],
    ]);
    expect(good).toBe(same);
    expect(Number.isFinite(good)).toBe(true);
    expect((long as CovoteError).message).toMatch(/97 exceed the model's 96 positions/);
    expect((bad as CovoteError).message).toMatch(/token id 99/);
    expect((await errorOf(inference.generate(requestOf()))).code).toBe("invalid_argument");
  });

  test("an abort rejects the whole", async () => {
    const inference = await open({ config: scalar, weights: tinyWeights(scalar) });
    const abort = new AbortController();
    const sequences = Array.from({ length: 40 }, (_, i) => [4, 5, i]);
    const scores = errorOf(inference.score(sequences, { signal: abort.signal }));
    abort.abort();
    expect((await scores).code).toBe("cancelled");
    expect(await inference.score([])).toEqual([]);
  });
});
