/** What `covote score` shows: for people, and for machines. Pure. */
import type { NullReason } from "../../lib/core/null-reason.js";
import { PrinciplesSource } from "../../lib/wire/gen/covote/v1/common.js";
import { type Reward, StepForm, type VoteRecord } from "../../lib/wire/gen/covote/v1/reward.js";
import { fromWireNullReason } from "../../lib/wire/null-reason.js";
import { clip, latency, padEnd, plural, type TextStyle, wrapWords } from "../run/text.js";
import type { Scored } from "./ask.js";

/** Lines of principles and of critique that are shown of each vote. */
const partLines = 2;
/** Up to so many responses the scores of a vote stand in columns of their own. */
const columnsUpTo = 8;

export function renderScored(
  { task, outcome, judgment }: Scored,
  columns: number,
  style: TextStyle,
): string[] {
  const width = Math.max(40, Math.min(columns - 1, 120));
  const query = task.query.at(-1)?.content ?? "";
  const lines = [
    "",
    ...labelled(task.id === null ? "query" : `query ${task.id}`, query, width, style),
    ...(task.reference === undefined ? [] : labelled("reference", task.reference, width, style)),
    "",
    ...rewardLines(task, outcome.rewards, judgment?.votes ?? [], width, style),
    "",
    ...voteLines(judgment?.votes ?? null, task.responses.length, width, style),
    "",
    ...closing({ task, outcome, judgment }, width, style),
    "",
  ];
  return lines.map((line) => clip(line, width));
}

function rewardLines(
  { responses, steps = [] }: Scored["task"],
  rewards: readonly Reward[],
  votes: readonly VoteRecord[],
  width: number,
  style: TextStyle,
): string[] {
  const head = `  ${"".padStart(3)}  ${padEnd("reward", 13)}  ${"agreement".padStart(9)}  ${"kept".padStart(7)}  response`;
  const best = Math.max(...rewards.map(({ value }) => value ?? Number.NEGATIVE_INFINITY));
  const row = (label: string, reward: Reward | undefined, text: string, response: number): string[] => {
    if (reward?.value === undefined) {
      const reason = reasonOf(reward) ?? "engine_unavailable";
      const why = failureOf(votes, response);
      return [
        `  ${label.padStart(3)}  ${style.bad(padEnd(`null`, 13))}  ${"–".padStart(9)}  ${"–".padStart(7)}  ${text}`,
        ...wrapWords(`${reason}${why === "" ? "" : `: ${why}`}`, width - 9).map(
          (line) => `       ${style.dim(line)}`,
        ),
      ];
    }
    const value = padEnd(`${reward.value.toFixed(2)} ± ${reward.spread.toFixed(2)}`, 13);
    const kept = `${reward.votesKept} of ${reward.votesUsable}`;
    return [
      `  ${label.padStart(3)}  ${reward.value === best ? style.good(value) : value}  ${reward.agreement.toFixed(2).padStart(9)}  ${kept.padStart(7)}  ${text}`,
    ];
  };
  const rows = responses.flatMap((response, index) => {
    const given = steps[index] ?? null;
    const reward = rewards[index];
    const whole = row(String(index + 1), reward, oneLine(given?.join(" ") ?? response) || "(empty)", index);
    const ofSteps = (given ?? []).flatMap((step, at) =>
      row(`${index + 1}.${at + 1}`, reward?.steps?.rewards[at], oneLine(step), index),
    );
    return [...whole, ...ofSteps];
  });
  return [style.dim(head), ...rows];
}

function voteLines(
  votes: readonly VoteRecord[] | null,
  responses: number,
  width: number,
  style: TextStyle,
): string[] {
  if (votes === null) return [style.dim("  the service could not be asked about the votes")];
  if (votes.length === 0) return [style.dim("  no votes came in")];
  const scores = (vote: VoteRecord): string => scoresOf(vote, responses);
  const scoresWidth = Math.max(6, ...votes.map((vote) => scores(vote).length));
  const indent = " ".repeat(2 + 8 + 2 + 5 + 2 + scoresWidth + 2);
  const head = `  ${padEnd("vote", 8)}  ${padEnd("meta", 5)}  ${padEnd("scores", scoresWidth)}  principles and critique`;
  const rows = inOrder(votes).flatMap((vote) => {
    const meta = vote.metaScore === undefined ? "–" : probability(vote.metaScore).toFixed(2);
    const state = vote.scores.length === 0 ? style.bad("failed") : vote.kept ? "kept" : style.dim("left out");
    const cells = `  ${padEnd(state, 8)}  ${padEnd(meta, 5)}  ${padEnd(scores(vote), scoresWidth)}  `;
    const failed = vote.failure === "" ? [] : [vote.failure];
    const text = [...failed, vote.principles, vote.critique]
      .filter((part) => part.trim() !== "")
      .flatMap((part) => shortened(part, width - indent.length));
    const [first = "", ...rest] = text;
    return [cells + first, ...rest.map((line) => indent + line)];
  });
  return [style.dim(head), ...rows];
}

/** Kept votes first, by their meta score, then those left out, then those that failed. */
function inOrder(votes: readonly VoteRecord[]): VoteRecord[] {
  const rank = (vote: VoteRecord): number => (vote.scores.length === 0 ? 2 : vote.kept ? 0 : 1);
  return [...votes].sort(
    (a, b) => rank(a) - rank(b) || (b.metaScore ?? -Infinity) - (a.metaScore ?? -Infinity),
  );
}

