/**
 * The configuration of the whole product: every field with a sentence, a default and bounds.
 *
 * The defaults are the embedded cluster that learns to write postcards. Names end in the unit where there is
 * one. Servers listen on loopback unless told otherwise.
 */
import { z } from "zod";
import { lowestTemperature } from "../grm/limits.js";
import { type ConfigSources, compileConfig } from "./config.js";
import { parseListenAddress } from "./listen.js";

/** A checkpoint is a folder, or this word: the one that comes with covote. */
export const shippedCheckpoint = "postcards";

/** The demo world's corpus with hints in it. */
export const hintedCorpus = "postcards-hinted";

const idPattern = /^[A-Za-z0-9_-]{1,64}$/;

function listenAddress(fallback: string) {
  return z
    .string()
    .refine(isListenAddress, { error: (issue) => `must be host:port, got ${JSON.stringify(issue.input)}` })
    .default(fallback);
}

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

function secretFile(text: string) {
  return z.string().min(1).nullable().default(null).describe(text);
}

const natsTls = z.strictObject({
  caFile: secretFile(
    "PEM file of the authority that signed the certificate of NATS; null trusts the usual public ones.",
  ),
  certFile: secretFile("PEM file of the certificate to show to a NATS that demands one; null shows none."),
  keyFile: secretFile("PEM file of the private key of nats.tls.certFile."),
});

const nats = z.strictObject({
  url: z
    .string()
    .regex(/^(nats|tls|ws|wss):\/\/\S+$/, { error: "must be a URL such as nats://127.0.0.1:4222" })
    .nullable()
    .default(null)
    .meta({ secret: true })
    .describe(
      "NATS to connect to; null starts a nats-server of this run's own on a free port. tls:// refuses a NATS without TLS.",
    ),
  credsFile: secretFile("Credentials file (JWT and nkey seed, as nsc writes it) for nats.url; null is none."),
  nkeySeedFile: secretFile("File that holds the nkey seed of the user for nats.url; null is none."),
  inboxPrefix: z
    .string()
    .regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/, {
      error: "must be words of A-Z a-z 0-9 _ - joined by dots",
    })
    .nullable()
    .default(null)
    .describe("Prefix of reply subjects, for users that may not listen on all of _INBOX; null is _INBOX."),
  tls: natsTls.prefault({}),
  connectTimeoutMs: z
    .int()
    .min(100)
    .max(600_000)
    .default(10_000)
    .describe("How long to wait for NATS at the start, in milliseconds."),
  ackWaitMs: z
    .int()
    .min(500)
    .max(3_600_000)
    .default(5000)
    .describe(
      "Work of a process that has been silent for so long goes to another one, in milliseconds; the same everywhere.",
    ),
  outageTimeoutMs: z
    .int()
    .min(1000)
    .max(86_400_000)
    .default(60_000)
    .describe("How long NATS may be away while a service runs before the service gives up, in milliseconds."),
});

