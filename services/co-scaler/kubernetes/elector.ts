/**
 * Which co-scaler leads: the one that holds a Lease of coordination.k8s.io.
 *
 * - The lease is taken and renewed by compare and set: of two that try, one succeeds.
 * - No clock of another machine is trusted. A follower takes a lease over when it has seen it unchanged for its whole
 *   duration, by its own clock.
 * - The leader counts from before it asked to renew, and stops acting `renewMs` later unless it was renewed again: before
 *   anybody can take over. Whoever was paused meanwhile finds that its time is up.
 * - A leader that stops gives the lease back, so that the next one need not wait.
 */
import type { Clock, Timer } from "../../../lib/core/clock.js";
import { CovoteError } from "../../../lib/core/errors.js";
import type { Logger } from "../../../lib/core/logger.js";
import type { Random } from "../../../lib/core/random.js";
import type { Leadership } from "../actuator.js";
import type { KubernetesApi, Lease } from "./api.js";

export interface ElectorOptions {
  /** Of the lease. */
  name: string;
  /** Of this life of this co-scaler; no two have the same. */
  identity: string;
  leaseMs: number;
  renewMs: number;
  retryMs: number;
}

export interface ElectorParts {
  api: Pick<KubernetesApi, "readLease" | "createLease" | "replaceLease">;
  clock: Clock;
  random: Random;
  log: Logger;
}

export function startElector({ api, clock, random, log }: ElectorParts, options: ElectorOptions): Leadership {
  const { name, identity, leaseMs, renewMs, retryMs } = options;
  let heldUntil = Number.NEGATIVE_INFINITY;
  /** Another one's lease as it was seen last, and since when. */
  let seen: { resourceVersion: string; at: number } | null = null;
  let problem: string | null = null;
  let led = false;
  let stopped = false;
  let timer: Timer | undefined;
  let trying: Promise<void> = Promise.resolve();

  const holds = (): boolean => clock.monotonic() < heldUntil;

  const take = async (lease: Lease, startedAt: number): Promise<void> => {
    const renews = lease.holder === identity;
    await api.replaceLease(name, lease, {
      holder: identity,
      leaseMs,
      transitions: renews ? lease.transitions : lease.transitions + 1,
      acquiredAt: renews ? lease.acquiredAt : null,
    });
    heldUntil = startedAt + renewMs;
    seen = null;
  };

  const attempt = async (): Promise<void> => {
    const startedAt = clock.monotonic();
    const lease = await api.readLease(name);
    if (lease === null) {
      await api.createLease(name, identity, leaseMs);
      heldUntil = startedAt + renewMs;
      return;
    }
    if (lease.holder === identity) return take(lease, startedAt);
    // Another one has taken it: at the latest now it is known.
    heldUntil = Number.NEGATIVE_INFINITY;
    if (seen?.resourceVersion !== lease.resourceVersion) {
      seen = { resourceVersion: lease.resourceVersion, at: clock.monotonic() };
    }
    const expired = clock.monotonic() - seen.at >= lease.leaseMs;
    if (lease.holder === "" || expired) await take(lease, startedAt);
  };

  const turn = async (): Promise<void> => {
    try {
      await attempt();
      problem = null;
    } catch (thrown) {
      const error = CovoteError.from(thrown);
      // Lost to another one's write: the next turn sees whose.
      const raced = error.code === "failed_precondition" && error.message.endsWith("changed meanwhile");
      if (!raced && problem !== error.message) log.warn({ error }, "the lease cannot be had");
      problem = raced ? null : error.message;
    }
    if (holds() !== led) {
      led = holds();
      log.info(
        { lease: name, identity },
        led ? "this co-scaler leads" : "this co-scaler does not lead any more",
      );
    }
    if (stopped) return;
    timer = clock.after(retryMs * (0.8 + 0.4 * random.next()), next, { background: true });
  };
  const next = (): void => {
    trying = turn();
  };
  next();

  return {
    holds,
    problem: () => (holds() ? null : problem),
    stop: async () => {
      stopped = true;
      timer?.cancel();
      await trying;
      if (!holds()) return;
      heldUntil = Number.NEGATIVE_INFINITY;
      try {
        const lease = await api.readLease(name);
        if (lease?.holder !== identity) return;
        await api.replaceLease(name, lease, { ...lease, holder: "", leaseMs: 1000 });
      } catch (error) {
        log.debug({ error }, "the lease was not given back; it will run out");
      }
    },
  };
}
