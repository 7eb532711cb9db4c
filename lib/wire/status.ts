/**
 * CovoteError and gRPC status, both ways.
 *
 * The code maps by the table in lib/core/errors.ts. The field goes along as metadata `covote-field`, the
 * time after which a retry makes sense as `covote-retry-after-ms`, the exact code as `covote-code`.
 */
import { Metadata, type ServiceError } from "@grpc/grpc-js";
import { CovoteError, type ErrorCode, type ErrorDetail, errorCodes } from "../core/errors.js";

export const fieldKey = "covote-field";
export const retryAfterKey = "covote-retry-after-ms";
export const codeKey = "covote-code";

const codeOfStatus = new Map<number, ErrorCode>(
  (Object.keys(errorCodes) as ErrorCode[]).map((code) => [errorCodes[code].grpc, code]),
);

/** The error of the domain as what a gRPC handler fails with. */
export function toServiceError(thrown: unknown): ServiceError {
  const error = CovoteError.from(thrown);
  const metadata = new Metadata();
  metadata.set(codeKey, error.code);
  // Metadata values are ASCII; a field name that is not is left out rather than broken.
  if (error.field !== undefined && /^[\x20-\x7e]+$/.test(error.field)) metadata.set(fieldKey, error.field);
  if (error.retryAfterMs !== undefined) metadata.set(retryAfterKey, String(Math.ceil(error.retryAfterMs)));
  const details = oneLine(error.message);
  return Object.assign(new Error(details), { code: errorCodes[error.code].grpc, details, metadata });
}

/** What a gRPC client got, as an error of the domain; statuses that covote never sends become the nearest code. */
export function fromServiceError(thrown: unknown): CovoteError {
  if (!isServiceError(thrown)) return CovoteError.from(thrown);
  const detail: ErrorDetail = { cause: thrown };
  const field = text(thrown.metadata, fieldKey);
  if (field !== undefined) detail.field = field;
  const retryAfterMs = Number(text(thrown.metadata, retryAfterKey));
  if (Number.isFinite(retryAfterMs) && retryAfterMs >= 0) detail.retryAfterMs = retryAfterMs;
  return new CovoteError(codeOf(thrown), thrown.details || thrown.message, detail);
}

export function isServiceError(thrown: unknown): thrown is ServiceError {
  return (
    thrown instanceof Error &&
    typeof (thrown as Partial<ServiceError>).code === "number" &&
    "details" in thrown
  );
}

/** True when the error is a covote server's own answer, not one that gRPC made up on the way. */
export function isAnswered(thrown: unknown): boolean {
  return isServiceError(thrown) && text(thrown.metadata, codeKey) !== undefined;
}

/** Statuses that only other servers and proxies send. */
const foreign: Record<number, ErrorCode> = {
  7: "failed_precondition", // PERMISSION_DENIED
  10: "unavailable", // ABORTED
  11: "invalid_argument", // OUT_OF_RANGE
  12: "failed_precondition", // UNIMPLEMENTED
  16: "failed_precondition", // UNAUTHENTICATED
};

function codeOf(error: ServiceError): ErrorCode {
  // gRPC itself says "resource exhausted" to a message over the limit, but trying again will not help.
  if (/message .*larger than max/i.test(error.details)) return "invalid_argument";
  return codeOfStatus.get(error.code) ?? foreign[error.code] ?? "internal";
}

function text(metadata: Metadata | undefined, key: string): string | undefined {
  const value = metadata?.get(key)[0];
  return value === undefined ? undefined : String(value);
}

function oneLine(message: string): string {
  return message.split(/\r?\n/, 1)[0] ?? "";
}
