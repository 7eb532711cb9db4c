/**
 * All figures of one benchmark for one judge, as a function of how often each cluster of items counts: what a
 * bootstrap draws from. Figures of two judges on the same items have the same clusters in the same order.
 */
import type { AskedItem, AskedVote } from "./asked-votes.js";
import { cellFigure, type DrawnItem, meanCredit, measureOf, type WeightedFigure } from "./cells.js";
import type { Condition } from "./conditions.js";
import { drawOrder, drawOutcomes } from "./draws.js";
import type { Benchmark, EvaluationItem, Figure } from "./items.js";

export interface JudgedItem {
  item: EvaluationItem;
  asked: AskedItem;
}

export interface BenchmarkFigures {
  /** Stratum of each cluster. */
  strata: string[];
  /** Names of the figures, then of the cells. */
  named: string[];
  /** Place of the overall score among them. */
  overallAt: number;
  /** Items in each figure and cell. */
  itemsIn: ReadonlyMap<string, number>;
  /** Places of the items in each cell. */
  cells: ReadonlyMap<string, readonly number[]>;
  conditions: ConditionFacts[];
  /** Items with fewer votes than the largest condition draws. */
  shortItems: number;
  /** Share of the votes that scored nothing; null when there are none. */
  failedVotes: number | null;
  /** Per condition, one value per name. */
  values(weights: ArrayLike<number>): (number | null)[][];
}

export interface ConditionFacts {
  condition: Condition;
  /** Most draws of any item. */
  draws: number;
  strictAccuracy: number | null;
  tieRate: number | null;
}

export function figuresOf(
  benchmark: Benchmark,
  judged: readonly JudgedItem[],
  conditions: readonly Condition[],
  seed: number,
): BenchmarkFigures {
  const items = judged.map(({ item }) => item);
  const { clusterOf, strata } = clustersOf(items);
  const most = Math.max(...conditions.map(({ k }) => k));
  const orders = judged.map(({ asked }) => drawOrder(asked, seed));
  const cells = cellsOf(items);
  const summaries = conditions.map((condition) => {
    const drawn = judged.map(({ item, asked }, index): DrawnItem => {
      const outcomes = drawOutcomes(asked, orders[index] ?? [], item.responses.length, condition);
      return { item, cluster: clusterOf.get(item.cluster) as number, outcomes };
    });
    const counted = drawn.filter(({ item }) => measureOf(item) === "accuracy");
    const share = (of: "strict" | "tied"): number | null =>
      counted.length === 0
        ? null
        : counted.reduce((sum, each) => sum + meanCredit(each, of), 0) / counted.length;
    const facts: ConditionFacts = {
      condition,
      draws: drawn.reduce((highest, { outcomes }) => Math.max(highest, outcomes.length), 0),
      strictAccuracy: share("strict"),
      tieRate: share("tied"),
    };
    const parts = [...cells].map(([name, members]): Part => {
      const of = members.map((member) => drawn[member] as DrawnItem);
      return { name, items: members.length, figure: cellFigure(of, benchmark.tie) };
    });
    return { facts, parts };
  });
  return {
    strata,
    named: [...benchmark.figures.map(({ name }) => name), ...cells.keys()],
    overallAt: benchmark.figures.length - 1,
    itemsIn: itemsOf(cells, benchmark.figures),
    cells,
    conditions: summaries.map(({ facts }) => facts),
    failedVotes: failedShare(judged.flatMap(({ asked }) => asked.votes)),
    shortItems: orders.filter(
      (order, index) => order.length < most && judged[index]?.asked.deterministic !== true,
    ).length,
    values: (weights) => summaries.map(({ parts }) => valuesOf(parts, benchmark.figures, weights)),
  };
}

function failedShare(votes: readonly AskedVote[]): number | null {
  const failed = votes.filter(({ scores }) => scores?.some((score) => score !== null) !== true).length;
  return votes.length === 0 ? null : failed / votes.length;
}

interface Part {
  name: string;
  items: number;
  figure: WeightedFigure;
}

/** Figures in their order, then cells. */
function valuesOf(
  parts: readonly Part[],
  figures: readonly Figure[],
  weights: ArrayLike<number>,
): (number | null)[] {
  const names = parts.map(({ name }) => name);
  const known = parts.map(({ name, items, figure }) => ({ name, items, value: figure(weights) }));
  for (const { name, includes, weigh } of figures) {
    const members = known.filter((part) => includes(part.name, names));
    const weightOf = (part: (typeof known)[number]): number =>
      weigh === "equal" ? 1 : weigh === "items" ? part.items : weigh(part.name);
    let [sum, weight] = [0, 0];
    for (const member of members) {
      if (member.value === null) continue;
      sum += weightOf(member) * member.value;
      weight += weightOf(member);
    }
    const items = members.reduce((total, member) => total + member.items, 0);
    known.push({ name, items, value: weight === 0 ? null : sum / weight });
  }
  const values = known.map(({ value }) => value);
  return [...values.slice(parts.length), ...values.slice(0, parts.length)];
}

function itemsOf(
  cells: ReadonlyMap<string, readonly number[]>,
  figures: readonly Figure[],
): Map<string, number> {
  const names = [...cells.keys()];
  const counts = new Map([...cells].map(([name, members]) => [name, members.length] as [string, number]));
  for (const { name, includes } of figures) {
    const members = [...counts.keys()].filter((part) => includes(part, names));
    counts.set(
      name,
      members.reduce((total, part) => total + (counts.get(part) as number), 0),
    );
  }
  return counts;
}

/** Places of the items in each cell. */
function cellsOf(items: readonly EvaluationItem[]): Map<string, number[]> {
  const cells = new Map<string, number[]>();
  items.forEach((item, place) => {
    for (const name of item.cells) {
      const members = cells.get(name);
      if (members === undefined) cells.set(name, [place]);
      else members.push(place);
    }
  });
  return cells;
}

function clustersOf(items: readonly EvaluationItem[]): { clusterOf: Map<string, number>; strata: string[] } {
  const clusterOf = new Map<string, number>();
  const strata: string[] = [];
  for (const { cluster, cells } of items) {
    if (clusterOf.has(cluster)) continue;
    clusterOf.set(cluster, strata.length);
    strata.push(cells[0]);
  }
  return { clusterOf, strata };
}
