import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../../lib/core/random.js";
import { createAdmission, type LoadSample } from "../../../lib/engine/pool-admission.js";
import { createBudget } from "../../../lib/engine/pool-budget.js";
import {
  type Health,
  type HealthEvent,
  healthy,
  nextHealth,
  unproven,
} from "../../../lib/engine/pool-health.js";
import { createLatencies } from "../../../lib/engine/pool-latency.js";
import { retryAfterOf } from "../../../lib/engine/server-errors.js";
import { readLoad } from "../../../lib/engine/server-load.js";

describe("the health of an endpoint", () => {
  /** The states that a row of events leads through, a second apart. */
  const walk = (start: Health, ...events: HealthEvent[]): Health[] => {
    const random = createRandom(1);
    const states = [start];
    events.forEach((event, second) => {
      states.push(nextHealth(states.at(-1) as Health, event, second * 1000, random));
    });
    return states;
  };
  const words = (states: readonly Health[]): string => states.map(({ t }) => t).join(" ");
  const failed: HealthEvent = { t: "failed", why: "HTTP 500" };

  test("one failure makes it suspect, a good probe or a good answer healthy again", () => {
    expect(words(walk(healthy, failed, { t: "probed" }))).toBe("healthy suspect healthy");
    expect(words(walk(healthy, failed, { t: "answered" }))).toBe("healthy suspect healthy");
  });

  test("a failed probe takes it out, for a pause; then it is probed, and serves again", () => {
    const states = walk(healthy, { t: "silent", why: "" }, { t: "probe failed", why: "no answer" });
    expect(words(states)).toBe("healthy suspect out");
    const out = states.at(-1) as Health & { t: "out" };
    expect(out.untilMs - 1000).toBeGreaterThanOrEqual(500);
    expect(nextHealth(out, { t: "due" }, out.untilMs - 1, createRandom(1)).t).toBe("out");
    const due = nextHealth(out, { t: "due" }, out.untilMs, createRandom(1));
    expect(due.t).toBe("probing");
    expect(nextHealth(due, { t: "probed" }, 0, createRandom(1)).t).toBe("healthy");
  });

  test("an answer to an old request does not bring it back: only a probe does", () => {
    expect(words(walk(unproven("not reached", 0), { t: "answered" }, { t: "probed" }))).toBe("out out out");
  });

  test("one that fails most requests between good probes goes out all the same", () => {
    const row = Array.from({ length: 8 }, () => [failed, { t: "probed" } as const]).flat();
    expect(words(walk(healthy, ...row))).toMatch(/ out/);
  });

  test("each time out is longer than the last, up to half a minute, until it has proved itself", () => {
    const random = createRandom(3);
    let state: Health = healthy;
    const pauses: number[] = [];
    const round = (): void => {
      state = nextHealth(state, { t: "silent", why: "" }, 0, random);
      state = nextHealth(state, { t: "probe failed", why: "" }, 0, random);
      pauses.push((state as Health & { t: "out" }).untilMs);
      state = nextHealth(state, { t: "due" }, 1e9, random);
      state = nextHealth(state, { t: "probed" }, 0, random);
    };
    for (let i = 0; i < 8; i++) round();
    expect(pauses[3]).toBeGreaterThan(4 * (pauses[0] as number) * 0.5);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(30_000);
    for (let i = 0; i < 20; i++) state = nextHealth(state, { t: "answered" }, 0, random);
    round();
    expect(pauses.at(-1)).toBeLessThanOrEqual(1000);
  });

  test("whatever happens, a move leads to a state that the picture has", () => {
    const moves = new Set([
      ...["healthy healthy", "healthy suspect", "healthy out", "suspect suspect", "suspect healthy"],
      ...["suspect out", "out out", "out probing", "probing probing", "probing healthy", "probing out"],
    ]);
    const event = fc.oneof(
      fc.constantFrom<HealthEvent>({ t: "answered" }, { t: "probed" }, { t: "due" }, failed),
      fc.constantFrom<HealthEvent>({ t: "silent", why: "" }, { t: "probe failed", why: "" }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), fc.integer(), (events, seed) => {
        const random = createRandom(seed);
        let state: Health = healthy;
        let nowMs = 0;
        for (const each of events) {
          nowMs += 400;
          const next = nextHealth(state, each, nowMs, random);
          expect(moves).toContain(`${state.t} ${next.t}`);
          state = next;
        }
      }),
    );
  });
});

