import { Server, ServerCredentials } from "@grpc/grpc-js";
import providerGrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import { createService } from "./provider-service.ts";
import { Sessions } from "./session.ts";

export interface GcpProvider {
  /** For `PULUMI_DEBUG_PROVIDERS=gcp:<port>`. */
  readonly port: number;
  stop(): Promise<void>;
}

export interface ProviderOptions {
  /** What stands for the real provider's half second between two tries, in milliseconds. */
  readonly retryUnitMs?: number;
}

/** Without this, gRPC refuses messages of more than 4 MB, which the engine does not. */
const UNLIMITED = -1;

/**
 * Starts the thin `gcp` provider on loopback. It makes the calls that the real one makes, to the endpoints that it is configured
 * with, and keeps no state: that is the engine's and the cloud's.
 */
export async function startGcpProvider({ retryUnitMs = 20 }: ProviderOptions = {}): Promise<GcpProvider> {
  const sessions = new Sessions();
  const server = new Server({
    "grpc.max_receive_message_length": UNLIMITED,
    "grpc.max_send_message_length": UNLIMITED,
  });
  server.addService(providerGrpc.ResourceProviderService, createService(sessions, retryUnitMs));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return {
    port,
    async stop() {
      sessions.cancelAll();
      server.forceShutdown();
      await Promise.resolve();
    },
  };
}
