/** `covote score` as a command: a query and responses in, rewards with everything behind them out. */
import { Command } from "commander";
import { systemClock } from "../../lib/core/clock.js";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { judgingLimits } from "../../lib/grm/limits.js";
import type { JudgingOptions } from "../../lib/wire/gen/covote/v1/reward.js";
import { type ConfigFlags, collect, compileFlags, numberFlag, withConfig } from "../options.js";
import { linesOf, readLines } from "../read-lines.js";
import { styleFor } from "../run/display.js";
import { columnsOf, interruption, type Terminal } from "../terminal.js";
import { type TlsFlags, withTls } from "../tls-options.js";
import { createRewardClient, type Scored } from "./ask.js";
import { readTasks, type ScoreTask, taskOfFlags } from "./input.js";
import { renderScored, scoredForMachines } from "./render.js";
import { scoreAll } from "./score.js";
import { openTarget } from "./target.js";

interface ScoreFlags extends ConfigFlags, TlsFlags {
  query?: string;
  response?: string[];
  step?: string[];
  reference?: string;
  file?: string;
  votes?: string;
  metaKeep?: string;
  temperature?: string;
  split?: string;
  seed: string;
  deadline?: string;
  address?: string;
  json?: boolean;
}

const help = `
Asks the cluster at --address, or the one that runs on this machine (grpc.address); if none does, the judging
services are started here for as long as it takes. --config and --set are for those.

A line of a file, or of standard input when neither --query nor --file is given:
  {"query": "text", "responses": ["text", "text"], "reference": "optional", "id": "optional"}
query may also be a list of {"role", "content"}, and a response {"steps": ["text", "text"]}: then each step gets a
reward beside the whole response. A judge whose grammar has no place for steps judges the response up to each step
instead (step_form prefix), as that of the demo world does.

With a reference the judge holds every response against it, and so does the meta reward model. The grammar of the
demo world has no place for one: there the rewards are null, refused.

A response that could not be judged has the reward null with its reason; that is an answer, and the exit code is 0.
It is 1 when a group was refused or got no answer, and 2 when nothing could be asked at all.

Example:
  covote score --query "query to aunt from sea be thanks ." --response "dear aunt shells" --response "hey"
  covote score --file groups.jsonl --votes 8 --meta-keep 4 --json
`;

export function scoreCommand(terminal: Terminal): Command {
  return withTls(withConfig(new Command("score")))
    .description(
      "Rewards for the responses to a query, by votes of the reward model, with principles and critiques",
    )
    .option("--query <text>", "what the responses answer")
    .option("--response <text>", "a response; repeatable", collect)
    .option("--step <text>", "a step of one response more, that is given as steps; repeatable", collect)
    .option("--reference <text>", "an answer that is known to be right; @FILE takes it from a file")
    .option("--file <file>", "many groups, one per line (JSON Lines); - is standard input")
    .option("--votes <count>", "votes on every response (default: the cluster's)")
    .option("--meta-keep <count>", "votes kept by the meta reward model; 0 is without it")
    .option("--temperature <number>", "sampling temperature of the votes")
    .option("--split <sets>", "sets of principles drawn apart for the query; 0: each vote writes its own")
    .option("--seed <number>", "the same seed gives the same votes", "1")
    .option("--deadline <ms>", "time for one group; then the best answer so far counts")
    .option("--address <host:port>", "gRPC address of a running cluster")
    .option("--json", "print one JSON object per group")
    .addHelpText("after", help)
    .action(async (flags: ScoreFlags) => {
      const judging = judgingOf(flags);
      const tasks = await tasksOf(flags, terminal);
      const config = compileFlags(flags, {}, terminal.env);
      const clock = systemClock();
      const note = (text: string): void => void terminal.stderr.write(`covote: ${text}\n`);
      const interrupted = interruption(terminal);
      try {
        const target = await openTarget({
          config,
          address: flags.address,
          tls: flags,
          env: terminal.env,
          clock,
          note,
        });
        if (!target.own && (flags.config !== undefined || flags.set !== undefined)) {
          note(
            `the cluster at ${target.address} has its own configuration; --config and --set do not change it`,
          );
        }
        const client = createRewardClient(target.address, clock, target.credentials);
        try {
          const scoring = scoreAll(client, tasks, {
            judging,
            signal: interrupted.signal,
            answered: (task, answer) => show(task, answer, tasks.length, flags.json === true, terminal),
          });
          await Promise.race([scoring, target.failed.then((cause) => Promise.reject(cause))]);
        } finally {
          client.close();
          await target.close();
        }
      } finally {
        interrupted.release();
      }
    });
}

function judgingOf(flags: ScoreFlags): JudgingOptions {
  const votes = numberFlag("--votes", flags.votes, { whole: true, least: 1, most: 128 });
  const metaKeep = numberFlag("--meta-keep", flags.metaKeep, { whole: true, least: 0, most: 128 });
  if (votes !== undefined && metaKeep !== undefined && metaKeep > votes) {
    throw invalid("--meta-keep", `must not exceed --votes (${votes}), got ${metaKeep}`);
  }
  return {
    votes,
    metaKeep,
    temperature: numberFlag("--temperature", flags.temperature, { least: 0, most: 2 }),
    seed: numberFlag("--seed", flags.seed, { whole: true, least: 0, most: 0xffffffff }),
    deadlineMs: numberFlag("--deadline", flags.deadline, { whole: true, least: 1, most: 3_600_000 }),
    panelLimit: undefined,
    split: numberFlag("--split", flags.split, { whole: true, least: 0, most: judgingLimits.split }),
  };
}

async function tasksOf(flags: ScoreFlags, terminal: Terminal): Promise<ScoreTask[]> {
  const { query, response = [], step = [], reference, file } = flags;
  const single = response.length > 0 || step.length > 0 || reference !== undefined;
  if (file !== undefined && (query !== undefined || single)) {
    throw invalid(
      "--file",
      "cannot go with --query, --response, --step and --reference; give one or the other",
    );
  }
  if (query !== undefined) return [taskOfFlags({ query, responses: response, steps: step, reference })];
  if (single) throw invalid("--query", "is missing; give what the responses answer");
  if (file !== undefined && file !== "-") return readTasks(file, readLines(file));
  if (file === undefined && terminal.stdin.isTTY === true) {
    throw invalid("--query", "is missing; give --query and --response, --file, or lines on standard input");
  }
  return readTasks("standard input", linesOf("standard input", terminal.stdin));
}

function show(
  task: ScoreTask,
  answer: Scored | CovoteError,
  groups: number,
  json: boolean,
  terminal: Terminal,
): void {
  if (!(answer instanceof CovoteError)) {
    terminal.stdout.write(
      json
        ? `${JSON.stringify(scoredForMachines(answer))}\n`
        : `${renderScored(answer, columnsOf(terminal), styleFor(terminal.stdout, terminal.env)).join("\n")}\n`,
    );
    return;
  }
  // A single group is the whole command: its error is the command's.
  if (groups === 1) throw answer;
  terminal.exitCode = 1;
  const id = task.id === null ? {} : { id: task.id };
  const { code, message, field } = answer;
  if (json)
    terminal.stdout.write(`${JSON.stringify({ ...id, error: { code, message, field: field ?? null } })}\n`);
  else terminal.stdout.write(`\n  ${task.id ?? "query"}  not judged: ${message}\n`);
}
