import { describe, expect, test } from "vitest";
import type { Bus, KeyValue } from "../../lib/bus/bus.js";
import { createManualClock, systemClock } from "../../lib/core/clock.js";
import { deferred } from "../../lib/core/deferred.js";
import { CovoteError } from "../../lib/core/errors.js";
import { silentLogger } from "../../lib/core/logger.js";
import type { GenerateRequest, GenerativeEngine } from "../../lib/engine/engine.js";
import { createSimulatedEngine } from "../../lib/engine/simulated.js";
import { grammars } from "../../lib/grm/grammar.js";
import { createMetrics } from "../../lib/host/metrics.js";
import { PrinciplesSource as WrittenBy } from "../../lib/wire/gen/covote/v1/common.js";
import { Vote } from "../../lib/wire/gen/covote/v1/judging.js";
import { keptPrinciplesCodec } from "../../lib/wire/messages.js";
import { createPrinciplesStore } from "../../services/grm-worker/kept-principles.js";
import { workerMetrics } from "../../services/grm-worker/metrics.js";
import {
  createPrinciplesSource,
  type PrinciplesRequest,
  type PrinciplesSource,
  principlesKey,
} from "../../services/grm-worker/principles.js";
import { castSplitVote } from "../../services/grm-worker/split-vote.js";
import { ballotPrompt, type Voter } from "../../services/grm-worker/vote.js";

const grammar = grammars.postcards;
const { split } = grammar;
if (split === null) throw new Error("the postcards grammar has no principles apart");
const query = [{ role: "user" as const, content: "query to aunt from sea be thanks ." }];
const never = new AbortController().signal;
const request = (over: Partial<PrinciplesRequest> = {}): PrinciplesRequest => ({
  query,
  temperature: 1,
  set: 0,
  deadlineAtMs: Date.now() + 60_000,
  ...over,
});

/** A store in memory, in the place of the bus; `broken` makes every operation fail. */
function memoryStore() {
  const entries = new Map<string, Uint8Array>();
  const state = { broken: false, reads: 0 };
  const work = <T>(result: () => T): Promise<T> => {
    if (state.broken) return Promise.reject(new CovoteError("unavailable", "the store is down"));
    return Promise.resolve(result());
  };
  const kv: Pick<KeyValue, "get" | "create"> = {
    get: (key) =>
      work(() => {
        state.reads++;
        const value = entries.get(key);
        return value === undefined ? null : { key, value, revision: 1 };
      }),
    create: (key, value) =>
      work(() => {
        if (entries.has(key)) throw new CovoteError("already_exists", key);
        entries.set(key, value);
        return 1;
      }),
  };
  const bus = { kv: () => Promise.resolve(kv) } as unknown as Bus;
  return { bus, entries, state };
}

type Store = ReturnType<typeof memoryStore>;

/** What the model writes when it is asked for principles; votes get a critique and scores. */
function engineThat(
  write: (asked: GenerateRequest) => string,
  asked: GenerateRequest[] = [],
): GenerativeEngine {
  return createSimulatedEngine({
    respond: (each) => {
      asked.push(each);
      if (each.stop?.includes("critique")) return write(each);
      return each.opening === undefined
        ? "principles topic 1 critique topic yes no scores 7 3"
        : `${each.opening.split(" ")[1]} yes no scores 9 2`;
    },
    version: { number: 1, version: "grm-1" },
  });
}

function sourceOn(engine: GenerativeEngine, store: Store, worker = "w"): PrinciplesSource {
  const clock = systemClock();
  let requests = 0;
  return createPrinciplesSource({
    ...{ engine, grammar, clock, worker, maxTokens: null },
    split: split as NonNullable<typeof split>,
    store: createPrinciplesStore(
      { bus: store.bus, clock, log: silentLogger },
      split as NonNullable<typeof split>,
    ),
    nextRequest: () => ++requests,
  });
}

