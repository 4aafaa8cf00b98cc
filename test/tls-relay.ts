import { once } from "node:events";
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer } from "node:net";
import type { Duplex } from "node:stream";
import type { TestContext } from "node:test";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { type TlsIdentity, tlsServerOptions } from "../proxy/src/tls-identity.ts";

/** Somebody between clients and an endpoint. */
export interface TlsRelay {
  readonly url: string;
  /** What they could read of what clients sent, in the order in which it came. */
  readonly read: () => string;
  /** From now on they end TLS themselves instead of passing bytes through. */
  readonly attack: () => void;
  /** From now on they pass bytes through again. */
  readonly passOn: () => void;
}

/**
 * Passes bytes on to the endpoint at `port` of this machine: as they are, or, as an attacker, through two TLS connections, to
 * the client with a key of their own.
 */
export async function startTlsRelay(
  t: TestContext,
  port: number,
  attacker: TlsIdentity,
  { attacks = false } = {},
): Promise<TlsRelay> {
  let stolen = "";
  let attacking = attacks;
  const ends: Duplex[] = [];
  const join = (one: Duplex, two: Duplex): void => {
    for (const end of [one, two]) {
      ends.push(end);
      end.on("error", () => undefined);
    }
    one.pipe(two).pipe(one);
  };
  const options = { ...tlsServerOptions(attacker), ALPNProtocols: ["http/1.1"] };
  const terminator = createTlsServer(options, (client) => {
    client.on("data", (bytes) => (stolen += bytes.toString("latin1")));
    join(client, connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false }));
  });
  terminator.on("tlsClientError", () => undefined);
  const relay = createTcpServer((client) => {
    if (attacking) terminator.emit("connection", client);
    else join(client, connectTcp(port, "127.0.0.1"));
  });
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  t.after(() => {
    relay.close();
    for (const end of ends) end.destroy();
  });
  return {
    url: `https://127.0.0.1:${(relay.address() as AddressInfo).port}`,
    read: () => stolen,
    attack: () => (attacking = true),
    passOn: () => (attacking = false),
  };
}
