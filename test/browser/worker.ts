/** The script of a web worker and of a service worker: one sealed request for each message, answered at its port. */
import { type AttestationExpectations, createClient, createEphemeralKeyHandler } from "@polaris-cvm/sdk";

export interface WorkerQuestion {
  readonly url: string;
  readonly expect: AttestationExpectations;
  readonly nowUnixSeconds: number;
  readonly body: string;
}

export interface WorkerAnswer {
  readonly text: string;
  readonly hasWindow: boolean;
  readonly trusted: boolean | undefined;
}

async function answer({ url, expect, nowUnixSeconds, body }: WorkerQuestion): Promise<WorkerAnswer> {
  const client = createClient({
    url,
    expect,
    nowUnixSeconds: () => nowUnixSeconds,
    keyHandler: createEphemeralKeyHandler({ modulusLength: 2048 }),
  });
  const response = await client.fetch("/", { method: "POST", body });
  return {
    text: await response.text(),
    hasWindow: "window" in globalThis,
    trusted: client.verification()?.trusted,
  };
}

const scope = globalThis as unknown as EventTarget;
scope.addEventListener("message", (event) => {
  const { data, ports } = event as MessageEvent;
  answer(data as WorkerQuestion).then(
    (result) => ports[0]?.postMessage(result),
    (error: unknown) => ports[0]?.postMessage({ error: String(error) }),
  );
});
