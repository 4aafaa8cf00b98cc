/** A program for the image of a workload: opens sealed data by the proxy's key API. `node open-data.js <base64> <context>` */
import { openData } from "@polaris-cvm/sdk";
import { createDataKeyUnwrap } from "@polaris-cvm/sdk/node";

const [sealed = "", context = ""] = process.argv.slice(2);
// oxlint-disable-next-line node/no-process-env
const unwrap = createDataKeyUnwrap({ socketPath: process.env["POLARIS_KEY_API_SOCKET"] ?? "" });
process.stdout.write(await new Response(openData(Buffer.from(sealed, "base64"), unwrap, { context })).text());
