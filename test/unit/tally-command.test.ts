import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { tallyCommand } from "../../cli/tally.js";
import { CovoteError } from "../../lib/core/errors.js";
import { packagePath } from "../../lib/core/package-root.js";

const folder = mkdtempSync(join(tmpdir(), "covote-tally-"));
afterAll(() => rmSync(folder, { recursive: true }));
const ratings = packagePath("test/data/llmbar/ratings.jsonl");

function votesFile(content: string | Uint8Array): string {
  const file = join(folder, "votes.jsonl");
  writeFileSync(file, content);
  return file;
}

async function run(...args: string[]): Promise<{ out: string; notes: string }> {
  const printed = { out: "", notes: "" };
  const output = {
    out: (text: Uint8Array) => {
      printed.out += new TextDecoder().decode(text);
    },
    note: (text: string) => {
      printed.notes += text;
    },
  };
  await tallyCommand(output).parseAsync(args, { from: "user" });
  return printed;
}

async function refused(...args: string[]): Promise<CovoteError> {
  const thrown: unknown = await run(...args).catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(CovoteError);
  const error = thrown as CovoteError;
  expect(error.message).not.toContain("\n");
  return error;
}

test("covote tally --json: one object with items and totals, on one line", async () => {
  const { out, notes } = await run("--votes", ratings, "--k", "7", "--json");
  expect(out.trimEnd()).not.toContain("\n");
  const result = JSON.parse(out) as { items: object[] };
  expect(result).toMatchObject({
    k: 7,
    meta_keep: null,
    seed: 0,
    item_count: 20,
    accuracy: 0.825,
    strict_accuracy: 0.8,
    tie_rate: 0.05,
  });
  expect(result.items).toHaveLength(20);
  expect(result.items[0]).toEqual({
    item: "adversarial-gptinst-000",
    best: 1,
    rewards: [16 / 7, 47 / 7],
    sums: [16, 47],
    pick: 1,
    tied: false,
    top: [1],
    votes_drawn: 7,
    votes_usable: 7,
    votes_used: 7,
  });
  expect(notes).toBe("");
});

test("covote tally: a table for people, with the three figures", async () => {
  const { out } = await run("--votes", ratings, "--k", "7");
  expect(out).toMatch(/^adversarial-gptout-018\s+\d\s+tied\s+7\s+9 9$/m);
  expect(out).toContain("accuracy         82.50 %");
  expect(out).toContain("strict accuracy  80.00 %");
  expect(out).toContain("tie rate         5.00 %");
});

test("covote tally: the order of the lines changes no item", async () => {
  const lines = ['{"item":"a","votes":[{"scores":[1]},{"scores":[2]},{"scores":[4]}]}'];
  lines.push(lines[0]?.replace('"a"', '"b"') as string);
  const one = JSON.parse((await run("--votes", votesFile(lines.join("\n")), "--k", "2", "--json")).out);
  const other = JSON.parse(
    (await run("--votes", votesFile(lines.reverse().join("\r\n")), "--k", "2", "--json")).out,
  );
  expect(other.items).toEqual([...one.items].reverse());
});

test("covote tally: items with fewer votes use all they have, and it is said", async () => {
  const file = votesFile(
    '{"item":"a","votes":[{"scores":[1,2]}]}\n\n{"item":"b","votes":[{"scores":[1,2]},{"scores":null}]}\n',
  );
  const { out, notes } = await run("--votes", file, "--k", "2", "--json");
  expect(JSON.parse(out)).toMatchObject({
    short_items: 1,
    accuracy: null,
    items: [{ votes_drawn: 1 }, { votes_used: 1 }],
  });
  expect(notes).toBe("note: 1 of 2 items have fewer than 2 votes; all of theirs count\n");
  expect((await refused("--votes", file, "--k", "3")).message).toMatch(
    /^--k: no item of .* has 3 votes; the most is 2$/,
  );
});

test("covote tally: keeping all k votes is plain voting; a filter without meta scores is noted", async () => {
  const plain = JSON.parse((await run("--votes", ratings, "--k", "5", "--json")).out);
  const all = await run("--votes", ratings, "--k", "5", "--meta-keep", "5", "--json");
  expect(JSON.parse(all.out)).toEqual({ ...plain, meta_keep: 5 });
  expect(all.notes).toBe("");
  expect((await run("--votes", ratings, "--k", "5", "--meta-keep", "2")).notes).toContain(
    "no vote has a meta score",
  );
});

