/** For tests: a provider of resources that are nowhere, attached to the real engine by PULUMI_DEBUG_PROVIDERS. */
import { EventEmitter, once } from "node:events";
import * as grpc from "@grpc/grpc-js";
import empty from "google-protobuf/google/protobuf/empty_pb.js";
import struct from "google-protobuf/google/protobuf/struct_pb.js";
import plugin from "@pulumi/pulumi/proto/plugin_pb.js";
import provider from "@pulumi/pulumi/proto/provider_pb.js";
import services from "@pulumi/pulumi/proto/provider_grpc_pb.js";

/** `probe:index:Thing` is made at once; `probe:index:Slow` when the test says so. Both fail if `failure` is set. */
export type ProbeType = "probe:index:Thing" | "probe:index:Slow";

export interface TestProvider {
  /** For the environment of the engine. */
  readonly debugProviders: string;
  /** Calls so far: `create probe:index:Thing`. */
  readonly calls: readonly string[];
  /** Resolves when a Slow is being made. */
  slowBegun(): Promise<void>;
  /** Lets every Slow be made, now and from now on. */
  releaseSlow(): void;
  stop(): void;
}

type Fields = { readonly [name: string]: struct.JavaScriptValue };

/** A change of `name` replaces; any other updates. */
const REPLACES = "name";

export async function startTestProvider(): Promise<TestProvider> {
  const events = new EventEmitter();
  const calls: string[] = [];
  const begun = once(events, "begun");
  const released = once(events, "released");
  let lastId = 0;

  const make = async (type: string, inputs: Fields): Promise<Fields> => {
    if (type === "probe:index:Slow") {
      events.emit("begun");
      await released;
    }
    if (typeof inputs["failure"] === "string") throw new Error(inputs["failure"]);
    return inputs;
  };

  const server = new grpc.Server();
  server.addService(services.ResourceProviderService, {
    handshake: unary(() => new provider.ProviderHandshakeResponse()),
    attach: unary(() => new empty.Empty()),
    cancel: unary(() => new empty.Empty()),
    getPluginInfo: unary(() => new plugin.PluginInfo().setVersion("1.0.0")),
    getSchema: unary(() => new provider.GetSchemaResponse().setSchema("{}")),
    checkConfig: unary((request: InstanceType<typeof provider.CheckRequest>) =>
      new provider.CheckResponse().setInputs(request.getNews()),
    ),
    diffConfig: unary(() => new provider.DiffResponse().setChanges(1)),
    configure: unary(() =>
      new provider.ConfigureResponse()
        .setSupportspreview(true)
        .setAcceptresources(true)
        .setAcceptoutputs(false)
        .setAcceptsecrets(false),
    ),
    check: unary((request: InstanceType<typeof provider.CheckRequest>) =>
      new provider.CheckResponse().setInputs(request.getNews()),
    ),
    diff: unary((request: InstanceType<typeof provider.DiffRequest>) => {
      const [old, next] = [fieldsOf(request.getOldInputs()), fieldsOf(request.getNews())];
      const changed = [...new Set([...Object.keys(old), ...Object.keys(next)])].filter(
        (key) => JSON.stringify(old[key]) !== JSON.stringify(next[key]),
      );
      return new provider.DiffResponse()
        .setChanges(changed.length === 0 ? 1 : 2)
        .setDiffsList(changed)
        .setReplacesList(changed.filter((key) => key === REPLACES));
    }),
    create: unary(async (request: InstanceType<typeof provider.CreateRequest>) => {
      const type = typeOf(request.getUrn());
      const inputs = fieldsOf(request.getProperties());
      const response = new provider.CreateResponse();
      if (request.getPreview()) return response.setProperties(request.getProperties());
      calls.push(`create ${type}`);
      const outputs = await make(type, inputs);
      lastId += 1;
      return response
        .setId(`id-${lastId}`)
        .setProperties(struct.Struct.fromJavaScript({ ...outputs, serial: lastId }));
    }),
    update: unary(async (request: InstanceType<typeof provider.UpdateRequest>) => {
      const type = typeOf(request.getUrn());
      const inputs = fieldsOf(request.getNews());
      if (!request.getPreview()) {
        calls.push(`update ${type}`);
        await make(type, inputs);
      }
      return new provider.UpdateResponse().setProperties(request.getNews());
    }),
    read: unary((request: InstanceType<typeof provider.ReadRequest>) =>
      new provider.ReadResponse()
        .setId(request.getId())
        .setProperties(request.getProperties())
        .setInputs(request.getInputs()),
    ),
    delete: unary((request: InstanceType<typeof provider.DeleteRequest>) => {
      calls.push(`delete ${typeOf(request.getUrn())}`);
      return new empty.Empty();
    }),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    debugProviders: `probe:${port}`,
    calls,
    slowBegun: async () => void (await begun),
    releaseSlow: () => void events.emit("released"),
    stop: () => server.forceShutdown(),
  };
}

function unary<Request, Response>(
  handle: (request: Request) => Response | Promise<Response>,
): grpc.handleUnaryCall<Request, Response> {
  const answer = async (
    call: grpc.ServerUnaryCall<Request, Response>,
    callback: grpc.sendUnaryData<Response>,
  ): Promise<void> => {
    let response: Response;
    try {
      response = await handle(call.request);
    } catch (error) {
      callback({
        code: grpc.status.UNKNOWN,
        details: error instanceof Error ? error.message : String(error),
      });
      return;
    }
    callback(null, response);
  };
  return (call, callback) => void answer(call, callback);
}

function fieldsOf(value: { toJavaScript(): object } | undefined): Fields {
  return { ...value?.toJavaScript() };
}

function typeOf(urn: string): string {
  return /\$?([^$:]+:[^:]+:[^:]+)::[^:]*$/.exec(urn)?.[1] ?? urn;
}
