/**
 * One service as a child process that is kept alive: restarted with a growing pause when it ends without being
 * told to, ended with SIGTERM and, after the drain time, SIGKILL.
 *
 * - A service serves until it is stopped: also one that drained (somebody sent it a SIGTERM) is started again. A
 *   job is done when it ends with code 0.
 * - Giving up: more than `maxRestarts` ends within a minute, or a first life that ends with code 2 (it can never
 *   start). A later life may end so because its port or NATS is away for a moment.
 * - A job that says why it failed for good is not started again: `done` rejects with that error.
 */
import { type ChildProcess, fork } from "node:child_process";
import type { Clock } from "../../lib/core/clock.js";
import { deferred } from "../../lib/core/deferred.js";
import { CovoteError, type ErrorCode } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import { packagePath } from "../../lib/core/package-root.js";

export interface ChildOptions {
  /** Folder below services/. */
  service: string;
  /** Names this instance: log file, bus connection, votes. */
  id: string;
  configFile: string;
  logFile: string;
  drainTimeoutMs: number;
  /** Done when it ends with code 0. Default: a service, which never is. */
  job?: boolean;
  clock: Clock;
  log: Logger;
  /** Told about each life's process id. */
  started?: (pid: number) => void;
}

/** Where a service listens, each `host:port`. */
export interface Addresses {
  grpc: string | null;
  http: string | null;
  metrics: string;
}

export interface Child {
  readonly id: string;
  readonly service: string;
  /** The pid of the current life; null between lives. */
  pid(): number | null;
  /** Addresses of the first life, once it is ready. */
  readonly ready: Promise<Addresses>;
  /** Resolves when it is done or was stopped; rejects when it was given up. Pending while it lives. */
  readonly done: Promise<void>;
  stop(): Promise<void>;
}

/** What a service process says to whoever started it. */
interface ChildMessage {
  ready?: Addresses;
  failed?: { code: ErrorCode; message: string };
}

const maxRestarts = 10;
const windowMs = 60_000;

export function startChild(options: ChildOptions): Child {
  const { service, id, clock, log } = options;
  const ready = deferred<Addresses>();
  const done = deferred<void>();
  ready.promise.catch(() => undefined);
  done.promise.catch(() => undefined);
  const deaths: number[] = [];
  let child: ChildProcess | null = null;
  let stopping = false;
  let wasReady = false;
  let lastLine = "";
  let failure: CovoteError | null = null;

  const giveUp = (why: string): void => {
    const error = new CovoteError("unavailable", `${id}: ${why}`);
    ready.reject(error);
    done.reject(error);
  };

  const live = (): void => {
    const args = ["--config", options.configFile, "--id", id, "--log", options.logFile];
    const life = fork(packagePath("dist", "services", service, "main.js"), args, {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    child = life;
    if (life.pid !== undefined) options.started?.(life.pid);
    life.stderr?.on("data", (text: Buffer) => {
      lastLine = text.toString().trim().split("\n").at(-1) ?? lastLine;
    });
    life.on("message", (message: ChildMessage) => {
      if (message.failed !== undefined)
        failure = new CovoteError(message.failed.code, message.failed.message);
      if (message.ready === undefined) return;
      wasReady = true;
      ready.resolve(message.ready);
    });
    life.on("error", (cause) => giveUp(cause.message));
    life.on("exit", (code, signal) => ended(code, signal));
  };

  const ended = (code: number | null, signal: string | null): void => {
    child = null;
    if (stopping || (code === 0 && options.job === true)) {
      done.resolve();
      return;
    }
    if (failure !== null && options.job === true) {
      ready.reject(failure);
      done.reject(failure);
      return;
    }
    if (code === 2 && !wasReady) {
      // Its line names the setting and the fix; the name in front of it is ours already.
      giveUp(lastLine.replace(`${service}: `, "") || `could not start; see ${options.logFile}`);
      return;
    }
    const now = clock.monotonic();
    deaths.push(now);
    const recent = deaths.filter((at) => now - at < windowMs).length;
    log.warn(
      { child: id, code, signal, restarts: deaths.length },
      `${id} ended (${signal ?? `code ${code}`}); starting it again`,
    );
    if (recent > maxRestarts) {
      giveUp(`ended ${recent} times within a minute: ${lastLine}; see ${options.logFile}`);
      return;
    }
    clock.after(Math.min(5000, 100 * 2 ** (recent - 1)), () => {
      if (!stopping) live();
      else done.resolve();
    });
  };

  live();
  return {
    id,
    service,
    pid: () => child?.pid ?? null,
    ready: ready.promise,
    done: done.promise,
    stop: async () => {
      stopping = true;
      if (child === null) {
        done.resolve();
        return;
      }
      child.kill("SIGTERM");
      const force = clock.after(options.drainTimeoutMs + 2000, () => child?.kill("SIGKILL"));
      await done.promise.catch(() => undefined);
      force.cancel();
    },
  };
}
