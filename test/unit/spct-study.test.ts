import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { drawFindings } from "../../cli/spct/study/chart.js";
import { metaAt, votesAt } from "../../cli/spct/study/conditions.js";
import { contendersOf } from "../../cli/spct/study/contenders.js";
import { creditsOf, itemsOf, readVotes } from "../../cli/spct/study/credits.js";
import { findingsDocument } from "../../cli/spct/study/document.js";
import { estimate, overSeeds } from "../../cli/spct/study/figures.js";
import { findingsOf } from "../../cli/spct/study/findings.js";
import { findingsJson } from "../../cli/spct/study/json.js";
import { policyResult, spendingNames } from "../../cli/spct/study/policies.js";
import { tinyStudy } from "../../cli/spct/study/size.js";
import { baseStage, judges, trainingStages, voteStages, votesOf } from "../../cli/spct/study/stages.js";
import { createRandom } from "../../lib/core/random.js";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "covote-study-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

interface MadeVotes {
  /** Chance that a vote is right. */
  skill: number;
  votes: number;
  meta: boolean;
  seed: number;
}

/** Votes on 20 pairs and 10 lists of four; the meta RM knows which are right. */
const votesFile = ({ skill, votes, meta, seed }: MadeVotes): string => {
  const random = createRandom(seed);
  const line = (item: number): string => {
    const size = item < 20 ? 2 : 4;
    const vote = (greedy: boolean) => {
      const right = greedy || random.next() < skill;
      const top = right ? 1 : 0;
      const scores = Array.from({ length: size }, (_, i) => (i === top ? 8 : 3));
      return { scores, ...(meta && !greedy ? { meta: right ? 1 : 0 } : {}) };
    };
    return JSON.stringify({
      item: `item-${String(item).padStart(2, "0")}`,
      best: 1,
      votes: Array.from({ length: votes }, (_, v) => ({ ...vote(false), layer: `${v}` })),
      greedy: [vote(true)],
      ...{ asked: "a-b", judge: "judge", meta_rm: meta ? "meta" : "" },
    });
  };
  return Array.from({ length: 30 }, (_, item) => `${line(item)}\n`).join("");
};
const keep = (file: string, text: string): void => {
  mkdirSync(join(dir, "seed-1"), { recursive: true });
  mkdirSync(join(dir, "seed-2"), { recursive: true });
  writeFileSync(join(dir, file), text);
};
const skills = { base: 0.6, rft: 0.7, rl: 0.9 };
const findings = (seeds: readonly number[]) => {
  for (const seed of seeds) {
    judges.forEach((judge, i) => {
      keep(
        votesOf(seed, judge),
        votesFile({ skill: skills[judge], votes: 32, meta: true, seed: 10 * seed + i }),
      );
    });
    spendingNames.forEach((spending, i) => {
      const utility = { before: 0.36, after: 0.8 + 0.01 * seed - 0.05 * i };
      keep(policyResult(seed, spending), JSON.stringify({ utility, votes: 7680 }));
    });
  }
  const contenders = contendersOf("base", tinyStudy).filter(({ id }) =>
    ["no-rft", "baseline-scalar"].includes(id),
  );
  for (const { votes } of contenders) keep(votes, votesFile({ skill: 0.6, votes: 8, meta: false, seed: 77 }));
  return findingsOf({
    ...{ dir, seeds, contenders, policySeeds: seeds, stages: [] },
    about: { date: "2026-01-01", machine: "a machine", command: "covote spct study" },
  });
};

test("an item's credit is the mean over draws: ties shared, failed votes at chance, orders undone", () => {
  const line = (item: string, best: number, votes: object[]) =>
    JSON.stringify({ item, best, votes, asked: "a-b", judge: "j" });
  const votes = readVotes(
    [
      line("b", 1, [{ scores: [9, 2] }, { scores: null }]),
      line("a", 0, [{ scores: [9, 2] }, { scores: [2, 9], order: [1, 0] }, { scores: [5, 5] }]),
    ].join("\n"),
    1,
  );
  expect(itemsOf(votes).map(({ name }) => name)).toEqual(["a", "b"]);
  const credits = creditsOf(votes, votesAt(1)) ?? [];
  expect(credits[0]).toBeCloseTo((1 + 1 + 0.5) / 3, 12);
  expect(credits[1]).toBeCloseTo((0 + 0.5) / 2, 12);
  // No meta RM, and no greedy judgment.
  expect(creditsOf(votes, metaAt(2))).toBeNull();
  expect(creditsOf(votes, votesAt(3))).toBeNull();
});

test("intervals are of the items: paired differences that are all alike have none", () => {
  const subsets = ["pairs", "pairs", "pairs", "lists"];
  const same = Float64Array.of(0.2, 0.2, 0.2, 0.2);
  const { gain, mixed, absent } = estimate(
    { gain: same, mixed: Float64Array.of(0, 1, 0.5, 1), absent: null },
    subsets,
    1,
  );
  for (const part of [gain?.overall, gain?.subsets.pairs, gain?.subsets.lists]) {
    for (const value of [part?.value, part?.low, part?.high]) expect(value).toBeCloseTo(0.2, 12);
  }
  expect(mixed?.overall.value).toBeCloseTo(0.625, 12);
  expect(mixed?.subsets.pairs?.value).toBeCloseTo(0.5, 12);
  expect(mixed?.subsets.pairs?.low).toBeLessThan(0.5);
  // The only list is drawn each time.
  expect(mixed?.subsets.lists).toEqual({ value: 1, low: 1, high: 1 });
  expect(absent).toBeNull();
});

