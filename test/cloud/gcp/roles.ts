/** The permissions of a role: names, and patterns of names. */
const ROLES: Readonly<Record<string, readonly (string | RegExp)[]>> = {
  "roles/owner": [/./],
  // Nearly everything but to say who may do what, and to use keys.
  "roles/editor": [/^(?!.*\.(setIamPolicy|useTo\w+|access|getAccessToken)$)/],
  "roles/viewer": [/\.(get|list|getIamPolicy|getFromFamily)$/],
  "roles/resourcemanager.projectIamAdmin": [
    "resourcemanager.projects.get",
    "resourcemanager.projects.getIamPolicy",
    "resourcemanager.projects.setIamPolicy",
  ],
  "roles/browser": ["resourcemanager.projects.get", "resourcemanager.projects.getIamPolicy"],
  "roles/compute.admin": [/^compute\./, "resourcemanager.projects.get", "serviceusage.services.get"],
  "roles/compute.viewer": [
    /^compute\.\w+\.(get|list|getFromFamily|getSerialPortOutput)$/,
    "resourcemanager.projects.get",
  ],
  "roles/compute.networkAdmin": [
    /^compute\.(networks|subnetworks|routers|addresses)\./,
    /^compute\.(\w+Operations|firewalls|instances|projects|regions|zones)\.(get|list|use)$/,
    "resourcemanager.projects.get",
  ],
  "roles/compute.instanceAdmin.v1": [
    /^compute\.(instances|disks|images|machineTypes)\./,
    /^compute\.(\w+Operations|networks|projects|regions|zones)\.(get|list)$/,
    /^compute\.(addresses|subnetworks)\.(get|list|use|useExternalIp)$/,
    "resourcemanager.projects.get",
  ],
  "roles/serviceusage.serviceUsageAdmin": [/^serviceusage\./],
  "roles/orgpolicy.policyViewer": ["orgpolicy.policy.get", "orgpolicy.policies.list"],
  "roles/logging.logWriter": ["logging.logEntries.create", "logging.logEntries.route"],
  "roles/logging.viewer": ["logging.logEntries.list", "logging.logs.list"],
  "roles/cloudkms.admin": [
    "cloudkms.cryptoKeyVersions.create",
    "cloudkms.cryptoKeyVersions.destroy",
    "cloudkms.cryptoKeyVersions.get",
    "cloudkms.cryptoKeyVersions.list",
    "cloudkms.cryptoKeyVersions.restore",
    "cloudkms.cryptoKeyVersions.update",
    /^cloudkms\.cryptoKeys\./,
    /^cloudkms\.keyRings\./,
    /^cloudkms\.locations\./,
    "resourcemanager.projects.get",
  ],
  "roles/cloudkms.viewer": [
    "cloudkms.cryptoKeyVersions.get",
    "cloudkms.cryptoKeyVersions.list",
    "cloudkms.cryptoKeys.get",
    "cloudkms.cryptoKeys.list",
    "cloudkms.keyRings.get",
    "cloudkms.keyRings.list",
    "cloudkms.locations.get",
    "cloudkms.locations.list",
    "resourcemanager.projects.get",
  ],
  "roles/cloudkms.cryptoKeyDecrypter": [
    "cloudkms.cryptoKeyVersions.useToDecrypt",
    "cloudkms.locations.get",
    "cloudkms.locations.list",
    "resourcemanager.projects.get",
  ],
  "roles/cloudkms.publicKeyViewer": [
    "cloudkms.cryptoKeyVersions.viewPublicKey",
    "cloudkms.locations.get",
    "cloudkms.locations.list",
    "resourcemanager.projects.get",
  ],
  "roles/iam.serviceAccountAdmin": [
    "iam.serviceAccounts.create",
    "iam.serviceAccounts.delete",
    "iam.serviceAccounts.disable",
    "iam.serviceAccounts.enable",
    "iam.serviceAccounts.get",
    "iam.serviceAccounts.getIamPolicy",
    "iam.serviceAccounts.list",
    "iam.serviceAccounts.setIamPolicy",
    "iam.serviceAccounts.undelete",
    "iam.serviceAccounts.update",
    "resourcemanager.projects.get",
  ],
  "roles/iam.serviceAccountUser": ["iam.serviceAccounts.actAs", "iam.serviceAccounts.get"],
  "roles/iam.serviceAccountTokenCreator": [
    "iam.serviceAccounts.getAccessToken",
    "iam.serviceAccounts.getOpenIdToken",
  ],
  "roles/iam.workloadIdentityUser": [
    "iam.serviceAccounts.getAccessToken",
    "iam.serviceAccounts.getOpenIdToken",
  ],
  "roles/iam.workloadIdentityPoolAdmin": [
    /^iam\.workloadIdentityPools\./,
    /^iam\.workloadIdentityPoolProviders\./,
    "resourcemanager.projects.get",
  ],
  "roles/artifactregistry.admin": [/^artifactregistry\./],
  "roles/artifactregistry.writer": [
    "artifactregistry.repositories.downloadArtifacts",
    "artifactregistry.repositories.get",
    "artifactregistry.repositories.uploadArtifacts",
  ],
  "roles/artifactregistry.reader": [
    "artifactregistry.repositories.downloadArtifacts",
    "artifactregistry.repositories.get",
  ],
  "roles/secretmanager.admin": [/^secretmanager\./],
  "roles/secretmanager.secretAccessor": ["secretmanager.versions.access", "resourcemanager.projects.get"],
  "roles/confidentialcomputing.workloadUser": [
    "confidentialcomputing.challenges.create",
    "confidentialcomputing.challenges.verify",
    "confidentialcomputing.locations.get",
    "confidentialcomputing.locations.list",
  ],
};

export function isRole(role: string): boolean {
  return Object.hasOwn(ROLES, role);
}

export function grants(role: string, permission: string): boolean {
  return (ROLES[role] ?? []).some((granted) =>
    typeof granted === "string" ? granted === permission : granted.test(permission),
  );
}
