/**
 * Structured logs: one JSON object per line, to a file or to standard error; standard output stays free
 * for what a command prints.
 *
 * `run_id`, `group_id`, `judgment_id` and `trace_id` on child loggers tie lines of different processes together.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import pino from "pino";
import { CovoteError } from "../core/errors.js";
import type { Logger } from "../core/logger.js";

export type { Logger } from "../core/logger.js";

export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LogOptions {
  /** The service, on every line as `service`. */
  name: string;
  level: LogLevel;
  /** File to append to; its folder is made. Default: standard error. */
  destination?: string;
}

export interface ProcessLogger extends Logger {
  /** Writes out what is buffered; call it last. */
  flush(): void;
}

export function createLogger(options: LogOptions): ProcessLogger {
  const stream = openDestination(options.destination);
  const log = pino(
    {
      level: options.level,
      base: { service: options.name, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: "message",
      errorKey: "error",
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: describeError },
    },
    stream,
  );
  return Object.assign(log as unknown as Logger, { flush: () => stream.flushSync() });
}

function openDestination(path: string | undefined): ReturnType<typeof pino.destination> {
  if (path === undefined) return pino.destination({ fd: 2, sync: true });
  try {
    mkdirSync(dirname(path), { recursive: true });
    return pino.destination({ dest: path, sync: true, append: true });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CovoteError("invalid_argument", `log file: cannot write ${path}: ${why}`, {
      field: "log",
      cause,
    });
  }
}

/** An error as fields: code and field of a CovoteError, the stack of a fault, and the chain of causes. */
function describeError(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return thrown;
  const known = thrown instanceof CovoteError;
  return {
    type: thrown.name,
    message: thrown.message,
    ...(known ? { code: thrown.code, field: thrown.field } : {}),
    ...(known && thrown.code !== "internal" ? {} : { stack: thrown.stack }),
    ...(thrown.cause === undefined ? {} : { cause: describeError(thrown.cause) }),
  };
}
