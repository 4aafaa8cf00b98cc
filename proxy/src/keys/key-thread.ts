import { Worker } from "node:worker_threads";
import { PolarisError } from "@polaris-cvm/sdk/errors";

/**
 * Priority of the threads, of 19 (lowest) to -20: whoever has only a moment's work, like the event loop, goes first. With
 * equal rights the slowest hundredth of all other requests takes half as long again (measured, two cores).
 */
const NICENESS = 10;

/** What a thread may where Node's permission model is on: look up its own number. Without flags of its own it may everything. */
const THREAD_PERMISSIONS = ["--permission", "--allow-fs-read=/proc/thread-self"];

/** A private key in a thread of its own. */
export interface KeyThread {
  /**
   * Unwraps one value, after those that it has been given before. `undefined` for whatever is wrong with a ciphertext.
   *
   * Rejects with KEY_UNAVAILABLE if the thread is stopped.
   */
  unwrap(wrapped: Uint8Array): Promise<Uint8Array | undefined>;
  stop(): void;
}

interface ThreadInput {
  readonly pkcs8: Uint8Array<ArrayBuffer>;
  readonly niceness: number;
}

/**
 * Threads, because the thread pool of Node also resolves names and reads files, has four places on any machine, and knows
 * no priorities. One costs about 10 MiB, and some 40 ms with its first operation: it is not started before, so that a
 * proxy that passes everything on in the clear has none. An error in it is a bug and ends the process, as anywhere else.
 *
 * @param pkcs8  PKCS #8 in DER of an RSA key; copied, the caller may overwrite it
 */
export function createKeyThread(pkcs8: Uint8Array): KeyThread {
  const copy = new Uint8Array(pkcs8);
  let worker: Worker | undefined;
  /** Answers that are to come, in the order in which the thread gives them. */
  const awaited: PromiseWithResolvers<Uint8Array | undefined>[] = [];
  let isStopped = false;

  function start(): Worker {
    const input: ThreadInput = { pkcs8: copy, niceness: NICENESS };
    // The program is text and no file: a bundle of the proxy stays one file, and no thread loads what strips types (25 MiB).
    const started = new Worker(`(${String(serveUnwraps)})()`, {
      eval: true,
      name: "polaris-rsa",
      workerData: input,
      transferList: [copy.buffer],
      env: {},
      execArgv: process.permission === undefined ? [] : THREAD_PERMISSIONS,
    });
    started.on("message", (value: Uint8Array | undefined) => awaited.shift()?.resolve(value));
    started.once("exit", () => {
      isStopped = true;
      for (const answer of awaited.splice(0)) answer.reject(stopped());
    });
    return started;
  }

  return {
    async unwrap(wrapped) {
      if (isStopped) throw stopped();
      worker ??= start();
      const answer = Promise.withResolvers<Uint8Array | undefined>();
      awaited.push(answer);
      // A key does not keep the process alive, an operation under way does.
      worker.ref();
      worker.postMessage(new Uint8Array(wrapped), []);
      try {
        return await answer.promise;
      } finally {
        if (awaited.length === 0) worker.unref();
      }
    },
    stop() {
      isStopped = true;
      if (worker === undefined) copy.fill(0);
      else void worker.terminate();
    },
  };
}

/** The program of the thread. It runs as text: nothing of what is around it is there. */
function serveUnwraps(): void {
  const { constants, createPrivateKey, privateDecrypt } = process.getBuiltinModule("node:crypto");
  const { readlinkSync } = process.getBuiltinModule("node:fs");
  const { setPriority } = process.getBuiltinModule("node:os");
  const { parentPort, workerData } = process.getBuiltinModule("node:worker_threads");
  const { pkcs8, niceness } = workerData as ThreadInput;

  try {
    // `<process>/task/<thread>`: to Linux a thread is a process too, and has a priority of its own.
    const [processId, , threadId] = readlinkSync("/proc/thread-self").split("/");
    if (Number(processId) === process.pid) setPriority(Number(threadId), niceness);
  } catch {
    // Other systems have no such file; the thread then runs like any other.
  }

  const key = createPrivateKey({ key: Buffer.from(pkcs8.buffer), format: "der", type: "pkcs8" });
  pkcs8.fill(0);
  const options = { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
  parentPort?.on("message", (wrapped: Uint8Array) => {
    let value: Uint8Array<ArrayBuffer> | undefined;
    try {
      value = privateDecrypt(options, wrapped);
    } catch {
      // Whatever is wrong with a ciphertext has one name.
    }
    parentPort.postMessage(value, value === undefined ? [] : [value.buffer]);
  });
}

function stopped(): PolarisError {
  return new PolarisError("KEY_UNAVAILABLE", "the key is gone: the proxy is closing");
}
