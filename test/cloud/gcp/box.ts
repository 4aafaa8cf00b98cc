import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createApiServer } from "./api-server.ts";
import type { Api, HttpService } from "./api.ts";
import { createBilling } from "./billing.ts";
import { createIamServices, type IamServicesOptions } from "./iam-services.ts";
import { createCompute } from "./compute/compute.ts";
import { createLogging } from "./logging.ts";
import { createOauth2 } from "./oauth2.ts";
import type { Pace } from "./operations.ts";
import { createOrgPolicy } from "./org-policy.ts";
import { createResourceManager } from "./resource-manager.ts";
import { createServiceUsage } from "./service-usage.ts";
import { World } from "./world.ts";

/** The APIs of the box: one function per API, and each makes its API for one world. */
const APIS: readonly ((world: World) => Api)[] = [
  createBilling,
  createCompute,
  createLogging,
  createOauth2,
  createOrgPolicy,
  createResourceManager,
  createServiceUsage,
];

export interface BoxOptions {
  readonly projectId?: string;
  readonly projectNumber?: string;
  /** Services of the project that are enabled from the start. */
  readonly enabledServices?: readonly string[];
  readonly pace?: Pace;
  readonly now?: () => number;
  /** How identities, keys, images and attestation behave. */
  readonly iam?: IamServicesOptions;
  /** Services that stand beside the APIs, for example the token exchange. */
  readonly services?: (world: World) => readonly HttpService[] | Promise<readonly HttpService[]>;
  /** Endpoints that somebody else serves, for example the registry's. */
  readonly endpoints?: Readonly<Record<string, string>>;
}

export interface Box {
  /** Origins by API name. */
  readonly endpoints: Readonly<Record<string, string>>;
  /** Token of the project's owner. */
  readonly accessToken: string;
  readonly project: string;
  readonly projectNumber: string;
  readonly world: World;
  /** What the box itself did wrong: an answer that its document does not allow, a method that it does not have. */
  readonly faults: readonly string[];
  stop(): Promise<void>;
}

export const OWNER = "user:owner@example.com";
/** What a project has enabled before a stack enables what it needs. */
export const FIRST_SERVICES = [
  "cloudbilling.googleapis.com",
  "cloudresourcemanager.googleapis.com",
  "logging.googleapis.com",
  "orgpolicy.googleapis.com",
  "serviceusage.googleapis.com",
];
const SETTLE_INTERVAL_MS = 100;

/** Starts a Google Cloud with one project on loopback, each API on a port of its own. */
export async function startBox(options: BoxOptions = {}): Promise<Box> {
  const world = new World(options);
  const project = world.addProject({
    projectId: options.projectId ?? "polaris-box",
    projectNumber: options.projectNumber ?? "123456789012",
    enabledServices: options.enabledServices ?? FIRST_SERVICES,
  });
  const accessToken = `ya29.${randomBytes(24).toString("base64url")}`;
  world.addToken(accessToken, { member: OWNER, memberships: [] });
  world.policies.grant(`projects/${project.projectId}`, "roles/owner", OWNER);

  const faults: string[] = [];
  const services: HttpService[] = [];
  const iam = await createIamServices(world, options.iam);
  for (const api of [...APIS.map((create) => create(world)), ...iam.apis]) {
    services.push({ name: api.name, ...(await createApiServer(api, world, faults)) });
  }
  services.push(...iam.services, ...((await options.services?.(world)) ?? []));

  const servers: Server[] = [];
  const endpoints: Record<string, string> = {};
  for (const service of services) {
    const server = await listen(service, faults);
    servers.push(server);
    endpoints[service.name] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  const settling = setInterval(() => world.settle(), SETTLE_INTERVAL_MS).unref();
  return {
    endpoints: { ...endpoints, ...options.endpoints },
    accessToken,
    project: project.projectId,
    projectNumber: project.projectNumber,
    world,
    faults,
    stop: async () => {
      clearInterval(settling);
      await Promise.all(servers.map(close));
      for (const service of services) await service.stop?.();
      await iam.stop();
    },
  };
}

async function listen(service: HttpService, faults: string[]): Promise<Server> {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    try {
      await service.answer(request, response);
    } catch (error) {
      faults.push(`${service.name} failed: ${String(error)}`);
      response.destroy();
    }
  };
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function close(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}
