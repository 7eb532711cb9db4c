/** Every way to ask for something impossible: one line that names it and the fix, exit code 2, nothing written. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { saveCheckpoint } from "../../lib/llama/checkpoint.js";
import { type ModelFolders, writePostcardsModels } from "../support/postcards-models.js";
import { covote, fakeTerminal } from "../support/terminal.js";
import { tinyCheckpoint } from "../support/tiny-llama.js";

const folder = mkdtempSync(join(tmpdir(), "covote-bad-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...parts: string[]): string => join(folder, ...parts);
let models: ModelFolders;
beforeAll(async () => {
  models = await writePostcardsModels(at("models"));
  await saveCheckpoint(at("strange"), tinyCheckpoint(), { dtype: "float32" });
  writeFileSync(at("latin1.yaml"), Buffer.from("# caf\xe9\n", "latin1"));
  writeFileSync(at("unknown.yaml"), "judging: {votes: 4, votess: 5}\n");
  writeFileSync(at("broken.yaml"), "judging: [\n");
  writeFileSync(at("list.yaml"), "- 1\n");
  writeFileSync(at("queries.jsonl"), '{"query":"a"}\n{"quary":"b"}\n');
  writeFileSync(at("latin1.jsonl"), Buffer.from('{"query":"caf\xe9"}\n', "latin1"));
  writeFileSync(at("empty.jsonl"), "\n");
  writeFileSync(at("groups.jsonl"), '{"query":"a","responses":[]}\n');
});

/** Ports that nobody has to share, and models that are there. */
const sound = (): string[] => [
  ...["--set", "grpc.address=127.0.0.1:0", "--set", "metrics.port=0"],
  ...models.flags,
];
const group = ["--query", "q", "--response", "a"];

/** What each command writes to, and the arguments that make it run. */
const runs: Record<string, { args: string[]; writes: string }> = {
  up: { args: ["--data", at("up-data")], writes: at("up-data") },
  train: { args: ["--out", at("runs")], writes: at("runs") },
  score: { args: group, writes: at("nothing") },
};

async function refused(args: string[], env: Record<string, string> = {}): Promise<string> {
  const { code, out, err } = await covote(args, fakeTerminal({ env }));
  expect(err).toMatch(/^covote: [^\n]+\n$/);
  expect(err).not.toMatch(/internal error|\bat .*:\d+:\d+/);
  expect([code, out]).toEqual([2, ""]);
  return err.slice("covote: ".length, -1);
}

describe.each(Object.keys(runs))("covote %s", (name) => {
  const { args, writes } = runs[name] as { args: string[]; writes: string };
  const settings: [what: string, flags: () => string[], line: string | RegExp][] = [
    [
      "an unknown key",
      () => ["--set", "judging.vots=3"],
      "judging.vots: unknown key; did you mean judging.votes?",
    ],
    [
      "k < 1",
      () => ["--set", "judging.votes=0"],
      "judging.votes: must be at least 1, got 0 (from the command line)",
    ],
    [
      "k_meta > k",
      () => ["--set", "metaRm.keep=9"],
      "metaRm.keep: must be at most judging.votes (4), got 9 (from the command line)",
    ],
    ["text for a number", () => ["--set", "judging.votes=many"], /^judging\.votes: must be .*, got "many"/],
    ["no address", () => ["--set", "grpc.address=nowhere"], /^grpc\.address: must be host:port/],
    ["an unknown grammar", () => ["--set", "grm.grammar=haiku"], /^grm\.grammar: must be one of/],
    [
      "a file that is not there",
      () => ["--config", at("none.yaml")],
      `--config ${at("none.yaml")}: no such file`,
    ],
    [
      "a file that is not UTF-8",
      () => ["--config", at("latin1.yaml")],
      `--config ${at("latin1.yaml")}: must be UTF-8 text`,
    ],
    [
      "an unknown key in a file",
      () => ["--config", at("unknown.yaml")],
      /^judging\.votess: unknown key; did you mean judging\.votes\?/,
    ],
    ["a broken file", () => ["--config", at("broken.yaml")], /^--config .*broken\.yaml: line \d+: /],
    [
      "a file that is a list",
      () => ["--config", at("list.yaml")],
      /^--config .*list\.yaml: must hold sections/,
    ],
    [
      "a GRM that is not there",
      () => ["--set", `grm.checkpoint=${at("none")}`],
      `grm.checkpoint: ${at("none", "config.json")}: no such file; give the folder of a Hugging Face Llama checkpoint`,
    ],
    [
      "a GRM of another vocabulary",
      () => ["--set", `grm.checkpoint=${at("strange")}`],
      /^grm\.checkpoint: .*does not know the words .* of grm\.grammar postcards; give/,
    ],
    [
      "a policy for a meta RM",
      () => ["--set", `metaRm.checkpoint=${models.policy}`],
      /^metaRm\.checkpoint: .*has no scalar head/,
    ],
  ];
  test.each(settings)("%s", async (_what, flags, line) => {
    const message = await refused([name, ...args, ...sound(), ...flags()]);
    if (typeof line === "string") expect(message).toBe(line);
    else expect(message).toMatch(line);
    expect(existsSync(writes)).toBe(false);
  });

  test("an unknown variable", async () => {
    expect(await refused([name, ...args, ...sound()], { COVOTE_JUDGING_VOTS: "3" })).toBe(
      "COVOTE_JUDGING_VOTS: unknown variable; did you mean COVOTE_JUDGING_VOTES?",
    );
  });

  test("a nats-server that is none", async () => {
    expect(await refused([name, ...args, ...sound()], { NATS_SERVER: "/nowhere" })).toBe(
      "NATS_SERVER: /nowhere is not an executable file",
    );
    expect(existsSync(writes)).toBe(false);
  });
});

