// U5, and what wire v1 leaves open (1.5.5, 1.5.6), at a stack that `polaris deploy` has made.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import type { TrustStatement } from "@polaris-cvm/stacks/trust-statement.ts";
import { TestProject } from "../polaris-process.ts";

let project: TestProject;

before(async () => {
  project = await TestProject.create();
  const { exitCode, stderr } = await project.run(["deploy", "--yes"]);
  assert.equal(exitCode, 0, stderr);
});
after(() => project.remove());

/** What happens to a connection: `open`, or the code of its error. */
async function tryConnect(host: string, port: number): Promise<string> {
  const socket = connect({ host, port });
  try {
    await once(socket, "connect");
    return "open";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "";
  } finally {
    socket.destroy();
  }
}

/** Another address of this machine than the one that local servers are given: whoever listens everywhere answers there. */
const OTHER_ADDRESS = "127.0.0.2";

async function whyNoOtherAddress(): Promise<string | false> {
  const everywhere = createServer().listen(0, "0.0.0.0");
  await once(everywhere, "listening");
  const outcome = await tryConnect(OTHER_ADDRESS, (everywhere.address() as AddressInfo).port);
  everywhere.close();
  return outcome !== "open" && `this system has no ${OTHER_ADDRESS}: ${outcome}`;
}

test(
  "U5: the workload's port was published beside the proxy's; here it listens at 127.0.0.1 alone",
  { skip: await whyNoOtherAddress() },
  async () => {
    const log = await project.run(["logs", "--part", "workload"]);
    const port = Number(/^listening on 127\.0\.0\.1:(\d+)$/m.exec(log.stdout)?.[1]);
    assert.equal(await tryConnect("127.0.0.1", port), "open");
    assert.equal(await tryConnect(OTHER_ADDRESS, port), "ECONNREFUSED");
  },
);

const RESIDUALS = ["local-workload-reachable-by-processes", "wire-v1-replay", "wire-v1-response-key"];

test("U5, 1.5.5, 1.5.6: verify names what is left open: other processes of this machine, replays, the response key", async () => {
  const { data } = await project.json(["verify"]);
  const open = (data.statements as readonly TrustStatement[])
    .filter(({ holds }) => !holds)
    .map(({ id }) => id);
  for (const id of RESIDUALS) assert.ok(open.includes(id), id);

  const { stdout } = await project.run(["verify"]);
  assert.match(stdout, /^ {2}- local-workload-reachable-by-processes: .*can reach it without the proxy$/m);
  assert.match(stdout, /^ {2}- wire-v1-replay: .*can send it again, and mix its parts with those of others/m);
  assert.match(stdout, /^ {2}- wire-v1-response-key: .*sealed to a key of his own/m);
});