const grpc = z.strictObject({
  address: listenAddress("127.0.0.1:50051").describe(
    "Where the reward service listens for gRPC, host:port; port 0 takes a free one.",
  ),
  maxMessageBytes: z
    .int()
    .min(65_536)
    .max(1_073_741_824)
    .default(16_777_216)
    .describe("Largest gRPC message, both ways, in bytes."),
  reflection: z.boolean().default(true).describe("Serve gRPC reflection, for grpcurl and the like."),
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
  slots: z.int().min(1).max(1024).default(64).describe("Responses that a sampler generates side by side."),
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
  grammar: z
    .enum(["postcards", "postcards-critique", "deepseek-grm"])
    .default("postcards")
    .describe("Format of the model's judgments, for prompts and for parsing."),
  slots: z.int().min(1).max(1024).default(64).describe("Votes that one worker generates side by side."),
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

const training = z.strictObject({
  role: z
    .enum(["policy", "grm"])
    .default("policy")
    .describe("Which model learns: the policy from rewards, or the reward model from preferences (SPCT)."),
  method: z
    .enum(["grpo", "rft"])
    .default("grpo")
    .describe(
      "How it learns: reinforcement (grpo), or, for a reward model, imitation of its own right judgments (rft).",
    ),
  hinted: z
    .boolean()
    .default(false)
    .describe("With rft: also sample each panel with the best response named, and learn from it without."),
  rejection: z
    .boolean()
    .default(true)
    .describe("With rft: false imitates wrong judgments too, to see what rejection is worth."),
  principles: z
    .boolean()
    .default(true)
    .describe(
      "With rft and postcards: false imitates judgments without their principles, for grm.grammar postcards-critique.",
    ),
  corpus: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      `With rft: examples to learn from beside its judgments, a JSONL file of {"query": text or messages, "answer": text}, "${shippedCheckpoint}" for what the demo world's reward model was made from, or "${hintedCorpus}" with hints in half of it; null is none.`,
    ),
  corpusShare: z
    .number()
    .min(0)
    .max(0.95)
    .default(0.5)
    .describe("Share of training.corpus in the sequences of each batch."),
  prompts: z
    .string()
    .min(1)
    .default(shippedCheckpoint)
    .describe(
      `What to train on: a JSONL file, or "${shippedCheckpoint}" for the demo world. For a policy, queries: {"query": text or messages}; for a reward model, preferences: {"query", "responses", "best": index or "scores": [number]}.`,
    ),
  steps: z.int().min(1).max(1_000_000).default(120).describe("Optimiser steps of the run."),
  groupsPerStep: z.int().min(1).max(4096).default(24).describe("Groups that one step learns from."),
  groupSize: z.int().min(2).max(64).default(8).describe("Responses sampled to one query (G)."),
  learningRate: z.number().gt(0).max(1).default(6e-4).describe("Highest learning rate of AdamW."),
  schedule: z
    .enum(["constant", "linear", "cosine"])
    .default("linear")
    .describe("How the learning rate falls over the run."),
  warmupSteps: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(3)
    .describe("Steps over which the learning rate rises to its highest."),
  finalRate: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe("Learning rate at the last step, as a share of the highest."),
  maxGradNorm: z
    .number()
    .gt(0)
    .max(1000)
    .default(1)
    .describe("Gradients are scaled down to this global norm."),
  normalise: z
    .enum(["std", "none"])
    .default("std")
    .describe("Divide advantages by the group's standard deviation (GRPO), or not (Dr. GRPO)."),
  clipLow: z
    .number()
    .gt(0)
    .lt(1)
    .default(0.2)
    .describe("The probability ratio is clipped below 1 - clipLow."),
  clipHigh: z
    .number()
    .gt(0)
    .max(10)
    .default(0.28)
    .describe("The probability ratio is clipped above 1 + clipHigh."),
  klWeight: z
    .number()
    .min(0)
    .max(10)
    .default(0.002)
    .describe("Weight of the KL divergence to the reference policy (beta)."),
  aggregation: z
    .enum(["token", "sequence", "constant"])
    .default("token")
    .describe(
      "Mean of the loss over tokens (DAPO), over sequences (GRPO), or over a constant length (Dr. GRPO).",
    ),
  importanceCap: z
    .number()
    .gt(0)
    .max(1000)
    .nullable()
    .default(2)
    .describe("Upper bound of the truncated importance weight of stale data; null is none."),
  maxStaleness: z
    .int()
    .min(0)
    .max(64)
    .default(1)
    .describe("Most policy versions between sampling a group and training on it; 0 is strictly on-policy."),
  groupPatienceMs: z
    .int()
    .min(100)
    .max(3_600_000)
    .default(60_000)
    .describe("A group that is not back for so long is asked for again, in milliseconds."),
  threads: z.int().min(1).max(256).default(1).describe("Worker threads that compute gradients."),
  checkpointEvery: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(20)
    .describe("Steps between checkpoints; the last step always makes one."),
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
    nats: nats.prefault({}),
    grpc: grpc.prefault({}),
    metrics: metrics.prefault({}),
    log: log.prefault({}),
    policy: policy.prefault({}),
    grm: grm.prefault({}),
    metaRm: metaRm.prefault({}),
    judging: judging.prefault({}),
    training: training.prefault({}),
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
  nats: Pick<z.output<typeof nats>, "url" | "credsFile" | "nkeySeedFile" | "tls">;
  metaRm: { keep: number | null };
  judging: { votes: number; temperature: number };
  training: {
    role: "policy" | "grm";
    method: "grpo" | "rft";
    rejection: boolean;
    principles: boolean;
    corpus: string | null;
  };
}

/** Values that are possible alone and impossible together. */
function contradictions({ nats, metaRm, judging, training }: Crossing): [path: string, problem: string][] {
  const found: [string, string][] = natsContradictions(nats);
  const { votes, temperature } = judging;
  if (temperature > 0 && temperature < lowestTemperature) {
    found.push(["judging.temperature", `must be 0 or at least ${lowestTemperature}, got ${temperature}`]);
  }
  if (metaRm.keep !== null && metaRm.keep > votes) {
    found.push(["metaRm.keep", `must be at most judging.votes (${votes}), got ${metaRm.keep}`]);
  }
  if (training.method === "rft" && training.role === "policy") {
    found.push([
      "training.method",
      "rft imitates right judgments: only a reward model (training.role grm) has them",
    ]);
  }
  if (training.method !== "rft") {
    const { rejection, principles, corpus } = training;
    const set = { rejection: !rejection, principles: !principles, corpus: corpus !== null };
    for (const [name, isSet] of Object.entries(set)) {
      if (isSet) found.push([`training.${name}`, "needs training.method rft; leave it out, or choose that"]);
    }
  }
  return found;
}

function natsContradictions({ url, credsFile, nkeySeedFile, tls }: Crossing["nats"]): [string, string][] {
  const found: [string, string][] = [];
  const files = {
    credsFile,
    nkeySeedFile,
    "tls.caFile": tls.caFile,
    "tls.certFile": tls.certFile,
    "tls.keyFile": tls.keyFile,
  };
  for (const [name, file] of Object.entries(files)) {
    if (url !== null || file === null) continue;
    found.push([`nats.${name}`, "needs nats.url; the nats-server that covote starts itself asks for none"]);
  }
  if (credsFile !== null && nkeySeedFile !== null) {
    found.push(["nats.nkeySeedFile", "cannot go with nats.credsFile; give one or the other"]);
  }
  if (tls.certFile !== null && tls.keyFile === null) {
    found.push(["nats.tls.keyFile", "is missing; give the private key of nats.tls.certFile"]);
  }
  if (tls.certFile === null && tls.keyFile !== null) {
    found.push(["nats.tls.certFile", "is missing; give the certificate of nats.tls.keyFile"]);
  }
  return found;
}

function isListenAddress(text: string): boolean {
  try {
    parseListenAddress("address", text);
    return true;
  } catch {
    return false;
  }
}
