import type { Figure } from "./measure.ts";

/** What the command line asks for. */
export type Wish =
  | { readonly kind: "measure"; readonly figures: readonly Figure[] }
  /** Text for standard output. */
  | { readonly kind: "tell"; readonly text: string }
  /** Text for standard error. */
  | { readonly kind: "refuse"; readonly text: string };

/** @param given  the arguments, without Node and the program */
export function readArguments(given: readonly string[], figures: readonly Figure[]): Wish {
  if (given.includes("--help")) return { kind: "tell", text: describeUse(figures) };
  if (given.includes("--list")) return { kind: "tell", text: listFigures(figures) };
  const names = figures.map(({ name }) => name);
  const unknown = given.filter((name) => !names.includes(name));
  if (unknown.length > 0)
    return { kind: "refuse", text: `no figure ${unknown.join(", ")}: there are ${names.join(", ")}` };
  const wanted = given.length === 0 ? figures : figures.filter(({ name }) => given.includes(name));
  return { kind: "measure", figures: wanted };
}

function describeUse(figures: readonly Figure[]): string {
  return `usage: npm run bench -- [figure ...]

Measures all figures or the named ones, prints a table and writes it to bench/results as JSON. Exit code 1 if a target
is missed or a figure could not be taken.

  --list  names of the figures
  --help  this text

${listFigures(figures)}`;
}

function listFigures(figures: readonly Figure[]): string {
  const width = Math.max(...figures.map(({ name }) => name.length));
  return figures.map(({ name, about }) => `${name.padEnd(width)}  ${about}`).join("\n");
}
