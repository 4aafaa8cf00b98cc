/** The engine's side of the provider: Pulumi's ResourceProvider service over gRPC. */
import type {
  handleUnaryCall,
  sendUnaryData,
  ServerUnaryCall,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import pluginPb from "@pulumi/pulumi/proto/plugin_pb.js";
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import emptyPb from "google-protobuf/google/protobuf/empty_pb.js";
import { checkResource } from "./check-resource.ts";
import { Cloud } from "./cloud.ts";
import { topLevelName } from "./diff-properties.ts";
import type { Change } from "./diff-properties.ts";
import { toServiceError } from "./failures.ts";
import { invoke, SECRET_RESULTS } from "./invokes.ts";
import { readProperties, writeProperties } from "./property-values.ts";
import { findConfigFaults, parseProviderConfig } from "./provider-config.ts";
import { reporting } from "./report-failure.ts";
import {
  createResource,
  deleteResource,
  diffResource,
  planCreate,
  planUpdate,
  readResource,
  updateResource,
} from "./resource-operations.ts";
import { findType } from "./resources/all-types.ts";
import type { ResourceType } from "./resource-type.ts";
import { cloudOf } from "./session.ts";
import type { Session, Sessions } from "./session.ts";

const VERSION = "9.35.0";

/** All calls that the engine makes. */
export function createService(sessions: Sessions, retryUnitMs: number): UntypedServiceImplementation {
  const answer = <Request, Response>(
    handle: (request: Request, session: Session) => Promise<Response> | Response,
  ): handleUnaryCall<Request, Response> => {
    const run = async (
      call: ServerUnaryCall<Request, Response>,
      done: sendUnaryData<Response>,
    ): Promise<void> => {
      let response: Response;
      try {
        response = await handle(call.request, sessions.of(call.getPeer()));
      } catch (error) {
        done(toServiceError(error));
        return;
      }
      done(null, response);
    };
    return (call, done) => void run(call, done);
  };
  return {
    handshake: answer((request: providerPb.ProviderHandshakeRequest, session) => {
      session.engineAddress = request.getEngineAddress();
      const response = new providerPb.ProviderHandshakeResponse();
      response.setAcceptSecrets(true);
      return response;
    }),
    attach: answer((request: pluginPb.PluginAttach, session) => {
      session.engineAddress = request.getAddress();
      return new emptyPb.Empty();
    }),
    getPluginInfo: answer(() => {
      const info = new pluginPb.PluginInfo();
      info.setVersion(VERSION);
      return info;
    }),
    getSchema: answer(() => {
      const response = new providerPb.GetSchemaResponse();
      response.setSchema("{}");
      return response;
    }),
    checkConfig: answer(checkConfig),
    diffConfig: answer(diffConfig),
    configure: answer((request: providerPb.ConfigureRequest, session) => {
      const config = parseProviderConfig(readProperties(request.getArgs()).values);
      session.cloud = new Cloud(config, retryUnitMs, session.cancellation.signal);
      const response = new providerPb.ConfigureResponse();
      response.setAcceptsecrets(true);
      response.setSupportspreview(true);
      return response;
    }),
    check: answer(check),
    diff: answer(diff),
    create: answer(create),
    read: answer(read),
    update: answer(update),
    delete: answer(remove),
    invoke: answer(runInvoke),
    cancel: answer((_request: emptyPb.Empty, session) => {
      session.cancellation.abort();
      return new emptyPb.Empty();
    }),
  };
}

function checkConfig(request: providerPb.CheckRequest): providerPb.CheckResponse {
  const faults = findConfigFaults(readProperties(request.getNews()).values);
  const response = new providerPb.CheckResponse();
  response.setInputs(request.getNews());
  response.setFailuresList(
    faults.map((fault) => failureOf(`could not validate provider configuration: ${fault}`)),
  );
  return response;
}

/** Another project is other resources; everything else is another way to the same ones. */
function diffConfig(request: providerPb.DiffRequest): providerPb.DiffResponse {
  const [olds, news] = [readProperties(request.getOlds()).values, readProperties(request.getNews()).values];
  const names = [...new Set([...Object.keys(olds), ...Object.keys(news)])];
  const changed = names.filter((name) => JSON.stringify(olds[name]) !== JSON.stringify(news[name]));
  const response = new providerPb.DiffResponse();
  response.setChanges(
    changed.length === 0
      ? providerPb.DiffResponse.DiffChanges.DIFF_NONE
      : providerPb.DiffResponse.DiffChanges.DIFF_SOME,
  );
  response.setDiffsList(changed);
  return response;
}

function check(request: providerPb.CheckRequest, session: Session): providerPb.CheckResponse {
  const { type, name } = parseUrn(request.getUrn());
  const news = readProperties(request.getNews());
  const checked = checkResource(type, cloudOf(session).config, {
    name,
    inputs: news.values,
    oldInputs: readProperties(request.getOlds()).values,
    randomSeed: request.getRandomseed_asU8(),
  });
  const response = new providerPb.CheckResponse();
  response.setInputs(writeProperties({ values: checked.inputs, secrets: news.secrets }));
  response.setFailuresList(checked.failures.map(failureOf));
  return response;
}

function diff(request: providerPb.DiffRequest): providerPb.DiffResponse {
  const { type } = parseUrn(request.getUrn());
  const state = readProperties(request.getOlds()).values;
  const inputs = readProperties(request.getNews()).values;
  const { changes, deleteBeforeReplace } = diffResource(type, state, inputs, request.getIgnorechangesList());
  const response = new providerPb.DiffResponse();
  const { DIFF_NONE, DIFF_SOME } = providerPb.DiffResponse.DiffChanges;
  response.setChanges(changes.length === 0 ? DIFF_NONE : DIFF_SOME);
  response.setDiffsList([...new Set(changes.map(({ path }) => topLevelName(path)))]);
  const replacing = changes.filter(({ replace }) => replace);
  response.setReplacesList([...new Set(replacing.map(({ path }) => topLevelName(path)))]);
  response.setDeletebeforereplace(deleteBeforeReplace && replacing.length > 0);
  response.setHasdetaileddiff(true);
  for (const change of changes) {
    const detail = new providerPb.PropertyDiff();
    detail.setKind(kindOf(change));
    response.getDetaileddiffMap().set(change.path, detail);
  }
  return response;
}

async function create(
  request: providerPb.CreateRequest,
  session: Session,
): Promise<providerPb.CreateResponse> {
  const urn = request.getUrn();
  const { type } = parseUrn(urn);
  const inputs = readProperties(request.getProperties());
  const made = request.getPreview()
    ? planCreate(type, inputs)
    : await reporting(session, urn, () => createResource(type, cloudOf(session), urn, inputs));
  const response = new providerPb.CreateResponse();
  response.setId(made.id);
  response.setProperties(writeProperties(made.state));
  return response;
}

async function update(
  request: providerPb.UpdateRequest,
  session: Session,
): Promise<providerPb.UpdateResponse> {
  const urn = request.getUrn();
  const { type } = parseUrn(urn);
  const known = { id: request.getId(), urn, state: readProperties(request.getOlds()).values };
  const inputs = readProperties(request.getNews());
  const state = request.getPreview()
    ? planUpdate(type, known, inputs)
    : await reporting(session, urn, () => updateResource(type, cloudOf(session), known, inputs));
  const response = new providerPb.UpdateResponse();
  response.setProperties(writeProperties(state));
  return response;
}

async function read(request: providerPb.ReadRequest, session: Session): Promise<providerPb.ReadResponse> {
  const urn = request.getUrn();
  const { type } = parseUrn(urn);
  const known = { id: request.getId(), urn, state: readProperties(request.getProperties()).values };
  const inputs = readProperties(request.getInputs());
  const found = await reporting(session, urn, () => readResource(type, cloudOf(session), known, inputs));
  const response = new providerPb.ReadResponse();
  if (found === undefined) return response;
  response.setId(known.id);
  response.setProperties(writeProperties(found.state));
  response.setInputs(writeProperties(found.inputs));
  return response;
}

async function remove(request: providerPb.DeleteRequest, session: Session): Promise<emptyPb.Empty> {
  const urn = request.getUrn();
  const { type } = parseUrn(urn);
  const known = { id: request.getId(), urn, state: readProperties(request.getProperties()).values };
  await reporting(session, urn, () => deleteResource(type, cloudOf(session), known));
  return new emptyPb.Empty();
}

async function runInvoke(
  request: providerPb.InvokeRequest,
  session: Session,
): Promise<providerPb.InvokeResponse> {
  const values = await invoke(cloudOf(session), request.getTok(), readProperties(request.getArgs()).values);
  const response = new providerPb.InvokeResponse();
  response.setReturn(writeProperties({ values, secrets: SECRET_RESULTS }));
  return response;
}

function parseUrn(urn: string): { type: ResourceType; name: string } {
  const [, , types = "", ...name] = urn.split("::");
  return { type: findType(types.split("$").at(-1) ?? ""), name: name.join("::") };
}

function failureOf(reason: string): providerPb.CheckFailure {
  const failure = new providerPb.CheckFailure();
  failure.setReason(reason);
  return failure;
}

function kindOf({ kind, replace }: Change): providerPb.PropertyDiff.Kind {
  const { Kind } = providerPb.PropertyDiff;
  const kinds = {
    add: [Kind.ADD, Kind.ADD_REPLACE],
    delete: [Kind.DELETE, Kind.DELETE_REPLACE],
    update: [Kind.UPDATE, Kind.UPDATE_REPLACE],
  } as const;
  return kinds[kind][replace ? 1 : 0];
}
