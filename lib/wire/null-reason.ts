/** The null reasons of the domain and of the wire, one to one. */
import { CovoteError } from "../core/errors.js";
import type { NullReason } from "../core/null-reason.js";
import { NullReason as WireNullReason } from "./gen/covote/v1/common.js";

const toWire = {
  deadline: WireNullReason.DEADLINE,
  engine_unavailable: WireNullReason.ENGINE_UNAVAILABLE,
  unparsable: WireNullReason.UNPARSABLE,
  overloaded: WireNullReason.OVERLOADED,
  cancelled: WireNullReason.CANCELLED,
  refused: WireNullReason.REFUSED,
} satisfies Record<NullReason, WireNullReason>;

const fromWire = new Map<WireNullReason, NullReason>(
  (Object.entries(toWire) as [NullReason, WireNullReason][]).map(([reason, wire]) => [wire, reason]),
);

/** `undefined` (there is no reason, because there is a value) is UNSPECIFIED on the wire. */
export function toWireNullReason(reason: NullReason | undefined): WireNullReason {
  return reason === undefined ? WireNullReason.UNSPECIFIED : toWire[reason];
}

/** UNSPECIFIED is `undefined`; a number that this version does not know is `invalid_argument`. */
export function fromWireNullReason(wire: WireNullReason): NullReason | undefined {
  if (wire === WireNullReason.UNSPECIFIED) return undefined;
  const reason = fromWire.get(wire);
  if (reason === undefined) {
    throw new CovoteError("invalid_argument", `null_reason: ${wire} is not a known reason`, {
      field: "null_reason",
    });
  }
  return reason;
}
