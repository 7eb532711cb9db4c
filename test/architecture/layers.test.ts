import { describe, expect, test } from "vitest";
import { packagePath } from "../../lib/core/package-root.js";
import { readSources, toSource } from "./import-graph.js";
import {
  cycles,
  danglingImports,
  environmentViolations,
  generatedCodeViolations,
  layerViolations,
} from "./layer-rules.js";

describe("the sources", () => {
  // The kernels are AssemblyScript: another language, compiled by itself.
  const sources = readSources(packagePath(), ["lib", "services", "worlds", "cli", "deploy"]).filter(
    ({ path }) => !path.startsWith("lib/llama/kernels/"),
  );

  test("are found, with their imports", () => {
    expect(sources.length).toBeGreaterThan(50);
    expect(sources.flatMap(({ imports }) => imports).length).toBeGreaterThan(100);
    expect(danglingImports(sources)).toEqual([]);
  });
  test("import only from layers to their left", () => expect(layerViolations(sources)).toEqual([]));
  test("have no import cycles, type-only imports included", () => expect(cycles(sources)).toEqual([]));
  test("keep generated code at the edge", () => expect(generatedCodeViolations(sources)).toEqual([]));
  test("read the environment only in main files", () => expect(environmentViolations(sources)).toEqual([]));
});

describe("the checker", () => {
  const importing = (path: string, ...specifiers: string[]) =>
    toSource(path, specifiers.map((specifier) => `import { x } from "${specifier}";`).join("\n"));

  test("lets a folder import itself and layers to its left", () => {
    const fine = [
      importing("lib/grm/a.ts", "../core/errors.js", "./b.js"),
      importing(
        "services/grm-worker/main.ts",
        "../../lib/host/host.js",
        "../../lib/core/ids.js",
        "./service.js",
      ),
      importing("cli/main.ts", "../services/grm-worker/service.js", "../worlds/postcards/oracle.js"),
    ];
    expect(layerViolations(fine)).toEqual([]);
  });
  test("refuses an import to the right", () => {
    expect(layerViolations([importing("lib/core/a.ts", "../grm/b.js")])).toEqual([
      "lib/core/a.ts: imports lib/grm/b.ts, but for lib/core the folder lib/grm is not in a layer to its left",
    ]);
  });
  test("refuses siblings: libraries, worlds and processes", () => {
    const siblings = [
      importing("lib/grm/a.ts", "../tally/b.js"),
      importing("lib/bus/a.ts", "../host/b.js"),
      importing("lib/grm/w.ts", "../../worlds/postcards/b.js"),
      importing("services/meta-rm/a.ts", "../grm-worker/b.js"),
    ];
    const found = layerViolations(siblings);
    expect(found).toHaveLength(4);
    for (const line of found) expect(line).toMatch(/is a sibling$/);
  });
  test("refuses a folder that no layer knows, and imports from tests", () => {
    expect(layerViolations([importing("lib/misc/a.ts")])).toEqual([
      "lib/misc/a.ts: lib/misc is in no layer; add it to the layers of the design",
    ]);
    expect(layerViolations([importing("lib/grm/a.ts", "../../test/support/b.js")])).toHaveLength(1);
  });

  test.each([
    ["a type import", `import type { B } from "./b.js";`],
    ["an import over several lines", `import {\n  one,\n  type Two,\n} from "./b.js";`],
    ["a re-export", `export { b } from "./b.js";`],
    ["a star re-export", `export * from "./b.js";`],
    ["a dynamic import", `const b = await import("./b.js");`],
    ["an import for its effect", `import "./b.js";`],
    ["the file of a worker", `new Worker(new URL("./b.js", import.meta.url));`],
  ])("sees %s", (_form, code) => {
    expect(toSource("lib/core/a.ts", code).imports).toEqual(["lib/core/b.ts"]);
  });
  test("does not see imports in comments, nor packages", () => {
    const code = `// import { x } from "./x.js";\n/* import "./y.js"; */\nimport { z } from "zod";\nconst url = "http://a//b";`;
    expect(toSource("lib/core/a.ts", code).imports).toEqual([]);
  });

  test("finds cycles of any length, once each", () => {
    const graph = [
      importing("lib/core/a.ts", "./b.js"),
      importing("lib/core/b.ts", "./c.js"),
      toSource("lib/core/c.ts", `import type { A } from "./a.js";`),
      importing("lib/core/d.ts", "./a.js"),
      importing("lib/core/e.ts", "./e.js"),
    ];
    expect(cycles(graph)).toEqual([
      "import cycle: lib/core/a.ts ↔ lib/core/b.ts ↔ lib/core/c.ts",
      "import cycle: lib/core/e.ts",
    ]);
    expect(cycles(graph.filter(({ path }) => path !== "lib/core/b.ts" && path !== "lib/core/e.ts"))).toEqual(
      [],
    );
  });
  test("finds generated code in the interior", () => {
    const specifier = "../wire/gen/covote/v1/common.js";
    expect(generatedCodeViolations([importing("lib/engine/a.ts", specifier)])).toHaveLength(1);
    expect(generatedCodeViolations([importing("lib/host/a.ts", specifier)])).toEqual([]);
  });
  test("finds reads of the environment below main files", () => {
    const reading = (path: string) => toSource(path, "const home = process.env.HOME; // process.env");
    expect(environmentViolations([reading("lib/bus/a.ts"), reading("services/x/service.ts")])).toHaveLength(
      2,
    );
    expect(environmentViolations([reading("cli/main.ts"), reading("services/x/main.ts")])).toEqual([]);
    expect(environmentViolations([toSource("lib/bus/a.ts", "// process.env is for main files")])).toEqual([]);
  });
  test("finds imports of files that are not there", () => {
    expect(danglingImports([importing("lib/core/a.ts", "./gone.js")])).toEqual([
      "lib/core/a.ts: imports lib/core/gone.ts, which is not there",
    ]);
  });
});
