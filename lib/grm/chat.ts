/** One turn of a conversation, as chat templates and OpenAI-compatible servers know it. */
export interface ChatMessage {
  role: ChatRole;
  content: string;
}

export const chatRoles = ["system", "user", "assistant"] as const;
export type ChatRole = (typeof chatRoles)[number];

/** Narrows a turn whose role came from outside. */
export function isChatMessage(turn: { role: string; content: string }): turn is ChatMessage {
  return (chatRoles as readonly string[]).includes(turn.role);
}
