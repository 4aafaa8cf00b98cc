import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { Plan } from "../plan.ts";
import { checkPorts, choosePorts } from "./ports.ts";
import type { LocalState } from "./state.ts";

const onLinux = { skip: process.platform !== "linux" && "who holds a port is seen only on Linux" };

/** A port that this process listens on: of the stack or a stranger's, as the test calls it. */
async function holdPort(t: TestContext): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

function planWith(proxyPort: number | undefined): Plan {
  return { proxy: { port: proxyPort }, workload: { kind: "process", port: undefined } } as unknown as Plan;
}

function stateWith(ports: Partial<LocalState["ports"]>): LocalState {
  return {
    version: 1,
    name: "a",
    stack: "default",
    ports: { trust: 1, workload: 2, proxy: 3, ...ports },
    scheme: "http",
  };
}

const nobody = new Map<string, ReadonlySet<number>>();
const ownPid = new Set([process.pid]);

test("keeps the remembered port of a part of which anything lives, although that listens there", async (t) => {
  const proxy = await holdPort(t);
  const alive = new Map([["proxy", new Set<number>()]]);
  const { ports, moved } = await choosePorts(planWith(undefined), stateWith({ proxy }), alive);
  assert.equal(ports.proxy, proxy);
  assert.equal(moved.includes("proxy"), false);
});

test("moves a remembered port that a stranger has", async (t) => {
  const proxy = await holdPort(t);
  const alive = new Map([["workload", new Set([process.pid + 1])]]);
  const { ports, moved } = await choosePorts(planWith(undefined), stateWith({ proxy }), alive);
  assert.notEqual(ports.proxy, proxy);
  assert.equal(moved.includes("proxy"), true);
});

test(
  "a port that a process of the same part has is not taken, also when the state is lost",
  onLinux,
  async (t) => {
    const port = await holdPort(t);
    const alive = new Map([["proxy", ownPid]]);
    assert.deepEqual(await checkPorts(planWith(port), undefined, alive), []);
    assert.equal((await choosePorts(planWith(port), undefined, alive)).ports.proxy, port);
  },
);

test("a port that another part has, or a stranger, is taken", onLinux, async (t) => {
  const port = await holdPort(t);
  for (const alive of [nobody, new Map([["workload", ownPid]])]) {
    const findings = await checkPorts(planWith(port), undefined, alive);
    assert.deepEqual(
      findings.map(({ where }) => where),
      ["proxy.port"],
    );
    assert.match(
      findings[0]?.problem ?? "",
      new RegExp(`^port ${port} on 127\\.0\\.0\\.1 is taken by .+ \\(process ${process.pid}\\)$`),
    );
    await assert.rejects(choosePorts(planWith(port), undefined, alive), { code: "PORT_TAKEN" });
  }
});

test("the port that a workload has in its container need not be free on this machine", async (t) => {
  const port = await holdPort(t);
  const plan = planWith(undefined);
  const inContainer: Plan = {
    ...plan,
    workload: { ...plan.workload, kind: "image", port } as Plan["workload"],
  };
  assert.deepEqual(await checkPorts(inContainer, undefined, nobody), []);
  assert.notEqual((await choosePorts(inContainer, undefined, nobody)).ports.workload, port);
});
