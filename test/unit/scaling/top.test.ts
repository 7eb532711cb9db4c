import { expect, test } from "vitest";
import { textStyle, visibleLength } from "../../../cli/run/text.js";
import { renderTop } from "../../../cli/top/render.js";
import type { GetScalingResponse } from "../../../lib/wire/gen/covote/v1/cluster.js";
import type { ScalingDecision } from "../../../lib/wire/gen/covote/v1/scaling.js";

const plain = textStyle(false);

function decision(over: Partial<ScalingDecision> = {}): ScalingDecision {
  return {
    ...{
      decisionId: "d1",
      atMs: 0,
      lastAtMs: 0,
      repeats: 0,
      decidedBy: "co-scaler-0",
      actuator: "kubernetes",
    },
    ...{ dryRun: false, reason: "balanced", blockedBy: "", detail: "", moved: false, pools: [], problem: "" },
    ...{ budgetGpus: 8, votesInForce: 4, votes: 4, voteReason: "preferred", now: undefined, best: undefined },
    ...{ learnerStepS: undefined, switchMs: 180_000, actions: [] },
    ...over,
  };
}

function answer(...decisions: ScalingDecision[]): GetScalingResponse {
  return { cluster: "rl", loads: [], queues: [], decisions };
}

const lines = (response: GetScalingResponse, width = 120): string[] =>
  renderTop(response, 60_000, width, plain).map((line) => line.trim());

test("a change says which pools, and what still waits for GPUs", () => {
  const actions = [
    { pool: "policy", from: 6, to: 2, outcome: "scaled", detail: "" },
    { pool: "grm", from: 1, to: 5, outcome: "waits", detail: "" },
  ];
  expect(lines(answer(decision({ reason: "rebalanced", actions })))).toContain(
    "1:00 ago     policy 6→2, grm waits for 4 more: rebalanced",
  );
});

test("a split that holds says by what, how often, and what could not be done", () => {
  const held = decision({ reason: "held", blockedBy: "metrics_stale", detail: "grm.tokensPerS", repeats: 3 });
  expect(lines(answer(held))).toContain("1:00 ago     held by metrics_stale (grm.tokensPerS)  (4 times)");
  expect(lines(answer(decision({ problem: "the API server is not reached" })))).toContain(
    "1:00 ago     held: the API server is not reached",
  );
  const failed = [{ pool: "grm", from: 1, to: 2, outcome: "failed", detail: "not allowed (403)" }];
  expect(lines(answer(decision({ actions: failed }))).at(-2)).toContain("grm 1→2 failed (not allowed (403))");
  const dry = [{ pool: "grm", from: 1, to: 2, outcome: "would_scale", detail: "" }];
  expect(lines(answer(decision({ actions: dry, dryRun: true }))).at(-2)).toContain("would grm 1→2: balanced");
});

test("what is not known is a dash, and a cluster without a co-scaler says so", () => {
  const grm = {
    ...{ role: "grm", reporters: 2, slots: 16, running: 3, waiting: 0, utilisation: undefined },
    ...{ tokensPerS: undefined, itemsPerS: undefined, ageMs: 100 },
  };
  const shown = lines({ ...answer(), loads: [grm] });
  expect(shown.find((line) => line.startsWith("grm"))?.split(/\s+/)).toEqual([
    "grm",
    "2",
    "–",
    "3",
    "0",
    "–",
    "–",
    "votes/s",
  ]);
  expect(shown).toContain("no co-scaler has decided here; scaling.enabled=true starts one");
  expect(lines(answer())).toContain("no service reports its load");
});

test("no line is wider than the terminal", () => {
  const response = answer(decision({ problem: "x".repeat(300) }));
  for (const width of [1, 20, 80]) {
    for (const line of renderTop(response, 0, width, plain)) {
      expect(visibleLength(line)).toBeLessThanOrEqual(Math.max(1, width - 1));
    }
  }
});
