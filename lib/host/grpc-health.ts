/**
 * The standard health service (grpc.health.v1) over a host's health.
 *
 * The empty service name and every served one have the same status: SERVING when the host is ready. Closing
 * ends the streams of watchers, so that they do not hold up a shutdown.
 */
import type { Server, ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import { service } from "grpc-health-check";
import { CovoteError } from "../core/errors.js";
import { toServiceError } from "../wire/status.js";
import type { Health } from "./health.js";

interface HealthCheckRequest {
  service: string;
}
interface HealthCheckResponse {
  status: "SERVING" | "NOT_SERVING" | "SERVICE_UNKNOWN";
}
interface HealthListResponse {
  statuses: Record<string, HealthCheckResponse>;
}

export interface HealthService {
  /** NOT_SERVING from now on, whatever the host says. */
  notServing(): void;
  /** Ends all watchers. */
  close(): void;
}

export function serveHealth(server: Server, health: Health, serviceNames: readonly string[]): HealthService {
  const known = new Set(["", ...serviceNames]);
  const watchers = new Set<ServerWritableStream<HealthCheckRequest, HealthCheckResponse>>();
  let stopped = false;
  const status = (): HealthCheckResponse => ({
    status: !stopped && health.report().ready ? "SERVING" : "NOT_SERVING",
  });
  const statusOf = (name: string): HealthCheckResponse =>
    known.has(name) ? status() : { status: "SERVICE_UNKNOWN" };
  const tell = (): void => {
    for (const watcher of watchers) watcher.write(statusOf(watcher.request.service));
  };
  const unlisten = health.onChange(tell);

  server.addService(service, {
    check: (
      call: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>,
      callback: sendUnaryData<HealthCheckResponse>,
    ) => {
      const name = call.request.service;
      if (known.has(name)) callback(null, status());
      else callback(toServiceError(new CovoteError("not_found", `service: ${name} is not served here`)));
    },
    list: (_call: unknown, callback: sendUnaryData<HealthListResponse>) => {
      callback(null, { statuses: Object.fromEntries([...known].map((name) => [name, status()])) });
    },
    watch: (call: ServerWritableStream<HealthCheckRequest, HealthCheckResponse>) => {
      watchers.add(call);
      call.on("cancelled", () => watchers.delete(call));
      call.write(statusOf(call.request.service));
    },
  });
  return {
    notServing: () => {
      stopped = true;
      tell();
    },
    close: () => {
      unlisten();
      for (const watcher of watchers) watcher.end();
      watchers.clear();
    },
  };
}
