// One sealed request, one sealed answer: node client.js URL [FILE WITH THE PUBLIC KEY]
import { readFile } from "node:fs/promises";
import { createClient, PolarisError } from "@polaris-cvm/sdk";

const [url = "http://127.0.0.1:3000", publicKeyFile] = process.argv.slice(2);

const client = createClient({
  url,
  // A proxy on its own shows no evidence. Without a key from a source that you trust, whoever answers can read everything.
  ...(publicKeyFile === undefined
    ? { insecureSkipVerification: true }
    : { publicKey: await readFile(publicKeyFile, "utf8") }),
});

try {
  const response = await client.fetch("/a/secret/path?and=query", {
    headers: { authorization: "Bearer a secret token" },
  });
  process.stdout.write(`${response.status} ${await response.text()}`);
  process.exitCode = response.ok ? 0 : 1;
} catch (error) {
  if (!(error instanceof PolarisError) || error.code !== "ENDPOINT_UNREACHABLE") throw error;
  process.stderr.write(`no proxy answers at ${url} yet: ${error.message}\n`);
  process.exitCode = 1;
}
