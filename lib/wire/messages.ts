/** Codecs of the messages that travel on the bus. */
import { createCodec } from "./codec.js";
import { ModelManifest } from "./gen/covote/v1/cluster.js";
import {
  Ballot,
  CancelVotes,
  KeptPrinciples,
  MetaScoreRequest,
  MetaScoreResponse,
  Vote,
} from "./gen/covote/v1/judging.js";
import { Experience, Prompt, Rollout } from "./gen/covote/v1/policy.js";
import { Judgment } from "./gen/covote/v1/reward.js";
import { LoadReport, ScalingDecision, ScalingHistory, VoteBudget } from "./gen/covote/v1/scaling.js";

export const ballotCodec = createCodec("Ballot", Ballot);
export const voteCodec = createCodec("Vote", Vote);
export const cancelVotesCodec = createCodec("CancelVotes", CancelVotes);
export const keptPrinciplesCodec = createCodec("KeptPrinciples", KeptPrinciples);
export const metaScoreRequestCodec = createCodec("MetaScoreRequest", MetaScoreRequest);
export const metaScoreResponseCodec = createCodec("MetaScoreResponse", MetaScoreResponse);
export const promptCodec = createCodec("Prompt", Prompt);
export const rolloutCodec = createCodec("Rollout", Rollout);
export const experienceCodec = createCodec("Experience", Experience);
export const modelManifestCodec = createCodec("ModelManifest", ModelManifest);
export const judgmentCodec = createCodec("Judgment", Judgment);
export const loadReportCodec = createCodec("LoadReport", LoadReport);
export const scalingDecisionCodec = createCodec("ScalingDecision", ScalingDecision);
export const scalingHistoryCodec = createCodec("ScalingHistory", ScalingHistory);
export const voteBudgetCodec = createCodec("VoteBudget", VoteBudget);
