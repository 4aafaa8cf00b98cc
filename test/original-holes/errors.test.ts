// 1.5.8: the original answered every failure with 400 and the message of whatever had thrown, and printed it too.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { constants, createCipheriv, publicEncrypt, randomBytes } from "node:crypto";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { encodeBase64, formatEnvelope } from "@polaris-cvm/sdk";
import { GOLDEN_VECTORS, createContainerKeyProvider } from "../../proxy/testing/golden-vectors.ts";
import { get, readProblem } from "../../proxy/testing/proxy-answers.ts";
import type { RawAnswer } from "../../proxy/testing/raw-answers.ts";
import { sendRaw, startProxy, startWorkload } from "../../proxy/testing/running-proxy.ts";
import { sealBytes, sealText, secureField } from "../../proxy/testing/sealing.ts";

const base64 = (value: string): string => Buffer.from(value).toString("base64");

/** The whole problem, after checking that it has the one shape. */
function problemOf(answer: RawAnswer): Record<string, unknown> {
  readProblem(answer);
  return JSON.parse(answer.body) as Record<string, unknown>;
}

/** An envelope with this header and nothing behind it. */
function envelopeOf(header: object): string {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json]).toString("base64");
}

const RESPONSE_KEY = "polaris-response-public-key";
const BAD_KEY = "response key is not base64 of an RSA public key of 2048 to 8192 bits in PEM";

/** What made Node, OpenSSL or V8 speak in the original: [what came, the fields of the request, code, the whole detail]. */
const LEAKS: readonly [what: string, fields: readonly string[], code: string, detail: string][] = [
  [
    "a response key that OpenSSL cannot decode",
    [`${RESPONSE_KEY}: ${base64("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")}`],
    "PUBLIC_KEY_INVALID",
    BAD_KEY,
  ],
  ["a response key that is no PEM", [`${RESPONSE_KEY}: ${base64("planted")}`], "PUBLIC_KEY_INVALID", BAD_KEY],
  [
    "a sealed header that is no base64",
    ["polaris-secure: planted!"],
    "ENVELOPE_MALFORMED",
    "a sealed header is not base64",
  ],
  [
    "an envelope that is too short",
    [`polaris-secure: ${base64("abc")}`],
    "ENVELOPE_MALFORMED",
    "envelope is 3 bytes long",
  ],
  [
    "a length that points beyond the end",
    [`polaris-url: ${base64("\0\0\0\x09planted")}`],
    "ENVELOPE_MALFORMED",
    "envelope ends within its header",
  ],
  [
    "an envelope whose header is no JSON",
    [`polaris-url: ${base64("\0\0\0\x07planted")}`],
    "ENVELOPE_MALFORMED",
    "envelope has a header that is not JSON",
  ],
  [
    "an envelope without its parts",
    [`polaris-url: ${envelopeOf({ planted: 1 })}`],
    "ENVELOPE_MALFORMED",
    "envelope has an unknown header member",
  ],
  [
    "sealed headers that are no JSON",
    [`polaris-secure: ${await sealText("{planted")}`],
    "REQUEST_INVALID",
    "the sealed headers are not JSON",
  ],
  [
    "sealed headers with a line break",
    [`polaris-secure: ${await sealText('{"x-planted":"a\\r\\nb"}')}`],
    "REQUEST_INVALID",
    "the sealed headers hold a value that no field can have",
  ],
  [
    "a sealed URL that is no text",
    [`polaris-url: ${(await sealBytes(Uint8Array.of(0xff, 0xfe))).toString("base64")}`],
    "REQUEST_INVALID",
    "a sealed part is not UTF-8",
  ],
  [
    "a sealed URL of another host",
    [`polaris-url: ${await sealText("http://planted.example/")}`],
    "REQUEST_INVALID",
    "URL must be a path that begins with one slash, without blanks or fragment",
  ],
  [
    "a key that is not ours",
    [await secureField(), "polaris-key-id: planted"],
    "KEY_UNKNOWN",
    "the message is sealed to a key that this proxy does not have: ask for its public key again",
  ],
];

