import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";

const LOG = new URL("log.ts", import.meta.url).href;

/** A process that logs to its standard output, which is a pipe. It has `log` and `line(n)`; `say` reaches `said`. */
function run(program: string) {
  const source = `
    import { createLog } from ${JSON.stringify(LOG)};
    const log = createLog("info");
    const line = (port) => log.info({ event: "numbered", port });
    const say = (text) => process.send(text);
    ${program}`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const { stdout, stderr } = child;
  assert.ok(stdout !== null && stderr !== null);
  stderr.resume();
  return {
    child,
    stdout,
    said: async (): Promise<unknown> => ((await once(child, "message")) as unknown[])[0],
    lines: () => createInterface({ input: stdout })[Symbol.asyncIterator](),
    end: async (): Promise<{ ports: unknown[]; exit: unknown[] }> => {
      const ended = once(child, "close");
      const ports: unknown[] = [];
      for await (const text of createInterface({ input: stdout })) ports.push(parse(text)["port"]);
      return { ports, exit: await ended };
    },
  };
}

function parse(text: unknown): Record<string, unknown> {
  return JSON.parse(String(text)) as Record<string, unknown>;
}

/** 1, 2, … count */
function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

test("a line reaches the reader of a process that goes on, and so do those right after it", async () => {
  const { child, lines } = run(`
    line(1); line(2); line(3);
    setInterval(() => undefined, 60_000);`);
  const reader = lines();
  for (const port of numbers(3)) assert.equal(parse((await reader.next()).value)["port"], port);
  child.kill("SIGKILL");
});

test("every line is there and in order after process.exit, however many wait", async () => {
  const { ports, exit } = await run(`
    for (let port = 1; port <= 5000; port += 1) line(port);
    process.exit(3);`).end();
  assert.deepEqual(exit, [3, null]);
  // What the thread pool has may come after what is written at the exit, never in the middle of it.
  assert.deepEqual(
    ports.toSorted((a, b) => Number(a) - Number(b)),
    numbers(5000),
  );
});

test("the last line is there after SIGTERM", async () => {
  const { child, said, end } = run(`
    process.once("SIGTERM", () => { line(3); log.flush(); process.exit(0); });
    setInterval(() => undefined, 60_000);
    line(1);
    setImmediate(() => { line(2); say("waits"); });`);
  assert.equal(await said(), "waits");
  child.kill("SIGTERM");
  assert.deepEqual(await end(), { ports: numbers(3), exit: [0, null] });
});

test("the last line is there after an error that nobody caught", async () => {
  const { ports, exit } = await run(`
    line(1);
    setImmediate(() => { line(2); throw new Error("planted"); });`).end();
  assert.deepEqual(ports, numbers(2));
  assert.deepEqual(exit, [1, null]);
});

test("a reader that stops costs lines beyond a bound, counted in one line, and holds up nothing", async () => {
  const total = 100_000;
  const { child, said, lines } = run(`
    let next = 1;
    (function more() {
      for (const end = Math.min(next + 1000, ${total + 1}); next < end; next += 1) line(next);
      if (next <= ${total}) setImmediate(more);
      else say(process.memoryUsage.rss());
    })();
    process.once("message", () => line(next));`);
  // Nobody has read anything until here, and yet all has been said.
  assert.ok(Number(await said()) < 256 * 1024 * 1024);

  let next = 1;
  let droppedLines = 0;
  for await (const text of lines()) {
    const { event, level, port, ...others } = parse(text);
    if (event === "numbered" && port !== total + 1) {
      assert.equal(port, next);
      next += 1;
    } else if (event === "numbered") {
      break;
    } else {
      assert.deepEqual(
        { event, level, droppedLines },
        { event: "log-lines-dropped", level: "warn", droppedLines: 0 },
      );
      droppedLines = Number(others["droppedLines"]);
      child.send("go on");
    }
  }
  assert.ok(next > 10_000, `only ${next - 1} lines were kept`);
  assert.equal(next - 1 + droppedLines, total);
  child.kill("SIGKILL");
});

test("a reader that goes away ends the log and not the process", async () => {
  const { child, stdout, said } = run(`
    process.once("message", () => {
      for (let port = 1; port <= 50_000; port += 1) line(port);
      setTimeout(() => { line(1); log.flush(); say("still here"); }, 20);
    });
    say("ready");`);
  await said();
  stdout.destroy();
  child.send("go");
  assert.equal(await said(), "still here");
  child.disconnect();
  assert.deepEqual(await once(child, "exit"), [0, null]);
});
