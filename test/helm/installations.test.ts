/** Every installation that the values files describe: real helm, real API schemas, covote's own configuration check. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import { folder, installations, removeFolder } from "./support/features.js";
import { invalidObjects, lint, objectsOf, podsOf, template } from "./support/helm.js";

removeFolder();

describe.each(Object.entries(installations))("%s", (name, values) => {
  const { code, out, err } = template({ values });
  const objects = objectsOf(out);
  const pods = podsOf(objects);

  test("helm takes it, lint included", () => {
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const linted = lint({ values });
    expect(linted.out).toContain("1 chart(s) linted, 0 chart(s) failed");
    expect(linted.code).toBe(0);
  });

  test("every object is one that the API server knows, without a key too many", () => {
    expect(objects.length).toBeGreaterThan(15);
    expect(invalidObjects(out)).toEqual([]);
  });

  test("no object is there twice, and names are short enough", () => {
    const names = objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    expect(names.toSorted()).toEqual([...new Set(names)].toSorted());
    for (const { metadata } of objects) expect(metadata.name.length).toBeLessThanOrEqual(63);
  });

  test("covote takes the configuration file", () => {
    const config = objects.find((object) => object.kind === "ConfigMap" && object.data["covote.yaml"]);
    const file = join(folder, `covote-${name.replace(/\W/g, "-")}.yaml`);
    writeFileSync(file, config?.data["covote.yaml"]);
    const compiled = compileCovoteConfig({ file });
    expect(compiled.grpc.address).toMatch(/^0\.0\.0\.0:/);
    expect(compiled.nats.provision).toBe(false);
  });

  test("pods keep to the restricted standard, and ask for what they use", () => {
    expect(pods.length).toBeGreaterThanOrEqual(5);
    for (const { object, pod } of pods) {
      const at = object.metadata.name;
      expect(pod.securityContext, at).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: "RuntimeDefault" },
      });
      expect(pod.securityContext.runAsUser, at).toBeGreaterThan(0);
      expect([pod.hostNetwork, pod.hostPID, pod.hostIPC], at).toEqual([undefined, undefined, undefined]);
      for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
        const where = `${at}/${container.name}`;
        expect(container.securityContext, where).toMatchObject({
          allowPrivilegeEscalation: false,
          capabilities: { drop: ["ALL"] },
        });
        expect(container.resources.requests, where).toBeDefined();
        expect(
          container.ports?.map(({ hostPort }: { hostPort?: number }) => hostPort) ?? [],
          where,
        ).not.toContain(expect.any(Number));
      }
      const kinds = pod.volumes.flatMap(({ name: _, ...source }: { name: string }) => Object.keys(source));
      const allowed = [
        "configMap",
        "secret",
        "emptyDir",
        "persistentVolumeClaim",
        "ephemeral",
        "csi",
        "projected",
      ];
      expect(
        kinds.filter((kind: string) => !allowed.includes(kind)),
        at,
      ).toEqual([]);
      const [own] = pod.containers;
      expect(own.securityContext.readOnlyRootFilesystem, at).toBe(true);
      for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"]) {
        expect(own[probe].httpGet.port, `${at} ${probe}`).toBe("metrics");
      }
      // A node or the API server that is away must not end a pod: only the process itself is asked.
      expect(own.livenessProbe.httpGet.path, at).toBe("/healthz");
    }
  });

  test("NATS, too, would be let into a namespace that enforces the restricted standard", () => {
    for (const nats of objects.filter(({ kind }) => kind === "StatefulSet")) {
      const { spec } = nats.spec.template;
      expect(spec.securityContext).toMatchObject({
        ...{ runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: "RuntimeDefault" } },
      });
      for (const container of spec.containers) {
        expect(container.securityContext, container.name).toMatchObject({
          ...{ allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
        });
      }
    }
  });

  test("nobody has a token of the API server but the co-scaler", () => {
    for (const { object, pod } of pods) {
      const scales = pod.serviceAccountName.endsWith("-co-scaler");
      expect(pod.automountServiceAccountToken, object.metadata.name).toBe(scales);
    }
  });

  test("what a pod mounts is there: every mount has its volume", () => {
    for (const { object, pod } of pods) {
      const volumes = pod.volumes.map((volume: { name: string }) => volume.name);
      for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
        for (const mount of container.volumeMounts) {
          expect(volumes, `${object.metadata.name}/${container.name}`).toContain(mount.name);
        }
      }
    }
  });
});
