/**
 * Why a reward is null, or a vote has no scores: a closed list. A failure is never a number.
 *
 * - `deadline`: the deadline passed before any usable vote on the response was in.
 * - `engine_unavailable`: no engine could take the work, or it failed on every attempt.
 * - `unparsable`: votes came, but none could be parsed.
 * - `overloaded`: a queue was full.
 * - `cancelled`: the caller cancelled.
 * - `refused`: the input cannot be judged: too long for the model, or words that it does not know.
 */
import type { ErrorCode } from "./errors.js";

export const nullReasons = [
  "deadline",
  "engine_unavailable",
  "unparsable",
  "overloaded",
  "cancelled",
  "refused",
] as const;

export type NullReason = (typeof nullReasons)[number];

/** The reason that an error of an engine, a queue or a call stands for. Forgetting a code does not compile. */
export const nullReasonOfError: Record<ErrorCode, NullReason> = {
  invalid_argument: "refused",
  deadline_exceeded: "deadline",
  not_found: "engine_unavailable",
  already_exists: "engine_unavailable",
  overloaded: "overloaded",
  failed_precondition: "engine_unavailable",
  cancelled: "cancelled",
  internal: "engine_unavailable",
  unavailable: "engine_unavailable",
};
