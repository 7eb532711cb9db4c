/** `covote.v1.PolicyService`: samples of the current policy, for callers outside the training loop. */
import { invalid } from "../../lib/core/errors.js";
import { newId } from "../../lib/core/ids.js";
import type { GenerativeEngine } from "../../lib/engine/engine.js";
import { chatRoles, isChatMessage } from "../../lib/grm/chat.js";
import type { GrpcService } from "../../lib/host/grpc.js";
import { type CallContext, unary } from "../../lib/host/grpc-call.js";
import { checkSampling, sampleGroup } from "../../lib/sampling/sample-group.js";
import {
  PolicyServiceService,
  type SampleRequest,
  type SampleResponse,
} from "../../lib/wire/gen/covote/v1/policy.js";

export type PolicyApi = GrpcService;

export function policyApi(engine: GenerativeEngine): PolicyApi {
  const sample = async (request: SampleRequest, { signal }: CallContext): Promise<SampleResponse> => {
    const turns = request.query?.messages ?? [];
    if (turns.length === 0) throw invalid("query.messages", "is empty; send at least one turn");
    const strange = turns.findIndex((turn) => !isChatMessage(turn));
    if (strange >= 0) {
      const role = JSON.stringify(turns[strange]?.role.slice(0, 40));
      throw invalid(`query.messages[${strange}].role`, `must be one of ${chatRoles.join(", ")}, got ${role}`);
    }
    const messages = turns.filter(isChatMessage);
    const { groupSize, temperature, seed } = request;
    checkSampling({ groupSize, temperature });
    const room = engine.maxPositions - (await engine.countTokens(messages));
    if (request.maxTokens === 0 && engine.guesses === true) {
      throw invalid(
        "max_tokens",
        "is needed: how much room is left after the prompt, only the policy's server knows",
      );
    }
    const maxTokens = request.maxTokens === 0 ? room : request.maxTokens;
    if (maxTokens < 1 || maxTokens > room) {
      throw invalid(
        "max_tokens",
        `the policy has room for ${room} tokens after this prompt, got ${maxTokens}`,
      );
    }
    const id = `sample-${newId()}`;
    const group = await sampleGroup(
      engine,
      { id, messages, groupSize, temperature, maxTokens, seed },
      signal,
    );
    return { responses: group.responses, policyVersion: group.version, cost: group.cost };
  };
  return { definition: PolicyServiceService, implementation: { sample: unary(sample) } };
}