describe("the budget of extra requests", () => {
  test("never spends more than its size and its share", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean()), fc.double({ min: 0, max: 1, noNaN: true }), (row, share) => {
        const budget = createBudget({ share, size: 5 });
        let earned = 0;
        let spent = 0;
        for (const isRequest of row) {
          if (isRequest) {
            budget.earn();
            earned += share;
          } else if (budget.spend()) spent++;
          expect(spent).toBeLessThanOrEqual(5 + earned + 1e-9);
        }
      }),
    );
  });
  test("a share of nothing has nothing", () => {
    expect(createBudget({ share: 0, size: 100 }).spend()).toBe(false);
  });
});

test("quantiles are of the last requests, and unknown before there are enough", () => {
  const latencies = createLatencies();
  for (let i = 1; i <= 19; i++) latencies.record(i);
  expect(latencies.quantile(0.5)).toBeNull();
  for (let i = 0; i < 600; i++) latencies.record(1000 + (i % 100));
  expect(latencies.quantile(0.5)).toBeGreaterThanOrEqual(1040);
  expect(latencies.quantile(0.99)).toBeLessThanOrEqual(1099);
});

describe("the admission of an endpoint", () => {
  const calm: LoadSample = { running: 8, waiting: 0, kvUsage: 0.3, preemptions: 0 };

  test("starts at what is configured and never goes above it or below one", () => {
    const load = fc.record({
      running: fc.nat(64),
      waiting: fc.nat(64),
      kvUsage: fc.double({ min: 0, max: 1, noNaN: true }),
      preemptions: fc.nat(5),
    });
    fc.assert(
      fc.property(fc.array(fc.oneof(load, fc.constantFrom("answered", "refused"))), (row) => {
        const admission = createAdmission({ most: 32 });
        row.forEach((each, second) => {
          const inFlight = Math.min(32, admission.limit());
          if (each === "answered") admission.answered(inFlight, 1, second * 1000);
          else if (each === "refused") admission.refused(inFlight, second * 1000);
          else admission.sampled(each as LoadSample, inFlight, second * 1000);
          expect(admission.limit()).toBeGreaterThanOrEqual(1);
          expect(admission.limit()).toBeLessThanOrEqual(32);
        });
      }),
    );
  });

  test("a full cache brings it down by what is too much, a preemption by a fifth, a refusal by half", () => {
    const trimmed = createAdmission({ most: 100 });
    trimmed.sampled({ ...calm, kvUsage: 0.95 }, 100, 0);
    expect(trimmed.limit()).toBe(Math.floor(70 / 0.95));
    const preempted = createAdmission({ most: 100 });
    preempted.sampled(calm, 100, 0);
    preempted.sampled({ ...calm, preemptions: 1 }, 100, 1000);
    expect(preempted.limit()).toBe(80);
    const refused = createAdmission({ most: 100 });
    refused.refused(100, 0);
    expect(refused.limit()).toBe(50);
  });

  test("one overload counts once: until requests have come down there is no second cut", () => {
    const admission = createAdmission({ most: 100 });
    for (let i = 0; i < 5; i++) admission.refused(100 - i, i);
    expect(admission.limit()).toBe(50);
    admission.answered(50, null, 10);
    admission.refused(50, 20);
    expect(admission.limit()).toBe(25);
  });

  test("a queue in the engine has to last before it counts", () => {
    const admission = createAdmission({ most: 100 });
    const queueing = { ...calm, waiting: 6 };
    for (let i = 0; i < 5; i++) admission.sampled(queueing, 100, i * 1000);
    expect(admission.limit()).toBe(100);
    admission.sampled(queueing, 100, 6000);
    expect(admission.limit()).toBe(90);
  });

  test("it grows by a quarter per turnover, only at its limit, with room in the engine and news of it", () => {
    const grownBy = (
      sample: LoadSample,
      sampleAgeMs: number,
      inFlight: (limit: number) => number,
    ): number => {
      const admission = createAdmission({ most: 1000 });
      admission.refused(80, 0);
      admission.answered(40, null, 1);
      admission.sampled(sample, 40, 20_000);
      for (let i = 0; i < 40; i++)
        admission.answered(inFlight(admission.limit()), null, 20_000 + sampleAgeMs);
      return admission.limit() / 40;
    };
    expect(grownBy(calm, 100, (limit) => limit)).toBeCloseTo(1.25, 1);
    expect(grownBy(calm, 100, () => 20)).toBe(1);
    expect(grownBy({ ...calm, waiting: 1 }, 100, (limit) => limit)).toBe(1);
    expect(grownBy({ ...calm, kvUsage: 0.7 }, 100, (limit) => limit)).toBe(1);
    expect(grownBy(calm, 16_000, (limit) => limit)).toBe(1);
  });

  test("without metrics, time per token decides", () => {
    const admission = createAdmission({ most: 40 });
    // Half of the times are a tenth of the others: that is chance, not slowness.
    for (let i = 0; i < 500; i++) admission.answered(40, i % 2 === 0 ? 2 : 20, i);
    expect(admission.limit()).toBe(40);
    for (let i = 0; i < 300; i++) admission.answered(40, 60, 500 + i);
    expect(admission.limit()).toBeLessThan(40);
  });
});

