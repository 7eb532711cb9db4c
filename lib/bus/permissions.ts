/**
 * What each service of a cluster may do in NATS: exactly what it needs, in the words of nats-server's `permissions`.
 *
 * This is the only list. `covote nats permissions` prints it, the Helm chart is made from it, and a test lets each
 * service work with it on a real server and tries everything that it does not name.
 *
 * - Replies come to a prefix of the service's own (`nats.inboxPrefix`): nobody reads the answers of another.
 * - No service makes or removes streams, consumers or buckets but the steward, which needs `nats.provision`.
 * - A service whose NATS tells what it may not (rather than just dropping it) reports it as `failed_precondition`.
 */
import {
  type BucketName,
  buckets,
  type ObjectBucketName,
  objectBuckets,
  type QueueName,
  queueNames,
} from "./queues.js";
import { createSubjects, type Subjects } from "./subjects.js";
import { deadLetterStreamName, exhaustedConsumerName, exhaustedStreamName } from "./topology.js";

export const natsUsers = [
  "policy-sampler",
  "grm-worker",
  "meta-rm",
  "vote-aggregator",
  "grpo-learner",
  "co-scaler",
  "nats-steward",
] as const;
export type NatsUser = (typeof natsUsers)[number];

export interface NatsPermissions {
  publish: { allow: string[] };
  subscribe: { allow: string[] };
  /** Whoever is asked may answer, once, soon. */
  allow_responses: { max: number; expires: string };
}

/** `nats.inboxPrefix` of a service that runs with its own permissions. */
export function inboxPrefixOf(user: NatsUser): string {
  return `_INBOX_${user}`;
}

export function natsPermissions(cluster: string, user: NatsUser): NatsPermissions {
  const rights = rightsOf[user](createSubjects(cluster));
  const sorted = (subjects: readonly string[]): string[] => [...new Set(subjects)].sort();
  return {
    publish: { allow: sorted(rights.publish) },
    subscribe: { allow: sorted([...rights.subscribe, `${inboxPrefixOf(user)}.>`]) },
    allow_responses: { max: 1, expires: "1m" },
  };
}

interface Rights {
  publish: string[];
  subscribe: string[];
}

const rightsOf: Record<NatsUser, (subjects: Subjects) => Rights> = {
  "policy-sampler": (subjects) =>
    all(
      service(subjects, "policy-sampler"),
      asksAboutCluster(subjects),
      reportsLoad(subjects, "policy"),
      works(subjects, "prompts", "policy"),
      enqueues(subjects, "rollouts", "all"),
      followsModels(subjects),
    ),
  "grm-worker": (subjects) =>
    all(
      service(subjects, "grm-worker"),
      reportsLoad(subjects, "grm"),
      works(subjects, "ballots", "hi"),
      works(subjects, "ballots", "lo"),
      // When it is the reward model that learns.
      works(subjects, "prompts", "grm"),
      enqueues(subjects, "rollouts", "all"),
      followsModels(subjects),
      readsBucket(subjects, "principles"),
      writesBucket(subjects, "principles"),
      { publish: [`${subjects.root}.votes.*`], subscribe: [subjects.cancels()] },
    ),
  "meta-rm": (subjects) =>
    all(service(subjects, "meta-rm"), reportsLoad(subjects, "meta-rm"), followsModels(subjects), {
      publish: [],
      subscribe: [subjects.metaScores()],
    }),
  "vote-aggregator": (subjects) =>
    all(
      service(subjects, "vote-aggregator"),
      asksAboutCluster(subjects),
      reportsLoad(subjects, "aggregator"),
      works(subjects, "rollouts", "all"),
      enqueues(subjects, "ballots", "*"),
      enqueues(subjects, "experience", "*"),
      readsBucket(subjects, "judgments"),
      writesBucket(subjects, "judgments"),
      readsObjects(subjects, "records"),
      writesObjects(subjects, "records"),
      {
        publish: [subjects.cancels(), subjects.metaScores()],
        subscribe: [`${subjects.root}.votes.*`],
      },
    ),
  "grpo-learner": (subjects) =>
    all(
      service(subjects, "grpo-learner"),
      reportsLoad(subjects, "learner"),
      // A channel per run, which the steward makes.
      works(subjects, "experience", "*"),
      enqueues(subjects, "prompts", "*"),
      readsBucket(subjects, "versions"),
      writesBucket(subjects, "versions"),
      readsObjects(subjects, "weights"),
      writesObjects(subjects, "weights"),
      { publish: [subjects.events()], subscribe: [] },
    ),
  "co-scaler": (subjects) =>
    all(service(subjects, "co-scaler"), asksAboutCluster(subjects), writesBucket(subjects, "scaling"), {
      publish: [subjects.events()],
      subscribe: [subjects.events()],
    }),
  "nats-steward": (subjects) => all(service(subjects, "nats-steward"), ownsTopology(subjects)),
};

/** What every process does: it answers who it is, and looks whether the queues are still those of before. */
function service({ stream }: Subjects, name: string): Rights {
  const verbs = ["PING", "INFO", "STATS"];
  return {
    publish: queueNames.map((queue) => api("STREAM.INFO", stream(queue))),
    subscribe: verbs.flatMap((verb) => [`$SRV.${verb}`, `$SRV.${verb}.${name}`, `$SRV.${verb}.${name}.*`]),
  };
}

