/** The roles that these services know, with the permissions that matter here (Google Cloud IAM reference). */
const PERMISSIONS = {
  "roles/cloudkms.admin": [
    "cloudkms.cryptoKeys.get",
    "cloudkms.cryptoKeyVersions.create",
    "cloudkms.cryptoKeyVersions.destroy",
    "cloudkms.cryptoKeyVersions.get",
    "cloudkms.cryptoKeyVersions.list",
    "cloudkms.cryptoKeyVersions.restore",
    "cloudkms.cryptoKeyVersions.update",
  ],
  "roles/cloudkms.viewer": [
    "cloudkms.cryptoKeys.get",
    "cloudkms.cryptoKeyVersions.get",
    "cloudkms.cryptoKeyVersions.list",
  ],
  "roles/cloudkms.cryptoKeyDecrypter": ["cloudkms.cryptoKeyVersions.useToDecrypt"],
  "roles/cloudkms.publicKeyViewer": ["cloudkms.cryptoKeyVersions.viewPublicKey"],
  "roles/iam.workloadIdentityUser": ["iam.serviceAccounts.getAccessToken"],
} as const;

export type Role = keyof typeof PERMISSIONS;
export type Permission = (typeof PERMISSIONS)[Role][number];

export const KMS_ROLES = [
  "roles/cloudkms.admin",
  "roles/cloudkms.viewer",
  "roles/cloudkms.cryptoKeyDecrypter",
  "roles/cloudkms.publicKeyViewer",
] as const satisfies readonly Role[];

export const SERVICE_ACCOUNT_ROLES = ["roles/iam.workloadIdentityUser"] as const satisfies readonly Role[];

/** One entry of a resource's policy: these members have this role on it. */
export interface Binding {
  readonly role: Role;
  readonly members: readonly string[];
}

/** Who calls, proven by a credential. */
export interface Caller {
  readonly principal: string;
  /** Every member name that a binding may call this caller by. */
  readonly memberships: readonly string[];
  /** Roles on a whole project, whatever the policies of single resources say. */
  readonly projectRoles: readonly { readonly project: string; readonly role: Role }[];
}

/** Decides whether a caller may do something to a resource; of a resource that is not there, `bindings` is empty. */
export type IsAllowed<Name> = (
  caller: Caller,
  permission: Permission,
  resource: Name & { readonly project: string; readonly bindings: readonly Binding[] },
) => boolean;

/** True if the caller has the permission by a role on the project or by a binding of the resource. */
export function hasPermission(
  caller: Caller,
  permission: Permission,
  resource: { readonly project: string; readonly bindings: readonly Binding[] },
): boolean {
  const roles = [
    ...caller.projectRoles.filter(({ project }) => project === resource.project).map(({ role }) => role),
    ...resource.bindings
      .filter(({ members }) => members.some((member) => caller.memberships.includes(member)))
      .map(({ role }) => role),
  ];
  return roles.some((role) => PERMISSIONS[role].some((granted) => granted === permission));
}
