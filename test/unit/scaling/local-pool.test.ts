import { expect, test } from "vitest";
import { createLocalPool, type LocalMember } from "../../../cli/cluster/local-pool.js";
import { type Deferred, deferred } from "../../../lib/core/deferred.js";
import { silentLogger } from "../../../lib/core/logger.js";

interface TestMember extends LocalMember {
  n: number;
  started: Deferred<void>;
  gone: Deferred<void>;
}

function member(n: number): TestMember {
  const [started, gone] = [deferred<void>(), deferred<void>()];
  return { n, started, gone, ready: started.promise, stop: () => gone.promise };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a local pool tells what is wanted, what works and what drains", async () => {
  const all = [member(1), member(2)];
  const start = (n: number): TestMember => {
    const next = member(n);
    all.push(next);
    return next;
  };
  const pool = createLocalPool({ members: [...all], start, log: silentLogger });
  for (const { started } of all) started.resolve();
  await turn();
  expect(pool.state()).toEqual({ wanted: 2, ready: 2, present: 2 });
  pool.resize(3);
  expect(pool.state()).toEqual({ wanted: 3, ready: 2, present: 3 });
  expect(all.map(({ n }) => n)).toEqual([1, 2, 3]);
  all[2]?.started.resolve();
  pool.resize(1);
  expect(pool.state()).toEqual({ wanted: 1, ready: 1, present: 3 });
  all[2]?.gone.resolve();
  await turn();
  expect(pool.state()).toEqual({ wanted: 1, ready: 1, present: 2 });
  // Its names are never given again.
  pool.resize(2);
  expect(all.at(-1)?.n).toBe(4);
  all.at(-1)?.started.reject(new Error("no checkpoint"));
  await turn();
  expect(pool.state()).toEqual({ wanted: 1, ready: 1, present: 2 });
  for (const { gone } of all) gone.resolve();
  await pool.stop();
  expect(pool.state()).toEqual({ wanted: 0, ready: 0, present: 0 });
  pool.resize(5);
  expect(pool.state().wanted).toBe(0);
});
