/**
 * Principles drawn apart from the votes that use them (split mode): drawn once for a query, kept, and given to later
 * votes on it, whatever responses those judge.
 *
 * - A set is determined by the query, the reference answer, the grammar, the model's weights, the temperature and its
 *   number, and by nothing else; its key is the hash of these. Responses and the vote's own seed are not among them.
 * - Votes that need the same set at the same time wait for one draw. Two workers may draw at once: the set that was
 *   kept first stands for both.
 * - Only what the grammar reads as principles, ended by the model itself, is kept. What cannot be had is an answer,
 *   too: then the vote writes its own.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import { seedFrom } from "../../lib/core/random.js";
import type { Generation, GenerativeEngine } from "../../lib/engine/engine.js";
import type { ChatMessage } from "../../lib/grm/chat.js";
import type { Grammar, SplitGrammar } from "../../lib/grm/judgment.js";
import type { PrinciplesStore } from "./kept-principles.js";

export interface PrinciplesRequest {
  query: readonly ChatMessage[];
  reference?: string | undefined;
  temperature: number;
  /** Number of the set. */
  set: number;
  /** When the draw has to end, in milliseconds since the epoch. */
  deadlineAtMs: number;
}

/** Tokens and time that a draw took, all attempts together. */
export interface DrawCost {
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  engineMs: number;
}

/** Why a vote had to write its own principles. A closed list. */
export const missReasons = [
  /** The store cannot be asked. */
  "store_away",
  /** What the store holds under the key is no principles. */
  "kept_bad",
  /** No draw gave principles. */
  "unreadable",
  /** The model does not take the prompt: too long, or words that it does not know. */
  "refused",
  /** The model's weights changed meanwhile. */
  "outdated",
  /** The grammar has no principles apart from votes. */
  "unsupported",
] as const;
export type MissReason = (typeof missReasons)[number];

export type Principles =
  | {
      t: "given";
      text: string;
      key: string;
      /** Tokens that were generated for them. */
      tokens: number;
      /** Of the weights that wrote them. */
      version: string;
    }
  | { t: "none"; reason: MissReason };

export interface TakenPrinciples {
  principles: Principles;
  /** What drawing them has cost this vote; null: nothing, they were there. */
  cost: DrawCost | null;
}

export interface PrinciplesSource {
  /** Rejects with what a draw fails of and a vote would as well: `unavailable`, `overloaded`, `cancelled`. */
  take(request: PrinciplesRequest, signal: AbortSignal): Promise<TakenPrinciples>;
}

export interface PrinciplesDependencies {
  engine: GenerativeEngine;
  grammar: Grammar;
  split: SplitGrammar;
  store: PrinciplesStore;
  clock: Clock;
  worker: string;
  /** Longest answer, in tokens; null: as long as the grammar may need. */
  maxTokens: number | null;
  nextRequest(): number;
}

/** Sets that a worker remembers without asking the store. */
const remembered = 2048;
/** Draws of one set before it is given up: a model that samples may slip. */
const attempts = 3;

