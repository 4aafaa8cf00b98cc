import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { inspect } from "node:util";
import { isPolarisError } from "@polaris-cvm/sdk/errors";
import { createTestAuthority } from "../../../stacks/src/testing/certificates.ts";
import { startConnectProxy } from "../../testing/connect-proxy.ts";
import type { ConnectProxy, ConnectProxyOptions } from "../../testing/connect-proxy.ts";
import {
  afterLogin,
  BASIC,
  connect,
  MANIFEST,
  referenceTo,
  sendManifest,
  startRegistryOf,
} from "../../testing/hostile-exchange.ts";
import { startHostileRegistry } from "../../testing/hostile-registry.ts";
import type { AnswerRequest, HostileRegistry } from "../../testing/hostile-registry.ts";
import { assertNoSecret, rejection } from "../../testing/planted-secrets.ts";
import { digestOf } from "../manifest.ts";
import { readOutboundProxy } from "./outbound-proxy.ts";
import type { RegistryClient } from "./registry-client.ts";

const signal = AbortSignal.timeout(60_000);

const authority = createTestAuthority();
const certificate = authority.issue({ host: "registry.test" });
const TLS = { cert: certificate.certificatePem, key: certificate.keyPem };

/** For the proxy, in its URL and as it comes. */
const PROXY_LOGIN = "builder:pl4nt3d%2FProxy";
const PROXY_BASIC = `Basic ${Buffer.from("builder:pl4nt3d/Proxy").toString("base64")}`;

async function startSecure(t: TestContext, answer: AnswerRequest): Promise<HostileRegistry> {
  const server = await startHostileRegistry(answer, TLS);
  t.after(() => server.stop());
  return server;
}

async function startProxy(t: TestContext, options: ConnectProxyOptions = {}): Promise<ConnectProxy> {
  const proxy = await startConnectProxy(options);
  t.after(() => proxy.stop());
  return proxy;
}

/** Names that no name service knows: only a proxy leads there, unless `lookup` is given. */
function connectThrough(
  t: TestContext,
  environment: Readonly<Record<string, string>>,
  more: Parameters<typeof connect>[1] = {},
): RegistryClient {
  return connect(t, {
    proxy: readOutboundProxy(environment),
    certificateAuthorities: authority.certificatePem,
    lookup: (host, options, callback) => {
      if (!host.endsWith(".test")) return callback(new Error(`asked for ${host}`), "");
      if (options.all === true) callback(null, [{ address: "127.0.0.1", family: 4 }]);
      else callback(null, "127.0.0.1", 4);
    },
    ...more,
  });
}

for (const variable of ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"]) {
  test(`a registry is reached through the proxy in ${variable}, which sees its name and no more`, async (t) => {
    const registry = await startSecure(t, afterLogin(sendManifest));
    const proxy = await startProxy(t, { authorization: PROXY_BASIC });
    const client = connectThrough(t, { [variable]: `http://${PROXY_LOGIN}@${proxy.host}` });
    const manifest = await client.readManifest(referenceTo(`registry.test:${registry.port}`), signal);
    assert.equal(manifest.digest, digestOf(MANIFEST));
    assert.ok(proxy.tunnels.length > 0);
    for (const tunnel of proxy.tunnels) {
      assert.deepEqual(tunnel, {
        authority: `registry.test:${registry.port}`,
        authorization: PROXY_BASIC,
      });
    }
    assert.deepEqual(proxy.plainRequests, []);
    assert.deepEqual(
      registry.seen.map(({ authorization }) => authorization),
      [undefined, BASIC],
    );
  });
}

test("the registry never sees the login of the proxy", async (t) => {
  const headers: string[] = [];
  const registry = await startSecure(t, (request, response, seen) => {
    headers.push(...Object.keys(request.headers));
    return sendManifest(request, response, seen);
  });
  const proxy = await startProxy(t);
  const client = connectThrough(t, { HTTPS_PROXY: `http://${PROXY_LOGIN}@${proxy.host}` });
  await client.readManifest(referenceTo(`registry.test:${registry.port}`), signal);
  assert.ok(headers.includes("host"));
  assert.deepEqual(
    headers.filter((name) => name.startsWith("proxy-")),
    [],
  );
});

test("token servers and storage elsewhere are reached through the proxy, too", async (t) => {
  const elsewhere = await startSecure(t, (_request, response) => {
    response.end(JSON.stringify({ token: "abc" }));
  });
  const registry = await startSecure(t, (request, response, seen) => {
    if (seen.authorization === "Bearer abc") return sendManifest(request, response, seen);
    const realm = `https://registry.test:${elsewhere.port}/token`;
    response.writeHead(401, { "www-authenticate": `Bearer realm="${realm}"` }).end();
  });
  const proxy = await startProxy(t);
  const client = connectThrough(t, { HTTPS_PROXY: proxy.host });
  await client.readManifest(referenceTo(`registry.test:${registry.port}`), signal);
  assert.deepEqual(
    new Set(proxy.tunnels.map(({ authority: name }) => name)),
    new Set([`registry.test:${registry.port}`, `registry.test:${elsewhere.port}`]),
  );
});

test("what NO_PROXY names is reached without the proxy", async (t) => {
  const registry = await startSecure(t, sendManifest);
  for (const noProxy of ["registry.test", "other.test, .test", "*", `registry.test:${registry.port}`]) {
    for (const variable of ["NO_PROXY", "no_proxy"]) {
      const proxy = await startProxy(t);
      const client = connectThrough(t, { HTTPS_PROXY: `http://${proxy.host}`, [variable]: noProxy });
      await client.readManifest(referenceTo(`registry.test:${registry.port}`), signal);
      assert.deepEqual(proxy.tunnels, [], noProxy);
    }
  }
});