test("over seeds the interval is Student's, and one seed has none", () => {
  const { value, low, high } = overSeeds([0.8, 0.82, 0.84]);
  expect(value).toBeCloseTo(0.82, 12);
  expect((high ?? 0) - value).toBeCloseTo((4.303 * 0.02) / Math.sqrt(3), 12);
  expect(value - (low ?? 0)).toBeCloseTo((high ?? 0) - value, 12);
  expect(overSeeds([0.8])).toEqual({ value: 0.8, low: null, high: null });
});

test("JSON: accuracies are plain numbers, means over seeds, with intervals beside them", () => {
  const json = findingsJson(findings([1, 2])) as {
    accuracy: Record<string, Record<string, number>>;
    intervals: Record<string, Record<string, [number, number]>>;
    by_seed: Record<string, Record<string, number[]>>;
    subsets: Record<string, { accuracy: Record<string, Record<string, number>> }>;
    gaps: Record<string, { value: number; low: number; high: number }>;
    ablations: Record<string, { difference: Record<string, { value: number } | null> }>;
    baselines: Record<string, unknown>;
    meta_keep: Record<string, Record<string, { gain: { value: number } | null }>>;
    policies: Record<string, { seeds: object[]; utility: { value: number }; gain: { value: number } | null }>;
  };
  for (const judge of judges) {
    const accuracy = json.accuracy[judge] ?? {};
    expect(Object.keys(accuracy)).toEqual(["greedy", "vote@1", "vote@8", "vote@32", "meta@8", "meta@32"]);
    for (const [name, value] of Object.entries(accuracy)) {
      const [low, high] = json.intervals[judge]?.[name] ?? [2, -2];
      expect(low).toBeLessThanOrEqual(value);
      expect(high).toBeGreaterThanOrEqual(value);
      const [one, two] = json.by_seed[judge]?.[name] ?? [];
      expect(((one ?? 0) + (two ?? 0)) / 2).toBeCloseTo(value, 3);
    }
  }
  expect(json.accuracy.base?.greedy).toBe(1);
  expect(json.accuracy.rl?.["vote@1"]).toBeCloseTo(0.9, 1);
  const gap = json.gaps["rl - rft, vote@1"];
  expect(gap?.value).toBeCloseTo(
    (json.accuracy.rl?.["vote@1"] ?? 0) - (json.accuracy.rft?.["vote@1"] ?? 0),
    3,
  );
  expect(gap?.low).toBeGreaterThan(0);
  expect(Object.keys(json.subsets)).toEqual(["pairs", "lists of 4"]);
  // A meta RM that knows the right votes gains where plain voting still errs.
  expect(json.meta_keep["8"]?.["4"]?.gain?.value).toBeGreaterThanOrEqual(0);
  expect(Object.keys(json.meta_keep["32"] ?? {})).toEqual(["1", "8", "16", "32"]);
  expect(json.ablations["no-rft"]?.difference["vote@1"]?.value).toBeLessThan(-0.15);
  expect(json.ablations["no-rft"]?.difference["vote@32"]).toBeNull();
  expect(Object.keys(json.baselines)).toEqual(["baseline-scalar"]);
  const spent = json.policies["8 votes, 8 groups a step"];
  expect(spent?.seeds).toHaveLength(2);
  expect(spent?.gain?.value).toBeCloseTo(-0.05, 9);
});

test("the document has a row for everything, and a dash for what was not measured", () => {
  const document = findingsDocument(findings([1]));
  expect(document).toContain("20 pairs and 10 lists of 4");
  expect(document).toMatch(/\| RL \| 100\.0 \(100\.0–100\.0\) \| \d\d\.\d \(/);
  expect(document).toMatch(/\| RFT over base, one vote \| [+−]\d+\.\d \([+−]/);
  expect(document).toMatch(/\| RL without RFT \| 100\.0/);
  expect(document).toMatch(/\| scalar \(Bradley-Terry\) \| 100\.0/);
  expect(document).toMatch(/\| 8 \| 4 \| \d/);
  expect(document).toContain("| 1 vote, 64 groups a step | 0.360 | 0.810 | 0.810 |  | 7680 |");
  expect(document).not.toMatch(/NaN|undefined|null/);
});

test("the plot draws the figures that the document tells", () => {
  const found = findings([1]);
  const svg = drawFindings(found);
  expect(svg).toContain("<title>Accuracy against votes</title>");
  for (const name of ["base", "RFT with meta RM", "RL", "32", "votes"]) expect(svg).toContain(`>${name}<`);
  expect(svg).not.toContain("NaN");
  expect(found.curves.rl["vote@8"]).toEqual(found.accuracy.rl["vote@8"]);
});

test("each stage's inputs are made before it", () => {
  const made = new Set(["pairs.jsonl", "lists.jsonl"]);
  const all = [
    baseStage("/models/shipped", tinyStudy),
    ...trainingStages(1, "base", tinyStudy),
    ...voteStages(1, "base", tinyStudy),
    ...contendersOf("base", tinyStudy).flatMap(({ stages }) => stages),
  ];
  for (const { inputs, result } of all) {
    for (const input of inputs) if (!input.startsWith("/")) expect(made).toContain(input);
    expect(made).not.toContain(result);
    made.add(result);
  }
});
