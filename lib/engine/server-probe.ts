/**
 * Finding out what a server is and serves: its kind, its model, which weights these are, and what it can do. Nothing is
 * taken from a version number; what matters is asked for.
 *
 * The fingerprint tells weights apart as far as the server tells them: model, folder, size or digest, and the version
 * of the weights where there is one. Servers that were given other weights under the same name and say nothing of it
 * cannot be told apart.
 */
import { createHash } from "node:crypto";
import { CovoteError } from "../core/errors.js";
import { isObject, parseObject, readAnswer } from "./server-errors.js";
import type { ServerHttp } from "./server-http.js";
import { type ServerKind, serverNames } from "./server-kinds.js";

export interface ServerIdentity {
  kind: ServerKind;
  model: string;
  /** `model@fingerprint`, for records: which weights these are. */
  version: string;
  /** Longest prompt plus completion, in tokens; null: it does not say. */
  maxPositions: number | null;
  /** Routes that it has; null: it does not say. */
  routes: ReadonlySet<string> | null;
}

export interface IdentifyOptions {
  http: ServerHttp;
  /** Configured model; null: the only one. */
  model: string | null;
  server: ServerKind | "auto";
  /** Of the section, for errors: `grm.engine`. */
  field: string;
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

interface Card extends Record<string, unknown> {
  id: string;
}

/** Rejects with `failed_precondition` for what no wait mends: another model, a key that is refused. */
export async function identify(options: IdentifyOptions): Promise<ServerIdentity> {
  const { http, field, server } = options;
  const cards = await modelsOf(options);
  const kind = server === "auto" ? await kindOf(options, cards) : server;
  const card = cardOf(cards, options.model, `${field}.model`, http.name);
  const routes = kind === "vllm" || kind === "sglang" ? await routesOf(options) : null;
  const facts = await factsOf(kind, card, routes, options);
  const print = createHash("sha256")
    .update(JSON.stringify([kind, card.id, facts.weights]))
    .digest("hex");
  return {
    kind,
    model: card.id,
    version: `${card.id}@${print.slice(0, 8)}`,
    maxPositions: facts.maxPositions,
    routes,
  };
}

/** Empty when the server has no list. */
async function modelsOf(options: IdentifyOptions): Promise<Card[]> {
  const { http, timeoutMs, signal, model } = options;
  const answer = await http.send({ method: "GET", path: "/v1/models", timeoutMs, signal });
  if ((answer.status === 404 || answer.status === 405) && model !== null) return [];
  const { data } = readAnswer(http.name, answer);
  if (!Array.isArray(data)) return [];
  return data.filter((card): card is Card => isObject(card) && typeof card.id === "string");
}

const owners: Readonly<Record<string, ServerKind>> = {
  vllm: "vllm",
  sglang: "sglang",
  llamacpp: "llama.cpp",
};

async function kindOf(options: IdentifyOptions, cards: readonly Card[]): Promise<ServerKind> {
  for (const { owned_by } of cards) {
    const kind = typeof owned_by === "string" ? owners[owned_by] : undefined;
    if (kind !== undefined) return kind;
  }
  // Only Ollama has this route; its models are owned by whoever published them.
  const version = await tryGet(options, "/api/version");
  return typeof version?.version === "string" ? "ollama" : "other";
}

function cardOf(cards: readonly Card[], model: string | null, field: string, name: string): Card {
  const shown = cards.slice(0, 4).map(({ id }) => id);
  const some = cards.length > shown.length ? `${shown.join(", ")} and more` : shown.join(", ");
  if (model !== null) {
    const card = cards.find(({ id }) => id === model);
    // Gateways often take models that they do not list.
    if (card !== undefined || cards.length === 0) return card ?? { id: model };
    const text = `${field}: ${name} does not serve ${JSON.stringify(model)}; it serves ${some}`;
    throw new CovoteError("failed_precondition", text, { field });
  }
  // Adapters have a parent; the base model is meant when only one thing has none.
  const bases = cards.filter(({ parent }) => parent === undefined || parent === null);
  const [only] = bases;
  if (only !== undefined && bases.length === 1) return only;
  const what = cards.length === 0 ? "does not say what it serves" : `serves several models (${some})`;
  throw new CovoteError("failed_precondition", `${field}: ${name} ${what}; name one`, { field });
}

async function routesOf(options: IdentifyOptions): Promise<ReadonlySet<string> | null> {
  const document = await tryGet(options, "/openapi.json");
  return isObject(document?.paths) ? new Set(Object.keys(document.paths)) : null;
}

interface Facts {
  /** Whatever tells these weights from others. */
  weights: unknown;
  maxPositions: number | null;
}

async function factsOf(
  kind: ServerKind,
  card: Card,
  routes: ReadonlySet<string> | null,
  options: IdentifyOptions,
): Promise<Facts> {
  const meta = isObject(card.meta) ? card.meta : {};
  switch (kind) {
    case "vllm": {
      const info = routes?.has("/weight_info") ? await tryGet(options, "/weight_info") : null;
      return {
        weights: [card.root, info?.weight_version ?? null],
        maxPositions: positive(card.max_model_len),
      };
    }
    case "sglang": {
      const info = await tryGet(options, "/get_model_info");
      return {
        weights: [info?.model_path ?? card.root, info?.weight_version ?? null],
        maxPositions: positive(card.max_model_len),
      };
    }
    case "llama.cpp": {
      const props = await tryGet(options, "/props");
      const settings = isObject(props?.default_generation_settings) ? props.default_generation_settings : {};
      return {
        weights: [meta.n_params, meta.size, meta.n_vocab],
        // Of one slot; the model's own context is shared by all.
        maxPositions: positive(settings.n_ctx) ?? positive(meta.n_ctx),
      };
    }
    case "ollama": {
      const tags = await tryGet(options, "/api/tags");
      const models = Array.isArray(tags?.models) ? tags.models.filter(isObject) : [];
      const names = [card.id, `${card.id}:latest`];
      const digest = models.find(({ name }) => names.includes(name as string))?.digest ?? null;
      return { weights: digest, maxPositions: null };
    }
    case "other":
      return { weights: [card.root ?? null], maxPositions: positive(card.max_model_len) };
  }
}

/** The JSON object at a path that the server need not have. */
async function tryGet(options: IdentifyOptions, path: string): Promise<Record<string, unknown> | null> {
  const { http, timeoutMs, signal } = options;
  const answer = await http.send({ method: "GET", path, timeoutMs, signal });
  return answer.status === 200 ? parseObject(answer.text) : null;
}

function positive(value: unknown): number | null {
  return typeof value === "number" && Number.isInteger(value) && value > 0 ? value : null;
}

/** `vLLM at 10.0.0.1:8000 (Qwen/Qwen3-8B@1a2b3c4d)` */
export function describe(http: ServerHttp, { kind, version }: ServerIdentity): string {
  return `${serverNames[kind]} at ${http.name} (${version})`;
}
