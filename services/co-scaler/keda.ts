/**
 * The actuator that leaves scaling to KEDA: it serves KEDA's external-scaler interface, and KEDA asks it how many
 * replicas a pool is to have. The trigger's metadata names the pool: `pool: grm`.
 *
 * - The metric is the number of replicas and its target is one each, so that the autoscaler's answer is that number.
 * - Until something is known (no load reports yet, another co-scaler's turn) calls fail as unavailable: the autoscaler
 *   then leaves the pool as it is. A pool is never said to be inactive, and so never scaled to zero.
 * - How many replicas there are is what reports its load; those that drain report until they are done.
 */
import { CovoteError, invalid } from "../../lib/core/errors.js";
import type { GrpcService } from "../../lib/host/grpc.js";
import { type CallContext, serverStream, unary } from "../../lib/host/grpc-call.js";
import type { LoadBook } from "../../lib/runtime/load-book.js";
import { type PerPool, type PoolName, perPool, poolNames } from "../../lib/scaling/observation.js";
import {
  ExternalScalerService,
  type GetMetricSpecResponse,
  type GetMetricsRequest,
  type GetMetricsResponse,
  type IsActiveResponse,
  type ScaledObjectRef,
} from "../../lib/wire/gen/keda/externalscaler/externalscaler.js";
import type { Actuator } from "./actuator.js";
import { reporting } from "./observing.js";

export interface KedaActuator extends Actuator {
  /** Replicas that the pool is to have now; null: not known. */
  served(pool: PoolName): number | null;
}

export function createKedaActuator(
  book: LoadBook,
  now: () => number,
  pools: PerPool<{ min: number; max: number }>,
): KedaActuator {
  const max = perPool((pool) => pools[pool].max);
  let served: PerPool<number> | null = null;
  return {
    name: "keda",
    served: (pool) => served?.[pool] ?? null,
    read: async () => {
      const there = reporting(book, now(), max);
      // What is there is right until something else was decided.
      served ??= perPool((pool) => Math.min(max[pool], Math.max(pools[pool].min, there[pool].wanted)));
      const asked = served;
      return perPool((pool) => ({ ...there[pool], wanted: asked[pool] }));
    },
    apply: async ({ pool, to }) => {
      if (served !== null) served[pool] = to;
    },
    close: () => Promise.resolve(),
  };
}

/** `closing` ends open streams. */
export function externalScaler(
  actuator: Pick<KedaActuator, "served">,
  max: PerPool<number>,
  closing: AbortSignal,
): GrpcService {
  const poolOf = (ref: ScaledObjectRef | undefined): PoolName => {
    const named = ref?.scalerMetadata.pool;
    const pool = poolNames.find((name) => name === named);
    const trigger = `scalerMetadata.pool of ${ref?.namespace ?? ""}/${ref?.name ?? ""}`;
    if (pool === undefined) {
      throw invalid(trigger, `must be one of ${poolNames.join(", ")}, got ${JSON.stringify(named ?? null)}`);
    }
    if (max[pool] === 0) throw invalid(trigger, `there is no pool ${pool}: scaling.pools.${pool}.max is 0`);
    return pool;
  };
  const replicasOf = (pool: PoolName): number => {
    const replicas = actuator.served(pool);
    if (replicas !== null) return replicas;
    const text = `how many replicas ${pool} is to have is not known yet; leave it as it is`;
    throw new CovoteError("unavailable", text, { retryAfterMs: 5000 });
  };
  const metricName = (pool: PoolName): string => `covote-${pool === "metaRm" ? "meta-rm" : pool}-replicas`;

  const isActive = async (ref: ScaledObjectRef): Promise<IsActiveResponse> => ({
    result: replicasOf(poolOf(ref)) > 0,
  });
  async function* streamIsActive(
    ref: ScaledObjectRef,
    { signal }: CallContext,
  ): AsyncIterable<IsActiveResponse> {
    yield await isActive(ref);
    // It stays so: a pool has at least one replica.
    await aborted(AbortSignal.any([signal, closing]));
  }
  const getMetricSpec = async (ref: ScaledObjectRef): Promise<GetMetricSpecResponse> => ({
    metricSpecs: [{ metricName: metricName(poolOf(ref)), targetSize: 1, targetSizeFloat: 1 }],
  });
  const getMetrics = async (request: GetMetricsRequest): Promise<GetMetricsResponse> => {
    const pool = poolOf(request.scaledObjectRef);
    const known = metricName(pool);
    if (request.metricName !== "" && request.metricName !== known) {
      throw invalid(
        "metricName",
        `must be ${known} for pool ${pool}, got ${JSON.stringify(request.metricName)}`,
      );
    }
    const replicas = replicasOf(pool);
    return { metricValues: [{ metricName: known, metricValue: replicas, metricValueFloat: replicas }] };
  };
  return {
    definition: ExternalScalerService,
    implementation: {
      isActive: unary(isActive),
      streamIsActive: serverStream(streamIsActive),
      getMetricSpec: unary(getMetricSpec),
      getMetrics: unary(getMetrics),
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
