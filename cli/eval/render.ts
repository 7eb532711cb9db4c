/** The figures of an evaluation as tables for people, and as one JSON object for machines. Pure. */
import type {
  BenchmarkEvaluation,
  ConditionResult,
  Difference,
  Score,
} from "../../lib/evaluation/evaluate.js";
import type { TokenUse } from "../../lib/evaluation/token-use.js";
import type { Weakness } from "../../lib/evaluation/weakness.js";
import { clip, count, padEnd, plural, signed, type TextStyle } from "../run/text.js";
import type { Comparison, Evaluation } from "./run.js";

/** Subsets beyond so many stand in the JSON only. */
const mostRows = 40;
const mostPrinciples = 12;
const mostNamed = 5;

export function renderEvaluation(evaluation: Evaluation, columns: number, style: TextStyle): string[] {
  const width = Math.max(60, columns - 1);
  const lines = [
    ...evaluation.benchmarks.flatMap((benchmark) => benchmarkLines(benchmark, width, style)),
    ...(evaluation.against === null ? [] : againstLines(evaluation.against, style)),
    ...(evaluation.weakness === null ? [] : weaknessLines(evaluation.weakness, style)),
  ];
  // A path and a command are of no use when they are cut.
  return [...lines.map((line) => clip(line, width)), ...closing(evaluation, style)];
}

function benchmarkLines(benchmark: BenchmarkEvaluation, columns: number, style: TextStyle): string[] {
  const { results, differences } = benchmark;
  const width = Math.max(10, ...results.map(({ condition }) => condition.name.length));
  const head = `  ${padEnd("", width)}  ${"overall".padStart(7)}   95 % interval   ${"strict".padStart(6)}  ${"ties".padStart(5)}  draws`;
  return [
    "",
    `${style.bold(benchmark.title)}  ${plural(benchmark.judged, "item")}${aside(benchmark)}`,
    "",
    style.dim(head),
    ...results.map(
      ({ condition, overall, strictAccuracy, tieRate, draws }) =>
        `  ${padEnd(condition.name, width)}  ${percent(overall.value).padStart(7)}  ${between(overall)}   ${percent(strictAccuracy).padStart(6)}  ${percent(tieRate).padStart(5)}  ${String(draws).padStart(5)}`,
    ),
    "",
    ...differences
      .filter((difference) => isHeadline(difference, results))
      .map(({ name, value, low, high }) => {
        const sure = low !== null && high !== null && (low > 0 || high < 0);
        const text = `${points(value).padStart(7)}  ${points(low)} to ${points(high)} points`;
        return `  ${padEnd(name, 2 * width + 3)}  ${sure ? style.bold(text) : text}`;
      }),
    ...subsetLines(benchmark, columns, style),
    ...notJudgedLines(benchmark, style),
  ];
}

/** Against the fewest votes, or against plain voting or greedy; the steps between are in the JSON. */
function isHeadline({ name }: Difference, results: readonly ConditionResult[]): boolean {
  const [to = "", from = ""] = name.split(" - ");
  return from === results[0]?.condition.name || !(from.startsWith("vote@") && to.startsWith("vote@"));
}

function aside({ unlabelled, items, judged, shortItems, failedVotes }: BenchmarkEvaluation): string {
  const said = [
    ...(unlabelled > 0 ? [`${plural(unlabelled, "record")} without a label left out`] : []),
    ...(judged < items ? [`${count(items - judged)} of ${count(items)} not judged`] : []),
    ...(failedVotes !== null && failedVotes > 0 ? [`${percent(failedVotes)} % of the votes failed`] : []),
    ...(shortItems > 0 ? [`${count(shortItems)} with fewer votes than asked for`] : []),
  ];
  return said.length === 0 ? "" : ` (${said.join("; ")})`;
}

