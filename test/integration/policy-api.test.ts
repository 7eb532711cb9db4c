import { expect, test } from "vitest";
import { systemClock } from "../../lib/core/clock.js";
import { deadlineIn } from "../../lib/core/deadline.js";
import { silentLogger } from "../../lib/core/logger.js";
import { createGrpcServer } from "../../lib/host/grpc.js";
import { createGrpcClient } from "../../lib/host/grpc-client.js";
import { createHealth } from "../../lib/host/health.js";
import { formatAddress } from "../../lib/host/listen.js";
import { PolicyServiceService, SampleRequest } from "../../lib/wire/gen/covote/v1/policy.js";
import { policyApi } from "../../services/policy-sampler/policy-api.js";
import { votingEngine } from "../support/reward-cluster.js";

const turn = (role: string, content = "query to friend") => ({ role, content });

test("Sample: responses of one version; what cannot be sampled is refused with the field", async () => {
  const server = await createGrpcServer({
    address: { host: "127.0.0.1", port: 0 },
    services: [policyApi(votingEngine())],
    log: silentLogger,
    health: createHealth(),
  });
  const client = createGrpcClient({ address: formatAddress(server.address), what: "policy service" });
  const sample = (over: Partial<SampleRequest>) =>
    client.unary(
      PolicyServiceService.sample,
      SampleRequest.create({
        query: { messages: [turn("user")] },
        groupSize: 2,
        temperature: 1,
        maxTokens: 8,
        ...over,
      }),
    );
  try {
    const { responses, policyVersion } = await sample({});
    expect(responses).toHaveLength(2);
    expect(policyVersion).toBe("grm-1");
    const refused: [Partial<SampleRequest>, string][] = [
      [{ query: undefined }, "query.messages: is empty; send at least one turn"],
      [
        { query: { messages: [turn("system"), turn("robot"), turn("user")] } },
        'query.messages[1].role: must be one of system, user, assistant, got "robot"',
      ],
      [{ groupSize: 65 }, "group_size: must be 1 to 64, got 65"],
      [{ temperature: Number.NaN }, "temperature: must be 0 or within 0.01 to 2, got NaN"],
      [{ temperature: 0.001 }, "temperature: must be 0 or within 0.01 to 2, got 0.001"],
    ];
    for (const [over, message] of refused) {
      await expect(sample(over)).rejects.toMatchObject({ code: "invalid_argument", message });
    }
  } finally {
    client.close();
    await server.stop(deadlineIn(systemClock(), 500));
  }
});
