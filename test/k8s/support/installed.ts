/**
 * Services of an installed chart, running: for each pod of a component the real process with the chart's own
 * configuration, of which only what a process beside the cluster cannot have is changed: addresses.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { packagePath } from "../../../lib/core/package-root.js";
import type { ControlPlane } from "./control-plane.js";
import { type PodProcesses, runPodProcesses } from "./pod-processes.js";

/** As much of the configuration as tests change. */
export interface InstalledConfig {
  nats: Record<string, unknown>;
  metrics: Record<string, unknown>;
  grpc: Record<string, unknown>;
  scaling: Record<string, unknown> & {
    budgetGpus: number;
    pools: Record<string, { name: string; min: number; max: number }>;
    kubernetes: Record<string, unknown>;
  };
}

export interface Installed {
  /** Of configurations and logs. */
  readonly dir: string;
  /** Writes a configuration as the pods of the component `name` have it, changed; the path. */
  writeConfig(name: string, change?: (config: InstalledConfig) => void): string;
  /** `change` is told the pod; `main`: another process than the service of that name. */
  run(
    component: string,
    options?: { change?: (config: InstalledConfig, pod: string) => void; main?: string },
  ): Promise<PodProcesses>;
}

export async function openInstalled(
  plane: ControlPlane,
  options: { namespace: string; natsUrl: string },
): Promise<Installed> {
  const { kube } = plane;
  const { namespace, natsUrl } = options;
  const dir = join(plane.dir, "services");
  mkdirSync(dir, { recursive: true });
  const { data } = await kube.get(`/api/v1/namespaces/${namespace}/configmaps/covote-config`);
  const text = data["covote.yaml"] as string;

  const writeConfig: Installed["writeConfig"] = (name, change) => {
    const config = parse(text) as InstalledConfig;
    config.nats.url = natsUrl;
    config.metrics = { host: "127.0.0.1", port: 0 };
    config.grpc.address = "127.0.0.1:0";
    change?.(config);
    const file = join(dir, `${name}.json`);
    writeFileSync(file, JSON.stringify(config, null, 2), { mode: 0o600 });
    return file;
  };
  return {
    dir,
    writeConfig,
    run: (component, { change, main } = {}) =>
      runPodProcesses({
        ...{ kube, namespace, logDir: dir },
        selector: `app.kubernetes.io/component=${component}`,
        command: ({ metadata: { name } }) => ({
          command: process.execPath,
          args: [
            main ?? packagePath("dist", "services", component, "main.js"),
            ...["--config", writeConfig(name, (config) => change?.(config, name)), "--id", name],
          ],
        }),
      }),
  };
}

/** Of the chart: nobody but the steward may make streams and buckets. */
export function runSteward(installed: Installed): Promise<PodProcesses> {
  return installed.run("nats-steward", {
    change: ({ nats }) => {
      nats.provision = true;
    },
  });
}
