/**
 * A collector in the test's process: takes what an exporter sends over OTLP/HTTP in protobuf, and decodes it by the
 * field numbers of opentelemetry/proto/trace/v1/trace.proto.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { BinaryReader, type WireType } from "@bufbuild/protobuf/wire";

export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  /** Empty: a root. */
  parentSpanId: string;
  name: string;
  /** 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  kind: number;
  startNs: bigint;
  endNs: bigint;
  attributes: Record<string, unknown>;
  links: { traceId: string; spanId: string }[];
  /** 0 unset, 1 ok, 2 error. */
  status: number;
  statusMessage: string;
  /** `service.name` of the process. */
  service: string;
}

export interface OtlpReceiver extends AsyncDisposable {
  readonly url: string;
  readonly spans: ReceivedSpan[];
  readonly requests: { path: string; headers: Record<string, unknown> }[];
  /** What becomes of the next requests; default they are taken. `hang` never answers. */
  answer: number | "hang";
}

export async function openOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const requests: OtlpReceiver["requests"] = [];
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    requests.push({ path: request.url ?? "", headers: request.headers });
    if (receiver.answer === "hang") return;
    if (receiver.answer === 200) spans.push(...decodeRequest(Buffer.concat(parts)));
    response.writeHead(receiver.answer, { "content-type": "application/x-protobuf" }).end();
  };
  const server = createServer((request, response) => void take(request, response).catch(() => undefined));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const receiver: OtlpReceiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    requests,
    answer: 200,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return receiver;
}

/** Names from the root to the span, as far as its trace is here. */
export function pathOf(span: ReceivedSpan, all: readonly ReceivedSpan[]): string {
  const names = [span.name];
  let at: ReceivedSpan | undefined = span;
  while (at !== undefined && at.parentSpanId !== "") {
    const { traceId, parentSpanId }: ReceivedSpan = at;
    at = all.find((other) => other.traceId === traceId && other.spanId === parentSpanId);
    names.unshift(at?.name ?? `(${parentSpanId})`);
  }
  return names.join(" > ");
}

type Field = { no: number; wire: WireType; reader: BinaryReader };

function* fields(bytes: Uint8Array): Iterable<Field> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [no, wire] = reader.tag();
    const before = reader.pos;
    yield { no, wire, reader };
    if (reader.pos === before) reader.skip(wire);
  }
}

function decodeRequest(bytes: Uint8Array): ReceivedSpan[] {
  const spans: ReceivedSpan[] = [];
  for (const { no, reader } of fields(bytes)) if (no === 1) spans.push(...resourceSpans(reader.bytes()));
  return spans;
}

function resourceSpans(bytes: Uint8Array): ReceivedSpan[] {
  let service = "";
  const spans: ReceivedSpan[] = [];
  for (const { no, reader } of fields(bytes)) {
    if (no === 1) service = String(attributesIn(reader.bytes(), 1)["service.name"]);
    if (no !== 2) continue;
    for (const scope of fields(reader.bytes())) if (scope.no === 2) spans.push(spanIn(scope.reader.bytes()));
  }
  return spans.map((span) => ({ ...span, service }));
}

function spanIn(bytes: Uint8Array): ReceivedSpan {
  const span: ReceivedSpan = {
    ...{ traceId: "", spanId: "", parentSpanId: "", name: "", kind: 0, startNs: 0n, endNs: 0n },
    ...{ attributes: attributesIn(bytes, 9), links: [], status: 0, statusMessage: "", service: "" },
  };
  for (const { no, reader } of fields(bytes)) {
    if (no === 1) span.traceId = hex(reader.bytes());
    if (no === 2) span.spanId = hex(reader.bytes());
    if (no === 4) span.parentSpanId = hex(reader.bytes());
    if (no === 5) span.name = reader.string();
    if (no === 6) span.kind = reader.int32();
    if (no === 7) span.startNs = BigInt(reader.fixed64());
    if (no === 8) span.endNs = BigInt(reader.fixed64());
    if (no === 13) span.links.push(linkIn(reader.bytes()));
    if (no !== 15) continue;
    for (const status of fields(reader.bytes())) {
      if (status.no === 2) span.statusMessage = status.reader.string();
      if (status.no === 3) span.status = status.reader.int32();
    }
  }
  return span;
}

function linkIn(bytes: Uint8Array): { traceId: string; spanId: string } {
  const link = { traceId: "", spanId: "" };
  for (const { no, reader } of fields(bytes)) {
    if (no === 1) link.traceId = hex(reader.bytes());
    if (no === 2) link.spanId = hex(reader.bytes());
  }
  return link;
}

function attributesIn(bytes: Uint8Array, field: number): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const { no, reader } of fields(bytes)) {
    if (no !== field) continue;
    let key = "";
    let value: unknown;
    for (const entry of fields(reader.bytes())) {
      if (entry.no === 1) key = entry.reader.string();
      if (entry.no === 2) value = valueIn(entry.reader.bytes());
    }
    found[key] = value;
  }
  return found;
}

function valueIn(bytes: Uint8Array): unknown {
  for (const { no, reader } of fields(bytes)) {
    if (no === 1) return reader.string();
    if (no === 2) return reader.bool();
    if (no === 3) return Number(reader.int64());
    if (no === 4) return reader.double();
    if (no !== 5) continue;
    const values: unknown[] = [];
    for (const item of fields(reader.bytes())) if (item.no === 1) values.push(valueIn(item.reader.bytes()));
    return values;
  }
  return undefined;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
