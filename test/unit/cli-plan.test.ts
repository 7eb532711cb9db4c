import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { planCommand } from "../../cli/plan/command.js";
import type { Terminal } from "../../cli/terminal.js";

/** Runs `covote plan` with the words; what it wrote. */
function plan(...words: string[]): string {
  let written = "";
  const stdout = {
    write: (text: string | Uint8Array): boolean => {
      written += String(text);
      return true;
    },
  };
  planCommand({ stdout } as unknown as Terminal)
    .exitOverride()
    .parse(words, { from: "user" });
  return written;
}

test("the split makes the steps per hour that its slowest stage makes", () => {
  // A step is 1,000 responses of 100 tokens and, at one vote per panel of 1, 1,000 votes of 100. Full replicas make
  // 1,000 tokens a second, so both stages take about 100 replica-seconds: ten GPUs are 4 and 5 beside a meta RM.
  const words = ["--gpus", "10", "--group-size", "10", "--groups", "100", "--panel", "1", "--k", "1"];
  const lengths = ["--response-tokens", "100", "--vote-tokens", "100", "--prompt-tokens", "1"];
  const speeds = [
    "--policy-tokens-per-s",
    "1000",
    "--grm-tokens-per-s",
    "1000",
    "--meta-tokens-per-s",
    "1000000",
  ];
  const answer = JSON.parse(plan(...words, ...lengths, ...speeds, "--learner-step-s", "1", "--json"));
  expect(answer.replicas.policy + answer.replicas.grm).toBe(9);
  expect(answer.steps_per_hour).toBeGreaterThan(0.85 * ((4 * 3600) / 100));
  expect(answer.steps_per_hour).toBeLessThan((4.5 * 3600) / 100);
  expect(answer.simulated_steps_per_hour).toBeGreaterThan(0.6 * answer.steps_per_hour);
});

test("more votes take GPUs from the policy and cost steps", () => {
  const { by_votes: byVotes } = JSON.parse(plan("--gpus", "64", "--json"));
  const steps = byVotes.map((each: { steps_per_hour: number }) => each.steps_per_hour);
  expect(steps).toEqual([...steps].sort((a, b) => b - a));
  expect(byVotes.at(-1).replicas.policy).toBeLessThan(byVotes[0].replicas.policy);
});

test("a learner that is the limit makes votes free", () => {
  const { free_votes: free, limit } = JSON.parse(plan("--gpus", "64", "--learner-step-s", "600", "--json"));
  expect(limit).toBe("learner");
  expect(free).toBeGreaterThanOrEqual(8);
});

test("a run folder gives lengths and sizes, and flags win over it", () => {
  const folder = mkdtempSync(join(tmpdir(), "covote-plan-"));
  const config = { training: { groupSize: 4, groupsPerStep: 12 }, judging: { votes: 6, panelLimit: 2 } };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  writeFileSync(
    join(folder, "metrics.jsonl"),
    '{"response_tokens_mean":300}\n{"response_tokens_mean":500}\n',
  );
  const { inputs } = JSON.parse(plan("--gpus", "8", "--run", folder, "--groups", "20", "--json"));
  expect(inputs).toMatchObject({ responseTokens: 400, groupSize: 4, groupsPerStep: 20, k: 6, panelSize: 2 });
  const file = join(folder, "plan.svg");
  expect(plan("--gpus", "8", "--run", folder, "--plot", file)).toContain("steps per hour");
  expect(readFileSync(file, "utf8")).toMatch(/^<svg/);
});

test.each([
  [[], "--gpus: is missing; say how many GPUs there are"],
  [["--gpus", "many"], '--gpus: must be a whole number from 1 to 4096, got "many"'],
  [["--gpus", "2"], "--gpus: must be at least 3, one replica of each pool, got 2"],
  [["--gpus", "8", "--k", "0"], '--k: must be a whole number from 1 to 256, got "0"'],
  [
    ["--gpus", "8", "--run", "/nowhere"],
    "--run: /nowhere is no run folder: it holds no readable config.json",
  ],
  [["--gpus", "8", "--plot", "/nowhere/p.svg"], "--plot: cannot write /nowhere/p.svg (ENOENT)"],
])("%j is refused in one line", (words, message) => {
  expect(() => plan(...words)).toThrow(message);
});
