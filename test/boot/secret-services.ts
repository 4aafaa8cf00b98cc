import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { crc32c } from "../../proxy/src/keys/crc32c.ts";

export const ACCESS_TOKEN = "the-access-token";

interface Answer {
  readonly status?: number;
  readonly body: unknown;
}

/** Token exchange and Secret Manager on one port. */
export interface SecretServices {
  readonly origin: string;
  readonly requests: readonly string[];
  /** What came to the token exchange. */
  readonly forms: readonly URLSearchParams[];
  /** By method and path. */
  readonly answers: Map<string, Answer | (() => Answer)>;
}

export const versionOf = (name: string): string => `projects/p/secrets/${name}/versions/1`;

export function secretAnswer(value: string | Uint8Array): Answer {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return {
    body: {
      name: "x",
      payload: { data: Buffer.from(bytes).toString("base64"), dataCrc32c: String(crc32c(bytes)) },
    },
  };
}

export async function startSecretServices(t: TestContext): Promise<SecretServices> {
  const requests: string[] = [];
  const forms: URLSearchParams[] = [];
  const answers: SecretServices["answers"] = new Map();
  answers.set("POST /v1/token", { body: { access_token: ACCESS_TOKEN, expires_in: 3600 } });
  const server = createServer((request, response) => {
    const call = `${request.method ?? ""} ${request.url ?? ""}`;
    requests.push(`${call} ${request.headers.authorization ?? ""}`.trimEnd());
    let form = "";
    request.setEncoding("utf8").on("data", (text: string) => (form += text));
    request.on("end", () => {
      if (form !== "") forms.push(new URLSearchParams(form));
      const found = answers.get(call) ?? { status: 404, body: {} };
      const { status = 200, body } = typeof found === "function" ? found() : found;
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, forms, answers };
}
