/**
 * The servers that speak the OpenAI protocol, and what each adds to it. Pure data: what a server of a kind can do when
 * it is new enough; `server-probe.ts` looks at what the one at hand really does.
 */

export const serverKinds = ["vllm", "sglang", "llama.cpp", "ollama", "other"] as const;
export type ServerKind = (typeof serverKinds)[number];

type Fields = Readonly<Record<string, unknown>>;

export interface ServerTraits {
  /** The field for a request's own id; null: it has none. */
  requestId: string | null;
  /** How stop words stay in the text; null: they do not. */
  keepStop: Fields | null;
  /** How an answer is made to begin with given words; null: it cannot be. */
  openTurn: Fields | null;
  /** How token ids are asked for; null: they come, if at all, with the log-probabilities. */
  tokenIds: Fields | null;
  /** Undoes what a server draws by when it is not told: cut-offs and penalties of its own or of the model's files. */
  sampling: Fields;
  /** Chat answers may carry log-probabilities. */
  logprobs: boolean;
  /** `/v1/completions` takes token ids as the prompt. */
  takesIds: boolean;
  /** Route that ends a request by its id, and its body; null: closing the connection does. */
  abort: { path: string; body: (id: string) => unknown } | null;
}

const plain: ServerTraits = {
  requestId: null,
  keepStop: null,
  openTurn: null,
  tokenIds: null,
  sampling: { top_p: 1 },
  logprobs: true,
  takesIds: false,
  abort: null,
};

export const serverTraits: Readonly<Record<ServerKind, ServerTraits>> = {
  vllm: {
    ...plain,
    requestId: "request_id",
    keepStop: { include_stop_str_in_output: true },
    openTurn: { continue_final_message: true, add_generation_prompt: false },
    tokenIds: { return_token_ids: true },
    sampling: { top_p: 1, top_k: -1, min_p: 0, repetition_penalty: 1 },
    takesIds: true,
    abort: {
      path: "/abort_requests",
      // Which of the two the server goes by depends on its version; an unknown id is nothing to it. An EMPTY list
      // would abort every request of every client.
      body: (id) => ({ request_ids: [id, `chatcmpl-${id}`, `cmpl-${id}-0`] }),
    },
  },
  sglang: {
    ...plain,
    requestId: "rid",
    keepStop: { no_stop_trim: true },
    openTurn: { continue_final_message: true },
    tokenIds: { return_token_ids: true, return_prompt_token_ids: true },
    sampling: { top_p: 1, top_k: -1, min_p: 0, repetition_penalty: 1 },
    takesIds: true,
    // An empty `rid` would match every request.
    abort: { path: "/abort_request", body: (rid) => ({ rid }) },
  },
  // It goes on with a last turn by the assistant, but whether that stands in the answer depends on its version.
  "llama.cpp": {
    ...plain,
    sampling: { top_p: 1, top_k: 0, min_p: 0, repeat_penalty: 1 },
    takesIds: true,
  },
  ollama: { ...plain, logprobs: false },
  other: plain,
};

/** As people write them. */
export const serverNames: Readonly<Record<ServerKind, string>> = {
  vllm: "vLLM",
  sglang: "SGLang",
  "llama.cpp": "llama.cpp",
  ollama: "Ollama",
  other: "an OpenAI-compatible server",
};
