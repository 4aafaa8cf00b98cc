/** A real proxy with evidence: what a client needs to verify it, without a deployed stack. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AttestationExpectations } from "@polaris-cvm/sdk";
import { type ProxyOverrides, type RunningProxy, startProxy } from "../../proxy/testing/running-proxy.ts";
import { CLAIMS, createAttester, NOW, STACK } from "../../sdk/src/testing/attester.ts";

/** The moment at which the evidence is good, in Unix seconds. */
export { NOW };

export interface AttestedProxy extends AsyncDisposable {
  readonly proxy: RunningProxy;
  readonly url: string;
  readonly expectations: AttestationExpectations;
}

/** Starts a proxy, and a token agent that signs every binding with the claims of a confidential machine. */
export async function startAttestedProxy(
  workloadUrl: string,
  overrides: ProxyOverrides = {},
): Promise<AttestedProxy> {
  const attester = await createAttester();
  const folder = await mkdtemp(join(tmpdir(), "polaris-agent-"));
  const socketPath = join(folder, "agent.sock");
  const agent = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (question) => {
      void attester
        .sign({ ...CLAIMS, eat_nonce: String(question).trim() })
        .then((token) => socket.end(`token ${token}\n`));
    });
  }).listen(socketPath);
  await once(agent, "listening");
  const proxy = await startProxy(workloadUrl, { stack: STACK, tokenAgentSocket: socketPath, ...overrides });
  return {
    proxy,
    url: proxy.url,
    expectations: attester.expectations(),
    async [Symbol.asyncDispose]() {
      await proxy.close();
      agent.close();
      await once(agent, "close");
      await rm(folder, { recursive: true });
    },
  };
}
