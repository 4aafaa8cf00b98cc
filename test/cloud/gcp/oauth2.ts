import type { Api } from "./api.ts";
import { GoogleError } from "./google-error.ts";
import type { World } from "./world.ts";

const LIFETIME_SECONDS = 3599;

/** Who a token belongs to: the look-up that tools make before they begin. */
export function createOauth2(world: World): Api {
  return {
    name: "oauth2",
    title: "Google OAuth2 API",
    documents: ["oauth2.v2.json"],
    undocumentedMethods: [{ id: "oauth2.tokeninfo.v3", httpMethod: "GET", flatPath: "tokeninfo" }],
    publicMethods: ["oauth2.tokeninfo.v3"],
    handlers: {
      "oauth2.tokeninfo.v3": async ({ query, now }) => {
        const token = query.get("access_token") ?? "";
        const caller = token === "" ? undefined : await world.authenticate(token);
        if (caller === undefined) throw new GoogleError("INVALID_ARGUMENT", "Invalid Value");
        const email = emailOf(caller.member);
        return {
          aud: "32555940559.apps.googleusercontent.com",
          scope:
            "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/userinfo.email",
          exp: String(Math.floor(now() / 1000) + LIFETIME_SECONDS),
          expires_in: String(LIFETIME_SECONDS),
          ...(email === undefined ? {} : { email, email_verified: "true" }),
          access_type: "offline",
        };
      },
      "oauth2.userinfo.get": ({ caller }) => {
        const email = emailOf(caller.member);
        return email === undefined ? {} : { email, verified_email: true };
      },
    },
  };
}

function emailOf(member: string): string | undefined {
  return /^(?:user|serviceAccount):(.+)$/.exec(member)?.[1];
}
