/** What a figure asks the load generator for, and what comes back: plain objects, they go from process to process. */
export type Job = LoadJob | LargeBodyJob | EventsJob;

/** Small requests, each connection sending its next one when the answer to the last is there. */
export interface LoadJob {
  readonly kind: "load";
  readonly port: number;
  readonly messages: Messages;
  readonly connections: number;
  readonly until: { readonly requestCount: number } | { readonly windowMs: number };
}

/** `sealed`: POST of 1 KiB, sealed beforehand, with a sealed answer of which one in a hundred is opened. */
export type Messages = "get" | "post" | "sealed";

/** One body of 1 GiB. */
export interface LargeBodyJob {
  readonly kind: "download" | "upload";
  readonly port: number;
}

/** Streams of events, one after the other on one connection. */
export interface EventsJob {
  readonly kind: "events";
  readonly port: number;
  readonly count: number;
}

export interface LoadOutcome {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** With those before the window. */
  readonly requestCount: number;
  /** With what is before the window. */
  readonly elapsedMs: number;
  /** Of the load generator. */
  readonly cpuMs: number;
}

export interface LargeBodyOutcome {
  readonly elapsedMs: number;
}

export interface EventsOutcome {
  /** From the request to its first event, one a stream. */
  readonly firstEventMs: readonly number[];
}

/** Which outcome a job has. */
export type OutcomeOf<T extends Job> = T extends LoadJob
  ? LoadOutcome
  : T extends EventsJob
    ? EventsOutcome
    : LargeBodyOutcome;
