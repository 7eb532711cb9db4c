import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createManualClock } from "../../../lib/core/clock.js";
import type { GenerateRequest } from "../../../lib/engine/engine.js";
import { createSimulatedEngine } from "../../../lib/engine/simulated.js";
import { fateOf, faultless, instant, serviceMs } from "../../../lib/engine/simulated-fate.js";

const ask = (over: Partial<GenerateRequest> = {}): GenerateRequest => ({
  id: "r1",
  messages: [{ role: "user", content: "query to friend" }],
  maxTokens: 16,
  temperature: 1,
  seed: 7,
  ...over,
});

const cleverly = (): string => "scores 7 3";

describe("simulated engine: time", () => {
  test("a request takes the time of its prompt and its completion at the given rates", async () => {
    const clock = createManualClock();
    const latency = { prefillTokensPerS: 100, decodeTokensPerS: 10, fixedMs: 5 };
    const engine = createSimulatedEngine({ respond: cleverly, latency, clock });
    const answer = engine.generate(ask(), {});
    await clock.advance(1000);
    // 3 words and a turn marker; 3 words and the stop token.
    expect(await answer).toMatchObject({ text: "scores 7 3", finish: "stop", engineMs: 5 + 40 + 400 });
  });

  test("a prompt asked again is prefilled for nothing", async () => {
    const clock = createManualClock();
    const engine = createSimulatedEngine({ respond: cleverly, latency: { prefillTokensPerS: 100 }, clock });
    const first = engine.generate(ask(), {});
    await clock.advance(40);
    expect((await first).cachedTokens).toBe(0);
    expect(await engine.generate(ask({ seed: 8 }), {})).toMatchObject({ cachedTokens: 4, engineMs: 0 });
  });

  test("instant, it starts no timer", async () => {
    const clock = createManualClock();
    const engine = createSimulatedEngine({ respond: cleverly, clock });
    await engine.generate(ask(), {});
    expect(clock.pending()).toBe(0);
    expect(engine.stats().busyMs).toBe(0);
  });

  test("service times are log-normal: the tail follows σ", () => {
    const latency = { ...instant, fixedMs: 100, sigma: 0.5 };
    const times = Array.from({ length: 20_000 }, (_, seed) =>
      serviceMs(seed, { prompt: 1, completion: 1 }, latency),
    ).sort((a, b) => a - b);
    const at = (q: number): number => times[Math.floor(q * times.length)]!;
    expect(at(0.5)).toBeGreaterThan(97);
    expect(at(0.5)).toBeLessThan(103);
    expect(Math.log(at(0.99) / at(0.5))).toBeCloseTo(2.33 * 0.5, 1);
  });
});

describe("simulated engine: room", () => {
  test("slots run side by side, the next ones in the order of arrival", async () => {
    const clock = createManualClock();
    const engine = createSimulatedEngine({ respond: cleverly, latency: { fixedMs: 10 }, slots: 2, clock });
    const order: string[] = [];
    const all = ["a", "b", "c", "d", "e"].map(async (id) => {
      await engine.generate(ask({ id }), {});
      order.push(`${id}@${clock.monotonic()}`);
    });
    await clock.advance(5);
    expect(engine.stats()).toMatchObject({ running: 2, waiting: 3 });
    await clock.advance(95);
    await Promise.all(all);
    expect(order).toEqual(["a@10", "b@10", "c@20", "d@20", "e@30"]);
    expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, busyMs: 30, slotMs: 50 });
  });

  test("a full queue refuses as overloaded and says when to retry", async () => {
    const clock = createManualClock();
    const options = { respond: cleverly, latency: { fixedMs: 10 }, slots: 1, queueLimit: 1, clock };
    const engine = createSimulatedEngine(options);
    const accepted = [engine.generate(ask(), {}), engine.generate(ask(), {})];
    await expect(engine.generate(ask(), {})).rejects.toMatchObject({ code: "overloaded", retryAfterMs: 100 });
    await clock.advance(20);
    expect((await Promise.all(accepted)).length).toBe(2);
  });

  test("a cancelled request frees its slot and only what it had sampled is counted", async () => {
    const clock = createManualClock();
    const latency = { decodeTokensPerS: 10 };
    const engine = createSimulatedEngine({ respond: cleverly, latency, slots: 1, clock });
    const abort = new AbortController();
    const first = engine.generate(ask(), { signal: abort.signal });
    const cancelled = expect(first).rejects.toMatchObject({ code: "cancelled" });
    const second = engine.generate(ask({ id: "r2" }), {});
    await clock.advance(200);
    abort.abort();
    await cancelled;
    await clock.advance(400);
    expect((await second).engineMs).toBe(600);
    expect(engine.stats()).toMatchObject({ generatedTokens: 2 + 4, ended: { done: 1, cancelled: 1 } });
  });

  test("a request too long for the model is refused with both numbers", async () => {
    const engine = createSimulatedEngine({ respond: cleverly, maxPositions: 18 });
    await expect(engine.generate(ask(), {})).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining("exceed the engine's 18 positions"),
    });
  });

  test("a text longer than allowed is cut and says so", async () => {
    const engine = createSimulatedEngine({ respond: cleverly });
    const cut = await engine.generate(ask({ maxTokens: 2 }), {});
    expect(cut).toMatchObject({ text: "scores 7", finish: "length" });
    expect(cut.tokenIds.length).toBe(2);
  });
});

