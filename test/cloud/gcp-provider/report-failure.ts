import { credentials } from "@grpc/grpc-js";
import engineGrpc from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import enginePb from "@pulumi/pulumi/proto/engine_pb.js";
import { failureText, IncompleteResourceError, logLine } from "./failures.ts";
import type { Session } from "./session.ts";

/** The real provider says each failure twice: in a log line, and as what the operation fails with. */
export async function reporting<Result>(
  session: Session,
  urn: string,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    await logToEngine(session, urn, logLine(message));
    const text = failureText(message);
    throw error instanceof IncompleteResourceError
      ? new IncompleteResourceError(text, error)
      : new Error(text, { cause: error });
  }
}

async function logToEngine(session: Session, urn: string, message: string): Promise<void> {
  if (session.engineAddress === "") return;
  const client = new engineGrpc.EngineClient(session.engineAddress, credentials.createInsecure());
  const line = new enginePb.LogRequest();
  line.setSeverity(enginePb.LogSeverity.ERROR);
  line.setUrn(urn);
  line.setMessage(message);
  // An engine that takes no more lines is ending: the failure itself still reaches it as the answer.
  await new Promise<void>((resolve) => client.log(line, () => resolve()));
  client.close();
}
