/** What a run folder says about its work: sizes from `config.json`, lengths from the last steps of `metrics.jsonl`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CovoteError } from "../../lib/core/errors.js";
import type { PlanInputs } from "./estimate.js";

const lastSteps = 20;

export function figuresOfRun(folder: string): Partial<PlanInputs> {
  const config = parsed(folder, "config.json", text(folder, "config.json"));
  const lines = text(folder, "metrics.jsonl")
    .trimEnd()
    .split("\n")
    .filter((line) => line !== "");
  const steps = lines.slice(-lastSteps).map((line) => parsed(folder, "metrics.jsonl", line));
  const lengths = steps.map((step) => step.response_tokens_mean).filter(isFigure);
  if (lengths.length === 0) {
    throw new CovoteError(
      "failed_precondition",
      `--run: ${join(folder, "metrics.jsonl")} has no step with response_tokens_mean; give --response-tokens instead`,
      { field: "--run" },
    );
  }
  const training = (config.training ?? {}) as Record<string, unknown>;
  const judging = (config.judging ?? {}) as Record<string, unknown>;
  const found: Partial<PlanInputs> = {
    responseTokens: lengths.reduce((sum, each) => sum + each, 0) / lengths.length,
  };
  if (isFigure(training.groupSize)) found.groupSize = training.groupSize;
  if (isFigure(training.groupsPerStep)) found.groupsPerStep = training.groupsPerStep;
  if (isFigure(training.maxStaleness)) found.maxStaleness = training.maxStaleness;
  if (isFigure(judging.votes)) found.k = judging.votes;
  if (isFigure(judging.panelLimit)) found.panelSize = judging.panelLimit;
  return found;
}

function isFigure(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value > 0;
}

function text(folder: string, name: string): string {
  try {
    return readFileSync(join(folder, name), "utf8");
  } catch (cause) {
    throw new CovoteError("not_found", `--run: ${folder} is no run folder: it holds no readable ${name}`, {
      field: "--run",
      cause,
    });
  }
}

function parsed(folder: string, name: string, line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new CovoteError(
    "invalid_argument",
    `--run: ${join(folder, name)} is damaged: a line is no JSON object`,
    {
      field: "--run",
    },
  );
}
