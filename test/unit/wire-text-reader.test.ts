import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TextReader } from "../../lib/wire/text-reader.js";

describe("reading texts", () => {
  test("any text comes back, wherever in a larger buffer the message lies", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary", maxLength: 60 })), fc.nat(9), (texts, before) => {
        const writer = new BinaryWriter();
        for (const text of texts) writer.string(text);
        const bytes = writer.finish();
        const larger = new Uint8Array(before + bytes.length + 3).fill(0xff);
        larger.set(bytes, before);
        const reader = new TextReader(larger.subarray(before, before + bytes.length));
        expect(texts.map(() => reader.string())).toEqual(texts);
        expect(reader.pos).toBe(bytes.length);
      }),
    );
  });

  test("any bytes read as the reader it extends reads them, or fail as there", () => {
    const read = (reader: BinaryReader): string => {
      try {
        return `${reader.string()} at ${reader.pos}`;
      } catch {
        return "failed";
      }
    };
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 80 }), fc.nat(90), (content, length) => {
        const bytes = Uint8Array.of(length, ...content);
        expect(read(new TextReader(bytes))).toBe(read(new BinaryReader(bytes)));
      }),
    );
  });
});