test("1.5.8: errors had the words of OpenSSL and V8; here each has a text of ours, and nothing of what came", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  for (const [what, fields, code, detail] of LEAKS) {
    const answer = await sendRaw(proxy.port, get("/", ...fields));
    const problem = problemOf(answer);
    assert.deepEqual([problem["code"], problem["detail"]], [code, detail], what);
    assert.deepEqual(Object.keys(problem).toSorted(), [
      "code",
      "detail",
      "requestId",
      "status",
      "title",
      "type",
    ]);
  }
  assert.equal(workload.seen.length, 0);
  assert.equal(proxy.log().length, LEAKS.length);
  assert.ok(!proxy.logText().includes("planted"));
});

test("1.5.8: every failure was a 400; here an outage is not the client's mistake, and a bug says no more than its id", async () => {
  const container = await createContainerKeyProvider();
  const keys = { ...container, unwrap: () => Promise.reject(new TypeError("planted: DECODER routines")) };
  await using proxy = await startProxy("http://127.0.0.1:1", { keys });
  const away = problemOf(await sendRaw(proxy.port, get("/")));
  assert.deepEqual(
    [away["status"], away["code"], away["detail"]],
    [502, "WORKLOAD_UNREACHABLE", "cannot reach the workload"],
  );
  const bug = await sendRaw(proxy.port, get("/", await secureField()));
  const { requestId, ...problem } = problemOf(bug);
  assert.deepEqual(problem, {
    type: "about:blank",
    title: "Internal Server Error",
    status: 500,
    code: "INTERNAL",
  });
  const line = proxy.log().at(-1);
  assert.deepEqual([line?.["requestId"], line?.["level"]], [requestId, "error"]);
  assert.ok(!proxy.logText().includes("planted"));
});

interface Damage {
  /** Is wrapped in place of the content key. */
  readonly insteadOfKey?: Buffer;
  /** Is wrapped in place of the vector. */
  readonly insteadOfIv?: Buffer;
  readonly publicKeyPem?: string;
  readonly oaepHash?: string;
  /** Whose first bit is flipped. */
  readonly flipped?: "wrappedKey" | "wrappedIv" | "authTag" | "ciphertext";
}

/** `{}` sealed by node:crypto, with one thing wrong. */
function sealBadly(damage: Damage): string {
  const key = {
    key: damage.publicKeyPem ?? GOLDEN_VECTORS.containerPublicKeyPem,
    padding: constants.RSA_PKCS1_OAEP_PADDING,
    oaepHash: damage.oaepHash ?? "sha256",
  };
  const contentKey = randomBytes(32);
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", contentKey, iv);
  const ciphertext = Buffer.concat([cipher.update("{}"), cipher.final()]);
  const parts = {
    wrappedKey: publicEncrypt(key, damage.insteadOfKey ?? contentKey),
    wrappedIv: publicEncrypt(key, damage.insteadOfIv ?? iv),
    authTag: cipher.getAuthTag(),
    ciphertext,
  };
  const damaged = damage.flipped === undefined ? undefined : parts[damage.flipped];
  if (damaged !== undefined) damaged.writeUInt8(damaged.readUInt8() ^ 0x80);
  return encodeBase64(formatEnvelope(parts));
}

const BROKEN: Readonly<Record<string, Damage>> = {
  "wrapped key": { flipped: "wrappedKey" },
  "wrapped vector": { flipped: "wrappedIv" },
  tag: { flipped: "authTag" },
  ciphertext: { flipped: "ciphertext" },
  "somebody else's key": { publicKeyPem: GOLDEN_VECTORS.clientPublicKeyPem },
  "another padding": { oaepHash: "sha1" },
  "a content key of 16 bytes": { insteadOfKey: randomBytes(16) },
  "a vector of 129 bytes": { insteadOfIv: randomBytes(129) },
};

