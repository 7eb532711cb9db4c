import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { JudgedGroup } from "../../cli/spct/judged-groups.js";
import { type MadeMetaRm, type MetaRmProgress, makeMetaRm } from "../../cli/spct/make-meta-rm.js";
import { createMetaRmFolder, type MetaRmFolder, type MetaRmJob } from "../../cli/spct/meta-rm-folder.js";
import { systemClock } from "../../lib/core/clock.js";
import { createSimulatedEngine } from "../../lib/engine/simulated.js";
import { postcardsJudgment } from "../../lib/engine/simulated-judge.js";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import { openConfiguredCheckpoint } from "../../lib/runtime/checkpoints.js";
import { type ModelFolders, writePostcardsModels } from "../support/postcards-models.js";
import { panelOf } from "../support/reward-cluster.js";
import { covote } from "../support/terminal.js";

const dir = mkdtempSync(join(tmpdir(), "covote-meta-rm-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const at = (name: string): string => join(dir, name);

let models: ModelFolders;
beforeAll(async () => {
  models = await writePostcardsModels(at("models"));
  const items = Array.from({ length: 24 }, (_, i) =>
    JSON.stringify({
      query: `query to friend from river be thanks ${i % 2 === 0 ? "long" : "short"} .`,
      responses: ["hey friend", "hey friend river boat", "hey"],
      best: 1,
    }),
  );
  writeFileSync(at("items.jsonl"), `${items.join("\n")}\n`);
  writeFileSync(at("bad.jsonl"), `${items[0]}\n{"query":"a","responses":["b","c"],"best":2}\n`);
});

/** Likes long cards, and errs now and then. */
const noisyJudge = () =>
  createSimulatedEngine({
    respond: postcardsJudgment({ panelOf, quality: (text) => text.split(" ").length / 5, noise: 5 }),
    slots: 16,
  });

const job = (): MetaRmJob => ({
  ...{ data: at("items.jsonl"), heldOut: null, trajectories: null },
  digests: { data: null, heldOut: null, trajectories: null },
  ...{ grm: models.grm, base: models.grm, items: 1000, heldOutItems: 100, samples: 3, votes: 4 },
  ...{ temperature: 1, panelLimit: 4, extraLayers: 1, steps: 24, batch: 8, learningRate: 0.01 },
  ...{ peers: 0.5, readings: 1 },
  ...{ seed: 3, grammar: "postcards" },
});

function make(
  folder: MetaRmFolder,
  over: { onProgress?: (progress: MetaRmProgress) => void; signal?: AbortSignal } = {},
): Promise<MadeMetaRm> {
  const config = compileCovoteConfig({
    overrides: { "training.role": "grm", "grm.checkpoint": models.grm, "log.level": "silent" },
    env: {},
  });
  return makeMetaRm({
    folder,
    config,
    env: process.env,
    clock: systemClock(),
    signal: new AbortController().signal,
    onProgress: () => undefined,
    openEngine: async () => noisyJudge(),
    ...over,
  });
}

const lines = (path: string): string[] => readFileSync(path, "utf8").trimEnd().split("\n");

describe("making a meta RM", () => {
  let whole: MadeMetaRm;

  test("judgments come from the cluster, each labelled; what is exported serves as a meta RM", async () => {
    const folder = createMetaRmFolder(at("whole"), job());
    whole = await make(folder);
    const groups = lines(folder.file("trajectories.jsonl")).map((line) => JSON.parse(line) as JudgedGroup);
    // A tenth of 24 items is held out.
    expect(groups.map(({ group }) => group).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 22 }, (_, i) => i),
    );
    for (const { judgments, panel } of groups) {
      expect(judgments).toHaveLength(3);
      expect(panel.label).toEqual({ t: "best", index: panel.order.indexOf(1) });
    }
    expect(lines(folder.file("held-out.jsonl"))).toHaveLength(4);
    const { counts, figures, steps } = whole;
    expect(counts.right + counts.wrong + counts.unparsable).toBe(66);
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: steps.length }, (_, i) => i + 1));
    expect(lines(folder.file("metrics.jsonl"))).toHaveLength(steps.length);
    expect(figures.calibration.votes).toBe(8);
    expect(figures.keep.map(({ keep }) => keep)).toEqual([1, 2, "all"]);
    const config = compileCovoteConfig({
      overrides: { "metaRm.checkpoint": folder.file("checkpoint") },
      env: {},
    });
    const { checkpoint } = await openConfiguredCheckpoint(config, "meta-rm");
    expect(checkpoint.config).toMatchObject({ head: "scalar", layers: 2 });
  }, 60_000);

  test.each([
    ["while it collects", (progress: MetaRmProgress) => progress.t === "collecting" && progress.done >= 5],
    ["while it trains", (progress: MetaRmProgress) => progress.t === "training" && progress.step === 7],
  ])(
    "interrupted %s it goes on, and ends as if it had not been",
    async (what, isDue) => {
      const stop = new AbortController();
      const name = what.replaceAll(" ", "-");
      const interrupted = make(createMetaRmFolder(at(name), job()), {
        signal: stop.signal,
        onProgress: (progress) => {
          if (isDue(progress)) stop.abort();
        },
      });
      await expect(interrupted).rejects.toMatchObject({ code: "cancelled" });
      // What is not its data any more would be refused; here there are no digests to compare.
      const again = openFolder(at(name));
      const made = await make(again);
      expect(made.figures).toEqual(whole.figures);
      expect(made.steps).toEqual(whole.steps);
      expect(readdirSync(at(name)).filter((file) => /\.(new|old)$/.test(file))).toEqual([]);
    },
    60_000,
  );
});

