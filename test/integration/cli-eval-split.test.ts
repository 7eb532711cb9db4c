import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { covote } from "../support/terminal.js";

const folder = mkdtempSync(join(tmpdir(), "covote-eval-split-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

/** Four groups of responses to two queries. */
const items = [
  { query: "query to aunt from sea be thanks .", responses: ["dear aunt grateful shells", "hey"], best: 0 },
  { query: "query to aunt from sea be thanks .", responses: ["boat", "darling aunt waves obliged"], best: 1 },
  { query: "query to boss from city be question .", responses: ["respected boss tram ?", "hi"], best: 0 },
  { query: "query to boss from city be question .", responses: ["snow", "honoured museum ?"], best: 1 },
];

const evaluate = async (...flags: string[]) => {
  const { code, out, err } = await covote([
    ...["eval", at("items.jsonl"), "--grm", "postcards", "--votes", "1,6", "--meta-keep", "none", "--json"],
    ...["--set", "metrics.port=0", ...flags],
  ]);
  if (code !== 0) throw new Error(err);
  return JSON.parse(out) as {
    split: number;
    tokens: Record<string, number>;
    against?: { tokens: Record<string, number> };
  };
};

test("split and joint votes on the same items are compared, in tokens too", async () => {
  writeFileSync(at("items.jsonl"), items.map((item) => `${JSON.stringify(item)}\n`).join(""));
  const joint = await evaluate("--record", at("joint.jsonl"));
  expect(joint.tokens).toMatchObject({ votes: 24, reused: 0, drawn: 0, fallback: 0 });
  const split = await evaluate("--split", "2", "--record", at("split.jsonl"), "--against", at("joint.jsonl"));
  expect(split.split).toBe(2);
  // Two sets for each of two queries; every vote that did not have its set drawn found it.
  expect(split.tokens).toMatchObject({ votes: 24, reused: 20, drawn: 4, fallback: 0 });
  expect(split.tokens.completion).toBeLessThan(joint.tokens.completion as number);
  expect(split.tokens.prompt).toBeGreaterThan(joint.tokens.prompt as number);
  expect(split.against?.tokens).toEqual(joint.tokens);
});

test("votes in split mode do not go into a file of joint ones; more sets than 16 are refused", async () => {
  await expect(evaluate("--split", "1", "--record", at("joint.jsonl"))).rejects.toThrow(
    /was asked with other votes, temperature, seed, panels or references/,
  );
  await expect(evaluate("--split", "17")).rejects.toThrow(/--split/);
});
