/**
 * What each value of the chart may be: the source of charts/covote/values.schema.json.
 *
 * Every section refuses keys that it does not know, so that a misspelt one stops the installation with its name. What
 * belongs to Kubernetes (affinity, resources, volumes) is left to Kubernetes; `config` is covote's own schema.
 */

import { latencySecondsBuckets } from "../../dist/lib/host/metrics.js";

/** @typedef {Record<string, unknown>} Schema */

/** @param {string} description @param {Schema} [more] @returns {Schema} */
const text = (description, more = {}) => ({ type: "string", description, ...more });
/** @param {string} description @returns {Schema} */
const flag = (description) => ({ type: "boolean", description });
/** @param {string} description @param {number} minimum @param {number} [maximum] @returns {Schema} */
const whole = (description, minimum, maximum) => ({
  type: "integer",
  description,
  minimum,
  ...(maximum === undefined ? {} : { maximum }),
});
/** @param {readonly (string | number)[]} values @param {string} description @returns {Schema} */
const oneOf = (values, description) => ({ enum: values, description });
/** @param {Record<string, Schema>} properties @param {string} [description] @returns {Schema} */
const section = (properties, description) => ({
  type: "object",
  ...(description === undefined ? {} : { description }),
  additionalProperties: false,
  properties,
});
/** What Kubernetes checks. @param {string} description @returns {Schema} */
const kubernetes = (description) => ({ type: "object", description });
/** @param {Schema} items @param {string} description @returns {Schema} */
const list = (items, description) => ({ type: "array", items, description });
/** @param {string} description @returns {Schema} */
const words = (description) => ({ type: "object", description, additionalProperties: { type: "string" } });

const port = (/** @type {string} */ description) => whole(description, 1, 65_535);
const url = "^$|^https?://[^\\s/?#@]+(/[^\\s?#]*)?$";

/** What the pods of every service have. */
const anyService = {
  enabled: flag("Run it."),
  resources: kubernetes("Resources of covote's own container."),
  priorityClassName: text("PriorityClass; empty: the chart's own class for the service, when it makes them."),
  podDisruptionBudget: section(
    {
      enabled: flag("Limit how many pods an eviction may take at a time."),
      maxUnavailable: {
        type: ["integer", "string"],
        minimum: 0,
        pattern: "^(100|[1-9]?[0-9])%$",
        description: "How many, or which share.",
      },
    },
    "Limits of evictions.",
  ),
  nodeSelector: words("Labels of the nodes that its pods go to."),
  tolerations: list(kubernetes("One toleration."), "Taints that its pods bear."),
  affinity: kubernetes("Affinity of its pods."),
  podAnnotations: words("Annotations of its pods."),
  podLabels: words("Labels of its pods."),
  env: list(kubernetes("One variable."), "Environment of its container."),
};

const replicas = whole("Pods.", 0);

const engineFields = {
  image: text("Image of the side-car: any server that speaks the OpenAI API."),
  url: text("Address of an endpoint that is already there.", { pattern: url }),
  model: text("Model to load: a name of a hub or a path below /models."),
  servedName: text("Name that the server calls it; empty: the same."),
  client: kubernetes("How covote calls it: what `covote config` lists as `grm.engine`."),
  gpus: whole("GPUs of each pod.", 0, 64),
  port: port("Port of the side-car."),
  command: list({ type: "string" }, "Replaces the image's command."),
  args: list({ type: "string" }, "Replaces the arguments that the chart makes."),
  extraArgs: list({ type: "string" }, "Further arguments."),
  env: list(kubernetes("One variable."), "Environment of the side-car."),
  hubTokenSecret: text("Secret whose key `token` is the token of the model hub."),
  healthPath: text("Path that answers 200 when the model is loaded.", { pattern: "^/" }),
  startup: section(
    {
      periodSeconds: whole("Time between two looks.", 1),
      failureThreshold: whole("Looks until the pod is given up.", 1),
    },
    "How long the model may load.",
  ),
  resources: kubernetes("Resources of the side-car besides its GPUs."),
  readOnlyRootFilesystem: flag("Whether the engine writes only to its volumes."),
  shmSize: text("Size of /dev/shm."),
  cacheVolume: kubernetes("Volume at /cache; empty: a temporary one."),
};

