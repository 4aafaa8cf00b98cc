import { open, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { errnoOf } from "../../atomic-file.ts";
import { launchFiles } from "./launch-files.ts";
import type { PartRecord } from "./launch-files.ts";
import { LOG_FILES, logFile } from "./part-log.ts";
import { PART_NAMES } from "./part-spec.ts";

export interface ReadLogOptions {
  readonly part: string;
  /** How many of the last lines to begin with; all if infinite. */
  readonly tail: number;
  /** Go on with what is added, until the signal. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

/** How often to look for new lines, in milliseconds. Notices of the file system are no use: they miss network drives. */
const FOLLOW_POLL_MS = 100;

const BLOCK_BYTES = 64 * 1024;

const LINE_FEED = 0x0a;

/**
 * The lines of a part's log, without line feed, over all its files. Ends quietly at the signal.
 *
 * @throws {PolarisError} USAGE_INVALID if there is no such part
 */
export async function* readLog(
  stackDir: string,
  options: ReadLogOptions,
): AsyncGenerator<string, void, undefined> {
  const part = PART_NAMES.find((name) => name === options.part);
  if (part === undefined) {
    throw new PolarisError("USAGE_INVALID", `there is no part "${options.part}"`, {
      hint: `the parts of a local stack are ${PART_NAMES.join(", ")}`,
    });
  }
  const { log } = launchFiles(stackDir, part);
  const { signal } = options;
  const files = await openLogFiles(log);
  let current = files[0];
  try {
    const { lines, rest } = await readLastLines(files, options.tail, undefined);
    for (const line of lines) yield line.toString();
    if (!options.follow) {
      if (rest.length > 0) yield rest.toString();
      return;
    }
    if (current !== undefined) current.rest = rest;
    while (!signal.aborted) {
      if (current !== undefined) yield* readNewLines(current);
      const next: OpenLogFile | undefined = await openSuccessor(log, current);
      if (next === undefined) {
        await pause(signal);
        continue;
      }
      // Nothing is written to a file after it was renamed: what is read now is its end.
      if (current !== undefined) yield* readNewLines(current);
      await current?.handle.close();
      current = next;
      files.push(next);
    }
  } finally {
    for (const file of files) await file.handle.close();
  }
}

/** The last lines that a part wrote in one launch, at most `count`, each cut to 500 characters. */
export async function lastLinesOfLaunch(
  stackDir: string,
  record: PartRecord,
  count: number,
): Promise<string[]> {
  const files = await openLogFiles(launchFiles(stackDir, record.part).log);
  try {
    const { lines, rest } = await readLastLines(files, count, record.logStart);
    const all = rest.length > 0 ? [...lines, rest] : lines;
    return all.slice(-count).map((line) => line.toString().slice(0, 500));
  } finally {
    for (const file of files) await file.handle.close();
  }
}

interface OpenLogFile {
  readonly handle: FileHandle;
  readonly inode: number;
  /** Up to where it was read. */
  offset: number;
  /** The line that is not finished yet. */
  rest: Buffer;
}

/** The files of a log, newest first. In that order, a rotation in between shows one file twice and never hides one. */
async function openLogFiles(path: string): Promise<OpenLogFile[]> {
  const files: OpenLogFile[] = [];
  for (let age = 0; age < LOG_FILES; age += 1) {
    const file = await openLogFile(logFile(path, age));
    if (file === undefined) continue;
    if (files.some(({ inode }) => inode === file.inode)) await file.handle.close();
    else files.push(file);
  }
  return files;
}

async function openLogFile(path: string): Promise<OpenLogFile | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return undefined;
    throw new PolarisError("STATE_CORRUPT", `cannot read ${path}: ${errnoOf(cause) ?? "unknown reason"}`, {
      cause,
    });
  }
  return { handle, inode: (await handle.stat()).ino, offset: 0, rest: Buffer.alloc(0) };
}

