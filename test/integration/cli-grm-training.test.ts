/** `covote train` with the reward model as the one that learns, as its user sees it. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { StepRecord, Summary } from "../../cli/run/records.js";
import { balanced, balanceOf, runsFolder, startTrain, summaryOf } from "../support/train-run.js";

const grm = { "training.role": "grm", "grpc.address": "127.0.0.1:0" };

test("records tell how the judgments were, and so does the report", async () => {
  using runs = runsFolder();
  await using run = startTrain({ out: runs.path, settings: { ...grm, "training.steps": 3 } });
  const summary = summaryOf(await run.exit);
  expect(balanceOf(summary)).toEqual(balanced(12));
  const records = readFileSync(join(summary.folder, "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as StepRecord);
  expect(records).toHaveLength(3);
  for (const { accuracy, tied, unparsable, score_counts } of records) {
    for (const share of [accuracy, tied, unparsable]) {
      expect(share).toBeGreaterThanOrEqual(0);
      expect(share).toBeLessThanOrEqual(1);
    }
    expect(score_counts?.length).toBeLessThanOrEqual(11);
    expect(score_counts?.reduce((sum, n) => sum + n)).toBeGreaterThan(16);
  }
  const report = readFileSync(join(summary.folder, "report.html"), "utf8");
  expect(report).toContain("Accuracy of the judgments");
  expect(report).toContain("Scores given");
}, 60_000);

test("rejective fine-tuning: the summary tells what was kept, and the last checkpoint is there", async () => {
  using runs = runsFolder();
  const rft = { ...grm, "training.method": "rft", "training.hinted": "true", "training.steps": 3 };
  await using run = startTrain({ out: runs.path, settings: rft });
  const summary = summaryOf(await run.exit);
  expect(balanceOf(summary)).toEqual(balanced(12));
  const { rejection = {} } = JSON.parse(
    readFileSync(join(summary.folder, "summary.json"), "utf8"),
  ) as Summary;
  // Three steps of two panels, four judgments each, and one with a hint.
  expect(rejection).toMatchObject({ items: 6, sampled: 24, hinted_sampled: 6 });
  const reasons = ["kept", "wrong", "tied", "unparsable", "too_easy"];
  const sum = (prefix: string): number =>
    reasons.reduce((n, name) => n + (rejection[`${prefix}${name}`] ?? 0), 0);
  expect([sum(""), sum("hinted_")]).toEqual([24, 6]);
  expect(existsSync(join(summary.folder, "checkpoints", "step-3", "model.safetensors"))).toBe(true);
}, 60_000);

test("data of which nothing is usable after rejection: one line with the counts, exit code 2, early", async () => {
  using runs = runsFolder();
  const data = join(runs.path, "prefs.jsonl");
  const item = { query: "query to friend from river be thanks .", responses: ["hey"], scores: [10] };
  writeFileSync(data, `${JSON.stringify(item)}\n`);
  const settings = { ...grm, "training.method": "rft", "training.prompts": data, "training.steps": 500 };
  await using run = startTrain({ out: join(runs.path, "runs"), settings });
  const { code, stderr } = await run.exit;
  expect(stderr).toMatch(
    /^covote: training\.prompts: nothing is left to learn from after rejection \(4 groups: 4 rejected, 0 without a judgment; of the last 16 judgments .*\); the model was not trained\n$/,
  );
  expect(code).toBe(2);
  expect(run.steps()).toEqual([]);
}, 60_000);

test("a corpus beside the judgments: its share is counted, and the report tells", async () => {
  using runs = runsFolder();
  const mixed = { "training.corpus": "postcards-hinted", "training.corpusShare": "0.5" };
  const rft = { ...grm, "training.method": "rft", "training.rejection": "false", "training.steps": 2 };
  await using run = startTrain({ out: runs.path, settings: { ...rft, ...mixed } });
  const summary = summaryOf(await run.exit);
  const { rejection = {} } = JSON.parse(
    readFileSync(join(summary.folder, "summary.json"), "utf8"),
  ) as Summary;
  expect(rejection.corpus).toBe(rejection.kept);
  const report = readFileSync(join(summary.folder, "report.html"), "utf8");
  if ((rejection.corpus ?? 0) > 0) expect(report).toContain(`Beside them ${rejection.corpus} example`);
}, 60_000);

test("an odd number of groups cannot hold panels in pairs: exit code 2", async () => {
  using runs = runsFolder();
  const settings = {
    ...grm,
    "training.method": "rft",
    "training.hinted": "true",
    "training.groupsPerStep": 5,
  };
  await using run = startTrain({ out: runs.path, settings });
  const { code, stderr } = await run.exit;
  expect(stderr).toContain("covote: training.groupsPerStep: must be even with training.hinted, got 5");
  expect(code).toBe(2);
});

test.each([[false], [true]])(
  "a reward model that turns to garbage (every service a process: %s): one line, exit code 1, good weights kept",
  async (processes) => {
    using runs = runsFolder();
    // One step of this size forgets everything.
    const settings = {
      ...grm,
      ...{ "training.steps": 20, "training.groupsPerStep": 8, "training.maxStaleness": 0 },
      ...{ "training.learningRate": 0.3, "training.warmupSteps": 0 },
    };
    await using run = startTrain({ out: runs.path, processes, settings });
    const folder = await run.folder();
    const { code, stderr } = await run.exit;
    const checkpoint = join(folder, "checkpoints", "step-0");
    expect(stderr).toMatch(/^covote: collapsed at step \d: \d+ % unparsable; the last good checkpoint is /);
    expect(stderr.trimEnd().endsWith(checkpoint)).toBe(true);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(code).toBe(1);
    expect(existsSync(join(checkpoint, "model.safetensors"))).toBe(true);
    expect(existsSync(join(folder, "summary.json"))).toBe(false);
  },
  60_000,
);

test.each([
  [
    "that the grammar cannot show",
    { reference: "hey friend" },
    "reference: the postcards grammar has no place for a reference answer; leave it out",
  ],
  [
    "too long for the model",
    { responses: ["hey", "dear ".repeat(80).trim()] },
    "responses: the panel's \\d+ tokens and 49 for a judgment exceed the model's 128 positions; shorten the item, leave it out, or lower judging.panelLimit",
  ],
])("preferences %s: the line, exit code 2, and nothing trained", async (_, bad, message) => {
  using runs = runsFolder();
  const data = join(runs.path, "prefs.jsonl");
  const item = { query: "query to friend from river be thanks .", responses: ["hey", "dear"], best: 0 };
  writeFileSync(data, [item, { ...item, ...bad }].map((line) => `${JSON.stringify(line)}\n`).join(""));
  await using run = startTrain({
    out: join(runs.path, "runs"),
    settings: { ...grm, "training.prompts": data },
  });
  const { code, stderr } = await run.exit;
  expect(stderr).toMatch(new RegExp(`^covote: training\\.prompts: ${data}: line 2: ${message}\n$`));
  expect(code).toBe(2);
  expect(run.steps()).toEqual([]);
});
