import { expect, test } from "vitest";
import { digestOf, type JudgeRequest, toJudgment } from "../../services/vote-aggregator/judge-request.js";

const request: JudgeRequest = {
  id: "j",
  freshId: false,
  query: [{ role: "user", content: "What is 2 + 2?" }],
  responses: [{ text: "4", tokens: undefined }],
  reference: null,
  votes: 8,
  metaKeep: 4,
  temperature: 0.5,
  split: 0,
  panelLimit: 4,
  votesPerBallot: 8,
  seed: 1,
  deadlineAtMs: 1000,
  labels: {},
  policyVersion: "",
  traceparent: "",
  priority: "hi",
};

test("another reference answer under one id is another question, and so is one where there was none", () => {
  const digests = [null, "4", "four", "null"].map((reference) => digestOf({ ...request, reference }));
  expect(new Set(digests).size).toBe(4);
  expect(digestOf({ ...request, reference: "4" })).toBe(digests[1]);
});

test("what does not change the question does not change its digest", () => {
  const again = { ...request, deadlineAtMs: 2000, labels: { try: "2" }, traceparent: "t", freshId: true };
  expect(digestOf(again)).toBe(digestOf(request));
});

test("a question without a reference has the digest that records had before there were references", () => {
  expect(digestOf(request)).toBe("50d2ce3cec19ec58155f47437582cc50f1e6f44413077559c11f2c6df5288850");
});

test("the record tells the reference answer, and nothing where there was none", () => {
  const outcome = { votes: [], rewards: [], partial: false, judgeVersion: "", metaVersion: "" };
  const stamps = { digest: "d", acceptedAtMs: 0, latencyMs: 1 };
  expect(toJudgment({ ...request, reference: "4" }, outcome, stamps).reference).toBe("4");
  expect(toJudgment(request, outcome, stamps).reference).toBeUndefined();
});
