/** The section `tracing` of the configuration: whether spans are told, to whom, and how many. */
import { z } from "zod";

export const tracingSection = z.strictObject({
  endpoint: z
    .string()
    .refine(isEndpoint, {
      error:
        "must be a URL such as http://127.0.0.1:4318, without user and password (those go into tracing.headersFile)",
    })
    .nullable()
    .default(null)
    .describe(
      "Collector that takes traces over OTLP/HTTP; /v1/traces is added to a URL without a path. Null: nothing is traced.",
    ),
  sampleRatio: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe(
      "Share of the traces begun here that are told; a caller's trace is told when the caller says that it is.",
    ),
  headersFile: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      'File of headers for the collector, one "name: value" a line, such as a token; null is none. Read at the start.',
    ),
  timeoutMs: z
    .int()
    .min(100)
    .max(600_000)
    .default(5000)
    .describe("How long the collector may take for one batch of spans, in milliseconds; then they are lost."),
  queueSize: z
    .int()
    .min(64)
    .max(1_048_576)
    .default(4096)
    .describe("Spans that may wait for the collector; further ones are dropped and counted."),
});

export type TracingConfig = z.output<typeof tracingSection>;

function isEndpoint(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, host } = new URL(text);
  return (protocol === "http:" || protocol === "https:") && host !== "" && username === "" && password === "";
}
