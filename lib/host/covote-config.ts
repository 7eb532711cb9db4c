/**
 * The configuration of the whole product: every field with a sentence, a default and bounds.
 *
 * The defaults are the embedded cluster that learns to write postcards. Names end in the unit where there is
 * one. Servers listen on loopback unless told otherwise.
 */
import { z } from "zod";
import { lowestTemperature } from "../grm/limits.js";
import { type ConfigSources, compileConfig } from "./config.js";
import {
  type EngineConfig,
  engineContradictions,
  generativeEngineSection,
  scalarEngineSection,
} from "./engine-config.js";
import { grpcContradictions, grpcSection } from "./grpc-config.js";
import { httpSection } from "./http-config.js";
import { natsContradictions, natsSection } from "./nats-config.js";
import { scalingContradictions, scalingSection } from "./scaling-config.js";
import { shippedCheckpoint } from "./shipped.js";
import { tracingSection } from "./tracing-config.js";
import { trainingContradictions, trainingSection } from "./training-config.js";

const idPattern = /^[A-Za-z0-9_-]{1,64}$/;

function checkpoint(what: string) {
  return z
    .string()
    .min(1)
    .default(shippedCheckpoint)
    .describe(
      `Folder of the ${what}'s Hugging Face checkpoint, or "${shippedCheckpoint}" for the one that comes with covote.`,
    );
}

const cluster = z.strictObject({
  name: z
    .string()
    .refine((name) => idPattern.test(name), {
      error: (issue) => `must be 1 to 64 characters of A-Z a-z 0-9 _ -, got ${JSON.stringify(issue.input)}`,
    })
    .default("covote")
    .describe("Name of the cluster; clusters of different names share a NATS without seeing each other."),
  drainTimeoutMs: z
    .int()
    .min(0)
    .max(3_600_000)
    .default(20_000)
    .describe("Time that a service gets to finish accepted work when it is told to stop, in milliseconds."),
});

const metrics = z.strictObject({
  host: z
    .string()
    .min(1)
    .default("127.0.0.1")
    .describe("Address that /metrics, /healthz and /readyz listen on."),
  port: z
    .int()
    .min(0)
    .max(65_535)
    .default(9464)
    .describe(
      "Port of the first service's /metrics; further processes take the ones above; 0 takes free ones.",
    ),
});

const log = z.strictObject({
  level: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe("Least level that is written."),
});

const policy = z.strictObject({
  checkpoint: checkpoint("policy"),
  engine: generativeEngineSection.prefault({}),
  slots: z
    .int()
    .min(1)
    .max(1024)
    .default(64)
    .describe("Responses that a sampler generates side by side on the small Llama."),
  temperature: z
    .number()
    .min(lowestTemperature)
    .max(2)
    .default(1)
    .describe("Sampling temperature of responses."),
  maxTokens: z
    .int()
    .min(1)
    .max(32_768)
    .default(12)
    .describe("Longest response, in tokens, end token included."),
});

const grm = z.strictObject({
  checkpoint: checkpoint("generative reward model"),
  engine: generativeEngineSection.prefault({}),
  grammar: z
    .enum(["postcards", "postcards-critique", "deepseek-grm"])
    .default("postcards")
    .describe("Format of the model's judgments, for prompts and for parsing."),
  slots: z
    .int()
    .min(1)
    .max(1024)
    .default(64)
    .describe("Votes that one worker generates side by side on the small Llama."),
  maxTokens: z
    .int()
    .min(1)
    .max(32_768)
    .nullable()
    .default(null)
    .describe("Longest judgment, in tokens; null is as long as the grammar may need."),
  workers: z.int().min(1).max(256).default(1).describe("GRM workers of this machine."),
});

const metaRm = z.strictObject({
  checkpoint: checkpoint("meta reward model"),
  engine: scalarEngineSection.prefault({}),
  keep: z
    .int()
    .min(0)
    .max(128)
    .nullable()
    .default(null)
    .describe("Votes kept by the meta reward model; null keeps half of them, 0 switches it off."),
  batch: z.int().min(1).max(1024).default(64).describe("Most votes scored in one micro-batch."),
  patienceMs: z
    .int()
    .min(100)
    .max(3_600_000)
    .default(5000)
    .describe(
      "A micro-batch without its scores for so long is asked for again, in milliseconds; doubles each time. Also how long an absent meta reward model is waited for, once.",
    ),
});

