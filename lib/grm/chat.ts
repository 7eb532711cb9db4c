/** One turn of a conversation, as chat templates and OpenAI-compatible servers know it. */
export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}
