import fc from "fast-check";
import { expect, test } from "vitest";
import { CovoteError } from "../../../lib/core/errors.js";
import { type NullReason, nullReasonOfError, nullReasons } from "../../../lib/core/null-reason.js";
import { NullReason as WireNullReason } from "../../../lib/wire/gen/covote/v1/common.js";
import { Vote } from "../../../lib/wire/gen/covote/v1/judging.js";
import * as codecs from "../../../lib/wire/messages.js";
import { fromWireNullReason, toWireNullReason } from "../../../lib/wire/null-reason.js";

test("a message is the same after encode and decode", () => {
  const vote = Vote.create({
    voteId: "v1",
    scores: [3, 7.5],
    text: "größe 🙂",
    nullReason: WireNullReason.UNPARSABLE,
  });
  expect(codecs.voteCodec.decode(codecs.voteCodec.encode(vote))).toEqual(vote);
});

test("whatever the bytes, a codec gives a message or invalid_argument that names the type", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom(...Object.values(codecs)),
      (bytes, codec) => {
        try {
          codec.decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(CovoteError);
          expect(error).toMatchObject({ code: "invalid_argument", field: codec.name });
          expect((error as CovoteError).message).toMatch(
            new RegExp(`^not a ${codec.name}: ${bytes.length} bytes`),
          );
        }
      },
    ),
  );
});

test("a message that was cut off is refused", () => {
  const bytes = codecs.voteCodec.encode(Vote.create({ voteId: "v1", text: "a long text" }));
  expect(() => codecs.voteCodec.decode(bytes.subarray(0, bytes.length - 3))).toThrow(/^not a Vote: /);
});

test("null reasons of the domain and of the wire are one to one", () => {
  const wire = nullReasons.map((reason) => toWireNullReason(reason));
  expect(new Set(wire).size).toBe(nullReasons.length);
  expect(wire.map((reason) => fromWireNullReason(reason))).toEqual([...nullReasons]);
  expect(
    Object.values(WireNullReason)
      .filter((value) => value !== WireNullReason.UNSPECIFIED)
      .sort(),
  ).toEqual(wire.sort());
});

test("no reason is UNSPECIFIED, both ways; a number from the future is refused", () => {
  expect(toWireNullReason(undefined)).toBe(WireNullReason.UNSPECIFIED);
  expect(fromWireNullReason(WireNullReason.UNSPECIFIED)).toBe(undefined);
  expect(() => fromWireNullReason(99 as WireNullReason)).toThrow("null_reason: 99 is not a known reason");
});

test("an engine's refusal, overload, deadline and cancellation keep their meaning as null reasons", () => {
  const expected: Partial<typeof nullReasonOfError> = {
    invalid_argument: "refused",
    overloaded: "overloaded",
    deadline_exceeded: "deadline",
    cancelled: "cancelled",
    unavailable: "engine_unavailable",
  };
  expect(nullReasonOfError).toMatchObject(expected);
  for (const reason of Object.values(nullReasonOfError)) expect(nullReasons).toContain<NullReason>(reason);
});
