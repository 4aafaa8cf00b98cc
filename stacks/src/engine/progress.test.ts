import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEngineEvent } from "./engine-event.ts";
import type { EngineEvent } from "./engine-event.ts";
import { listChanges } from "./planned-changes.ts";
import { previewOutputs } from "./part-values.ts";
import { NO_PROGRESS, reduceProgress } from "./progress.ts";
import type { Progress } from "./progress.ts";
import { recordEvents } from "./testing/record-events.ts";
import type { RecordedOperation } from "./testing/record-events.ts";
import recorded from "./testing/recorded-events.json" with { type: "json" };
import { findTestEngine, skipWithout } from "./testing/test-part.ts";

const STACK = "urn:pulumi:recorded::probe";
const DISK = `${STACK}::polaris:test:Group$probe:index:Thing::disk`;
const BROKEN = `${STACK}::probe:index:Thing::broken`;
const REASON = "Error creating Disk: googleapi: Error 403: Quota 'DISKS' exceeded";

/** The events of one operation of the recorded story, as Polaris reads them. */
function eventsOf(operation: RecordedOperation["operation"]): EngineEvent[] {
  const found = recorded.find((each) => each.operation === operation);
  const events = found?.events.map(parseEngineEvent) ?? [];
  assert.ok(events.length > 10 && events.every((event) => event !== undefined));
  return events;
}

/** Progress after each event, one of which arrives every second. */
function progressOf(events: readonly EngineEvent[]): Progress[] {
  let state = NO_PROGRESS;
  return events.map((event, index) => {
    state = reduceProgress(state, { atMs: index * 1000, event });
    return state;
  });
}

/** In an order of its own: what does not wait for each other comes as it comes. */
const brief = ({ steps }: Progress): string[] =>
  steps.map(({ action, name, phase }) => `${action} ${name} ${phase}`).sort();

test("each resource of the program is one line, with its time; stack, components and providers are none", () => {
  const states = progressOf(eventsOf("up"));
  const last = states.at(-1);
  assert.ok(last !== undefined);
  assert.deepEqual(brief(last), ["create disk done", "create key done"]);
  for (const { startedAtMs, endedAtMs = 0 } of last.steps) assert.ok(endedAtMs > startedAtMs);
  assert.ok(states.some((state) => state.steps.some(({ phase }) => phase === "running")));
  assert.deepEqual(last.messages, []);
  assert.deepEqual(last.counts, { create: 4 });
});

test("a replacement and its old one are two lines; what fails says why; what stays is not shown", () => {
  const last = progressOf(eventsOf("changing up")).at(-1);
  assert.ok(last !== undefined);
  assert.deepEqual(brief(last), ["create broken failed", "replace disk done", "update key done"]);
  // The old one was still there, because something failed before its turn.
  const end = progressOf(eventsOf("destroy")).at(-1);
  assert.ok(end !== undefined);
  assert.deepEqual(brief(end), ["delete disk done", "delete key done", "delete-old disk done"]);
  const broken = last.steps.find(({ urn }) => urn === BROKEN);
  assert.equal(broken?.reason, REASON);
  assert.deepEqual(last.messages, [
    { severity: "error", urn: BROKEN, message: REASON },
    { severity: "error", message: "update failed" },
  ]);
});

test("a reason that comes after the failure is told all the same", () => {
  const events = eventsOf("changing up");
  const isReason = (event: EngineEvent): boolean => event.diagnosticEvent?.urn === BROKEN;
  const late = [...events.filter((event) => !isReason(event)), ...events.filter(isReason)];
  const broken = progressOf(late)
    .at(-1)
    ?.steps.find(({ urn }) => urn === BROKEN);
  assert.deepEqual([broken?.phase, broken?.reason], ["failed", REASON]);
});

test("messages that are of no use to a person, or come twice, are left out", () => {
  const say = (fields: object): EngineEvent => {
    const event = parseEngineEvent({
      sequence: 1,
      diagnosticEvent: { message: "look", severity: "warning", ...fields },
    });
    assert.ok(event !== undefined);
    return event;
  };
  for (const [fields, count] of [
    [{}, 1],
    [{ severity: "error" }, 1],
    [{ severity: "debug" }, 0],
    [{ severity: "info" }, 0],
    [{ severity: "info#err" }, 0],
    [{ ephemeral: true }, 0],
    [{ message: "\n" }, 0],
  ] as const) {
    assert.equal(
      progressOf([say(fields), say(fields)]).at(-1)?.messages.length,
      count,
      JSON.stringify(fields),
    );
  }
});

test("nothing is changed by an event that says nothing, and no state is changed in place", () => {
  const [event] = eventsOf("up");
  assert.ok(event !== undefined);
  const state: Progress = Object.freeze({ steps: Object.freeze([]), messages: Object.freeze([]) });
  assert.equal(reduceProgress(state, { atMs: 1, event }), state);
  for (const each of eventsOf("changing up")) reduceProgress(state, { atMs: 1, event: each });
});

test("changes are one entry a resource, with what makes them necessary", () => {
  const briefly = (operation: RecordedOperation["operation"]): unknown[] =>
    listChanges(eventsOf(operation))
      .map(({ action, name, properties }) => [action, name, ...properties].join(" "))
      .sort();
  assert.deepEqual(briefly("preview"), ["create disk", "create key"]);
  assert.deepEqual(briefly("changing up"), ["create broken", "replace disk name", "update key size"]);
  assert.deepEqual(briefly("destroy"), ["delete disk", "delete key"]);
  const disk = listChanges(eventsOf("preview")).find(({ name }) => name === "disk");
  assert.deepEqual(disk, {
    urn: DISK,
    type: "probe:index:Thing",
    name: "disk",
    action: "create",
    properties: [],
    isRetained: false,
  });
});

test("of a preview's outputs those are known that do not wait for the cloud; a secret is never there", () => {
  assert.deepEqual(previewOutputs(eventsOf("preview")), { disk: undefined, zone: "here", pin: undefined });
});

test("an event of a newer engine is not understood, and no error", () => {
  for (const value of [
    undefined,
    null,
    7,
    {},
    { sequence: "1" },
    { sequence: 1, resourcePreEvent: { metadata: {} } },
  ]) {
    assert.equal(parseEngineEvent(value), undefined);
  }
  assert.deepEqual(parseEngineEvent({ sequence: 1, someNewEvent: { a: 1 } }), { sequence: 1 });
});

/** `resOutputsEvent create metadata.urn string` and its like: all that the events of a recording consist of. */
function shapesOf(operations: readonly RecordedOperation[]): Set<string> {
  const shapes = new Set<string>();
  const walk = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      shapes.add(`${path} ${Array.isArray(value) ? "array" : typeof value}`);
      return;
    }
    for (const [key, member] of Object.entries(value)) walk(member, `${path}.${key}`);
  };
  for (const { operation, events } of operations) {
    for (const { sequence: _, timestamp: __, ...event } of events) {
      const [kind = "", body] = Object.entries(event)[0] ?? [];
      const { op } = (body as { metadata?: { op?: string } }).metadata ?? {};
      walk(body, `${operation}: ${kind} ${op ?? ""}`);
    }
  }
  return shapes;
}

const engine = await findTestEngine(process.env);

test(
  "the recorded events still have the shapes of the engine's",
  { skip: skipWithout(engine), timeout: 60_000 },
  async () => {
    assert.ok(engine !== undefined);
    const live = shapesOf(await recordEvents(engine));
    const missing = [...shapesOf(recorded as readonly RecordedOperation[])].filter(
      (shape) => !live.has(shape),
    );
    assert.deepEqual(missing, []);
  },
);
