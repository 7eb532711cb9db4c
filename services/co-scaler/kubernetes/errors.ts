/** What a Kubernetes API server refuses or does not answer, as one line that names the object and the fix. */
import { CovoteError } from "../../../lib/core/errors.js";

/** What a call is about, for its errors. */
export interface Asked {
  verb: string;
  resource: string;
  name: string;
  /** The line for an object that is not there. */
  missing?: string;
}

export interface FailedCall extends Asked {
  namespace: string;
  server: string;
  timeoutMs: number;
}

interface ApiFailure {
  code: number;
  body?: unknown;
  headers?: Record<string, string>;
}

export function kubernetesError(thrown: unknown, call: FailedCall): CovoteError {
  if (thrown instanceof CovoteError) return thrown;
  const { verb, resource, name, namespace, server, timeoutMs } = call;
  const what = `Kubernetes: ${verb} ${resource} ${name} in namespace ${namespace}`;
  if (!isApiFailure(thrown)) {
    const { name: kind, message } = thrown instanceof Error ? thrown : { name: "", message: String(thrown) };
    const late = kind === "AbortError" || kind === "TimeoutError";
    const why = late ? `no answer within ${timeoutMs} ms` : (message.split("\n", 1)[0] ?? "");
    return new CovoteError("unavailable", `${what}: the API server at ${server} is not reached (${why})`, {
      cause: thrown,
    });
  }
  const said = messageOf(thrown.body);
  switch (thrown.code) {
    case 401:
      return new CovoteError(
        "failed_precondition",
        `${what}: the API server does not know this user (401); check the service account or scaling.kubernetes.kubeconfig`,
      );
    case 403:
      return new CovoteError(
        "failed_precondition",
        `${what}: not allowed (403); give the co-scaler's service account the verb ${verb} on ${resource}, see docs/co-scaler.md`,
      );
    case 404:
      return new CovoteError("not_found", call.missing ?? `${what}: it is not there`);
    case 409:
      return new CovoteError("failed_precondition", `${what}: it was changed meanwhile`);
    case 429:
      return new CovoteError("overloaded", `${what}: the API server asks to come back later (429)`, {
        retryAfterMs: retryAfterMs(thrown.headers),
      });
    case 400:
    case 422:
      return new CovoteError("invalid_argument", `${what}: refused (${thrown.code}): ${said}`);
    default:
      return new CovoteError("unavailable", `${what}: the API server failed (${thrown.code}): ${said}`);
  }
}

function isApiFailure(thrown: unknown): thrown is ApiFailure {
  return typeof thrown === "object" && thrown !== null && typeof (thrown as ApiFailure).code === "number";
}

/** The message of a Status object, on one line. */
function messageOf(body: unknown): string {
  let status = body;
  if (typeof body === "string") {
    try {
      status = JSON.parse(body);
    } catch {
      return body.split("\n", 1)[0]?.slice(0, 200) ?? "";
    }
  }
  const message = (status as { message?: unknown } | null)?.message;
  return typeof message === "string" ? (message.split("\n", 1)[0] ?? "").slice(0, 200) : "no reason given";
}

const longestPauseMs = 60_000;

function retryAfterMs(headers: ApiFailure["headers"]): number {
  const seconds = Number(headers?.["retry-after"]);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(longestPauseMs, seconds * 1000) : 1000;
}
