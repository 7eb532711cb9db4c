/** Values files that tests render: those of helm/, and one for each way of doing things that they leave out. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { stringify } from "yaml";
import { makeKeys } from "../../../cli/nats/keys.js";
import { packagePath } from "../../../lib/core/package-root.js";

export const folder = mkdtempSync(join(tmpdir(), "covote-helm-"));
export const removeFolder = (): void => afterAll(() => rmSync(folder, { recursive: true, force: true }));

export const keys = makeKeys(join(folder, "keys"), "covote-nats-seeds");
export const keyValues = join(folder, "keys", "values.yaml");

export function values(name: string, content: object): string {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, stringify(content));
  return file;
}

/** Values files by what they are for. */
export const installations: Readonly<Record<string, readonly string[]>> = {
  "no values": [],
  "a laptop": [packagePath("helm/values-laptop.yaml")],
  "8 GPUs": [packagePath("helm/values-8-gpus.yaml")],
  "256 GPUs": [packagePath("helm/values-256-gpus.yaml"), keyValues],
  "a NATS that is there, engines elsewhere": [
    values("elsewhere", {
      nats: { enabled: false },
      bus: {
        url: "tls://nats.messaging:4222",
        replicas: 3,
        auth: { enabled: true, existingSecret: "seeds" },
        tls: { existingSecret: "nats-tls", clientCertificate: true },
      },
      engine: { url: "http://vllm.models:8000", model: "grm" },
      grmWorker: { engine: { mode: "endpoint" } },
      policySampler: { engine: { mode: "endpoint", model: "policy", url: "https://policy.example/base" } },
      metaRm: { enabled: false },
      config: { metaRm: { keep: 0 } },
      networkPolicy: {
        enabled: true,
        extraEgress: [{ ports: [{ port: 4222 }, { port: 8000 }] }],
        grpcFrom: [{ namespaceSelector: { matchLabels: { team: "rl" } } }],
      },
      grpc: { tls: { enabled: true, existingSecret: "grpc-tls", clientVerification: false } },
    }),
  ],
  "a co-scaler that KEDA asks": [
    values("keda", {
      coScaler: { enabled: true, keda: { enabled: true } },
      http: { enabled: true },
      networkPolicy: { enabled: true },
    }),
  ],
  "claims for GPUs, volumes and everything of one's own": [
    values("own", {
      fullnameOverride: "mine",
      commonLabels: { team: "rl" },
      image: {
        repository: "registry.example/covote",
        digest: `sha256:${"0".repeat(64)}`,
        pullSecrets: ["pull"],
      },
      gpu: {
        dra: { enabled: true, selectors: ['device.attributes["gpu.nvidia.com"].architecture == "Hopper"'] },
      },
      engine: {
        model: "/models/grm",
        hubTokenSecret: "hub",
        cacheVolume: { persistentVolumeClaim: { claimName: "cache" } },
      },
      modelsVolume: { persistentVolumeClaim: { claimName: "models" } },
      grmWorker: {
        engine: {
          mode: "sidecar",
          gpus: 2,
          command: ["python3", "-m", "sglang.launch_server"],
          args: ["--port", "8000"],
        },
      },
      metaRm: { engine: { mode: "sidecar", gpus: 0, image: "engine:cpu" } },
      pods: {
        nodeSelector: { pool: "cpu" },
        tolerations: [{ key: "dedicated", operator: "Exists" }],
        annotations: { note: "text" },
        labels: { cost: "rl" },
        preStopSeconds: 0,
      },
      voteAggregator: {
        service: { type: "LoadBalancer", annotations: { internal: "true" } },
        env: [{ name: "A", value: "b" }],
      },
      grpoLearner: { persistence: { accessMode: "ReadWriteOncePod", storageClassName: "fast" } },
      priorityClasses: { create: true },
      monitoring: { podMonitor: { enabled: true, labels: { release: "prometheus" } } },
    }),
  ],
};
