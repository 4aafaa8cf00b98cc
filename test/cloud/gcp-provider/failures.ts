/** How a failed call reaches the engine, in the words of the real provider. */
import { Metadata, status as grpcStatus } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import statusPb from "@pulumi/pulumi/proto/status_pb.js";
import anyPb from "google-protobuf/google/protobuf/any_pb.js";
import type { Fields } from "./fields.ts";
import { writeProperties } from "./property-values.ts";

/** The resource was made, but what became of it could not be read: it stays in the state, and is marked. */
export class IncompleteResourceError extends Error {
  readonly id: string;
  readonly state: Fields;
  readonly secrets: ReadonlySet<string>;

  constructor(message: string, made: { id: string; state: Fields; secrets: ReadonlySet<string> }) {
    super(message);
    this.id = made.id;
    this.state = made.state;
    this.secrets = made.secrets;
  }
}

/** What the real provider's library prints first. */
export function logLine(message: string): string {
  return `  sdk-v2/provider2.go:571: sdk.helper_schema: ${message}: provider=google-beta@9.35.0`;
}

/** What the operation fails with. */
export function failureText(message: string): string {
  return `1 error occurred:\n\t* ${message}\n\n`;
}

export function toServiceError(error: unknown): Partial<ServiceError> {
  const message = error instanceof Error ? error.message : String(error);
  const metadata = new Metadata();
  if (error instanceof IncompleteResourceError) {
    const made = new providerPb.ErrorResourceInitFailed();
    made.setId(error.id);
    made.setProperties(writeProperties({ values: error.state, secrets: error.secrets }));
    made.setReasonsList([message]);
    const detail = new anyPb.Any();
    detail.pack(made.serializeBinary(), "pulumirpc.ErrorResourceInitFailed");
    const status = new statusPb.Status();
    status.setCode(grpcStatus.UNKNOWN);
    status.setMessage(message);
    status.addDetails(detail);
    // Go's gRPC reads structured details from this field.
    metadata.add("grpc-status-details-bin", Buffer.from(status.serializeBinary()));
  }
  return { code: grpcStatus.UNKNOWN, message, details: message, metadata };
}
