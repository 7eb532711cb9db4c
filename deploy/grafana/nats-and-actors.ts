/** *NATS and actors*: is anything lost, stuck or starved? */
import { type DashboardSpec, graph, number, of, rate } from "./panels.js";

const byQueue = (metric: string): string => `max by (queue) (${of(metric)})`;

export const natsAndActors: DashboardSpec = {
  uid: "covote-nats-actors",
  title: "covote / NATS and actors",
  description: "Is anything lost, stuck or starved? The bus, the actors and the processes that they live in.",
  sections: [
    {
      title: "Is anything wrong?",
      panels: [
        number({
          title: "Not connected",
          description: "Processes without NATS now. They wait, and go on where they were.",
          unit: "short",
          limits: { bad: 1 },
          queries: [
            {
              expr: `count(${of("covote_bus_connected")}) - sum(${of("covote_bus_connected")})`,
              legend: "processes",
            },
          ],
        }),
        number({
          title: "Dead letters kept",
          description:
            "Items that nobody could handle, of the last week. covote status lists them, with the reason.",
          unit: "short",
          limits: { bad: 1 },
          queries: [{ expr: `sum(${byQueue("covote_queue_dead_letter_messages")})`, legend: "letters" }],
        }),
        number({
          title: "Stranded",
          description:
            "Items that no consumer waits for or has in hand. A moment is normal; minutes are not.",
          unit: "short",
          limits: { bad: 1 },
          queries: [{ expr: `sum(${byQueue("covote_queue_stranded_messages")})`, legend: "items" }],
        }),
        number({
          title: "Fullest queue",
          description: "Share of its bound; a full queue refuses, and whoever fills it waits.",
          unit: "percentunit",
          limits: { warn: 0.5, bad: 0.8 },
          queries: [
            {
              expr: `max(${of("covote_queue_messages")} / ${of("covote_queue_max_messages")})`,
              legend: "items",
            },
            {
              expr: `max(${of("covote_queue_size_bytes")} / ${of("covote_queue_max_size_bytes")})`,
              legend: "bytes",
            },
          ],
        }),
        number({
          title: "Actor failures, 1 h",
          description: "Failures of actors, whatever became of them. Look at the log for the error.",
          unit: "short",
          limits: { bad: 1 },
          queries: [{ expr: `sum(increase(${of("covote_actor_failures_total")}[1h]))`, legend: "failures" }],
        }),
        number({
          title: "Event-loop lag p99",
          description: "Worst process. Beyond 100 ms it answers late: it computes where it should only talk.",
          unit: "s",
          limits: { warn: 0.05, bad: 0.2 },
          queries: [{ expr: `max(${of("nodejs_eventloop_lag_p99_seconds")})`, legend: "lag" }],
        }),
      ],
    },
    {
      title: "Work queues",
      panels: [
        graph({
          title: "Backlog",
          description:
            "Items that wait to be delivered. One that grows shows who is too slow: the service that reads it.",
          unit: "short",
          min: 0,
          queries: [{ expr: byQueue("covote_queue_pending_messages"), legend: "{{queue}}" }],
        }),
        graph({
          title: "In hand",
          description:
            "Items delivered and not yet acknowledged. Flat at a bound with a backlog: workers hang.",
          unit: "short",
          min: 0,
          queries: [{ expr: byQueue("covote_queue_ack_pending_messages"), legend: "{{queue}}" }],
        }),
        graph({
          title: "Stranded items",
          description:
            "By queue. In experience: what an ended run left; in others: workers that died at the last delivery.",
          unit: "short",
          min: 0,
          queries: [{ expr: byQueue("covote_queue_stranded_messages"), legend: "{{queue}}" }],
        }),
        graph({
          title: "Fill",
          description: "Share of the bound in items and in bytes.",
          unit: "percentunit",
          min: 0,
          limits: { warn: 0.5, bad: 0.8 },
          queries: [
            {
              expr: `max by (queue) (${of("covote_queue_messages")} / ${of("covote_queue_max_messages")})`,
              legend: "{{queue}} items",
            },
            {
              expr: `max by (queue) (${of("covote_queue_size_bytes")} / ${of("covote_queue_max_size_bytes")})`,
              legend: "{{queue}} bytes",
            },
          ],
        }),
        graph({
          title: "Redeliveries",
          description:
            "Items a second that somebody had before. A few after a restart; many: work takes longer than its lease.",
          unit: "reqps",
          queries: [
            { expr: `sum by (queue) (${rate("covote_bus_redeliveries_total")})`, legend: "{{queue}}" },
            { expr: `sum(${byQueue("covote_queue_redelivered_messages")})`, legend: "in hand again" },
          ],
        }),
        graph({
          title: "Dead letters",
          description: "Written a second, by queue.",
          unit: "reqps",
          queries: [{ expr: `sum by (queue) (${rate("covote_dead_letters_total")})`, legend: "{{queue}}" }],
        }),
      ],
    },
    {
      title: "Connections and actors",
      panels: [
        graph({
          title: "Bus events",
          description:
            "A second. overloaded: a queue refused; lease_lost: a process was away for longer than its lease.",
          unit: "reqps",
          queries: [{ expr: `sum by (event) (${rate("covote_bus_events_total")})`, legend: "{{event}}" }],
        }),
        graph({
          title: "Actors",
          description:
            "Of the top level: one for each judgment in flight. Growing for ever: they do not end.",
          unit: "short",
          min: 0,
          queries: [{ expr: `sum by (service) (${of("covote_actors")})`, legend: "{{service}}" }],
        }),
        graph({
          title: "Failures, restarts, dead letters of actors",
          description:
            "A second. Letters to stopped actors are normal: votes that come after their judgment.",
          unit: "reqps",
          queries: [
            { expr: `sum(${rate("covote_actor_failures_total")})`, legend: "failures" },
            { expr: `sum(${rate("covote_actor_restarts_total")})`, legend: "restarts" },
            {
              expr: `sum by (reason) (${rate("covote_actor_dead_letters_total")})`,
              legend: "letters: {{reason}}",
            },
          ],
        }),
      ],
    },
    {
      title: "Processes",
      panels: [
        graph({
          title: "Event-loop lag by service",
          description:
            "p99, worst process of each service. Engines have threads of their own: what lags is the code that talks.",
          unit: "s",
          min: 0,
          limits: { warn: 0.05, bad: 0.2 },
          width: 6,
          queries: [
            { expr: `max by (service) (${of("nodejs_eventloop_lag_p99_seconds")})`, legend: "{{service}}" },
          ],
        }),
        graph({
          title: "CPU",
          description: "Cores that a service uses, threads of embedded engines included.",
          unit: "short",
          min: 0,
          width: 6,
          queries: [
            { expr: `sum by (service) (${rate("process_cpu_seconds_total")})`, legend: "{{service}}" },
          ],
        }),
        graph({
          title: "Memory",
          description: "Resident, by service. Queues are bounded: it should be flat.",
          unit: "bytes",
          min: 0,
          width: 6,
          queries: [
            { expr: `sum by (service) (${of("process_resident_memory_bytes")})`, legend: "{{service}}" },
          ],
        }),
        graph({
          title: "Processes by version",
          description: "What runs. Two versions: a roll-out is under way, or stuck.",
          unit: "short",
          min: 0,
          width: 6,
          queries: [
            {
              expr: `count by (service, version) (${of("covote_build_info")})`,
              legend: "{{service}} {{version}}",
            },
          ],
        }),
      ],
    },
  ],
};
