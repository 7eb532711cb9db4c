/**
 * The safetensors file format, both ways: 8 bytes header length (little-endian), a JSON header, the data.
 * Specification: https://github.com/huggingface/safetensors#format
 *
 * - Values are float32 in memory; F32, BF16 and F16 are read, F32 and BF16 are written (BF16 rounds to the
 *   nearest even).
 * - Pure: bytes in, values out. A malformed file is an `invalid_argument` that names the file and the tensor,
 *   whatever its bytes are; nothing is ever guessed.
 */
import { CovoteError, invalid } from "../core/errors.js";

export interface Tensor {
  name: string;
  shape: readonly number[];
  /** Row-major. */
  data: Float32Array;
}

export interface Safetensors {
  tensors: ReadonlyMap<string, Tensor>;
  /** The free strings of the header's `__metadata__`. */
  metadata: Readonly<Record<string, string>>;
}

export type StoredDtype = "float32" | "bfloat16";

/** Bytes per element of what can be read. */
const elementBytes: Readonly<Record<string, number>> = { F32: 4, BF16: 2, F16: 2 };

/** The specification's own bound: a larger header is an attack, not a model. */
const maxHeaderBytes = 100_000_000;

/** Parses a whole file. `file` is only for messages. */
export function parseSafetensors(bytes: Uint8Array, file = "model.safetensors"): Safetensors {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 8) throw invalid(file, `truncated: ${bytes.length} bytes; copy the file again`);
  const headerBytes = view.getBigUint64(0, true);
  if (headerBytes > BigInt(maxHeaderBytes)) {
    throw invalid(file, `not a safetensors file (its header would be ${headerBytes} bytes long)`);
  }
  const dataStart = 8 + Number(headerBytes);
  if (dataStart > bytes.length) {
    throw invalid(
      file,
      `truncated: header of ${headerBytes} bytes in a file of ${bytes.length}; copy it again`,
    );
  }
  const header = parseHeader(bytes.subarray(8, dataStart), file);
  const metadata = parseMetadata(header.__metadata__, file);
  const entries = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, value]) => parseEntry(name, value, file))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const entry of entries) {
    if (entry.begin !== at)
      throw invalid(
        file,
        `tensor ${JSON.stringify(entry.name)}: data overlaps or leaves a gap; save it again`,
      );
    at = entry.end;
  }
  if (at !== bytes.length - dataStart) {
    const has = bytes.length - dataStart;
    throw invalid(
      file,
      `${has < at ? "truncated" : "too long"}: ${at} bytes of data declared, ${has} found; copy it again`,
    );
  }
  const tensors = new Map<string, Tensor>();
  for (const { name, shape, dtype, begin, end } of entries) {
    tensors.set(name, { name, shape, data: decode(dtype, bytes, dataStart + begin, dataStart + end) });
  }
  return { tensors, metadata };
}

/** One file with `tensors` in the order given. Deterministic: the same input gives the same bytes. */
export function serialiseSafetensors(
  tensors: Iterable<Tensor>,
  options: { dtype: StoredDtype; metadata?: Readonly<Record<string, string>> },
): Uint8Array {
  const dtype = options.dtype === "float32" ? "F32" : "BF16";
  const bytesEach = options.dtype === "float32" ? 4 : 2;
  const header: Record<string, unknown> = {};
  // transformers refuses files that do not say which framework's layout they hold.
  header.__metadata__ = { ...sorted(options.metadata ?? {}), format: "pt" };
  const list = [...tensors];
  let at = 0;
  for (const tensor of list) {
    const size = tensor.data.length * bytesEach;
    header[tensor.name] = { dtype, shape: tensor.shape, data_offsets: [at, at + size] };
    at += size;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const headerBytes = Math.ceil(text.length / 8) * 8; // so that the data is aligned
  const out = new Uint8Array(8 + headerBytes + at);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(headerBytes), true);
  out.fill(0x20, 8, 8 + headerBytes);
  out.set(text, 8);
  let to = 8 + headerBytes;
  for (const { data } of list) {
    if (options.dtype === "float32") {
      out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), to);
    } else {
      const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
      for (let i = 0; i < bits.length; i++) view.setUint16(to + 2 * i, toBfloat16(bits[i] as number), true);
    }
    to += data.length * bytesEach;
  }
  return out;
}

interface Entry {
  name: string;
  dtype: string;
  shape: number[];
  begin: number;
  end: number;
}

function parseHeader(bytes: Uint8Array, file: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new CovoteError("invalid_argument", `${file}: the header is not JSON; copy the file again`, {
      field: file,
      cause,
    });
  }
  if (!isRecord(header)) throw invalid(file, "the header is not a JSON object; save the file again");
  return header;
}

function parseMetadata(value: unknown, file: string): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) throw invalid(file, "__metadata__ is not an object; save the file again");
  const metadata: Record<string, string> = {};
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string")
      throw invalid(file, `__metadata__.${key}: not a string; save the file again`);
    metadata[key] = text;
  }
  return metadata;
}

function parseEntry(name: string, value: unknown, file: string): Entry {
  const bad = (problem: string): CovoteError => invalid(file, `tensor ${JSON.stringify(name)}: ${problem}`);
  if (!isRecord(value)) throw bad("its header entry is not an object; save the file again");
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(elementBytes, dtype)) {
    throw bad(`dtype ${JSON.stringify(dtype)} is not supported; save it as float32, bfloat16 or float16`);
  }
  if (!Array.isArray(shape) || !shape.every(isSize))
    throw bad("shape is not a list of sizes; save the file again");
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    throw bad("data_offsets are not [begin, end]; save the file again");
  }
  const [begin, end] = offsets as [number, number];
  const size = shape.reduce((a: number, b: number) => a * b, elementBytes[dtype] as number);
  if (end - begin !== size) {
    throw bad(
      `${end - begin} bytes for shape [${shape.join(", ")}] of ${dtype}, expected ${size}; save it again`,
    );
  }
  return { name, dtype, shape: shape as number[], begin, end };
}

function decode(dtype: string, bytes: Uint8Array, begin: number, end: number): Float32Array {
  // A copy: the file's offset need not be a multiple of the element size. (A Buffer's own slice is a view.)
  const raw = new Uint8Array(end - begin);
  raw.set(bytes.subarray(begin, end));
  if (dtype === "F32") return new Float32Array(raw.buffer);
  const halves = new Uint16Array(raw.buffer);
  const out = new Float32Array(halves.length);
  if (dtype === "BF16") {
    const bits = new Uint32Array(out.buffer);
    for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16;
  } else {
    for (let i = 0; i < halves.length; i++) out[i] = fromFloat16(halves[i] as number);
  }
  return out;
}

/** The upper half of a float32's bits, rounded to nearest even; NaN stays NaN. */
function toBfloat16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) | 0x40) & 0xffff;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function fromFloat16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function sorted(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
