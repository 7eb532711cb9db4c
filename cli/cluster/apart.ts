/** A configuration for services that must not mix with a cluster that runs: free ports and a NATS of their own. */
import type { CovoteConfig } from "../../lib/host/covote-config.js";

export function apart(config: CovoteConfig): CovoteConfig {
  return {
    ...config,
    nats: { ...config.nats, url: null },
    grpc: { ...config.grpc, address: "127.0.0.1:0", tls: { certFile: null, keyFile: null, caFile: null } },
    http: { ...config.http, address: null },
    metrics: { ...config.metrics, host: "127.0.0.1", port: 0 },
  };
}
