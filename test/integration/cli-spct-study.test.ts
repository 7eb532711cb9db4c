/** The study as its user sees it, tiny: every stage is a real command. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runProgram } from "../../cli/program.js";
import { fakeTerminal } from "../support/terminal.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "covote-study-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const study = async (...args: string[]) => {
  const terminal = fakeTerminal();
  const paths = ["--dir", join(folder, "dir"), "--out", join(folder, "out")];
  const code = await runProgram(["spct", "study", "--tiny", ...paths, ...args], terminal);
  return { code, stderr: terminal.err(), stdout: terminal.out() };
};
const read = (name: string): string => readFileSync(join(folder, "out", name), "utf8");

test("writes document, figures and plots; a second start makes nothing again that is there", async () => {
  const first = await study("--ablations", "no-rft");
  expect(first.code).toBe(0);
  expect(read("spct.md")).toContain("| RL without RFT |");
  expect(read("spct.svg")).toContain("<svg");
  expect(existsSync(join(folder, "out", "spct-rl.svg"))).toBe(true);
  const figures = JSON.parse(read("spct.json")) as {
    accuracy: Record<string, Record<string, number>>;
    seconds: Record<string, number>;
  };
  for (const judge of ["base", "rft", "rl"]) {
    for (const condition of ["greedy", "vote@1", "vote@8", "vote@32", "meta@8", "meta@32"]) {
      expect(figures.accuracy[judge]?.[condition]).toBeGreaterThan(0);
    }
  }
  const trained = join(folder, "dir", "seed-1", "rl", "model.safetensors");
  const madeAt = statSync(trained).mtimeMs;
  const second = await study("--json");
  expect(second.code).toBe(0);
  expect(statSync(trained).mtimeMs).toBe(madeAt);
  const again = JSON.parse(second.stdout) as typeof figures;
  expect(again.accuracy).toEqual(figures.accuracy);
  expect(again.seconds["seed 1: rule-based reinforcement"]).toBe(
    figures.seconds["seed 1: rule-based reinforcement"],
  );
}, 180_000);

test.each([
  [["--ablations", "no-luck"], '--ablations: must be of no-principles, .*, got "no-luck"'],
  [["--baselines", "scalar,vector"], '--baselines: must be of pick, pairwise, scalar, .*, got "vector"'],
  [["--seeds", "2", "--split"], "--seeds: must include 1"],
  [["--seeds", "one"], "--seeds: must be whole numbers"],
])("%j is refused before anything is made", async (args, message) => {
  await expect(study(...args)).rejects.toThrow(new RegExp(message));
});
