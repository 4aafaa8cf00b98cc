import { dirname, join } from "node:path";
import { formatProxyEnvironment } from "@polaris-cvm/proxy/environment";
import type { TlsSettings } from "@polaris-cvm/proxy/environment";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { ImageWorkload, Plan } from "../../plan.ts";
import { planProxySettings } from "../proxy-settings.ts";
import type { StackPaths } from "../stack-paths.ts";
import type { LocalState } from "../state.ts";
import type { ContainerConfig } from "./container-config.ts";
import type { EngineName } from "./engine.ts";
import { workloadImage } from "./images.ts";
import { stackNetworks } from "./networks.ts";

/** What the proxy calls the workload. */
const WORKLOAD_HOST = "workload";

/** The port that the proxy image exposes. */
const PROXY_PORT = 3000;

/** Port of a workload that neither the configuration nor its image names one for; it is told, as `PORT`. */
const DEFAULT_WORKLOAD_PORT = 8080;

/** Where the proxy's container has what it is given. The image lets it read below `/run` alone. */
const GIVEN = "/run/polaris-local";
const GIVEN_SERVICES = `${GIVEN}/services`;
const GIVEN_TOKEN = `${GIVEN}/token`;
const GIVEN_TLS = `${GIVEN}/tls`;

/** Where both containers have the folder of the key API. The image lets the proxy write below `/run/polaris` alone. */
const GIVEN_KEY_API = "/run/polaris/key-api";
const KEY_API_SOCKET = `${GIVEN_KEY_API}/key-api.sock`;

/** A plan whose workload is an image. */
export type ImagePlan = Plan & { readonly workload: ImageWorkload };

export function isImagePlan(plan: Plan): plan is ImagePlan {
  return plan.workload.kind === "image";
}

/** What a plan does not decide. */
export interface ContainerChoices {
  readonly engine: EngineName;
  /** How the engine calls the image of the proxy. */
  readonly proxyImage: string;
  /** `<uid>:<gid>`; null: as the image says. */
  readonly proxyUser: string | null;
  readonly secretNames: readonly string[];
}

export interface ContainerConfigs {
  readonly workload: ContainerConfig;
  readonly proxy: ContainerConfig;
}

/** The two containers of a local stack: a pure function. */
export function planContainers(
  plan: ImagePlan,
  paths: StackPaths,
  state: LocalState,
  choices: ContainerChoices,
): ContainerConfigs {
  const { stackId } = paths.containers;
  const common = (part: "workload" | "proxy") =>
    ({
      version: 1,
      engine: choices.engine,
      stackId,
      part,
      // For people, in lists of their engine; the id keeps it apart from the same stack of another folder.
      name: `polaris-${plan.name}-${plan.stack}-${part}-${stackId}`,
    }) as const;
  const { inside, outside } = stackNetworks(stackId);
  const port = workloadPort(plan);
  const keyApi = { source: paths.containers.keyApiDir, target: GIVEN_KEY_API };
  checkSecretNames(choices.secretNames);
  return {
    workload: {
      ...common("workload"),
      image: workloadImage(plan.workload),
      command: [...plan.workload.command],
      user: null,
      // As in the clouds: what it writes there is gone with it.
      readOnlyRoot: false,
      env: {
        ...plan.workload.env,
        HOST: "0.0.0.0",
        PORT: String(port),
        ...(plan.workload.keyApi && { POLARIS_KEY_API_SOCKET: KEY_API_SOCKET }),
      },
      secretNames: [...choices.secretNames],
      // To connect to a socket nobody has to write beside it.
      mounts: plan.workload.keyApi ? [{ ...keyApi, readOnly: true }] : [],
      networks: [inside],
      alias: WORKLOAD_HOST,
      publish: null,
      readySocket: paths.containers.workloadReady,
    },
    proxy: {
      ...common("proxy"),
      image: choices.proxyImage,
      command: null,
      user: choices.proxyUser,
      readOnlyRoot: true,
      env: formatProxyEnvironment(
        planProxySettings(plan, state, {
          // On every interface of its own network; what is published of it is on loopback alone.
          host: "0.0.0.0",
          port: PROXY_PORT,
          workloadUrl: `http://${WORKLOAD_HOST}:${port}`,
          tls: givenTls(plan),
          tokenAgentSocket: join(GIVEN_SERVICES, "token-agent.sock"),
          tokenFile: join(GIVEN_TOKEN, "attestation-token"),
          keyApiSocket: KEY_API_SOCKET,
          keyApiAccess: "mounted",
          trustSocket: join(GIVEN_SERVICES, "trust.sock"),
        }),
      ),
      secretNames: [],
      mounts: [
        { source: paths.containers.servicesDir, target: GIVEN_SERVICES, readOnly: true },
        ...(plan.key.kind === "hsm"
          ? [{ source: dirname(paths.tokenFile), target: GIVEN_TOKEN, readOnly: true }]
          : []),
        ...(plan.proxy.tls.mode === "files"
          ? [{ source: paths.containers.tlsDir, target: GIVEN_TLS, readOnly: true }]
          : []),
        ...(plan.workload.keyApi ? [{ ...keyApi, readOnly: false }] : []),
      ],
      networks: [outside, inside],
      alias: null,
      publish: { hostPort: state.ports.proxy, containerPort: PROXY_PORT },
      readySocket: paths.containers.proxyReady,
    },
  };
}

function givenTls({ proxy: { tls } }: Plan): TlsSettings {
  if (tls.mode !== "files") return tls;
  return { mode: "files", certificateFile: `${GIVEN_TLS}/certificate.pem`, keyFile: `${GIVEN_TLS}/key.pem` };
}

/** Asked for, or the one that the image exposes, or one that the workload is told. */
function workloadPort({ workload }: ImagePlan): number {
  if (workload.port !== undefined) return workload.port;
  const exposed = exposedTcpPorts(workload);
  return exposed[0] ?? DEFAULT_WORKLOAD_PORT;
}

/** The TCP ports that an image exposes. Which of several is the workload's, only a person knows. */
export function exposedTcpPorts({ exposedPorts }: ImageWorkload): number[] {
  return exposedPorts.flatMap((exposed) => {
    const port = /^(\d{1,5})(?:\/tcp)?$/.exec(exposed)?.[1];
    return port === undefined ? [] : [Number(port)];
  });
}

/** Variables that say to an engine's program where its service is and how to speak to it. */
const ENGINE_VARIABLES =
  /^(DOCKER_|CONTAINER_|CONTAINERS_|XDG_|LD_|GO|PATH$|HOME$|TMPDIR$|[a-zA-Z_]*_(proxy|PROXY)$|POLARIS_)/;

/**
 * Values of secrets go to the container through the environment of the engine's program, because its arguments are there for
 * everybody to read: so none may be called as what that program takes for itself.
 *
 * @throws {PolarisError} CONFIG_INVALID
 */
function checkSecretNames(names: readonly string[]): void {
  const name = names.find((candidate) => ENGINE_VARIABLES.test(candidate));
  if (name === undefined) return;
  throw new PolarisError("CONFIG_INVALID", `a secret of a container cannot be called ${name}`, {
    hint: "container engines take that variable for themselves: give the secret another name",
  });
}
