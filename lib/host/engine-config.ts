/** The sections `engine` of the configuration: what runs a model, and which servers do when covote does not itself. */
import { z } from "zod";

/** Text that names a file, a variable or a model; null is none. */
function optional(text: string) {
  return z.string().min(1).nullable().default(null).describe(text);
}

const endpoint = z.string().refine(isEndpoint, {
  error: (issue) => `must be URLs such as http://127.0.0.1:8000, got ${JSON.stringify(issue.input)}`,
});

const shared = {
  kind: z
    .enum(["llama", "openai"])
    .default("llama")
    .describe(
      "What runs the model: covote's own small Llama in this process (llama), or servers with an OpenAI-compatible interface (openai).",
    ),
  endpoints: z
    .array(endpoint)
    .max(256)
    .default([])
    .describe(
      "With openai: base URLs of the servers, which all serve the same weights, such as http://127.0.0.1:8000; in variables with commas between them.",
    ),
  model: optional("With openai: name of the model at the servers; null is the only one that they serve."),
  server: z
    .enum(["auto", "vllm", "sglang", "llama.cpp", "ollama", "other"])
    .default("auto")
    .describe(
      "With openai: which server it is, so that its own extensions are used; auto asks it. Name it where a gateway hides it.",
    ),
  tokenizer: optional(
    "With openai: folder with the model's tokenizer.json and chat template. Prompts are then written here and counted exactly, and go to /v1/completions; null leaves both to the server.",
  ),
  apiKeyEnv: optional("With openai: name of the environment variable that holds the API key; null is none."),
  apiKeyFile: optional("With openai: file that holds the API key; null is none."),
  caFile: optional(
    "With openai: PEM file of the authority that signed the servers' certificates; null trusts the usual public ones.",
  ),
  concurrency: z
    .int()
    .min(1)
    .max(4096)
    .default(32)
    .describe(
      "With openai: most requests that one endpoint gets side by side from one worker; fewer while it says that it is full.",
    ),
  connectTimeoutMs: z
    .int()
    .min(10)
    .max(600_000)
    .default(2000)
    .describe("With openai: how long a connection to an endpoint may take, in milliseconds."),
  requestTimeoutMs: z
    .int()
    .min(100)
    .max(3_600_000)
    .default(120_000)
    .describe(
      "With openai: how long one request may take at an endpoint, in milliseconds; a nearer deadline counts.",
    ),
  startTimeoutMs: z
    .int()
    .min(100)
    .max(3_600_000)
    .default(10_000)
    .describe(
      "With openai: how long to wait at the start for the first endpoint, in milliseconds; a server that loads a large model needs minutes.",
    ),
  retryShare: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe("With openai: retries at another endpoint, at most this share of the requests; 0 is none."),
  hedgeShare: z
    .number()
    .min(0)
    .max(1)
    .default(0.02)
    .describe(
      "With openai: stragglers that are asked for at a second endpoint, too, at most this share of the requests; 0 is none.",
    ),
} as const;

export const generativeEngineSection = z.strictObject({
  ...shared,
  maxPositions: z
    .int()
    .min(16)
    .max(16_777_216)
    .nullable()
    .default(null)
    .describe("With openai: longest prompt plus completion, in tokens; null asks the server."),
});

export const scalarEngineSection = z.strictObject({
  ...shared,
  route: z
    .enum(["auto", "classify", "pooling", "score", "embeddings"])
    .default("auto")
    .describe("With openai: which route of the server gives the score; auto takes the first that it has."),
});

export type GenerativeEngineConfig = z.output<typeof generativeEngineSection>;
export type ScalarEngineConfig = z.output<typeof scalarEngineSection>;
/** What every kind of engine has. */
export type EngineConfig = { readonly [Field in keyof typeof shared]: GenerativeEngineConfig[Field] };

/** Values that are possible alone and impossible together, each with the path of its field. */
export function engineContradictions(path: string, engine: EngineConfig): [path: string, problem: string][] {
  const found: [string, string][] = [];
  const { kind, endpoints, apiKeyEnv, apiKeyFile } = engine;
  if (kind === "openai" && endpoints.length === 0) {
    found.push([`${path}.endpoints`, `must not be empty with ${path}.kind openai; give the servers' URLs`]);
  }
  if (kind === "llama" && endpoints.length > 0) {
    found.push([`${path}.endpoints`, `needs ${path}.kind openai; leave it out, or choose that`]);
  }
  if (new Set(endpoints).size < endpoints.length) {
    found.push([`${path}.endpoints`, "names an endpoint twice; name each once"]);
  }
  if (apiKeyEnv !== null && apiKeyFile !== null) {
    found.push([`${path}.apiKeyFile`, `cannot go with ${path}.apiKeyEnv; give one or the other`]);
  }
  return found;
}

/** http or https, without credentials, which would be printed and logged, and without a query. */
function isEndpoint(text: string): boolean {
  try {
    const url = new URL(text);
    const plain = url.username === "" && url.password === "" && url.search === "" && url.hash === "";
    return plain && (url.protocol === "http:" || url.protocol === "https:");
  } catch {
    return false;
  }
}
