import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CovoteError } from "../../lib/core/errors.js";
import { parseSafetensors, serialiseSafetensors, type Tensor } from "../../lib/llama/safetensors.js";

const tensors: Tensor[] = [
  { name: "a.weight", shape: [2, 3], data: Float32Array.of(0, -0, 1, -1.5, 2.7e5, 1e-20) },
  { name: "b", shape: [1], data: Float32Array.of(65504) },
  { name: "empty", shape: [0, 4], data: new Float32Array(0) },
];

/** A file with one tensor of raw bytes, built by hand. */
function fileOf(header: object, data: Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const out = new Uint8Array(8 + text.length + data.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  out.set(data, 8 + text.length);
  return out;
}

function thrownBy(work: () => unknown): CovoteError {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof CovoteError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was thrown");
}

describe("what was written is read back", () => {
  test("float32: bit for bit, names, shapes and metadata too", () => {
    const bytes = serialiseSafetensors(tensors, { dtype: "float32", metadata: { step: "12" } });
    const read = parseSafetensors(bytes);
    expect([...read.tensors.values()]).toEqual(tensors);
    expect(read.metadata).toEqual({ step: "12", format: "pt" });
  });

  test("the same input gives the same bytes, in whatever order metadata comes", () => {
    const one = serialiseSafetensors(tensors, { dtype: "float32", metadata: { a: "1", b: "2" } });
    const two = serialiseSafetensors(tensors, { dtype: "float32", metadata: { b: "2", a: "1" } });
    expect(one).toEqual(two);
  });

  test("a view into a larger, unaligned buffer is read like a file of its own", () => {
    const bytes = serialiseSafetensors(tensors, { dtype: "float32" });
    const larger = Buffer.alloc(bytes.length + 3);
    larger.set(bytes, 3);
    expect([...parseSafetensors(larger.subarray(3)).tensors.values()]).toEqual(tensors);
  });

  test("bfloat16 rounds to the nearest, ties to even, and keeps NaN and infinity", () => {
    const data = new Float32Array(6);
    const bits = new Uint32Array(data.buffer);
    bits.set([0x3f808000, 0x3f818000, 0x3f808001, 0x7f7fffff, 0x7f800001, 0xff800000]);
    const bytes = serialiseSafetensors([{ name: "x", shape: [6], data }], { dtype: "bfloat16" });
    const read = parseSafetensors(bytes).tensors.get("x")?.data as Float32Array;
    const got = [...new Uint32Array(read.buffer)];
    expect(got.slice(0, 4)).toEqual([0x3f800000, 0x3f820000, 0x3f810000, 0x7f800000]);
    expect(read[4]).toBeNaN();
    expect(read[5]).toBe(-Infinity);
  });

  test("float16 is read: normal, subnormal, negative, infinite, NaN", () => {
    const halves = Uint16Array.of(0x3c00, 0xc500, 0x0001, 0x7bff, 0x7c00, 0x7e00);
    const data = new Uint8Array(halves.buffer);
    const bytes = fileOf({ x: { dtype: "F16", shape: [6], data_offsets: [0, 12] } }, data);
    const read = parseSafetensors(bytes).tensors.get("x")?.data as Float32Array;
    expect([...read]).toEqual([1, -5, 2 ** -24, 65504, Infinity, NaN]);
  });
});

describe("a malformed file is refused with one line that names it", () => {
  const whole = serialiseSafetensors(tensors, { dtype: "float32" });
  const entry = (fields: object): Uint8Array =>
    fileOf({ x: { dtype: "F32", shape: [1], data_offsets: [0, 4], ...fields } }, new Uint8Array(4));

  test.each<[string, Uint8Array, RegExp]>([
    ["nothing", new Uint8Array(0), /^m\.safetensors: truncated: 0 bytes/],
    ["half of it", whole.subarray(0, whole.length - 5), /truncated: 28 bytes of data declared, 23 found/],
    ["a cut header", whole.subarray(0, 40), /truncated: header of/],
    ["extra bytes", Buffer.concat([whole, Buffer.alloc(4)]), /too long/],
    ["another format", Buffer.from("<html>not found</html>"), /not a safetensors file/],
    ["a header that is no JSON", fileOf([], new Uint8Array(0)), /not a JSON object/],
    ["a header entry that is no object", fileOf({ x: 1 }, new Uint8Array(0)), /tensor "x": its header entry/],
    ["an unknown dtype", entry({ dtype: "I64" }), /tensor "x": dtype "I64" is not supported/],
    ["a dtype named like a property", entry({ dtype: "toString" }), /dtype "toString" is not supported/],
    ["a negative size", entry({ shape: [-1] }), /tensor "x": shape/],
    [
      "offsets that do not fit the shape",
      entry({ shape: [2] }),
      /4 bytes for shape \[2\] of F32, expected 8/,
    ],
    ["a gap", entry({ data_offsets: [4, 8] }), /overlaps or leaves a gap/],
    ["metadata that is no text", fileOf({ __metadata__: { a: 1 } }, new Uint8Array(0)), /__metadata__\.a/],
  ])("%s", (_, bytes, message) => {
    const error = thrownBy(() => parseSafetensors(bytes, "m.safetensors"));
    expect(error.code).toBe("invalid_argument");
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain("\n");
  });

  test("property: whatever bytes are changed, cut or added, it parses or throws a CovoteError", () => {
    const change = fc.record({
      at: fc.nat(whole.length - 1),
      value: fc.integer({ min: 0, max: 255 }),
    });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), fc.nat(whole.length), (changes, keep) => {
        const bytes = whole.slice();
        for (const { at, value } of changes) bytes[at] = value;
        for (const input of [bytes, bytes.subarray(0, keep)]) {
          try {
            parseSafetensors(input);
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(CovoteError);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  test("property: arbitrary bytes and arbitrary JSON headers never throw anything else", () => {
    const json = fc.json().map((text) => fileOf(JSON.parse(text) as object, new Uint8Array(8)));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), json), (bytes) => {
        try {
          parseSafetensors(bytes);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(CovoteError);
        }
      }),
      { numRuns: 300 },
    );
  });
});
