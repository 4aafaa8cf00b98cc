/** What a machine does with the key of its stack: it attests itself, gets a token for that, and decrypts. */
import assert from "node:assert/strict";
import { constants, createPublicKey, publicEncrypt } from "node:crypto";
import { attest, exchangeForm } from "./gcp/attestation-fixture.ts";
import type { VerifiedMachine } from "./gcp/attestation-issuer.ts";
import type { InstanceEvent } from "./gcp/world.ts";
import type { StackCloud } from "./parts-fixture.ts";
import { AUDIENCE } from "./parts-inputs.ts";

const PLAINTEXT = "what nobody else may read";

/** The public key of the first version, in PEM. */
export async function publicKeyOf({ box }: StackCloud, key: string): Promise<string> {
  const { pem } = await box.make("cloudkms", "GET", `/v1/${key}/cryptoKeyVersions/1/publicKey`);
  return String(pem);
}

/** The access token that a machine gets for its evidence. */
export async function tokenOf(cloud: StackCloud, machine: VerifiedMachine): Promise<string> {
  cloud.attesting = machine;
  const attested = await attest(cloud.box, { audience: AUDIENCE });
  const { status, body } = await cloud.box.call("sts", "POST", "/v1/token", {
    token: null,
    form: exchangeForm(attested, AUDIENCE),
  });
  assert.equal(status, 200, JSON.stringify(body));
  return String(body.access_token);
}

/** @returns the status that the key service answers with; 200 only with the right plaintext */
export async function tryDecrypt(cloud: StackCloud, key: string, token: string): Promise<number> {
  const ciphertext = publicEncrypt(
    {
      key: createPublicKey(await publicKeyOf(cloud, key)),
      oaepHash: "sha256",
      padding: constants.RSA_PKCS1_OAEP_PADDING,
    },
    Buffer.from(PLAINTEXT),
  );
  const { status, body } = await cloud.box.call(
    "cloudkms",
    "POST",
    `/v1/${key}/cryptoKeyVersions/1:asymmetricDecrypt`,
    { token, json: { ciphertext: ciphertext.toString("base64") } },
  );
  if (status === 200) assert.equal(Buffer.from(body.plaintext, "base64").toString(), PLAINTEXT);
  return status;
}

/** What the verifier finds out about a machine: what it was made with, and nothing that we say. */
export function verify({ box }: StackCloud, event: InstanceEvent): VerifiedMachine {
  return {
    machine: {
      projectId: event.projectId,
      projectNumber: box.world.project(event.projectId).projectNumber,
      zone: event.zone,
      instanceName: event.name,
      instanceId: event.instanceId,
      serviceAccount: event.serviceAccount ?? "",
    },
    platform: {
      hwmodel: event.confidentialInstanceType === "SEV_SNP" ? "GCP_AMD_SEV_SNP" : "GCP_SHIELDED_VM",
      swname: "GCE",
      secboot: event.secureBoot,
      dbgstat: "enabled",
      oemid: 11129,
    },
  };
}
