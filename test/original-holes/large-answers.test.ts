// 1.5.4: the original sealed answers of any size, with 6.4 GiB for one of 400 MiB, and failed above what fits into a string.
import assert from "node:assert/strict";
import { constants } from "node:buffer";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { parseProxyEnvironment } from "@polaris-cvm/proxy/environment";
import { startProxy, startWorkload } from "../../proxy/testing/running-proxy.ts";
import type { RunningProxy } from "../../proxy/testing/running-proxy.ts";
import { createSealingClient } from "../../proxy/testing/sealing.ts";

const KIB = 1024;
const timeout = 10_000;

/** Bytes of sealed bodies that the proxy holds now. */
async function heldBytes(proxy: RunningProxy): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${proxy.metricsPort}/metrics`)).text();
  return Number(/^polaris_proxy_held_bytes (\d+)$/m.exec(metrics)?.[1]);
}

/** Writes without an end, as fast as the reader reads. Resolves once nobody reads any more. */
async function writeEndlessly(response: ServerResponse): Promise<void> {
  const chunk = Buffer.alloc(64 * KIB);
  const write = (): void => {
    while (response.write(chunk));
  };
  response.on("drain", write);
  write();
  await once(response, "close");
}

test(
  "1.5.4: an answer without an end ate the memory; here it is refused at the limit, the workload is cut off and nothing stays held",
  { timeout },
  async () => {
    const { promise: isCutOff, resolve: tellCutOff } = Promise.withResolvers<void>();
    await using workload = await startWorkload(async (_request, response) => {
      await writeEndlessly(response);
      tellCutOff();
    });
    const maxBodyBytes = 200 * KIB;
    await using proxy = await startProxy(workload.url, { limits: { maxBodyBytes }, metricsPort: 0 });
    const response = await createSealingClient(proxy.url).fetch("/endless");
    assert.equal(response.status, 502);
    assert.equal(response.headers.get("polaris-error"), "WORKLOAD_RESPONSE_INVALID");
    const { detail } = (await response.json()) as { detail: string };
    assert.equal(
      detail,
      "the workload's answer is longer than 204800 bytes, which is as much as can be sealed",
    );
    await isCutOff;
    assert.equal(await heldBytes(proxy), 0);
  },
);

test("1.5.4: an answer as long as the limit is sealed, one byte more is not", { timeout }, async () => {
  const maxBodyBytes = 100_000;
  await using workload = await startWorkload(({ url }, response) => {
    response.end(Buffer.alloc(Number(url?.slice(1)), "x"));
  });
  await using proxy = await startProxy(workload.url, { limits: { maxBodyBytes } });
  const { fetch } = createSealingClient(proxy.url);
  assert.equal(await (await fetch(`/${maxBodyBytes}`)).text(), "x".repeat(maxBodyBytes));
  assert.equal(
    (await fetch(`/${maxBodyBytes + 1}`)).headers.get("polaris-error"),
    "WORKLOAD_RESPONSE_INVALID",
  );
});

test(
  "1.5.4: all answers together have a limit too; who does not fit in hears when to come back, and the others get theirs",
  { timeout },
  async () => {
    const { promise: isReleased, resolve: release } = Promise.withResolvers<void>();
    const body = "x".repeat(100 * KIB);
    await using workload = await startWorkload(async (_request, response) => {
      response.write(body);
      await isReleased;
      response.end();
    });
    await using proxy = await startProxy(workload.url, {
      limits: { maxBodyBytes: 150 * KIB, maxBufferedBytes: 150 * KIB },
      metricsPort: 0,
    });
    const { fetch } = createSealingClient(proxy.url);
    // Neither ends before the release but by a refusal.
    const [first, second] = [fetch("/one"), fetch("/two")];
    const refused = await Promise.race([first, second]);
    assert.equal(refused.status, 503);
    assert.equal(refused.headers.get("polaris-error"), "OVERLOADED");
    assert.equal(refused.headers.get("retry-after"), "1");

    release();
    const answers = await Promise.all([first, second]);
    const taken = answers.filter(({ status }) => status === 200);
    assert.equal(taken.length, 1);
    for (const answer of taken) assert.equal(await answer.text(), body);
    assert.equal(await heldBytes(proxy), 0);
    assert.equal(await (await fetch("/three")).text(), body);
  },
);

test("1.5.4: base64 of the longest answer that can be set fits into a string", () => {
  const parse = (maxBodyBytes: number): number =>
    parseProxyEnvironment({
      POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:8000",
      POLARIS_PROXY_MAX_BODY_BYTES: String(maxBodyBytes),
      POLARIS_PROXY_MAX_BUFFERED_BYTES: String(maxBodyBytes),
    }).settings.limits.maxBodyBytes;
  const longest = 256 * KIB * KIB;
  assert.equal(parse(longest), longest);
  assert.throws(() => parse(longest + 1), { code: "PROXY_ENVIRONMENT_INVALID" });
  // What an envelope has besides the body: 4 bytes, and a header of at most 4 KiB.
  assert.ok(Math.ceil((longest + 4 + 4 * KIB) / 3) * 4 < constants.MAX_STRING_LENGTH);
});