/** `covote status` and `covote top` may be asked of whoever answers over gRPC. */
function asksAboutCluster(subjects: Subjects): Rights {
  const streams = [...queueNames.map((queue) => subjects.stream(queue)), deadLetterStreamName(subjects)];
  return all(
    {
      publish: [
        "$SRV.STATS",
        ...streams.flatMap((stream) => [api("STREAM.INFO", stream), api("CONSUMER.LIST", stream)]),
      ],
      subscribe: [`${subjects.root}.discovery.*`, subjects.loads()],
    },
    readsBucket(subjects, "versions"),
    readsBucket(subjects, "scaling"),
  );
}

function reportsLoad(subjects: Subjects, role: string): Rights {
  return { publish: [subjects.loads(role)], subscribe: [] };
}

function works(subjects: Subjects, queue: QueueName, channel: string): Rights {
  const consumer = `${subjects.stream(queue)}.${channel}`;
  return {
    publish: [
      api("CONSUMER.INFO", consumer),
      api("CONSUMER.MSG.NEXT", consumer),
      `$JS.ACK.${consumer}.>`,
      subjects.deadLetters(queue),
    ],
    subscribe: [],
  };
}

function enqueues({ root }: Subjects, queue: QueueName, channel: string): Rights {
  return { publish: [`${root}.queue.${queue}.${channel}`], subscribe: [] };
}

function followsModels(subjects: Subjects): Rights {
  return all(readsBucket(subjects, "versions"), readsObjects(subjects, "weights"));
}

/** Reading a stream that is a bucket: its last messages, and all of them through a consumer that nobody else sees. */
function readsStream(stream: string): Rights {
  return {
    publish: [
      api("STREAM.INFO", stream),
      api("STREAM.MSG.GET", stream),
      api("DIRECT.GET", stream),
      api("DIRECT.GET", `${stream}.>`),
      api("CONSUMER.CREATE", `${stream}.>`),
      api("CONSUMER.INFO", `${stream}.*`),
      api("CONSUMER.DELETE", `${stream}.*`),
      `$JS.FC.${stream}.>`,
    ],
    subscribe: [],
  };
}

function readsBucket(subjects: Subjects, bucket: BucketName): Rights {
  return readsStream(keyValueStream(subjects, bucket));
}

function writesBucket(subjects: Subjects, bucket: BucketName): Rights {
  return { publish: [`$KV.${subjects.resource(bucket)}.>`], subscribe: [] };
}

function readsObjects(subjects: Subjects, bucket: ObjectBucketName): Rights {
  return readsStream(objectStream(subjects, bucket));
}

function writesObjects(subjects: Subjects, bucket: ObjectBucketName): Rights {
  return {
    publish: [`$O.${subjects.resource(bucket)}.>`, api("STREAM.PURGE", objectStream(subjects, bucket))],
    subscribe: [],
  };
}

/** Makes streams, consumers and buckets, makes lost ones again, and sweeps stranded items into the dead letters. */
function ownsTopology(subjects: Subjects): Rights {
  const queues = queueNames.map((queue) => subjects.stream(queue));
  const exhausted = exhaustedStreamName(subjects);
  const bucketStreams = [
    ...(Object.keys(buckets) as BucketName[]).map((bucket) => keyValueStream(subjects, bucket)),
    ...(Object.keys(objectBuckets) as ObjectBucketName[]).map((bucket) => objectStream(subjects, bucket)),
  ];
  const streams = [...queues, deadLetterStreamName(subjects), exhausted, ...bucketStreams];
  return {
    publish: [
      "$JS.API.INFO",
      ...streams.flatMap((stream) =>
        ["INFO", "CREATE", "UPDATE"].map((verb) => api(`STREAM.${verb}`, stream)),
      ),
      ...[...queues, exhausted].flatMap((stream) => [
        api("CONSUMER.INFO", `${stream}.*`),
        api("CONSUMER.CREATE", `${stream}.>`),
        api("CONSUMER.DURABLE.CREATE", `${stream}.*`),
      ]),
      ...queues.flatMap((stream) => [api("STREAM.MSG.GET", stream), api("STREAM.MSG.DELETE", stream)]),
      api("CONSUMER.MSG.NEXT", `${exhausted}.${exhaustedConsumerName}`),
      `$JS.ACK.${exhausted}.${exhaustedConsumerName}.>`,
      subjects.deadLetters(),
    ],
    subscribe: [],
  };
}

function keyValueStream(subjects: Subjects, bucket: BucketName): string {
  return `KV_${subjects.resource(bucket)}`;
}

function objectStream(subjects: Subjects, bucket: ObjectBucketName): string {
  return `OBJ_${subjects.resource(bucket)}`;
}

function api(verb: string, what: string): string {
  return `$JS.API.${verb}.${what}`;
}

function all(...rights: readonly Rights[]): Rights {
  return {
    publish: rights.flatMap(({ publish }) => publish),
    subscribe: rights.flatMap(({ subscribe }) => subscribe),
  };
}
