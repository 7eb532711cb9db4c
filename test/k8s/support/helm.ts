/** The real helm on the control plane of a test. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { packagePath } from "../../../lib/core/package-root.js";
import type { ControlPlane } from "./control-plane.js";

export interface HelmResult {
  code: number | null;
  /** Standard output and error. */
  output: string;
}

export const chartPath = packagePath("charts", "covote");
export const valuesFile = packagePath("test", "k8s", "values.yaml");

export function helm(plane: ControlPlane, args: readonly string[]): Promise<HelmResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(packagePath(".tools", "bin", "helm"), args, {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 180_000,
      env: { PATH: process.env.PATH, HOME: join(plane.dir, "helm"), KUBECONFIG: plane.kubeconfig },
    });
    let output = "";
    const keep = (chunk: Buffer): void => {
      output += chunk.toString();
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.once("error", (cause) => reject(new Error(`helm: ${cause.message}; make test-k8s builds it`)));
    child.once("close", (code) => resolve({ code, output }));
  });
}

/** As the tests install it; further arguments win. Throws what helm says when it fails. */
export async function installCovote(
  plane: ControlPlane,
  options: { namespace: string; natsUrl: string; args?: readonly string[] },
): Promise<void> {
  const { namespace, natsUrl, args = [] } = options;
  const given = ["-n", namespace, "-f", valuesFile, "--set", `bus.url=${natsUrl}`, ...args];
  const { code, output } = await helm(plane, ["install", "covote", chartPath, ...given]);
  if (code !== 0) throw new Error(`helm install: ${output}`);
}
