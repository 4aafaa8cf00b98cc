/** Processes and threads of one container: far above what a server needs, far below what a machine has. */
const MAX_PROCESSES = 4096;

/** Options of Docker and Podman that every container gets, workload and proxy, on this machine and in a cloud. */
export const CONTAINER_HARDENING: readonly string[] = [
  "--cap-drop",
  "ALL",
  "--security-opt",
  "no-new-privileges",
  "--pids-limit",
  String(MAX_PROCESSES),
];
