/** `covote bench`: runs the benchmarks in a process of their own and passes on what they say. */
import { spawn } from "node:child_process";
import { Command } from "commander";
import { CovoteError } from "../lib/core/errors.js";
import { packagePath } from "../lib/core/package-root.js";
import { type NumberBounds, numberFlag } from "./options.js";
import type { Terminal } from "./terminal.js";

const help = `
Without names it runs all of them. The last line of standard output is one JSON object with every figure; progress
goes to standard error.

Example:
  covote bench votes
  covote bench --json | jq .votes_per_s_ratio
  covote bench scaling --seeds 1,2,3 --gpus 8,64
`;

export function benchCommand(terminal: Terminal): Command {
  return new Command("bench")
    .description(
      "Measure this machine: the vote path against raw JetStream, servers that fail, the small Llama, the planner in the simulator",
    )
    .argument("[names...]", "votes, engines, llama, scaling; default: all")
    .option("--seeds <list>", "scaling: seeds to simulate", "1")
    .option("--gpus <list>", "scaling: budgets to simulate", "8,64,1024")
    .option("--hours <n>", "scaling: length of the trainings", "12")
    .option("--json", "print only the line of JSON")
    .addHelpText("after", help)
    .action(async (names: string[], flags: BenchFlags) => {
      const scaling = scalingArguments(flags);
      const write = (text: string): void => void terminal.stdout.write(text);
      const ended = flags.json === true ? collect((text) => write(lastLine(text))) : { piece: write };
      terminal.exitCode = await runBenchmarks([...names, ...scaling], ended);
    });
}

interface BenchFlags {
  json?: boolean;
  seeds: string;
  gpus: string;
  hours: string;
}

function scalingArguments({ seeds, gpus, hours }: BenchFlags): string[] {
  const list = (flag: string, text: string, bounds: NumberBounds): void => {
    for (const part of text.split(",")) numberFlag(flag, part.trim(), bounds);
  };
  list("--seeds", seeds, { least: 0, most: 1e9, whole: true });
  list("--gpus", gpus, { least: 4, most: 4096, whole: true });
  numberFlag("--hours", hours, { least: 1, most: 240 });
  return [`--seeds=${seeds}`, `--gpus=${gpus}`, `--hours=${hours}`];
}

interface Output {
  piece(text: string): void;
  /** Called after the last piece, when the benchmarks ran to their end. */
  end?(): void;
}

/** Resolves to the exit code. */
function runBenchmarks(words: readonly string[], output: Output): Promise<number> {
  // Under the same settings of the engine as the product itself.
  const args = [...process.execArgv, packagePath("dist", "bench", "main.js"), ...words];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  child.stdout.setEncoding("utf8").on("data", output.piece);
  return new Promise((resolve, reject) => {
    child.once("error", (cause) =>
      reject(new CovoteError("internal", `the benchmarks could not be started: ${cause.message}`, { cause })),
    );
    child.once("close", (code) => {
      if (code === 0) output.end?.();
      resolve(code ?? 1);
    });
  });
}

/** Holds everything back until the end. */
function collect(done: (text: string) => void): Output {
  let held = "";
  return {
    piece: (text) => {
      held += text;
    },
    end: () => done(held),
  };
}

function lastLine(text: string): string {
  return `${text.trimEnd().split("\n").at(-1) ?? ""}\n`;
}
