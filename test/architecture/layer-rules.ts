/**
 * The rules of the import graph. Pure: sources in, one line per violation out.
 *
 * - A folder imports itself and folders of layers to its left; siblings of a layer never import each other.
 * - No import cycles between files, type-only imports included.
 * - Generated wire code stays at the edge: lib/wire, lib/bus, lib/host, lib/runtime, services and cli.
 * - Only main files and the command line read the environment.
 */
import type { SourceFile } from "./import-graph.js";

export const layers: readonly (readonly string[])[] = [
  ["lib/core"],
  ["lib/grm", "lib/tally", "lib/grpo", "lib/scaling", "lib/actor", "worlds/*"],
  ["lib/spct"],
  ["lib/evaluation"],
  ["lib/wire", "lib/llama"],
  ["lib/engine", "lib/trainer"],
  ["lib/bus", "lib/host"],
  ["lib/runtime", "lib/sampling"],
  ["services/*"],
  ["cli"],
  ["deploy"],
];

const generated = "lib/wire/gen/";
const mayImportGenerated = [
  "lib/wire",
  "lib/bus",
  "lib/host",
  "lib/runtime",
  "lib/sampling",
  "services/",
  "cli",
];

/** The folder that is a unit of the layers: `lib/core`, `services/grm-worker`, `cli`. */
export function folderOf(path: string): string {
  const [top, second] = path.split("/") as [string, string];
  return top === "lib" || top === "services" || top === "worlds" ? `${top}/${second}` : top;
}

/** -1 for a folder that is in no layer. */
export function layerOf(folder: string): number {
  return layers.findIndex((names) => names.some((name) => name === folder || matches(name, folder)));
}

function matches(pattern: string, folder: string): boolean {
  return pattern.endsWith("/*") && folder.startsWith(pattern.slice(0, -1));
}

export function layerViolations(sources: readonly SourceFile[]): string[] {
  return sources.flatMap(({ path, imports }) => {
    const from = folderOf(path);
    const layer = layerOf(from);
    if (layer < 0) return [`${path}: ${from} is in no layer; add it to the layers of the design`];
    return imports.flatMap((target) => {
      const to = folderOf(target);
      if (to === from || (layerOf(to) >= 0 && layerOf(to) < layer)) return [];
      const why = layerOf(to) === layer ? "a sibling" : "not in a layer to its left";
      return [`${path}: imports ${target}, but for ${from} the folder ${to} is ${why}`];
    });
  });
}

export function generatedCodeViolations(sources: readonly SourceFile[]): string[] {
  return sources.flatMap(({ path, imports }) =>
    imports
      .filter((target) => target.startsWith(generated))
      .filter(() => !mayImportGenerated.some((allowed) => folderOf(path).startsWith(allowed)))
      .map(
        (target) => `${path}: imports ${target}; generated messages stay in ${mayImportGenerated.join(", ")}`,
      ),
  );
}

export function environmentViolations(sources: readonly SourceFile[]): string[] {
  return sources
    .filter(({ path }) => !path.startsWith("cli/") && !/^services\/[^/]+\/main\.ts$/.test(path))
    .filter(({ text }) => /\bprocess\s*\.\s*env\b|\bprocess\s*\[\s*["']env["']/.test(text))
    .map(({ path }) => `${path}: reads process.env; take it as an argument from the main file`);
}

/** Imports of files that are not there. */
export function danglingImports(sources: readonly SourceFile[]): string[] {
  const known = new Set(sources.map(({ path }) => path));
  return sources.flatMap(({ path, imports }) =>
    imports
      .filter((target) => target.endsWith(".ts") && !known.has(target))
      .map((target) => `${path}: imports ${target}, which is not there`),
  );
}

/** One line per group of files that import each other in a circle (strongly connected components, Tarjan). */
export function cycles(sources: readonly SourceFile[]): string[] {
  const importsOf = new Map(sources.map(({ path, imports }) => [path, imports]));
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[] = [];

  function visit(path: string): void {
    order.set(path, order.size);
    low.set(path, order.get(path) as number);
    stack.push(path);
    for (const target of importsOf.get(path) ?? []) {
      if (!importsOf.has(target)) continue;
      if (!order.has(target)) visit(target);
      if (stack.includes(target)) low.set(path, Math.min(low.get(path) as number, low.get(target) as number));
    }
    if (low.get(path) !== order.get(path)) return;
    const component = stack.splice(stack.indexOf(path)).sort();
    const itself = importsOf.get(path)?.includes(path) === true;
    if (component.length > 1 || itself) found.push(`import cycle: ${component.join(" ↔ ")}`);
  }

  for (const { path } of sources) if (!order.has(path)) visit(path);
  return found.sort();
}
