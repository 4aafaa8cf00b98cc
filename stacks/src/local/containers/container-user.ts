/** User and group of the proxy image (images/src/proxy-image.ts). */
const IMAGE_USER_ID = 65532;

/** As whom the proxy runs in its container, and who may use what this machine gives it. */
export interface ContainerUser {
  /** `<uid>:<gid>`; null: as the image says. */
  readonly user: string | null;
  /** Group that sockets and files for it are given to; null: they are this user's alone. */
  readonly group: number | null;
}

/**
 * Files that the proxy is given have to be open to it and to nobody else. A deployer who is not root cannot give files
 * away, so the proxy runs as the deployer; root can, and must not be what the proxy runs as.
 */
export function chooseContainerUser(uid: number, gid: number): ContainerUser {
  return uid === 0 ? { user: null, group: IMAGE_USER_ID } : { user: `${uid}:${gid}`, group: null };
}
