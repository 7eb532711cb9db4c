/**
 * `node dist/bench/main.js [NAME…]`: runs the named benchmarks, or all of them, and prints a table for each.
 * The last line of standard output is one JSON object with the figures of all that ran. Progress goes to
 * standard error. Exit code 2 for an unknown name, 1 when a benchmark failed to run; a missed target is no
 * failure.
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { CovoteError } from "../lib/core/errors.js";
import { type Bench, type BenchOptions, benchDefaults, renderResult } from "./bench.js";
import { benchEngines } from "./engines.js";
import { benchLlama } from "./llama.js";
import { benchScaling } from "./scaling.js";
import { benchVotes } from "./votes.js";

export const benches = {
  votes: benchVotes,
  engines: benchEngines,
  llama: benchLlama,
  scaling: benchScaling,
} satisfies Record<string, Bench>;

export interface BenchOutput {
  out(line: string): void;
  progress(line: string): void;
}

/** Returns the exit code. */
export async function runBenches(
  names: readonly string[],
  { out, progress }: BenchOutput,
  options: BenchOptions = benchDefaults,
): Promise<number> {
  const known = Object.keys(benches) as (keyof typeof benches)[];
  const unknown = names.find((name) => !(known as string[]).includes(name));
  if (unknown !== undefined) {
    progress(
      `covote bench: no benchmark is called ${JSON.stringify(unknown)}; choose from ${known.join(", ")}`,
    );
    return 2;
  }
  const json: Record<string, unknown> = {};
  out(`${machine()}\n`);
  for (const name of known.filter((n) => names.length === 0 || names.includes(n))) {
    try {
      const result = await benches[name]((line) => progress(`${name}: ${line}`), options);
      for (const line of renderResult(result)) out(line);
      out("");
      Object.assign(json, result.json);
    } catch (thrown) {
      progress(`covote bench ${name}: ${CovoteError.from(thrown).message}`);
      return 1;
    }
  }
  out(JSON.stringify(json));
  return 0;
}

function machine(): string {
  const [first, ...others] = cpus();
  const cores = others.length + (first === undefined ? 0 : 1);
  return `${cores} cores of ${first?.model.trim() ?? "an unknown processor"}, Node ${process.versions.node}`;
}

/** Checked by the command line already. */
function optionsOf(flags: { seeds?: string; gpus?: string; hours?: string }): BenchOptions {
  const numbers = (list: string): number[] => list.split(",").map(Number);
  return {
    ...benchDefaults,
    ...(flags.seeds !== undefined && { seeds: numbers(flags.seeds) }),
    ...(flags.gpus !== undefined && { gpus: numbers(flags.gpus) }),
    ...(flags.hours !== undefined && { hours: Number(flags.hours) }),
  };
}

if (process.argv[1]?.endsWith("bench/main.js")) {
  const { positionals, values } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: { seeds: { type: "string" }, gpus: { type: "string" }, hours: { type: "string" } },
  });
  process.exitCode = await runBenches(
    positionals,
    { out: (line) => console.log(line), progress: (line) => console.error(line) },
    optionsOf(values),
  );
}
