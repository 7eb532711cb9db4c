/**
 * Errors across the bus: what NATS throws, as CovoteError; and a CovoteError as headers of an answer
 * (NATS services protocol, ADR-32: `Nats-Service-Error`, `Nats-Service-Error-Code`) and back.
 */
import { JetStreamApiError, JetStreamError } from "@nats-io/jetstream";
import { errors, headers, type MsgHdrs } from "@nats-io/transport-node";
import { CovoteError, type ErrorCode, errorCodes } from "../core/errors.js";

/** `err_code` of JetStream answers (server/errors.json of nats-server). */
export const jsCode = {
  consumerNotFound: 10014,
  insufficientResources: 10023,
  memoryExceeded: 10028,
  noMessageFound: 10037,
  notEnabledForAccount: 10039,
  storageExceeded: 10047,
  messageTooLarge: 10054,
  streamNameInUse: 10058,
  streamNotFound: 10059,
  wrongLastSequence: 10071,
  notEnabled: 10076,
  storeFailed: 10077,
  consumerExists: 10148,
  wrongLastSequenceUnknown: 10164,
} as const;

/** When a full queue is worth another try. Milliseconds. */
const retryFullQueueMs = 250;
const retryConnectionMs = 1000;

/** What a call to NATS threw, as a CovoteError; `what` names the call in the message. */
export function fromNats(what: string, thrown: unknown): CovoteError {
  if (thrown instanceof CovoteError) return thrown;
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if (error instanceof errors.NoRespondersError) {
      return new CovoteError("unavailable", `${what}: nobody answers there`, {
        cause: thrown,
        retryAfterMs: retryConnectionMs,
      });
    }
    if (error instanceof errors.TimeoutError) {
      return new CovoteError("deadline_exceeded", `${what}: no answer in time`, { cause: thrown });
    }
    if (error instanceof JetStreamApiError) return fromJetStream(what, error.code, error.message, thrown);
    if (error instanceof errors.PermissionViolationError) {
      return new CovoteError(
        "failed_precondition",
        `${what}: not allowed for this NATS user: ${error.message}`,
        {
          cause: thrown,
        },
      );
    }
    if (error instanceof errors.InvalidSubjectError || error instanceof errors.InvalidArgumentError) {
      return new CovoteError("invalid_argument", `${what}: ${error.message}`, { cause: thrown });
    }
    if (
      error instanceof errors.ClosedConnectionError ||
      error instanceof errors.DrainingConnectionError ||
      error instanceof errors.ConnectionError ||
      error instanceof JetStreamError ||
      (error instanceof errors.RequestError && error.cause === undefined)
    ) {
      return new CovoteError("unavailable", `${what}: ${error.message}`, {
        cause: thrown,
        retryAfterMs: retryConnectionMs,
      });
    }
  }
  return CovoteError.from(thrown);
}

/** An error answer of JetStream, as a CovoteError. */
export function fromJetStream(what: string, code: number, description: string, cause?: unknown): CovoteError {
  const detail = cause === undefined ? {} : { cause };
  switch (code) {
    case jsCode.storeFailed:
    case jsCode.insufficientResources:
    case jsCode.memoryExceeded:
    case jsCode.storageExceeded:
      return new CovoteError("overloaded", `${what}: full: ${description}`, {
        ...detail,
        retryAfterMs: retryFullQueueMs,
      });
    case jsCode.messageTooLarge:
      return new CovoteError("invalid_argument", `${what}: ${description}`, detail);
    case jsCode.streamNotFound:
    case jsCode.consumerNotFound:
      return new CovoteError("unavailable", `${what}: ${description}`, {
        ...detail,
        retryAfterMs: retryConnectionMs,
      });
    case jsCode.noMessageFound:
      return new CovoteError("not_found", `${what}: ${description}`, detail);
    case jsCode.wrongLastSequence:
    case jsCode.wrongLastSequenceUnknown:
      return new CovoteError("failed_precondition", `${what}: ${description}`, detail);
    case jsCode.notEnabled:
    case jsCode.notEnabledForAccount:
      return new CovoteError(
        "failed_precondition",
        `${what}: JetStream is off; start nats-server with -js`,
        detail,
      );
    default:
      return new CovoteError("internal", `${what}: ${description} (JetStream error ${code})`, detail);
  }
}

/** True when a compare-and-set found another revision. */
export function isWrongSequence(thrown: unknown): boolean {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if (error instanceof JetStreamApiError) {
      return error.code === jsCode.wrongLastSequence || error.code === jsCode.wrongLastSequenceUnknown;
    }
  }
  return false;
}

/** True when the server does not have the stream or consumer (any more). */
export function isMissing(thrown: unknown): boolean {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if (error instanceof JetStreamApiError) {
      return error.code === jsCode.streamNotFound || error.code === jsCode.consumerNotFound;
    }
  }
  return false;
}

const errorHeader = "Nats-Service-Error";
const errorCodeHeader = "Nats-Service-Error-Code";
const covoteCodeHeader = "Covote-Error-Code";
const fieldHeader = "Covote-Error-Field";
const retryHeader = "Covote-Retry-After-Ms";

/** The code that NATS tools show: HTTP's, with the same meaning. */
const httpStatus = {
  invalid_argument: 400,
  not_found: 404,
  already_exists: 409,
  failed_precondition: 412,
  overloaded: 429,
  cancelled: 499,
  internal: 500,
  unavailable: 503,
  deadline_exceeded: 504,
} as const satisfies Record<ErrorCode, number>;

export function errorHeaders(error: CovoteError): MsgHdrs {
  const out = headers();
  out.set(errorHeader, oneLine(error.message));
  out.set(errorCodeHeader, String(httpStatus[error.code]));
  out.set(covoteCodeHeader, error.code);
  if (error.field !== undefined) out.set(fieldHeader, oneLine(error.field));
  if (error.retryAfterMs !== undefined) out.set(retryHeader, String(error.retryAfterMs));
  return out;
}

/** The error that an answer carries, if any. */
export function errorFromHeaders(answer: MsgHdrs | undefined): CovoteError | undefined {
  if (answer === undefined || !answer.has(errorCodeHeader)) return undefined;
  const code = answer.get(covoteCodeHeader);
  const message = answer.get(errorHeader);
  const field = answer.get(fieldHeader);
  const retryAfterMs = Number(answer.get(retryHeader));
  return new CovoteError(isErrorCode(code) ? code : "internal", message, {
    ...(field === "" ? {} : { field }),
    ...(retryAfterMs > 0 ? { retryAfterMs } : {}),
  });
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code);
}

/** Header values may not hold line breaks. */
function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, " ");
}