/** Scores under the numbers of the responses; a dot where the panel did not show one. */
function scoresOf({ order, scores, steps }: VoteRecord, responses: number): string {
  if (scores.length === 0) return "–";
  if (steps.length > 0) {
    return order.map((of, i) => `${of + 1}${steps[i] ? `.${steps[i]}` : ""}:${scores[i]}`).join(" ");
  }
  if (responses > columnsUpTo) return order.map((of, i) => `${of + 1}:${scores[i]}`).join(" ");
  const byResponse = Array.from({ length: responses }, () => "·");
  order.forEach((of, i) => {
    byResponse[of] = String(scores[i]);
  });
  return byResponse.map((score) => score.padStart(2)).join(" ");
}

function closing({ outcome, judgment }: Scored, width: number, style: TextStyle): string[] {
  const { cost, latencyMs, partial, judgeVersion, judgmentId } = outcome;
  const cut = partial ? " Cut short by the deadline: the best answer so far." : "";
  const version = judgeVersion === "" ? "" : ` by ${judgeVersion}`;
  const scored = judgment?.votes.some((vote) => vote.scores.length > 0) === true;
  // Without a vote that could be read there was nothing to ask the meta RM.
  const plain = scored && judgment !== null && judgment.metaKeep > 0 && judgment.metaVersion === "";
  const meta = plain ? " The meta reward model did not answer: plain voting." : "";
  const steps =
    outcome.stepForm === StepForm.PREFIX ? " The reward of a step is that of the response up to it." : "";
  const votes = plural(cost?.votes ?? judgment?.votes.length ?? 0, "vote");
  const said = `${votes} in ${latency(latencyMs)}${version}. Judgment ${judgmentId}.${steps}${meta}${cut}`;
  return wrapWords(said, width - 2).map((line) => `  ${style.dim(line)}`);
}

export function scoredForMachines({ task, outcome, judgment }: Scored): object {
  const { cost } = outcome;
  return {
    ...(task.id === null ? {} : { id: task.id }),
    judgment_id: outcome.judgmentId,
    rewards: outcome.rewards.map((reward) => ({
      ...rewardForMachines(reward),
      ...(reward.steps === undefined ? {} : { steps: reward.steps.rewards.map(rewardForMachines) }),
    })),
    ...(stepForms[outcome.stepForm] === null ? {} : { step_form: stepForms[outcome.stepForm] }),
    partial: outcome.partial,
    judge_version: outcome.judgeVersion,
    meta_version: judgment?.metaVersion || null,
    latency_ms: outcome.latencyMs,
    cost: {
      votes: cost?.votes ?? 0,
      prompt_tokens: cost?.promptTokens ?? 0,
      cached_tokens: cost?.cachedTokens ?? 0,
      completion_tokens: cost?.completionTokens ?? 0,
      engine_ms: cost?.engineMs ?? 0,
    },
    votes: judgment?.votes.map(voteForMachines) ?? null,
  };
}

/** What the rewards of steps are about; null: there are none. */
const stepForms: Readonly<Record<StepForm, string | null>> = {
  [StepForm.UNSPECIFIED]: null,
  [StepForm.STEP]: "step",
  [StepForm.PREFIX]: "prefix",
};

/** Who wrote the principles of a vote. */
const principlesSources: Readonly<Record<PrinciplesSource, string>> = {
  [PrinciplesSource.UNSPECIFIED]: "vote",
  [PrinciplesSource.DRAWN]: "drawn",
  [PrinciplesSource.REUSED]: "reused",
  [PrinciplesSource.FALLBACK]: "fallback",
};

function rewardForMachines(reward: Reward): object {
  return {
    value: reward.value ?? null,
    null_reason: reward.value === undefined ? (reasonOf(reward) ?? null) : null,
    sum: reward.sum,
    spread: reward.spread,
    agreement: reward.agreement,
    votes_kept: reward.votesKept,
    votes_usable: reward.votesUsable,
  };
}

function voteForMachines(vote: VoteRecord): object {
  return {
    vote_id: vote.voteId,
    order: vote.order,
    ...(vote.steps.length === 0 ? {} : { steps: vote.steps }),
    scores: vote.scores.length === 0 ? null : vote.scores,
    null_reason: fromWireNullReason(vote.nullReason) ?? null,
    failure: vote.failure === "" ? null : vote.failure,
    // What the model wrote, where no scores could be read from it.
    text: vote.text === "" ? null : vote.text,
    principles: vote.principles,
    principles_source: principlesSources[vote.principlesSource] ?? "vote",
    principles_key: vote.principlesKey === "" ? null : vote.principlesKey,
    critique: vote.critique,
    meta_score: vote.metaScore ?? null,
    kept: vote.kept,
    worker: vote.worker,
  };
}

/** What the votes on this response failed of, most often. */
function failureOf(votes: readonly VoteRecord[], response: number): string {
  const counts = new Map<string, number>();
  for (const { order, failure } of votes) {
    if (failure !== "" && order.includes(response)) counts.set(failure, (counts.get(failure) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "";
}

function reasonOf(reward: Reward | undefined): NullReason | undefined {
  return reward === undefined ? undefined : fromWireNullReason(reward.nullReason);
}

function labelled(label: string, text: string, width: number, style: TextStyle): string[] {
  const indent = label.length + 4;
  const [first = "", ...rest] = shortened(text, width - indent);
  return [
    `  ${style.dim(label)}  ${style.bold(first)}`,
    ...rest.map((line) => " ".repeat(indent) + style.bold(line)),
  ];
}

/** At most `partLines` lines; the last one says that there is more. */
function shortened(text: string, width: number): string[] {
  const lines = wrapWords(oneLine(text), Math.max(10, width));
  if (lines.length <= partLines) return lines;
  const shown = lines.slice(0, partLines);
  return [...shown.slice(0, -1), clip(`${shown.at(-1)} …`, width)];
}

/** Control characters in a text would garble the terminal. */
function oneLine(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cf}]/gu, " ")
    .replace(/\s+/g, " ")
    .trim();
}

function probability(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}
