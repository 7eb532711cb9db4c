/**
 * The scalar engine of servers with a reward model: vLLM's `/classify`, `/pooling` and `/score`, SGLang's `/classify`
 * and `/v1/embeddings`.
 *
 * - Each conversation is a request of its own at one endpoint of a pool: one that cannot be scored fails alone, in its
 *   place, and the server joins requests into batches itself.
 * - At the start the server is asked for a raw logit and for its activation: one that gives the same both times ignores
 *   the wish, and what it gives is taken as a probability.
 */
import { CovoteError } from "../core/errors.js";
import { systemRandomHex } from "../core/random-hex.js";
import type { ChatMessage } from "../grm/chat.js";
import type { LlamaTokenizer } from "../llama/tokenizer.js";
import type { ScalarEngine } from "./engine.js";
import { type EndpointsOptions, openEndpoints } from "./openai-endpoint.js";
import {
  chooseForm,
  readLogit,
  type ScalarForm,
  type ScalarInput,
  type ScalarRoute,
} from "./openai-scalar-wire.js";
import { openPool, type Pool, type PoolMeter } from "./pool.js";
import type { PoolMember } from "./pool-seat.js";
import { parseAnswer } from "./server-errors.js";
import type { ServerHttp } from "./server-http.js";
import { serverNames } from "./server-kinds.js";
import type { ServerIdentity } from "./server-probe.js";

export interface OpenAiScorerOptions extends EndpointsOptions {
  tokenizer: LlamaTokenizer | null;
  route: ScalarRoute | "auto";
  concurrency: number;
  retryShare: number;
  hedgeShare: number;
  meter: PoolMeter;
}

export interface OpenAiScorer extends ScalarEngine {
  endpoints: Pool<PoolMember>["endpoints"];
}

const trial: readonly ChatMessage[] = [
  { role: "user", content: "." },
  { role: "assistant", content: "." },
];

export async function openOpenAiScorer(options: OpenAiScorerOptions): Promise<OpenAiScorer> {
  const { field, log, tokenizer, requestTimeoutMs } = options;
  const prefix = systemRandomHex(4);
  let requests = 0;
  let given: "logit" | "probability" = "logit";

  const inputOf = (messages: readonly ChatMessage[]): ScalarInput =>
    tokenizer === null
      ? { t: "turns", messages: messages.map(({ role, content }) => ({ role, content })) }
      : { t: "ids", ids: tokenizer.chat(messages, { addGenerationPrompt: false }) };
  const formOf = ({ kind, routes }: ServerIdentity): ScalarForm =>
    chooseForm(field, kind, routes, options.route, tokenizer !== null);
  const ask = async (
    http: ServerHttp,
    { model }: ServerIdentity,
    form: ScalarForm,
    input: ScalarInput,
    { raw = true, signal }: { raw?: boolean; signal?: AbortSignal | undefined },
  ): Promise<unknown> => {
    const body = form.body(model, `score-${prefix}-${requests++}`, input, raw);
    const { path } = form;
    const answer = await http.send({ method: "POST", path, body, timeoutMs: requestTimeoutMs, signal });
    return parseAnswer(http.name, answer);
  };

  const opened = await openEndpoints(options, async (http, identity, signal) => {
    const form = formOf(identity);
    const input = inputOf(trial);
    const logit = readLogit(http.name, form, await ask(http, identity, form, input, { signal }), "logit");
    if (!form.choosesRaw) return;
    const activated = await ask(http, identity, form, input, { raw: false, signal });
    const same = readLogit(http.name, form, activated, "logit") === logit;
    given = same && logit > 0 && logit < 1 ? "probability" : "logit";
  });
  const { members, serving } = opened;
  const identity = serving();
  const form = formOf(identity);
  const how = given === "logit" ? "raw logits" : "probabilities, whose logits are taken";
  log.info({ engine: identity.version }, `${field}: ${serverNames[identity.kind]}: ${how} by ${form.path}`);
  const pool = openPool({ ...options, members });

  const scoreOne = async (
    conversation: readonly ChatMessage[],
    signal: AbortSignal | undefined,
  ): Promise<number | CovoteError> => {
    try {
      const input = inputOf(conversation);
      return await pool.run(
        async ({ http }, own) => {
          const answer = await ask(http, identity, form, input, { signal: own });
          return { value: readLogit(http.name, form, answer, given), tokens: null };
        },
        { signal },
      );
    } catch (thrown) {
      return CovoteError.from(thrown);
    }
  };

  return {
    score: async (conversations, { signal }) => {
      const scores: (number | CovoteError)[] = new Array(conversations.length);
      let next = 0;
      const lane = async (): Promise<void> => {
        while (next < conversations.length) {
          const at = next++;
          scores[at] = await scoreOne(conversations[at] as readonly ChatMessage[], signal);
        }
      };
      await Promise.all(Array.from({ length: Math.min(conversations.length, 2 * pool.slots()) }, lane));
      if (signal?.aborted) throw new CovoteError("cancelled", "the scores are not needed any more");
      const errors = scores.filter((score) => score instanceof CovoteError);
      // With nobody to ask there is no score of any item, and a later call may find somebody.
      if (
        errors.length > 0 &&
        errors.length === scores.length &&
        errors.every(({ retryable }) => retryable)
      ) {
        throw errors[0] as CovoteError;
      }
      return scores;
    },
    version: () => ({ number: 0, version: serving().version }),
    stats: () => ({
      ...pool.stats(),
      slots: pool.slots(),
      ...{ generatedTokens: 0, promptTokens: 0, busyMs: 0 },
    }),
    endpoints: pool.endpoints,
    close: () => {
      pool.close();
      opened.close();
      return Promise.resolve();
    },
  };
}
