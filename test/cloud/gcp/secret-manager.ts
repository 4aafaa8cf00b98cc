import type { Api } from "./api.ts";
import { policyMethods } from "./iam-policy-methods.ts";
import { secretMethods } from "./secret-manager/secret-methods.ts";
import { Secrets } from "./secret-manager/secrets.ts";
import { secretVersionMethods } from "./secret-manager/version-methods.ts";
import type { World } from "./world.ts";

/** Secret Manager: global secrets, their versions, and who may read them. */
export function createSecretManagerApi(world: World): Api {
  const secrets = new Secrets(world);
  return {
    name: "secretmanager",
    title: "Secret Manager API",
    documents: ["secretmanager.v1.json"],
    handlers: {
      ...secretMethods(world, secrets),
      ...secretVersionMethods(world, secrets),
      ...policyMethods(world, {
        methods: "secretmanager.projects.secrets",
        permissions: "secretmanager.secrets",
        find: (name) => world.canonicalName(secrets.secret(name).name),
      }),
    },
  };
}
