/** The lines of a text file, one at a time, so that files may be larger than memory. */
import { createReadStream } from "node:fs";
import { CovoteError } from "../lib/core/errors.js";

export interface NumberedLine {
  /** Counted from 1. */
  number: number;
  bytes: Buffer;
}

/** A line longer than this is taken for a file of another kind. */
const longestLine = 256 * 1024 * 1024;

/** Lines without their line feed; the last one may lack it. Throws `not_found` when the file cannot be read. */
export function readLines(file: string): AsyncGenerator<NumberedLine> {
  return linesOf(file, createReadStream(file, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>);
}

/** The same of bytes from elsewhere; `file` is their name in errors. */
export async function* linesOf(
  file: string,
  chunks: AsyncIterable<Uint8Array | string>,
): AsyncGenerator<NumberedLine> {
  let number = 0;
  let rest: Buffer[] = [];
  let restBytes = 0;
  try {
    for await (const piece of chunks) {
      const chunk = Buffer.from(piece as Uint8Array);
      let from = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
        const line = chunk.subarray(from, end);
        yield { number: ++number, bytes: rest.length === 0 ? line : Buffer.concat([...rest, line]) };
        rest = [];
        restBytes = 0;
        from = end + 1;
      }
      if (from < chunk.length) {
        rest.push(chunk.subarray(from));
        restBytes += chunk.length - from;
        if (restBytes > longestLine) {
          throw new CovoteError(
            "invalid_argument",
            `${file}:${number + 1}: the line has no end within 256 MiB`,
          );
        }
      }
    }
  } catch (thrown) {
    if (thrown instanceof CovoteError) throw thrown;
    const { code, message } = thrown as NodeJS.ErrnoException;
    const problem = { ENOENT: "no such file", EISDIR: "is a folder", EACCES: "may not be read" }[code ?? ""];
    throw new CovoteError("not_found", `${file}: ${problem ?? message}`, { cause: thrown });
  }
  if (rest.length > 0) yield { number: ++number, bytes: Buffer.concat(rest) };
}
