/** The stages of the main story: base → RFT → RL, a meta RM for each, and their votes on held-out data. */
import { availableParallelism } from "node:os";
import { metaKeepRule } from "./conditions.js";
import type { StudySize } from "./size.js";
import type { Stage } from "./stage.js";

export const judges = ["base", "rft", "rl"] as const;
export type Judge = (typeof judges)[number];

export const judgeNames: Record<Judge, string> = { base: "base", rft: "RFT", rl: "RL" };

export const dataFiles = ["pairs.jsonl", "lists.jsonl"] as const;

/** Held-out data, the same for all seeds. */
export function dataStages({ pairs, lists }: StudySize): Stage[] {
  return [dataStage("pairs.jsonl", 2, pairs), dataStage("lists.jsonl", 4, lists)];
}

function dataStage(result: string, size: number, count: number): Stage {
  return {
    title: `${count} held-out items of ${size} responses`,
    args: ["spct", "data", "--split", "held-out", "--size", `${size}`, "--count", `${count}`],
    inputs: [],
    result,
    capture: true,
    always: true,
  };
}

/** The base that all seeds begin with: the shipped reward model, having seen hints. */
export const studyBase = "base";

export function baseStage(shipped: string, size: StudySize): Stage {
  return {
    title: "base: the shipped reward model learns to read hints",
    args: ["spct", "sft", "postcards-hinted", "--base", shipped, "--out", studyBase, ...size.base],
    inputs: [shipped],
    result: studyBase,
    capture: false,
  };
}

/** Full SPCT's rejective fine-tuning. */
export const fullRft: readonly string[] = ["--hinted", "--corpus", "postcards", "--corpus-share", "0.2"];

/** A study disturbs no cluster that runs on the machine. */
export const freePorts = ["--set", "grpc.address=127.0.0.1:0", "--set", "metrics.port=0"];

export interface TrainStage {
  seed: number;
  method: "rft" | "rl";
  /** Checkpoint that it begins with. */
  from: string;
  /** Name of the result among the seed's. */
  name: string;
  title: string;
  args: readonly string[];
}

export function trainStage({ seed, method, from, name, title, args }: TrainStage, size: StudySize): Stage {
  const result = at(seed, name);
  return {
    title: `seed ${seed}: ${title}`,
    args: [
      ...["spct", method, "postcards", "--base", from, "--out", result],
      ...["--seed", `${seed}`, "--runs", at(seed, "runs"), ...freePorts, ...args, ...size[method]],
    ],
    inputs: [from],
    result,
    capture: false,
  };
}

export function checkpointOf(judge: Judge, seed: number, base: string): string {
  return judge === "base" ? base : at(seed, judge);
}

export function metaRmOf(judge: Judge, seed: number): string {
  return at(seed, `meta-${judge}/checkpoint`);
}

/** Without the votes of the judges: those are `voteStages`. */
export function trainingStages(seed: number, base: string, size: StudySize): Stage[] {
  return [
    trainStage(
      {
        ...{ seed, method: "rft", from: base, name: "rft" },
        ...{ title: "rejective fine-tuning", args: fullRft },
      },
      size,
    ),
    trainStage(
      {
        ...{ seed, method: "rl", from: at(seed, "rft"), name: "rl" },
        ...{ title: "rule-based reinforcement", args: [] },
      },
      size,
    ),
    ...judges.map((judge) => metaRmStage(judge, seed, base, size)),
  ];
}

/** The base's meta RM is made from its judge's weights, the others from the base's: fewer steps, and better ones. */
function metaRmStage(judge: Judge, seed: number, base: string, size: StudySize): Stage {
  const grm = checkpointOf(judge, seed, base);
  const folder = at(seed, `meta-${judge}`);
  const fromBase = judge === "base" ? [] : [metaRmOf("base", seed)];
  return {
    title: `seed ${seed}: meta RM on the votes of ${judgeNames[judge]}`,
    args: [
      ...["spct", "meta-rm", "postcards", "--grm", grm, "--out", folder],
      ...["--seed", `${seed}`, "--set", `training.threads=${availableParallelism()}`],
      ...size.metaRm,
      ...fromBase.flatMap((meta) => ["--base", meta, ...size.metaRmFromBase]),
    ],
    inputs: [grm, ...fromBase],
    result: metaRmOf(judge, seed),
    capture: false,
    resume: { file: `${folder}/job.json`, args: ["spct", "meta-rm", "--resume", folder] },
  };
}

/** Every judge with all its votes and its meta RM on the held-out data. */
export function voteStages(seed: number, base: string, size: StudySize): Stage[] {
  return judges.map((judge) => {
    const grm = checkpointOf(judge, seed, base);
    return evaluation({
      ...{ seed, name: judge, title: `votes of ${judgeNames[judge]}`, judge: ["--grm", grm] },
      ...{ meta: metaRmOf(judge, seed), inputs: [grm], votes: size.votes, plot: true },
    });
  });
}

export interface EvaluationStage {
  seed: number;
  name: string;
  title: string;
  /** Flags that say who judges. */
  judge: readonly string[];
  /** Checkpoints that these read. */
  inputs: readonly string[];
  /** Null: without. */
  meta: string | null;
  votes: readonly number[];
  greedy?: boolean;
  plot?: boolean;
}

export function evaluation(options: EvaluationStage): Stage {
  const { seed, name, title, judge, inputs, meta, votes, greedy = true, plot = false } = options;
  const record = votesOf(seed, name);
  return {
    title: `seed ${seed}: ${title}`,
    args: [
      ...["eval", ...dataFiles, "--votes", votes.join(","), "--json", ...(greedy ? ["--greedy"] : [])],
      ...(meta === null ? ["--meta-keep", "none"] : ["--meta-keep", metaKeepRule, "--meta-rm", meta]),
      ...judge,
      ...["--record", record, "--seed", `${seed}`],
      ...(plot ? ["--plot", at(seed, `${name}.svg`)] : []),
    ],
    inputs: [...dataFiles, ...inputs, ...(meta === null ? [] : [meta])],
    result: at(seed, `eval-${name}.json`),
    capture: true,
    leaves: [record],
  };
}

/** File of the votes that an evaluation records. */
export function votesOf(seed: number, name: string): string {
  return at(seed, `votes-${name}.jsonl`);
}

export function at(seed: number, name: string): string {
  return `seed-${seed}/${name}`;
}
