/** `covote plan`: how many steps per hour a budget of GPUs makes, with which split, at which k. */
import { writeFileSync } from "node:fs";
import { Command } from "commander";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { numberFlag } from "../options.js";
import type { Terminal } from "../terminal.js";
import { type Plan, type PlanInputs, planBudget } from "./estimate.js";
import { drawPlan } from "./plot.js";
import { figuresOfRun } from "./run-figures.js";

interface NumberOption {
  field: keyof PlanInputs;
  flag: string;
  help: string;
  fallback: number;
  least: number;
  most: number;
  whole?: boolean;
}

const sizes = { least: 1, most: 65_536, whole: true };
const lengths = { least: 1, most: 1_000_000 };
const speeds = { least: 1, most: 10_000_000 };
const gpus = { least: 1, most: 64, whole: true };

const options: readonly NumberOption[] = [
  {
    field: "groupSize",
    flag: "--group-size",
    help: "responses of a group",
    fallback: 16,
    ...sizes,
    most: 256,
  },
  { field: "groupsPerStep", flag: "--groups", help: "groups of a step", fallback: 64, ...sizes },
  {
    field: "panelSize",
    flag: "--panel",
    help: "responses that a vote sees",
    fallback: 8,
    ...sizes,
    most: 64,
  },
  { field: "k", flag: "--k", help: "votes per panel", fallback: 8, ...sizes, most: 256 },
  {
    field: "responseTokens",
    flag: "--response-tokens",
    help: "mean length of a response",
    fallback: 2000,
    ...lengths,
  },
  { field: "voteTokens", flag: "--vote-tokens", help: "mean length of a vote", fallback: 1000, ...lengths },
  {
    field: "promptTokens",
    flag: "--prompt-tokens",
    help: "mean length of a query",
    fallback: 500,
    ...lengths,
  },
  {
    field: "policyTokensPerS",
    flag: "--policy-tokens-per-s",
    help: "tokens a second of a full policy replica",
    fallback: 3800,
    ...speeds,
  },
  {
    field: "grmTokensPerS",
    flag: "--grm-tokens-per-s",
    help: "tokens a second of a full GRM replica",
    fallback: 3800,
    ...speeds,
  },
  {
    field: "metaTokensPerS",
    flag: "--meta-tokens-per-s",
    help: "tokens a second that a full meta-RM replica reads",
    fallback: 90_000,
    ...speeds,
  },
  { field: "policyGpus", flag: "--policy-gpus", help: "GPUs of a policy replica", fallback: 1, ...gpus },
  { field: "grmGpus", flag: "--grm-gpus", help: "GPUs of a GRM replica", fallback: 1, ...gpus },
  { field: "metaGpus", flag: "--meta-gpus", help: "GPUs of a meta-RM replica", fallback: 1, ...gpus },
  {
    field: "learnerStepS",
    flag: "--learner-step-s",
    help: "seconds that the learner takes",
    fallback: 10,
    least: 0.001,
    most: 86_400,
  },
  {
    field: "maxStaleness",
    flag: "--max-staleness",
    help: "versions between sampling and training",
    fallback: 4,
    least: 0,
    most: 64,
    whole: true,
  },
  {
    field: "seed",
    flag: "--seed",
    help: "seed of the simulation",
    fallback: 1,
    least: 0,
    most: 1e9,
    whole: true,
  },
];

const help = `
Flags win over what --run says, and that over the defaults, which are a 7B model on one GPU. The learner's GPUs are not
part of the budget. docs/scaling.md says what the simulator knows and what it does not.

Examples:
  covote plan --gpus 64 --policy-gpus 2 --grm-gpus 2 --response-tokens 8000
  covote plan --gpus 8 --run runs/2026-12-01-1-abc --plot plan.svg
`;

type Flags = Record<string, string | boolean | undefined> & {
  gpus?: string;
  run?: string;
  plot?: string;
  json?: boolean;
};