const judging = z.strictObject({
  votes: z.int().min(1).max(128).default(4).describe("Votes on every response (k)."),
  votesPerBallot: z
    .int()
    .min(1)
    .max(128)
    .default(2)
    .describe("Most votes on the same panel given to one worker, so that they share the prompt's KV cache."),
  panelLimit: z.int().min(1).max(16).default(4).describe("Most responses shown together in one panel."),
  split: z
    .int()
    .min(0)
    .max(16)
    .default(0)
    .describe(
      "Sets of principles drawn apart per query and used again by later votes on it; 0: every vote writes its own.",
    ),
  temperature: z.number().min(0).max(2).default(1).describe("Sampling temperature of votes; 0 is greedy."),
  deadlineMs: z
    .int()
    .min(1)
    .max(3_600_000)
    .default(30_000)
    .describe(
      "Time for one judgment, in milliseconds; then the best answer so far is given, marked as partial.",
    ),
  ballotPatienceMs: z
    .int()
    .min(100)
    .max(3_600_000)
    .default(20_000)
    .describe(
      "A ballot without all its votes for so long goes out again, in milliseconds; doubles each time.",
    ),
  maxInFlight: z
    .int()
    .min(1)
    .max(65_536)
    .default(256)
    .describe("Judgments that run side by side; one more is refused as overloaded."),
});

const run = z.strictObject({
  dir: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe("Folder of the run; null makes a new one below runs/."),
  seed: z.int().min(0).max(4_294_967_295).default(1).describe("Seed of everything random in the run."),
});

export const covoteConfigSchema = z
  .strictObject({
    cluster: cluster.prefault({}),
    nats: natsSection.prefault({}),
    grpc: grpcSection.prefault({}),
    http: httpSection.prefault({}),
    metrics: metrics.prefault({}),
    log: log.prefault({}),
    tracing: tracingSection.prefault({}),
    policy: policy.prefault({}),
    grm: grm.prefault({}),
    metaRm: metaRm.prefault({}),
    judging: judging.prefault({}),
    training: trainingSection.prefault({}),
    scaling: scalingSection.prefault({}),
    run: run.prefault({}),
  })
  .superRefine((config, context) => {
    for (const [path, problem] of contradictions(config)) {
      context.addIssue({ code: "custom", path: path.split("."), message: problem });
    }
  });

export type CovoteConfig = z.output<typeof covoteConfigSchema>;

/** The configuration, frozen; throws `invalid_argument` that names the field. */
export function compileCovoteConfig(sources: ConfigSources = {}): CovoteConfig {
  return compileConfig(covoteConfigSchema, sources);
}

/** Votes that the meta reward model keeps of those cast: the configured number, or half; 0 is off. */
export function metaKeepOf(config: Pick<CovoteConfig, "judging" | "metaRm">): number {
  return config.metaRm.keep ?? Math.max(1, Math.floor(config.judging.votes / 2));
}

interface Crossing {
  nats: Parameters<typeof natsContradictions>[0];
  grpc: Parameters<typeof grpcContradictions>[0];
  policy: { engine: EngineConfig };
  grm: { engine: EngineConfig };
  metaRm: { keep: number | null; engine: EngineConfig };
  judging: { votes: number; temperature: number };
  training: Parameters<typeof trainingContradictions>[0];
  scaling: Parameters<typeof scalingContradictions>[0];
}

/** Values that are possible alone and impossible together. */
function contradictions(config: Crossing): [path: string, problem: string][] {
  const { nats, grpc, policy, grm, metaRm, judging, training, scaling } = config;
  const found = [
    ...natsContradictions(nats),
    ...grpcContradictions(grpc),
    ...trainingContradictions(training),
    ...scalingContradictions(scaling),
    ...engineContradictions("policy.engine", policy.engine),
    ...engineContradictions("grm.engine", grm.engine),
    ...engineContradictions("metaRm.engine", metaRm.engine),
  ];
  const { votes, temperature } = judging;
  if (temperature > 0 && temperature < lowestTemperature) {
    found.push(["judging.temperature", `must be 0 or at least ${lowestTemperature}, got ${temperature}`]);
  }
  if (metaRm.keep !== null && metaRm.keep > votes) {
    found.push(["metaRm.keep", `must be at most judging.votes (${votes}), got ${metaRm.keep}`]);
  }
  return found;
}
