/** A table in Markdown. Cells hold Markdown of their own; bars in them are escaped. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => "---"), ...rows.map((row) => row.map(escapeCell))];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Text as Markdown code. */
export function code(text: string | number): string {
  return `\`${text}\``;
}

function escapeCell(text: string): string {
  return text.replaceAll("|", String.raw`\|`);
}
