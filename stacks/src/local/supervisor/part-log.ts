import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";
import { errnoOf } from "../../atomic-file.ts";

/** When a log file is full, in bytes. */
export const LOG_FILE_BYTES = 10 * 1024 * 1024;

/** How many files of one log are kept: `x.log`, `x.log.1`, `x.log.2`. */
export const LOG_FILES = 3;

/** A line longer than this is written in pieces, in bytes. */
const MAX_HELD_LINE_BYTES = 64 * 1024;

const LINE_FEED = 0x0a;

/**
 * The log of one part: a few files of limited size. Bytes are kept as they come; a line is never split over two files
 * nor mixed with one of another stream.
 *
 * Writes block this process, which is meant: a part that writes faster than the disk has to wait, as at a terminal. If
 * the disk is full, lines are dropped rather than the part ended, and the log tells how many bytes once it can.
 */
export class PartLog {
  readonly #path: string;
  readonly #maxFileBytes: number;
  #descriptor: number;
  #sizeBytes: number;
  #droppedBytes = 0;

  /** @throws the error of the operating system if the file cannot be opened */
  constructor(path: string, maxFileBytes = LOG_FILE_BYTES) {
    this.#path = path;
    this.#maxFileBytes = maxFileBytes;
    this.#descriptor = openSync(path, "a", 0o600);
    this.#sizeBytes = fstatSync(this.#descriptor).size;
  }

  /** Where the next line will be. */
  position(): { inode: number; offset: number } {
    return { inode: fstatSync(this.#descriptor).ino, offset: this.#sizeBytes };
  }

  /** A writer for one stream: it holds an unfinished line back until the rest of it is there. */
  stream(): { write(chunk: Buffer): void; end(): void } {
    let held: Buffer = Buffer.alloc(0);
    return {
      write: (chunk) => {
        const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
        const lineEnd = bytes.lastIndexOf(LINE_FEED) + 1;
        const end = bytes.length - lineEnd > MAX_HELD_LINE_BYTES ? bytes.length : lineEnd;
        held = bytes.subarray(end);
        if (end > 0) this.#append(bytes.subarray(0, end));
      },
      end: () => {
        if (held.length > 0) this.#append(Buffer.concat([held, Buffer.from("\n")]));
        held = Buffer.alloc(0);
      },
    };
  }

  /** A line of our own between those of the part. */
  writeLine(text: string): void {
    this.#append(Buffer.from(`polaris: ${text}\n`));
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #append(bytes: Buffer): void {
    try {
      if (this.#droppedBytes > 0) {
        this.#write(
          Buffer.from(`polaris: ${this.#droppedBytes} bytes of log were lost: the disk was full\n`),
        );
        this.#droppedBytes = 0;
      }
      this.#write(bytes);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      this.#droppedBytes += bytes.length;
    }
  }

  #write(bytes: Buffer): void {
    if (this.#sizeBytes > 0 && this.#sizeBytes + bytes.length > this.#maxFileBytes) this.#rotate();
    let written = 0;
    while (written < bytes.length) {
      const count = writeSync(this.#descriptor, bytes, written);
      written += count;
      this.#sizeBytes += count;
    }
  }

  #rotate(): void {
    for (let age = LOG_FILES - 2; age >= 0; age -= 1) {
      try {
        renameSync(logFile(this.#path, age), logFile(this.#path, age + 1));
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error;
      }
    }
    const descriptor = openSync(this.#path, "a", 0o600);
    closeSync(this.#descriptor);
    this.#descriptor = descriptor;
    this.#sizeBytes = fstatSync(descriptor).size;
  }
}

/** The files of one log; age 0 is the one that is written. */
export function logFile(path: string, age: number): string {
  return age === 0 ? path : `${path}.${age}`;
}
