/** The findings for people: `spct.md`. Pure. */
import { columns, greedy } from "./conditions.js";
import { type ContenderGroup, contenderSeed } from "./contenders.js";
import type { Estimate, Figure } from "./figures.js";
import type { Figures, Findings } from "./findings.js";
import { judgeNames, judges } from "./stages.js";

export function findingsDocument(findings: Findings): string {
  const { date, machine, command, seeds, items } = findings;
  const subsets = Object.keys(items);
  const counted = subsets.map((name) => `${items[name]} ${name}`).join(" and ");
  const many = seeds.length > 1;
  return [
    "# SPCT on postcards",
    "",
    `Measured ${date} on ${machine} with \`${command}\`, ${many ? "seeds" : "seed"} ${seeds.join(", ")}.`,
    "",
    `Accuracy in percent on ${counted}, held-out, whose best response the oracle knows; ties are shared. \`vote@k\` sums`,
    "k votes sampled at temperature 1; `meta@k` sums the half of them that the meta RM rates highest (each judge has a",
    "meta RM of its own); `greedy` is one judgment at temperature 0. With fewer votes than were cast, a figure is the",
    "mean over all draws that share no vote.",
    "",
    `In brackets 95 % intervals of a bootstrap over items (within subsets, 2,000 draws). ${
      many
        ? "Over several seeds an item counts with the mean of its seeds: intervals say how sure the items make a figure, not how much seeds differ; `by_seed` in spct.json does."
        : "They say how sure the items make a figure, not how another seed would have come out."
    }`,
    "",
    "The base is the reward model that comes with covote, taught for a few steps more what a hint is.",
    "",
    "![Accuracy against votes](spct.svg)",
    "",
    `Each judge alone, ${many ? "of the first seed, " : ""}with intervals: ${judges.map((judge) => `[${judgeNames[judge]}](spct-${judge}.svg)`).join(", ")}.`,
    "",
    "## All items",
    "",
    ...mainTable(findings, null),
    "",
    ...subsets.flatMap((subset) => [`## ${capital(subset)}`, "", ...mainTable(findings, subset), ""]),
    "## What each step brings",
    "",
    "Points, with paired intervals.",
    "",
    `| step | all | ${subsets.join(" | ")} |`,
    `|---|---|${subsets.map(() => "---|").join("")}`,
    ...findings.gaps.map(({ title, figure }) => {
      const cells = [null, ...subsets].map((subset) => gainCell(partOf(figure, subset)));
      return `| ${title} | ${cells.join(" | ")} |`;
    }),
    "",
    ...keepSection(findings),
    ...contenderSection(findings, "ablations", "Ablations", [
      `The same as full SPCT (RL, seed ${contenderSeed}) but for one thing; in each second row the difference to it, paired by item.`,
      "Tokens are those that a vote generates, its own above full SPCT's.",
    ]),
    ...contenderSection(findings, "baselines", "Baselines", [
      `Trained from the same base on the same kind of data (seed ${contenderSeed}); in each second row the difference to full SPCT. A scalar`,
      "that no dice decide has the same figure in every column.",
    ]),
    ...contenderSection(findings, "split", "Principles drawn apart", [
      "The RL judge with principles drawn once per query and given to its votes, against votes that write their own. The",
      "tokens of a vote include its share in the drawing.",
    ]),
    ...policySection(findings),
    "## Time",
    "",
    "| stage | seconds |",
    "|---|---:|",
    ...findings.seconds.map(({ title, seconds }) => `| ${title} | ${Math.round(seconds)} |`),
    "",
  ].join("\n");
}

function mainTable({ accuracy }: Findings, subset: string | null): string[] {
  return [
    `| judge | ${columns.map(({ name }) => name).join(" | ")} |`,
    `|---|${columns.map(() => "---|").join("")}`,
    ...judges.map((judge) => {
      const cells = columns.map(({ name }) => cell(partOf(accuracy[judge][name] ?? null, subset)));
      return `| ${judgeNames[judge]} | ${cells.join(" | ")} |`;
    }),
  ];
}

