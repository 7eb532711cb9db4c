/** The section `http` of the configuration: where rewards are served as JSON over HTTP, and how much is taken in. */
import { z } from "zod";
import { isListenAddress } from "./listen.js";

export const httpSection = z.strictObject({
  address: z
    .string()
    .refine(isListenAddress, { error: (issue) => `must be host:port, got ${JSON.stringify(issue.input)}` })
    .nullable()
    .default(null)
    .describe(
      "Where the reward service listens for HTTP, host:port; port 0 takes a free one; null: nowhere.",
    ),
  maxBodyBytes: z
    .int()
    .min(1024)
    .max(1_073_741_824)
    .default(16_777_216)
    .describe("Largest body of a request, in bytes."),
  maxInFlight: z
    .int()
    .min(1)
    .max(65_536)
    .default(4096)
    .describe("Requests taken in side by side; one more is told to come back before its body is read."),
});
