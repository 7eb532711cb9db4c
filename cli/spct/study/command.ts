/** `covote spct study`: the whole story on postcards, from the base to the evaluation, and the document about it. */
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join, resolve } from "node:path";
import { Command } from "commander";
import { invalid } from "../../../lib/core/errors.js";
import { packagePath } from "../../../lib/core/package-root.js";
import { numberFlag } from "../../options.js";
import { interruption, type Terminal } from "../../terminal.js";
import { drawFindings } from "./chart.js";
import { type Contender, type ContenderGroup, contenderSeed, contendersOf } from "./contenders.js";
import { stageDefaults } from "./defaults.js";
import { findingsDocument } from "./document.js";
import { findingsOf } from "./findings.js";
import { findingsJson } from "./json.js";
import { policyStages } from "./policies.js";
import { runStages } from "./run-stages.js";
import { tinyStudy, wholeStudy } from "./size.js";
import { runStage, type Stage } from "./stage.js";
import { at, baseStage, dataStages, judges, studyBase, trainingStages, voteStages } from "./stages.js";

interface StudyFlags {
  seeds: string;
  dir?: string;
  out: string;
  base?: string;
  policies?: string | true;
  ablations?: string | true;
  baselines?: string | true;
  split?: boolean;
  tiny?: boolean;
  jobs: string;
  json?: boolean;
}

const help = `
Example:
  covote spct study --seeds 1,2,3 --ablations --baselines --policies
  covote spct study --ablations no-rft,no-hints

It goes on where it was stopped: what a stage left in --dir is not made again, unless it was made from something else.
Ablations: no-principles, no-hints, no-rejection, no-corpus, no-rft. Baselines: pick, pairwise, scalar, semi-scalar.
`;

export function studyCommand(terminal: Terminal): Command {
  return new Command("study")
    .description("The whole story on postcards: RFT, RL, meta RM, evaluation, and a document with the tables")
    .option("--seeds <list>", "seeds, one run of everything for each", "1")
    .option(
      "--base <folder>",
      "reward model to begin with (default: the shipped one, having been taught hints)",
    )
    .option("--dir <folder>", "where everything is kept (default: runs/spct-study, or runs/spct-tiny)")
    .option("--out <folder>", "where spct.md and spct.json are written", packagePath("docs", "results"))
    .option("--ablations [list]", "also full SPCT without one of its parts, seed 1")
    .option("--baselines [list]", "also what a reward model is compared with, seed 1")
    .option("--split", "also votes on principles that were drawn apart, seed 1")
    .option("--policies [seeds]", "also train policies on few and on many votes, of all seeds or of some")
    .option("--tiny", "few items and steps, to see whether all parts work; the figures mean nothing")
    .option("--jobs <count>", "stages that run at a time", `${availableParallelism()}`)
    .option("--json", "print the figures as one JSON object, nothing else")
    .addHelpText("after", help)
    .action(async (flags: StudyFlags, command: Command) => {
      const seeds = flags.seeds.split(",").map((text) => seedOf(text, "--seeds"));
      const jobs = numberFlag("--jobs", flags.jobs, { whole: true, least: 1, most: 256 }) as number;
      const size = flags.tiny === true ? tinyStudy : wholeStudy;
      const dir = resolve(flags.dir ?? (flags.tiny === true ? "runs/spct-tiny" : "runs/spct-study"));
      const base = flags.base === undefined ? studyBase : resolve(flags.base);
      const policySeeds = policySeedsOf(flags.policies, seeds);
      const contenders = chosen(contendersOf(base, size), flags);
      if (contenders.length > 0 && !seeds.includes(contenderSeed)) {
        throw invalid("--seeds", `must include ${contenderSeed}, which the comparisons are made with`);
      }
      const stages: Stage[] = [
        ...(flags.base === undefined ? [baseStage(packagePath("models", "postcards-grm"), size)] : []),
        ...dataStages(size),
        ...seeds.flatMap((seed) => [...trainingStages(seed, base, size), ...voteStages(seed, base, size)]),
        ...contenders.flatMap((contender) => contender.stages),
        ...policySeeds.flatMap((seed) => policyStages(seed, base, size)),
      ];
      const say = (line: string): void => {
        if (flags.json !== true) terminal.stderr.write(`${line}\n`);
      };
      mkdirSync(dir, { recursive: true });
      const defaults = stageDefaults(terminal, command.parent ?? command);
      const interrupted = interruption(terminal);
      try {
        const { signal } = interrupted;
        await runStages(stages, {
          jobs,
          run: (stage) =>
            runStage(stage, { dir, defaults, signal, say: (line) => say(`${stage.title}: ${line}`) }),
        });
      } finally {
        interrupted.release();
      }
      const findings = findingsOf({
        ...{ dir, seeds, contenders, stages, policySeeds },
        about: {
          date: new Date().toISOString().slice(0, 10),
          machine: `${availableParallelism()} cores of ${cpus()[0]?.model ?? "an unknown processor"}, Node ${process.versions.node}`,
          command: ["covote spct study", ...given(flags)].join(" "),
        },
      });
      mkdirSync(flags.out, { recursive: true });
      const json = findingsJson(findings);
      writeFileSync(join(flags.out, "spct.json"), `${JSON.stringify(json, null, 2)}\n`);
      writeFileSync(join(flags.out, "spct.md"), findingsDocument(findings));
      writeFileSync(join(flags.out, "spct.svg"), drawFindings(findings));
      for (const judge of judges) {
        const plot = join(dir, at(seeds[0] as number, `${judge}.svg`));
        if (existsSync(plot)) copyFileSync(plot, join(flags.out, `spct-${judge}.svg`));
      }
      terminal.stdout.write(flags.json ? `${JSON.stringify(json)}\n` : `${join(flags.out, "spct.md")}\n`);
    });
}

