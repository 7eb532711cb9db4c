/** What a gRPC server tells Prometheus. */
import { errorCodes } from "../core/errors.js";
import { latencySecondsBuckets, type Metrics } from "./metrics.js";

/** `served`: methods that are there from the start, so that the first call of one counts as an increase. */
export function grpcMetrics(metrics: Metrics, served: readonly string[] = []) {
  const methods = "the methods that the process serves";
  const handled = metrics.counter({
    name: "covote_grpc_server_handled_total",
    help: "gRPC calls that have ended, by status",
    labels: { method: methods, status: `ok, ${Object.keys(errorCodes).join(", ")}` },
  });
  const seconds = metrics.histogram({
    name: "covote_grpc_server_seconds",
    help: "Duration of gRPC calls",
    labels: { method: methods },
    buckets: latencySecondsBuckets,
  });
  for (const method of served) {
    handled.at({ method, status: "ok" });
    seconds.at({ method });
  }
  return (method: string, status: string, ms: number): void => {
    handled.inc(1, { method, status });
    seconds.observe(ms / 1000, { method });
  };
}
