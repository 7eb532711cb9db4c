/**
 * Rewards as JSON: what `POST /v1/rewards` takes and gives, and how it maps to `covote.v1.ScoreRequest`. Pure.
 *
 * - Names are those of the contract (proto/covote/v1/reward.proto) in snake_case. Unknown fields are refused: a misspelt
 *   option that is silently ignored would change rewards.
 * - A reward without a value has `"value": null` and a `null_reason`, never a number.
 * - `max_votes` bounds what a group may cost: votes (GRM requests) over all panels. It lowers `votes` to fit.
 */
import { z } from "zod";
import { CovoteError, invalid } from "../../../lib/core/errors.js";
import { type NullReason, nullReasons } from "../../../lib/core/null-reason.js";
import { chatRoles } from "../../../lib/grm/chat.js";
import { judgingLimits } from "../../../lib/grm/limits.js";
import {
  type Reward,
  type ScoreRequest,
  type ScoreResponse,
  StepForm,
} from "../../../lib/wire/gen/covote/v1/reward.js";
import { fromWireNullReason } from "../../../lib/wire/null-reason.js";

const whole = (from: number, to: number) => z.int().min(from).max(to);

export const optionsJson = z
  .strictObject({
    votes: whole(1, judgingLimits.votes).describe("Votes on every response (k)."),
    max_votes: whole(1, 1_000_000).describe(
      "Most votes that the whole group may cost, over all panels; lowers `votes` to fit.",
    ),
    meta_keep: whole(0, judgingLimits.votes).describe("Votes kept by the meta RM; 0 switches it off."),
    temperature: z.number().min(0).max(judgingLimits.temperature).describe("0 is greedy."),
    seed: whole(0, 0xffffffff),
    deadline_ms: whole(1, judgingLimits.deadlineMs).describe("Then the best answer so far is given."),
    panel_limit: whole(1, judgingLimits.panelLimit).describe("Most responses shown together."),
    split: whole(0, judgingLimits.split).describe("Sets of principles drawn apart; 0: none."),
  })
  .partial();

export const messageJson = z.strictObject({ role: z.enum(chatRoles), content: z.string() });

const responseJson = z.union([
  z.string(),
  z.strictObject({ text: z.string() }),
  z.strictObject({ steps: z.array(z.string()).min(1) }),
]);

export const rewardRequestJson = z.strictObject({
  request_id: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,128}$/, "must be 1 to 128 characters of A-Z a-z 0-9 _ -")
    .optional()
    .describe(
      "Makes the request idempotent: a repeat attaches to the running judgment or gets the kept answer.",
    ),
  group_id: z
    .string()
    .min(1)
    .max(judgingLimits.labelLength)
    .optional()
    .describe("Kept as a label, and given back."),
  query: z.union([z.string(), z.array(messageJson).min(1).max(judgingLimits.turns)]),
  responses: z.array(responseJson).min(1).max(judgingLimits.responses),
  reference: z.string().optional().describe("An answer that is known to be right."),
  options: optionsJson.optional().describe("Unset ones take the server's defaults."),
  labels: z.record(z.string(), z.string()).optional(),
});
export type RewardRequestJson = z.output<typeof rewardRequestJson>;

const rewardFields = {
  value: z.number().nullable().describe("Mean score of the kept votes; null: not judged."),
  null_reason: z.enum(nullReasons).optional().describe("Present exactly when value is null."),
  sum: z.number(),
  votes_kept: z.int(),
  votes_usable: z.int(),
  spread: z.number(),
  agreement: z.number(),
};
export const rewardJson = z.object({ ...rewardFields, steps: z.array(z.object(rewardFields)).optional() });

export const rewardAnswerJson = z.object({
  judgment_id: z.string(),
  group_id: z.string().optional(),
  rewards: z.array(rewardJson).describe("One per response, in the order of the request."),
  partial: z.boolean().describe("The deadline cut the judgment short."),
  judge_version: z.string(),
  cost: z.object({
    votes: z.int(),
    prompt_tokens: z.int(),
    cached_tokens: z.int(),
    completion_tokens: z.int(),
    engine_ms: z.number(),
  }),
  latency_ms: z.number(),
  step_form: z.enum(["step", "prefix"]).optional(),
});

export const maxBatch = 256;
export const batchRequestJson = z.strictObject({ items: z.array(z.unknown()).max(maxBatch) });

/** Parses a body and checks its form; throws `invalid_argument` with the path of the field. */
export function readJson<T extends z.ZodType>(schema: T, text: string): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split("\n", 1)[0] : "";
    throw new CovoteError("invalid_argument", `body: is not JSON (${why})`, { field: "body", cause });
  }
  return checkJson(schema, value);
}

