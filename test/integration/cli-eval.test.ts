import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serviceJudge } from "../../cli/eval/ask-items.js";
import { planOf } from "../../cli/eval/flags.js";
import { evaluationForMachines, renderEvaluation } from "../../cli/eval/render.js";
import { type Evaluation, type RunOptions, runEvaluation } from "../../cli/eval/run.js";
import { textStyle } from "../../cli/run/text.js";
import { createRewardClient } from "../../cli/score/ask.js";
import { type JudgingCluster, openJudgingCluster } from "../../cli/score/judging-cluster.js";
import { tallyCommand } from "../../cli/tally.js";
import { systemClock } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { GenerateRequest } from "../../lib/engine/engine.js";
import { createSimulatedEngine } from "../../lib/engine/simulated.js";
import { postcardsJudgment } from "../../lib/engine/simulated-judge.js";
import { createSimulatedScalarEngine } from "../../lib/engine/simulated-scalar.js";
import { parseAskedItem } from "../../lib/evaluation/asked-votes.js";
import { drawOrder } from "../../lib/evaluation/draws.js";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import { type ModelFolders, writePostcardsModels } from "../support/postcards-models.js";
import { covote } from "../support/terminal.js";

const folder = mkdtempSync(join(tmpdir(), "covote-eval-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const write = (name: string, records: readonly object[]): string => {
  writeFileSync(at(name), records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  return at(name);
};

const flags = {
  votes: "1,2,8",
  metaKeep: "half",
  seed: "1",
  format: "auto",
  deadline: "20000",
  concurrency: "4",
};

function panelOf({ messages }: GenerateRequest): string[] {
  const prompt = messages[0]?.content ?? "";
  return [...prompt.matchAll(/response \d+ (.*?) ?\.(?= response|$)/g)].map((match) => match[1] ?? "");
}

describe("an evaluation, on judging services with a noisy simulated reward model", () => {
  const clock = systemClock();
  const quality = (text: string): number => (text.startsWith("good") ? 0.65 : 0.5);
  const judge = postcardsJudgment({ panelOf, quality, noise: 1.5 });
  let cluster: JudgingCluster;
  beforeAll(async () => {
    cluster = await openJudgingCluster({
      config: compileCovoteConfig({ overrides: { "log.level": "warn" } }),
      env: process.env,
      clock,
      engines: {
        grm: async () =>
          createSimulatedEngine({
            maxPositions: 200,
            respond: (request) => (panelOf(request).includes("mumble") ? "scores are hard" : judge(request)),
          }),
        metaRm: async () => createSimulatedScalarEngine({ logit: () => 1 }),
      },
    });
  });
  afterAll(() => cluster.stop());

  const pairs = Array.from({ length: 24 }, (_, i) => ({
    query: `query ${i}`,
    responses: i % 2 === 0 ? [`good ${i}`, `bad ${i}`] : [`bad ${i}`, `good ${i}`],
    best: i % 2,
    subset: i < 12 ? "first" : "second",
    models: i % 2 === 0 ? ["tutor", "parrot"] : ["parrot", "tutor"],
  }));

  const run = (
    file: string,
    record: string,
    more: Partial<RunOptions> & { flags?: object } = {},
  ): Promise<Evaluation> => {
    const { flags: changed, ...options } = more;
    return runEvaluation({
      files: [file],
      plan: planOf({ ...flags, ...changed }),
      temperature: 1,
      record: at(record),
      against: null,
      judge: "simulated",
      signal: new AbortController().signal,
      clock,
      open: async () => {
        const client = createRewardClient(cluster.rewards, clock);
        return {
          judge: serviceJudge(client, 120_000),
          failed: cluster.failed,
          close: async () => client.close(),
        };
      },
      progress: () => ({ answered: () => undefined, close: () => undefined }),
      note: () => undefined,
      ...options,
    });
  };
  const unreachable: RunOptions["open"] = async () => {
    throw new CovoteError("internal", "nothing was to be asked");
  };

  test("more votes pick better; the votes are kept, and covote tally gives the same accuracy from them", async () => {
    const evaluation = await run(write("pairs.jsonl", pairs), "votes.jsonl", {
      flags: { greedy: true, weakness: "parrot,tutor" },
    });
    const [benchmark] = evaluation.benchmarks;
    expect(benchmark).toMatchObject({
      benchmark: "jsonl",
      items: 24,
      judged: 24,
      shortItems: 0,
      notJudged: [],
    });
    const accuracy = Object.fromEntries(
      (benchmark?.results ?? []).map(({ condition, overall }) => [condition.name, overall.value]),
    );
    expect(Object.keys(accuracy)).toEqual(["vote@1", "vote@2", "vote@8", "meta@2", "meta@8", "greedy"]);
    expect(accuracy["vote@8"]).toBeGreaterThan(accuracy["vote@1"] as number);
    const pieces: Uint8Array[] = [];
    const tally = tallyCommand({ out: (text) => pieces.push(text), note: () => undefined });
    await tally.parseAsync(["--votes", at("votes.jsonl"), "--k", "8", "--seed", "1", "--json"], {
      from: "user",
    });
    expect(JSON.parse(Buffer.concat(pieces).toString())).toMatchObject({
      item_count: 24,
      accuracy: accuracy["vote@8"],
    });
    expect(evaluation.weakness).toMatchObject({
      loser: "parrot",
      items: 24,
      principles: [{ principle: "topic" }],
    });

    const again = await run(at("pairs.jsonl"), "votes.jsonl", { flags: { greedy: true }, open: unreachable });
    expect(again.benchmarks).toEqual(evaluation.benchmarks);
    expect(again.askedNow).toBe(0);

    const lines = renderEvaluation(evaluation, 100, textStyle(false)).join("\n");
    expect(lines).toMatch(/^plain JSONL {2}24 items$/m);
    expect(lines).toMatch(/^ {2}vote@8 +\d+\.\d +\d+\.\d to +\d+\.\d/m);
    expect(lines).toMatch(/^ {4}second +12 /m);
    expect(lines).toContain("Where parrot loses to tutor");
    const machines = JSON.parse(JSON.stringify(evaluationForMachines(evaluation)));
    expect(machines.benchmarks[0].results[2]).toMatchObject({
      name: "vote@8",
      k: 8,
      meta_keep: null,
      draws: 1,
    });
  });

  test("an evaluation that was interrupted goes on, and ends as if it had not been", async () => {
    const file = write("again.jsonl", pairs);
    const whole = await run(file, "whole.jsonl");
    const stop = new AbortController();
    const notes: string[] = [];
    let answered = 0;
    const interrupted = run(file, "halves.jsonl", {
      flags: { concurrency: "2" },
      signal: stop.signal,
      progress: () => ({
        answered: () => {
          if (++answered === 7) stop.abort();
        },
        close: () => undefined,
      }),
      note: (text) => notes.push(text),
    });
    await expect(interrupted).rejects.toMatchObject({ code: "cancelled", message: "interrupted" });
    expect(notes).toEqual([
      `${answered} of 24 items are kept in ${at("halves.jsonl")}; the same command goes on from there`,
    ]);
    // As a killed process leaves it.
    writeFileSync(at("halves.jsonl"), '{"item": "half a li', { flag: "a" });
    const resumed = await run(file, "halves.jsonl");
    expect(resumed.askedNow).toBe(24 - answered);
    expect(resumed.benchmarks).toEqual(whole.benchmarks);
    expect(readFileSync(at("halves.jsonl"), "utf8").trim().split("\n")).toHaveLength(24);
  });

  test("what the judge refuses is named and counted, and asked no more; what it cannot read is decided by chance", async () => {
    const endless = Array(300).fill("word").join(" ");
    const file = write("odd.jsonl", [
      { query: "too long", responses: ["good", endless], best: 0 },
      { query: "unreadable", responses: ["mumble", "bad"], best: 0 },
      { query: "two turns", responses: ["good", "bad"], best: 0 },
    ]);
    const evaluation = await run(file, "odd-votes.jsonl");
    const [benchmark] = evaluation.benchmarks;
    expect(benchmark).toMatchObject({ items: 3, judged: 2, failedVotes: 0.5 });
    expect(benchmark?.notJudged).toMatchObject([
      { line: 1, reason: expect.stringMatching(/^response 2 was refused: panel of 1 needs \d+ tokens/) },
    ]);
    expect(benchmark?.results[0]?.tieRate).toBeGreaterThanOrEqual(0.5);
    expect((await run(file, "odd-votes.jsonl", { open: unreachable })).benchmarks).toEqual(
      evaluation.benchmarks,
    );
  });

  test("lists longer than a panel, and responses rated alone: every draw of one vote covers all responses", async () => {
    const texts = ["good", "a", "b", "c", "d", "e"];
    const ties = {
      prompt: "colours",
      num_correct: 2,
      chosen: ["good x", "good y"],
      rejected: texts.slice(1),
      subset: "Ties",
    };
    const files = [
      write("lists.jsonl", [{ query: "list", responses: texts, best: 0 }]),
      write("ties.jsonl", [
        { ...ties, id: "tied:1" },
        { ...ties, id: "ref:1", chosen: ["good x"], num_correct: 1 },
      ]),
    ];
    const { benchmarks } = await run(files[0] as string, "panels.jsonl", { files });
    const asked = readFileSync(at("panels.jsonl"), "utf8").trim().split("\n").map(parseAskedItem);
    for (const one of asked) {
      const layers = drawOrder(one, 1).map((layer) => layer.flatMap(({ order }) => order).sort());
      expect(layers).toHaveLength(8);
      const responses = Math.max(...layers.flat()) + 1;
      for (const layer of layers) expect(layer).toEqual(Array.from({ length: responses }, (_, i) => i));
      const panels = one.votes.map(({ order }) => order.length);
      expect(Math.max(...panels)).toBe(one.item.startsWith("jsonl") ? 3 : 1);
    }
    expect(benchmarks.map(({ title, measures }) => [title, ...Object.values(measures)])).toEqual([
      ["plain JSONL", "accuracy"],
      ["RewardBench 2", "ties_score"],
    ]);
    expect(benchmarks[1]?.results[2]?.overall.value).toBeGreaterThan(0.3);
  });

  test("reference answers are kept from the judge when asked to", async () => {
    const file = write("reference.jsonl", [
      { query: "q", responses: ["good", "bad"], best: 0, reference: "good" },
    ]);
    const { benchmarks } = await run(file, "reference-votes.jsonl", { flags: { reference: false } });
    expect(benchmarks[0]).toMatchObject({ items: 1, judged: 1 });
    // What the judge was shown is part of what was asked.
    await expect(run(file, "reference-votes.jsonl")).rejects.toThrow(
      /was asked with other votes, temperature, seed, panels or references; give another file$/,
    );
  });

  test("another judge's votes on the same items are compared item by item", async () => {
    const file = write("against.jsonl", pairs.slice(0, 8));
    await run(file, "against-votes.jsonl");
    const { against } = await run(file, "mine.jsonl", { against: at("against-votes.jsonl") });
    expect(against?.benchmarks).toMatchObject([{ benchmark: "jsonl", items: 8 }]);
    // The same judge and the same seed.
    for (const { value } of against?.benchmarks[0]?.differences ?? []) expect(value).toBe(0);
    const greedy = await run(file, "greedy.jsonl", {
      against: at("mine.jsonl"),
      flags: { greedy: true, votes: "1,8" },
    });
    expect(greedy.against?.benchmarks[0]?.differences.map(({ name }) => name)).toEqual([
      "vote@1",
      "vote@8",
      "meta@8",
    ]);
    await expect(run(file, "mine.jsonl", { against: at("nowhere.jsonl") })).rejects.toThrow(
      /^--against: .*no such file, or empty$/,
    );
    const other = write("elsewhere.jsonl", pairs.slice(8, 9));
    await expect(run(other, "x.jsonl", { against: at("mine.jsonl") })).rejects.toThrow(
      /has no votes on these items$/,
    );
  });

  test("votes that were asked otherwise, or by another judge, are never mixed", async () => {
    const file = write("other.jsonl", pairs.slice(0, 2));
    await run(file, "other-votes.jsonl");
    await expect(run(file, "other-votes.jsonl", { flags: { seed: "2" } })).rejects.toThrow(
      /^--record: .*other-votes\.jsonl:1: .* was asked with other votes, .*; give another file$/,
    );
    const [first = ""] = readFileSync(at("other-votes.jsonl"), "utf8").split("\n");
    writeFileSync(
      at("other-votes.jsonl"),
      `${first.replace(/"judge":"[^"]*"/, '"judge":"somebody else"')}\n`,
    );
    await expect(run(file, "other-votes.jsonl")).rejects.toThrow(
      /its votes are by somebody else, and now .* judges/,
    );
  });
});

describe("covote eval", () => {
  let models: ModelFolders;
  beforeAll(async () => {
    models = await writePostcardsModels(at("models"));
  });

  test("judges with the checkpoints that are named, on services of its own; the plot is an SVG", async () => {
    const file = write("cli.jsonl", [
      { query: "query to aunt", responses: ["dear aunt", "hey"], best: 0 },
      { query: "query to boss", responses: ["snow", "sea"], best: 1 },
    ]);
    const { code, out, err } = await covote([
      ...["eval", file, "--votes", "1,2", "--grm", models.grm, "--meta-rm", models.metaRm, "--json"],
      ...["--record", at("cli-votes.jsonl"), "--plot", at("plot.svg"), "--set", "metrics.port=0"],
    ]);
    expect(code).toBe(0);
    expect(err).toContain("starting the judging services here");
    const { benchmarks, asked_now } = JSON.parse(out);
    expect(asked_now).toBe(2);
    // The models are random: nothing can be read, and chance decides.
    expect(benchmarks[0].results[0]).toMatchObject({ name: "vote@1", overall: { value: 0.5 }, tie_rate: 1 });
    const svg = readFileSync(at("plot.svg"), "utf8");
    expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
    expect(svg).toContain(">plain JSONL</text>");
  });

  const broken = (): string =>
    write("broken.jsonl", [{ query: "q", responses: ["a", "b"], best: 0 }, { query: "q" }, { query: "q" }]);
  test.each([
    ["a missing file", () => [at("none.jsonl")], /none\.jsonl: no such file$/],
    ["a folder", () => [folder], /: is a folder$/],
    ["bad records", () => [broken()], /broken\.jsonl:2: responses: .*\(2 of 3 records are unusable\)$/],
    [
      "Parquet",
      () => [at("x.parquet")],
      /x\.parquet: is Parquet, which is not read; convert it to JSON Lines first$/,
    ],
    [
      "no votes",
      () => [broken(), "--votes", "0"],
      /^--votes: must be a whole number from 1 to 128, got "0"$/,
    ],
    [
      "an unknown rule",
      () => [broken(), "--meta-keep", "most"],
      /^--meta-keep: must be half, quarter, all, none or a number/,
    ],
    ["an unknown format", () => [broken(), "--format", "csv"], /^--format: must be one of auto, jsonl, /],
    ["one model", () => [broken(), "--weakness", "A"], /^--weakness: must be two models, A,B, got "A"$/],
    [
      "checkpoints for a running cluster",
      () => [broken(), "--grm", "x", "--address", "h:1"],
      /^--grm: cannot go with --address/,
    ],
    [
      "a place for the plot that is none",
      () => [broken(), "--plot", at("no/where.svg")],
      /^--plot: .*where\.svg cannot be written/,
    ],
  ])("%s is refused in one line with exit code 2, and nothing is written", async (_, args, message) => {
    const before = existsSync("runs/eval");
    const { code, out, err } = await covote(["eval", ...args()]);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(/^covote: [^\n]+\n$/);
    expect(err.slice("covote: ".length, -1)).toMatch(message);
    expect(existsSync("runs/eval")).toBe(before);
  });

  test("a model that wrote nothing is no weakness", async () => {
    const file = write("authors.jsonl", [{ query: "q", responses: ["a", "b"], best: 0, models: ["x", "y"] }]);
    const { code, err } = await covote(["eval", file, "--weakness", "x,z"]);
    expect([code, err]).toEqual([2, 'covote: --weakness: no response is by "z"; there is x, y\n']);
  });
});
