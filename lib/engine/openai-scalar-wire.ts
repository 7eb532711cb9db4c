/**
 * The servers' ways to score a conversation with one number. Pure.
 *
 * Every route is asked for the raw logit. A number that is none (NaN, infinite, a list of another length) is refused,
 * never rounded or guessed. Where a server gives a probability whatever it is asked, the logit is computed from it.
 */
import { CovoteError, invalid } from "../core/errors.js";
import type { ChatMessage } from "../grm/chat.js";
import { isObject } from "./server-errors.js";
import { type ServerKind, serverNames } from "./server-kinds.js";

export const scalarRoutes = ["classify", "pooling", "score", "embeddings"] as const;
export type ScalarRoute = (typeof scalarRoutes)[number];

/** A conversation as the server gets it: turns for its own chat template, or the tokens that it comes to. */
export type ScalarInput =
  | { t: "turns"; messages: readonly ChatMessage[] }
  | { t: "ids"; ids: readonly number[] };

export interface ScalarForm {
  path: string;
  body(model: string, id: string, input: ScalarInput, raw: boolean): Record<string, unknown>;
  /** The number or numbers that the answer holds; null: it holds none. */
  read(answer: unknown): unknown;
  /** Takes turns; else a tokenizer is needed to write them out here. */
  takesTurns: boolean;
  /** Takes a wish for the raw logit; else what comes is raw. */
  choosesRaw: boolean;
}

const vllmInput = (input: ScalarInput): Record<string, unknown> =>
  input.t === "turns" ? { messages: input.messages, add_generation_prompt: false } : { input: input.ids };

function firstOf(answer: unknown, field: string): unknown {
  const data = isObject(answer) ? answer.data : undefined;
  const [first] = Array.isArray(data) ? data : [];
  return isObject(first) ? first[field] : null;
}

const vllm: Readonly<Partial<Record<ScalarRoute, ScalarForm>>> = {
  classify: {
    path: "/classify",
    body: (model, id, input, raw) => ({ model, request_id: id, ...vllmInput(input), use_activation: !raw }),
    read: (answer) => firstOf(answer, "probs"),
    ...{ takesTurns: true, choosesRaw: true },
  },
  pooling: {
    path: "/pooling",
    body: (model, id, input, raw) => ({ model, request_id: id, ...vllmInput(input), use_activation: !raw }),
    // Models that pool every token give a list for each; the last one has seen the whole.
    read: (answer) => {
      const data = firstOf(answer, "data");
      return Array.isArray(data) && Array.isArray(data.at(-1)) ? data.at(-1) : data;
    },
    ...{ takesTurns: true, choosesRaw: true },
  },
  score: {
    path: "/score",
    body: (model, id, input, raw) => ({ model, request_id: id, ...pairOf(input), use_activation: !raw }),
    read: (answer) => firstOf(answer, "score"),
    ...{ takesTurns: true, choosesRaw: true },
  },
};

const embeddings: ScalarForm = {
  path: "/v1/embeddings",
  body: (model, _id, input) => ({ model, input: idsOf(input), encoding_format: "float" }),
  read: (answer) => firstOf(answer, "embedding"),
  ...{ takesTurns: false, choosesRaw: false },
};

const sglang: Readonly<Partial<Record<ScalarRoute, ScalarForm>>> = {
  classify: {
    path: "/classify",
    body: (_model, rid, input) => ({ rid, input_ids: idsOf(input) }),
    // One object for one input; some versions wrap it in a list.
    read: (answer) => {
      const one = Array.isArray(answer) ? answer[0] : answer;
      return isObject(one) ? one.embedding : null;
    },
    ...{ takesTurns: false, choosesRaw: false },
  },
  embeddings,
};

/** In the order of preference; empty when servers of the kind cannot score. */
export function scalarForms(kind: ServerKind): Readonly<Partial<Record<ScalarRoute, ScalarForm>>> {
  if (kind === "vllm") return vllm;
  return kind === "sglang" ? sglang : { embeddings };
}

/** Throws `failed_precondition` that names the setting when this server has no such route. */
export function chooseForm(
  field: string,
  kind: ServerKind,
  routes: ReadonlySet<string> | null,
  wanted: ScalarRoute | "auto",
  tokenizer: boolean,
): ScalarForm {
  const forms = scalarForms(kind);
  const there = Object.entries(forms).filter(([, { path }]) => routes === null || routes.has(path));
  const [, form] = (wanted === "auto" ? there[0] : there.find(([route]) => route === wanted)) ?? [];
  const server = serverNames[kind];
  // An embedding of a server that nobody knows for scoring is one only when somebody says so.
  if (form === undefined || (wanted === "auto" && kind !== "vllm" && kind !== "sglang")) {
    const has = there.map(([route]) => route).join(", ") || "none";
    throw new CovoteError(
      "failed_precondition",
      `${field}.route: ${server} is not known to score by ${wanted === "auto" ? "any route" : wanted}; it has ${has}`,
      { field: `${field}.route` },
    );
  }
  if (!form.takesTurns && !tokenizer) {
    throw new CovoteError(
      "failed_precondition",
      `${field}.tokenizer: ${server} takes tokens at ${form.path}; give the folder with the model's tokenizer and chat template`,
      { field: `${field}.tokenizer` },
    );
  }
  return form;
}

/** The logit in an answer; throws `unavailable` for what is none. Two labels: how much the second one is ahead. */
export function readLogit(
  name: string,
  form: ScalarForm,
  answer: unknown,
  given: "logit" | "probability",
): number {
  const found = form.read(answer);
  const values: readonly unknown[] = Array.isArray(found) ? found : [found];
  if (!values.every((value): value is number => typeof value === "number" && Number.isFinite(value))) {
    throw new CovoteError("unavailable", `${name}: ${form.path} gave no finite number: ${shown(found)}`);
  }
  const [first, second, ...more] = values as readonly number[];
  if (first === undefined || more.length > 0) {
    throw new CovoteError(
      "unavailable",
      `${name}: ${form.path} gave ${values.length} numbers; a score is one`,
    );
  }
  if (given === "logit") return second === undefined ? first : second - first;
  const p = second ?? first;
  if (p <= 0 || p >= 1) {
    throw new CovoteError(
      "unavailable",
      `${name}: ${form.path} gave ${p}, which is no probability with a logit`,
    );
  }
  return Math.log(p / (1 - p));
}

function pairOf(input: ScalarInput): { text_1: string; text_2: string } {
  if (input.t === "ids") throw invalid("route", "score takes texts; leave out the tokenizer");
  const answer = input.messages.at(-1);
  const asked = input.messages.slice(0, -1).map(({ content }) => content);
  return { text_1: asked.join("\n"), text_2: answer?.content ?? "" };
}

function idsOf(input: ScalarInput): readonly number[] {
  if (input.t === "ids") return input.ids;
  throw new CovoteError("internal", "a route that takes tokens was given turns");
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
