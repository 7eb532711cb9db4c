import { describe, expect, test } from "vitest";
import { CovoteError } from "../../lib/core/errors.js";
import { type CheckedRequest, checkScoreRequest, checkText, decodeUtf8 } from "../../lib/grm/limits.js";

const request = (changes: Partial<CheckedRequest> = {}): CheckedRequest => ({
  query: [{ role: "user", content: "why?" }],
  responses: ["because", ""],
  options: { votes: 8, metaKeep: 4, temperature: 0.5, seed: 1, panelLimit: 4, deadlineMs: 1000 },
  ...changes,
});

function refusal(act: () => void): CovoteError {
  try {
    act();
  } catch (thrown) {
    if (thrown instanceof CovoteError) return thrown;
    throw thrown;
  }
  throw new Error("it was accepted");
}

test("limits: a request within bounds passes, an empty response included", () => {
  checkScoreRequest(request());
  checkScoreRequest(request({ options: {} }));
  checkScoreRequest(request({ options: { votes: 3, metaKeep: 0 } }));
  checkScoreRequest(request({ reference: "because of this" }));
  checkScoreRequest(request({ reference: null }));
  checkScoreRequest(request({ responses: ["emoji 🎈 and \u0000"] }));
});

describe("limits: what is out of bounds is refused with the name of its field", () => {
  const cases: [field: string, changes: Partial<CheckedRequest>][] = [
    ["responses", { responses: [] }],
    ["responses", { responses: new Array<string>(257).fill("x") }],
    ["responses", { responses: new Array<string>(9).fill("x".repeat(1024 * 1024)) }],
    ["responses[1].text", { responses: ["x", 7 as unknown as string] }],
    ["responses[0].text", { responses: [null as unknown as string] }],
    ["responses[0].text", { responses: ["half \ud83c"] }],
    ["responses[1].text", { responses: ["x", "ä".repeat(600 * 1024)] }],
    ["reference", { reference: "" }],
    ["reference", { reference: " \n" }],
    ["reference", { reference: "half \ud83c" }],
    ["reference", { reference: "x".repeat(1024 * 1024 + 1) }],
    ["reference", { reference: 4 as unknown as string }],
    [
      "responses",
      { responses: new Array<string>(8).fill("x".repeat(1024 * 1024 - 1)), reference: "y".repeat(9) },
    ],
    ["query", { query: [] }],
    ["query", { query: [{ role: "assistant", content: "hello" }] }],
    ["query.messages[0].role", { query: [{ role: "judge", content: "hello" }] }],
    ["query.messages[0].content", { query: [{ role: "user", content: "\udc00" }] }],
    ["options.votes", { options: { votes: 0 } }],
    ["options.votes", { options: { votes: 129 } }],
    ["options.votes", { options: { votes: 2.5 } }],
    ["options.meta_keep", { options: { votes: 4, metaKeep: 5 } }],
    ["options.meta_keep", { options: { metaKeep: -1 } }],
    ["options.temperature", { options: { temperature: Number.NaN } }],
    ["options.temperature", { options: { temperature: 2.1 } }],
    ["options.temperature", { options: { temperature: 0.001 } }],
    ["options.seed", { options: { seed: -1 } }],
    ["options.panel_limit", { options: { panelLimit: 0 } }],
    ["options.panel_limit", { options: { panelLimit: 17 } }],
    ["options.deadline_ms", { options: { deadlineMs: 0 } }],
    ["request_id", { requestId: "no spaces" }],
    ["labels", { labels: Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`l${index}`, "x"])) }],
  ];
  test.each(cases)("%s", (field, changes) => {
    const error = refusal(() => checkScoreRequest(request(changes)));
    expect(error.code).toBe("invalid_argument");
    expect(error.field).toBe(field);
    expect(error.message.startsWith(`${field}: `)).toBe(true);
    expect(error.message).not.toContain("\n");
  });
});

test("limits: a text is measured in bytes of UTF-8", () => {
  checkText("t", "ää", 4);
  expect(() => checkText("t", "äää", 4)).toThrow("t: is 6 bytes long, more than 4");
});

test("limits: bytes that are not UTF-8 are refused, not replaced", () => {
  expect(decodeUtf8("line", new TextEncoder().encode("größe"))).toBe("größe");
  expect(() => decodeUtf8("line", Uint8Array.of(0x66, 0xff))).toThrow("line: is not UTF-8");
});

test("limits: a response is text or steps, none of them blank, and steps count as responses do", () => {
  const stepped = (...steps: (string[] | null)[]): CheckedRequest => request({ responses: ["", ""], steps });
  checkScoreRequest(stepped(["a", "b"], null));
  checkScoreRequest(stepped(null, null));
  checkScoreRequest(request({ steps: null }));
  const many = (count: number): string[] => Array.from({ length: count }, () => "a");
  checkScoreRequest(stepped(many(254), null));
  for (const [bad, message] of [
    [stepped([], null), "responses[0].steps: is empty; give at least one step, or the response as text"],
    [stepped(null, ["a", " \n"]), "responses[1].steps[1]: is blank; leave it out"],
    [request({ steps: [["a"], null] }), "responses[0]: has text and steps; give one or the other"],
    [stepped(many(200), many(55)), "responses: at most 256 responses and steps in one request, got 257"],
    [stepped([7 as unknown as string], null), "responses[0].steps[0]: must be text, got number"],
    [
      stepped(["x".repeat(1024 * 1024 + 1)], null),
      "responses[0].steps[0]: is 1048577 bytes long, more than 1048576",
    ],
    [request({ options: { split: 17 } }), "options.split: must be a whole number within 0 to 16, got 17"],
  ] as const) {
    expect(refusal(() => checkScoreRequest(bad)).message).toBe(message);
  }
});

test("limits: steps count towards the size of the request", () => {
  const large = "x".repeat(1024 * 1024);
  const steps = [Array.from({ length: 9 }, () => large), null];
  expect(refusal(() => checkScoreRequest(request({ responses: ["", ""], steps }))).message).toMatch(
    /^responses: query and responses are \d+ bytes, more than 8388608$/,
  );
});
