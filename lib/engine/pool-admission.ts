/**
 * How many requests one endpoint gets side by side: additive growth, multiplicative cuts (AIMD), by the endpoint's own
 * queue and KV cache. Pure: samples and answers in, a limit out.
 *
 * - It grows by a quarter per turnover of its requests, only while the limit is what holds it back (in flight at least
 *   0.9 of it), nothing queues in the engine, and less than 0.6 of the KV cache is used.
 * - It shrinks when the cache is fuller than 0.8, when the engine queues more than half of what it runs for six samples
 *   in a row, when it preempts, and to a half when it says that it is full (429). A cut is followed by no other until
 *   the requests in flight have come down to it: else one overload would count several times.
 * - Samples older than 15 s permit no growth. Without any, answers do: while the time per token is at most twice the
 *   best that was seen, and an endpoint that has become slower than 2.5 times that shrinks by a tenth.
 *
 * The figures follow prime-rl's controller, which was found stable on large runs.
 */

/** What an engine says about itself; null: it does not. */
export interface LoadSample {
  running: number | null;
  waiting: number | null;
  /** Share of the KV cache in use, 0..1. */
  kvUsage: number | null;
  /** Since its start. */
  preemptions: number | null;
}

export interface Admission {
  /** Most requests side by side, now; at least 1. */
  limit(): number;
  sampled(sample: LoadSample, inFlight: number, nowMs: number): void;
  /** A request went well; `msPerToken` of its whole time, null when it has no tokens. */
  answered(inFlight: number, msPerToken: number | null, nowMs: number): void;
  /** It refused a request because it has too many. */
  refused(inFlight: number, nowMs: number): void;
}

const growth = 1.25;
const room = { kv: 0.6, near: 0.9 };
const full = { kv: 0.8, target: 0.7, queue: 0.5, samples: 6 };
const cuts = { queue: 0.9, preemption: 0.8, refusal: 0.5, slow: 0.9 };
const freshMs = 15_000;
/** After a refusal: how long answers alone permit no growth. */
const calmMs = 5000;
const slow = { grow: 2, cut: 2.5, memory: 0.02, settled: 50 };

export function createAdmission({ most }: { most: number }): Admission {
  let limit = most;
  let last: { sample: LoadSample; atMs: number } | null = null;
  let queued = 0;
  let sinceTrim = Number.POSITIVE_INFINITY;
  let draining = false;
  let refusedAtMs = Number.NEGATIVE_INFINITY;
  let best = Number.POSITIVE_INFINITY;
  let recent: number | null = null;
  let measured = 0;
  let answersSinceCut = 0;

  const cutTo = (target: number, inFlight: number): void => {
    if (draining && inFlight > limit) return;
    limit = Math.max(1, Math.min(limit, target));
    draining = inFlight > limit;
    answersSinceCut = 0;
  };
  const mayGrow = (nowMs: number): boolean => {
    if (nowMs - refusedAtMs < calmMs) return false;
    if (last !== null) {
      const { kvUsage, waiting } = last.sample;
      return nowMs - last.atMs <= freshMs && (kvUsage ?? 0) < room.kv && (waiting ?? 0) === 0;
    }
    return recent === null || recent <= slow.grow * best;
  };

  return {
    limit: () => Math.max(1, Math.floor(limit)),
    sampled: (sample, inFlight, nowMs) => {
      const preempted = (sample.preemptions ?? 0) > (last?.sample.preemptions ?? Number.POSITIVE_INFINITY);
      last = { sample, atMs: nowMs };
      if (draining && inFlight <= limit) draining = false;
      sinceTrim++;
      const { kvUsage, waiting, running } = sample;
      queued = (waiting ?? 0) > full.queue * Math.max(1, running ?? 0) ? queued + 1 : 0;
      if (preempted) {
        cutTo(inFlight * cuts.preemption, inFlight);
      } else if (kvUsage !== null && kvUsage > full.kv && sinceTrim >= full.samples) {
        sinceTrim = 0;
        cutTo((inFlight * full.target) / kvUsage, inFlight);
      } else if (queued >= full.samples) {
        queued = 0;
        cutTo(inFlight * cuts.queue, inFlight);
      }
    },
    answered: (inFlight, msPerToken, nowMs) => {
      answersSinceCut++;
      if (draining && inFlight <= limit) draining = false;
      if (msPerToken !== null && last === null) {
        measured++;
        recent = (recent ?? 0) + Math.max(slow.memory, 1 / measured) * (msPerToken - (recent ?? 0));
        // The first answers are few: their mean would be a best that nothing reaches again.
        if (measured >= slow.settled) best = Math.min(best, recent);
        if (recent > slow.cut * best && answersSinceCut > Math.max(limit, slow.settled)) {
          cutTo(limit * cuts.slow, inFlight);
          return;
        }
      }
      if (draining || inFlight < room.near * limit || !mayGrow(nowMs)) return;
      limit = Math.min(most, limit * growth ** (1 / Math.max(1, inFlight)));
    },
    refused: (inFlight, nowMs) => {
      refusedAtMs = nowMs;
      cutTo(inFlight * cuts.refusal, inFlight);
    },
  };
}
