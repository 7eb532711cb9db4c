/** The learning rate over a run: a linear warm-up, then constant, linear or cosine decay to a floor. */
import { invalid } from "../core/errors.js";

export interface ScheduleOptions {
  /** Highest learning rate, reached at the end of the warm-up. */
  peak: number;
  /** Steps of warm-up; the first step already learns. */
  warmupSteps: number;
  /** Steps of the whole run, warm-up included. */
  totalSteps: number;
  decay: "constant" | "linear" | "cosine";
  /** The rate at the last step, as a share of the peak, 0..1. Default 0. */
  floor?: number;
}

/** The learning rate of step `step`, counted from 0. Steps after the last keep the last one's rate. */
export function learningRateAt(step: number, options: ScheduleOptions): number {
  const { peak, warmupSteps, totalSteps, decay, floor = 0 } = options;
  if (!(peak > 0 && peak < Infinity)) throw invalid("peak", `must be above 0, got ${peak}`);
  if (!(warmupSteps >= 0)) throw invalid("warmupSteps", `must be at least 0, got ${warmupSteps}`);
  if (!(totalSteps >= 1)) throw invalid("totalSteps", `must be at least 1, got ${totalSteps}`);
  if (!(floor >= 0 && floor <= 1)) throw invalid("floor", `must be within 0 to 1, got ${floor}`);
  if (step < warmupSteps) return (peak * (step + 1)) / (warmupSteps + 1);
  if (decay === "constant") return peak;
  const span = Math.max(1, totalSteps - 1 - warmupSteps);
  const progress = Math.min(1, (step - warmupSteps) / span);
  const remaining = decay === "linear" ? 1 - progress : (1 + Math.cos(Math.PI * progress)) / 2;
  return peak * (floor + (1 - floor) * remaining);
}
