import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { linesOf } from "../../cli/read-lines.js";
import { readTasks, taskOfFlags } from "../../cli/score/input.js";
import { CovoteError } from "../../lib/core/errors.js";

async function* chunks(...parts: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part as string);
}

const read = (...parts: (string | Uint8Array)[]) => readTasks("f", linesOf("f", chunks(...parts)));

async function refusal(task: Promise<unknown>): Promise<string> {
  const thrown: unknown = await task.catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(CovoteError);
  expect((thrown as CovoteError).code).toBe("invalid_argument");
  return (thrown as CovoteError).message;
}

test("score input: a query is text or turns, an id is optional, blank lines are left out", async () => {
  const tasks = await read(
    '{"query":"q","responses":["a",""],"id":7}\n\n{"query":[{"role":"system","content":"s"},',
    '{"role":"user","content":"ü"}],"responses":["b"],"other":1}',
  );
  expect(tasks).toEqual([
    { id: "7", query: [{ role: "user", content: "q" }], responses: ["a", ""] },
    {
      id: null,
      query: [
        { role: "system", content: "s" },
        { role: "user", content: "ü" },
      ],
      responses: ["b"],
    },
  ]);
});

test("score input: a group may have a reference answer; null is none", async () => {
  const tasks = await read(
    '{"query":"q","responses":["a"],"reference":" r\\n"}\n{"query":"q","responses":["a"],"reference":null}',
  );
  expect(tasks.map((task) => task.reference)).toEqual([" r\n", undefined]);
  expect(taskOfFlags({ query: "q", responses: ["a"], reference: "r" }).reference).toBe("r");
});

test("score input: a reference from a file is its text without the last line's end", () => {
  const folder = mkdtempSync(join(tmpdir(), "covote-reference-"));
  try {
    const file = join(folder, "right.txt");
    writeFileSync(file, "first\n\nlast\r\n");
    expect(taskOfFlags({ query: "q", responses: ["a"], reference: `@${file}` }).reference).toBe(
      "first\n\nlast",
    );
    writeFileSync(file, "x".repeat(1024 * 1024 + 1));
    expect(() => taskOfFlags({ query: "q", responses: ["a"], reference: `@${file}` })).toThrow(
      `--reference: ${file} has 1048577 bytes, more than 1048576`,
    );
    expect(() => taskOfFlags({ query: "q", responses: ["a"], reference: `@${folder}` })).toThrow(
      "is a folder",
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe("score input: a damaged line is named, and nothing is judged", () => {
  const good = '{"query":"q","responses":["a"]}';
  const big = "x".repeat(1024 * 1024 + 1);
  const cases: [name: string, line: string | Uint8Array, message: string][] = [
    ["no JSON", "{", "f:2: is not JSON; a line is"],
    ["a list", "[]", "f:2: is not a JSON object"],
    [
      "no query",
      '{"responses":["a"]}',
      'f:2: query: must be text or a list of {"role", "content"}, got nothing',
    ],
    ["an unknown role", '{"query":[{"role":"judge","content":""}],"responses":["a"]}', "f:2: query: must be"],
    [
      "a query that ends with the assistant",
      '{"query":[{"role":"assistant","content":""}],"responses":["a"]}',
      "f:2: query: its last turn must be the user's",
    ],
    ["no turns", '{"query":[],"responses":["a"]}', "f:2: query: is empty"],
    ["no responses", '{"query":"q"}', "f:2: responses: must be a list of texts, got nothing"],
    [
      "empty responses",
      '{"query":"q","responses":[]}',
      "f:2: responses: is empty; give at least one response",
    ],
    [
      "a response that is no text",
      '{"query":"q","responses":["a",3]}',
      'f:2: responses[1]: must be text or {"steps": [text, …]}, got 3',
    ],
    [
      "too many responses",
      JSON.stringify({ query: "q", responses: Array(257).fill("a") }),
      "f:2: responses: at most 256 in one request, got 257",
    ],
    [
      "an oversized response",
      JSON.stringify({ query: "q", responses: ["a", big] }),
      "f:2: responses[1].text: is 1048577 bytes long, more than 1048576",
    ],
    [
      "an oversized query",
      JSON.stringify({ query: big, responses: ["a"] }),
      "f:2: query.messages[0].content: is 1048577 bytes long",
    ],
    [
      "half a surrogate pair",
      '{"query":"q","responses":["\\ud800"]}',
      "f:2: responses[0].text: is not well-formed Unicode",
    ],
    ["bytes that are not UTF-8", Uint8Array.of(0x7b, 0xff, 0x7d), "f:2: is not UTF-8; convert it first"],
    [
      "a reference that is no text",
      '{"query":"q","responses":["a"],"reference":4}',
      "f:2: reference: must be text, got 4",
    ],
    ["a blank reference", '{"query":"q","responses":["a"],"reference":""}', "f:2: reference: is blank"],
    ["an id that is a list", '{"query":"q","responses":["a"],"id":[]}', "f:2: id: must be text, got []"],
  ];
  test.each(cases)("%s", async (_name, line, message) => {
    const text = await refusal(read(`${good}\n`, line, "\n"));
    expect(text.startsWith(message), text).toBe(true);
    expect(text.length).toBeLessThan(200);
    expect(text).not.toContain("\n");
  });

  test("no line at all", async () => {
    expect(await refusal(read("\n \n"))).toBe("f: has no lines to score");
  });
});

describe("score input: flags are named as flags", () => {
  const big = "x".repeat(1024 * 1024 + 1);
  test.each([
    [" ", ["a"], "--query: is empty; give the text that the responses answer"],
    ["q", [], "--response: is empty; give at least one response"],
    ["q", ["a", big], "--response 2: is 1048577 bytes long, more than 1048576"],
    [big, ["a"], "--query: is 1048577 bytes long, more than 1048576"],
  ])("%#", (query, responses, message) => {
    expect(() => taskOfFlags({ query, responses })).toThrow(message);
  });
});

test("score input: a response may be given as steps, in a line and by flags", async () => {
  const [task] = await read('{"query":"q","responses":["a",{"steps":["b","c"]}]}');
  expect(task).toMatchObject({ responses: ["a", ""], steps: [null, ["b", "c"]] });
  expect((await read('{"query":"q","responses":["a"]}'))[0]).not.toHaveProperty("steps");
  expect(taskOfFlags({ query: "q", responses: ["a"], steps: ["b", "c"] })).toMatchObject({
    responses: ["a", ""],
    steps: [null, ["b", "c"]],
  });
  expect(() => taskOfFlags({ query: "q", responses: [], steps: ["b", " "] })).toThrow("--step 2: is blank");
});

test.each([
  ['{"steps":["b"],"text":"a"}', 'f:1: responses[0]: must be text or {"steps": [text, …]}'],
  ['{"steps":"b"}', 'f:1: responses[0]: must be text or {"steps": [text, …]}'],
  ['{"steps":["b",1]}', 'f:1: responses[0]: must be text or {"steps": [text, …]}'],
  ['{"steps":[]}', "f:1: responses[0].steps: is empty"],
  ['{"steps":["b",""]}', "f:1: responses[0].steps[1]: is blank"],
])("score input: %s is no response", async (response, message) => {
  expect(await refusal(read(`{"query":"q","responses":[${response}]}`))).toContain(message);
});
