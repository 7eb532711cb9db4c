/** Where a run's queries come from: a function of the group's index, so that a restart asks the same again. */
import type { ChatMessage } from "../../lib/grm/chat.js";

export interface PromptSource {
  /** The query of the index-th group, counted from 0. */
  query(index: number): ChatMessage[];
}
