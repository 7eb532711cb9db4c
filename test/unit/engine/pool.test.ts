import { describe, expect, test } from "vitest";
import { createManualClock, type ManualClock } from "../../../lib/core/clock.js";
import { type Deferred, deferred } from "../../../lib/core/deferred.js";
import { CovoteError } from "../../../lib/core/errors.js";
import { silentLogger } from "../../../lib/core/logger.js";
import { createRandom } from "../../../lib/core/random.js";
import { openPool, type Pool, type PoolOptions } from "../../../lib/engine/pool.js";
import { healthy } from "../../../lib/engine/pool-health.js";
import type { PoolMember } from "../../../lib/engine/pool-seat.js";
import { type CountingMeter, countingMeter } from "../../support/openai-engine.js";

/** An endpoint in the test's hand. */
interface Hand extends PoolMember {
  /** Requests that wait for their answer, oldest first. */
  open: { answer: Deferred<string>; signal: AbortSignal }[];
  asked: number;
  /** How a probe fares; default: well. */
  probes: () => Promise<void>;
}

interface Table {
  clock: ManualClock;
  hands: Hand[];
  pool: Pool<Hand>;
  meter: CountingMeter;
  /** One request, and how it ended: text, or the code of its error. */
  ask(signal?: AbortSignal): { ended: Promise<string> };
}

const never = (): Promise<never> => new Promise(() => undefined);

function tableFor(count: number, over: Partial<PoolOptions<Hand>> = {}): Table {
  const clock = createManualClock();
  const meter = countingMeter();
  const hands = Array.from({ length: count }, (_, i): Hand => {
    const hand: Hand = {
      name: `e${i}`,
      open: [],
      asked: 0,
      probes: () => Promise.resolve(),
      // A probe ends with its signal whatever the endpoint does, as an HTTP request does.
      probe: (signal) =>
        new Promise((resolve, reject) => {
          signal.addEventListener("abort", () => reject(new CovoteError("cancelled", "stopped")));
          hand.probes().then(resolve, reject);
        }),
      load: () => Promise.resolve(null),
    };
    return hand;
  });
  const pool = openPool({
    members: hands.map((member) => ({ member, initial: healthy })),
    ...{ concurrency: 4, retryShare: 0.2, hedgeShare: 0, clock, meter },
    ...{ random: createRandom(1), log: silentLogger },
    ...over,
  });
  const ask = (signal?: AbortSignal) => {
    const ended = pool
      .run(
        async (hand, own) => {
          const answer = deferred<string>();
          hand.asked++;
          hand.open.push({ answer, signal: own });
          own.addEventListener("abort", () => answer.reject(new CovoteError("cancelled", "stopped")));
          return { value: await answer.promise, tokens: 1 };
        },
        { signal },
      )
      .catch((thrown: unknown) => CovoteError.from(thrown).code);
    return { ended };
  };
  return { clock, hands, pool, meter, ask };
}

/** Answers everything that waits there. */
function answer(hand: Hand | undefined): void {
  for (const { answer: waiting } of hand?.open.splice(0) ?? []) waiting.resolve(hand?.name ?? "");
}
function fail(hand: Hand | undefined, error = new CovoteError("unavailable", "HTTP 500")): void {
  for (const { answer: waiting } of hand?.open.splice(0) ?? []) waiting.reject(error);
}
const asked = ({ hands }: Table): number[] => hands.map((hand) => hand.asked);

/** Enough answers, each after so many milliseconds, for the pool to know how long they take, and none is hedged. */
async function warm(table: Table, ms: number): Promise<void> {
  for (let i = 0; i < 24; i++) {
    const { ended } = table.ask();
    await table.clock.advance(i < 20 ? ms : ms - 1);
    for (const hand of table.hands) answer(hand);
    await ended;
  }
}