describe("an engine's load", () => {
  test.each([
    [
      "vllm:num_requests_running",
      "vllm:num_requests_waiting",
      "vllm:kv_cache_usage_perc",
      "vllm:num_preemptions_total",
    ],
    [
      "vllm:num_requests_running",
      "vllm:num_requests_waiting",
      "vllm:gpu_cache_usage_perc",
      "vllm:num_preemptions",
    ],
    ["sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage", "sglang:num_retracted_reqs"],
  ])("is read by the names %s, %s, %s, %s", (running, waiting, usage, preemptions) => {
    const labels = '{engine="0",model_name="org/a model {x}"}';
    const text = [
      `# HELP ${running} Number of requests`,
      `${running}${labels} 7.0`,
      `${waiting}${labels} 2.0 1760000000000`,
      `${usage}${labels} 0.42`,
      `${preemptions}${labels} 3.0`,
    ].join("\n");
    expect(readLoad(text)).toEqual({ running: 7, waiting: 2, kvUsage: 0.42, preemptions: 3 });
  });
  test("of several ranks adds up; of cache usage the fullest counts; what is missing or odd is unknown", () => {
    const text = [
      'vllm:num_requests_running{engine="0"} 3',
      'vllm:num_requests_running{engine="1"} 4',
      'vllm:kv_cache_usage_perc{engine="0"} 0.2',
      'vllm:kv_cache_usage_perc{engine="1"} 0.9',
      'vllm:num_requests_waiting{engine="0"} NaN',
    ].join("\n");
    expect(readLoad(text)).toEqual({ running: 7, waiting: null, kvUsage: 0.9, preemptions: null });
    expect(readLoad("process_cpu_seconds_total 3\n")).toBeNull();
    expect(readLoad("<html></html>")).toBeNull();
  });
});

test("Retry-After is seconds, a date, or milliseconds in a header of its own", () => {
  expect(retryAfterOf({ headers: { "retry-after": "2" } })).toBe(2000);
  expect(retryAfterOf({ headers: { "retry-after": "2", "retry-after-ms": "30" } })).toBe(30);
  const date = "Tue, 01 Dec 2026 10:00:00 GMT";
  expect(retryAfterOf({ headers: { date, "retry-after": "Tue, 01 Dec 2026 10:00:05 GMT" } })).toBe(5000);
  expect(retryAfterOf({ headers: { "retry-after": "soon" } })).toBeUndefined();
  expect(retryAfterOf({ headers: {} })).toBeUndefined();
});
