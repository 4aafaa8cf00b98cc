import * as pulumi from "@pulumi/pulumi";
import { Repository } from "@pulumi/gcp/artifactregistry/repository.js";
import {
  RepositoryIamMember,
  type RepositoryIamMemberArgs,
} from "@pulumi/gcp/artifactregistry/repositoryIamMember.js";
import type { EnabledServices } from "./enabled-services.ts";
import type { ExistingRepository, OwnRepository } from "./part-inputs.ts";

export interface ImageRepositoryArgs {
  readonly project: string;
  readonly region: string;
  readonly description: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly repository: OwnRepository | ExistingRepository;
  /** "serviceAccount:<email>": may pull, and no more. */
  readonly reader: pulumi.Output<string>;
  readonly services: EnabledServices;
}

/** Where the machine pulls its images from. */
export class ImageRepository extends pulumi.ComponentResource {
  /** "projects/P/locations/L/repositories/R" */
  readonly repository: pulumi.Output<string>;

  constructor(name: string, args: ImageRepositoryArgs, opts: pulumi.ComponentResourceOptions) {
    super("polaris:gcp:ImageRepository", name, {}, opts);
    const { repository } = args;
    if (repository.kind === "own") {
      const { id, repositoryId } = this.#createRepository(name, args, repository);
      this.repository = id;
      this.#grantReader(name, args.reader, {
        project: args.project,
        location: args.region,
        repository: repositoryId,
      });
    } else {
      const { project, location, repositoryId } = repository;
      this.repository = pulumi.output(
        `projects/${project}/locations/${location}/repositories/${repositoryId}`,
      );
      this.#grantReader(name, args.reader, { project, location, repository: repositoryId });
    }
    this.registerOutputs({ repository: this.repository });
  }

  #grantReader(
    name: string,
    member: pulumi.Output<string>,
    repository: Pick<RepositoryIamMemberArgs, "project" | "location" | "repository">,
  ): RepositoryIamMember {
    return new RepositoryIamMember(
      `${name}-reader`,
      { ...repository, role: "roles/artifactregistry.reader", member },
      { parent: this },
    );
  }

  #createRepository(name: string, args: ImageRepositoryArgs, repository: OwnRepository): Repository {
    return new Repository(
      name,
      {
        repositoryId: repository.repositoryId,
        location: args.region,
        format: "DOCKER",
        mode: "STANDARD_REPOSITORY",
        description: args.description,
        labels: { ...args.labels },
      },
      { parent: this, dependsOn: args.services.of("artifactregistry.googleapis.com") },
    );
  }
}