describe("requests", () => {
  test("go to the endpoint with the fewest outstanding", async () => {
    const table = tableFor(3);
    for (let i = 0; i < 9; i++) table.ask();
    await table.clock.advance(0);
    expect(asked(table)).toEqual([3, 3, 3]);
  });

  test("that find no room wait in order, and a line that is full refuses", async () => {
    const table = tableFor(1, { concurrency: 2 });
    const first = Array.from({ length: 10 }, () => table.ask());
    await table.clock.advance(0);
    expect(table.pool.stats()).toEqual({ running: 2, waiting: 8 });
    expect(await table.ask().ended).toBe("overloaded");
    for (let i = 0; i < 5; i++) {
      answer(table.hands[0]);
      await table.clock.advance(0);
    }
    expect(await Promise.all(first.map(({ ended }) => ended))).toEqual(Array(10).fill("e0"));
  });

  test("that are cancelled free the endpoint, also while they wait", async () => {
    const table = tableFor(1, { concurrency: 1 });
    const gone = new AbortController();
    const [running, waiting] = [table.ask(gone.signal), table.ask(gone.signal)];
    await table.clock.advance(0);
    const [held] = table.hands[0]?.open ?? [];
    gone.abort();
    expect(await Promise.all([running.ended, waiting.ended])).toEqual(["cancelled", "cancelled"]);
    expect(held?.signal.aborted).toBe(true);
    await table.clock.advance(0);
    expect(table.pool.stats()).toEqual({ running: 0, waiting: 0 });
  });

  test("that are refused for what they are fail at once and are not tried elsewhere", async () => {
    const table = tableFor(2);
    const { ended } = table.ask();
    await table.clock.advance(0);
    for (const hand of table.hands) fail(hand, new CovoteError("invalid_argument", "too long"));
    expect(await ended).toBe("invalid_argument");
    expect(asked(table)[0]! + asked(table)[1]!).toBe(1);
    expect(table.pool.endpoints().map(({ state }) => state)).toEqual(["healthy", "healthy"]);
  });
});

describe("an endpoint that fails", () => {
  test("has its request tried at another one, and gets nothing new while it is suspect", async () => {
    const table = tableFor(2);
    const [bad, good] = table.hands as [Hand, Hand];
    bad.probes = never;
    const requests = [table.ask(), table.ask()];
    await table.clock.advance(0);
    fail(bad);
    await table.clock.advance(0);
    expect(good.asked).toBe(2);
    const later = [table.ask(), table.ask()];
    await table.clock.advance(0);
    expect(asked(table)).toEqual([1, 4]);
    answer(good);
    expect(await Promise.all([...requests, ...later].map(({ ended }) => ended))).toEqual(Array(4).fill("e1"));
    expect(table.meter.counts.retries).toBe(1);
  });

  test("spends no more retries than the budget has: a storm is not answered with a storm", async () => {
    const table = tableFor(2, { retryShare: 0.0001, concurrency: 4 });
    const all: string[] = [];
    for (let round = 0; round < 10; round++) {
      const requests = Array.from({ length: 8 }, () => table.ask());
      for (let step = 0; step < 4; step++) {
        await table.clock.advance(0);
        for (const hand of table.hands) fail(hand);
      }
      await table.clock.advance(60_000);
      for (const hand of table.hands) fail(hand);
      all.push(...(await Promise.all(requests.map(({ ended }) => ended))));
    }
    expect(new Set(all)).toEqual(new Set(["unavailable"]));
    expect(table.meter.counts.retries).toBeLessThanOrEqual(8);
  });

  test("alone: requests fail at once while it is out, and are served when its probe went well", async () => {
    const table = tableFor(1);
    const [hand] = table.hands as [Hand];
    hand.probes = () => Promise.reject(new CovoteError("unavailable", "still away"));
    const first = table.ask();
    await table.clock.advance(0);
    fail(hand);
    expect(await first.ended).toBe("unavailable");
    await table.clock.advance(0);
    expect(await table.ask().ended).toBe("unavailable");
    expect(table.pool.slots()).toBe(1);
    hand.probes = () => Promise.resolve();
    await table.clock.advance(2000);
    const again = table.ask();
    await table.clock.advance(0);
    answer(hand);
    expect(await again.ended).toBe("e0");
  });
});

describe("an endpoint that is frozen", () => {
  test("is noticed by its silence and a probe; what it had moves on at once, within two seconds", async () => {
    const table = tableFor(2);
    await warm(table, 100);
    const [frozen, good] = table.hands as [Hand, Hand];
    frozen.probes = never;
    const requests = Array.from({ length: 6 }, () => table.ask());
    await table.clock.advance(100);
    answer(good);
    const startedMs = table.clock.now();
    const stuck = frozen.open.length;
    expect(stuck).toBe(3);
    while (table.pool.endpoints()[0]?.state !== "out") await table.clock.advance(100);
    // A second of silence, a second for the probe.
    expect(table.clock.now() - startedMs).toBeLessThanOrEqual(2500);
    expect(good.open.length).toBe(stuck);
    expect(frozen.open.every(({ signal }) => signal.aborted)).toBe(true);
    answer(good);
    expect(await Promise.all(requests.map(({ ended }) => ended))).toEqual(Array(6).fill("e1"));
  });

  test("while another request of it is answered, it is slow, not frozen", async () => {
    const table = tableFor(1);
    await warm(table, 100);
    const [hand] = table.hands as [Hand];
    const slow = table.ask();
    await table.clock.advance(0);
    const [held] = hand.open.splice(0);
    for (let i = 0; i < 50; i++) {
      const quick = table.ask();
      await table.clock.advance(100);
      answer(hand);
      await quick.ended;
    }
    expect(table.pool.endpoints()[0]?.state).toBe("healthy");
    held?.answer.resolve("late");
    expect(await slow.ended).toBe("late");
  });
});