test("what stays on this machine is never sent to a proxy", async (t) => {
  const registry = await startRegistryOf(t, sendManifest);
  const proxy = await startProxy(t);
  const client = connectThrough(t, {
    HTTPS_PROXY: `http://${proxy.host}`,
    HTTP_PROXY: `http://${proxy.host}`,
  });
  await client.readManifest(referenceTo(registry.host), signal);
  assert.deepEqual([proxy.tunnels, proxy.plainRequests], [[], []]);
});

test("a certificate that is not the registry's is refused behind a proxy, too", async (t) => {
  const registry = await startSecure(t, sendManifest);
  const proxy = await startProxy(t);
  const environment = { HTTPS_PROXY: `http://${PROXY_LOGIN}@${proxy.host}` };
  const cases = [
    { name: "other.test", authorities: authority.certificatePem, reason: "ERR_TLS_CERT_ALTNAME_INVALID" },
    {
      name: "registry.test",
      authorities: createTestAuthority().certificatePem,
      reason: "UNABLE_TO_\\w+|CERT_\\w+",
    },
  ];
  for (const { name, authorities, reason } of cases) {
    const client = connectThrough(t, environment, {
      certificateAuthorities: authorities,
      retryDelaysMs: [1],
    });
    const error = await rejection(client.readManifest(referenceTo(`${name}:${registry.port}`), signal));
    assert.equal(error.code, "REGISTRY_UNREACHABLE");
    assert.match(error.message, new RegExp(`the TLS connection failed \\((?:${reason})\\)$`));
  }
  assert.equal(proxy.tunnels.length, 2);
  assert.deepEqual(registry.seen, []);
});

const FAILING: readonly {
  readonly name: string;
  readonly options: ConnectProxyOptions;
  readonly message: RegExp;
  readonly tunnels: number;
}[] = [
  {
    name: "wants another login",
    options: { authorization: "Basic other" },
    message: /the proxy in between does not connect us \(proxy status 407\)$/,
    tunnels: 1,
  },
  {
    name: "forbids the host",
    options: { status: 403 },
    message: /the proxy in between does not connect us \(proxy status 403\)$/,
    tunnels: 1,
  },
  {
    name: "does not reach the host",
    options: { status: 502 },
    message: /the connection failed \(proxy status 502\)$/,
    tunnels: 2,
  },
  {
    name: "says nothing",
    options: { isSilent: true },
    message: /no answer in time \(UND_ERR_\w+_TIMEOUT\)$/,
    tunnels: 1,
  },
];

for (const { name, options, message, tunnels } of FAILING) {
  test(`a proxy that ${name} is told, without its login`, { timeout: 10_000 }, async (t) => {
    const proxy = await startProxy(t, options);
    const client = connectThrough(
      t,
      { HTTPS_PROXY: `http://${PROXY_LOGIN}@${proxy.host}` },
      { retryDelaysMs: [1], timeouts: { connectMs: 500 } },
    );
    const error = await rejection(client.readManifest(referenceTo("registry.test"), signal));
    assert.equal(error.code, "REGISTRY_UNREACHABLE");
    assert.match(error.message, message);
    assert.ok(error.message.startsWith("cannot reach registry.test: "));
    assert.ok(error.hint);
    assert.equal(proxy.tunnels.length, tunnels);
  });
}

test("a proxy that is not there is told, without its login", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  const client = connectThrough(t, { HTTPS_PROXY: `http://${PROXY_LOGIN}@127.0.0.1:${port}` });
  const error = await rejection(client.readManifest(referenceTo("registry.test"), signal));
  assert.equal(error.message, "cannot reach registry.test: the connection failed (ECONNREFUSED)");
  assert.match(error.hint ?? "", /proxy in HTTPS_PROXY or HTTP_PROXY/);
});

test("a proxy is read from the first variable that has something, and may lack the scheme", () => {
  assert.equal(readOutboundProxy({}), undefined);
  assert.equal(readOutboundProxy({ HTTPS_PROXY: "", http_proxy: "", NO_PROXY: "a" }), undefined);
  const { url, noProxy } = readOutboundProxy({
    HTTPS_PROXY: "one:1",
    HTTP_PROXY: "two:2",
    https_proxy: "",
    no_proxy: "",
    NO_PROXY: "a,b",
  })!;
  assert.deepEqual([url.href, noProxy], ["http://one:1/", "a,b"]);
  assert.equal(readOutboundProxy({ https_proxy: "https://three" })?.url.href, "https://three/");
});

test("what is no URL of an HTTP proxy is refused, and nothing of it is told", () => {
  for (const value of [
    "socks5://u:pl4nt3d@a:1",
    "http://",
    "http://u:pl4nt3d%@a",
    "http://u:pl4nt3d@:1",
    "a b",
  ]) {
    assert.throws(
      () => readOutboundProxy({ HTTPS_PROXY: value }),
      (error) => {
        assertNoSecret(error);
        assert.ok(isPolarisError(error), inspect(error));
        assert.equal(error.message, "HTTPS_PROXY is not the URL of an HTTP proxy");
        return error.code === "USAGE_INVALID";
      },
      value,
    );
  }
});
