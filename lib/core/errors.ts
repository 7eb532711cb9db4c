/**
 * The one error type of covote, with a closed list of codes.
 *
 * - Every edge (RPC, bus, command line, worker thread) funnels what it caught through `CovoteError.from`.
 * - A code says what the caller can do: `retryable` errors may succeed when tried again unchanged.
 * - The message is one line that names the thing and, where there is one, the fix.
 */

/** What went wrong, seen by the caller. `grpc` is the status code of gRPC with the same meaning. */
export const errorCodes = {
  invalid_argument: { grpc: 3, retryable: false },
  deadline_exceeded: { grpc: 4, retryable: true },
  not_found: { grpc: 5, retryable: false },
  already_exists: { grpc: 6, retryable: false },
  overloaded: { grpc: 8, retryable: true },
  failed_precondition: { grpc: 9, retryable: false },
  cancelled: { grpc: 1, retryable: false },
  internal: { grpc: 13, retryable: false },
  unavailable: { grpc: 14, retryable: true },
} as const satisfies Record<string, { grpc: number; retryable: boolean }>;

export type ErrorCode = keyof typeof errorCodes;

export interface ErrorDetail {
  /** The field of the input that is wrong, as the user wrote it: `votes.k`, `--port`. */
  field?: string;
  /** For `overloaded` and `unavailable`: when a retry makes sense, in milliseconds. */
  retryAfterMs?: number;
  cause?: unknown;
}

export class CovoteError extends Error {
  readonly code: ErrorCode;
  readonly field: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = "CovoteError";
    this.code = code;
    this.field = detail.field;
    this.retryAfterMs = detail.retryAfterMs;
  }

  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }

  /** Whatever was thrown, as a CovoteError: itself, an abort as `cancelled`, anything else as `internal`. */
  static from(thrown: unknown): CovoteError {
    if (thrown instanceof CovoteError) return thrown;
    if (thrown instanceof Error && thrown.name === "AbortError") {
      return new CovoteError("cancelled", thrown.message, { cause: thrown });
    }
    if (thrown instanceof Error && thrown.name === "TimeoutError") {
      return new CovoteError("deadline_exceeded", thrown.message, { cause: thrown });
    }
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new CovoteError("internal", message, { cause: thrown });
  }
}

/** `invalid_argument` for a named field: `votes.k: must be at least 1, got 0`. */
export function invalid(field: string, problem: string): CovoteError {
  return new CovoteError("invalid_argument", `${field}: ${problem}`, { field });
}