/** The last complete lines, oldest first, and the unfinished one behind them; afterwards the newest file is read to its end. */
async function readLastLines(
  files: readonly OpenLogFile[],
  count: number,
  since: PartRecord["logStart"] | undefined,
): Promise<{ lines: Buffer[]; rest: Buffer }> {
  let lines: Buffer[] = [];
  let rest: Buffer = Buffer.alloc(0);
  for (const [age, file] of files.entries()) {
    const isFirst = since?.inode === file.inode;
    const end = (await file.handle.stat()).size;
    const found = await readLinesBackwards(
      file.handle,
      isFirst ? since.offset : 0,
      end,
      count - lines.length,
    );
    // Only the newest file can end in the middle of a line.
    if (age === 0) rest = found.rest;
    file.offset = end;
    lines = [...found.lines, ...lines];
    if (isFirst || lines.length >= count) break;
  }
  return { lines: count > 0 ? lines.slice(-count) : [], rest };
}

async function readLinesBackwards(
  handle: FileHandle,
  begin: number,
  end: number,
  count: number,
): Promise<{ lines: Buffer[]; rest: Buffer }> {
  const blocks: Buffer[] = [];
  let position = end;
  let lineEnds = 0;
  // One more than asked: the first line feed is where the first line begins.
  while (position > begin && lineEnds <= count) {
    const length = Math.min(BLOCK_BYTES, position - begin);
    const block = await readBlock(handle, position - length, length);
    for (const byte of block) if (byte === LINE_FEED) lineEnds += 1;
    blocks.unshift(block);
    position -= length;
  }
  const { lines, rest } = splitLines(Buffer.concat(blocks));
  // If there is more before it, the first piece is only the end of a line: that is the one more.
  return { lines: lines.length > count ? lines.slice(lines.length - Math.max(count, 0)) : lines, rest };
}

async function* readNewLines(file: OpenLogFile): AsyncGenerator<string, void, undefined> {
  for (;;) {
    const block = await readBlock(file.handle, file.offset, BLOCK_BYTES);
    if (block.length === 0) return;
    file.offset += block.length;
    const { lines, rest } = splitLines(Buffer.concat([file.rest, block]));
    file.rest = rest;
    for (const line of lines) yield line.toString();
  }
}

/** The file that was begun after this one; undefined while this is the newest. */
async function openSuccessor(
  path: string,
  current: OpenLogFile | undefined,
): Promise<OpenLogFile | undefined> {
  for (;;) {
    const age = current === undefined ? -1 : await findAge(path, current.inode);
    if (age === 0) return undefined;
    // Rotated out of all files, or removed: then the oldest is the next.
    const nextAge = age > 0 ? age - 1 : await findOldestAge(path);
    if (nextAge === undefined) return undefined;
    const next = await openLogFile(logFile(path, nextAge));
    if (next === undefined) return undefined;
    // If there was a rotation in between, that name is another file's by now.
    if (age > 0 && (await findAge(path, next.inode)) !== (await findAge(path, current?.inode ?? 0)) - 1) {
      await next.handle.close();
      continue;
    }
    return next;
  }
}

async function findAge(path: string, inode: number): Promise<number> {
  for (let age = 0; age < LOG_FILES; age += 1) {
    if ((await inodeOf(logFile(path, age))) === inode) return age;
  }
  return -1;
}

async function findOldestAge(path: string): Promise<number | undefined> {
  for (let age = LOG_FILES - 1; age >= 0; age -= 1) {
    if ((await inodeOf(logFile(path, age))) !== undefined) return age;
  }
  return undefined;
}

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).ino;
  } catch {
    return undefined;
  }
}

function splitLines(bytes: Buffer): { lines: Buffer[]; rest: Buffer } {
  const lines: Buffer[] = [];
  let begin = 0;
  for (let end = bytes.indexOf(LINE_FEED); end !== -1; end = bytes.indexOf(LINE_FEED, begin)) {
    lines.push(bytes.subarray(begin, end));
    begin = end + 1;
  }
  return { lines, rest: bytes.subarray(begin) };
}

async function readBlock(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

async function pause(signal: AbortSignal): Promise<void> {
  await sleep(FOLLOW_POLL_MS, undefined, { signal }).catch(() => {
    // The signal ends the loop, not with an error.
  });
}
