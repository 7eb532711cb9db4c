/** `covote.v1.ClusterService`: what the cluster consists of now, as NATS knows it. Every process can say it. */
import type { Bus } from "../bus/bus.js";
import { discoverServices } from "../bus/discover-services.js";
import { currentModel, type ModelRole } from "../bus/model-versions.js";
import type { Clock } from "../core/clock.js";
import type { GrpcService } from "../host/grpc.js";
import { unary } from "../host/grpc-call.js";
import { ClusterServiceService, type GetStatusResponse } from "../wire/gen/covote/v1/cluster.js";
import { createScalingView } from "./scaling-view.js";

const roles: readonly ModelRole[] = ["policy", "grm", "meta-rm"];

export function clusterApi(bus: Bus, clock: Clock): GrpcService {
  const getStatus = async (): Promise<GetStatusResponse> => {
    const [services, queues, models] = await Promise.all([
      discoverServices(bus, clock),
      bus.queueStatus(),
      Promise.all(roles.map((role) => currentModel(bus, role))),
    ]);
    return {
      cluster: bus.cluster,
      services,
      queues: queues.map(({ queue, ...counts }) => ({ ...counts, stream: queue })),
      models: models
        .filter((model) => model !== null)
        .map(({ role, version, publishedAtMs }) => ({ role, version, publishedAtMs })),
    };
  };
  const scaling = createScalingView(bus, clock);
  return {
    definition: ClusterServiceService,
    implementation: { getStatus: unary(getStatus), getScaling: unary(scaling.read) },
  };
}
