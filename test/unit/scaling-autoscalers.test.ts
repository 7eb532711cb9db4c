import { describe, expect, test } from "vitest";
import { perPool } from "../../lib/scaling/observation.js";
import { createHpa, hpaOnQueue, kedaOnLag } from "../../lib/scaling/simulation/autoscalers.js";
import { pipelineOf } from "../../lib/scaling/simulation/scenarios.js";
import type { View } from "../../lib/scaling/simulation/simulate.js";

const limits = { targetPerPod: 10, min: 1, max: 100 };

describe("the Horizontal Pod Autoscaler", () => {
  test("wants a pod per so many messages, rounded up", () => {
    expect(createHpa(limits).sync(0, 121, 10)).toBe(13);
  });

  test("leaves a ratio within ten percent alone", () => {
    const hpa = createHpa(limits);
    expect(hpa.sync(0, 109, 10)).toBe(10);
    expect(hpa.sync(15, 91, 10)).toBe(10);
    expect(hpa.sync(30, 111, 10)).toBe(12);
  });

  test("grows by four pods or to the double per 15 seconds, whichever is more", () => {
    const hpa = createHpa(limits);
    let pods = 1;
    const seen = [0, 15, 30, 45].map((at) => {
      pods = hpa.sync(at, 1000, pods);
      return pods;
    });
    expect(seen).toEqual([5, 10, 20, 40]);
  });

  test("does not grow twice within one period", () => {
    const hpa = createHpa(limits);
    expect(hpa.sync(0, 1000, 10)).toBe(20);
    expect(hpa.sync(5, 1000, 20)).toBe(20);
    expect(hpa.sync(15, 1000, 20)).toBe(40);
  });

  test("shrinks to the highest that it wanted in the last five minutes", () => {
    const hpa = createHpa(limits);
    expect(hpa.sync(0, 200, 20)).toBe(20);
    expect(hpa.sync(15, 50, 20)).toBe(20);
    expect(hpa.sync(150, 80, 20)).toBe(20);
    // What was wanted at 0 has left the window, the 8 of 150 has not.
    expect(hpa.sync(300, 50, 20)).toBe(8);
    expect(hpa.sync(460, 50, 8)).toBe(5);
  });

  test("scales nothing in before it has looked for five minutes", () => {
    const hpa = createHpa(limits);
    expect(hpa.sync(0, 0, 20)).toBe(20);
    expect(hpa.sync(285, 0, 20)).toBe(20);
    expect(hpa.sync(300, 0, 20)).toBe(1);
  });

  test("stays within its limits", () => {
    const hpa = createHpa({ ...limits, max: 12 });
    expect(hpa.sync(0, 500, 10)).toBe(12);
    expect(createHpa(limits).sync(0, 0, 1)).toBe(1);
  });
});

describe("an autoscaler per pool", () => {
  const model = pipelineOf(8, () => ({ responseTokens: 1, voteTokens: 1, slowness: perPool(() => 1) }));
  const view = (pending: number, ackPending: number): View =>
    ({
      nowS: 0,
      model,
      counts: () => ({ replicas: 2, ready: 2, draining: 0 }),
      queue: () => ({ pending, ackPending }),
    }) as unknown as View;

  test("counts only what waits when it scales on the queue, and what is worked on as well when on lag", () => {
    // 12 wait and 30 are worked on: 12 a pod at 10 each is two; a lag of 42 is five.
    expect(hpaOnQueue(10).tick(view(12, 30))?.targets).toEqual({ policy: 2, grm: 2, metaRm: 2 });
    expect(kedaOnLag().tick(view(12, 30))?.targets).toEqual({ policy: 5, grm: 5, metaRm: 5 });
  });

  test("leaves every other pool the GPUs of one replica", () => {
    expect(kedaOnLag().tick(view(900, 0))?.targets).toEqual({ policy: 6, grm: 6, metaRm: 6 });
  });
});
