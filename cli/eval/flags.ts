/** What the flags of `covote eval` ask for, checked; errors name the flag. */

import { invalid } from "../../lib/core/errors.js";
import { benchmarks } from "../../lib/evaluation/benchmarks.js";
import type { KeepRule } from "../../lib/evaluation/conditions.js";
import { checkTemperature, judgingLimits } from "../../lib/grm/limits.js";
import { type ConfigFlags, numberFlag } from "../options.js";
import type { TlsFlags } from "../tls-options.js";

export interface EvalFlags extends ConfigFlags, TlsFlags {
  votes: string;
  metaKeep: string;
  greedy?: boolean;
  temperature?: string;
  seed: string;
  format: string;
  limit?: string;
  panelLimit?: string;
  split?: string;
  deadline: string;
  concurrency: string;
  record?: string;
  grm?: string;
  metaRm?: string;
  baseline?: string;
  address?: string;
  weakness?: string;
  against?: string;
  /** False with --no-reference. */
  reference?: boolean;
  plot?: string;
  json?: boolean;
}

export interface EvalPlan {
  /** Ascending, each once. */
  votes: readonly [number, ...number[]];
  /** Empty: without the meta RM. */
  keep: readonly KeepRule[];
  greedy: boolean;
  temperature: number | null;
  seed: number;
  format: string;
  /** Records of each benchmark at most. */
  limit: number | null;
  panelLimit: number | null;
  /** Sets of principles drawn apart per query; 0: votes write their own. */
  split: number;
  deadlineMs: number;
  concurrency: number;
  weakness: { loser: string; winner: string } | null;
  /** Whether the judge is shown reference answers. */
  reference: boolean;
}

export function planOf(flags: EvalFlags): EvalPlan {
  const votes = votesOf(flags.votes);
  const { format } = flags;
  if (format !== "auto" && !benchmarks.some(({ name }) => name === format)) {
    const known = ["auto", ...benchmarks.map(({ name }) => name)].join(", ");
    throw invalid("--format", `must be one of ${known}, got ${JSON.stringify(format)}`);
  }
  if (flags.address !== undefined && (flags.grm !== undefined || flags.metaRm !== undefined)) {
    const flag = flags.grm !== undefined ? "--grm" : "--meta-rm";
    throw invalid(flag, "cannot go with --address: that cluster has models of its own");
  }
  if (flags.baseline !== undefined) {
    const other = {
      ...{ "--grm": flags.grm, "--meta-rm": flags.metaRm, "--address": flags.address },
      "--split": flags.split,
    };
    const given = Object.entries(other).find(([, value]) => value !== undefined);
    if (given !== undefined) throw invalid("--baseline", `judges by itself; leave ${given[0]} out`);
  }
  const temperature = numberFlag("--temperature", flags.temperature, { least: 0, most: 2 }) ?? null;
  if (temperature !== null) checkTemperature("--temperature", temperature, judgingLimits.temperature);
  return {
    votes,
    // No meta RM rates what a baseline says.
    keep: flags.baseline === undefined ? keepOf(flags.metaKeep) : [],
    greedy: flags.greedy === true,
    temperature,
    seed: numberFlag("--seed", flags.seed, { whole: true, least: 0, most: 0xffffffff }) ?? 0,
    format,
    limit: numberFlag("--limit", flags.limit, { whole: true, least: 1, most: 1_000_000 }) ?? null,
    panelLimit:
      numberFlag("--panel-limit", flags.panelLimit, {
        whole: true,
        least: 1,
        most: judgingLimits.panelLimit,
      }) ?? null,
    split: numberFlag("--split", flags.split, { whole: true, least: 0, most: judgingLimits.split }) ?? 0,
    deadlineMs: numberFlag("--deadline", flags.deadline, {
      whole: true,
      least: 1,
      most: 3_600_000,
    }) as number,
    concurrency: numberFlag("--concurrency", flags.concurrency, {
      whole: true,
      least: 1,
      most: 1024,
    }) as number,
    weakness: flags.weakness === undefined ? null : weaknessOf(flags.weakness),
    reference: flags.reference !== false,
  };
}

function votesOf(text: string): [number, ...number[]] {
  const bounds = { whole: true, least: 1, most: judgingLimits.votes };
  const votes = text.split(",").map((part) => numberFlag("--votes", part.trim(), bounds) as number);
  const [first, ...rest] = [...new Set(votes)].sort((a, b) => a - b);
  return [first as number, ...rest];
}

function keepOf(text: string): KeepRule[] {
  const parts = text.split(",").map((part) => part.trim());
  if (parts.length === 1 && (parts[0] === "none" || parts[0] === "0")) return [];
  const rules = parts.map((part): KeepRule => {
    if (part === "half" || part === "quarter" || part === "all") return part;
    if (/^\d+$/.test(part)) {
      return numberFlag("--meta-keep", part, { whole: true, least: 1, most: judgingLimits.votes }) as number;
    }
    throw invalid("--meta-keep", `must be half, quarter, all, none or a number, got ${JSON.stringify(part)}`);
  });
  return [...new Set(rules)];
}

function weaknessOf(text: string): { loser: string; winner: string } {
  const [loser = "", winner = "", ...more] = text.split(",").map((part) => part.trim());
  if (loser === "" || winner === "" || more.length > 0 || loser === winner) {
    throw invalid("--weakness", `must be two models, A,B, got ${JSON.stringify(text)}`);
  }
  return { loser, winner };
}