/** As `--resume` opens it, without digests. */
function openFolder(path: string): MetaRmFolder {
  const file = join(path, "job.json");
  const kept = JSON.parse(readFileSync(file, "utf8")) as MetaRmJob;
  expect(kept).toEqual(job());
  return createMetaRmFolder(path, kept);
}

describe("covote spct meta-rm refuses, with exit code 2 and nothing left behind", () => {
  const refused = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await covote(["spct", "meta-rm", ...args]);
    expect(err).toMatch(/^covote: [^\n]+\n$/);
    expect([code, out]).toEqual([2, ""]);
    return err.slice("covote: ".length, -1);
  };

  test("a bad line of the data", async () => {
    const line = await refused(at("bad.jsonl"), "--grm", models.grm, "--out", at("new"));
    expect(line).toContain(`[data]: ${at("bad.jsonl")}: line 2: best: must be the index of a response`);
    expect(existsSync(at("new"))).toBe(false);
  });

  test("an output folder that is not empty", async () => {
    expect(await refused(at("items.jsonl"), "--out", at("models"))).toContain("not empty; name a new folder");
  });

  test("a reward model without the words of its grammar", async () => {
    const strange = at("strange");
    const { saveCheckpoint } = await import("../../lib/llama/checkpoint.js");
    const { tinyCheckpoint } = await import("../support/tiny-llama.js");
    await saveCheckpoint(strange, tinyCheckpoint(), { dtype: "float32" });
    const line = await refused(at("items.jsonl"), "--grm", strange, "--out", at("new"));
    expect(line).toMatch(/^grm\.checkpoint: .* does not know the words/);
    expect(existsSync(at("new"))).toBe(false);
  });

  test("no held-out data and one item, no output folder, a folder that is none of its own", async () => {
    writeFileSync(at("one.jsonl"), `${lines(at("items.jsonl"))[0]}\n`);
    expect(await refused(at("one.jsonl"), "--grm", models.grm, "--out", at("new"))).toContain("--heldout");
    expect(await refused(at("items.jsonl"))).toContain("--out: is missing");
    expect(await refused("--resume", at("models"))).toContain("it has no job.json");
  });

  test("a reward model whose judgments are all unusable", async () => {
    const args = ["--grm", models.grm, "--out", at("unusable"), "--json"];
    const { code, err } = await covote(["spct", "meta-rm", at("items.jsonl"), ...args]);
    expect(err).toMatch(/^covote: \[data\]: no usable judgment of 22 panels: .*none can be parsed/);
    expect(code).toBe(2);
  }, 60_000);

  test("data that changed since it was begun", async () => {
    writeFileSync(at("items.jsonl"), `${lines(at("items.jsonl")).slice(1).join("\n")}\n`);
    expect(await refused("--resume", at("unusable"))).toContain("is not what it was");
  });
});
