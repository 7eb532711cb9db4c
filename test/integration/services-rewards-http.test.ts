import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startNats, type TestNats } from "../support/nats.js";
import {
  heldEngine,
  openRewardCluster,
  type RewardCluster,
  votingEngine,
} from "../support/reward-cluster.js";

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

interface Answer {
  status: number;
  retryAfter: string | null;
  // biome-ignore lint/suspicious/noExplicitAny: JSON of any shape, looked at by expectations only.
  json: any;
}

async function post(
  cluster: RewardCluster,
  path: string,
  body: unknown,
  signal?: AbortSignal,
): Promise<Answer> {
  const response = await fetch(`${cluster.url}${path}`, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...(signal !== undefined && { signal }),
  });
  const retryAfter = response.headers.get("retry-after");
  return { status: response.status, retryAfter, json: await response.json() };
}

const query = "query to boss from sea be thanks .";
const group = { query, responses: ["good 2", "good 8", "good 5"] };

describe("POST /v1/rewards", () => {
  test("one reward per response, in their order, and the record behind them", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()] });
    const { status, json } = await post(cluster, "/v1/rewards", { ...group, group_id: "g-7" });
    expect(status).toBe(200);
    expect(json.rewards.map((reward: { value: number }) => reward.value)).toEqual([3, 9, 6]);
    expect(json).toMatchObject({ group_id: "g-7", partial: false, cost: { votes: 4 } });
    const record = await fetch(`${cluster.url}/v1/judgments/${json.judgment_id}`);
    expect(await record.json()).toMatchObject({ judgmentId: json.judgment_id, labels: { group_id: "g-7" } });
    const none = await fetch(`${cluster.url}/v1/judgments/nobody`);
    expect(none.status).toBe(404);
  });

  test("what could not be judged is null with a reason, never a number", async () => {
    const engines = [votingEngine({ failures: { unparsable: 1 } })];
    await using cluster = await openRewardCluster({ nats, engines });
    const { status, json } = await post(cluster, "/v1/rewards", group);
    expect(status).toBe(200);
    for (const reward of json.rewards)
      expect(reward).toMatchObject({ value: null, null_reason: "unparsable" });
  });

  test("at its deadline a request is answered with what there is", async () => {
    const engine = heldEngine(votingEngine());
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    const { status, json } = await post(cluster, "/v1/rewards", { ...group, options: { deadline_ms: 150 } });
    expect(status).toBe(200);
    expect(json).toMatchObject({
      partial: true,
      rewards: [{ value: null, null_reason: "deadline" }, {}, {}],
    });
  });

  test("a repeat under one request_id is judged once; another question under it is refused", async () => {
    const engine = heldEngine(votingEngine());
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    const asked = { ...group, request_id: "same" };
    const both = [post(cluster, "/v1/rewards", asked), post(cluster, "/v1/rewards", asked)];
    await engine.waiting(4);
    engine.release();
    const [first, second] = await Promise.all(both);
    expect(second?.json).toEqual(first?.json);
    expect(engine.started).toBe(4);
    const other = await post(cluster, "/v1/rewards", { ...asked, responses: ["good 1"] });
    expect(other).toMatchObject({ status: 409, json: { error: { field: "request_id" } } });
  });

  test("max_votes bounds what a group costs, whatever its panels", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()] });
    const responses = Array.from({ length: 6 }, (_, i) => `good ${i}`);
    const ask = (max_votes: number) =>
      post(cluster, "/v1/rewards", { query, responses, options: { max_votes, panel_limit: 3 } });
    expect((await ask(5)).json.cost.votes).toBe(4);
    expect(await ask(1)).toMatchObject({ status: 400, json: { error: { field: "options.max_votes" } } });
  });

  test("responses given as steps have a reward per step", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()] });
    const responses = [{ steps: ["good 2", "good 8"] }, { text: "good 5" }];
    const { json } = await post(cluster, "/v1/rewards", { query, responses });
    expect(json.step_form).toBe("prefix");
    expect(json.rewards[0].steps).toHaveLength(2);
    expect(json.rewards[1].steps).toBeUndefined();
  });

  test("a client that goes away cancels its votes", async () => {
    const engine = heldEngine(votingEngine());
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    const leaving = new AbortController();
    const left = post(cluster, "/v1/rewards", group, leaving.signal).catch((error: Error) => error.name);
    await engine.waiting(4);
    leaving.abort();
    expect(await left).toBe("AbortError");
    await expect.poll(() => engine.cancelled).toBe(4);
  });

  test("beyond the admission it says when to come back", async () => {
    const engine = heldEngine(votingEngine());
    await using cluster = await openRewardCluster({ nats, engines: [engine], judge: { maxInFlight: 1 } });
    const first = post(cluster, "/v1/rewards", group);
    await engine.waiting(4);
    const refused = await post(cluster, "/v1/rewards", group);
    expect([refused.status, refused.retryAfter]).toEqual([429, "1"]);
    engine.release();
    expect((await first).status).toBe(200);
  });
});

