import { parseProxyEnvironment } from "./environment.ts";

/**
 * The settings of this process. The only place of the proxy that looks at the environment.
 *
 * @throws {PolarisError} PROXY_ENVIRONMENT_INVALID
 */
export function loadConfig(): ReturnType<typeof parseProxyEnvironment> {
  // oxlint-disable-next-line node/no-process-env
  return parseProxyEnvironment(process.env);
}