function keepSection({ keep }: Findings): string[] {
  return [
    "## How many votes the meta RM keeps",
    "",
    "Of the RL judge's votes; the gain is that over summing all of them.",
    "",
    "| votes | kept | accuracy | gain |",
    "|---:|---:|---|---|",
    ...keep.flatMap(({ k, rows }) =>
      rows.map((row) => {
        const gain = row.keep === k ? "" : gainCell(row.gain?.overall ?? null);
        return `| ${k} | ${row.keep} | ${cell(row.accuracy?.overall ?? null)} | ${gain} |`;
      }),
    ),
    "",
  ];
}

function contenderSection(
  { contenders, items }: Findings,
  group: ContenderGroup,
  heading: string,
  words: readonly string[],
): string[] {
  const rows = contenders.filter(({ contender }) => contender.group === group);
  if (rows.length === 0) return [];
  const shown = columns
    .map(({ name }) => ({ heading: name, name, subset: null as string | null }))
    .filter(({ name }) => rows.some(({ accuracy }) => (accuracy[name] ?? null) !== null));
  const parts = Object.keys(items).map((subset) => ({
    heading: `${greedy.name}, ${subset}`,
    name: greedy.name,
    subset,
  }));
  const all = [...shown, ...parts];
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    `## ${heading}`,
    "",
    ...words,
    "",
    line(["", ...all.map((column) => column.heading), "tokens a vote"]),
    `|---|${all.map(() => "---|").join("")}---:|`,
    ...rows.flatMap(({ contender, accuracy, gain, tokens }) => {
      const of = (figures: Figures) => all.map(({ name, subset }) => partOf(figures[name] ?? null, subset));
      const cost = (count: number | null): string => (count === null ? "–" : count.toFixed(1));
      return [
        line([contender.title, ...of(accuracy).map(cell), cost(tokens.own)]),
        line(["", ...of(gain).map(gainCell), cost(tokens.full)]),
      ];
    }),
    "",
  ];
}

function policySection({ policies }: Findings): string[] {
  const [first] = policies;
  if (first === undefined) return [];
  const seeds = first.seeds.map(({ seed }) => seed);
  return [
    "## What votes are worth to a policy",
    "",
    "Policies trained with the base as their judge and the same number of votes: oracle utility on 200 held-out queries",
    "after training (before: the mean over seeds). Intervals over seeds, by Student's t; the gain is over the first row,",
    "paired by seed.",
    "",
    `| votes on a response | before | ${seeds.map((seed) => `seed ${seed}`).join(" | ")} | mean | gain | votes |`,
    `|---|---|${seeds.map(() => "---|").join("")}---|---|---:|`,
    ...policies.map(({ spending, seeds: of, after, gain, votes }) => {
      const before = of.reduce((sum, run) => sum + run.before, 0) / of.length;
      const cells = of.map((run) => run.after.toFixed(3));
      const won = gain === null ? "" : utility(gain, true);
      return `| ${spending} | ${before.toFixed(3)} | ${cells.join(" | ")} | ${utility(after)} | ${won} | ${Math.round(votes)} |`;
    }),
    "",
  ];
}

function utility(
  { value, low, high }: { value: number; low: number | null; high: number | null },
  signed = false,
): string {
  const text = (x: number): string =>
    (signed && x >= 0 ? `+${x.toFixed(3)}` : x.toFixed(3)).replace("-", "−");
  return low === null || high === null ? text(value) : `${text(value)} (${text(low)} to ${text(high)})`;
}

function partOf(figure: Figure | null, subset: string | null): Estimate | null {
  if (figure === null) return null;
  return subset === null ? figure.overall : (figure.subsets[subset] ?? null);
}

function cell(estimate: Estimate | null): string {
  if (estimate === null) return "–";
  const percent = (share: number): string => (100 * share).toFixed(1);
  return `${percent(estimate.value)} (${percent(estimate.low)}–${percent(estimate.high)})`;
}

function gainCell(estimate: Estimate | null): string {
  if (estimate === null) return "–";
  return `${points(estimate.value)} (${points(estimate.low)} to ${points(estimate.high)})`;
}

function points(share: number): string {
  const text = (100 * share).toFixed(1);
  return share < 0 ? text.replace("-", "−") : `+${text}`;
}

function capital(text: string): string {
  return `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}`;
}
