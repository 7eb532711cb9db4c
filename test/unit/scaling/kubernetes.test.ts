import { expect, test } from "vitest";
import { createManualClock, systemClock } from "../../../lib/core/clock.js";
import { silentLogger } from "../../../lib/core/logger.js";
import { createRandom } from "../../../lib/core/random.js";
import { perPool } from "../../../lib/scaling/observation.js";
import { createKubernetesActuator } from "../../../services/co-scaler/kubernetes/actuator.js";
import { type KubernetesApi, openKubernetesApi } from "../../../services/co-scaler/kubernetes/api.js";
import { startElector } from "../../../services/co-scaler/kubernetes/elector.js";
import { markVictims } from "../../../services/co-scaler/kubernetes/victims.js";
import { type FakeKubernetes, startFakeKubernetes } from "../../support/fake-kubernetes.js";

const deployment = (name: string) => ({ kind: "Deployment" as const, name, field: "scaling.pools.grm.name" });

function open(fake: FakeKubernetes, timeoutMs = 2000): Promise<KubernetesApi> {
  return openKubernetesApi({ kubeconfig: fake.kubeconfig, namespace: null, timeoutMs });
}

function grmOnly(api: KubernetesApi, kind: "Deployment" | "StatefulSet" = "Deployment") {
  return createKubernetesActuator(
    { api, clock: systemClock(), log: silentLogger },
    perPool((pool) => (pool === "grm" ? { ...deployment("grm-worker"), kind } : null)),
  );
}

test("a pool is read and scaled through the scale subresource", async () => {
  await using fake = await startFakeKubernetes();
  fake.workload("grm-worker", 2);
  const actuator = grmOnly(await open(fake));
  expect((await actuator.read()).grm).toEqual({ wanted: 2, ready: 2, present: 2 });
  await actuator.apply({ pool: "grm", from: 2, to: 3 }, []);
  fake.settle();
  expect((await actuator.read()).grm).toEqual({ wanted: 3, ready: 2, present: 3 });
  await actuator.apply({ pool: "grm", from: 3, to: 1 }, []);
  fake.settle();
  expect((await actuator.read()).grm).toEqual({ wanted: 1, ready: 1, present: 3 });
  fake.finish();
  expect((await actuator.read()).grm).toEqual({ wanted: 1, ready: 1, present: 1 });
  expect(fake.changes).toEqual(["grm-worker 2→3", "grm-worker 3→1"]);
});

test("the least busy pods go first, and marks of pods that stay are taken away", async () => {
  await using fake = await startFakeKubernetes();
  fake.workload("grm-worker", 3);
  const [first, second, third] = fake.pods("grm-worker").map(({ name }) => name) as [string, string, string];
  const load = (host: string, running: number) => ({ host, running, waiting: 0, ageMs: 0 });
  const actuator = grmOnly(await open(fake));
  await actuator.read();
  await actuator.apply({ pool: "grm", from: 3, to: 2 }, [load(first, 5), load(second, 1), load(third, 7)]);
  fake.settle();
  expect(fake.pods("grm-worker").find(({ terminating }) => terminating)?.name).toBe(second);
  fake.finish();
  const survivor = fake.pods("grm-worker").find(({ name }) => name === first);
  Object.assign(survivor?.annotations ?? {}, { "controller.kubernetes.io/pod-deletion-cost": "-1000" });
  await actuator.read();
  await actuator.apply({ pool: "grm", from: 2, to: 1 }, [load(first, 5), load(third, 0)]);
  fake.settle();
  expect(fake.pods("grm-worker").find(({ terminating }) => terminating)?.name).toBe(third);
  expect(survivor?.annotations).toEqual({});
});

test("pods that are not ready need no mark: they go before all others", () => {
  const pod = (name: string, ready: boolean, createdAtMs: number) => ({
    ...{ name, ready, createdAtMs, terminating: false, deletionCost: null },
  });
  const pods = [pod("a", true, 1), pod("b", false, 2), pod("c", true, 3)];
  expect(markVictims(pods, [], 1).costs).toEqual([]);
  // Of equals the youngest.
  expect(markVictims(pods, [], 2).costs).toEqual([{ pod: "c", cost: -1000 }]);
});

test("a change of status is no reason to give up, a change of somebody else's is", async () => {
  await using fake = await startFakeKubernetes();
  fake.workload("grm-worker", 2);
  const actuator = grmOnly(await open(fake));
  await actuator.read();
  fake.touch("grm-worker");
  await actuator.apply({ pool: "grm", from: 2, to: 3 }, []);
  expect(fake.replicas("grm-worker")).toBe(3);
  await actuator.read();
  fake.setReplicas("grm-worker", 6);
  await expect(actuator.apply({ pool: "grm", from: 3, to: 2 }, [])).rejects.toMatchObject({
    code: "failed_precondition",
    message: "Deployment grm-worker: somebody else has set 6 replicas meanwhile",
  });
  expect(fake.replicas("grm-worker")).toBe(6);
});

test("StatefulSets are scaled too, without marks", async () => {
  await using fake = await startFakeKubernetes();
  fake.workload("grm-worker", 2, "statefulsets");
  const actuator = grmOnly(await open(fake), "StatefulSet");
  await actuator.read();
  await actuator.apply({ pool: "grm", from: 2, to: 1 }, []);
  expect(fake.replicas("grm-worker")).toBe(1);
  expect(fake.calls.filter(({ method }) => method === "PATCH")).toEqual([]);
});

