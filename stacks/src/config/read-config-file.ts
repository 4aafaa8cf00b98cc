import { isUtf8 } from "node:buffer";
import { constants } from "node:fs";
import { access, open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";

import { PolarisError } from "@polaris-cvm/sdk/errors";

/** A configuration is a page; more than this is another file by mistake. */
const MAX_CONFIG_BYTES = 256 * 1024;

const LINE_FEED = 0x0a;

/**
 * The text of polaris.yaml, checked to be UTF-8 without a byte order mark.
 *
 * @param fileName  how messages call the file
 * @throws {PolarisError} CONFIG_FILE_NOT_FOUND, CONFIG_UNREADABLE, or CONFIG_SYNTAX for bytes that are no text
 */
export async function readConfigFile(path: string, fileName: string): Promise<string> {
  const bytes = await readBytes(path, fileName);
  if (startsWith(bytes, [0xef, 0xbb, 0xbf])) {
    throw syntaxError(fileName, 1, "the file begins with a byte order mark; save it as UTF-8 without one");
  }
  if (startsWith(bytes, [0xff, 0xfe]) || startsWith(bytes, [0xfe, 0xff])) {
    throw syntaxError(fileName, 1, "the file is UTF-16; save it as UTF-8");
  }
  const badLine = findLineThatIsNotUtf8(bytes);
  if (badLine !== undefined) throw syntaxError(fileName, badLine, "this line is not UTF-8 text");
  return bytes.toString("utf8");
}

async function readBytes(path: string, fileName: string): Promise<Buffer> {
  let file: FileHandle | undefined;
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for a writer for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const facts = await file.stat();
    if (facts.isDirectory()) {
      throw new PolarisError("CONFIG_UNREADABLE", `${fileName} is a folder, expected a file`, {
        hint: "name the file with --config, or the project's folder with -C",
      });
    }
    if (!facts.isFile()) throw new PolarisError("CONFIG_UNREADABLE", `${fileName} is not a regular file`);
    const buffer = Buffer.alloc(MAX_CONFIG_BYTES + 1);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    if (bytesRead > MAX_CONFIG_BYTES) {
      throw new PolarisError(
        "CONFIG_UNREADABLE",
        `${fileName} is larger than ${MAX_CONFIG_BYTES / 1024} KiB`,
        {
          hint: "a polaris.yaml is a page of text; is this the right file?",
        },
      );
    }
    return buffer.subarray(0, bytesRead);
  } catch (cause) {
    if (cause instanceof PolarisError) throw cause;
    throw await unreadable(path, fileName, cause);
  } finally {
    await file?.close();
  }
}

async function unreadable(path: string, fileName: string, cause: unknown): Promise<PolarisError> {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown error";
  if (code !== "ENOENT" && code !== "ENOTDIR") {
    return new PolarisError("CONFIG_UNREADABLE", `cannot read ${fileName}: ${code}`, {
      hint: code === "EACCES" ? "the file's rights do not let you read it" : "check the file and its folder",
      cause,
    });
  }
  const otherEnding = join(dirname(path), "polaris.yml");
  const hint = (await exists(otherEnding))
    ? "there is a polaris.yml: rename it to polaris.yaml, or name it with --config"
    : 'run "polaris init" to write one, or name the project\'s folder with -C';
  return new PolarisError("CONFIG_FILE_NOT_FOUND", `no ${fileName} in ${dirname(path)}`, { hint, cause });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function startsWith(bytes: Uint8Array, start: readonly number[]): boolean {
  return start.every((byte, index) => bytes[index] === byte);
}

/** Number of the first line with bytes that are not UTF-8. A line feed is never part of another character. */
function findLineThatIsNotUtf8(bytes: Buffer): number | undefined {
  if (isUtf8(bytes)) return undefined;
  let line = 1;
  let start = 0;
  for (;;) {
    const end = bytes.indexOf(LINE_FEED, start);
    if (end === -1 || !isUtf8(bytes.subarray(start, end))) return line;
    start = end + 1;
    line += 1;
  }
}

function syntaxError(fileName: string, line: number, message: string): PolarisError {
  return new PolarisError("CONFIG_SYNTAX", `${fileName}:${line}:1: ${message}`, {
    details: { problems: [{ line, column: 1, path: "", message }] },
  });
}
