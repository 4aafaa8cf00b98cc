/**
 * What the proxy image stands on when nobody says otherwise: Debian with glibc and the Node that the proxy needs. Between
 * releases a tag, which a project's lock pins; a release has the digest behind it (CONTRIBUTING.md).
 */
export const DEFAULT_BASE_IMAGE = "docker.io/library/node:26-slim";