function subsetLines(
  { results, measures }: BenchmarkEvaluation,
  columns: number,
  style: TextStyle,
): string[] {
  const [first] = results;
  if (first === undefined) return [];
  const shown = [
    ...Object.keys(first.figures).map((name) => ({ name, of: "figures" as const })),
    ...Object.keys(first.cells).map((name) => ({ name, of: "cells" as const })),
  ];
  if (shown.length < 2) return [];
  const label = Math.min(44, Math.max(...shown.map(({ name }) => name.length)) + 2);
  const column = Math.max(8, ...results.map(({ condition }) => condition.name.length + 2));
  const fitting = mostTelling(results, Math.floor((columns - label - 10) / column));
  const row = ({ name, of }: (typeof shown)[number]): string => {
    const values = fitting.map((result) => percent(result[of][name]?.value ?? null).padStart(column));
    const unit = measures[name] === undefined || measures[name] === "accuracy" ? "" : units[measures[name]];
    const items = count(first[of][name]?.items ?? 0).padStart(6);
    return `  ${padEnd(clip(of === "figures" ? name : `  ${name}`, label), label)}  ${items}${values.join("")}${unit}`;
  };
  const heads = fitting.map(({ condition }) => condition.name.padStart(column));
  const more = shown.length - mostRows;
  return [
    "",
    style.dim(`  ${padEnd("", label)}  ${"items".padStart(6)}${heads.join("")}`),
    ...shown.slice(0, mostRows).map(row),
    ...(more > 0 ? [style.dim(`  and ${more} more (--json has them all)`)] : []),
  ];
}

const units = { roc_auc: "  AUC", ties_score: "  score" } as const;

/** As many conditions as there is room for, in their order: the ends of each curve before what lies between. */
function mostTelling(results: readonly ConditionResult[], room: number): ConditionResult[] {
  if (results.length <= room) return [...results];
  const plain = results.filter(({ condition }) => condition.metaKeep === null && !condition.greedy);
  const guided = results.filter(({ condition }) => condition.metaKeep !== null);
  const greedy = results.filter(({ condition }) => condition.greedy);
  const ranked = [
    plain[0],
    plain.at(-1),
    guided.at(-1),
    ...greedy,
    ...[...plain].reverse(),
    ...[...guided].reverse(),
  ];
  const chosen = new Set(ranked.flatMap((result) => result ?? []).values());
  const kept = new Set([...chosen].slice(0, Math.max(1, room)));
  return results.filter((result) => kept.has(result));
}

function notJudgedLines({ notJudged }: BenchmarkEvaluation, style: TextStyle): string[] {
  if (notJudged.length === 0) return [];
  const more = notJudged.length - mostNamed;
  return [
    "",
    style.bad(`  not judged, and in no figure: ${plural(notJudged.length, "item")}`),
    ...notJudged.slice(0, mostNamed).map(({ file, line, reason }) => `    ${file}:${line}: ${reason}`),
    ...(more > 0 ? [style.dim(`    and ${more} more (--json names them all)`)] : []),
  ];
}

function againstLines({ votesFile, judges, tokens, benchmarks }: Comparison, style: TextStyle): string[] {
  return [
    "",
    `${style.bold("Against")} ${judges.join(", ") || "nobody"}, ${votesFile}`,
    ...(tokens === null ? [] : [style.dim(`  There a vote took ${tokensOfVote(tokens)}.`)]),
    ...benchmarks.flatMap(({ title, items, differences }) => [
      "",
      style.dim(`  ${title}, ${plural(items, "item")} that both judged`),
      ...differences.map(
        ({ name, value, low, high }) =>
          `  ${padEnd(name, 12)}  ${points(value).padStart(7)}  ${points(low)} to ${points(high)} points`,
      ),
    ]),
  ];
}

function weaknessLines(
  { loser, winner, items, lost, tied, votes, principles }: Weakness,
  style: TextStyle,
): string[] {
  return [
    "",
    `${style.bold(`Where ${loser} loses to ${winner}`)}  ${count(lost)} of ${plural(items, "item")} lost, ${count(tied)} tied`,
    "",
    style.dim(`  named in  of ${padEnd(plural(votes, "vote"), 12)} elsewhere  principle`),
    ...principles
      .slice(0, mostPrinciples)
      .map(
        ({ principle, votes: named, shareInLosses, shareElsewhere }) =>
          `  ${count(named).padStart(8)}  ${percent(shareInLosses).padStart(15)} ${percent(shareElsewhere).padStart(9)}  ${principle}`,
      ),
    ...(principles.length === 0 ? ["  no vote behind a loss names its principles"] : []),
  ];
}

