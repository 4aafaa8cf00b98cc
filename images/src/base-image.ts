/**
 * What the proxy image stands on when nobody says otherwise: Debian with glibc and the Node that the proxy needs. Named
 * here and nowhere else; a tag, because only a lock or whoever builds pins it by its digest.
 */
export const DEFAULT_BASE_IMAGE = "docker.io/library/node:26-slim";
