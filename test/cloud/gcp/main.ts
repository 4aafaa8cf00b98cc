import { once } from "node:events";
import { startBox } from "./box.ts";

/** Prints where the box is, as `--cloud-endpoints` reads it, and stays until it is told to end. */
const box = await startBox();
process.stdout.write(
  `${JSON.stringify({ endpoints: box.endpoints, accessToken: box.accessToken, project: box.project })}\n`,
);
await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
await box.stop();
