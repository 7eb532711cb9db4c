/** Tiny random checkpoints that know the postcards words, for tests of what is built on checkpoints. */
import { join } from "node:path";
import { postcardsCheckpoint } from "../../cli/models/postcards-checkpoint.js";
import { type Checkpoint, saveCheckpoint } from "../../lib/llama/checkpoint.js";
import type { LlamaConfig } from "../../lib/llama/config.js";
import { initialWeights } from "../../lib/llama/initial-weights.js";
import { words } from "../../worlds/postcards/vocabulary.js";
import { tinyConfig } from "./tiny-llama.js";

export interface ModelFolders {
  policy: string;
  grm: string;
  metaRm: string;
  /** As `--set` flags. */
  flags: string[];
}

export function tinyPostcards(overrides: Partial<LlamaConfig> = {}): Checkpoint {
  const config = tinyConfig({ vocabSize: words.length, layers: 1, maxPositions: 128, ...overrides });
  return postcardsCheckpoint(config, initialWeights(config, 1));
}

export async function writePostcardsModels(root: string): Promise<ModelFolders> {
  const [policy, grm, metaRm] = ["policy", "grm", "meta-rm"].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  const dtype = "float32";
  await saveCheckpoint(policy, tinyPostcards(), { dtype });
  await saveCheckpoint(grm, tinyPostcards(), { dtype });
  await saveCheckpoint(metaRm, tinyPostcards({ head: "scalar" }), { dtype });
  const settings = { "policy.checkpoint": policy, "grm.checkpoint": grm, "metaRm.checkpoint": metaRm };
  const flags = Object.entries(settings).flatMap(([path, value]) => ["--set", `${path}=${value}`]);
  return { policy, grm, metaRm, flags };
}
