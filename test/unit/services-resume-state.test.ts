import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createLedger } from "../../lib/grpo/ledger.js";
import {
  keptEvents,
  type LearnerState,
  readEvent,
  restoreState,
  saveState,
} from "../../services/grpo-learner/resume-state.js";
import { createCountingTrainer } from "../support/counting-trainer.js";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "covote-state-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const stateAt = (step: number): LearnerState => {
  const ledger = createLedger();
  for (let i = 0; i < step; i++) {
    ledger.submitted(`r-g${i}`);
    ledger.trained(`r-g${i}`);
  }
  ledger.submitted("r-open");
  return { runId: "r", step, asked: step + 1, ledger };
};
const train = async (trainer: ReturnType<typeof createCountingTrainer>, times: number): Promise<void> => {
  for (let i = 0; i < times; i++) {
    await trainer.stepGrpo(
      { sequences: [{ tokenIds: [1, 2], firstTarget: 1 }], advantages: [i], oldLogprobs: [[-1]] },
      { clipLow: 0.2, clipHigh: 0.2, klWeight: 0, aggregation: "token", importanceCap: null, maxTokens: 2 },
      { learningRate: 0.1, maxGradNorm: 1 },
    );
  }
};

test("no state is no state, and not an error", async () => {
  expect(await restoreState(join(dir, "none"), "r", createCountingTrainer())).toBeNull();
  expect(await readEvent(dir, 1)).toBeNull();
});

test("what was saved comes back, trainer and ledger of the same moment", async () => {
  const trainer = createCountingTrainer();
  await train(trainer, 3);
  await saveState(dir, trainer, stateAt(3), bytes("step 3"));
  const restored = createCountingTrainer();
  const state = await restoreState(dir, "r", restored);
  expect(state).toMatchObject({ runId: "r", step: 3, asked: 4 });
  expect(state?.ledger.open()).toEqual(["r-open"]);
  expect(state?.ledger.balance()).toEqual(stateAt(3).ledger.balance());
  expect(restored.state()).toEqual(trainer.state());
  expect(await readEvent(dir, 3)).toEqual(Buffer.from("step 3"));
});

test("only the newest state is kept, and the events of the last steps", async () => {
  const trainer = createCountingTrainer();
  for (let step = 1; step <= keptEvents + 2; step++) {
    await train(trainer, 1);
    await saveState(dir, trainer, stateAt(step), bytes(`step ${step}`));
  }
  const last = keptEvents + 2;
  expect(readdirSync(dir).sort()).toEqual(["current", "events", `step-${last}`]);
  expect(await readEvent(dir, 2)).toBeNull();
  expect(await readEvent(dir, 3)).toEqual(Buffer.from("step 3"));
  expect(readdirSync(join(dir, "events"))).toHaveLength(keptEvents);
});

test("a save that dies half-way leaves the state before it", async () => {
  const trainer = createCountingTrainer();
  await train(trainer, 1);
  await saveState(dir, trainer, stateAt(1), bytes("step 1"));
  const before = trainer.state();
  const mortal = createCountingTrainer((call) => {
    if (call === "save") throw new Error("killed");
  });
  await expect(saveState(dir, mortal, stateAt(2), bytes("step 2"))).rejects.toThrow("killed");
  const restored = createCountingTrainer();
  expect((await restoreState(dir, "r", restored))?.step).toBe(1);
  expect(restored.state()).toEqual(before);
  await train(trainer, 1);
  await saveState(dir, trainer, stateAt(2), bytes("step 2"));
  expect((await restoreState(dir, "r", createCountingTrainer()))?.step).toBe(2);
});

test("a state that is damaged, or of another run, is refused in one line that names the file", async () => {
  const trainer = createCountingTrainer();
  await saveState(dir, trainer, stateAt(1), bytes("step 1"));
  await expect(restoreState(dir, "other", trainer)).rejects.toMatchObject({ code: "invalid_argument" });
  writeFileSync(join(dir, "current", "state.json"), '{"runId": "r", "step": 1, "asked": 1, "ledger": {}}');
  const error = await restoreState(dir, "r", trainer).catch((thrown: Error) => thrown);
  expect((error as Error).message).toMatch(/state\.json: cannot be resumed from: ledger/);
  expect((error as Error).message).not.toContain("\n");
});
