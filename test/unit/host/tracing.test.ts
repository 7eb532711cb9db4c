import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../lib/core/clock.js";
import { deadlineIn } from "../../../lib/core/deadline.js";
import { CovoteError } from "../../../lib/core/errors.js";
import { packagePath } from "../../../lib/core/package-root.js";
import { compileCovoteConfig } from "../../../lib/host/covote-config.js";
import { createMetrics } from "../../../lib/host/metrics.js";
import { openTracing, readHeaders, type Tracing, tracesUrl } from "../../../lib/host/tracing.js";
import { type OtlpReceiver, openOtlpReceiver } from "../../support/otlp-receiver.js";
import { recordingLogger } from "../../support/recording-logger.js";

const clock = systemClock();
const parent = (sampled: boolean): string =>
  `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-${sampled ? "01" : "00"}`;

interface Opened {
  tracing: Tracing;
  metrics: ReturnType<typeof createMetrics>;
  log: ReturnType<typeof recordingLogger>;
}

function open(endpoint: string, settings: Record<string, unknown> = {}): Opened {
  const metrics = createMetrics({ service: "s" });
  const log = recordingLogger();
  const overrides = Object.fromEntries(
    Object.entries({ endpoint, ...settings }).map(([key, value]) => [`tracing.${key}`, value]),
  );
  const config = { ...compileCovoteConfig({ overrides }).tracing, endpoint };
  const about = { service: "s", instance: "s-1", version: "0.0.0" };
  return { tracing: openTracing({ config, ...about, clock, log, metrics }), metrics, log };
}

const stop = ({ tracing }: Opened, ms = 5000): Promise<void> => tracing.stop(deadlineIn(clock, ms));

async function receiver(): Promise<OtlpReceiver> {
  const opened = await openOtlpReceiver();
  onTestFinished(() => opened[Symbol.asyncDispose]());
  return opened;
}

