/**
 * Servers as the members of a pool of engines: reached, identified, and left out while they serve other weights than the
 * rest. When all of them have gone over to the same other weights, these are the engine's from then on. What a request
 * looks like is the engine's matter.
 */
import type { Clock } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";
import type { Logger } from "../core/logger.js";
import type { Random } from "../core/random.js";
import type { LoadSample } from "./pool-admission.js";
import { type Health, healthy, unproven } from "./pool-health.js";
import type { PoolMember } from "./pool-seat.js";
import { createServerHttp, type ServerHttp } from "./server-http.js";
import type { ServerKind } from "./server-kinds.js";
import { readLoad } from "./server-load.js";
import { describe, identify, type ServerIdentity } from "./server-probe.js";

export interface EndpointsOptions {
  /** Of the section, for errors: `grm.engine`. */
  field: string;
  endpoints: readonly string[];
  model: string | null;
  server: ServerKind | "auto";
  apiKey: string | null;
  ca: string | null;
  connectTimeoutMs: number;
  requestTimeoutMs: number;
  startTimeoutMs: number;
  clock: Clock;
  random: Random;
  log: Logger;
}

export interface Endpoint extends PoolMember {
  readonly http: ServerHttp;
}

export interface OpenEndpoints {
  /** Of the weights that all serve, now: only the version changes. */
  serving(): ServerIdentity;
  members: { member: Endpoint; initial: Health }[];
  close(): void;
}

/** For single questions about a server. */
const questionMs = 5000;
const retryPauseMs = 500;
/** A server without `/metrics` is asked for them again after so many times. */
const hopelessFor = 60;

/**
 * Resolves when at least one endpoint serves; those that do not yet join later. `tryOut` is a real request, made of
 * each before it is used. Rejects with the first reason that no wait mends, or after the start's time.
 */
export async function openEndpoints(
  options: EndpointsOptions,
  tryOut: (http: ServerHttp, identity: ServerIdentity, signal?: AbortSignal) => Promise<void>,
): Promise<OpenEndpoints> {
  const { field, clock, log } = options;
  const servers = options.endpoints.map((url) => createServerHttp({ ...options, url }));
  const look = async (http: ServerHttp, signal?: AbortSignal): Promise<ServerIdentity> => {
    const identity = await identify({ ...options, http, timeoutMs: questionMs, signal });
    await tryOut(http, identity, signal);
    return identity;
  };
  const close = (): void => {
    for (const http of servers) http.close();
  };
  try {
    const found = await firstOnes(servers, look, options);
    const [first] = [...found.values()].filter((result) => !(result instanceof CovoteError));
    const identity = first as ServerIdentity;
    let serving = identity;
    /** What each served when it last said so. */
    const said = new Map<ServerHttp, string>();
    for (const [http, result] of found) if (!(result instanceof CovoteError)) said.set(http, result.version);
    const probe = async (http: ServerHttp, signal: AbortSignal): Promise<void> => {
      const looked = await look(http, signal);
      said.set(http, looked.version);
      const strange = problemWith(looked, serving, http);
      if (strange === null) return;
      const agreed = [...said.values()].every((version) => version === looked.version);
      if (!agreed || looked.kind !== serving.kind || looked.model !== serving.model) {
        throw new CovoteError("failed_precondition", strange);
      }
      log.warn({ engine: looked.version }, `${field}: the servers have gone over to ${looked.version}`);
      serving = looked;
    };
    const members = servers.map((http): { member: Endpoint; initial: Health } => {
      const result = found.get(http);
      const problem = result === undefined ? "not reached yet" : problemWith(result, identity, http);
      if (problem === null) log.info({ endpoint: http.name }, `${field}: ${describe(http, identity)}`);
      else log.warn({ endpoint: http.name }, `${field}: ${http.name} is left out for now: ${problem}`);
      return {
        member: memberOf(http, (signal) => probe(http, signal)),
        initial: problem === null ? healthy : unproven(problem, clock.monotonic()),
      };
    });
    return { serving: () => serving, members, close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

type Looked = Map<ServerHttp, ServerIdentity | CovoteError>;

/** What each server said, once one of them serves. */
async function firstOnes(
  servers: readonly ServerHttp[],
  look: (http: ServerHttp) => Promise<ServerIdentity>,
  { field, startTimeoutMs, clock }: EndpointsOptions,
): Promise<Looked> {
  const untilMs = clock.monotonic() + startTimeoutMs;
  for (;;) {
    const looked: Looked = new Map();
    await Promise.all(
      servers.map(async (http) => {
        looked.set(http, await look(http).catch((thrown: unknown) => CovoteError.from(thrown)));
      }),
    );
    const results = [...looked.values()];
    if (results.some((result) => !(result instanceof CovoteError))) return looked;
    const errors = results.filter((result) => result instanceof CovoteError);
    const lasting = errors.find(({ retryable }) => !retryable);
    if (lasting !== undefined) throw naming(field, lasting);
    if (clock.monotonic() + retryPauseMs > untilMs) {
      throw naming(field, errors[0] as CovoteError, ` (after ${startTimeoutMs} ms, ${field}.startTimeoutMs)`);
    }
    await clock.sleep(retryPauseMs);
  }
}

function naming(field: string, { code, message, field: own }: CovoteError, after = ""): CovoteError {
  const text = message.startsWith(`${field}.`) ? message : `${field}.endpoints: ${message}`;
  return new CovoteError(code, `${text}${after}`, { field: own ?? `${field}.endpoints` });
}

/** Null when the server serves what the others do. */
function problemWith(
  looked: ServerIdentity | CovoteError,
  { version }: ServerIdentity,
  http: ServerHttp,
): string | null {
  if (looked instanceof CovoteError) return looked.message;
  if (looked.version === version) return null;
  return `${http.name} serves ${looked.version}, the others serve ${version}; one engine has one set of weights`;
}

function memberOf(http: ServerHttp, probe: Endpoint["probe"]): Endpoint {
  let hopeless = 0;
  const load = async (signal: AbortSignal): Promise<LoadSample | null> => {
    if (hopeless > 0 && hopeless++ < hopelessFor) return null;
    const answer = await http.send({ method: "GET", path: "/metrics", timeoutMs: questionMs, signal });
    const sample = answer.status === 200 ? readLoad(answer.text) : null;
    hopeless = sample === null ? 1 : 0;
    return sample;
  };
  return { name: http.name, http, probe, load };
}
