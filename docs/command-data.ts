/**
 * What each command puts under `data` of its JSON document when it succeeds. `test/e2e/cli.test.ts` compares what commands
 * print with this.
 */
export const COMMAND_DATA: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  init: { path: "the file that was written", answers: "what it was made from" },
  "config validate": { path: "the file", valid: "`true`" },
  "config print": { config: "the configuration with defaults and the stack's overrides" },
  "config schema": { schema: "the JSON Schema" },
  lock: {
    changes: "`[{field, from, to, reason}]`: what the lock did not say; no `from` where there was nothing",
  },
  "image build": {
    digest: "of the image",
    base: "`{reference, digest}` of what it stands on; `layout` for a folder",
    output: "the folder or file that was written, or null",
    sbom: "the file with its SBOM, or null",
    pushed:
      "null, or `{reference, tag, sbomDigest, uploaded, mounted, present}`: where it is, and how many blobs came how",
  },
  "image inspect": {
    reference: "in full",
    digest: "of what the reference names, which may be an index",
    mediaType: "of that",
    platformDigest: "of the image for linux/amd64",
    platformMediaType: "of that",
    config:
      "`{os, architecture, entrypoint, cmd, env, user, workingDir, exposedPorts, labels, diffIds}` of the image itself",
    layers: "`[{mediaType, digest, size}]`, size in bytes as stored",
  },
  "image digest": { reference: "in full", digest: "as of `image inspect`", platformDigest: "likewise" },
  "image sbom": { digest: "of the image", sbom: "the CycloneDX document" },
  preview: {
    changes: "`[{part, action, reason}]`, action one of `create`, `replace`, `restart`, `delete`, `same`",
    lockChanges: "as of `lock`",
    findings: "`[{check, where, problem, hint}]`: what would stop a deploy",
  },
  deploy: {
    endpoint: "URL of the proxy",
    publicKeyFingerprint: "`sha256:` and the SHA-256 of the public key's SPKI in hex",
    keyVersion: "the key service's name of the key, null for an ephemeral one",
    changes: "as of `preview`",
    verification: "as of `verify`",
  },
  destroy: {
    destroyed: "`true`",
    keyDestroyed: "whether the key is gone too",
    keptKey: "where the key is kept, or null",
  },
  verify: {
    trusted: "whether every check passed",
    simulated: "`true`: no hardware stands behind it",
    endpoint: "what was checked",
    publicKeyFingerprint: "of the verified key, or null",
    checks: "`[{id, ok, expected, actual}]`; ids are stable",
    statements: "`[{id, holds, why}]`: what the target proves and what it leaves open",
  },
  request: {
    status: "of the response",
    headers: "`[[name, value]]` of the response",
    bodyBase64: "the opened body",
  },
  "data seal": {
    output: "the file that was written, or null for standard output",
    plaintextBytes: "length of what was sealed",
    keyId: "fingerprint of the key that it is sealed to",
  },
  "data open": {
    output: "the file that was written, or null for standard output",
    plaintextBytes: "length of what was opened",
  },
  status: {
    endpoint: "URL of the proxy",
    publicKeyFingerprint: "from polaris.lock, null for an ephemeral key",
    healthy: "whether every part runs",
    parts: "`[{part, state, pid, detail}]`",
  },
  logs: { items: "`[{part, line}]`; empty with `--json=stream`, where each line is an event" },
  outputs: {
    endpoint: "URL of the proxy",
    publicKeyFingerprint: "from polaris.lock, null for an ephemeral key",
    keyVersion: "as of `deploy`",
    instanceId: "of the machine",
    issuer: "of the machine's attestation tokens",
    workload: "identity of the workload's files",
    deployedAt: "RFC 3339",
  },
  doctor: { checks: "`[{id, ok, found, hint}]`" },
  unlock: { unlocked: "whether there was a lock", holder: "who held it, or null" },
  completion: { shell: "which one", script: "the script" },
  version: {
    polaris: "version of Polaris",
    node: "version of Node",
    platform: "for instance `linux-x64`",
    configVersion: "version of the format of polaris.yaml",
    wire: "version of the wire format",
  },
};