describe("a straggler", () => {
  test("is asked for at a second endpoint; the first answer counts and the other is cancelled", async () => {
    const table = tableFor(2, { hedgeShare: 0.02 });
    await warm(table, 100);
    const before = asked(table);
    const { ended } = table.ask();
    await table.clock.advance(90);
    expect(asked(table)[0]! + asked(table)[1]!).toBe(before[0]! + before[1]! + 1);
    await table.clock.advance(20);
    expect(asked(table)).toEqual(before.map((n) => n + 1));
    const slow = table.hands.find(({ open }) => open.length > 0) as Hand;
    const quick = table.hands.find((hand) => hand !== slow) as Hand;
    const [left] = slow.open;
    answer(quick);
    expect(await ended).toBe(quick.name);
    expect(left?.signal.aborted).toBe(true);
    await table.clock.advance(0);
    expect(table.pool.stats().running).toBe(0);
    expect(table.meter.counts).toMatchObject({ hedges: 1, [`${slow.name} cancelled`]: 1 });
  });

  test("is hedged within the budget only, and not while others wait for room", async () => {
    const table = tableFor(2, { hedgeShare: 0.001, concurrency: 4 });
    await warm(table, 100);
    for (let i = 0; i < 12; i++) {
      const { ended } = table.ask();
      await table.clock.advance(150);
      for (const hand of table.hands) answer(hand);
      await ended;
    }
    // A quarter of the eight requests that may run, but at least four.
    expect(table.meter.counts.hedges).toBe(4);
    const crowded = tableFor(2, { hedgeShare: 1, concurrency: 1 });
    await warm(crowded, 100);
    for (let i = 0; i < 4; i++) crowded.ask();
    await crowded.clock.advance(500);
    expect(crowded.meter.counts.hedges).toBeUndefined();
  });
});

describe("an endpoint that says it is full", () => {
  test("is left alone for as long as it asks; the request waits for room elsewhere and is no failure", async () => {
    const table = tableFor(2);
    const [full, other] = table.hands as [Hand, Hand];
    const requests = [table.ask(), table.ask()];
    await table.clock.advance(0);
    fail(full, new CovoteError("overloaded", "429", { retryAfterMs: 3000 }));
    await table.clock.advance(0);
    expect(other.asked).toBe(2);
    answer(other);
    expect(await Promise.all(requests.map(({ ended }) => ended))).toEqual(["e1", "e1"]);
    const [{ limit, state }] = table.pool.endpoints() as unknown as [{ limit: number; state: string }];
    expect([limit, state]).toEqual([1, "healthy"]);
    for (let i = 0; i < 3; i++) table.ask();
    await table.clock.advance(2900);
    expect(full.asked).toBe(1);
    for (let i = 0; i < 4; i++) table.ask();
    await table.clock.advance(200);
    expect(full.asked).toBe(2);
  });

  test("and goes on saying so ends as overloaded", async () => {
    const table = tableFor(1);
    const { ended } = table.ask();
    for (let i = 0; i < 8; i++) {
      await table.clock.advance(1000);
      fail(table.hands[0], new CovoteError("overloaded", "429"));
    }
    expect(await ended).toBe("overloaded");
    expect(table.hands[0]?.asked).toBe(8);
  });
});

test("closing ends what runs and what waits, once, and takes nothing more", async () => {
  const table = tableFor(1, { concurrency: 1 });
  const requests = [table.ask(), table.ask()];
  await table.clock.advance(0);
  table.pool.close();
  table.pool.close();
  expect(await Promise.all(requests.map(({ ended }) => ended))).toEqual(["unavailable", "unavailable"]);
  expect(await table.ask().ended).toBe("unavailable");
  expect(table.clock.pending()).toBe(0);
});