function closing(
  { judges, metaRms, votesFile, unfiltered, cutShort, tokens, plan }: Evaluation,
  style: TextStyle,
): string[] {
  const said = [
    `Judged by ${judges.join(", ") || "nobody"}${metaRms.length === 0 ? "" : `, filtered by ${metaRms.join(", ")}`}.`,
    ...(unfiltered > 0
      ? [`The meta reward model scored no vote of ${plural(unfiltered, "item")}: plain voting.`]
      : []),
    ...(cutShort > 0
      ? [`The deadline cut ${plural(cutShort, "item")} short; the next run asks for them again.`]
      : []),
    ...(tokens === null ? [] : [`A vote took ${tokensOfVote(tokens)}.`]),
    `Votes: ${votesFile} (covote tally --votes ${votesFile} --k ${Math.max(...plan.votes)} --seed ${plan.seed}).`,
  ];
  return ["", ...said.map((line) => `  ${style.dim(line)}`), ""];
}

/** Means, and in split mode where the principles came from. */
function tokensOfVote({ votes, prompt, cached, completion, reused, drawn, fallback }: TokenUse): string {
  const mean = (total: number): string => (total / votes).toFixed(1);
  const used = `${mean(prompt)} prompt tokens (${mean(cached)} of them cached) and ${mean(completion)} generated ones`;
  if (reused + drawn + fallback === 0) return used;
  return `${used}; ${percent(reused / votes)} % of the votes reused principles, ${percent(fallback / votes)} % had to write their own`;
}

export function evaluationForMachines(evaluation: Evaluation): object {
  const { plan, judges, metaRms, votesFile, askedNow, cutShort, unfiltered, tokens, weakness, against } =
    evaluation;
  return {
    seed: plan.seed,
    votes: plan.votes,
    meta_keep: plan.keep,
    judge_versions: judges,
    meta_versions: metaRms,
    votes_file: votesFile,
    asked_now: askedNow,
    cut_short: cutShort,
    unfiltered_items: unfiltered,
    split: plan.split,
    tokens,
    benchmarks: evaluation.benchmarks.map((benchmark) => ({
      benchmark: benchmark.benchmark,
      title: benchmark.title,
      files: benchmark.files,
      tie: benchmark.tie,
      items: benchmark.items,
      judged: benchmark.judged,
      unlabelled: benchmark.unlabelled,
      short_items: benchmark.shortItems,
      failed_votes: benchmark.failedVotes,
      not_judged: benchmark.notJudged,
      measures: benchmark.measures,
      results: benchmark.results.map(resultForMachines),
      differences: benchmark.differences,
    })),
    ...(against === null
      ? {}
      : {
          against: {
            votes_file: against.votesFile,
            judge_versions: against.judges,
            tokens: against.tokens,
            benchmarks: against.benchmarks.map(({ benchmark, items, differences }) => ({
              benchmark,
              items,
              differences,
            })),
          },
        }),
    ...(weakness === null
      ? {}
      : {
          weakness: {
            ...weakness,
            principles: weakness.principles.map(({ principle, votes, shareInLosses, shareElsewhere }) => ({
              principle,
              votes,
              share_in_losses: shareInLosses,
              share_elsewhere: shareElsewhere,
            })),
          },
        }),
  };
}

function resultForMachines({
  condition,
  draws,
  overall,
  figures,
  cells,
  strictAccuracy,
  tieRate,
}: ConditionResult): object {
  return {
    name: condition.name,
    k: condition.k,
    meta_keep: condition.metaKeep,
    greedy: condition.greedy,
    draws,
    overall,
    sections: figures,
    subsets: cells,
    strict_accuracy: strictAccuracy,
    tie_rate: tieRate,
  };
}

function percent(share: number | null): string {
  return share === null ? "–" : (100 * share).toFixed(1);
}

function points(difference: number | null): string {
  return difference === null ? "–" : signed(100 * difference, 1);
}

function between({ low, high }: Score): string {
  return `${percent(low).padStart(5)} to ${percent(high).padStart(5)}`;
}