test("1.5.8: each failure inside cryptography had a message of its own; here all look alike, to the client and in the log", async () => {
  const container = await createContainerKeyProvider();
  let unwraps = 0;
  const keys = {
    ...container,
    unwrap: (...asked: Parameters<typeof container.unwrap>) => {
      unwraps += 1;
      return container.unwrap(...asked);
    },
  };
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { keys });
  const send = (envelope: string): Promise<RawAnswer> =>
    sendRaw(proxy.port, get("/", `polaris-secure: ${envelope}`));
  assert.equal((await send(sealBadly({}))).status, 200);
  assert.equal(workload.seen.length, 1);

  const outcomes = new Map<string, unknown>();
  for (const [what, damage] of Object.entries(BROKEN)) {
    unwraps = 0;
    const answer = await send(sealBadly(damage));
    const { requestId, ...problem } = problemOf(answer);
    const { time, durationMs, ...line } = proxy.log().at(-1) ?? {};
    assert.ok(typeof time === "string" && typeof durationMs === "number");
    assert.equal(line["requestId"], requestId);
    const fields = answer.fields.filter(([name]) => name !== "date");
    outcomes.set(what, { ...answer, fields, body: problem, line: { ...line, requestId: "" }, unwraps });
  }
  const [, first] = [...outcomes][0] ?? [];
  for (const [what, outcome] of outcomes) assert.deepEqual(outcome, first, what);
  assert.partialDeepStrictEqual(first, {
    status: 400,
    body: { code: "ENVELOPE_OPEN_FAILED", detail: "cannot open envelope" },
    line: { level: "warn", code: "ENVELOPE_OPEN_FAILED" },
    unwraps: 2,
  });
  assert.equal(workload.seen.length, 1);
});

/** Tells the port of the first server that listens: a silent proxy does not. */
const TELL_PORT = `data:text/javascript,${encodeURIComponent(`
  import { subscribe } from "node:diagnostics_channel";
  subscribe("tracing:net.server.listen:asyncEnd", ({ server }) => process.send(server.address().port));
`)}`;

test(
  "1.5.8: errors were printed although logging was off; here a silent proxy writes nothing, whatever fails",
  { timeout: 10_000 },
  async () => {
    const bin = fileURLToPath(new URL("../../proxy/bin/polaris-proxy.js", import.meta.url));
    const proxy = spawn(process.execPath, ["--import", TELL_PORT, bin], {
      env: {
        POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:1",
        POLARIS_PROXY_HOST: "127.0.0.1",
        POLARIS_PROXY_PORT: "0",
        POLARIS_PROXY_ENCRYPT_REQUESTS: "optional",
        POLARIS_PROXY_ENCRYPT_RESPONSES: "optional",
        POLARIS_CONTAINER_ENABLE_LOGGING: "false",
      },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    assert.ok(proxy.stdout !== null && proxy.stderr !== null);
    const output = Promise.all([text(proxy.stdout), text(proxy.stderr)]);
    const [port] = (await once(proxy, "message")) as [number];
    const answers = [
      await sendRaw(port, get("/")),
      await sendRaw(port, get("/", await secureField())),
      await sendRaw(port, get("/", "polaris-secure: no base64")),
      await sendRaw(port, "no request\r\n\r\n"),
    ];
    assert.deepEqual(
      answers.map(({ status }) => status),
      [502, 400, 400, 400],
    );
    proxy.kill("SIGTERM");
    assert.deepEqual(await once(proxy, "close"), [0, null]);
    // What it says before it has a log is about its settings.
    const warning =
      "polaris-proxy: warning: POLARIS_CONTAINER_ENABLE_LOGGING is the original proxy's name, set POLARIS_PROXY_LOG_LEVEL instead\n";
    assert.deepEqual(await output, ["", warning]);
  },
);
