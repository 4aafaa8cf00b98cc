import { write, writeSync } from "node:fs";

/** Written in one call at most. */
const BATCH_BYTES = 64 * 1024;

/** Longest that a line waits for others to go with it; a line after a pause does not wait at all. */
const PAUSE_MS = 100;

/** Batches that wait, about 4 MiB: a reader that stops must cost lines, not memory. Some seconds of full load. */
const MAX_WAITING_BATCHES = 64;

/** Attempts of {@link LogWriter.flush} at a destination that takes nothing for now, and the pause between two. */
const FLUSH_ATTEMPTS = 100;
const FLUSH_PAUSE_MS = 10;

/** Of UTF-8, for one unit of a text. */
const MAX_BYTES_A_UNIT = 3;

const NOTHING = Buffer.alloc(0);

export interface LogWriter {
  /** Takes one line with its line feed; never waits, never throws. */
  write(line: string): void;
  /**
   * Writes what waits, and returns when that is done: for the end of the process. What the thread pool has been given it
   * writes by itself, also after `process.exit`.
   */
  flush(): void;
}

/**
 * Writes lines to a file descriptor in batches, outside the event loop. Flushes by itself when the process exits, by
 * whatever way runs exit handlers: the end of the work, `process.exit`, an uncaught error. A signal that nobody handles
 * is none of them.
 *
 * Lines become bytes at once: otherwise each garbage collection would find the pieces of some hundred texts that wait.
 *
 * @param describeDropped  the line that says how many were dropped, written once there is room again
 */
export function createLogWriter(fd: number, describeDropped: (count: number) => string): LogWriter {
  let filling = Buffer.allocUnsafeSlow(BATCH_BYTES);
  let filledBytes = 0;
  const waiting: Buffer[] = [];
  /** Taken from what waits, and not yet by the destination. */
  let batch: Buffer = NOTHING;
  let droppedCount = 0;
  let isWriting = false;
  let isClosed = false;
  let pause: NodeJS.Timeout | undefined;

  function append(line: string): void {
    const neededBytes = line.length * MAX_BYTES_A_UNIT;
    if (neededBytes > BATCH_BYTES - filledBytes) endBatch();
    if (waiting.length >= MAX_WAITING_BATCHES || neededBytes > BATCH_BYTES) droppedCount += 1;
    else filledBytes += filling.write(line, filledBytes);
  }

  function endBatch(): void {
    if (filledBytes === 0 || waiting.length >= MAX_WAITING_BATCHES) return;
    waiting.push(filling.subarray(0, filledBytes));
    filling = Buffer.allocUnsafeSlow(BATCH_BYTES);
    filledBytes = 0;
  }

  function beginPause(): void {
    pause ??= setTimeout(() => {
      pause = undefined;
      writeWaiting();
    }, PAUSE_MS).unref();
  }

  function writeWaiting(): void {
    if (isWriting || takeBatch()) beginPause();
    if (isWriting || batch.length === 0) return;
    isWriting = true;
    const given = batch;
    write(fd, given, (error, byteCount) => {
      isWriting = false;
      if (error?.code === "EPIPE") close();
      // After a flush the rest is another one.
      else if (error === null && batch === given) batch = given.subarray(byteCount);
      if (error === null && (batch.length > 0 || waiting.length > 0)) writeWaiting();
    });
  }

  /** Whether there is something to write. */
  function takeBatch(): boolean {
    if (batch.length > 0) return true;
    if (waiting.length === 0) {
      if (droppedCount > 0) {
        const line = describeDropped(droppedCount);
        droppedCount = 0;
        append(line);
      }
      endBatch();
    }
    batch = waiting.shift() ?? NOTHING;
    return batch.length > 0;
  }

  /** A full disk may have room again; a pipe without a reader will never have one. */
  function close(): void {
    isClosed = true;
    batch = NOTHING;
    waiting.length = 0;
    filledBytes = 0;
    droppedCount = 0;
  }

  function flush(): void {
    if (isWriting) batch = NOTHING;
    let attempts = FLUSH_ATTEMPTS;
    while (attempts > 0 && takeBatch()) {
      try {
        batch = batch.subarray(writeSync(fd, batch));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
        attempts -= 1;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FLUSH_PAUSE_MS);
      }
    }
  }

  process.on("exit", flush);
  return {
    flush,
    write(line) {
      if (isClosed) return;
      append(line);
      // With a batch left, it is being written, or has failed and is tried again after the pause.
      if (pause === undefined || (waiting.length > 0 && batch.length === 0)) writeWaiting();
    },
  };
}
