import assert from "node:assert/strict";
import { test } from "node:test";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import { connect, DESCRIPTOR, referenceTo, startRegistryOf } from "../../testing/hostile-exchange.ts";
import type { AnswerRequest } from "../../testing/hostile-registry.ts";
import { rejection } from "../../testing/planted-secrets.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../manifest.ts";

const signal = AbortSignal.timeout(60_000);

/** The next page, as registries say it and as they might. */
const NEXT: readonly ((page: string) => string)[] = [
  (page) => `<${page}>; rel="next"`,
  (page) => `<${page}>; title="more, and <more>"; rel=next`,
  (page) => `<?page=9>; rel=prev, <${page}>; type="text/plain"; rel="last next"; n=2`,
];

test("referrers come page by page, wherever the Link header says that it is the next one", async (t) => {
  const pages = [0, 1, 2, 3].map((page) => ({ ...DESCRIPTOR, mediaType: OCI_MANIFEST, size: page }));
  const server = await startRegistryOf(t, (_request, response, { url }) => {
    const page = Number(new URL(url, "http://x").searchParams.get("page") ?? 0);
    const link = NEXT[page]?.(`?page=${page + 1}`);
    response.writeHead(200, { "content-type": OCI_INDEX, ...(link !== undefined && { link }) });
    response.end(JSON.stringify({ schemaVersion: 2, manifests: [pages[page]] }));
  });
  assert.deepEqual(
    await connect(t).listReferrers(referenceTo(server.host), DESCRIPTOR.digest, signal),
    pages,
  );
});

const REFERRER_FAULTS: readonly (readonly [string, AnswerRequest, ErrorCode])[] = [
  [
    "pages without an end",
    (_request, response) =>
      void response.writeHead(200, { link: "<?next>; rel=next" }).end('{"schemaVersion":2,"manifests":[]}'),
    "IMAGE_TOO_LARGE",
  ],
  [
    "a page on another host without TLS",
    (_request, response) =>
      void response
        .writeHead(200, { link: '<http://192.0.2.1/>; rel="next"' })
        .end('{"schemaVersion":2,"manifests":[]}'),
    "REGISTRY_FAILED",
  ],
  [
    "a page that nobody can find",
    (_request, response) =>
      void response.writeHead(200, { link: '</next>; rel="next' }).end('{"schemaVersion":2,"manifests":[]}'),
    "REGISTRY_FAILED",
  ],
  ["a web page", (_request, response) => void response.end("<html>"), "IMAGE_INVALID"],
];

for (const [name, answer, code] of REFERRER_FAULTS) {
  test(`referrers that are ${name} end with ${code}`, async (t) => {
    const server = await startRegistryOf(t, answer);
    const listing = connect(t).listReferrers(referenceTo(server.host), DESCRIPTOR.digest, signal);
    assert.equal((await rejection(listing)).code, code);
  });
}
