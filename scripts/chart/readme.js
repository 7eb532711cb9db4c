/** The table of values in the chart's README, from values.yaml: its keys, defaults and comments that begin with "# --". */
import { isMap, isScalar, parseDocument } from "yaml";

/** @typedef {{ path: string, value: string, text: string }} Row */

/**
 * @param {string} source values.yaml
 * @param {Record<string, any>} schema The values' schema, for keys without a comment of their own.
 * @returns {string} Markdown.
 */
export function valuesTable(source, schema) {
  const rows = walk(parseDocument(source).contents, "", "", schema);
  const missing = rows.filter(({ text }) => text === "").map(({ path }) => path);
  if (missing.length > 0) throw new Error(`values.yaml: nothing is said about ${missing.join(", ")}`);
  const lines = rows.map(({ path, value, text }) => `| \`${path}\` | ${value} | ${text} |`);
  return ["| key | default | |", "|---|---|---|", ...lines].join("\n");
}

/**
 * @param {unknown} node @param {string} path @param {string} inherited @param {any} schema
 * @returns {Row[]}
 */
function walk(node, path, inherited, schema) {
  // What is below is the NATS chart's.
  const closed = path.startsWith("nats.") && path !== "nats.enabled";
  if (closed) return [];
  // What Kubernetes or a map of words says itself is shown as one value.
  const inside = path === "" || path === "nats" || schema?.properties !== undefined;
  if (!isMap(node) || node.items.length === 0 || !inside) {
    const value = node === null ? "" : JSON.stringify(/** @type {any} */ (node).toJSON());
    return [
      { path, value: `\`${value.replaceAll("|", "\\|")}\``, text: inherited || (schema?.description ?? "") },
    ];
  }
  /** @type {Row[]} */
  const rows = [];
  // The comment of the first key belongs to the map in the library's eyes.
  let above = node.commentBefore ?? "";
  for (const { key, value } of node.items) {
    const name = isScalar(key) ? String(key.value) : String(key);
    const said = saidIn(`${above}\n${/** @type {any} */ (key).commentBefore ?? ""}`);
    above = "";
    const at = path === "" ? name : `${path}.${name}`;
    const inner = walk(value, at, said, schema?.properties?.[name]);
    // A section's own sentence gets a line of its own.
    const isSection = inner.length !== 1 || inner[0]?.path !== at;
    if (isSection && said !== "") rows.push({ path: at, value: "", text: said });
    rows.push(...inner);
  }
  return rows;
}

/** @param {string} comment */
function saidIn(comment) {
  const start = comment.lastIndexOf(" -- ");
  return start < 0
    ? ""
    : comment
        .slice(start + 4)
        .split("\n")
        .map((line) => line.trim())
        .join(" ")
        .replaceAll("|", "\\|")
        .trim();
}
