import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { evaluateBaseline } from "../../cli/baselines/evaluate.js";
import { type BaselineKind, baselineKinds } from "../../cli/baselines/kinds.js";
import { trainBaseline } from "../../cli/baselines/train.js";
import { systemClock } from "../../lib/core/clock.js";
import { packagePath } from "../../lib/core/package-root.js";
import { openCheckpoint } from "../../lib/llama/checkpoint.js";
import { type ModelFolders, writePostcardsModels } from "../support/postcards-models.js";
import { covote } from "../support/terminal.js";

const dir = mkdtempSync(join(tmpdir(), "covote-cli-baselines-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const at = (name: string): string => join(dir, name);
const write = (name: string, lines: readonly object[]): string => {
  writeFileSync(at(name), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return at(name);
};

let models: ModelFolders;
/** The demo world's own: it writes judgments that can be read. */
const grm = packagePath("models", "postcards-grm");
const items = Array.from({ length: 12 }, (_, i) => ({
  query: `query to friend from river be thanks ${i % 2 === 0 ? "long" : "short"} .`,
  responses:
    i % 3 === 0
      ? ["hey friend boat grateful", "hi aunt tram", "hey friend"]
      : ["respected boss sand", "hi friend fish bridge thankful"],
  best: i % 3 === 0 ? 0 : 1,
}));
const single = { query: "query to aunt from sea be thanks .", responses: ["dear aunt waves"], scores: [1] };

beforeAll(async () => {
  models = await writePostcardsModels(at("models"));
  write("items.jsonl", items);
  write("mixed.jsonl", [...items.slice(0, 6), single]);
});

const trained = (kind: BaselineKind, out: string, threads = 1) =>
  trainBaseline({
    job: {
      ...{ kind, data: at("items.jsonl"), base: grm, seed: 3, batch: 4 },
      ...{ samples: 4, epochs: 2, extraLayers: kind === "pick" ? 0 : 1 },
    },
    out: at(out),
    threads,
  });

describe("covote spct baseline", () => {
  test.each(baselineKinds)("%s: trains, and judges pairs and lists with votes and greedily", async (kind) => {
    const summary = await trained(kind, kind);
    expect(summary.steps).toBeGreaterThan(0);
    const steps = readFileSync(at(`${kind}/metrics.jsonl`), "utf8")
      .trimEnd()
      .split("\n");
    expect(steps).toHaveLength(summary.steps);
    const { config } = await openCheckpoint(at(`${kind}/checkpoint`));
    expect(config.head).toBe(kind === "pick" ? "lm" : "scalar");

    const record = at(`${kind}-votes.jsonl`);
    const flags = ["--baseline", at(kind), "--votes", "1,4", "--greedy", "--record", record, "--json"];
    const { code, out } = await covote(["eval", at("mixed.jsonl"), ...flags]);
    expect(code).toBe(0);
    const evaluation = JSON.parse(out) as {
      judge_versions: string[];
      benchmarks: {
        judged: number;
        short_items: number;
        not_judged: { reason: string; line: number }[];
        results: { name: string; overall: { value: number }; draws: number }[];
      }[];
    };
    const [benchmark] = evaluation.benchmarks;
    expect(evaluation.judge_versions[0]).toMatch(new RegExp(`^${kind}-[0-9a-f]{8}$`));
    expect(benchmark?.results.map(({ name }) => name)).toEqual(["vote@1", "vote@4", "greedy"]);
    expect(benchmark?.short_items).toBe(0);
    const compares = kind === "pick" || kind === "pairwise";
    expect(benchmark?.judged).toBe(compares ? 6 : 7);
    expect(benchmark?.not_judged.map(({ line }) => line)).toEqual(compares ? [7] : []);
    if (compares) expect(benchmark?.not_judged[0]?.reason).toMatch(/single response/);
    if (kind === "pairwise" || kind === "scalar") {
      const values = benchmark?.results.map(({ overall, draws }) => [overall.value, draws]);
      expect(new Set(values?.map(String)).size).toBe(1);
    }
    // Asked again, nothing is: the file has it all.
    const again = await covote(["eval", at("mixed.jsonl"), ...flags]);
    expect(JSON.parse(again.out)).toMatchObject({ asked_now: 0, benchmarks: evaluation.benchmarks });
  });

  test("the number of threads changes neither what is learned nor what is judged", async () => {
    await trained("semi-scalar", "two-threads", 2);
    const weights = (folder: string) => readFileSync(at(`${folder}/checkpoint/model.safetensors`));
    expect(weights("two-threads").equals(weights("semi-scalar"))).toBe(true);
    const judged = async (threads: number) => {
      const record = at(`threads-${threads}.jsonl`);
      await evaluateBaseline({
        ...{ baseline: at("semi-scalar"), files: [at("items.jsonl")], votes: [2], greedy: true },
        ...{ temperature: 1, seed: 5, record, threads, clock: systemClock() },
      });
      return readFileSync(record, "utf8").trimEnd().split("\n").sort();
    };
    expect(await judged(2)).toEqual(await judged(1));
  });

  test("a judge without dice is compared with every number of another one's votes", async () => {
    const against = at("semi-scalar-votes.jsonl");
    const evaluation = await evaluateBaseline({
      ...{ baseline: at("scalar"), files: [at("mixed.jsonl")], votes: [1, 4], greedy: true },
      ...{ temperature: 1, seed: 1, record: at("compared.jsonl"), against, threads: 1, clock: systemClock() },
    });
    expect(evaluation.against?.benchmarks[0]?.differences.map(({ name }) => name)).toEqual([
      "vote@1",
      "vote@4",
      "greedy",
    ]);
  });

  test("an item that is too long for the context is in no figure, with its reason", async () => {
    const long = { ...items[1], responses: ["hey friend", Array(140).fill("boat").join(" ")] };
    const evaluation = await evaluateBaseline({
      ...{ baseline: at("pairwise"), files: [write("too-long.jsonl", [items[0] as object, long])] },
      ...{ votes: [1], greedy: false, temperature: 1, seed: 1, record: at("long-votes.jsonl") },
      ...{ threads: 1, clock: systemClock() },
    });
    expect(evaluation.benchmarks[0]).toMatchObject({ items: 2, judged: 1 });
    expect(evaluation.benchmarks[0]?.notJudged[0]?.reason).toMatch(/exceed the model's 128 positions/);
  });
});

describe("what cannot be is refused in one line, with exit 2 and nothing left behind", () => {
  const long = { query: "query .", responses: ["hey", Array(140).fill("boat").join(" ")], best: 0 };
  const cases: [what: string, args: () => string[], message: RegExp][] = [
    ["no kind of baseline", () => ["spct", "baseline", "best"], /<kind>: must be one of pick, pairwise/],
    ["no folder to write to", () => ["spct", "baseline", "scalar", at("items.jsonl")], /--out: is missing/],
    [
      "a folder that is not new",
      () => ["spct", "baseline", "scalar", at("items.jsonl"), "--out", models.grm],
      /--out: .* is there already and not empty/,
    ],
    [
      "a base with a scalar head",
      () => ["spct", "baseline", "scalar", at("items.jsonl"), "--out", at("new"), "--base", models.metaRm],
      /--base: .* has a scalar head/,
    ],
    [
      "data without a pair",
      () => ["spct", "baseline", "scalar", write("one.jsonl", [single]), "--out", at("new")],
      /\[data\]: .*one\.jsonl: has no pair to learn from/,
    ],
    ...baselineKinds.map((kind): (typeof cases)[number] => [
      `a response too long for the context of ${kind}`,
      () => {
        const data = write("long.jsonl", [items[0] as object, long, long]);
        return ["spct", "baseline", kind, data, "--out", at("new"), "--base", models.grm];
      },
      /\[data\]: .*long\.jsonl: line 2: responses: \d+ tokens exceed .* \(2 bad lines in all\)/,
    ]),
    [
      "samples for a kind that has none",
      () => ["spct", "baseline", "scalar", at("items.jsonl"), "--out", at("new"), "--samples", "3"],
      /--samples: scalar samples nothing/,
    ],
    [
      "a plain checkpoint as a baseline",
      () => ["eval", at("items.jsonl"), "--baseline", models.grm],
      /--baseline: .* is a plain checkpoint: it has no baseline\.json/,
    ],
    [
      "a baseline whose model is of another kind",
      () => {
        cpSync(at("scalar"), at("mislabelled"), { recursive: true });
        writeFileSync(
          at("mislabelled/baseline.json"),
          JSON.stringify({ kind: "pick", grammar: "postcards" }),
        );
        return ["eval", at("items.jsonl"), "--baseline", at("mislabelled"), "--record", at("none.jsonl")];
      },
      /--baseline: .*mislabelled is no pick baseline: .* has a scalar head/,
    ],
    [
      "a baseline of a kind that nobody knows",
      () => {
        cpSync(at("scalar"), at("unknown"), { recursive: true });
        writeFileSync(at("unknown/baseline.json"), JSON.stringify({ kind: "oracle" }));
        return ["eval", at("items.jsonl"), "--baseline", at("unknown")];
      },
      /--baseline: .*baseline\.json: kind must be one of pick, pairwise, scalar, semi-scalar/,
    ],
    [
      "a baseline beside a reward model",
      () => ["eval", at("items.jsonl"), "--baseline", at("scalar"), "--grm", models.grm],
      /--baseline: judges by itself; leave --grm out/,
    ],
  ];
  test.each(cases)("%s", async (_, args, message) => {
    const { code, err } = await covote(args());
    expect(err.trimEnd().split("\n").at(-1)).toMatch(message);
    expect(code).toBe(2);
    expect(existsSync(at("new"))).toBe(false);
    expect(readdirSync(dir).filter((name) => name.endsWith(".part"))).toEqual([]);
  });
});
