/**
 * Whatever the full story is compared with on the same held-out items, one seed each: ablations, baselines, ways of
 * voting. To add one is to add a line here; its stages are run and its votes become a row of the document.
 */
import type { StudySize } from "./size.js";
import type { Stage } from "./stage.js";
import { at, evaluation, fullRft, trainStage, votesOf } from "./stages.js";

export interface Contender {
  /** Part of file names. */
  id: string;
  group: ContenderGroup;
  title: string;
  stages: Stage[];
  /** Its votes on the held-out items. */
  votes: string;
}

export const contenderGroups = ["ablations", "baselines", "split"] as const;
export type ContenderGroup = (typeof contenderGroups)[number];

export const contenderSeed = 1;
const seed = contenderSeed;

/** `chosen`: null for all, or the ids. */
export function contendersOf(base: string, size: StudySize): Contender[] {
  return [...ablations(base, size), ...baselines(base, size), ...splits(size)];
}

interface Ablation {
  id: string;
  title: string;
  /** Arguments of rejective fine-tuning; null: there is none. */
  rft: readonly string[] | null;
  /** Of everything after it. */
  later?: readonly string[];
}

const withoutHints = fullRft.filter((flag) => flag !== "--hinted");
const hintedAlone = fullRft.slice(0, 1);

const ablationList: readonly Ablation[] = [
  {
    ...{ id: "no-principles", title: "without principles" },
    rft: [...fullRft, "--without-principles"],
    later: ["--set", "grm.grammar=postcards-critique"],
  },
  { id: "no-hints", title: "without hinted sampling", rft: withoutHints },
  { id: "no-rejection", title: "without rejection", rft: [...fullRft, "--without-rejection"] },
  { id: "no-corpus", title: "without the base's corpus", rft: hintedAlone },
  { id: "no-rft", title: "RL without RFT", rft: null },
];

function ablations(base: string, size: StudySize): Contender[] {
  return ablationList.map(({ id, title, rft, later = [] }) => {
    const [cold, warm] = [`${id}-rft`, `${id}-rl`];
    const stages: Stage[] = [];
    if (rft !== null) {
      const about = { seed, method: "rft", from: base, name: cold } as const;
      stages.push(trainStage({ ...about, title: `${title}: rejective fine-tuning`, args: rft }, size));
    }
    const from = rft === null ? base : at(seed, cold);
    const reinforcement = { seed, method: "rl", from, name: warm, args: later } as const;
    stages.push(trainStage({ ...reinforcement, title: `${title}: reinforcement` }, size));
    stages.push(
      evaluation({
        ...{ seed, name: id, title: `${title}: votes`, meta: null, votes: size.fewVotes },
        judge: ["--grm", at(seed, warm), ...later],
        inputs: [at(seed, warm)],
      }),
    );
    return { id, group: "ablations", title, stages, votes: votesOf(seed, id) };
  });
}

const baselineList = {
  pick: "LLM as a judge (picks)",
  pairwise: "pairwise",
  scalar: "scalar (Bradley-Terry)",
  "semi-scalar": "semi-scalar (critique, then a scalar)",
} as const;

function baselines(base: string, size: StudySize): Contender[] {
  return Object.entries(baselineList).map(([kind, title]) => {
    const id = `baseline-${kind}`;
    const folder = at(seed, id);
    const stages: Stage[] = [
      {
        title: `seed ${seed}: baseline: ${title}`,
        args: [
          ...["spct", "baseline", kind, "postcards", "--base", base, "--out", folder, "--seed", `${seed}`],
          ...size.baseline,
        ],
        inputs: [base],
        result: folder,
        capture: false,
      },
      evaluation({
        ...{ seed, name: id, title: `baseline ${kind}: votes`, meta: null, votes: size.fewVotes },
        judge: ["--baseline", folder],
        inputs: [folder],
      }),
    ];
    return { id, group: "baselines", title, stages, votes: votesOf(seed, id) };
  });
}

/** Principles drawn apart, and the votes that use them. */
function splits(size: StudySize): Contender[] {
  const id = "split";
  const title = "principles drawn apart (split)";
  const judge = ["--grm", at(seed, "rl"), "--split", "1"];
  const stages = [
    evaluation({
      ...{ seed, name: id, title: `${title}: votes`, meta: null, votes: size.fewVotes, judge },
      inputs: [at(seed, "rl")],
    }),
  ];
  return [{ id, group: "split", title, stages, votes: votesOf(seed, id) }];
}