const engineOfService = section(
  {
    mode: oneOf(["embedded", "sidecar", "endpoint"], "How the model is served."),
    ...engineFields,
  },
  "The engine of the service.",
);

const withEngine = { ...anyService, replicas, engine: engineOfService };

/** @param {string} what */
const pool = (what) =>
  section(
    { min: whole(`Least pods of the ${what}.`, 0), max: whole(`Most pods of the ${what}.`, 0) },
    `Bounds of the ${what}.`,
  );

const labels = words("Labels.");

/**
 * @param {Schema} covote JSON schema of covote's configuration.
 * @param {readonly string[]} users Services that are users of NATS.
 * @returns {Schema}
 */
export function valuesSchema(covote, users) {
  const { $schema: _, ...config } = covote;
  const nkey = text("Public nkey.", { pattern: "^U[A-Z2-7]{55}$" });
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Values of the covote chart",
    ...section({
      nameOverride: text("Name of the chart in the names of objects."),
      fullnameOverride: text("First part of the names of all objects."),
      commonLabels: words("Labels of all objects."),
      global: kubernetes("Values that Helm shares with sub-charts."),
      image: section({
        repository: text("Registry and name of covote's image.", { minLength: 1 }),
        tag: text("Empty: the chart's appVersion."),
        digest: text("Used instead of the tag.", { pattern: "^$|^sha256:[0-9a-f]{64}$" }),
        pullPolicy: oneOf(["Always", "IfNotPresent", "Never"], "When to pull."),
        pullSecrets: list({ type: "string" }, "Names of Secrets for the registry."),
      }),
      config: { ...config, description: "covote's own configuration." },
      bus: section({
        url: text("NATS that is already there.", { pattern: "^$|^(nats|tls|ws|wss)://\\S+$" }),
        replicas: whole("Copies of each stream and bucket.", 1, 5),
        outageTimeoutMs: whole("How long NATS may be away, in milliseconds.", 1000, 86_400_000),
        auth: section({
          enabled: flag("Each service is a NATS user of its own."),
          existingSecret: text("Secret with the seeds."),
          nkeys: section(Object.fromEntries(users.map((user) => [user, nkey])), "Public nkeys by service."),
        }),
        tls: section({
          existingSecret: text("Secret with `ca.crt`, and `tls.crt` and `tls.key`."),
          clientCertificate: flag("Show the certificate of the Secret to NATS."),
        }),
      }),
      grpc: section({
        port: port("Port of the services that answer over gRPC."),
        reflection: flag("Server reflection."),
        tls: section({
          enabled: flag("Serve TLS."),
          clientVerification: flag("Only clients of the authority in `ca.crt` are served."),
          existingSecret: text("Secret with `tls.crt`, `tls.key` and `ca.crt`."),
          certManager: section({
            enabled: flag("Make a Certificate."),
            issuerRef: section({
              name: text("Name of the issuer."),
              kind: oneOf(["Issuer", "ClusterIssuer"], "Kind of the issuer."),
            }),
            extraDnsNames: list({ type: "string" }, "Further names in the certificate."),
            duration: text("Life of the certificate."),
          }),
        }),
      }),
      http: section({
        enabled: flag("Serve rewards as JSON over HTTP, too."),
        port: port("Port of the vote-aggregator's HTTP door."),
      }),
      metrics: section({ port: port("Port of /metrics, /healthz and /readyz.") }),
      pods: section({
        nodeSelector: anyService.nodeSelector,
        tolerations: anyService.tolerations,
        affinity: anyService.affinity,
        annotations: anyService.podAnnotations,
        labels: anyService.podLabels,
        runAsUser: whole("Identity of the processes; never root.", 1),
        preStopSeconds: whole("Time between not ready and the order to stop.", 0, 600),
      }),
      gpu: section({
        resource: text("Name of the GPU in resources.limits.", { minLength: 1 }),
        nodeSelector: anyService.nodeSelector,
        tolerations: anyService.tolerations,
        runtimeClassName: text("RuntimeClass of GPU pods."),
        dra: section({
          enabled: flag("Ask for GPUs with resource claims."),
          deviceClassName: text("DeviceClass of the GPUs.", { minLength: 1 }),
          selectors: list({ type: "string" }, "CEL expressions that a device must satisfy."),
        }),
      }),
      engine: section(engineFields),
      modelsVolume: kubernetes("Volume with weights."),
      policySampler: section(withEngine),
      grmWorker: section(withEngine),
      metaRm: section(withEngine),
      voteAggregator: section({
        ...anyService,
        replicas,
        service: section({
          type: oneOf(["ClusterIP", "NodePort", "LoadBalancer"], "Type of the Service."),
          annotations: words("Annotations of the Service."),
        }),
      }),
      grpoLearner: section({
        ...anyService,
        run: text("Name of the run.", { pattern: "^[A-Za-z0-9_-]{1,64}$" }),
        persistence: section({
          enabled: flag("Keep the state on a volume."),
          existingClaim: text("A claim that is already there."),
          storageClassName: text("StorageClass."),
          accessMode: oneOf(["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"], "Access mode."),
          size: text("Size of the volume."),
        }),
      }),
      coScaler: section({
        ...anyService,
        replicas,
        budgetGpus: whole("GPUs that the pools may have together; 0: what they have at the start.", 0),
        dryRun: flag("Decide and tell, and change nothing."),
        pools: section({
          policy: pool("policy-sampler"),
          grm: pool("grm-worker"),
          metaRm: pool("meta-rm"),
        }),
        keda: section({
          enabled: flag("Let KEDA scale; the co-scaler tells it how many."),
          pollingInterval: whole("Seconds between two questions of KEDA.", 1),
        }),
      }),
      natsSteward: section(anyService),
      priorityClasses: section({
        create: flag("Make PriorityClasses."),
        control: whole("Priority of learner, aggregator, co-scaler and steward.", 0, 1_000_000_000),
        reward: whole("Priority of GRM and meta RM.", 0, 1_000_000_000),
        policy: whole("Priority of the policy-sampler.", 0, 1_000_000_000),
      }),
      topologySpread: section({
        keys: list({ type: "string" }, "Keys of the domains."),
        whenUnsatisfiable: oneOf(["ScheduleAnyway", "DoNotSchedule"], "What if it cannot be."),
      }),
      networkPolicy: section({
        enabled: flag("Refuse all traffic of covote's pods but what they need."),
        grpcFrom: list(kubernetes("One peer."), "Who may call gRPC."),
        metricsFrom: list(kubernetes("One peer."), "Who may read metrics."),
        extraEgress: list(kubernetes("One rule."), "Further egress rules of all pods."),
        engineEgress: list(kubernetes("One rule."), "Egress rules of pods with an engine."),
        apiServerPorts: list(port("One port."), "Ports of the API server."),
      }),
      monitoring: section({
        podMonitor: section({
          enabled: flag("Make a PodMonitor."),
          interval: text("Time between two scrapes.", { pattern: "^[0-9]+(ms|s|m)$" }),
          labels,
        }),
        prometheusRule: section({
          enabled: flag("Make PrometheusRules."),
          rewardSeconds: oneOf(latencySecondsBuckets, "Time within which a reward is to come, in seconds."),
          runbookUrl: text("Where the repository is served.", { pattern: "^(https?://\\S+)?$" }),
          labels,
        }),
        dashboards: section({
          enabled: flag("Make ConfigMaps of the dashboards."),
          labels,
          folder: text("Folder in Grafana."),
        }),
      }),
      nats: {
        type: "object",
        description: "Values of the NATS chart.",
        properties: { enabled: flag("Install NATS with covote.") },
      },
    }),
  };
}
