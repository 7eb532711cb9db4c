/**
 * What the chart renders, running: the commands, environments, configuration and NATS permissions of its pods as processes
 * of this machine, over a real nats-server, with users of NATS and mutual TLS.
 */
import { type ChildProcess, fork } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { packagePath } from "../../lib/core/package-root.js";
import { noOpenssl, selfSigned } from "../support/certificates.js";
import { startNats, type TestNats } from "../support/nats.js";
import { covote } from "../support/terminal.js";
import { folder, keyValues, removeFolder, values } from "./support/features.js";
import { configOf, type KubernetesObject, objectOf, podsOf, render } from "./support/helm.js";

removeFolder();

interface Ready {
  grpc: string | null;
  metrics: string;
}

describe.skipIf(noOpenssl !== undefined)(
  "the pods of an installation with users of NATS and mutual TLS",
  () => {
    const certificates = join(folder, "grpc-tls");
    const children: ChildProcess[] = [];
    let nats: TestNats;
    let objects: KubernetesObject[];

    beforeAll(async () => {
      objects = render({
        values: [
          values("running", {
            grpc: { tls: { enabled: true, existingSecret: "grpc-tls" } },
            grpoLearner: { enabled: false },
            policySampler: { enabled: false },
          }),
          keyValues,
        ],
      });
      mkdirSync(certificates);
      const { cert } = selfSigned(certificates, "tls");
      copyFileSync(cert, join(certificates, "ca.crt"));
      nats = await startNats({
        extraConfig: [objectOf(objects, "ConfigMap", "rl-covote-nats-auth").data["auth.conf"]],
      });
    });
    afterAll(async () => {
      for (const child of children) child.kill("SIGKILL");
      await nats[Symbol.asyncDispose]();
    });

    /** The container of the pod as a process: paths of its mounts are those of files here, ports are free ones. */
    function start(service: string): Promise<Ready> {
      const { pod } = podsOf(objects).find(
        ({ object }) => object.metadata.labels["app.kubernetes.io/component"] === service,
      ) as ReturnType<typeof podsOf>[number];
      const [{ command, args, env }] = pod.containers;
      const config = configOf(objects);
      config.nats.url = nats.url;
      config.nats.nkeySeedFile = join(folder, "keys", `${service}.nk`);
      for (const [name, path] of Object.entries<string>(config.grpc.tls)) {
        config.grpc.tls[name] = path.replace("/etc/covote-grpc-tls", certificates);
      }
      config.grpc.address = "127.0.0.1:0";
      config.metrics = { host: "127.0.0.1", port: 0 };
      const file = join(folder, `running-${service}.yaml`);
      writeFileSync(file, stringify(config));
      expect(command).toEqual(["node"]);
      const [main, ...more] = (args as string[]).map((arg) =>
        arg.replace("/etc/covote/covote.yaml", file).replace("$(POD_NAME)", `${service}-0`),
      ) as [string, ...string[]];
      const variables = (env as { name: string; value?: string }[])
        .filter(({ value }) => value !== undefined)
        .map(({ name, value }) => [name, value]);
      const child = fork(packagePath(main), more, {
        env: { ...Object.fromEntries(variables), PATH: process.env.PATH },
        stdio: ["ignore", "ignore", "pipe", "ipc"],
      });
      children.push(child);
      return new Promise((resolve, reject) => {
        let said = "";
        child.stderr?.on("data", (data) => {
          said += data;
        });
        child.on("message", (message: { ready?: Ready }) => message.ready && resolve(message.ready));
        child.once("exit", (code) => reject(new Error(`${service} ended with ${code}: ${said}`)));
      });
    }

    test("start, say that they are ready, reward a caller with a certificate, and drain", async () => {
      const services = ["vote-aggregator", "grm-worker", "meta-rm", "nats-steward"];
      expect(podsOf(objects)).toHaveLength(services.length);
      const started = await Promise.all(services.map(start));
      for (const { metrics } of started) {
        for (const path of ["healthz", "readyz", "metrics"]) {
          expect((await fetch(`http://${metrics}/${path}`)).status).toBe(200);
        }
      }
      const address = started[0]?.grpc ?? "";
      const asking = [
        "score",
        "--address",
        address,
        "--json",
        "--votes",
        "2",
        "--query",
        "query to aunt from sea be thanks .",
      ];
      const responses = ["--response", "dear aunt shells thanks", "--response", "hey"];
      const tls = ["--tls-ca", join(certificates, "ca.crt")];
      const own = ["--tls-cert", join(certificates, "tls.crt"), "--tls-key", join(certificates, "tls.key")];
      const scored = await covote([...asking, ...responses, ...tls, ...own]);
      expect(scored.code, scored.err).toBe(0);
      const { rewards } = JSON.parse(scored.out) as { rewards: { value: number | null }[] };
      expect(rewards.map(({ value }) => typeof value)).toEqual(["number", "number"]);
      expect(await covote([...asking, ...responses, ...tls])).toMatchObject({ code: 2, out: "" });

      const ended = children.map(
        (child) => new Promise((resolve) => child.once("exit", (code, signal) => resolve(signal ?? code))),
      );
      for (const child of children) child.kill("SIGTERM");
      expect(await Promise.all(ended)).toEqual([0, 0, 0, 0]);
    });
  },
);
