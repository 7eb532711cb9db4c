import { describe, expect, test } from "vitest";
import { runStages } from "../../cli/spct/study/run-stages.js";
import type { Stage } from "../../cli/spct/study/stage.js";
import { type Deferred, deferred } from "../../lib/core/deferred.js";

const stage = (result: string, inputs: string[] = []): Stage => ({
  ...{ title: result, args: [], capture: false },
  ...{ result, inputs },
});

/** Stages end when the test says so. */
function stageHand() {
  const ends = new Map<string, Deferred<void>>();
  const begun: string[] = [];
  const run = ({ result }: Stage): Promise<void> => {
    const end = deferred<void>();
    ends.set(result, end);
    begun.push(result);
    return end.promise;
  };
  const settled = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  };
  return {
    run,
    begun,
    end: async (result: string) => {
      ends.get(result)?.resolve();
      await settled();
    },
    fail: async (result: string, why: string) => {
      ends.get(result)?.reject(new Error(why));
      await settled();
    },
  };
}

describe("the stages of a study", () => {
  test("run at the same time unless one reads what the other makes", async () => {
    const { run, begun, end } = stageHand();
    const all = runStages([stage("a"), stage("b", ["a", "/a/file"]), stage("c"), stage("d", ["b", "c"])], {
      jobs: 2,
      run,
    });
    expect(begun).toEqual(["a", "c"]);
    await end("c");
    expect(begun).toEqual(["a", "c"]);
    await end("a");
    expect(begun).toEqual(["a", "c", "b"]);
    await end("b");
    await end("d");
    await all;
    expect(begun).toEqual(["a", "c", "b", "d"]);
  });

  test("are never more at a time than there are jobs", async () => {
    const { run, begun, end } = stageHand();
    const all = runStages([stage("a"), stage("b"), stage("c")], { jobs: 1, run });
    for (const [count, name] of ["a", "b", "c"].entries()) {
      expect(begun).toHaveLength(count + 1);
      await end(name);
    }
    await all;
  });

  test("begin no more after a failure, and end those that run", async () => {
    const { run, begun, end, fail } = stageHand();
    let over = false;
    const all = runStages([stage("a"), stage("b"), stage("c")], { jobs: 2, run }).finally(() => {
      over = true;
    });
    const seen = expect(all).rejects.toThrow("no such base");
    await fail("a", "no such base");
    expect([begun, over]).toEqual([["a", "b"], false]);
    await end("b");
    await seen;
    expect(begun).toEqual(["a", "b"]);
  });

  test("that nothing can be made for are a mistake, not a wait", async () => {
    const all = runStages([stage("a", ["a"])], { jobs: 1, run: async () => undefined });
    await expect(all).rejects.toThrow("a: waits for what no stage makes");
  });
});