describe("simulated engine: failures", () => {
  test("chances come true at their rates, by seed alone", () => {
    const failures = { error: 0.1, unparsable: 0.2, hang: 0.05, death: 0.01 };
    const count: Record<string, number> = {};
    for (let seed = 0; seed < 20_000; seed++) {
      const fate = fateOf(seed, failures);
      count[fate] = (count[fate] ?? 0) + 1 / 20_000;
    }
    for (const [fate, chance] of Object.entries(failures)) expect(count[fate]).toBeCloseTo(chance, 2);
    expect(fateOf(123, failures)).toBe(fateOf(123, failures));
  });

  test("an error is unavailable, a spoiled text is short of its end", async () => {
    const failing = createSimulatedEngine({ respond: cleverly, failures: { error: 1 } });
    await expect(failing.generate(ask(), {})).rejects.toMatchObject({ code: "unavailable" });
    const spoiling = createSimulatedEngine({ respond: cleverly, failures: { unparsable: 1 } });
    expect((await spoiling.generate(ask(), {})).text).toBe("score");
  });

  test("a hanging request ends only by its signal", async () => {
    const clock = createManualClock();
    const engine = createSimulatedEngine({ respond: cleverly, failures: { hang: 1 }, clock });
    const abort = new AbortController();
    const answer = engine.generate(ask(), { signal: abort.signal });
    const cancelled = expect(answer).rejects.toMatchObject({ code: "cancelled" });
    await clock.advance(1e9);
    expect(engine.stats().running).toBe(1);
    abort.abort();
    await cancelled;
    expect(engine.stats().running).toBe(0);
  });

  test("a dead engine fails all its requests at once and serves again when revived", async () => {
    const clock = createManualClock();
    const engine = createSimulatedEngine({ respond: cleverly, latency: { fixedMs: 10 }, slots: 1, clock });
    const lost = [engine.generate(ask(), {}), engine.generate(ask(), {})].map((answer) =>
      expect(answer).rejects.toMatchObject({ code: "unavailable" }),
    );
    await clock.advance(5);
    engine.kill();
    await Promise.all(lost);
    await expect(engine.generate(ask(), {})).rejects.toMatchObject({ code: "unavailable" });
    engine.revive();
    const answer = engine.generate(ask(), {});
    await clock.advance(10);
    expect((await answer).text).toBe("scores 7 3");
    expect(clock.pending()).toBe(0);
  });

  test("two engines with different seeds treat the same requests differently", async () => {
    const fates = await Promise.all(
      [1, 2].map(async (seed) => {
        const engine = createSimulatedEngine({ respond: cleverly, failures: { error: 0.5 }, seed });
        const ends = Array.from({ length: 64 }, (_, s) =>
          engine.generate(ask({ seed: s }), {}).then(
            () => "well",
            () => "error",
          ),
        );
        return (await Promise.all(ends)).join();
      }),
    );
    expect(fates[0]).not.toBe(fates[1]);
  });

  test("impossible chances and rates are refused by name", () => {
    const create = (over: object) => () => createSimulatedEngine({ respond: cleverly, ...over });
    expect(create({ failures: { error: 1.5 } })).toThrow("failures.error");
    expect(create({ failures: { error: 0.7, hang: 0.7 } })).toThrow("at most 1");
    expect(create({ latency: { decodeTokensPerS: 0 } })).toThrow("latency.decodeTokensPerS");
    expect(create({ slots: 0 })).toThrow("slots");
  });
});

test("simulated engine: every request ends once and the slots' accounts close, whatever happens", async () => {
  const step = fc.record({
    seed: fc.integer({ min: 0, max: 1e6 }),
    waitMs: fc.integer({ min: 0, max: 30 }),
    abortAfterMs: fc.option(fc.integer({ min: 0, max: 60 })),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.integer({ min: 1, max: 3 }),
      async (steps, slots) => {
        const clock = createManualClock();
        const engine = createSimulatedEngine({
          respond: cleverly,
          latency: { fixedMs: 20, sigma: 0.6 },
          failures: { ...faultless, error: 0.2, hang: 0.2 },
          slots,
          queueLimit: 2,
          clock,
        });
        let ends = 0;
        const aborts: AbortController[] = [];
        const answers: Promise<void>[] = [];
        for (const { seed, waitMs, abortAfterMs } of steps) {
          const abort = new AbortController();
          aborts.push(abort);
          const count = (): void => {
            ends += 1;
          };
          answers.push(engine.generate(ask({ seed }), { signal: abort.signal }).then(count, count));
          if (abortAfterMs !== null) clock.after(abortAfterMs, () => abort.abort());
          await clock.advance(waitMs);
        }
        await clock.advance(1000);
        for (const abort of aborts) abort.abort();
        await Promise.all(answers);
        const stats = engine.stats();
        expect(ends).toBe(steps.length);
        expect(stats).toMatchObject({ running: 0, waiting: 0 });
        expect(stats.slotMs).toBeLessThanOrEqual(stats.busyMs * slots + 1e-6);
        expect(clock.pending()).toBe(0);
      },
    ),
    { numRuns: 60 },
  );
});

describe("simulated engine: openings and stop words", () => {
  const text = "topic 3 critique topic yes";

  test("an opening is part of the prompt's tokens, not of the text", async () => {
    const engine = createSimulatedEngine({ respond: () => text });
    const plain = await engine.generate(ask(), {});
    const opened = await engine.generate(ask({ opening: "principles topic 3" }), {});
    expect(opened.text).toBe(text);
    expect(opened.promptIds.length).toBe(plain.promptIds.length + 3);
    expect(opened.cachedTokens).toBe(plain.promptIds.length);
  });

  test("a stop word ends the text and stays in it; one that does not come changes nothing", async () => {
    const engine = createSimulatedEngine({ respond: () => text });
    expect(await engine.generate(ask({ stop: ["critique"] }), {})).toMatchObject({
      text: "topic 3 critique",
      finish: "stop",
    });
    expect((await engine.generate(ask({ stop: ["scores"] }), {})).text).toBe(text);
  });
});