function fileWith(text: string): string {
  const dir = mkdtempSync(join(tmpdir(), "covote-headers-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, "headers");
  writeFileSync(file, text);
  return file;
}

test("a span arrives with its parent, kind, attributes, links and error", async () => {
  const collector = await receiver();
  const opened = open(collector.url);
  const span = opened.tracing.tracer.start("work", {
    kind: "consumer",
    parent: parent(true),
    attributes: {
      "covote.votes": 3,
      "covote.null_reasons": ["deadline"],
      "covote.partial": true,
      none: undefined,
    },
    links: [parent(true).replace("b7", "a1"), "no traceparent"],
  });
  span?.end(new CovoteError("unavailable", "the engine is away"));
  span?.end();
  await stop(opened);
  expect(collector.spans).toHaveLength(1);
  expect(collector.spans[0]).toMatchObject({
    name: "work",
    kind: 5,
    traceId: "0af7651916cd43dd8448eb211c80319c",
    parentSpanId: "b7ad6b7169203331",
    links: [{ traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "a1ad6b7169203331" }],
    status: 2,
    statusMessage: "the engine is away",
    service: "s",
    attributes: {
      "covote.votes": 3,
      "covote.null_reasons": ["deadline"],
      "covote.partial": true,
      "error.type": "unavailable",
    },
  });
  expect(await opened.metrics.text()).toContain(
    'covote_tracing_spans_total{outcome="exported",service="s"} 1',
  );
});

test("work that was called off has not failed", async () => {
  const collector = await receiver();
  const opened = open(collector.url);
  opened.tracing.tracer.start("work")?.end(new CovoteError("cancelled", "enough"));
  await stop(opened);
  expect(collector.spans[0]).toMatchObject({ status: 0, attributes: { "covote.cancelled": true } });
});

test("a trace is recorded as its caller has decided, and one begun here by the ratio", async () => {
  const collector = await receiver();
  const none = open(collector.url, { sampleRatio: 0 });
  const { tracer } = none.tracing;
  expect(tracer.start("root")).toBeNull();
  expect(tracer.start("child", { parent: parent(false) })).toBeNull();
  tracer.start("told", { parent: parent(true) })?.end();
  await stop(none);
  expect(collector.spans.map((span) => span.name)).toEqual(["told"]);

  const half = open(collector.url, { sampleRatio: 0.5 });
  const begun = Array.from({ length: 1000 }, () => half.tracing.tracer.start("root")).filter(
    (s) => s !== null,
  );
  expect(begun.length).toBeGreaterThan(400);
  expect(begun.length).toBeLessThan(600);
  await stop(half);
});

test("headers go along from their file, and a URL's own path is kept", async () => {
  const collector = await receiver();
  const headersFile = fileWith("# for the collector\nauthorization: Bearer abc=1\nx-scope: team \n");
  const opened = open(`${collector.url}/custom`, { headersFile });
  opened.tracing.tracer.start("work")?.end();
  await stop(opened);
  expect(collector.requests).toMatchObject([
    { path: "/custom", headers: { authorization: "Bearer abc=1", "x-scope": "team" } },
  ]);
  expect(tracesUrl("http://collector:4318")).toBe("http://collector:4318/v1/traces");
});

test("a file of headers that cannot be used is refused without telling what it holds", () => {
  expect(() => readHeaders("/nowhere/headers")).toThrow(
    "tracing.headersFile: cannot read /nowhere/headers (ENOENT)",
  );
  const file = fileWith("authorization Bearer secret");
  expect(() => readHeaders(file)).toThrow(`tracing.headersFile: ${file}, line 1: must be "name: value"`);
});

test.each(["collector:4318", "http://user:secret@collector", "ftp://collector", "http://"])(
  "the endpoint %s is refused by name",
  (endpoint) => {
    const compile = (): unknown => compileCovoteConfig({ overrides: { "tracing.endpoint": endpoint } });
    expect(compile).toThrow(/^tracing\.endpoint: must be a URL/);
    expect(compile).not.toThrow(/secret/);
  },
);

test("spans beyond the queue are dropped and counted while the collector hangs, and the stop is soon", async () => {
  const collector = await receiver();
  collector.answer = "hang";
  const opened = open(collector.url, { queueSize: 64, timeoutMs: 60_000 });
  for (let i = 0; i < 100; i++) opened.tracing.tracer.start("work")?.end();
  const startedAt = performance.now();
  await stop(opened);
  expect(performance.now() - startedAt).toBeLessThan(4000);
  expect(await opened.metrics.text()).toContain(
    'covote_tracing_spans_total{outcome="dropped",service="s"} 36',
  );
  expect(opened.log.lines.some(({ message }) => message.includes("did not get out in time"))).toBe(true);
});

test("spans that a collector refuses are counted, and told about once", async () => {
  const collector = await receiver();
  collector.answer = 400;
  const opened = open(collector.url);
  for (let i = 0; i < 600; i++) opened.tracing.tracer.start("work")?.end();
  await stop(opened);
  expect(await opened.metrics.text()).toContain(
    'covote_tracing_spans_total{outcome="failed",service="s"} 600',
  );
  expect(opened.log.lines.filter(({ message }) => message.includes("does not take spans"))).toHaveLength(1);
});

test("a process that does not trace does not even load the SDK", () => {
  const loads = (file: string): number => {
    const code = `
      import { createRequire } from "node:module";
      await import(${JSON.stringify(pathToFileURL(packagePath("dist", "lib", ...file.split("/"))).href)});
      const loaded = Object.keys(createRequire(import.meta.url).cache);
      console.log(loaded.filter((path) => path.includes("@opentelemetry/sdk-trace")).length);`;
    return Number(execFileSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" }));
  };
  expect(loads("host/tracing.js")).toBeGreaterThan(0);
  expect(loads("runtime/service-process.js")).toBe(0);
});
