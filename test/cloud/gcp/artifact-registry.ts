import { randomUUID } from "node:crypto";
import * as z from "zod";
import type { Api } from "./api.ts";
import type { Repositories, Repository } from "./artifact-registry/repositories.ts";
import { GoogleError } from "./google-error.ts";
import { policyMethods } from "./iam-policy-methods.ts";
import { LongRunningOperations } from "./operations.ts";
import { checkLabels } from "./resource-labels.ts";
import { maskFields } from "./update-mask.ts";
import type { World } from "./world.ts";

const METHODS = "artifactregistry.projects.locations.repositories";
const ID = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
const LOCATIONS = [
  "asia-southeast1",
  "europe",
  "europe-west1",
  "europe-west3",
  "europe-west4",
  "us",
  "us-central1",
  "us-east1",
];
const MAX_DESCRIPTION = 512;

const repositorySchema = z.object({
  format: z.string().optional(),
  mode: z.string().optional(),
  description: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  cleanupPolicies: z.record(z.string(), z.unknown()).optional(),
  dockerConfig: z.object({ immutableTags: z.boolean().optional() }).optional(),
});

/** Artifact Registry: Docker repositories. What is in them is behind the registry's own address. */
export function createArtifactRegistryApi(world: World, repositories: Repositories): Api {
  const operations = new LongRunningOperations();
  world.onSettle(() => operations.settle());
  const begin = (parent: string, finish: () => unknown): unknown =>
    operations.begin({
      name: `${parent}/operations/${randomUUID()}`,
      pace: world.pace,
      now: world.now,
      metadata: { "@type": "type.googleapis.com/google.devtools.artifactregistry.v1.OperationMetadata" },
      finish,
    });
  const parentOf = ({ projectId, location }: Repository): string =>
    `projects/${projectId}/locations/${location}`;

  return {
    name: "artifactregistry",
    title: "Artifact Registry API",
    documents: ["artifactregistry.v1.json"],
    handlers: {
      [`${METHODS}.create`]: ({ params, query, body, caller }) => {
        const parent = world.canonicalName(params["parent"] ?? "");
        world.requirePermission(caller, "artifactregistry.repositories.create", parent);
        const location = params["locationsId"] ?? "";
        if (!LOCATIONS.includes(location)) throw invalid(`The location ${location} is not supported.`);
        const id = query.get("repositoryId") ?? "";
        if (!ID.test(id)) {
          throw invalid(
            `repository_id must be 1 to 63 lower case letters, digits and dashes and begin with a letter: "${id.slice(0, 100)}".`,
          );
        }
        const { format, mode, description = "", labels = {}, ...rest } = repositorySchema.parse(body);
        if (format !== "DOCKER")
          throw new GoogleError(
            "UNIMPLEMENTED",
            `Here are only DOCKER repositories, not ${format ?? "none"}.`,
          );
        if (mode !== undefined && mode !== "STANDARD_REPOSITORY" && mode !== "MODE_UNSPECIFIED") {
          throw new GoogleError("UNIMPLEMENTED", `Here are only standard repositories, not ${mode}.`);
        }
        checkTexts(description, labels);
        const repository: Repository = {
          name: `${parent}/repositories/${id}`,
          projectId: parent.split("/")[1] ?? "",
          location,
          id,
          createdAtMs: world.now(),
          updatedAtMs: world.now(),
          isMade: false,
          description,
          labels,
          cleanupPolicies: rest.cleanupPolicies ?? {},
          immutableTags: rest.dockerConfig?.immutableTags ?? false,
        };
        repositories.add(repository);
        return begin(parent, () => {
          repository.isMade = true;
          return {
            "@type": "type.googleapis.com/google.devtools.artifactregistry.v1.Repository",
            ...toJson(repository),
          };
        });
      },
      [`${METHODS}.get`]: ({ params, caller }) => {
        const name = params["name"] ?? "";
        world.requirePermission(caller, "artifactregistry.repositories.get", name);
        return toJson(repositories.get(name));
      },
      [`${METHODS}.list`]: ({ params, caller }) => {
        const parent = params["parent"] ?? "";
        world.requirePermission(caller, "artifactregistry.repositories.list", parent);
        const found = repositories.below(parent);
        return found.length === 0 ? {} : { repositories: found.map(toJson) };
      },
      [`${METHODS}.patch`]: ({ params, query, body, caller }) => {
        const name = params["name"] ?? "";
        world.requirePermission(caller, "artifactregistry.repositories.update", name);
        const repository = repositories.get(name);
        const {
          description = "",
          labels = {},
          cleanupPolicies = {},
          dockerConfig,
        } = repositorySchema.parse(body);
        checkTexts(description, labels);
        for (const field of maskFields(query.get("updateMask") ?? "")) {
          if (field === "description") repository.description = description;
          else if (field === "labels") repository.labels = labels;
          else if (field === "cleanupPolicies") repository.cleanupPolicies = cleanupPolicies;
          else if (field === "dockerConfig" || field === "dockerConfig.immutableTags") {
            repository.immutableTags = dockerConfig?.immutableTags ?? false;
          } else throw invalid(`The field ${field} of a repository cannot be updated.`);
        }
        repository.updatedAtMs = world.now();
        return toJson(repository);
      },
      [`${METHODS}.delete`]: ({ params, caller }) => {
        const name = params["name"] ?? "";
        world.requirePermission(caller, "artifactregistry.repositories.delete", name);
        const repository = repositories.get(name);
        return begin(parentOf(repository), () => {
          repositories.remove(repository);
          return { "@type": "type.googleapis.com/google.protobuf.Empty" };
        });
      },
      "artifactregistry.projects.locations.operations.get": ({ params }) => {
        const operation = operations.poll(params["name"] ?? "");
        if (operation === undefined) throw new GoogleError("NOT_FOUND", "Requested entity was not found.");
        return operation;
      },
      ...policyMethods(world, {
        methods: METHODS,
        permissions: "artifactregistry.repositories",
        find: (name) => repositories.get(name).name,
      }),
    },
  };
}

function checkTexts(description: string, labels: Readonly<Record<string, string>>): void {
  if (description.length > MAX_DESCRIPTION) {
    throw invalid(`The description must have at most ${MAX_DESCRIPTION} characters.`);
  }
  checkLabels(labels);
}

function toJson(repository: Repository): Record<string, unknown> {
  const { name, projectId, location, id, description, labels, cleanupPolicies } = repository;
  return {
    name,
    format: "DOCKER",
    mode: "STANDARD_REPOSITORY",
    createTime: new Date(repository.createdAtMs).toISOString(),
    updateTime: new Date(repository.updatedAtMs).toISOString(),
    registryUri: `${location}-docker.pkg.dev/${projectId}/${id}`,
    ...(description === "" ? {} : { description }),
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(Object.keys(cleanupPolicies).length === 0 ? {} : { cleanupPolicies }),
    ...(repository.immutableTags ? { dockerConfig: { immutableTags: true } } : {}),
  };
}

function invalid(message: string): GoogleError {
  return new GoogleError("INVALID_ARGUMENT", message);
}
