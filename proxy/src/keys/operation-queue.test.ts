import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { createOperationQueue } from "./operation-queue.ts";
import type { OperationQueue } from "./operation-queue.ts";

const NEVER = new AbortController().signal;

/** Runs operations that last until they are told to end, and remembers in which order and lanes they began. */
function createObserved(queue: OperationQueue<string>) {
  const begun: string[] = [];
  const gates = new Map<string, PromiseWithResolvers<void>>();
  function gate(name: string): PromiseWithResolvers<void> {
    const known = gates.get(name) ?? Promise.withResolvers<void>();
    gates.set(name, known);
    return known;
  }
  return {
    begun,
    run: (name: string, signal = NEVER): Promise<string> =>
      queue.run(async (lane) => {
        begun.push(`${name} in ${lane}`);
        await gate(name).promise;
        return name;
      }, signal),
    /** Also of one that has not begun yet. */
    end: (name: string): void => gate(name).resolve(),
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a lane takes one operation at a time, and who comes first goes first", async () => {
  const queue = createOperationQueue(["a"], 10);
  const { begun, run, end } = createObserved(queue);
  const results = Promise.all([run("first"), run("second"), run("third")]);
  await turn();
  assert.deepEqual(begun, ["first in a"]);
  assert.deepEqual(queue.counts(), { running: 1, waiting: 2 });
  for (const name of ["first", "second", "third"]) {
    end(name);
    await turn();
  }
  assert.deepEqual(begun, ["first in a", "second in a", "third in a"]);
  assert.deepEqual(await results, ["first", "second", "third"]);
  assert.deepEqual(queue.counts(), { running: 0, waiting: 0 });
});

test("all lanes work at the same time, and the one that is free first goes on", async () => {
  const queue = createOperationQueue(["a", "b"], 10);
  const { begun, run, end } = createObserved(queue);
  const results = Promise.all([run("first"), run("second"), run("third")]);
  await turn();
  assert.equal(begun.length, 2);
  const [, laneOfSecond] = begun[1]!.split(" in ");
  assert.ok(!begun[0]!.endsWith(` in ${laneOfSecond}`));
  end("second");
  await turn();
  assert.equal(begun[2], `third in ${laneOfSecond}`);
  end("first");
  end("third");
  await results;
});

test("one more than may wait is refused at once, until there is room again", async () => {
  const queue = createOperationQueue(["a"], 1);
  const { run, end, begun } = createObserved(queue);
  const first = run("first");
  const second = run("second");
  await assert.rejects(run("third"), {
    code: "OVERLOADED",
    message: "1 private operations wait already",
  });
  end("first");
  await first;
  const fourth = run("fourth");
  end("second");
  await second;
  end("fourth");
  await fourth;
  assert.deepEqual(begun, ["first in a", "second in a", "fourth in a"]);
});

test("who gives up leaves the queue, and costs no operation", async () => {
  const queue = createOperationQueue(["a"], 1);
  const { run, end, begun } = createObserved(queue);
  const first = run("first");
  const impatient = new AbortController();
  const second = run("second", impatient.signal);
  impatient.abort();
  assert.deepEqual(queue.counts(), { running: 1, waiting: 0 });
  await assert.rejects(second, {
    code: "OVERLOADED",
    message: "the turn of a private operation did not come in time",
  });
  const third = run("third");
  end("first");
  await first;
  end("third");
  await third;
  assert.deepEqual(begun, ["first in a", "third in a"]);
});

test("who gives up in the moment of his turn passes it on", async () => {
  const queue = createOperationQueue(["a"], 2);
  const { run, end, begun } = createObserved(queue);
  const impatient = new AbortController();
  const first = run("first").then(() => impatient.abort());
  const second = run("second", impatient.signal);
  const third = run("third");
  end("first");
  await first;
  await assert.rejects(second, { code: "OVERLOADED" });
  end("third");
  await third;
  assert.deepEqual(begun, ["first in a", "third in a"]);
  assert.deepEqual(queue.counts(), { running: 0, waiting: 0 });
});

test("who comes with a signal that is over does not begin", async () => {
  const queue = createOperationQueue(["a"], 1);
  const { run, begun } = createObserved(queue);
  await assert.rejects(run("late", AbortSignal.abort()), { code: "OVERLOADED" });
  assert.deepEqual(begun, []);
});

test("an operation that fails gives its lane back, and nothing stays of those who waited", async () => {
  const queue = createOperationQueue(["a"], 100);
  const { signal } = new AbortController();
  const failure = new Error("of the operation");
  const failed = await Promise.allSettled(
    Array.from({ length: 100 }, () => queue.run(() => Promise.reject(failure), signal)),
  );
  assert.ok(failed.every((result) => result.status === "rejected" && result.reason === failure));
  assert.equal(await queue.run(async (lane) => lane, signal), "a");
  assert.deepEqual(queue.counts(), { running: 0, waiting: 0 });
  assert.equal(getEventListeners(signal, "abort").length, 0);
});
