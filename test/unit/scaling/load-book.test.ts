import fc from "fast-check";
import { expect, test } from "vitest";
import { createLoadBook } from "../../../lib/runtime/load-book.js";
import { grmReport, idle, loadReport } from "../../support/load-reports.js";

test("rates are what sums grew by, per reporter while it had work", () => {
  const book = createLoadBook();
  for (const seconds of [0, 10, 20]) {
    book.take(grmReport(seconds), seconds * 1000);
    book.take(grmReport(seconds, { reporter: "r2", host: "pod-2" }), seconds * 1000);
  }
  expect(book.engines("grm", 20_000)).toEqual({
    reporters: 2,
    slots: 16,
    running: 8,
    waiting: 2,
    utilisation: 0.5,
    tokensPerS: 100,
    itemsPerS: 4,
    tokensPerItem: 50,
    ageMs: 0,
  });
});

test("what nobody reports is null, not zero", () => {
  const book = createLoadBook();
  expect(book.engines("policy", 0)).toMatchObject({
    reporters: 0,
    utilisation: null,
    tokensPerS: null,
    ageMs: null,
  });
  expect(book.judging(0)).toMatchObject({ votesPerResponse: null, votesInForce: null, ageMs: null });
  expect(book.learner(0)).toMatchObject({ stepMs: null, responsesPerStep: null, waiting: null });
  book.take(grmReport(0), 0);
  expect(book.engines("grm", 0)).toMatchObject({ reporters: 1, utilisation: null, tokensPerS: null });
});

test("lost reports make figures older, and who is silent too long counts no more", () => {
  const book = createLoadBook({ silentMs: 10_000 });
  book.take(grmReport(0), 0);
  book.take(grmReport(4), 4000);
  expect(book.engines("grm", 12_000)).toMatchObject({ reporters: 1, tokensPerS: 100, ageMs: 8000 });
  expect(book.engines("grm", 14_001)).toMatchObject({
    reporters: 0,
    running: 0,
    tokensPerS: null,
    ageMs: null,
  });
});

test("repeated and overtaken reports change nothing", () => {
  const book = createLoadBook();
  book.take(grmReport(0), 0);
  book.take(grmReport(10), 10_000);
  const before = book.engines("grm", 10_000);
  expect(book.take(grmReport(10), 10_000)).toBe("repeated");
  expect(book.take(grmReport(4), 10_000)).toBe("repeated");
  expect(book.engines("grm", 10_000)).toEqual(before);
});

test("sums that shrink start anew instead of making negative rates", () => {
  const book = createLoadBook();
  book.take(grmReport(100), 0);
  book.take(grmReport(102), 2000);
  const reset = { ...grmReport(2), sequence: 90 };
  expect(book.take(reset, 4000)).toBe("reset");
  expect(book.engines("grm", 4000)).toMatchObject({ reporters: 1, tokensPerS: null, utilisation: null });
  book.take({ ...grmReport(4), sequence: 91 }, 6000);
  expect(book.engines("grm", 6000)).toMatchObject({ tokensPerS: 100, utilisation: 0.5 });
});

test("a new life of a reporter counts from its own start", () => {
  const book = createLoadBook();
  book.take(grmReport(100), 0);
  book.take(grmReport(110), 10_000);
  book.take(grmReport(0, { reporter: "r1-again" }), 12_000);
  book.take(grmReport(8, { reporter: "r1-again" }), 20_001);
  expect(book.engines("grm", 20_001)).toMatchObject({ reporters: 1, tokensPerS: 100 });
});

test("figures that are none and unknown layouts are refused", () => {
  const book = createLoadBook();
  const wrong = [
    grmReport(2, { engine: { ...idle, busyMs: Number.NaN } }),
    grmReport(2, { engine: { ...idle, items: Number.POSITIVE_INFINITY } }),
    grmReport(2, { engine: { ...idle, slotMs: -1 } }),
    grmReport(2, { layout: 2 }),
    grmReport(2, { role: "oracle" }),
    grmReport(2, { reporter: "" }),
    grmReport(2, { intervalMs: Number.NaN }),
    loadReport({ sequence: 0 }),
  ];
  for (const report of wrong) expect(book.take(report, 0)).toBe("refused");
  expect(book.engines("grm", 0).reporters).toBe(0);
});

test("reporters are bounded; those that are gone make room", () => {
  const book = createLoadBook({ maxReporters: 2, silentMs: 1000 });
  book.take(grmReport(0, { reporter: "a" }), 0);
  book.take(grmReport(0, { reporter: "b" }), 0);
  expect(book.take(grmReport(0, { reporter: "c" }), 0)).toBe("refused");
  expect(book.take(grmReport(0, { reporter: "c" }), 60_000)).toBe("taken");
});

test("judging and learning are told per response and per step", () => {
  const book = createLoadBook();
  const judging = {
    inFlight: 3,
    votesInForce: 4,
    judgments: 0,
    responses: 0,
    votes: 0,
    metaScores: 0,
    askedVotes: 0,
  };
  const learner = { steps: 0, responses: 0, trainingMs: 0, waitingMs: 0 };
  const aggregator = { role: "aggregator", reporter: "a" };
  book.take(loadReport({ ...aggregator, judging }), 0);
  const judged = { ...judging, judgments: 10, responses: 80, votes: 160, metaScores: 120, askedVotes: 640 };
  book.take(loadReport({ ...aggregator, sequence: 2, judging: judged }), 10_000);
  book.take(loadReport({ role: "learner", reporter: "l", learner }), 0);
  const learned = { steps: 2, responses: 384, trainingMs: 3000, waitingMs: 1000 };
  book.take(loadReport({ role: "learner", reporter: "l", sequence: 2, learner: learned }), 10_000);
  expect(book.judging(10_000)).toMatchObject({
    ...{
      inFlight: 3,
      votesInForce: 4,
      judgmentsPerS: 1,
      votesPerResponse: 2,
      meanVotes: 8,
      metaScoresPerVote: 0.75,
    },
  });
  expect(book.learner(10_000)).toMatchObject({ responsesPerStep: 192, stepMs: 1500, waiting: 0.25 });
});

test("whatever is lost, repeated and reordered, no figure is negative or above what was done", () => {
  const steps = fc.array(fc.record({ second: fc.nat(60), lost: fc.boolean() }), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (events) => {
      const book = createLoadBook();
      events.forEach(({ second, lost }, i) => {
        if (!lost) book.take(grmReport(second), i * 1000);
        const { utilisation, tokensPerS, tokensPerItem } = book.engines("grm", i * 1000);
        for (const [value, most] of [
          [utilisation, 0.5],
          [tokensPerS, 100],
          [tokensPerItem, 50],
        ] as const) {
          if (value !== null) expect(Math.abs(value - most)).toBeLessThan(1e-6);
        }
      });
    }),
    { numRuns: 50 },
  );
});