describe.each(["up", "train"])("covote %s", (name) => {
  const { args, writes } = runs[name] as { args: string[]; writes: string };

  test("a NATS that does not answer; its password is not shown", async () => {
    const message = await refused([
      name,
      ...args,
      ...sound(),
      "--set",
      "nats.url=nats://me:secret@127.0.0.1:1",
    ]);
    expect(message).toMatch(
      /^cannot reach NATS at nats:\/\/127\.0\.0\.1:1 .*set nats\.url to one that runs$/,
    );
    expect(existsSync(writes)).toBe(false);
  });

  test("a folder that cannot be made", async () => {
    const flag = name === "up" ? "--data" : "--out";
    const message = await refused([name, flag, join(at("list.yaml"), "below"), ...sound()]);
    expect(message).toMatch(/cannot (make|create).*\(ENOTDIR\)/);
  });
});

describe("covote train", () => {
  const { args, writes } = runs.train as { args: string[]; writes: string };
  const cases: [what: string, flags: () => string[], line: string | RegExp][] = [
    ["no steps", () => ["--steps", "0"], "training.steps: must be at least 1, got 0 (from the command line)"],
    ["a seed that is none", () => ["--seed", "x"], /^run\.seed: must be a number, got "x"/],
    [
      "prompts that are not there",
      () => ["--set", "training.prompts=/none"],
      "training.prompts: cannot read /none (ENOENT)",
    ],
    [
      "prompts with a bad line",
      () => ["--set", `training.prompts=${at("queries.jsonl")}`],
      /^training\.prompts: .*queries\.jsonl:2: must be \{"query": text\}/,
    ],
    [
      "prompts that are not UTF-8",
      () => ["--set", `training.prompts=${at("latin1.jsonl")}`],
      /^training\.prompts: .*latin1\.jsonl: is not UTF-8/,
    ],
    [
      "no prompts",
      () => ["--set", `training.prompts=${at("empty.jsonl")}`],
      /^training\.prompts: .*empty\.jsonl has no queries/,
    ],
    [
      "a policy without the world's words",
      () => ["--set", `policy.checkpoint=${at("strange")}`],
      /^policy\.checkpoint: .*does not know the words query, to, from, be and \d+ more of the demo world; give/,
    ],
  ];
  test.each(cases)("%s", async (_what, flags, line) => {
    const message = await refused(["train", ...args, ...sound(), ...flags()]);
    if (typeof line === "string") expect(message).toBe(line);
    else expect(message).toMatch(line);
    expect(existsSync(writes)).toBe(false);
  });

  test("a folder to resume from that is none, or is damaged", async () => {
    expect(await refused(["train", "--resume", at("none")])).toBe(
      `--resume: ${at("none")} is no run folder: it holds no config.json`,
    );
    const run = at("damaged");
    mkdirSync(join(run, "state", "current"), { recursive: true });
    writeFileSync(join(run, "config.json"), "{}");
    for (const text of ["{", "{}", '{"step": "4"}']) {
      writeFileSync(join(run, "state", "current", "state.json"), text);
      expect(await refused(["train", "--resume", run])).toBe(
        `--resume: ${join(run, "state", "current", "state.json")} is damaged; start a new run`,
      );
    }
    writeFileSync(join(run, "state", "current", "state.json"), '{"step": 40}');
    expect(await refused(["train", "--resume", run, "--steps", "20"])).toBe(
      "--steps: the run has taken 40 steps already, got 20",
    );
    expect(readdirSync(run).sort()).toEqual(["config.json", "state"]);
  });

  test("a run whose NATS has a password: the run folder does not keep it, so it has to be given again", async () => {
    const run = at("masked");
    mkdirSync(run);
    writeFileSync(join(run, "config.json"), '{"nats": {"url": "nats://***@127.0.0.1:4222"}}');
    expect(await refused(["train", "--resume", run])).toBe(
      "nats.url: a run folder does not keep its user and password; give it as COVOTE_NATS_URL",
    );
  });
});