describe("principles drawn apart", () => {
  test("are drawn once, and given to who asks later, on this worker and on another", async () => {
    const asked: GenerateRequest[] = [];
    const store = memoryStore();
    const engine = engineThat(() => "thanks 3 topic 2 critique thanks yes", asked);
    const source = sourceOn(engine, store);
    const [first, second] = await Promise.all([source.take(request(), never), source.take(request(), never)]);
    expect(first.principles).toEqual({
      t: "given",
      text: "thanks 3 topic 2",
      key: principlesKey(request(), "grm-1+postcards@postcards-1"),
      tokens: 6,
      version: "grm-1",
    });
    expect(first.cost).toMatchObject({ completionTokens: 6 });
    expect(second).toEqual({ ...first, cost: null });
    expect(await sourceOn(engine, store).take(request(), never)).toEqual(second);
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatchObject({ opening: "principles", stop: ["critique"] });
  });

  test("depend on query, reference, temperature, set and judge, and on nothing else", () => {
    const key = (over: Partial<PrinciplesRequest>, version = "v") => principlesKey(request(over), version);
    const same = [key({}), key({ deadlineAtMs: 1 })];
    const others = [
      key({ query: [{ role: "user", content: "other" }] }),
      key({ query: [{ role: "system", content: query[0]?.content ?? "" }] }),
      key({ reference: "r" }),
      key({ reference: "null" }),
      key({ temperature: 0.5 }),
      key({ set: 1 }),
      key({}, "w"),
    ];
    expect(new Set([...same, ...others]).size).toBe(1 + others.length);
    expect(key({ temperature: 0, set: 3 })).toBe(key({ temperature: 0 }));
  });

  test("two workers that draw at once agree on what was kept first", async () => {
    const store = memoryStore();
    const gate = deferred<void>();
    const held = (text: string): GenerativeEngine => {
      const inner = engineThat(() => text);
      return { ...inner, generate: async (...args) => gate.promise.then(() => inner.generate(...args)) };
    };
    const takes = [
      sourceOn(held("thanks 3 critique"), store, "a").take(request(), never),
      sourceOn(held("topic 1 critique"), store, "b").take(request(), never),
    ];
    gate.resolve();
    const texts = (await Promise.all(takes)).map(
      ({ principles }) => principles.t === "given" && principles.text,
    );
    expect(new Set(texts).size).toBe(1);
    expect(store.entries.size).toBe(1);
  });

  test("what is no principles is drawn again, and never kept", async () => {
    const store = memoryStore();
    const asked: GenerateRequest[] = [];
    const slip = engineThat(() => (asked.length < 3 ? "yes no critique" : "thanks 3 critique"), asked);
    const taken = await sourceOn(slip, store).take(request(), never);
    expect(taken.principles).toMatchObject({ t: "given", text: "thanks 3" });
    // All three draws have been paid for.
    expect(taken.cost?.completionTokens).toBe(4 + 4 + 4);
    expect(new Set(asked.map(({ seed }) => seed)).size).toBe(3);

    const garbage = sourceOn(
      engineThat(() => "thanks thanks thanks"),
      memoryStore(),
    );
    expect((await garbage.take(request(), never)).principles).toEqual({ t: "none", reason: "unreadable" });
    const rambling = memoryStore();
    const long = Array.from({ length: 30 }, () => "thanks 3").join(" ");
    await sourceOn(
      engineThat(() => long),
      rambling,
    ).take(request(), never);
    expect(rambling.entries.size).toBe(0);
  });

  test("what the store holds is checked: an entry that is no principles is not used", async () => {
    const key = principlesKey(request(), "grm-1+postcards@postcards-1");
    for (const poison of [
      Uint8Array.of(255, 255),
      keptPrinciplesCodec.encode({
        text: "scores 10 10",
        tokens: 3,
        judgeVersion: "",
        worker: "",
        drawnAtMs: 0,
      }),
    ]) {
      const store = memoryStore();
      store.entries.set(key, poison);
      const source = sourceOn(
        engineThat(() => "thanks 3 critique"),
        store,
      );
      expect((await source.take(request(), never)).principles).toEqual({ t: "none", reason: "kept_bad" });
      expect(store.entries.get(key)).toBe(poison);
    }
  });

  test("a store that is away is asked again only after a while, and costs no draw", async () => {
    const store = memoryStore();
    store.state.broken = true;
    const clock = createManualClock();
    const asked: GenerateRequest[] = [];
    const kept = createPrinciplesStore({ bus: store.bus, clock, log: silentLogger }, split);
    const source = createPrinciplesSource({
      ...{ engine: engineThat(() => "thanks 3 critique", asked), grammar, split, store: kept, clock },
      ...{ worker: "w", maxTokens: null, nextRequest: () => 1 },
    });
    const wanted = request({ deadlineAtMs: 60_000 });
    expect((await source.take(wanted, never)).principles).toEqual({ t: "none", reason: "store_away" });
    store.state.broken = false;
    expect((await source.take(wanted, never)).principles).toEqual({ t: "none", reason: "store_away" });
    expect([asked.length, store.state.reads]).toEqual([0, 0]);
    await clock.advance(5000);
    expect((await source.take(wanted, never)).principles).toMatchObject({ t: "given" });
  });

  test("a store that hangs is given up after a second", async () => {
    const clock = createManualClock();
    const bus = { kv: () => new Promise<never>(() => undefined) } as unknown as Bus;
    const answer = createPrinciplesStore({ bus, clock, log: silentLogger }, split).get("a");
    await clock.advance(1000);
    expect(await answer).toEqual({ t: "away" });
  });

  test("by weights that were replaced meanwhile are not kept", async () => {
    const store = memoryStore();
    const inner = engineThat(() => "thanks 3 critique");
    const engine = {
      ...inner,
      generate: async (...args: Parameters<typeof inner.generate>) => ({
        ...(await inner.generate(...args)),
        version: "grm-2",
      }),
    };
    expect((await sourceOn(engine, store).take(request(), never)).principles).toEqual({
      t: "none",
      reason: "outdated",
    });
    expect(store.entries.size).toBe(0);
  });

  test("a vote that is cancelled leaves at once; the others still get what was drawn", async () => {
    const store = memoryStore();
    const gate = deferred<void>();
    const inner = engineThat(() => "thanks 3 critique");
    const engine: GenerativeEngine = {
      ...inner,
      generate: async (...args) => gate.promise.then(() => inner.generate(...args)),
    };
    const source = sourceOn(engine, store);
    const cancelled = new AbortController();
    const leaving = source.take(request(), cancelled.signal);
    const staying = source.take(request(), never);
    cancelled.abort();
    await expect(leaving).rejects.toMatchObject({ code: "cancelled" });
    gate.resolve();
    expect((await staying).principles).toMatchObject({ t: "given", text: "thanks 3" });
  });

  test("an engine that is gone fails the vote, which another worker may cast, and is tried anew", async () => {
    const engine = createSimulatedEngine({ respond: () => "thanks 3 critique" });
    const source = sourceOn(engine, memoryStore());
    engine.kill();
    await expect(source.take(request(), never)).rejects.toMatchObject({ code: "unavailable" });
    engine.revive();
    expect((await source.take(request(), never)).principles).toMatchObject({ t: "given" });
  });
});

