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
  return text.replace(/[[［【〔❲⟦]/gu, (bracket: string, at: number) =>
    opensMark(text, at + 1) ? "(" : bracket,
  );
}

const markBeginnings = ["begin", "start", "end", "thebegin", "thestart", "theend"];

/** Whether the letters from `from` on spell a mark. Looks at 64 characters at most: linear over a text. */
function opensMark(text: string, from: number): boolean {
  let letters = "";
  for (const character of text.slice(from, from + 64)) {
    const plain = character < "\u0080" ? character : character.normalize("NFKC");
    const letter = plain.toLowerCase();
    if (!/^[a-z]+$/.test(letter)) continue;
    letters += letter;
    if (markBeginnings.some((beginning) => letters.startsWith(beginning))) return true;
    if (!markBeginnings.some((beginning) => beginning.startsWith(letters))) return false;
  }
  return false;
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