test("what the API server refuses is one line with the fix", async () => {
  await using fake = await startFakeKubernetes();
  const actuator = grmOnly(await open(fake, 300));
  await expect(actuator.read()).rejects.toMatchObject({
    code: "not_found",
    message:
      "scaling.pools.grm.name: there is no Deployment grm-worker in namespace rl; name the pool's workload, or set max to 0",
  });
  fake.workload("grm-worker", 2);
  const cases = [
    [
      { status: 403 },
      "failed_precondition",
      "not allowed (403); give the co-scaler's service account the verb get on deployments/scale",
    ],
    [{ status: 401 }, "failed_precondition", "does not know this user (401)"],
    [{ status: 500 }, "unavailable", "the API server failed (500): ordered 500"],
    [{ cut: "before" }, "unavailable", `the API server at ${fake.url} is not reached`],
    [{ delayMs: 1000 }, "unavailable", "no answer within 300 ms"],
    [{ status: 429, retryAfterS: 0.05 }, "overloaded", "asks to come back later (429)"],
  ] as const;
  for (const [fault, code, text] of cases) {
    fake.fault(fault);
    const thrown = await actuator.read().catch((error: unknown) => error as Error);
    expect(thrown).toMatchObject({ code, message: expect.stringContaining(text) });
    expect((thrown as Error).message).not.toContain("\n");
  }
  fake.heal();
  // It was asked to come back later, and does.
  const before = fake.calls.length;
  await expect(actuator.read()).rejects.toMatchObject({ code: "overloaded" });
  expect(fake.calls.length).toBe(before);
  await expect
    .poll(
      () =>
        actuator.read().then(
          ({ grm }) => grm.wanted,
          () => null,
        ),
      { timeout: 10_000 },
    )
    .toBe(2);
});

test("a pod that cannot be marked is no reason not to shrink", async () => {
  await using fake = await startFakeKubernetes();
  fake.workload("grm-worker", 3);
  const actuator = grmOnly(await open(fake));
  await actuator.read();
  fake.fault({ when: (method) => method === "PATCH", status: 403 });
  await actuator.apply({ pool: "grm", from: 3, to: 2 }, []);
  expect(fake.replicas("grm-worker")).toBe(2);
});

/** Turns of the elector are HTTP, which takes real time, while its clock stands: `settled` waits for what is under way. */
function counted(api: KubernetesApi): KubernetesApi & { settled(): Promise<void> } {
  let pending = 0;
  const count =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    (...args: A): Promise<R> => {
      pending++;
      return call(...args).finally(() => pending--);
    };
  return {
    ...api,
    readLease: count(api.readLease),
    createLease: count(api.createLease),
    replaceLease: count(api.replaceLease),
    settled: async () => {
      // Between two calls of one turn nothing is under way for some promises' time.
      for (let quiet = 0; quiet < 5; quiet = pending === 0 ? quiet + 1 : 0) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}

const lease = { name: "covote-co-scaler", leaseMs: 15_000, renewMs: 10_000, retryMs: 2000 };

async function elect(fake: FakeKubernetes, identity: string, seed: number) {
  const clock = createManualClock();
  const api = counted(await open(fake, 500));
  const elector = startElector(
    { api, clock, random: createRandom(seed), log: silentLogger },
    { ...lease, identity },
  );
  const advance = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 2500) {
      await clock.advance(2500);
      await api.settled();
    }
  };
  await api.settled();
  return { elector, advance };
}

test("one of two leads; when it is killed the other takes over after the lease, not before", async () => {
  await using fake = await startFakeKubernetes();
  const a = await elect(fake, "a", 1);
  const b = await elect(fake, "b", 2);
  expect([a.elector.holds(), b.elector.holds()]).toEqual([true, false]);
  const acquired = fake.lease(lease.name)?.acquireTime;
  await a.advance(5000);
  await b.advance(5000);
  expect([a.elector.holds(), b.elector.holds()]).toEqual([true, false]);
  expect(fake.lease(lease.name)?.acquireTime).toBe(acquired);
  // Killed: its clock stands still for us, and nobody renews.
  await b.advance(10_000);
  expect(b.elector.holds()).toBe(false);
  await b.advance(5000);
  expect(b.elector.holds()).toBe(true);
  expect(fake.lease(lease.name)).toMatchObject({
    holderIdentity: "b",
    leaseTransitions: 1,
    leaseDurationSeconds: 15,
  });
  // It was only paused: at its next look it knows.
  await a.advance(10_000);
  expect(a.elector.holds()).toBe(false);
});

test("a leader that cannot renew stops before its lease can be taken, and leads again afterwards", async () => {
  await using fake = await startFakeKubernetes();
  const a = await elect(fake, "a", 1);
  fake.fault({ cut: "before" });
  await a.advance(7500);
  expect(a.elector.holds()).toBe(true);
  await a.advance(5000);
  expect(a.elector.holds()).toBe(false);
  expect(a.elector.problem()).toContain("is not reached");
  fake.heal();
  await a.advance(5000);
  expect(a.elector.holds()).toBe(true);
  expect(a.elector.problem()).toBeNull();
});

test("a lease that is given back is taken at once, and a missing right is told", async () => {
  await using fake = await startFakeKubernetes();
  const a = await elect(fake, "a", 1);
  const b = await elect(fake, "b", 2);
  await a.elector.stop();
  expect(a.elector.holds()).toBe(false);
  await b.advance(2500);
  expect(b.elector.holds()).toBe(true);
  fake.fault({ status: 403 });
  const c = await elect(fake, "c", 3);
  expect(c.elector.problem()).toContain("the verb get on leases");
});
