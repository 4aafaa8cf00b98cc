/** Speaks to the provider as the engine does, without an engine. */
import { credentials } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import providerGrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import type { Fields } from "./fields.ts";
import { readProperties, writeProperties } from "./property-values.ts";

const NO_SECRETS: ReadonlySet<string> = new Set();

export interface DiffResult {
  readonly changes: boolean;
  readonly replaces: readonly string[];
  readonly deleteBeforeReplace: boolean;
  /** `update`, `add-replace` and so on, by path. */
  readonly detailed: Readonly<Record<string, string>>;
}

export interface ProviderClient {
  /** @returns what is wrong with the arguments */
  checkConfig(args: Fields): Promise<readonly string[]>;
  configure(args: Fields): Promise<void>;
  check(token: string, inputs: Fields): Promise<{ inputs: Fields; failures: readonly string[] }>;
  create(token: string, inputs: Fields, options?: CreateOptions): Promise<Created>;
  update(token: string, id: string, state: Fields, inputs: Fields): Promise<Fields>;
  read(
    token: string,
    id: string,
    state: Fields,
    inputs: Fields,
  ): Promise<{ id: string; state: Fields; inputs: Fields }>;
  delete(token: string, id: string, state: Fields): Promise<void>;
  diff(token: string, state: Fields, inputs: Fields): Promise<DiffResult>;
  invoke(token: string, args: Fields): Promise<Fields>;
  close(): void;
}

type CallName =
  | "checkConfig"
  | "configure"
  | "check"
  | "create"
  | "update"
  | "read"
  | "delete"
  | "diff"
  | "invoke";

export interface CreateOptions {
  readonly preview?: boolean;
  /** Names of the inputs that are secret. */
  readonly secrets?: readonly string[];
}

export interface Created {
  readonly id: string;
  readonly state: Fields;
  /** Names of the properties that are secret. */
  readonly secrets: readonly string[];
}

const KINDS = ["add", "add-replace", "delete", "delete-replace", "update", "update-replace"];

export function connectToProvider(port: number): ProviderClient {
  const client = new providerGrpc.ResourceProviderClient(`127.0.0.1:${port}`, credentials.createInsecure(), {
    // A connection of its own, as every provider resource of a program has one.
    "grpc.use_local_subchannel_pool": 1,
  });
  const call = <Response>(name: CallName, request: unknown): Promise<Response> =>
    new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, response: Response): void =>
        error === null ? resolve(response) : reject(error);
      // The generated overloads are for one call each; the pairs of types are given where they are used.
      const method = client[name] as unknown as (request: unknown, callback: typeof done) => void;
      method.call(client, request, done);
    });
  const struct = (values: Fields): ReturnType<typeof writeProperties> =>
    writeProperties({ values, secrets: NO_SECRETS });
  return {
    async checkConfig(args) {
      const request = new providerPb.CheckRequest();
      request.setUrn("urn:pulumi:test::test::pulumi:providers:gcp::cloud");
      request.setNews(struct(args));
      const response = await call<providerPb.CheckResponse>("checkConfig", request);
      return response.getFailuresList().map((failure) => failure.getReason());
    },
    async configure(args) {
      const request = new providerPb.ConfigureRequest();
      request.setArgs(struct(args));
      await call<providerPb.ConfigureResponse>("configure", request);
    },
    async check(token, inputs) {
      const request = new providerPb.CheckRequest();
      request.setUrn(urnOf(token));
      request.setNews(struct(inputs));
      request.setRandomseed(Buffer.from("0123456789abcdef", "hex"));
      const response = await call<providerPb.CheckResponse>("check", request);
      const failures = response.getFailuresList().map((failure) => failure.getReason());
      return { inputs: readProperties(response.getInputs()).values, failures };
    },
    async create(token, inputs, { preview = false, secrets = [] } = {}) {
      const request = new providerPb.CreateRequest();
      request.setUrn(urnOf(token));
      request.setProperties(writeProperties({ values: inputs, secrets: new Set(secrets) }));
      request.setPreview(preview);
      const response = await call<providerPb.CreateResponse>("create", request);
      const made = readProperties(response.getProperties());
      return { id: response.getId(), state: made.values, secrets: [...made.secrets] };
    },
    async update(token, id, state, inputs) {
      const request = new providerPb.UpdateRequest();
      request.setUrn(urnOf(token));
      request.setId(id);
      request.setOlds(struct(state));
      request.setNews(struct(inputs));
      const response = await call<providerPb.UpdateResponse>("update", request);
      return readProperties(response.getProperties()).values;
    },
    async read(token, id, state, inputs) {
      const request = new providerPb.ReadRequest();
      request.setUrn(urnOf(token));
      request.setId(id);
      request.setProperties(struct(state));
      request.setInputs(struct(inputs));
      const response = await call<providerPb.ReadResponse>("read", request);
      return {
        id: response.getId(),
        state: readProperties(response.getProperties()).values,
        inputs: readProperties(response.getInputs()).values,
      };
    },
    async delete(token, id, state) {
      const request = new providerPb.DeleteRequest();
      request.setUrn(urnOf(token));
      request.setId(id);
      request.setProperties(struct(state));
      await call<unknown>("delete", request);
    },
    async diff(token, state, inputs) {
      const request = new providerPb.DiffRequest();
      request.setUrn(urnOf(token));
      request.setOlds(struct(state));
      request.setNews(struct(inputs));
      const response = await call<providerPb.DiffResponse>("diff", request);
      const detailed: Record<string, string> = {};
      response.getDetaileddiffMap().forEach((detail, path) => {
        detailed[path] = KINDS[detail.getKind()] ?? "unknown";
      });
      return {
        changes: response.getChanges() === providerPb.DiffResponse.DiffChanges.DIFF_SOME,
        replaces: response.getReplacesList(),
        deleteBeforeReplace: response.getDeletebeforereplace(),
        detailed,
      };
    },
    async invoke(token, args) {
      const request = new providerPb.InvokeRequest();
      request.setTok(token);
      request.setArgs(struct(args));
      const response = await call<providerPb.InvokeResponse>("invoke", request);
      return readProperties(response.getReturn()).values;
    },
    close: () => client.close(),
  };
}

function urnOf(token: string): string {
  return `urn:pulumi:test::test::${token}::thing`;
}
