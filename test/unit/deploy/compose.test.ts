/** deploy/compose.yaml, without an engine: what it mounts is there, what it sets covote takes, and nothing is open. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { packagePath } from "../../../lib/core/package-root.js";
import { compileCovoteConfig } from "../../../lib/host/covote-config.js";

interface Service {
  image: string;
  build?: { context: string; dockerfile: string };
  command?: string[];
  environment?: Record<string, string>;
  volumes?: string[];
  ports?: string[];
  user?: string;
  cap_drop?: string[];
  security_opt?: string[];
  depends_on?: string[] | Record<string, unknown>;
  restart?: string;
}

const compose = parse(readFileSync(packagePath("deploy/compose.yaml"), "utf8"), { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, null>;
};
const services = Object.entries(compose.services);
const ours = services.filter(([, { build }]) => build !== undefined);

describe("deploy/compose.yaml", () => {
  test("runs every service of covote, each from its own main file", () => {
    for (const [name, { command, build }] of ours) {
      expect(command).toEqual([`dist/services/${name}/main.js`]);
      expect(existsSync(packagePath(`services/${name}/main.ts`))).toBe(true);
      expect(build).toEqual({ context: "..", dockerfile: "deploy/Dockerfile" });
    }
    expect(ours.map(([name]) => name)).toEqual(
      expect.arrayContaining([
        "policy-sampler",
        "grm-worker",
        "meta-rm",
        "vote-aggregator",
        "co-scaler",
        "grpo-learner",
      ]),
    );
  });

  test("covote takes what the environment sets", () => {
    for (const [, { environment = {} }] of ours) {
      const env = Object.fromEntries(
        Object.entries(environment).map(([name, value]) => [name, value.replace(/\$\{\w+:-(.*)\}/, "$1")]),
      );
      const config = compileCovoteConfig({ env });
      expect(config.nats.url).toBe("nats://nats:4222");
      expect(config.grpc.address).toBe("0.0.0.0:50051");
    }
  });

  test("what is mounted is there, read-only unless it is a volume", () => {
    for (const [name, { volumes = [] }] of services) {
      for (const volume of volumes) {
        const [source = "", , mode] = volume.split(":");
        if (source.startsWith("./")) {
          expect(existsSync(packagePath("deploy", source)), `${name}: ${source}`).toBe(true);
          expect(mode, `${name}: ${source}`).toBe("ro");
        } else expect(compose.volumes, `${name}: ${source}`).toHaveProperty(source);
      }
    }
  });

  test("listens on loopback only, without rights that it does not need, on pinned images", () => {
    for (const [name, service] of services) {
      for (const port of service.ports ?? []) expect(port, name).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
      expect(service.cap_drop, name).toEqual(["ALL"]);
      expect(service.security_opt, name).toEqual(["no-new-privileges:true"]);
      expect(service.image, name).toMatch(/^covote:\$\{COVOTE_VERSION:-latest\}$|:v?\d+\.\d+\.\d+/);
    }
  });

  test("Prometheus asks every service of covote on the port of its metrics", () => {
    const { scrape_configs: scrapes } = parse(
      readFileSync(packagePath("deploy/prometheus/prometheus.yaml"), "utf8"),
    );
    expect(scrapes[0].dns_sd_configs[0].names.toSorted()).toEqual(ours.map(([name]) => name).toSorted());
    expect(scrapes[0].dns_sd_configs[0].port).toBe(Number(ours[0]?.[1].environment?.COVOTE_METRICS_PORT));
  });
});
