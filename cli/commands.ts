/**
 * The commands of `covote`, by name. Each is loaded when it is called for: what a command needs (gRPC, NATS, the
 * engine) takes longer to load than most of them take to run.
 */
import type { Command } from "commander";
import type { Terminal } from "./terminal.js";

export interface CommandEntry {
  /** One line for `covote --help`. */
  summary: string;
  load(terminal: Terminal): Promise<Command>;
}

export const commands: Readonly<Record<string, CommandEntry>> = {
  up: {
    summary: "start nats-server and every service here, until Ctrl-C",
    load: async (terminal) => (await import("./up/command.js")).upCommand(terminal),
  },
  train: {
    summary: "train a policy online from the votes of a reward model",
    load: async (terminal) => (await import("./train/command.js")).trainCommand(terminal),
  },
  spct: {
    summary: "train the reward model: rejective fine-tuning, rule-based RL",
    load: async (terminal) => (await import("./spct/command.js")).spctCommand(terminal),
  },
  score: {
    summary: "rewards for responses, with the votes behind them",
    load: async (terminal) => (await import("./score/command.js")).scoreCommand(terminal),
  },
  eval: {
    summary: "accuracy of the reward model on benchmark files, against votes",
    load: async (terminal) => (await import("./eval/command.js")).evalCommand(terminal),
  },
  plan: {
    summary: "steps per hour, split and k for a budget of GPUs",
    load: async (terminal) => (await import("./plan/command.js")).planCommand(terminal),
  },
  status: {
    summary: "services, queues and models of a running cluster",
    load: async (terminal) => (await import("./status.js")).statusCommand(terminal),
  },
  top: {
    summary: "pools, loads and scaling decisions of a running cluster, live",
    load: async (terminal) => (await import("./top/command.js")).topCommand(terminal),
  },
  tally: {
    summary: "replay recorded votes through the tally",
    load: async () => (await import("./tally.js")).tallyCommand(),
  },
  models: {
    summary: "list, inspect and train checkpoints",
    load: async (terminal) => (await import("./models/command.js")).modelsCommand(terminal),
  },
  config: {
    summary: "print the configuration, every field with a sentence",
    load: async (terminal) => (await import("./config.js")).configCommand(terminal),
  },
  nats: {
    summary: "keys, permissions and streams of a cluster in a NATS that is shared",
    load: async (terminal) => (await import("./nats/command.js")).natsCommand(terminal),
  },
  bench: {
    summary: "measure this machine: the vote path, the small Llama",
    load: async (terminal) => (await import("./bench.js")).benchCommand(terminal),
  },
};
