import { Buffer } from "node:buffer";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { AppPartInputs } from "./part-inputs.ts";

/** Longest value of one metadata key that Compute Engine takes. */
const MAX_USER_DATA_BYTES = 256 * 1024;

/** One image of one project. A family, or the short form of one, would be another image tomorrow. */
const IMAGE_LINK =
  /^https:\/\/www\.googleapis\.com\/compute\/v1\/projects\/[a-z0-9.:-]+\/global\/images\/[a-z0-9-]+$/;

/** Up to where the instance id is appended. */
const READER_PREFIX =
  /^principal:\/\/iam\.googleapis\.com\/projects\/[0-9]+\/locations\/global\/workloadIdentityPools\/[a-z0-9-]+\/subject\/[^/\s]+::$/;

/**
 * The rules of Confidential VMs that the provider lets pass, so that Google's refusal would come half way through or, worse, not at
 * all.
 *
 * @throws {PolarisError} CONFIG_INVALID if the machine could not be one with SEV-SNP, could change by itself, or could not read
 *   its secrets
 */
export function checkAppInputs(inputs: AppPartInputs): void {
  const { machineType, image } = inputs;
  if (!/^n2d-[a-z0-9-]+$/.test(machineType)) {
    throw new PolarisError("CONFIG_INVALID", `the machine type ${machineType} has no AMD SEV-SNP`, {
      hint: "take one of the family n2d, such as n2d-standard-2",
    });
  }
  if (!IMAGE_LINK.test(image)) {
    throw new PolarisError("CONFIG_INVALID", `the machine's image "${image}" is not the link of one image`);
  }
  checkSecrets(inputs.secrets);
  checkUserData(inputs);
}

function checkUserData({ userData, secrets }: AppPartInputs): void {
  // No version's name is longer than these: what passes here passes with the real ones.
  const versions = secrets.values.map(({ variable, secretId }) => [
    variable,
    `projects/${"9".repeat(19)}/secrets/${secretId}/versions/${"9".repeat(19)}`,
  ]);
  const byteCount = Buffer.byteLength(userData(Object.fromEntries(versions)), "utf8");
  if (byteCount > 0 && byteCount <= MAX_USER_DATA_BYTES) return;
  throw new PolarisError(
    "CONFIG_INVALID",
    `the machine's user-data has ${byteCount} bytes, expected 1 to ${MAX_USER_DATA_BYTES}`,
    { hint: "environment and arguments of the workload are a part of it: make them shorter" },
  );
}

function checkSecrets({ readerPrefix, values }: AppPartInputs["secrets"]): void {
  const empty = values.find(({ value }) => value === "");
  if (empty !== undefined) {
    throw new PolarisError("CONFIG_INVALID", `the secret ${empty.variable} is empty`, {
      hint: "Secret Manager keeps no empty values: give it one, or take it out",
    });
  }
  if (values.length > 0 && !READER_PREFIX.test(readerPrefix ?? "")) {
    throw new PolarisError(
      "CONFIG_INVALID",
      "the workload has secrets, and there is no attested principal that could read them",
      { hint: "an ephemeral key has no identity pool: use key.kind hsm, or take out workload.secrets" },
    );
  }
}
