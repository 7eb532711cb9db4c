/** Load reports to feed a load book with. */
import type { EngineLoad, LoadReport } from "../../lib/wire/gen/covote/v1/scaling.js";

export const idle: EngineLoad = {
  slots: 8,
  running: 0,
  waiting: 0,
  upMs: 0,
  busyMs: 0,
  slotMs: 0,
  generatedTokens: 0,
  promptTokens: 0,
  items: 0,
  itemTokens: 0,
};

export function loadReport(over: Partial<LoadReport> = {}): LoadReport {
  return {
    layout: 1,
    role: "grm",
    reporter: "r1",
    host: "pod-1",
    sequence: 1,
    intervalMs: 2000,
    engine: undefined,
    judging: undefined,
    learner: undefined,
    ...over,
  };
}

/** A worker that has run for so many seconds: half of its 8 slots taken, 100 tokens a second, votes of 50 tokens. */
export function grmReport(seconds: number, over: Partial<LoadReport> = {}): LoadReport {
  return loadReport({
    sequence: Math.floor(seconds / 2) + 1,
    engine: {
      ...idle,
      running: 4,
      waiting: 1,
      upMs: seconds * 1000,
      busyMs: seconds * 1000,
      slotMs: seconds * 4000,
      generatedTokens: seconds * 100,
      promptTokens: seconds * 300,
      items: seconds * 2,
      itemTokens: seconds * 100,
    },
    ...over,
  });
}