describe("POST /v1/rewards:batch", () => {
  test("an item fails alone", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()] });
    const items = [group, { query }, { ...group, responses: ["good 0"] }, 7];
    const { status, json } = await post(cluster, "/v1/rewards:batch", { items });
    expect(status).toBe(200);
    expect(json.items[0].rewards).toHaveLength(3);
    expect(json.items[1]).toMatchObject({ error: { code: "invalid_argument", field: "responses" } });
    expect(json.items[2].rewards[0].value).toBe(1);
    expect(json.items[3].error.code).toBe("invalid_argument");
    expect((await post(cluster, "/v1/rewards:batch", { items: [] })).json).toEqual({ items: [] });
  });
});

describe("bad requests", () => {
  test("each is refused with the field that is wrong", async () => {
    await using cluster = await openRewardCluster({ nats });
    const wrong: [body: unknown, field: string][] = [
      ["{", "body"],
      ["[]", "body"],
      [{ responses: ["a"] }, "query"],
      [{ ...group, responses: [] }, "responses"],
      [{ ...group, responses: ["a", 7] }, "responses[1]"],
      [{ ...group, option: {} }, "option"],
      [{ ...group, options: { votes: 0 } }, "options.votes"],
      [{ ...group, options: { vote: 3 } }, "options.vote"],
      ['{"query": "q", "responses": ["a"], "options": {"temperature": NaN}}', "body"],
      [{ ...group, request_id: "a b" }, "request_id"],
      [{ ...group, query: [{ role: "wizard", content: "x" }] }, "query"],
    ];
    for (const [body, field] of wrong) {
      const answer = await post(cluster, "/v1/rewards", body);
      expect([answer.status, answer.json.error.code, answer.json.error.field]).toEqual([
        400,
        "invalid_argument",
        field,
      ]);
      expect(answer.json.error.message).not.toMatch(/\n/);
    }
  });

  test("a body that is too large is refused before it is read, announced or not", async () => {
    await using cluster = await openRewardCluster({ nats });
    const large = JSON.stringify({ ...group, responses: ["x".repeat(100_000)] });
    expect((await post(cluster, "/v1/rewards", large)).status).toBe(413);
    const { hostname, port } = new URL(cluster.url);
    const socket = connect(Number(port), hostname);
    socket.write("POST /v1/rewards HTTP/1.1\r\nHost: x\r\nContent-Length: 52428800\r\n\r\n{");
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    expect(text).toMatch(/^HTTP\/1\.1 413 /);
  });

  test("text that is not UTF-8 is refused", async () => {
    await using cluster = await openRewardCluster({ nats });
    const body = new Uint8Array([0x7b, 0xff, 0x7d]);
    const response = await fetch(`${cluster.url}/v1/rewards`, { method: "POST", body });
    expect(response.status).toBe(400);
  });
});

test("the OpenAPI document describes every route, and its references resolve", async () => {
  await using cluster = await openRewardCluster({ nats });
  const document = (await (await fetch(`${cluster.url}/openapi.json`)).json()) as {
    paths: Record<string, object>;
    components: { schemas: Record<string, object> };
  };
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/\{\w+\}$/, "*")}`),
  );
  const served = Object.keys(cluster.aggregator.routes).filter((route) => route.includes("/v1/"));
  expect(described.sort()).toEqual(served.sort());
  const references = JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g);
  for (const [, name] of references) expect(document.components.schemas).toHaveProperty(name as string);
});