export function createPrinciplesSource(deps: PrinciplesDependencies): PrinciplesSource {
  const { engine, grammar, split, store, clock, worker } = deps;
  const known = new Map<string, Promise<TakenPrinciples>>();

  const begin = (key: string, version: string, request: PrinciplesRequest): Promise<TakenPrinciples> => {
    const taking = fetchOrDraw(key, version, request);
    known.set(key, taking);
    if (known.size > remembered) known.delete(known.keys().next().value as string);
    const forget = (): void => {
      if (known.get(key) === taking) known.delete(key);
    };
    // What failed for a passing reason is tried again by the next vote.
    taking.then(({ principles }) => {
      if (principles.t === "none" && principles.reason !== "unreadable" && principles.reason !== "refused")
        forget();
    }, forget);
    return taking;
  };

  const fetchOrDraw = async (
    key: string,
    version: string,
    request: PrinciplesRequest,
  ): Promise<TakenPrinciples> => {
    const kept = await store.get(key);
    if (kept.t === "kept") {
      const { text, tokens } = kept.kept;
      return { principles: { t: "given", text, key, tokens, version }, cost: null };
    }
    if (kept.t !== "none") return none(kept.t === "bad" ? "kept_bad" : "store_away", null);
    const drawn = await draw(key, version, request);
    if (drawn.principles.t === "none") return drawn;
    const { text, tokens } = drawn.principles;
    const standing = await store.keep(key, {
      text,
      tokens,
      judgeVersion: `${version}+${grammar.name}@${grammar.version}`,
      worker,
      drawnAtMs: clock.now(),
    });
    if (standing.t === "bad") return none("kept_bad", drawn.cost);
    // A store that went away after the draw changes nothing about the principles.
    if (standing.t !== "kept") return drawn;
    const first = standing.kept;
    return { ...drawn, principles: { ...drawn.principles, text: first.text, tokens: first.tokens } };
  };

  const draw = async (key: string, version: string, request: PrinciplesRequest): Promise<TakenPrinciples> => {
    const { query, reference, temperature, deadlineAtMs } = request;
    const cost: DrawCost = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, engineMs: 0 };
    const late = new AbortController();
    const timer = clock.after(Math.max(0, deadlineAtMs - clock.now()), () => late.abort(), {
      background: true,
    });
    try {
      const messages = split.prompt({ query, ...(reference === undefined ? {} : { reference }) });
      const maxTokens = Math.min(split.maxTokens, deps.maxTokens ?? Infinity);
      // Greedy draws are all the same.
      for (let attempt = 0; attempt < (temperature === 0 ? 1 : attempts); attempt++) {
        const generation = await engine.generate(
          {
            id: `principles-${key.slice(0, 16)}~${deps.nextRequest()}`,
            messages,
            maxTokens,
            temperature,
            seed: seedFrom("principles", key, attempt),
            opening: split.opening,
            stop: split.stop,
            deadlineAtMs,
          },
          { signal: late.signal },
        );
        addCost(cost, generation);
        if (generation.version !== version) return none("outdated", cost);
        if (generation.finish === "length") continue;
        const text = split.read(opened(split.opening, generation.text));
        if (text === null) continue;
        const tokens = generation.completionTokens;
        return { principles: { t: "given", text, key, tokens, version }, cost };
      }
      return none("unreadable", cost);
    } catch (thrown) {
      const error = CovoteError.from(thrown);
      // The vote will be refused as well, and says why.
      if (error.code === "invalid_argument") return none("refused", cost);
      throw error;
    } finally {
      timer.cancel();
    }
  };

  return {
    take: async (request, signal) => {
      const { version } = engine.version();
      const key = principlesKey(request, `${version}+${grammar.name}@${grammar.version}`);
      for (;;) {
        const running = known.get(key);
        const own = running === undefined;
        try {
          const taken = await unlessAborted(running ?? begin(key, version, request), signal);
          // Only the vote that began the draw bears its cost.
          return own ? taken : { ...taken, cost: null };
        } catch (error) {
          // Another vote's draw ended with that vote's deadline: this one begins its own.
          if (own || signal.aborted || CovoteError.from(error).code !== "cancelled") throw error;
        }
      }
    },
  };
}

/** Hash of all that determines a set of principles, hexadecimal. At temperature 0 all sets are the same. */
export function principlesKey(
  { query, reference, temperature, set }: Omit<PrinciplesRequest, "deadlineAtMs">,
  judgeVersion: string,
): string {
  const turns = query.map(({ role, content }) => [role, content]);
  const number = temperature === 0 ? 0 : set;
  const determining = ["principles-1", judgeVersion, turns, reference ?? null, temperature, number];
  return createHash("sha256").update(JSON.stringify(determining)).digest("hex");
}

/** The engine's text with the opening that it was made to begin with. */
export function opened(opening: string, text: string): string {
  return opening === "" ? text : `${opening} ${text}`;
}

function none(reason: MissReason, cost: DrawCost | null): TakenPrinciples {
  return { principles: { t: "none", reason }, cost };
}

function addCost(cost: DrawCost, generation: Generation): void {
  cost.promptTokens += generation.promptTokens;
  cost.cachedTokens += generation.cachedTokens;
  cost.completionTokens += generation.completionTokens;
  cost.engineMs += generation.engineMs;
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let leave = (): void => {};
  const left = new Promise<never>((_, reject) => {
    leave = () => reject(new CovoteError("cancelled", "the vote is not needed any more"));
  });
  if (signal.aborted) leave();
  signal.addEventListener("abort", leave, { once: true });
  try {
    return await Promise.race([work, left]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}
