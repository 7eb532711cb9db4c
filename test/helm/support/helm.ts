/** The real helm and kubeconform of `make test-helm` on the chart of this repository. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { parse, parseAllDocuments, stringify } from "yaml";
import { packagePath } from "../../../lib/core/package-root.js";

export const chart = packagePath("charts/covote");
const tool = (name: string): string => packagePath(`.tools/bin/${name}`);
const schemas = packagePath(".tools/kubernetes-schemas");

// biome-ignore lint/suspicious/noExplicitAny: objects of many kinds, checked by kubeconform and by what the tests expect
type Loose = Record<string, any>;
/** An object of Kubernetes, as far as tests look at it. */
export type KubernetesObject = Loose & { kind: string; metadata: Loose & { name: string } };

export interface Rendering {
  /** Values files, the later ones winning. */
  values?: readonly string[];
  /** `--set`: text, number or JSON. */
  set?: Readonly<Record<string, unknown>>;
  kubernetes?: string;
  release?: string;
}

function args({ values = [], set = {}, kubernetes = "1.36.0" }: Rendering): string[] {
  return [
    ...["--kube-version", kubernetes],
    ...values.flatMap((file) => ["--values", file]),
    ...Object.entries(set).flatMap(([key, value]) => ["--set-json", `${key}=${JSON.stringify(value)}`]),
  ];
}

interface Outcome {
  code: number;
  out: string;
  err: string;
}

function run(command: string, more: readonly string[], input = ""): Outcome {
  const result = spawnSync(tool(command), more, {
    input,
    encoding: "utf8",
    maxBuffer: 256 * 1024 * 1024,
    env: { PATH: process.env.PATH, HOME: packagePath(".tools") },
  });
  if (result.error !== undefined) throw result.error;
  return { code: result.status ?? 1, out: result.stdout, err: result.stderr };
}

export function lint(rendering: Rendering): Outcome {
  return run("helm", ["lint", chart, "--strict", ...args(rendering)]);
}

export function template(rendering: Rendering): Outcome {
  const { release = "rl" } = rendering;
  return run("helm", ["template", release, chart, "--namespace", "training", ...args(rendering)]);
}

/** The objects of a rendering that must succeed. */
export function render(rendering: Rendering = {}): KubernetesObject[] {
  const { code, out, err } = template(rendering);
  if (code !== 0) throw new Error(err);
  return objectsOf(out);
}

export function objectsOf(yaml: string): KubernetesObject[] {
  return parseAllDocuments(yaml)
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object) => object !== null);
}

/** The one object of this kind and name. */
export function objectOf(objects: readonly KubernetesObject[], kind: string, name: string): KubernetesObject {
  const found = objects.filter((object) => object.kind === kind && object.metadata.name === name);
  if (found.length !== 1) {
    const there = objects.map((object) => `${object.kind}/${object.metadata.name}`).join(", ");
    throw new Error(`${kind}/${name} is there ${found.length} times; there are ${there}`);
  }
  return found[0] as KubernetesObject;
}

/** What the API server would refuse, one line each. */
export function invalidObjects(yaml: string): string[] {
  const location = `${schemas}/{{ .ResourceKind }}{{ .KindSuffix }}.json`;
  const { code, out, err } = run(
    "kubeconform",
    ["-strict", "-output", "json", "-summary", "-verbose", "-schema-location", location, "-"],
    yaml,
  );
  if (out === "") throw new Error(err);
  const { resources, summary } = JSON.parse(out) as {
    resources: { kind: string; name: string; status: string; msg: string }[];
    summary: { valid: number; skipped: number };
  };
  const bad = resources
    .filter(({ status }) => status !== "statusValid")
    .map(({ kind, name, status, msg }) => `${kind}/${name}: ${status} ${msg}`);
  if (bad.length === 0 && (code !== 0 || summary.valid !== resources.length)) throw new Error(out);
  return bad;
}

/** As an engine reads it: anchors and merges resolved; helm calls a key with a null value absent. */
export function readCompose(): Loose & { services: Record<string, Loose> } {
  const file = readFileSync(packagePath("deploy/compose.yaml"), "utf8");
  const compose = parse(file, { merge: true });
  const volumes = Object.fromEntries(Object.keys(compose.volumes).map((name) => [name, {}]));
  return { ...compose, volumes };
}

/** What helm says of values that do not keep to the chart's schema; nothing when they do. */
export function validateValues(chartFolder: string, values: object): string {
  return run("helm", ["template", "checked", chartFolder, "--values", "-"], stringify(values)).err;
}

/** covote's configuration file, parsed. */
export function configOf(objects: readonly KubernetesObject[]): Loose {
  return parse(objectOf(objects, "ConfigMap", "rl-covote-config").data["covote.yaml"]);
}

export interface PodSpec {
  object: KubernetesObject;
  pod: Loose;
}

/** All pods that covote's own objects make; those of the NATS chart are its business. */
export function podsOf(objects: readonly KubernetesObject[]): PodSpec[] {
  return objects
    .filter((object) => ["Deployment", "StatefulSet", "Job"].includes(object.kind))
    .filter((object) => object.metadata.labels?.["app.kubernetes.io/part-of"] === "covote")
    .map((object) => ({ object, pod: object.spec.template.spec }));
}
