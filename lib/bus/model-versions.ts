/**
 * Versions of models on their way from a learner to the engines that serve them.
 *
 * - A version is a manifest under its role in the `versions` bucket, and its weights in the object store.
 *   Weights are stored before the manifest names them, so a manifest never points at nothing.
 * - Followers take up the newest version; one that they missed in between is skipped.
 * - The last `keptVersions` weights of a role stay; older ones are deleted.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Clock } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";
import type { Logger } from "../core/logger.js";
import type { ModelManifest } from "../wire/gen/covote/v1/cluster.js";
import { modelManifestCodec } from "../wire/messages.js";
import type { Bus } from "./bus.js";

export type ModelRole = "policy" | "grm" | "meta-rm";

export const keptVersions = 3;

export interface ModelWeights {
  number: number;
  version: string;
  safetensors: Uint8Array;
}

/** Stores the weights and makes them the current version of the role. */
export async function publishModel(
  bus: Bus,
  clock: Clock,
  model: ModelWeights & { role: ModelRole; runId: string },
): Promise<ModelManifest> {
  const weights = await bus.objects("weights");
  const manifests = await bus.kv("versions");
  const name = objectName(model.role, model.runId, model.number);
  await weights.put(name, model.safetensors);
  const manifest: ModelManifest = {
    role: model.role,
    number: model.number,
    version: model.version,
    uri: `object:${name}`,
    sha256: createHash("sha256").update(model.safetensors).digest("hex"),
    publishedAtMs: clock.now(),
    runId: model.runId,
  };
  await manifests.put(model.role, modelManifestCodec.encode(manifest));
  if (model.number >= keptVersions) {
    await weights
      .delete(objectName(model.role, model.runId, model.number - keptVersions))
      .catch(ignoreMissing);
  }
  return manifest;
}

/** The current version of a role, or null when none was published. */
export async function currentModel(bus: Bus, role: ModelRole): Promise<ModelManifest | null> {
  const entry = await (await bus.kv("versions")).get(role);
  return entry === null ? null : modelManifestCodec.decode(entry.value);
}

export interface FollowOptions {
  role: ModelRole;
  log: Logger;
  /** Serves the weights; a failure is logged, and the old version goes on serving until the next one. */
  load(weights: ModelWeights & { runId: string }): Promise<void>;
}

/** Calls `load` with the current version, if there is one, and with each newer one; one at a time. */
export async function followModel(bus: Bus, options: FollowOptions): Promise<{ close(): void }> {
  const manifests = await bus.kv("versions");
  let newest: ModelManifest | null = null;
  let loading = false;

  const catchUp = async (): Promise<void> => {
    if (loading) return;
    loading = true;
    while (newest !== null) {
      const manifest: ModelManifest = newest;
      newest = null;
      await loadVersion(bus, manifest, options);
    }
    loading = false;
  };

  const watch = await manifests.watch(options.role, async (change) => {
    if (change.value === null) return;
    newest = modelManifestCodec.decode(change.value);
    await catchUp();
  });
  await watch.ready;
  return { close: () => watch.close() };
}

async function loadVersion(
  bus: Bus,
  manifest: ModelManifest,
  { role, log, load }: FollowOptions,
): Promise<void> {
  try {
    const safetensors = await fetchWeights(bus, manifest);
    await load({ number: manifest.number, version: manifest.version, runId: manifest.runId, safetensors });
    log.debug({ role, version: manifest.version }, "serving new weights");
  } catch (cause) {
    log.error(
      { role, version: manifest.version, error: cause },
      "new weights could not be served; the old ones stay",
    );
  }
}

/** The weights that a manifest names, checked against its digest. */
export async function fetchWeights(bus: Bus, manifest: ModelManifest): Promise<Uint8Array> {
  const [scheme, name] = splitUri(manifest.uri);
  if (scheme === "object") return (await bus.objects("weights")).get(name, { sha256: manifest.sha256 });
  if (scheme !== "file") {
    throw new CovoteError("invalid_argument", `uri: ${manifest.uri} is neither object: nor file:`);
  }
  const bytes = await readFile(name);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  if (sha256 !== manifest.sha256) {
    throw new CovoteError("internal", `${name} has digest ${sha256}, the manifest says ${manifest.sha256}`);
  }
  return bytes;
}

function splitUri(uri: string): [scheme: string, name: string] {
  const colon = uri.indexOf(":");
  return [uri.slice(0, colon), uri.slice(colon + 1)];
}

function objectName(role: ModelRole, runId: string, number: number): string {
  return `${role}.${runId}.${number}`;
}

function ignoreMissing(thrown: unknown): void {
  const error = CovoteError.from(thrown);
  if (error.code !== "not_found") throw error;
}
