/** Runs the provider as a process of its own: prints its port as the first line, and stays until SIGTERM. */
import { SCHEMA_MISSING } from "./provider-schema.ts";
import { startGcpProvider } from "./start-provider.ts";

const provider = await startGcpProvider();
if (SCHEMA_MISSING !== false) process.stderr.write(`${SCHEMA_MISSING}\n`);
process.stdout.write(`${provider.port}\n`);
process.once("SIGTERM", () => void provider.stop());
process.once("SIGINT", () => void provider.stop());
