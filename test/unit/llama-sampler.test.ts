import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom, uniformAt } from "../../lib/core/random.js";
import { createDecoder } from "../../lib/llama/decoder.js";
import { createKernels } from "../../lib/llama/kernels.js";
import { createSampler, type Sample, type SampleRequest, type Sampler } from "../../lib/llama/sampler.js";
import { createScorer } from "../../lib/llama/scorer.js";
import { createLlamaTraining } from "../../lib/llama/training.js";
import { tinyConfig, tinyWeights } from "../support/tiny-llama.js";

const config = tinyConfig();
const weights = tinyWeights(config);

function samplerOf(options: Partial<Parameters<typeof createSampler>[0]> = {}): Sampler {
  return createSampler({ config, weights, kernels: createKernels(), ...options });
}

function requestOf(overrides: Partial<SampleRequest> = {}): SampleRequest {
  return { id: "a", prompt: [4, 6, 7, 8], maxTokens: 10, temperature: 1, seed: 5, stop: [], ...overrides };
}

/** Steps until nothing is left. */
function finish(sampler: Sampler): Map<string, Sample> {
  const samples = new Map<string, Sample>();
  while (sampler.busy) {
    for (const outcome of sampler.step()) {
      if (outcome.t === "failed") throw outcome.error;
      samples.set(outcome.sample.id, outcome.sample);
    }
  }
  return samples;
}

function alone(request: SampleRequest): Sample {
  const sampler = samplerOf();
  sampler.submit(request);
  return finish(sampler).get(request.id) as Sample;
}

function requests(count: number, seed: number): SampleRequest[] {
  const random = createRandom(seed);
  const prompts = Array.from({ length: 4 }, (_, p) =>
    Array.from({ length: 1 + random.below(50) }, (_, i) =>
      i < 20 ? 4 + ((i * 7 + (p >> 1)) % 30) : 4 + random.below(36),
    ),
  );
  return Array.from({ length: count }, (_, i) => ({
    id: `r${i}`,
    prompt: random.pick(prompts),
    maxTokens: 1 + random.below(40),
    temperature: random.pick([0, 0.5, 1, 1.5]),
    seed: random.below(1000),
    stop: random.below(2) === 0 ? [] : [3, 9],
  }));
}

