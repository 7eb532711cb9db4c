/** `covote eval` as a command: benchmark files in, accuracy against votes out. */

import { createHash } from "node:crypto";
import { accessSync, constants, readFileSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { systemClock } from "../../lib/core/clock.js";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { type CheckpointRole, checkpointFolder } from "../../lib/runtime/checkpoints.js";
import { engineOf } from "../../lib/runtime/engines.js";
import { openBaselineFolder } from "../baselines/folder.js";
import { baselineVersion, openBaselineJudge } from "../baselines/judge.js";
import { compileFlags, withConfig } from "../options.js";
import { styleFor } from "../run/display.js";
import { createRewardClient } from "../score/ask.js";
import { openTarget } from "../score/target.js";
import { columnsOf, interruption, type Terminal } from "../terminal.js";
import { withTls } from "../tls-options.js";
import { serviceJudge } from "./ask-items.js";
import { type EvalFlags, planOf } from "./flags.js";
import { drawEvaluation } from "./plot.js";
import { createProgress } from "./progress.js";
import { evaluationForMachines, renderEvaluation } from "./render.js";
import { runEvaluation } from "./run.js";

const help = `
DATA is one file or more, JSON Lines or a JSON array, as these benchmarks are published (--format names them):
  jsonl, rewardbench, rewardbench-2, rm-bench, rmb, ppe-human, ppe-correctness, ppe-best-of-k, judgebench, llmbar,
  realmistake. docs/evaluation.md says which fields and which rules.
A line of plain JSONL:
  {"query": "text", "responses": ["text", "text"], "best": 0, "subset": "optional", "models": ["optional", "names"]}

Every item is asked once for the most votes; smaller numbers are drawn from them without replacement. The votes are
kept in a file that covote tally reads; after an interruption the same command goes on from it.

The judge is the cluster at --address or the one that runs here; with --grm or --meta-rm, or when none runs, the
judging services are started here for as long as it takes. --baseline judges in this process, without services.

Example:
  covote eval items.jsonl --votes 1,2,4,8,16,32 --meta-keep half --greedy --plot accuracy.svg
  covote eval rewardbench.jsonl --limit 200 --votes 1,8 --json
  covote eval items.jsonl --grm models/mine-rl --record rl.jsonl --against base.jsonl
  covote eval items.jsonl --split 4 --record split.jsonl --against joint.jsonl
`;

export function evalCommand(terminal: Terminal): Command {
  return withTls(withConfig(new Command("eval")))
    .description(
      "Accuracy of the reward model on benchmark files against the number of votes, with intervals",
    )
    .argument("<data...>", "benchmark files")
    .option("--votes <list>", "numbers of votes to compare", "1,2,4,8")
    .option(
      "--meta-keep <rule>",
      "votes kept by the meta reward model: half, quarter, all, a number, a list of these, or none",
      "half",
    )
    .option("--greedy", "also one judgment at temperature 0")
    .option("--temperature <number>", "sampling temperature of the votes (default: judging.temperature)")
    .option("--seed <number>", "of votes, draws and intervals", "1")
    .option("--format <name>", "whose records they are", "auto")
    .option("--limit <records>", "at most so many records of each benchmark, drawn by the seed")
    .option("--panel-limit <count>", "most responses shown together (default: all, as far as the judge can)")
    .option("--split <sets>", "sets of principles drawn apart for each query; 0: each vote writes its own")
    .option("--no-reference", "keep reference answers from the judge")
    .option("--deadline <ms>", "time for one item", "120000")
    .option("--concurrency <items>", "items in flight", "16")
    .option("--record <file>", "where the votes are kept (default: below runs/eval)")
    .option("--grm <checkpoint>", "judge with this checkpoint, started here")
    .option("--meta-rm <checkpoint>", "filter with this checkpoint, started here")
    .option("--baseline <folder>", "judge with a baseline that covote spct baseline made")
    .option("--address <host:port>", "gRPC address of a running cluster")
    .option("--weakness <A,B>", "report which principles go with model A's losses against model B")
    .option("--against <file>", "compare with another judge's votes on the same items, item by item")
    .option("--plot <file>", "write accuracy against votes as an SVG")
    .option("--json", "print one JSON object")
    .addHelpText("after", help)
    .action(async (files: string[], flags: EvalFlags) => {
      const plan = planOf(flags);
      const own = flags.grm !== undefined || flags.metaRm !== undefined;
      const config = compileFlags(
        flags,
        {
          "grm.checkpoint": flags.grm,
          "metaRm.checkpoint": flags.metaRm,
          // No cluster that runs here has these models.
          "grpc.address": own ? "127.0.0.1:0" : undefined,
        },
        terminal.env,
      );
      if (flags.plot !== undefined) checkPlot(flags.plot);
      const baseline = flags.baseline === undefined ? null : openBaselineFolder("--baseline", flags.baseline);
      const clock = systemClock();
      const note = (text: string): void => void terminal.stderr.write(`covote: ${text}\n`);
      const interrupted = interruption(terminal);
      try {
        const evaluation = await runEvaluation({
          files,
          plan,
          temperature: plan.temperature ?? config.judging.temperature,
          record: flags.record ?? null,
          against: flags.against ?? null,
          judge: baseline === null ? judgeName(config, flags.address) : baselineVersion(baseline),
          signal: interrupted.signal,
          clock,
          open: async () => {
            if (baseline !== null) {
              const judge = await openBaselineJudge(baseline, availableParallelism());
              return { judge, failed: judge.failed, close: judge.close };
            }
            const target = await openTarget({
              config,
              address: flags.address,
              tls: flags,
              env: terminal.env,
              clock,
              note,
            });
            const client = createRewardClient(target.address, clock, target.credentials);
            const close = async (): Promise<void> => {
              client.close();
              await target.close();
            };
            return { judge: serviceJudge(client, plan.deadlineMs), failed: target.failed, close };
          },
          progress: (total, kept) => createProgress(terminal.stderr, clock, total, kept),
          note,
        });
        if (flags.plot !== undefined) writeFileSync(flags.plot, drawEvaluation(evaluation.benchmarks));
        const lines =
          flags.json === true
            ? [JSON.stringify(evaluationForMachines(evaluation))]
            : renderEvaluation(evaluation, columnsOf(terminal), styleFor(terminal.stdout, terminal.env));
        terminal.stdout.write(`${lines.join("\n")}\n`);
        if (evaluation.benchmarks.every(({ judged }) => judged === 0)) {
          throw new CovoteError("failed_precondition", "no item could be judged");
        }
      } finally {
        interrupted.release();
      }
    });
}

/** Of the reward service, for the name of the votes file. */
function judgeName(config: CovoteConfig, address: string | undefined): string {
  if (address !== undefined) return address;
  return [config.grpc.address, fingerprintOf(config, "grm"), fingerprintOf(config, "meta-rm")].join(" ");
}

/** Of a checkpoint's weights, so that a model trained anew in the same folder is another judge. */
function fingerprintOf(config: CovoteConfig, role: CheckpointRole): string {
  const { engine } = engineOf(config, role);
  if (engine.kind === "openai") return [...engine.endpoints, engine.model ?? ""].join(",");
  try {
    const weights = readFileSync(join(checkpointFolder(config, role), "model.safetensors"));
    return createHash("sha256").update(weights).digest("hex").slice(0, 16);
  } catch {
    // Not here: then it is a running cluster that judges, with models of its own.
    return "none";
  }
}

/** A place that cannot be written to is told before anything is asked. */
function checkPlot(file: string): void {
  try {
    accessSync(dirname(file), constants.W_OK);
    if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true) throw new Error("it is a folder");
  } catch (thrown) {
    const problem = thrown instanceof Error ? thrown.message : String(thrown);
    throw invalid("--plot", `${file} cannot be written: ${problem}`);
  }
}