describe("covote score", () => {
  const cases: [args: string[], line: string | RegExp][] = [
    [[], "--query: is missing; give --query and --response, --file, or lines on standard input"],
    [["--response", "a"], "--query: is missing; give what the responses answer"],
    [["--query", "q"], "--response: is empty; give at least one response"],
    [["--query", " ", "--response", "a"], "--query: is empty; give the text that the responses answer"],
    [
      ["--query", "q", "--response", "x".repeat(1024 * 1024 + 1)],
      "--response 1: is 1048577 bytes long, more than 1048576",
    ],
    [["--query", "q", "--response", "\ud800"], /^--response 1: is not well-formed Unicode/],
    [
      ["--file", "f", ...group],
      "--file: cannot go with --query, --response, --step and --reference; give one or the other",
    ],
    [["--reference", "a"], "--query: is missing; give what the responses answer"],
    [[...group, "--reference", " "], "--reference: is blank; give text or leave it out"],
    [[...group, "--reference", "@"], "--reference: names no file after the @; write --reference @FILE"],
    [[...group, "--reference", `@${at("none")}`], `--reference: ${at("none")}: no such file`],
    [[...group, "--reference", `@${at("latin1.jsonl")}`], "--reference: is not UTF-8; convert it first"],
    [["--file", at("none")], `${at("none")}: no such file`],
    [["--file", folder], `${folder}: is a folder`],
    [["--file", at("latin1.jsonl")], `${at("latin1.jsonl")}:1: is not UTF-8; convert it first`],
    [["--file", at("empty.jsonl")], `${at("empty.jsonl")}: has no lines to score`],
    [
      ["--file", at("groups.jsonl")],
      `${at("groups.jsonl")}:1: responses: is empty; give at least one response`,
    ],
    [[...group, "--votes", "0"], '--votes: must be a whole number from 1 to 128, got "0"'],
    [[...group, "--votes", "2", "--meta-keep", "3"], "--meta-keep: must not exceed --votes (2), got 3"],
    [[...group, "--meta-keep", "-1"], '--meta-keep: must be a whole number from 0 to 128, got "-1"'],
    [[...group, "--temperature", "3"], '--temperature: must be a number from 0 to 2, got "3"'],
    [[...group, "--seed", "1.5"], '--seed: must be a whole number from 0 to 4294967295, got "1.5"'],
    [[...group, "--deadline", "0"], '--deadline: must be a whole number from 1 to 3600000, got "0"'],
    [[...group, "--address", "x"], /^--address: must be host:port/],
    [
      [...group, "--address", "127.0.0.1:0"],
      "--address: port 0 is no service; give the port that covote up printed",
    ],
    [
      [...group, "--address", "127.0.0.1:1"],
      "--address: nothing listens on 127.0.0.1:1; start a cluster with covote up, or leave --address out",
    ],
  ];
  test.each(cases)("%#", async (args, line) => {
    const message = await refused(["score", ...args]);
    if (typeof line === "string") expect(message).toBe(line);
    else expect(message).toMatch(line);
  });

  test("standard input that is not UTF-8", async () => {
    const terminal = fakeTerminal({ stdin: Uint8Array.of(0xff) });
    expect((await covote(["score"], terminal)).err).toBe(
      "covote: standard input:1: is not UTF-8; convert it first\n",
    );
  });
});

test("a server that speaks something else is no cluster", async () => {
  const other = createServer((_request, response) => response.end("hello"));
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${(other.address() as { port: number }).port}`;
  const rest = `cannot reach ${address}; start it, or give the address of one that runs`;
  expect(await refused(["score", ...group, "--address", address])).toBe(`reward service: ${rest}`);
  expect(await refused(["status", "--address", address])).toBe(`--address: ${rest}`);
  other.close();
});

test("covote status: nothing there is one line", async () => {
  expect(await refused(["status", "--address", "127.0.0.1:1"])).toBe(
    "--address: cannot reach 127.0.0.1:1; start it, or give the address of one that runs",
  );
});
