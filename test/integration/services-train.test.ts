import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openCheckpoint } from "../../lib/llama/checkpoint.js";
import { balanced, balanceOf, runsFolder, startTrain, summaryOf } from "../support/train-run.js";

test("covote train learns from the shipped models, and leaves a folder that says what it did", async () => {
  using runs = runsFolder();
  await using run = startTrain({ out: runs.path, settings: { "training.steps": 3 } });
  const summary = summaryOf(await run.exit);
  expect(balanceOf(summary)).toEqual(balanced(12));
  expect(summary.groups.trained).toBeGreaterThan(0);
  expect(summary.steps).toBe(3);
  expect(run.steps()).toEqual([1, 2, 3]);
  const { folder } = summary;
  for (const file of ["config.json", "metrics.jsonl", "summary.json", "samples.json", "report.html"]) {
    expect(existsSync(join(folder, file)), file).toBe(true);
  }
  const records = readFileSync(join(folder, "metrics.jsonl"), "utf8").trim().split("\n");
  for (const line of records) {
    const record = JSON.parse(line) as Record<string, number | null>;
    expect(record.votes).toBeGreaterThan(0);
    expect(record.reward_mean).toBeGreaterThan(1);
    expect(record.reward_mean).toBeLessThan(10);
    for (const [name, value] of Object.entries(record)) expect(value, name).not.toBeNaN();
  }
  const checkpoint = await openCheckpoint(join(folder, "checkpoints", "step-3"));
  const start = await openCheckpoint("models/postcards-policy");
  expect(checkpoint.config).toEqual(start.config);
  expect(checkpoint.weights).not.toEqual(start.weights);
  // What only a running run needs is gone.
  expect(readdirSync(folder)).not.toContain("nats");
}, 60_000);
