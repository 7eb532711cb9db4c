/** The thread behind `endpoints.ts`. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { workerData } from "node:worker_threads";
import { CovoteError } from "../lib/core/errors.js";
import { createSimulatedEngine, type SimulatedEngine } from "../lib/engine/simulated.js";
import { postcardsJudgment } from "../lib/engine/simulated-judge.js";
import type { ChatMessage } from "../lib/grm/chat.js";
import { httpStatus } from "../lib/host/http.js";
import type { EndpointFault, EndpointsCommand, EndpointsSetup } from "./endpoints.js";
import { panelOf } from "./panel.js";
import { answerCalls } from "./thread.js";

const { count, slots, latency } = workerData as EndpointsSetup;
const faults: EndpointFault[] = Array.from({ length: count }, () => "none");
let requests = 0;

const urls = Array.from({ length: count }, async (_, index) => {
  const engine = createSimulatedEngine({
    respond: postcardsJudgment({ panelOf, quality: (text) => (text.length % 10) / 9 }),
    ...{ latency, slots, seed: index },
  });
  const server = createServer((request, response) => {
    answer(index, engine, request, response).catch((thrown: unknown) => {
      const { code, message } = CovoteError.from(thrown);
      send(response, httpStatus[code], { error: { message, type: code } });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

async function answer(
  index: number,
  engine: SimulatedEngine,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.url === "/v1/models") {
    return send(response, 200, {
      object: "list",
      data: [{ id: "judge", owned_by: "bench", max_model_len: 32_768 }],
    });
  }
  if (request.url !== "/v1/chat/completions") return send(response, 404, { detail: "Not Found" });
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  requests++;
  const fault = faults[index];
  if (fault === "frozen") return;
  if (fault === "errors") return send(response, 500, { error: { message: "Internal Server Error" } });
  const asked = JSON.parse(Buffer.concat(chunks).toString("utf8")) as {
    messages: ChatMessage[];
    max_tokens: number;
    temperature: number;
    seed: number;
  };
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const { messages, temperature, seed, max_tokens: maxTokens } = asked;
  const { text, finish, promptTokens, completionTokens } = await engine.generate(
    { id: String(requests), messages, temperature, seed, maxTokens },
    { signal: gone.signal },
  );
  send(response, 200, {
    choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: finish }],
    usage: { prompt_tokens: promptTokens, completion_tokens: completionTokens },
  });
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
}

answerCalls<EndpointsCommand, unknown>(async (command) => {
  switch (command.t) {
    case "urls":
      return Promise.all(urls);
    case "fault":
      faults[command.index] = command.fault;
      return undefined;
    case "requests":
      return requests;
  }
});
