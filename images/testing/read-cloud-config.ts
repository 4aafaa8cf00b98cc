/** Reads a cloud-config and its units again, by the published rules and without a line of what wrote them. */
import { parse } from "yaml";

export interface ReadFile {
  readonly path: string;
  readonly permissions: string;
  readonly text: string;
}

export interface ReadCloudConfig {
  readonly bootcmd: readonly (readonly string[])[];
  readonly runcmd: readonly (readonly string[])[];
  readonly files: ReadonlyMap<string, ReadFile>;
}

interface WriteFile {
  readonly path: string;
  readonly permissions: string;
  readonly encoding?: string;
  readonly content: string;
}

/** As cloud-init does: YAML 1.1, base64 where it says so. */
export function readCloudConfig(text: string): ReadCloudConfig {
  if (!text.startsWith("#cloud-config\n")) throw new Error("no cloud-config");
  const { bootcmd, runcmd, write_files } = parse(text, { version: "1.1" }) as {
    readonly bootcmd: readonly (readonly string[])[];
    readonly runcmd: readonly (readonly string[])[];
    readonly write_files: readonly WriteFile[];
  };
  const files = new Map<string, ReadFile>();
  for (const { path, permissions, encoding, content } of write_files) {
    const decoded = encoding === "b64" ? Buffer.from(content, "base64").toString() : content;
    files.set(path, { path, permissions, text: decoded });
  }
  return { bootcmd, runcmd, files };
}

/** The text of a file that has to be there. */
export function fileOf({ files }: ReadCloudConfig, path: string): string {
  const file = files.get(path);
  if (file === undefined) throw new Error(`no file ${path}`);
  return file.text;
}

/** The values of a setting in a unit of the cloud-config, in their order. */
export function settingsOf(config: ReadCloudConfig, unit: string, setting: string): string[] {
  return fileOf(config, `/etc/systemd/system/${unit}`)
    .split("\n")
    .filter((line) => line.startsWith(`${setting}=`))
    .map((line) => line.slice(setting.length + 1));
}

/** The commands of a setting, as systemd would start them. */
export function commandsOf(config: ReadCloudConfig, unit: string, setting: string): string[][] {
  return settingsOf(config, unit, setting).map(splitCommand);
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  s: " ",
  "\\": "\\",
  '"': '"',
  "'": "'",
};

/** A command line by the rules of systemd.service and systemd.syntax: prefixes, quotes, escapes of C, specifiers. */
function splitCommand(line: string): string[] {
  const [, prefixes = "", rest = ""] = /^([-@:+!|]*)(.*)$/.exec(line) ?? [];
  if (!prefixes.includes(":")) throw new Error(`variables would be replaced: ${line}`);
  const words: number[][] = [];
  let word: number[] | undefined;
  let quote: string | undefined;
  for (let at = 0; at < rest.length; at += 1) {
    const character = rest.charAt(at);
    if (quote === undefined && character === " ") {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    const isStart = word === undefined;
    word ??= [];
    if (quote === undefined && isStart && (character === '"' || character === "'")) quote = character;
    else if (character === quote) quote = undefined;
    else if (character === "\\") {
      const next = rest.charAt((at += 1));
      const hex = /^x([0-9a-f]{2})/.exec(rest.slice(at))?.[1];
      const plain = ESCAPES[next];
      if (hex !== undefined) {
        word.push(Number.parseInt(hex, 16));
        at += 2;
      } else if (plain !== undefined) word.push(...Buffer.from(plain));
      else throw new Error(`no escape: \\${next}`);
    } else word.push(...Buffer.from(character));
  }
  if (quote !== undefined) throw new Error(`a quote without its end: ${line}`);
  if (word !== undefined) words.push(word);
  return words.map((bytes) => resolveSpecifiers(Buffer.from(bytes).toString()));
}

/** `%%` alone means a percent sign; whatever else follows one, systemd would replace. */
function resolveSpecifiers(word: string): string {
  return word.replaceAll(/%(.?)/gsu, (specifier, letter: string) => {
    if (letter !== "%") throw new Error(`a specifier: ${specifier}`);
    return "%";
  });
}

/** An environment file by the rules of Docker's client. */
export function parseDockerEnvironmentFile(text: string): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const line of text.split("\n").map((one) => one.replace(/\r$/, "").trimStart())) {
    if (line === "" || line.startsWith("#")) continue;
    const [, name = "", value] = /^([^=]*)=(.*)$/s.exec(line) ?? [];
    if (value === undefined || /\s/.test(name)) throw new Error(`no variable: ${line}`);
    environment[name] = value;
  }
  return environment;
}
