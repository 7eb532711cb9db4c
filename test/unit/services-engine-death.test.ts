import { expect, test } from "vitest";
import { openInference } from "../../lib/llama/inference.js";
import { tinyCheckpoint } from "../support/tiny-llama.js";

const open = (thread?: URL) => {
  const { config, weights } = tinyCheckpoint();
  return openInference({ config, weights, version: "v1", ...(thread && { thread }) });
};
const request = { prompt: [4, 5], maxTokens: 4, temperature: 1, seed: 1, stop: [3] };

test("a thread that dies says so, so that its process can be started anew", async () => {
  const inference = await open(new URL("../support/dying-inference-worker.js", import.meta.url));
  const generating = inference.generate(request, {}).catch((error: unknown) => error);
  expect(await inference.died).toMatchObject({ code: "unavailable" });
  expect(await generating).toMatchObject({ code: "unavailable" });
});

test("a thread that was closed has not died", async () => {
  const inference = await open();
  await inference.generate(request, {});
  await inference.close();
  const state = await Promise.race([
    inference.died.then(() => "died"),
    new Promise((resolve) => setImmediate(() => resolve("closed"))),
  ]);
  expect(state).toBe("closed");
});
