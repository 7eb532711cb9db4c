/**
 * What the connected nats-server can do, from its version. The rules for 2.9 were measured on 2.9.10: some
 * newer features are refused with an error there, others are silently ignored, so code asks here first.
 */
import { CovoteError } from "../core/errors.js";

export interface NatsCapabilities {
  readonly version: string;
  /** Several filter subjects on one consumer. 2.10; an error before. */
  readonly multipleFilters: boolean;
  /** Metadata on streams and consumers. 2.10; an error before. */
  readonly metadata: boolean;
  /** `+TERM` with a reason. 2.10; before, such a message is silently redelivered. */
  readonly termReason: boolean;
  /** A message's own time to live. 2.11; silently ignored before. */
  readonly messageTtl: boolean;
  /** Pausing a consumer. 2.11; a time-out before. */
  readonly consumerPause: boolean;
}

/** Oldest nats-server that covote runs on. */
export const oldestNatsServer = "2.9.4";

export function natsCapabilities(version: string): NatsCapabilities {
  const atLeast = (wanted: string): boolean => compareVersions(version, wanted) >= 0;
  if (!atLeast(oldestNatsServer)) {
    throw new CovoteError(
      "failed_precondition",
      `nats-server ${version} is too old: covote needs ${oldestNatsServer} or newer`,
    );
  }
  return {
    version,
    multipleFilters: atLeast("2.10.0"),
    metadata: atLeast("2.10.0"),
    termReason: atLeast("2.10.0"),
    messageTtl: atLeast("2.11.0"),
    consumerPause: atLeast("2.11.0"),
  };
}

/** Sign of a − b for `major.minor.patch`; what follows a `-` or `+` is ignored. */
function compareVersions(a: string, b: string): number {
  const parse = (text: string): number[] =>
    (text.split(/[-+]/)[0] ?? "").split(".").map((part) => Number.parseInt(part, 10) || 0);
  const [left, right] = [parse(a), parse(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
