/** Which reward service `covote score` asks: a running one, or one that it starts for itself. */
import { connect } from "node:net";
import type { ChannelCredentials } from "@grpc/grpc-js";
import type { Clock } from "../../lib/core/clock.js";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { type ListenAddress, parseListenAddress } from "../../lib/host/listen.js";
import { preflight } from "../preflight.js";
import { type TlsFlags, tlsOfConfig, tlsOfFlags } from "../tls-options.js";
import { openJudgingCluster } from "./judging-cluster.js";

export interface Target {
  address: string;
  /** Undefined: without TLS. */
  credentials: ChannelCredentials | undefined;
  /** True when it was started here. */
  own: boolean;
  /** Resolves with the cause when what was started here has failed for good. */
  failed: Promise<CovoteError>;
  close(): Promise<void>;
}

export interface TargetOptions {
  config: CovoteConfig;
  /** What the user gave as `--address`. */
  address: string | undefined;
  /** What the user gave as `--tls…`. */
  tls: TlsFlags;
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  /** Told before something is started here. */
  note(text: string): void;
}

const probeMs = 2000;

export async function openTarget(options: TargetOptions): Promise<Target> {
  const { config, clock } = options;
  const credentials = await tlsOfFlags(options.tls);
  if (options.address !== undefined) {
    const given = parseListenAddress("--address", options.address);
    if (given.port === 0)
      throw invalid("--address", "port 0 is no service; give the port that covote up printed");
    if (await listens(given)) return running(options.address, credentials);
    throw new CovoteError(
      "unavailable",
      `--address: nothing listens on ${options.address}; start a cluster with covote up, or leave --address out`,
      { field: "--address" },
    );
  }
  if (credentials !== undefined) throw invalid("--address", "is missing; give the cluster that speaks TLS");
  const usual = parseListenAddress("grpc.address", config.grpc.address);
  if (usual.port !== 0 && (await listens(usual))) {
    return running(config.grpc.address, await tlsOfConfig(config));
  }
  const apart = { ...config, nats: { ...config.nats, url: null } };
  await preflight(apart, { roles: ["grm", "meta-rm"], listen: "none", processes: 1, env: options.env });
  const why = usual.port === 0 ? "no cluster is named" : `nothing listens on ${config.grpc.address}`;
  options.note(`${why}: starting the judging services here (covote up keeps them running)`);
  const cluster = await openJudgingCluster({ config, env: options.env, clock });
  return {
    address: cluster.rewards,
    credentials: undefined,
    own: true,
    failed: cluster.failed,
    close: cluster.stop,
  };
}

function running(address: string, credentials: ChannelCredentials | undefined): Target {
  return {
    address,
    credentials,
    own: false,
    failed: new Promise(() => undefined),
    close: async () => undefined,
  };
}

/** Whether a server accepts connections there. */
function listens({ host, port }: ListenAddress): Promise<boolean> {
  const wildcard = host === "0.0.0.0" || host === "::";
  return new Promise((resolve) => {
    const socket = connect({ host: wildcard ? "127.0.0.1" : host, port, timeout: probeMs });
    const end = (open: boolean): void => {
      socket.destroy();
      resolve(open);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    socket.once("timeout", () => end(false));
  });
}
