/**
 * How many RSA-4096 decrypts this machine does, all cores at it and nothing else: what the answers to sealed requests are
 * compared with. In both ways that Node has, each with one copy of the key per core: the thread pool (WebCrypto) and
 * worker threads. Runs one measurement at a time for the process that started it, and ends with it.
 */
import {
  constants,
  createPrivateKey,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  webcrypto,
} from "node:crypto";
import type { KeyObject } from "node:crypto";
import { availableParallelism } from "node:os";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

export interface RsaJob {
  readonly way: "thread pool" | "worker threads";
  readonly windowMs: number;
}

interface WorkerInput {
  readonly pkcs8: Uint8Array;
  readonly wrapped: Uint8Array;
}

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
const CORES = availableParallelism();

/** In flight for every copy: none of them is ever without work. */
const DEPTH = 4;

function serve(): void {
  const pair = generateKeyPairSync("rsa", { modulusLength: 4096 });
  const pkcs8 = new Uint8Array(pair.privateKey.export({ format: "der", type: "pkcs8" }));
  const input: WorkerInput = { pkcs8, wrapped: new Uint8Array(wrap(pair.publicKey)) };
  process.on("message", (message) => {
    const { way, windowMs } = message as RsaJob;
    const counted = way === "thread pool" ? countInPool(input, windowMs) : countInWorkers(input, windowMs);
    void counted.then((count) => process.send?.({ outcome: (count / windowMs) * 1000 }));
  });
  process.once("disconnect", () => process.exit());
}

function wrap(publicKey: KeyObject): Buffer {
  return publicEncrypt({ key: publicKey, ...OAEP }, Buffer.alloc(32, 7));
}

async function countInPool({ pkcs8, wrapped }: WorkerInput, windowMs: number): Promise<number> {
  const algorithm = { name: "RSA-OAEP", hash: "SHA-256" };
  const bytes = new Uint8Array(pkcs8);
  let count = 0;
  const loops = await Promise.all(
    Array.from({ length: CORES }, () =>
      webcrypto.subtle.importKey("pkcs8", bytes, algorithm, false, ["decrypt"]),
    ),
  );
  const endMs = performance.now() + windowMs;
  const loop = async (key: webcrypto.CryptoKey): Promise<void> => {
    for (;;) {
      await webcrypto.subtle.decrypt(algorithm, key, new Uint8Array(wrapped));
      if (performance.now() >= endMs) return;
      count += 1;
    }
  };
  await Promise.all(loops.flatMap((key) => Array.from({ length: DEPTH }, () => loop(key))));
  return count;
}

async function countInWorkers(input: WorkerInput, windowMs: number): Promise<number> {
  const workers = Array.from(
    { length: CORES },
    () => new Worker(import.meta.filename, { workerData: input }),
  );
  await Promise.all(workers.map((worker) => nextMessage(worker)));
  for (const worker of workers) worker.postMessage(windowMs, []);
  const counts = await Promise.all(workers.map((worker) => nextMessage(worker)));
  await Promise.all(workers.map((worker) => worker.terminate()));
  return counts.reduce((total, count) => total + count, 0);
}

function nextMessage(worker: Worker): Promise<number> {
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

function work({ pkcs8, wrapped }: WorkerInput): void {
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  parentPort?.once("message", (windowMs: number) => {
    const endMs = performance.now() + windowMs;
    let count = -1;
    do {
      privateDecrypt({ key, ...OAEP }, wrapped);
      count += 1;
    } while (performance.now() < endMs);
    parentPort?.postMessage(count, []);
  });
  parentPort?.postMessage(0, []);
}

if (isMainThread) serve();
else work(workerData as WorkerInput);