describe("covote tally: a malformed line is named with its field, and nothing is printed", () => {
  const good = '{"item":"ok","votes":[{"scores":[1,2]}]}';
  const cases: [line: string, message: string][] = [
    ["{", "line: is not JSON"],
    ["[]", "line: must be a JSON object"],
    ['{"votes":[{"scores":[1]}]}', "item: must be a text, got nothing"],
    ['{"item":"ok","votes":[{"scores":[1]}]}', 'item: "ok" was on line 1 already'],
    ['{"item":"x"}', "votes: must be a list, got nothing"],
    ['{"item":"x","votes":[]}', "votes: is empty"],
    ['{"item":"x","votes":[3]}', "votes[0]: must be an object, got 3"],
    ['{"item":"x","votes":[{"scores":[1,2]},{}]}', "votes[1].scores: is missing"],
    [
      '{"item":"x","votes":[{"scores":[1,"2"]}]}',
      'votes[0].scores[1]: must be a finite number or null, got "2"',
    ],
    ['{"item":"x","votes":[{"scores":[1e999]}]}', "votes[0].scores[0]: must be a finite number"],
    ['{"item":"x","votes":[{"scores":[]}]}', "votes[0].scores: is empty"],
    ['{"item":"x","votes":[{"scores":[1,2],"order":[0]}]}', "votes[0].order: has 1 entries for 2 scores"],
    ['{"item":"x","votes":[{"scores":[1,2],"order":[0,0]}]}', "votes[0].order: names response 0 twice"],
    [
      '{"item":"x","votes":[{"scores":[1],"order":[-1]}]}',
      "votes[0].order[0]: must be the index of a response",
    ],
    ['{"item":"x","votes":[{"scores":[1,2]},{"scores":[1]}]}', "votes[1].scores: 1 scores for 2 responses"],
    ['{"item":"x","votes":[{"scores":[1],"meta":"high"}]}', "votes[0].meta: must be a finite number"],
    ['{"item":"x","votes":[{"scores":[1],"judge":7}]}', "votes[0].judge: must be a text, got 7"],
    ['{"item":"x","best":2,"votes":[{"scores":[1,2]}]}', "best: is 2, but the votes speak of 2 responses"],
    ['{"item":"x","best":"a","votes":[{"scores":[1,2]}]}', "best: must be the index of a response"],
  ];
  test.each(cases)("%s", async (line, message) => {
    const file = votesFile(`${good}\n${line}\n`);
    const error = await refused("--votes", file, "--k", "1", "--json");
    expect(error.code).toBe("invalid_argument");
    expect(error.message.startsWith(`${file}:2: ${message}`)).toBe(true);
  });
});

test("covote tally: bytes that are not UTF-8 are named with their line", async () => {
  const file = votesFile(Uint8Array.of(...Buffer.from('{"item":"'), 0xff, 0x22));
  expect((await refused("--votes", file, "--k", "1")).message).toBe(
    `${file}:1: line: is not UTF-8; convert it first`,
  );
});

describe("covote tally: impossible options are named", () => {
  const cases: [args: string[], message: string][] = [
    [["--k", "1"], "--votes: is missing"],
    [["--votes", ratings], "--k: is missing"],
    [["--votes", ratings, "--k", "0"], "--k: must be a whole number of at least 1"],
    [["--votes", ratings, "--k", "2.5"], "--k: must be a whole number"],
    [["--votes", ratings, "--k", "2", "--meta-keep", "3"], "--meta-keep: must not exceed --k (2), got 3"],
    [
      ["--votes", ratings, "--k", "2", "--meta-keep", "0"],
      "--meta-keep: must be a whole number of at least 1",
    ],
    [["--votes", ratings, "--k", "2", "--seed", "x"], "--seed: must be a whole number"],
    [["--votes", join(folder, "none"), "--k", "2"], `${join(folder, "none")}: no such file`],
    [["--votes", folder, "--k", "2"], `${folder}: is a folder`],
  ];
  test.each(cases)("%j", async (args, message) => {
    expect((await refused(...args)).message.startsWith(message)).toBe(true);
  });
});

test("covote tally: an empty file has no items", async () => {
  const file = votesFile("\n");
  expect((await refused("--votes", file, "--k", "1")).message).toBe(`${file}: has no items`);
});
