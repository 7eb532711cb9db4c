import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runStage, type Stage, type StageOptions, secondsOf } from "../../cli/spct/study/stage.js";

let dir = "";
let calls: string[][] = [];
let defaults: unknown = { steps: 3 };
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "covote-stage-"));
  calls = [];
  defaults = { steps: 3 };
  writeFileSync(join(dir, "in.jsonl"), "input");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const captured: Stage = {
  ...{ title: "a stage", args: ["eval", "in.jsonl"], inputs: ["in.jsonl"] },
  ...{ result: "seed-1/out.json", capture: true, leaves: ["seed-1/votes.jsonl"] },
};
const run = (
  stage: Stage,
  covote: (stage: Stage) => Promise<string> = async () => "output",
): Promise<boolean> => {
  const options: StageOptions = {
    ...{ dir, defaults: () => defaults, signal: new AbortController().signal, say: () => undefined },
    covote: (of) => {
      calls.push([...of.args]);
      return covote(of);
    },
  };
  return runStage(stage, options);
};

describe("a stage", () => {
  test("is run once: the second start finds its result", async () => {
    expect(await run(captured)).toBe(true);
    expect(readFileSync(join(dir, "seed-1/out.json"), "utf8")).toBe("output");
    expect(secondsOf(captured, dir)).toBeGreaterThanOrEqual(0);
    expect(await run(captured)).toBe(false);
    expect(calls).toEqual([["eval", "in.jsonl"]]);
  });

  test.each([
    ["an argument", () => ({ ...captured, args: ["eval", "in.jsonl", "--greedy"] })],
    [
      "a default of its command",
      () => {
        defaults = { steps: 4 };
        return captured;
      },
    ],
    [
      "what an input holds",
      () => {
        writeFileSync(join(dir, "in.jsonl"), "other input");
        return captured;
      },
    ],
  ])("is run again, with nothing of the old in its way, when %s has changed", async (_, change) => {
    await run(captured, async () => {
      writeFileSync(join(dir, "seed-1/votes.jsonl"), "old");
      return "old";
    });
    const changed = change();
    expect(
      await run(changed, async () => {
        expect(existsSync(join(dir, "seed-1/votes.jsonl"))).toBe(false);
        expect(existsSync(join(dir, "seed-1/out.json"))).toBe(false);
        return "new";
      }),
    ).toBe(true);
    expect(readFileSync(join(dir, "seed-1/out.json"), "utf8")).toBe("new");
    expect(await run(changed)).toBe(false);
  });

  test("that fails leaves no result, and what it had kept for the next start", async () => {
    const failing = run(captured, async () => {
      writeFileSync(join(dir, "seed-1/votes.jsonl"), "half");
      throw new Error("fails");
    });
    await expect(failing).rejects.toThrow("fails");
    expect(secondsOf(captured, dir)).toBeNull();
    await run(captured, async () => {
      expect(readFileSync(join(dir, "seed-1/votes.jsonl"), "utf8")).toBe("half");
      return "whole";
    });
    expect(readFileSync(join(dir, "seed-1/out.json"), "utf8")).toBe("whole");
  });

  test("that was interrupted is resumed, unless it would be another now", async () => {
    const job: Stage = {
      ...{ title: "a job", args: ["spct", "meta-rm"], inputs: ["in.jsonl"], capture: false },
      ...{
        result: "meta/checkpoint",
        resume: { file: "meta/job.json", args: ["spct", "meta-rm", "--resume"] },
      },
    };
    const stopped = async (): Promise<string> => {
      mkdirSync(join(dir, "meta"), { recursive: true });
      writeFileSync(join(dir, "meta/job.json"), "{}");
      throw new Error("stopped");
    };
    await expect(run(job, stopped)).rejects.toThrow("stopped");
    await expect(run(job, stopped)).rejects.toThrow("stopped");
    writeFileSync(join(dir, "in.jsonl"), "other input");
    await expect(run(job, stopped)).rejects.toThrow("stopped");
    expect(calls).toEqual([job.args, job.resume?.args, job.args]);
  });

  test("whose input is a checkpoint looks at its weights", async () => {
    const model = join(dir, "model");
    mkdirSync(model);
    writeFileSync(join(model, "model.safetensors"), "weights");
    const stage = { ...captured, inputs: [model] };
    await run(stage);
    writeFileSync(join(model, "README.md"), "words");
    expect(await run(stage)).toBe(false);
    writeFileSync(join(model, "model.safetensors"), "other weights");
    expect(await run(stage)).toBe(true);
  });
});