describe("a vote in split mode", () => {
  const ballot = {
    ...{ ballotId: "j:0:0", judgmentId: "j", replySubject: "votes", query: { messages: query } },
    ...{ responses: ["this", "that"], temperature: 1, deadlineAtMs: Date.now() + 60_000 },
    ...{ judgeVersion: "", traceparent: "", tickets: [] },
  };
  const cast = async (engine: GenerativeEngine, store: Store | null, missed: string[] = []) => {
    const voter: Voter = {
      ...{ engine, grammar, worker: "w", maxTokens: null, nextRequest: () => 1 },
      principles: store === null ? null : sourceOn(engine, store),
      missed: (reason) => missed.push(reason),
    };
    const ticket = { voteId: "j:0:0:0", seed: 1, principleSet: 0 };
    return castSplitVote(voter, ballot, await ballotPrompt(voter, ballot, query), ticket, never);
  };

  test("holds the principles that it was given, says that, and under which key they are kept", async () => {
    const store = memoryStore();
    const engine = engineThat(() => "thanks 3 critique");
    const key = principlesKey(request(), "grm-1+postcards@postcards-1");
    const first = await cast(engine, store);
    expect(first).toMatchObject({
      scores: [9, 2],
      principles: "thanks 3",
      critique: "thanks yes no",
      text: "principles thanks 3 critique thanks yes no scores 9 2",
      principlesSource: WrittenBy.DRAWN,
      principlesKey: key,
      principlesTokens: 4,
    });
    const second = await cast(engine, store);
    expect(second).toMatchObject({ scores: [9, 2], principlesSource: WrittenBy.REUSED, principlesKey: key });
    // The first one bears what the draw took.
    expect((first.cost?.completionTokens ?? 0) - (second.cost?.completionTokens ?? 0)).toBe(4);
    expect(second.cost?.votes).toBe(1);
  });

  test("writes its own where there are none, says so, and the reason is counted", async () => {
    const away = memoryStore();
    away.state.broken = true;
    const missed: string[] = [];
    const expected = {
      scores: [7, 3],
      principles: "topic 1",
      principlesSource: WrittenBy.FALLBACK,
      principlesKey: "",
    };
    expect(
      await cast(
        engineThat(() => "thanks 3 critique"),
        away,
        missed,
      ),
    ).toMatchObject(expected);
    expect(
      await cast(
        engineThat(() => "garbage"),
        memoryStore(),
        missed,
      ),
    ).toMatchObject(expected);
    expect(
      await cast(
        engineThat(() => "thanks 3 critique"),
        null,
        missed,
      ),
    ).toMatchObject(expected);
    expect(missed).toEqual(["store_away", "unreadable", "unsupported"]);
  });
});

test("hits, misses, why votes wrote their own, and the tokens saved are told to Prometheus", async () => {
  const metrics = createMetrics({ service: "w" });
  const meter = workerMetrics(metrics);
  const vote = (principlesSource: WrittenBy): Vote =>
    Vote.fromPartial({ principlesSource, principlesTokens: 7, cost: { votes: 1 } });
  for (const by of [WrittenBy.DRAWN, WrittenBy.REUSED, WrittenBy.REUSED, WrittenBy.FALLBACK])
    meter.cast(vote(by));
  meter.missedPrinciples("store_away");
  const told = await metrics.text();
  const count = (outcome: string): string | undefined =>
    new RegExp(`covote_vote_principles_total{.*outcome="${outcome}".*} (.*)`).exec(told)?.[1];
  expect([count("reused"), count("drawn"), count("store_away")]).toEqual(["2", "1", "1"]);
  expect(/covote_principles_saved_tokens_total{.*} (.*)/.exec(told)?.[1]).toBe("14");
});
