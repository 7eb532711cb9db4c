/** The marked blocks of a DeepSeek-GRM prompt: conversation, reference answer, criteria, responses. */
import type { ChatMessage } from "./chat.js";
import type { JudgedInput } from "./judgment.js";
import { neutralise } from "./neutralise.js";

const speakers = { system: "System", user: "User", assistant: "Assistant" } as const;

/** The whole conversation; the last user turn is the query. */
export function conversationBlock(query: readonly ChatMessage[]): string {
  const turns = query.map((turn) => `${speakers[turn.role]}: ${neutralise(turn.content)}`);
  return block("Conversation", turns.join("\n\n"));
}

/** One block, or none where no reference answer is known. */
export function referenceBlocks(reference: string | undefined): string[] {
  return reference === undefined ? [] : [block("Reference Answer", neutralise(reference))];
}

/** Numbered from 1 in the order given; a response with steps is a block of numbered blocks. */
export function responseBlocks(responses: readonly string[], steps?: JudgedInput["steps"]): string {
  return responses
    .map((response, index) => block(`Response ${index + 1}`, contentOf(response, steps?.[index])))
    .join("\n\n");
}

function contentOf(response: string, steps: readonly string[] = []): string {
  if (steps.length === 0) return neutralise(response);
  return steps.map((step, index) => block(`Step ${index + 1}`, neutralise(step))).join("\n\n");
}

/** Criteria that a judgment has to use. */
export function criteriaBlock(principles: string): string {
  return block("Criteria", neutralise(principles));
}

function block(name: string, content: string): string {
  return `[Begin of ${name}]\n${content}\n[End of ${name}]`;
}
