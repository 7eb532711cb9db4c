import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { packagePath } from "../../lib/core/package-root.js";

interface Lockfile {
  packages: Record<string, { optionalDependencies?: Record<string, string>; hasInstallScript?: boolean }>;
}

const lockfile = JSON.parse(readFileSync(packagePath("package-lock.json"), "utf8")) as Lockfile;

// npm ci refuses a lockfile without them, on every machine; npm install drops those that it cannot look up.
test("the lockfile names every optional package, those of other platforms included", () => {
  const named = new Set(Object.keys(lockfile.packages).map((path) => path.replace(/^.*node_modules\//, "")));
  const wanted = Object.values(lockfile.packages).flatMap((entry) =>
    Object.keys(entry.optionalDependencies ?? {}),
  );
  expect(wanted.filter((name) => !named.has(name))).toEqual([]);
});

test("all versions in package.json are exact", () => {
  const manifest = JSON.parse(readFileSync(packagePath("package.json"), "utf8")) as Record<string, unknown>;
  const pins = ["dependencies", "devDependencies"].flatMap((kind) =>
    Object.entries((manifest[kind] ?? {}) as object),
  );
  expect(pins.length).toBeGreaterThan(5);
  expect(pins.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
});
