import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Fields } from "./fields.ts";

/** One request as it arrived: `POST /v1/projects/p/…?alt=json`, and its body where it had one. */
export type Recorded = readonly [request: string, body?: unknown];

export interface StubAnswer {
  readonly status?: number;
  readonly body: unknown;
}

/** @returns undefined for 404 in Google's shape */
export type StubHandler = (method: string, path: string, body: Fields) => StubAnswer | undefined;

export interface RecordingStub {
  readonly origin: string;
  readonly requests: Recorded[];
  stop(): Promise<void>;
}

/** A service on loopback that answers what it is told and remembers what it was asked. */
export async function startRecordingStub(handle: StubHandler): Promise<RecordingStub> {
  const requests: Recorded[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const body: unknown = text === "" ? undefined : JSON.parse(text);
      const method = request.method ?? "";
      const url = request.url ?? "";
      requests.push(body === undefined ? [`${method} ${url}`] : [`${method} ${url}`, body]);
      const answer = handle(method, url.split("?", 1)[0] ?? "", (body ?? {}) as Fields) ?? NOT_FOUND;
      response.writeHead(answer.status ?? 200, { "content-type": "application/json" });
      response.end(JSON.stringify(answer.body));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

const NOT_FOUND: StubAnswer = {
  status: 404,
  body: { error: { code: 404, message: "not found", status: "NOT_FOUND" } },
};

/** Arguments of the provider that send everything to one origin. */
export function stubConfig(origin: string): Readonly<Record<string, string>> {
  return {
    project: "p",
    region: "europe-west4",
    zone: "europe-west4-a",
    accessToken: "test-token",
    pollInterval: "10ms",
    kmsCustomEndpoint: `${origin}/v1/`,
    computeCustomEndpoint: `${origin}/compute/v1/`,
    iamBetaCustomEndpoint: `${origin}/v1/`,
    resourceManagerCustomEndpoint: `${origin}/v1/`,
    cloudBillingCustomEndpoint: `${origin}/v1/`,
    serviceUsageCustomEndpoint: `${origin}/v1/`,
    artifactRegistryCustomEndpoint: `${origin}/v1/`,
    secretManagerCustomEndpoint: `${origin}/v1/`,
  };
}
