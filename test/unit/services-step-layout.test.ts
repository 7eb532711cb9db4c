import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Response } from "../../lib/wire/gen/covote/v1/common.js";
import { StepForm } from "../../lib/wire/gen/covote/v1/reward.js";
import { createJudgment, type Dispatch, type Effect } from "../../services/vote-aggregator/judgment.js";
import { kindsOf, type StepLayout, stepLayout } from "../../services/vote-aggregator/step-layout.js";

const stepped = (...texts: string[]): Response => ({ text: "", steps: { texts } });
const layoutOf = (responses: readonly Response[], scoresSteps: boolean): StepLayout => {
  const layout = stepLayout(responses, scoresSteps);
  if (layout === null) throw new Error("no response has steps");
  return layout;
};

test("without steps there is nothing to lay out", () => {
  expect(stepLayout([{ text: "a" }, { text: "" }], true)).toBeNull();
});

test("a grammar that scores steps shows a response once, with a score per step and then its own", () => {
  const layout = layoutOf([stepped("a", "b"), { text: "c" }], true);
  expect(layout).toMatchObject({
    form: StepForm.STEP,
    texts: ["a\n\nb", "c"],
    steps: [["a", "b"], []],
    unitsOf: [3, 1],
    responses: [
      { whole: 2, steps: [0, 1] },
      { whole: 3, steps: null },
    ],
  });
  expect(layout.units.map(({ response, step }) => `${response}.${step}`)).toEqual([
    "0.1",
    "0.2",
    "0.0",
    "1.0",
  ]);
  expect(kindsOf(layout)).toEqual([1, 1, 0, 0]);
});

test("any other grammar shows the prefixes; the last is the whole response and its last step", () => {
  const layout = layoutOf([{ text: "c" }, stepped("a", "b")], false);
  expect(layout).toMatchObject({
    form: StepForm.PREFIX,
    texts: ["c", "a", "a\n\nb"],
    steps: null,
    unitsOf: [1, 1, 1],
    responses: [
      { whole: 0, steps: null },
      { whole: 2, steps: [1, 2] },
    ],
  });
  expect(kindsOf(layout)).toEqual([0, 2, 0]);
});

test("a single step is asked for as such, or is the response itself", () => {
  expect(layoutOf([stepped("a")], true)).toMatchObject({
    unitsOf: [2],
    responses: [{ whole: 1, steps: [0] }],
  });
  expect(layoutOf([stepped("a")], false)).toMatchObject({
    unitsOf: [1],
    responses: [{ whole: 0, steps: [0] }],
  });
});

describe("a judgment about steps", () => {
  const dispatched = (effects: readonly Effect[]): Dispatch[] =>
    effects.flatMap((effect) => (effect.t === "dispatch" ? [...effect.ballots] : []));

  test("gives every response and every step the mean of its own scores, whatever the panels and orders", () => {
    const responses = fc.array(
      fc.oneof(
        fc.constant<Response>({ text: "text" }),
        fc.array(fc.constant("step"), { minLength: 1, maxLength: 3 }).map((texts) => stepped(...texts)),
      ),
      { minLength: 1, maxLength: 5 },
    );
    fc.assert(
      fc.property(
        responses,
        fc.boolean(),
        fc.integer({ min: 1, max: 4 }),
        (given, scoresSteps, panelLimit) => {
          const layout = stepLayout(given, scoresSteps);
          if (layout === null) return;
          const machine = createJudgment({
            ...{ id: "j", responses: layout.texts.length, votes: 3, metaKeep: null, panelLimit },
            ...{ votesPerBallot: 2, seed: 5, unitsOf: layout.unitsOf, kinds: kindsOf(layout) },
          });
          let effects: Effect[] = [];
          for (const ballot of dispatched(machine.start())) {
            for (const { voteId } of ballot.tickets) {
              const scores = machine.orderOf(voteId).map((unit) => unit + 1);
              expect(scores).toHaveLength(ballot.order.reduce((sum, i) => sum + (layout.unitsOf[i] ?? 0), 0));
              effects = machine.handle({
                t: "vote",
                vote: {
                  ...{
                    voteId,
                    judgeVersion: "v",
                    worker: "w",
                    text: "",
                    principles: "",
                    critique: "",
                    scores,
                  },
                  ...{ nullReason: null, failure: "", panelTooLong: false },
                  cost: { promptTokens: 0, cachedTokens: 0, completionTokens: 0, engineMs: 0 },
                },
              });
            }
          }
          const [finish] = effects;
          const outcome = finish?.t === "finish" ? finish.outcome : null;
          expect(outcome?.rewards.map(({ value }) => value)).toEqual(layout.units.map((_, unit) => unit + 1));
        },
      ),
      { numRuns: 60 },
    );
  });

  test("a vote with a score per response only is unparsable: no reward is made up for the steps", () => {
    const layout = layoutOf([stepped("a", "b")], true);
    const machine = createJudgment({
      ...{ id: "j", responses: 1, votes: 1, metaKeep: null, panelLimit: 4, votesPerBallot: 1, seed: 5 },
      ...{ unitsOf: layout.unitsOf, kinds: kindsOf(layout) },
    });
    const [ballot] = dispatched(machine.start());
    const [end] = machine.handle({
      t: "vote",
      vote: {
        ...{ voteId: ballot?.tickets[0]?.voteId ?? "", judgeVersion: "v", worker: "w", text: "" },
        ...{ principles: "", critique: "", scores: [5], nullReason: null, failure: "", panelTooLong: false },
        cost: { promptTokens: 0, cachedTokens: 0, completionTokens: 0, engineMs: 0 },
      },
    });
    expect(end?.t === "finish" && end.outcome.rewards).toEqual(
      Array(3).fill({ value: null, reason: "unparsable" }),
    );
  });
});

test("split: vote j of every response uses set j modulo the sets, a retry the same one", () => {
  const machine = createJudgment({
    ...{
      id: "j",
      responses: 6,
      votes: 5,
      metaKeep: null,
      panelLimit: 3,
      votesPerBallot: 2,
      seed: 3,
      split: 2,
    },
  });
  const ballots = machine.start().flatMap((effect) => (effect.t === "dispatch" ? [...effect.ballots] : []));
  const setsOf = new Map<number, number[]>();
  for (const { order, tickets } of ballots) {
    for (const response of order) {
      const sets = setsOf.get(response) ?? [];
      setsOf.set(response, [...sets, ...tickets.map(({ principleSet }) => principleSet ?? -1)]);
    }
  }
  for (const sets of setsOf.values()) expect([...sets].sort()).toEqual([0, 0, 0, 1, 1]);
  const again = machine.handle({ t: "requeue" });
  expect(again.flatMap((effect) => (effect.t === "dispatch" ? [...effect.ballots] : []))).toEqual(ballots);
});