export function planCommand(terminal: Terminal): Command {
  const command = new Command("plan")
    .description("Steps per hour, split and k for a budget of GPUs")
    .option("--gpus <n>", "GPUs for policy, GRM and meta RM together")
    .option("--run <folder>", "take sizes and lengths from this run");
  for (const { flag, help: what, fallback } of options)
    command.option(`${flag} <n>`, `${what} (default ${fallback})`);
  return command
    .option("--plot <file>", "write the split and the steps per hour by k as an SVG")
    .option("--json", "print one JSON object")
    .addHelpText("after", help)
    .action((flags: Flags) => {
      const plan = planBudget(inputsOf(flags));
      if (flags.plot !== undefined) writePlot(flags.plot, plan);
      terminal.stdout.write(flags.json === true ? `${JSON.stringify(toJson(plan))}\n` : render(plan));
    });
}

function inputsOf(flags: Flags): PlanInputs {
  const budget = numberFlag("--gpus", flags.gpus, { least: 1, most: 4096, whole: true });
  if (budget === undefined) throw invalid("--gpus", "is missing; say how many GPUs there are");
  const measured = flags.run === undefined ? {} : figuresOfRun(flags.run);
  const inputs: Partial<PlanInputs> = { gpus: budget };
  for (const { field, flag, fallback, ...bounds } of options) {
    const name = flag.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const given = numberFlag(flag, flags[name] as string | undefined, bounds);
    inputs[field] = given ?? measured[field] ?? fallback;
  }
  const all = inputs as PlanInputs;
  return { ...all, panelSize: Math.min(all.panelSize, all.groupSize) };
}

function writePlot(file: string, plan: Plan): void {
  try {
    writeFileSync(file, drawPlan(plan));
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? "unknown";
    throw new CovoteError("failed_precondition", `--plot: cannot write ${file} (${why})`, {
      field: "--plot",
      cause,
    });
  }
}

const limits = { policy: "policy", grm: "GRM", metaRm: "meta RM", learner: "learner" };

function render({ inputs, chosen, simulatedStepsPerHour, byVotes, freeVotes }: Plan): string {
  const row = (cells: readonly (string | number)[]): string =>
    cells.map((cell, i) => String(cell).padStart([6, 14, 12, 12, 14, 12][i] ?? 12)).join("");
  const rows = byVotes.map(({ k, replicas, stepsPerHour, limit }) =>
    row([
      k === inputs.k ? `› ${k}` : k,
      replicas.policy,
      replicas.grm,
      replicas.metaRm,
      stepsPerHour.toFixed(stepsPerHour < 10 ? 2 : 1),
      limits[limit],
    ]),
  );
  const { policy, grm, metaRm } = chosen.replicas;
  return [
    `${inputs.gpus} GPUs, ${inputs.groupsPerStep} groups of ${inputs.groupSize} a step, k = ${inputs.k}:`,
    `  ${policy} policy, ${grm} GRM and ${metaRm} meta-RM replicas make ${simulatedStepsPerHour.toFixed(1)} steps per hour, simulated with tails`,
    `  and staleness ${inputs.maxStaleness}; ${chosen.stepsPerHour.toFixed(1)} at most, if none ever waited for another.`,
    freeVotes === null
      ? "  Every further vote costs steps."
      : `  Up to k = ${freeVotes} votes cost less than a twentieth of the steps of a single one.`,
    "",
    row(["k", "policy repl.", "GRM repl.", "meta repl.", "steps/h ≤", "limit"]),
    ...rows,
    "",
  ].join("\n");
}

function toJson({ inputs, chosen, simulatedStepsPerHour, byVotes, freeVotes }: Plan): unknown {
  const split = ({ k, replicas, gpus: taken, stepsPerHour, limit }: Plan["chosen"]): unknown => ({
    k,
    replicas,
    gpus: taken,
    steps_per_hour: Number(stepsPerHour.toFixed(4)),
    limit,
  });
  return {
    inputs,
    ...(split(chosen) as object),
    simulated_steps_per_hour: Number(simulatedStepsPerHour.toFixed(4)),
    free_votes: freeVotes,
    by_votes: byVotes.map(split),
  };
}
