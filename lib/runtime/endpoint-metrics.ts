/** What an engine of several servers tells Prometheus. Endpoints are those of the configuration, so they are few. */
import type { Pool, PoolMeter } from "../engine/pool.js";
import type { PoolMember } from "../engine/pool-seat.js";
import type { Metrics } from "../host/metrics.js";

const states = ["healthy", "suspect", "out", "probing"] as const;
const endpoint = "host:port of the configuration";

export function poolMeter(metrics: Metrics): PoolMeter {
  const attempts = metrics.counter({
    name: "covote_engine_attempts_total",
    help: "Requests to engine endpoints, retries and hedges included, by how they ended",
    labels: { endpoint, outcome: ["answered", "refused", "failed", "overloaded", "cancelled"] },
  });
  const retries = metrics.counter({
    name: "covote_engine_retries_total",
    help: "Requests tried at another endpoint after one had failed them",
  });
  const hedges = metrics.counter({
    name: "covote_engine_hedges_total",
    help: "Stragglers that were asked for at a second endpoint as well",
  });
  return {
    attempt: (name, outcome) => attempts.inc(1, { endpoint: name, outcome }),
    retried: () => retries.inc(1),
    hedged: () => hedges.inc(1),
  };
}

/** Gauges that are read at each scrape. */
export function watchEndpoints(metrics: Metrics, { endpoints }: Pick<Pool<PoolMember>, "endpoints">): void {
  const state = metrics.gauge({
    name: "covote_engine_endpoint_state",
    help: "1 for the state that an engine endpoint is in, 0 for the others",
    labels: { endpoint, state: states },
  });
  const running = metrics.gauge({
    name: "covote_engine_endpoint_running",
    help: "Requests in flight at an engine endpoint",
    labels: { endpoint },
  });
  const limit = metrics.gauge({
    name: "covote_engine_endpoint_limit",
    help: "Requests that an engine endpoint gets side by side, as its load permits",
    labels: { endpoint },
  });
  metrics.onScrape(() => {
    for (const seat of endpoints()) {
      for (const each of states) state.set(each === seat.state ? 1 : 0, { endpoint: seat.name, state: each });
      running.set(seat.inFlight, { endpoint: seat.name });
      limit.set(seat.limit, { endpoint: seat.name });
    }
  });
}
