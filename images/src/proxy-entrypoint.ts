/** How the proxy is started in its image. */

/** Where the proxy is in the image. */
export const PROXY_FOLDER = "/polaris";
export const PROXY_FILE = "polaris-proxy.mjs";

/** PROXY_NODE_FLAGS of the proxy, which the images do not import; a test compares them. */
const MEMORY_FLAGS = ["--min-semi-space-size=16", "--max-semi-space-size=16", "--initial-heap-size=96"];

/**
 * What Node's permission model lets the proxy do. It starts no program and loads no native code. What it does, and where:
 *
 * - it reads its own file, the numbers of its process for the metrics, the name of a thread to lower its priority, and in
 *   `/run` what the machine and the operator give it: tokens, TLS files, sockets;
 * - it writes in `/run/polaris`, where the socket of the key API is;
 * - it speaks to the network, and keeps a key in threads.
 *
 * Text is never made into code: who gets it to write somewhere cannot have it run.
 */
const PERMISSION_FLAGS = [
  "--permission",
  `--allow-fs-read=${PROXY_FOLDER}/`,
  "--allow-fs-read=/run/",
  "--allow-fs-read=/proc/self/fd",
  "--allow-fs-read=/proc/self/limits",
  "--allow-fs-read=/proc/self/stat",
  "--allow-fs-read=/proc/self/status",
  "--allow-fs-read=/proc/thread-self",
  "--allow-fs-write=/run/polaris/",
  "--allow-net",
  "--allow-worker",
  "--disallow-code-generation-from-strings",
  // Node warns of the two permissions at each start; docs/images.md says what they mean.
  "--disable-warning=PERM0006",
  "--disable-warning=ExperimentalWarning",
];

/** A command line, one word each; `node` is searched in the `PATH` of the base. */
export const PROXY_ENTRYPOINT: readonly string[] = [
  "node",
  ...MEMORY_FLAGS,
  ...PERMISSION_FLAGS,
  `${PROXY_FOLDER}/${PROXY_FILE}`,
];
