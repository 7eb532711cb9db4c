import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { maskSecrets } from "../../../cli/run/mask-secrets.js";
import { createRunFolder, openRunFolder, type RunFolder } from "../../../cli/run/run-folder.js";
import { postcard, stepRecord, summary } from "./run-records.js";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "covote-runs-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const startedAt = new Date("2026-11-21T03:00:00Z");
const create = (config: unknown = {}): RunFolder =>
  createRunFolder({ root, seed: 3, id: "k3x9", config, startedAt });
const stepsIn = (path: string): number[] =>
  readFileSync(join(path, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => (JSON.parse(line) as { step: number }).step);

test("a run folder is named by date, seed and id, and is never taken twice", () => {
  const run = create();
  expect(run.path).toBe(join(root, "2026-11-21-3-k3x9"));
  expect(() => create()).toThrow(/is there already; use another id/);
  run.close();
});

test("the resolved configuration is kept without its secrets", () => {
  const config = {
    nats: { url: "nats://joe:pw@host:4222", token: "abc" },
    maxTokens: 12,
    openai: { apiKey: "k" },
  };
  const run = create(config);
  expect(JSON.parse(readFileSync(run.file("config.json"), "utf8"))).toEqual({
    nats: { url: "nats://***@host:4222", token: "***" },
    maxTokens: 12,
    openai: { apiKey: "***" },
  });
  run.close();
});

test("masking leaves everything alone that is no secret", () => {
  const plain = { tokenizer: "words", monkey: "x", seed: 4, list: ["a", { keys: 2 }], none: null, key: "" };
  expect(maskSecrets(plain)).toEqual(plain);
  expect(maskSecrets({ NATS_PASSWORD: "x", "client-secret": "y" })).toEqual({
    NATS_PASSWORD: "***",
    "client-secret": "***",
  });
});

test("a step is a line, and no step is written twice", () => {
  const run = create();
  expect([1, 2, 2, 1, 3].map((step) => run.append(stepRecord(step)))).toEqual([
    true,
    true,
    false,
    false,
    true,
  ]);
  expect(stepsIn(run.path)).toEqual([1, 2, 3]);
  run.close();
});

test("resuming after a checkpoint cuts off the steps that were lost with the crash", () => {
  const run = create();
  for (const step of [1, 2, 3, 4, 5]) run.append(stepRecord(step));
  run.close();
  const again = openRunFolder(run.path, { afterStep: 3 });
  expect(again.records().map((r) => r.step)).toEqual([1, 2, 3]);
  again.append(stepRecord(4, { reward_mean: 9 }));
  again.close();
  expect(stepsIn(run.path)).toEqual([1, 2, 3, 4]);
  expect(openRunFolder(run.path).records().at(-1)?.reward_mean).toBe(9);
});

test("a crash in the middle of a line loses that line only, wherever it tears", () => {
  const run = create();
  run.append(stepRecord(1));
  run.append(stepRecord(2));
  run.close();
  const torn = JSON.stringify(stepRecord(3));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: torn.length }), (length) => {
      appendFileSync(run.file("metrics.jsonl"), torn.slice(0, length));
      const again = openRunFolder(run.path);
      expect(again.records().map((r) => r.step)).toEqual([1, 2]);
      again.close();
      expect(stepsIn(run.path)).toEqual([1, 2]);
    }),
    { numRuns: 25 },
  );
});

test("a spoiled line is named, not skipped", () => {
  const run = create();
  run.append(stepRecord(1));
  run.close();
  appendFileSync(run.file("metrics.jsonl"), "not json\n");
  expect(() => openRunFolder(run.path)).toThrow(/metrics\.jsonl: line 2 is no JSON/);
});

test("a folder without config.json is no run folder", () => {
  expect(() => openRunFolder(root)).toThrow(/holds no config\.json/);
});

test("the report needs a summary, is self-contained, and no half-written file stays behind", async () => {
  const run = create({ note: "<script>alert(1)</script>" });
  await expect(run.writeReport()).rejects.toMatchObject({ code: "failed_precondition" });
  for (let step = 1; step <= 20; step++) run.append(stepRecord(step));
  run.writeSamples({ before: [postcard({ response: "<b>bold</b>" })], after: [postcard()] });
  run.writeSummary(summary());
  await run.writeReport();
  run.close();
  const html = readFileSync(run.file("report.html"), "utf8");
  expect(html).not.toMatch(/<script|<link|<img|@import|url\((?!#)|src=|href=/);
  expect(html.replaceAll("http://www.w3.org/", "")).not.toMatch(/https?:\/\//);
  expect(html).toContain("&lt;b&gt;bold&lt;/b&gt;");
  expect(html).toContain("&lt;script&gt;");
  expect(html.match(/<svg role="img"/g)?.length).toBe(6);
  expect(html.match(/<title>/g)?.length).toBe(7);
  expect(readdirSync(run.path).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  expect(existsSync(run.file("checkpoints"))).toBe(true);
});

test("a run without an oracle and without a step still has a report", async () => {
  const run = create();
  run.writeSummary(summary({ utility: null, steps: 0 }));
  await run.writeReport();
  expect(readFileSync(run.file("report.html"), "utf8")).toContain("No step was recorded.");
  run.close();
});
