/**
 * The learner's resume state: trainer, step and ledger of one moment, in one folder.
 *
 * - `saveState` writes a fresh folder and then moves the name `current` to it, so that a kill at any moment
 *   leaves either the old state or the new one, whole. The one before is removed afterwards.
 * - Beside it lie the events of the last `keptEvents` steps, for whoever missed one while NATS was away.
 */
import { mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CovoteError } from "../../lib/core/errors.js";
import { createLedger, type Ledger, type LedgerState } from "../../lib/grpo/ledger.js";
import type { Trainer } from "../../lib/trainer/trainer.js";

export interface LearnerState {
  runId: string;
  /** Optimiser steps taken. */
  step: number;
  /** Groups asked for so far; the index of the next one. */
  asked: number;
  ledger: Ledger;
}

interface StateFile {
  runId: string;
  step: number;
  asked: number;
  ledger: LedgerState;
}

export const keptEvents = 64;

/** `event`: what the step has to tell. */
export async function saveState(
  dir: string,
  trainer: Trainer,
  state: LearnerState,
  event: Uint8Array,
): Promise<void> {
  const events = join(dir, "events");
  await mkdir(events, { recursive: true });
  await writeFile(join(events, eventFile(state.step)), event);
  await rm(join(events, eventFile(state.step - keptEvents)), { force: true });
  const name = `step-${state.step}`;
  const folder = join(dir, name);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await trainer.save(join(folder, "trainer"));
  const file: StateFile = { ...state, ledger: state.ledger.toJSON() };
  await writeFile(join(folder, "state.json"), JSON.stringify(file));
  const link = join(dir, "current.new");
  await rm(link, { force: true });
  await symlink(name, link);
  await rename(link, join(dir, "current"));
  for (const entry of await readdir(dir)) {
    if (entry.startsWith("step-") && entry !== name)
      await rm(join(dir, entry), { recursive: true, force: true });
  }
}

/** The saved state of the run, with the trainer restored to it; null when there is none. */
export async function restoreState(
  dir: string,
  runId: string,
  trainer: Trainer,
): Promise<LearnerState | null> {
  const current = await readlink(join(dir, "current")).catch(unlessMissing);
  if (current === null) return null;
  const path = join(dir, current, "state.json");
  try {
    const file = JSON.parse(await readFile(path, "utf8")) as StateFile;
    if (file.runId !== runId) {
      throw new CovoteError("invalid_argument", `it is of run ${file.runId}; name the folder so again`);
    }
    await trainer.restore(join(dir, current, "trainer"));
    const { step, asked } = file;
    return { runId, step, asked, ledger: createLedger(file.ledger) };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CovoteError("invalid_argument", `${path}: cannot be resumed from: ${why}`, {
      cause,
    });
  }
}

/** The event of a step that is kept, encoded; null when it is not, or not any more. */
export function readEvent(dir: string, step: number): Promise<Uint8Array | null> {
  return readFile(join(dir, "events", eventFile(step))).catch(unlessMissing);
}

function eventFile(step: number): string {
  return `step-${step}.bin`;
}

function unlessMissing(cause: unknown): null {
  if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
  throw cause;
}
