/** The section `training` of the configuration: which model learns, from what, and how. */
import { z } from "zod";
import { hintedCorpus, shippedCheckpoint } from "./shipped.js";

export const trainingSection = z.strictObject({
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

/** Values that are possible alone and impossible together, each with the path of its field. */
export function trainingContradictions(
  training: Pick<z.output<typeof trainingSection>, "role" | "method" | "rejection" | "principles" | "corpus">,
): [path: string, problem: string][] {
  const found: [string, string][] = [];
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
