import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openCheckpoint } from "../../lib/llama/checkpoint.js";
import { layoutOf } from "../../lib/llama/layout.js";
import { scalarStart } from "../../lib/llama/scalar-start.js";
import { createLlamaTraining } from "../../lib/llama/training.js";
import { openLlamaScalarTrainer, scalarLoss } from "../../lib/trainer/llama-scalar.js";
import type { RatedSequence } from "../../lib/trainer/scalar.js";
import { tinyCheckpoint } from "../support/tiny-llama.js";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "covote-scalar-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const options = { learningRate: 0.01, maxGradNorm: 1 };
const example = (word: number, target: number): RatedSequence => ({
  tokenIds: [7, 8, word, 9, 10],
  target,
  readings: [],
});
const open = (over = {}) =>
  openLlamaScalarTrainer({ checkpoint: tinyCheckpoint(), extraLayers: 0, seed: 1, threads: 1, ...over });

describe("the scalar trainer", () => {
  test("learns which judgments are right, from a language model's weights", async () => {
    const trainer = open({ extraLayers: 1 });
    try {
      const batch = [example(20, 1), example(21, 0), example(22, 1), example(23, 0)];
      for (let step = 0; step < 40; step++) await trainer.stepBinary(batch, options);
      const scores = await trainer.score(batch.map(({ tokenIds }) => tokenIds));
      expect(scores.map((score) => score > 0)).toEqual([true, false, true, false]);
    } finally {
      await trainer.close();
    }
  });

  test("goes on bit for bit from what was saved", async () => {
    const batch = [example(20, 1), example(21, 0)];
    const [trainer, other] = [open(), open()];
    try {
      await trainer.stepBinary(batch, options);
      await trainer.save(join(dir, "state"));
      await other.restore(join(dir, "state"));
      expect(other.step()).toBe(1);
      expect(await other.stepBinary(batch, options)).toEqual(await trainer.stepBinary(batch, options));
    } finally {
      await Promise.all([trainer.close(), other.close()]);
    }
  });

  test("exports a checkpoint with a scalar head, which a trainer goes on with", async () => {
    const trainer = open({ extraLayers: 1 });
    await trainer.export(join(dir, "checkpoint"));
    const sequences = [[7, 8, 9]];
    const scores = await trainer.score(sequences);
    await trainer.close();
    const checkpoint = await openCheckpoint(join(dir, "checkpoint"));
    expect(checkpoint.config).toMatchObject({ head: "scalar", layers: 3 });
    const again = open({ checkpoint });
    expect(await again.score(sequences)).toEqual(scores);
    await again.close();
  });

  test("the head can be read after any token: as if the sequence ended there", async () => {
    const start = scalarStart(tinyCheckpoint(), { extraLayers: 0, seed: 1 });
    await using training = createLlamaTraining({ ...start, threads: 1 });
    const tokens = [7, 8, 20, 9];
    const { outputs } = await training.evaluate([{ tokens, targets: [0, 1, 0, 1] }]);
    const alone = await training.evaluate([{ tokens: tokens.slice(0, 2) }, { tokens }]);
    expect([...(outputs[0] ?? [])]).toEqual([0, alone.outputs[0]?.[0], 0, alone.outputs[1]?.[0]]);
  });

  test("new layers change little of what the language model computes", () => {
    const { config, weights } = scalarStart(tinyCheckpoint(), { extraLayers: 2, seed: 1 });
    const { byName } = layoutOf(config);
    const size = (name: string): number => {
      const { offset, size: length } = byName.get(name) as { offset: number; size: number };
      return Math.max(...weights.subarray(offset, offset + length).map(Math.abs));
    };
    expect(size("model.layers.3.self_attn.o_proj.weight")).toBeLessThan(0.02);
    expect(size("model.layers.0.self_attn.o_proj.weight")).toBeGreaterThan(0.3);
  });
});

describe("the loss of the scalar head", () => {
  const readings = [
    { at: 2, value: -0.5, weight: 0.4 },
    { at: 3, value: 1, weight: 1.3 },
  ];
  const batch = [{ ...example(20, 1), readings }, example(21, 0.3)];
  const outputs = [
    [0, 0, 0.3, -0.2, 0.8],
    [0, 0, 0, 0.5, -0.4],
  ];

  test("coefficients are its derivatives", () => {
    const { coefficients } = scalarLoss(batch, outputs);
    const h = 1e-5;
    outputs.forEach((row, i) => {
      row.forEach((_, t) => {
        const at = (step: number): number => {
          const moved = outputs.map((values) => [...values]);
          (moved[i] as number[])[t] = (row[t] as number) + step;
          return scalarLoss(batch, moved).metrics.loss as number;
        };
        expect(coefficients[i]?.[t]).toBeCloseTo((at(h) - at(-h)) / (2 * h), 5);
      });
    });
  });

  test("accuracy is of the last token alone", () => {
    expect(scalarLoss(batch, outputs).metrics.accuracy).toBe(1);
  });
});