describe("an answer depends on weights, prompt, seed and temperature alone", () => {
  test("the same seed gives the same answer, another seed another one", () => {
    const long = requestOf({ maxTokens: 40 });
    expect(alone(long)).toEqual(alone(long));
    expect(alone({ ...long, seed: 6 }).tokens).not.toEqual(alone(long).tokens);
  });

  test("property: batch, slots, chunking, arrival and cancellations change no bit", () => {
    const all = requests(24, 11);
    const expected = new Map(all.map((request) => [request.id, alone(request)]));
    const plan = fc.record({
      order: fc.shuffledSubarray(all, { minLength: 1 }),
      slots: fc.integer({ min: 1, max: 9 }),
      prefillRows: fc.integer({ min: 1, max: 40 }),
      // 7 pages are the least that this model may have: one long sequence.
      pages: fc.integer({ min: 7, max: 40 }),
      stepsBetween: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 24, maxLength: 24 }),
      cancelled: fc.array(fc.boolean(), { minLength: 24, maxLength: 24 }),
    });
    fc.assert(
      fc.property(plan, ({ order, slots, prefillRows, pages, stepsBetween, cancelled }) => {
        const sampler = samplerOf({ slots, prefillRows, kvBytes: pages * 2 * 4 * 2 * 16 * 2 * 8 });
        const samples = new Map<string, Sample>();
        const dropped = new Set<string>();
        order.forEach((request, i) => {
          sampler.submit(request);
          for (let s = 0; s < (stepsBetween[i] as number); s++) {
            for (const outcome of sampler.step())
              if (outcome.t === "done") samples.set(outcome.sample.id, outcome.sample);
          }
          const victim = order[i >> 1] as SampleRequest;
          if (cancelled[i] && sampler.cancel(victim.id)) dropped.add(victim.id);
        });
        for (const [id, sample] of finish(sampler)) samples.set(id, sample);
        for (const { id } of order) {
          const { cachedTokens: _, ...want } = expected.get(id) as Sample;
          if (dropped.has(id)) expect(samples.has(id)).toBe(false);
          else expect(samples.get(id)).toMatchObject(want);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("cached decoding equals the full forward bit for bit", () => {
    const request = requestOf({
      prompt: [4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
      maxTokens: 40,
    });
    const { tokens, logprobs } = alone(request);
    const sequence = [...request.prompt, ...tokens];
    const kernels = createKernels();
    const decoder = createDecoder({ config, kernels, maxRows: 96, pages: 6 });
    decoder.load(weights);
    const table = decoder.createTable();
    for (let page = 0; page < 6; page++) decoder.setTable(table, page, page, 16);
    decoder.clear();
    const first = request.prompt.length - 1;
    sequence.slice(0, -1).forEach((token, at) => {
      decoder.add(token, at, at, table);
      if (at >= first) decoder.want();
    });
    decoder.run();
    const probabilities = kernels.alloc(44);
    const logprob = kernels.alloc(1);
    tokens.forEach((token, i) => {
      const drawn = kernels.fn.sampleToken(
        decoder.result(i),
        40,
        1,
        0,
        uniformAt(5, i),
        probabilities,
        logprob,
      );
      expect(drawn).toBe(token);
      expect(kernels.f32[logprob >>> 2]).toBe(logprobs[i]);
    });
  });

  test("the log-probabilities are the training forward's, bit for bit, at the sampling temperature", async () => {
    await using training = createLlamaTraining({ config, weights, threads: 1 });
    for (const temperature of [1, 0.7]) {
      const request = requestOf({
        prompt: Array.from({ length: 21 }, (_, i) => 4 + i),
        maxTokens: 60,
        temperature,
      });
      const { tokens, logprobs } = alone(request);
      const { outputs } = await training.evaluate([{ tokens: [...request.prompt, ...tokens] }], {
        temperature,
      });
      expect([...(outputs[0] as Float32Array)].slice(21)).toEqual([...logprobs]);
    }
  });
});

describe("how an answer ends", () => {
  test("at the first stop token, which is part of the answer", () => {
    const free = alone(requestOf({ maxTokens: 30 }));
    const at = 4;
    const stop = free.tokens[at] as number;
    const first = free.tokens.indexOf(stop);
    const stopped = alone(requestOf({ maxTokens: 30, stop: [stop] }));
    expect(stopped.finish).toBe("stop");
    expect(stopped.tokens).toEqual(free.tokens.slice(0, first + 1));
    expect(stopped.logprobs).toEqual(free.logprobs.slice(0, first + 1));
  });

  test("at maxTokens otherwise, from one token up to the last position", () => {
    expect(alone(requestOf({ maxTokens: 1 }))).toMatchObject({ finish: "length", promptTokens: 4 });
    expect(alone(requestOf({ maxTokens: 92 })).tokens.length).toBe(92);
    const long = Array.from({ length: 95 }, (_, i) => 4 + (i % 30));
    expect(alone(requestOf({ prompt: long, maxTokens: 1 })).tokens.length).toBe(1);
  });

  test("temperature 0 takes the likeliest token whatever the seed", () => {
    const greedy = alone(requestOf({ temperature: 0, seed: 1 }));
    expect(alone(requestOf({ temperature: 0, seed: 2 }))).toEqual(greedy);
    const cold = alone(requestOf({ temperature: 0.01, seed: 3 }));
    expect(cold.tokens).toEqual(greedy.tokens);
  });

  test("draws follow the distribution: frequencies and log-probabilities agree", () => {
    const sampler = samplerOf();
    const draws = 4000;
    for (let seed = 0; seed < draws; seed++)
      sampler.submit(requestOf({ id: `${seed}`, maxTokens: 1, seed: seed * 7919 }));
    const counts = new Map<number, { count: number; probability: number }>();
    for (const { tokens, logprobs } of finish(sampler).values()) {
      const token = tokens[0] as number;
      const entry = counts.get(token) ?? { count: 0, probability: Math.exp(logprobs[0] as number) };
      entry.count++;
      counts.set(token, entry);
    }
    for (const { count, probability } of counts.values()) {
      const deviation = Math.sqrt(draws * probability * (1 - probability));
      expect(Math.abs(count - draws * probability)).toBeLessThan(4.5 * deviation + 1);
    }
  });
});

describe("slots, shared prompts and refusals", () => {
  test("a cancelled request frees its slot at once, waiting or running, and is never heard of again", () => {
    const sampler = samplerOf({ slots: 1 });
    sampler.submit(requestOf({ id: "running", maxTokens: 50 }));
    sampler.submit(requestOf({ id: "waiting" }));
    sampler.submit(requestOf({ id: "next", maxTokens: 3 }));
    sampler.step();
    expect(sampler.stats()).toMatchObject({ running: 1, waiting: 2 });
    expect(sampler.cancel("running")).toBe(true);
    expect(sampler.cancel("waiting")).toBe(true);
    expect(sampler.stats()).toMatchObject({ running: 0, waiting: 1 });
    expect(sampler.cancel("running")).toBe(false);
    expect([...finish(sampler).keys()]).toEqual(["next"]);
  });

  test("votes on one prompt read it once", () => {
    const sampler = samplerOf();
    const prompt = Array.from({ length: 50 }, (_, i) => 4 + (i % 30));
    for (let seed = 0; seed < 8; seed++) sampler.submit(requestOf({ id: `${seed}`, prompt, seed }));
    const samples = [...finish(sampler).values()];
    expect(sampler.stats().prefilledTokens).toBe(50);
    expect(samples.map(({ cachedTokens }) => cachedTokens).sort()).toEqual([0, 50, 50, 50, 50, 50, 50, 50]);
  });

  test("prompts that begin alike share whole pages", () => {
    const sampler = samplerOf();
    const start = Array.from({ length: 40 }, (_, i) => 4 + (i % 30));
    sampler.submit(requestOf({ id: "one", prompt: [...start, 9, 9] }));
    sampler.submit(requestOf({ id: "two", prompt: [...start, 8, 8] }));
    expect(finish(sampler).get("two")?.cachedTokens).toBe(32);
  });

  test("a prompt whose only request was cancelled does not spoil those that share its pages", () => {
    const prompt = Array.from({ length: 60 }, (_, i) => 4 + (i % 30));
    const sampler = samplerOf({ prefillRows: 8 });
    sampler.submit(requestOf({ id: "gone", prompt: [...prompt, 7] }));
    sampler.submit(requestOf({ id: "stays", prompt }));
    sampler.step();
    sampler.cancel("gone");
    expect(finish(sampler).get("stays")?.tokens).toEqual(alone(requestOf({ prompt })).tokens);
  });

  test("new weights need an idle sampler and forget what was cached", () => {
    const sampler = samplerOf();
    const other = tinyWeights(config, 2);
    sampler.submit(requestOf());
    expect(() => sampler.load(other)).toThrow(/requests are in flight/);
    finish(sampler);
    sampler.load(other);
    sampler.submit(requestOf());
    const fresh = samplerOf({ weights: other });
    fresh.submit(requestOf());
    expect(finish(sampler)).toEqual(finish(fresh));
  });

  test.each<[Partial<SampleRequest>, RegExp]>([
    [{ prompt: [] }, /^prompt: no tokens/],
    [{ prompt: [40] }, /^prompt: token id 40 is not in the model's vocabulary of 40/],
    [{ prompt: [1.5] }, /^prompt: token id 1\.5/],
    [
      { prompt: new Array<number>(90).fill(4) },
      /^prompt: 90 tokens and 10 to generate exceed the model's 96 positions; shorten the prompt or ask for at most 6/,
    ],
    [
      { prompt: new Array<number>(97).fill(4) },
      /97 tokens and 10 to generate exceed .* positions; shorten the prompt$/,
    ],
    [{ maxTokens: 0 }, /^maxTokens: /],
    [{ temperature: -1 }, /^temperature: /],
    [{ temperature: NaN }, /^temperature: /],
    [{ seed: 0.5 }, /^seed: /],
    [{ stop: [99] }, /^stop: token id 99/],
  ])("%j is refused, never truncated", (overrides, message) => {
    expect(() => samplerOf().submit(requestOf(overrides))).toThrow(message);
  });

  test("a second request of the same id, and one too many", () => {
    const sampler = samplerOf({ maxWaiting: 2 });
    sampler.submit(requestOf({ id: "a" }));
    expect(() => sampler.submit(requestOf({ id: "a" }))).toThrow(/request a: already in flight/);
    sampler.submit(requestOf({ id: "b" }));
    expect(() => sampler.submit(requestOf({ id: "c" }))).toThrow(/2 requests are waiting/);
  });

  test("weights that overflow fail the request with a reason", () => {
    const hot = weights.map((w) => w * 1e15);
    const sampler = samplerOf({ weights: hot });
    sampler.submit(requestOf());
    const outcomes = sampler.step();
    expect(outcomes).toMatchObject([{ t: "failed", id: "a", error: { code: "internal" } }]);
    expect(sampler.busy).toBe(false);
  });

  test("too little memory for one sequence is refused", () => {
    expect(() => samplerOf({ kvBytes: 1000 })).toThrow(/^kvBytes: must be at least 28672/);
  });
});

describe("the scalar head", () => {
  const scalar = tinyConfig({ head: "scalar" });
  const sequences = requests(30, 3).map(({ prompt }, i) => [
    ...prompt,
    ...Array.from({ length: i }, (_, j) => 4 + ((i * j) % 36)),
  ]);
  const scoreAll = (options: { slots: number; rows: number }, list: number[][]): number[] => {
    const scorer = createScorer({
      config: scalar,
      weights: tinyWeights(scalar),
      kernels: createKernels(),
      ...options,
    });
    list.forEach((tokens, i) => {
      scorer.submit({ id: `${i}`, tokens });
    });
    const scores: number[] = [];
    while (scorer.busy) {
      for (const outcome of scorer.step())
        if (outcome.t === "done") scores[Number(outcome.id)] = outcome.score;
    }
    return scores;
  };

  test("a score is the same bits alone, in a batch, and in the training forward", async () => {
    const together = scoreAll({ slots: 16, rows: 100 }, sequences);
    expect(together.length).toBe(30);
    expect(sequences.map((tokens) => scoreAll({ slots: 1, rows: 7 }, [tokens])[0])).toEqual(together);
    await using training = createLlamaTraining({ config: scalar, weights: tinyWeights(scalar), threads: 1 });
    const { outputs } = await training.evaluate(sequences.map((tokens) => ({ tokens })));
    expect(outputs.map((output) => output[0])).toEqual(together);
  });

  test("a language model cannot score, a scalar model cannot generate", () => {
    expect(() => createScorer({ config, weights, kernels: createKernels() })).toThrow(/cannot score/);
    expect(() => samplerOf({ config: scalar, weights: tinyWeights(scalar) })).toThrow(/cannot generate/);
  });
});
