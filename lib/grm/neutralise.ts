/**
 * Keeps judged text from speaking for the prompt: what a response or a conversation contains must not be able
 * to close its own block, open another one, or end the turn of the chat template it will be wrapped in.
 *
 * The text stays readable: only the bracket that would make it a mark changes. The other half of the defence
 * is the parser, which reads nothing but the model's own output.
 */

/** Text that can stand inside a marked block of a prompt. */
export function neutralise(text: string): string {
  return withoutControlTokens(withoutBlockMarks(text));
}

/**
 * A bracket that opens something like `[Begin of Response 1]` becomes a parenthesis. Case, width, spaces,
 * punctuation and invisible characters between the letters make no difference.
 */
function withoutBlockMarks(text: string): string {
  return text.replace(/[[［【〔❲⟦]/gu, (bracket: string, at: number) => {
    const ahead = text
      .slice(at + 1, at + 1 + 64)
      .normalize("NFKC")
      .toLowerCase()
      .replace(/[^a-z]/g, "");
    return /^(?:the)?(?:begin|start|end)/.test(ahead) ? "(" : bracket;
  });
}

/** Turn marks of common chat templates get a space behind their bracket, so that no tokenizer sees one. */
export function withoutControlTokens(text: string): string {
  return text
    .replace(/<(?=[|｜])/g, "< ")
    .replace(
      /<(?=\/?(?:s|bos|eos|pad|unk|user|assistant|system|start_of_turn|end_of_turn|start_of_image)>)/gi,
      "< ",
    )
    .replace(/\[(?=\/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])/g, "[ ")
    .replace(/<(?=<\/?SYS>>)/g, "< ");
}