export function checkJson<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const issue = result.error.issues[0] as z.core.$ZodIssue;
  if (issue.code === "unrecognized_keys") {
    throw invalid(pathOf([...issue.path, issue.keys[0] ?? ""]), "is not a field that is known here");
  }
  if (issue.input === undefined && issue.path.length > 0) throw invalid(pathOf(issue.path), "is missing");
  throw invalid(pathOf(issue.path) || "body", issue.message.replace(/^Invalid input: ?/, ""));
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? String(part) : `${text}.${String(part)}`;
  }, "");
}

/** `panelLimit`: what holds where the request says nothing, and the most that the judges' grammar can show. */
export function toScoreRequest(
  json: RewardRequestJson,
  defaults: { votes: number; panelLimit: number; maxPanel: number },
): ScoreRequest {
  const { request_id, group_id, query, responses, reference, options = {}, labels = {} } = json;
  const { max_votes, votes, meta_keep, temperature, seed, deadline_ms, panel_limit, split } = options;
  const panel = Math.min(panel_limit ?? defaults.panelLimit, defaults.maxPanel);
  const affordable =
    max_votes === undefined ? undefined : affordableVotes(max_votes, responses.length, panel);
  const asked =
    affordable === undefined ? votes : Math.min(affordable, votes ?? defaults.votes, judgingLimits.votes);
  return {
    requestId: request_id ?? "",
    query: { messages: typeof query === "string" ? [{ role: "user", content: query }] : query },
    responses: responses.map((response) => {
      if (typeof response === "string") return { text: response };
      return "text" in response ? { text: response.text } : { text: "", steps: { texts: response.steps } };
    }),
    options: {
      ...(asked !== undefined && { votes: asked }),
      // A filter that keeps more votes than there are now keeps all.
      ...(meta_keep !== undefined && {
        metaKeep: affordable === undefined ? meta_keep : Math.min(meta_keep, asked ?? meta_keep),
      }),
      ...(temperature !== undefined && { temperature }),
      ...(seed !== undefined && { seed }),
      ...(deadline_ms !== undefined && { deadlineMs: deadline_ms }),
      ...(panel_limit !== undefined && { panelLimit: panel_limit }),
      ...(split !== undefined && { split }),
    },
    labels: group_id === undefined ? labels : { ...labels, group_id },
    ...(reference !== undefined && { reference }),
  };
}

function affordableVotes(maxVotes: number, responses: number, panel: number): number {
  const panels = Math.ceil(responses / panel);
  const votes = Math.floor(maxVotes / panels);
  if (votes >= 1) return votes;
  throw invalid(
    "options.max_votes",
    `${responses} responses take ${panels} panels, a vote each; got ${maxVotes}`,
  );
}

export function toAnswerJson(
  answer: ScoreResponse,
  groupId: string | undefined,
): z.output<typeof rewardAnswerJson> {
  const { cost } = answer;
  const stepForm = stepForms[answer.stepForm];
  return {
    judgment_id: answer.judgmentId,
    ...(groupId !== undefined && { group_id: groupId }),
    rewards: answer.rewards.map((reward) => ({
      ...toRewardJson(reward),
      ...(reward.steps !== undefined && { steps: reward.steps.rewards.map(toRewardJson) }),
    })),
    partial: answer.partial,
    judge_version: answer.judgeVersion,
    cost: {
      votes: cost?.votes ?? 0,
      prompt_tokens: cost?.promptTokens ?? 0,
      cached_tokens: cost?.cachedTokens ?? 0,
      completion_tokens: cost?.completionTokens ?? 0,
      engine_ms: cost?.engineMs ?? 0,
    },
    latency_ms: answer.latencyMs,
    ...(stepForm !== undefined && { step_form: stepForm }),
  };
}

const stepForms: Record<number, "step" | "prefix" | undefined> = {
  [StepForm.STEP]: "step",
  [StepForm.PREFIX]: "prefix",
};

function toRewardJson(reward: Reward): Omit<z.output<typeof rewardJson>, "steps"> {
  const reason: NullReason | undefined = fromWireNullReason(reward.nullReason);
  return {
    value: reward.value ?? null,
    ...(reason !== undefined && { null_reason: reason }),
    sum: reward.sum,
    votes_kept: reward.votesKept,
    votes_usable: reward.votesUsable,
    spread: reward.spread,
    agreement: reward.agreement,
  };
}
