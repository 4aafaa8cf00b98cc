import { PROJECT, type TestBox } from "./box-fixture.ts";

export const PARENT = `/v1/projects/${PROJECT}/locations/europe-west4`;
export const RING = `${PARENT}/keyRings/polaris`;
export const KEY = `${RING}/cryptoKeys/proxy`;
export const HSM_KEY = {
  purpose: "ASYMMETRIC_DECRYPT",
  versionTemplate: { algorithm: "RSA_DECRYPT_OAEP_4096_SHA256", protectionLevel: "HSM" },
  destroyScheduledDuration: "2592000s",
  labels: { stack: "prod" },
};

/** Ring and key, made over the API; its version 1 is ENABLED. */
export async function makeKey(box: TestBox): Promise<void> {
  await box.make("cloudkms", "POST", `${PARENT}/keyRings?keyRingId=polaris`);
  await box.make("cloudkms", "POST", `${RING}/cryptoKeys?cryptoKeyId=proxy`, HSM_KEY);
  await untilGenerated(box, 1);
}

/** Asks for a version until it is generated, or has failed to be. */
export async function untilGenerated(box: TestBox, number: number): Promise<void> {
  for (;;) {
    const version = await box.make("cloudkms", "GET", `${KEY}/cryptoKeyVersions/${number}`);
    if (version.state !== "PENDING_GENERATION") return;
  }
}
