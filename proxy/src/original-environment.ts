import { describeText } from "./environment-values.ts";

/** A name that the original proxy used for one of our variables. */
export interface OriginalName {
  readonly name: string;
  /** What the original's values mean in ours; `null`: nothing. Absent: the values are the same. */
  readonly values?: Readonly<Record<string, string | null>>;
}

interface NamedVariable {
  readonly name: string;
  readonly originals?: readonly OriginalName[];
}

/** Original names without a counterpart: what to say when one is set. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  POLARIS_CONTAINER_CONTEXT_ROOT: "has no effect, as it had none in the original proxy",
};

const AZURE_NAMES = [
  "KEY_RELEASE_ENDPOINT",
  "MAA_ENDPOINT",
  "AKV_ENDPOINT",
  "KID",
  "ACCESS_TOKEN",
  "MAX_REQUEST_RETRIES",
  "RETRY_INTERVAL",
].map((name) => `POLARIS_CONTAINER_AZURE_SKR_${name}`);

/**
 * Brings the names of the original proxy to ours, so that whoever reads the result need not know them. An empty value
 * counts as not set.
 *
 * @returns `texts` by our names only; `knownNames` of both kinds; what to warn about and what is wrong, one line each
 */
export function readOriginalNames(
  environment: Readonly<Record<string, string | undefined>>,
  variables: readonly NamedVariable[],
): {
  texts: Record<string, string>;
  warnings: string[];
  problems: string[];
  knownNames: ReadonlySet<string>;
} {
  const texts: Record<string, string> = {};
  const warnings: string[] = [];
  const problems: string[] = [];
  const knownNames = new Set([...Object.keys(WITHOUT_EFFECT), ...AZURE_NAMES]);
  const given = withoutUnused(environment);

  for (const { name, originals = [] } of variables) {
    knownNames.add(name);
    let setBy = name;
    let text = given(name);
    for (const original of originals) {
      knownNames.add(original.name);
      const originalText = given(original.name);
      if (originalText === undefined) continue;

      const meant = original.values === undefined ? originalText : original.values[originalText];
      if (meant === undefined) {
        const accepted = Object.keys(original.values ?? {}).join(" or ");
        problems.push(`${original.name} must be ${accepted}, got ${describeText(originalText)}`);
      } else if (meant === null) {
        warnings.push(`${original.name}=${originalText} is the original proxy's name and the default here`);
      } else if (text !== undefined && text !== meant) {
        problems.push(`${setBy} and ${original.name} mean the same setting and differ`);
      } else {
        text = meant;
        setBy = original.name;
        warnings.push(`${original.name} is the original proxy's name, set ${name} instead`);
      }
    }
    if (text !== undefined) texts[name] = text;
  }

  for (const [name, explanation] of Object.entries(WITHOUT_EFFECT)) {
    if (given(name) !== undefined) warnings.push(`${name} ${explanation}`);
  }
  const azure = AZURE_NAMES.filter((name) => given(name) !== undefined);
  if (azure.length > 0) problems.push(`${azure.join(", ")}: azure-skr is not available in this version`);
  return { texts, warnings, problems, knownNames };
}

/** Looks a name up; empty texts are absent, and so is the original's log level where its logging is switched off. */
function withoutUnused(environment: Readonly<Record<string, string | undefined>>) {
  const isSilent = environment["POLARIS_CONTAINER_ENABLE_LOGGING"] === "false";
  return (name: string): string | undefined => {
    if (isSilent && name === "POLARIS_CONTAINER_LOG_LEVEL") return undefined;
    return environment[name] === "" ? undefined : environment[name];
  };
}
