import { stat } from "node:fs/promises";
import { request } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";
import { request as requestOverTls } from "node:https";
import { connect } from "node:net";
import type { NetConnectOpts } from "node:net";
import type { Probe } from "./part-spec.ts";

/** How long one question may take, in milliseconds, unless the probe says otherwise. */
const PROBE_TIMEOUT_MS = 1_000;

/** How long the proxy may take to say why it is not ready: it asks key and workload for up to 2 seconds. */
const NOT_READY_TIMEOUT_MS = 3_000;

/** Asks all probes of a part once, at the same time. True if every one of them succeeds. */
export async function askProbes(probes: readonly Probe[], signal?: AbortSignal): Promise<boolean> {
  const answers = await Promise.all(probes.map((probe) => askProbe(probe, signal)));
  return answers.every(Boolean);
}

async function askProbe(probe: Probe, signal: AbortSignal | undefined): Promise<boolean> {
  if (probe.kind === "file") return hasBytes(probe.path);
  const patience = withTimeout(probe.timeoutMs, signal);
  if (probe.kind === "http") return askHttp(probe, patience);
  return canConnect(
    probe.kind === "tcp" ? { host: "127.0.0.1", port: probe.port } : { path: probe.path },
    patience,
  );
}

function withTimeout(timeoutMs = PROBE_TIMEOUT_MS, signal?: AbortSignal): AbortSignal {
  const timeout = AbortSignal.timeout(timeoutMs);
  return signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
}

function askHttp(probe: Extract<Probe, { kind: "http" }>, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const question = openQuestion(probe.url, signal, (response) => {
      const status = response.statusCode ?? 0;
      // The body does not matter, and may be endless.
      response.destroy();
      resolve(probe.expect === "200" ? status === 200 : status >= 200 && status < 400);
    });
    question.on("error", () => resolve(false));
    question.end();
  });
}

function openQuestion(
  url: string,
  signal: AbortSignal,
  onAnswer: (response: IncomingMessage) => void,
): ClientRequest {
  const { protocol } = new URL(url);
  // Whose certificate it is does not matter: a part of this machine is asked whether it is ready, and told nothing.
  const tls = { rejectUnauthorized: false };
  const ask = protocol === "https:" ? requestOverTls : request;
  return ask(
    url,
    { agent: false, signal, headers: { connection: "close" }, ...(protocol === "https:" && tls) },
    onAnswer,
  );
}

/** Codes such as WORKLOAD_UNREACHABLE; nothing else of an answer is shown to people. */
const REASON = /^[A-Z][A-Z_]{0,63}$/;

/** An answer of the proxy's ready route is far shorter. */
const MAX_ANSWER_BYTES = 4096;

/**
 * Why the proxy is not ready, as its ready route says.
 *
 * @returns undefined if nobody answers there, or what comes is not such an answer
 */
export async function askReasons(url: string): Promise<readonly string[] | undefined> {
  const text = await readAnswer(url, AbortSignal.timeout(NOT_READY_TIMEOUT_MS));
  try {
    const { reasons } = JSON.parse(text ?? "") as { readonly reasons?: unknown };
    if (!Array.isArray(reasons) || reasons.length === 0) return undefined;
    return reasons.every((reason): reason is string => typeof reason === "string" && REASON.test(reason))
      ? reasons
      : undefined;
  } catch {
    return undefined;
  }
}

/** The body of an answer with status 503, if it is short. */
function readAnswer(url: string, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const question = openQuestion(url, signal, (response) => {
      let text = "";
      const finish = (answer?: string) => {
        response.destroy();
        resolve(answer);
      };
      if (response.statusCode !== 503) finish();
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
        if (text.length > MAX_ANSWER_BYTES) finish();
      });
      response.on("end", () => finish(text));
      response.on("error", () => finish());
    });
    question.on("error", () => resolve(undefined));
    question.end();
  });
}

function canConnect(where: NetConnectOpts, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(where);
    const finish = (answer: boolean) => {
      signal.removeEventListener("abort", giveUp);
      socket.destroy();
      resolve(answer);
    };
    const giveUp = () => finish(false);
    socket.once("connect", () => finish(true));
    socket.on("error", giveUp);
    signal.addEventListener("abort", giveUp);
    if (signal.aborted) giveUp();
  });
}

async function hasBytes(path: string): Promise<boolean> {
  try {
    return (await stat(path)).size > 0;
  } catch {
    return false;
  }
}