function seedOf(text: string, flag: string): number {
  const seed = Number(text);
  if (/^\d{1,9}$/.test(text)) return seed;
  throw invalid(flag, `must be whole numbers with commas between, got ${JSON.stringify(text)}`);
}

/** Of the study's seeds, whose meta RMs they use. */
function policySeedsOf(flag: StudyFlags["policies"], seeds: readonly number[]): number[] {
  if (flag === undefined || flag === true) return flag === true ? [...seeds] : [];
  const some = flag.split(",").map((text) => seedOf(text, "--policies"));
  const other = some.find((seed) => !seeds.includes(seed));
  if (other === undefined) return some;
  throw invalid("--policies", `must be of the study's seeds (${seeds.join(", ")}), got ${other}`);
}

/** Those of the groups that were asked for; throws for a name that nobody has. */
function chosen(all: readonly Contender[], flags: StudyFlags): Contender[] {
  const wanted = (group: ContenderGroup, asked: string | boolean | undefined, prefix = ""): Contender[] => {
    const members = all.filter((each) => each.group === group);
    if (asked === undefined || asked === false) return [];
    if (asked === true) return members;
    return asked.split(",").map((name) => {
      const found = members.find(({ id }) => id === `${prefix}${name}`);
      if (found !== undefined) return found;
      const known = members.map(({ id }) => id.slice(prefix.length)).join(", ");
      throw invalid(`--${group}`, `must be of ${known}, got ${JSON.stringify(name)}`);
    });
  };
  return [
    ...wanted("ablations", flags.ablations),
    ...wanted("baselines", flags.baselines, "baseline-"),
    ...wanted("split", flags.split),
  ];
}

/** The flags that decide what was measured, as they were given. */
function given({ seeds, ablations, baselines, split, policies, tiny }: StudyFlags): string[] {
  const listed = { ablations, baselines, split, policies, tiny };
  return [
    `--seeds ${seeds}`,
    ...Object.entries(listed).flatMap(([name, value]) => {
      if (value === undefined || value === false) return [];
      return [value === true ? `--${name}` : `--${name} ${value}`];
    }),
  ];
}
