/**
 * JSON schemas for kubeconform, one per kind: `deployment-apps-v1.json`. From Kubernetes' own OpenAPI description, and
 * from the definitions of custom resources. Keys that an object does not have are refused.
 */
import { parseAllDocuments } from "yaml";

/** @typedef {Record<string, any>} Schema */

/** @param {string} kind @param {string} group @param {string} version */
function fileName(kind, group, version) {
  const short = group.split(".")[0];
  return `${[kind.toLowerCase(), ...(short ? [short] : []), version].join("-")}.json`;
}

/** @param {Schema} swagger @returns {[string, Schema][]} Of every kind that can be applied. */
export function kubernetesSchemas(swagger) {
  const definitions = Object.fromEntries(
    Object.entries(swagger.definitions).map(([name, schema]) => [name, strict(special[name] ?? schema)]),
  );
  return Object.entries(swagger.definitions).flatMap(([name, schema]) =>
    (schema["x-kubernetes-group-version-kind"] ?? [])
      .filter(() => schema.properties?.metadata?.$ref?.endsWith(".ObjectMeta"))
      .map((/** @type {{ group: string, version: string, kind: string }} */ { group, version, kind }) => [
        fileName(kind, group, version),
        { $ref: `#/definitions/${name}`, definitions: reachable(name, definitions) },
      ]),
  );
}

/** Types that JSON has no word for. @type {Record<string, Schema>} */
const special = {
  "io.k8s.apimachinery.pkg.util.intstr.IntOrString": { type: ["string", "integer"] },
  "io.k8s.apimachinery.pkg.api.resource.Quantity": { type: ["string", "number"] },
};

/** @param {string} name @param {Schema} definitions @returns {Schema} */
function reachable(name, definitions) {
  /** @type {Schema} */
  const found = {};
  const waiting = [name];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (found[next] !== undefined) continue;
    found[next] = definitions[next];
    for (const [, ref] of JSON.stringify(definitions[next]).matchAll(/"#\/definitions\/([^"]+)"/g)) {
      waiting.push(/** @type {string} */ (ref));
    }
  }
  return found;
}

/** @param {string} yaml @returns {[string, Schema][]} */
export function crdSchemas(yaml) {
  return parseAllDocuments(yaml)
    .map((document) => document.toJS())
    .filter((crd) => crd?.kind === "CustomResourceDefinition")
    .flatMap((crd) =>
      crd.spec.versions.map((/** @type {Schema} */ { name, schema }) => {
        const { properties, ...rest } = schema.openAPIV3Schema;
        const named = { ...rest, properties: { ...properties, metadata: { type: "object" } } };
        return [fileName(crd.spec.names.kind, crd.spec.group, name), strict(named)];
      }),
    );
}

/** Whole sections with named keys take no other ones; int-or-string is both. @param {any} node @returns {any} */
function strict(node) {
  if (Array.isArray(node)) return node.map(strict);
  if (node === null || typeof node !== "object") return node;
  if (node["x-kubernetes-int-or-string"] === true || node.format === "int-or-string") {
    return { type: ["string", "integer"] };
  }
  const copy = Object.fromEntries(
    Object.entries(node)
      .filter(([key, value]) => key !== "description" || typeof value !== "string")
      .map(([key, value]) => [key, strict(value)]),
  );
  const open =
    copy.additionalProperties !== undefined || node["x-kubernetes-preserve-unknown-fields"] === true;
  if (copy.properties !== undefined && !open) copy.additionalProperties = false;
  // The API server takes null for a map that is not there; the NATS chart writes such annotations.
  const isMap = copy.type === "object" && node.additionalProperties !== undefined;
  if ((node.nullable === true || isMap) && typeof copy.type === "string") copy.type = [copy.type, "null"];
  return copy;
}
