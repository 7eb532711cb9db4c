/** The services that judge, and nothing else, in this process: what `covote score` starts when no cluster runs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { GenerativeEngine, ScalarEngine } from "../../lib/engine/engine.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { createHost } from "../../lib/host/host.js";
import { createLogger } from "../../lib/host/log.js";
import { createRuntime } from "../../lib/runtime/runtime.js";
import { mountGrmWorker } from "../../services/grm-worker/mount.js";
import { mountMetaRm } from "../../services/meta-rm/mount.js";
import { mountVoteAggregator } from "../../services/vote-aggregator/mount.js";
import { apart } from "../cluster/apart.js";
import { openClusterNats } from "../cluster/nats.js";

export interface JudgingCluster {
  /** `host:port` of the RewardService. */
  readonly rewards: string;
  /** Resolves with the cause when a service has failed for good. */
  readonly failed: Promise<CovoteError>;
  stop(): Promise<void>;
}

export interface JudgingClusterOptions {
  config: CovoteConfig;
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  /** Default: the configured checkpoints. */
  engines?: { grm: () => Promise<GenerativeEngine>; metaRm: () => Promise<ScalarEngine> };
}

/** Listens on free ports; what it writes lies in a temporary folder that `stop` removes. */
export async function openJudgingCluster(options: JudgingClusterOptions): Promise<JudgingCluster> {
  const { env, clock, engines } = options;
  const config = apart(options.config);
  const dir = mkdtempSync(join(tmpdir(), "covote-score-"));
  const removeDir = (): void => rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  try {
    const log = createLogger({
      name: "covote",
      level: config.log.level,
      destination: join(dir, "covote.log"),
    });
    const nats = await openClusterNats({ config, dataDir: join(dir, "nats"), env, clock, log });
    const { drainTimeoutMs } = config.cluster;
    const host = createHost({ name: "covote", log, clock, drainTimeoutMs });
    nats.failed.catch((cause: unknown) => host.fail(cause));
    const runtime = createRuntime({ host, config, clock, natsUrl: nats.url, env });
    mountMetaRm(runtime, engines && { openEngine: engines.metaRm });
    for (let n = 1; n <= config.grm.workers; n++) {
      mountGrmWorker(runtime, {
        name: `grm-worker-${n}`,
        ...(engines && { openEngine: engines.grm }),
      });
    }
    mountVoteAggregator(runtime);
    const stop = async (): Promise<void> => {
      await host.stop("the command has ended");
      await nats.stop();
      log.flush();
      removeDir();
    };
    await runtime.start().catch(async (cause: unknown) => {
      await stop();
      throw cause;
    });
    const rewards = runtime.grpcAddress();
    if (rewards === null) throw new CovoteError("internal", "the judging services do not speak gRPC");
    const failed = host.done.then((end) =>
      end.t === "failed" ? end.cause : new Promise<CovoteError>(() => undefined),
    );
    return { rewards, failed, stop };
  } catch (cause) {
    removeDir();
    throw cause;
  }
}
