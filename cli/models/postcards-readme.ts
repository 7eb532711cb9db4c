/** The README.md beside each postcards checkpoint: how it was made and what it can do. */
import type { GrmFigures, MetaRmFigures } from "./measure-postcards.js";

interface Made {
  command: string;
  date: string;
}

export function policyReadme(figures: { parameters: number; utility: number }, made: Made): string {
  return page(
    "postcards-policy",
    "Writes a postcard for a query of the postcards world, carelessly: the start of reinforcement learning.",
    made,
    [
      ["parameters", `${figures.parameters}`],
      ["mean oracle utility, 200 held-out queries, temperature 1", figures.utility.toFixed(3)],
    ],
  );
}

export function grmReadme(figures: GrmFigures & { parameters: number }, made: Made): string {
  return page(
    "postcards-grm",
    "Judges one to four postcards: principles with weights, a critique, scores from 1 to 10.",
    made,
    [["parameters", `${figures.parameters}`], ...grmRows(figures)],
  );
}

export function metaRmReadme(figures: MetaRmFigures & { parameters: number }, made: Made): string {
  return page(
    "postcards-meta-rm",
    "Says whether a vote of postcards-grm is right: one logit per query, cards and judgment.",
    made,
    [["parameters", `${figures.parameters}`], ...metaRmRows(figures)],
  );
}

export function grmRows(figures: GrmFigures): [string, string][] {
  const rows: [string, string][] = [];
  for (const [what, accuracy] of [
    ["pairs", figures.pairs],
    ["panels of four", figures.panels],
  ] as const) {
    rows.push(
      [`best picked, held-out ${what}, greedy`, accuracy.greedy.toFixed(3)],
      [`best picked, held-out ${what}, 1 vote at temperature 1`, accuracy.one.toFixed(3)],
      [`best picked, held-out ${what}, 8 votes`, accuracy.eight.toFixed(3)],
    );
  }
  rows.push(["votes that cannot be parsed", figures.unparsable.toFixed(4)]);
  return rows;
}

export function metaRmRows(figures: MetaRmFigures): [string, string][] {
  return [
    ["votes of the GRM that are right, held-out panels of four", figures.right.toFixed(3)],
    ["area under the curve, right against wrong votes", figures.areaUnderCurve.toFixed(3)],
    ["best picked, all 8 votes", figures.all.toFixed(3)],
    ["best picked, the best 4 of 8 votes", figures.kept.toFixed(3)],
    ["best picked, any 4 of 8 votes", figures.random.toFixed(3)],
  ];
}

function page(name: string, what: string, made: Made, rows: [string, string][]): string {
  return [
    `# ${name}`,
    "",
    `${what} A Llama in the Hugging Face format, float32.`,
    "",
    `Made by \`${made.command}\` on ${made.date}. The same seed gives the same bytes.`,
    "",
    "| figure | value |",
    "| --- | --- |",
    ...rows.map(([figure, value]) => `| ${figure} | ${value} |`),
    "",
  ].join("\n");
}
