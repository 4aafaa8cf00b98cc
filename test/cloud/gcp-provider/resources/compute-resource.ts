/** What all resources of Compute have in common. */
import type { Cloud } from "../cloud.ts";
import { fieldsOf, isEmpty, lastSegment, omitEmpty, textOf } from "../fields.ts";
import type { Fields } from "../fields.ts";
import { COMPUTE } from "../google-apis.ts";
import { during, isNotFound } from "../google-error.ts";
import { relativeLink } from "../property-equality.ts";
import { placeOf } from "../resource-type.ts";

/** A network as bodies have it: relative, with the project. */
export function networkLink(project: string, network: unknown): string {
  const link = relativeLink(textOf(network));
  return link.includes("/") ? link : `projects/${project}/global/networks/${link}`;
}

/** A region as the real client writes it into bodies. The `global/` is its own quirk. */
export function regionLink(project: string, region: string): string {
  return `projects/${project}/global/regions/${region}`;
}

/** Where a regional resource is made: the path of its collection, and its parts. */
export function regionalPlace(
  cloud: Cloud,
  inputs: Fields,
  collection: string,
): { readonly project: string; readonly region: string; readonly path: string } {
  const project = placeOf(cloud, inputs, "project");
  const region = placeOf(cloud, inputs, "region");
  return { project, region, path: `projects/${project}/regions/${region}/${collection}` };
}

/** The region of an answer by its name; undefined if the answer has none. */
export function regionOf(answer: Fields): string | undefined {
  return isEmpty(answer["region"]) ? undefined : lastSegment(answer["region"]);
}

/** Reads one resource of Compute, undefined for what is gone. */
export function findCompute(cloud: Cloud, id: string, label: string): Promise<Fields | undefined> {
  return during(`Error when reading or editing ${label} ${JSON.stringify(id)}`, () =>
    cloud.find(COMPUTE, id),
  );
}

/** Makes one resource of Compute. */
export async function createCompute(cloud: Cloud, path: string, name: string, body: Fields): Promise<void> {
  const operation = await during(`Error creating ${name}`, () => cloud.call(COMPUTE, "POST", path, { body }));
  await during(`Error waiting to create ${name}`, () =>
    cloud.waitForCompute(path, operation, `Creating ${name}`),
  );
}

/** Deletes one resource of Compute; one that is gone already is deleted too. */
export async function deleteCompute(cloud: Cloud, id: string, label: string): Promise<void> {
  try {
    await during(`Error when reading or editing ${label}`, () =>
      cloud.compute("DELETE", id, `Deleting ${label}`),
    );
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** A block of logging settings as bodies have it: there is always one. */
export function loggingOf(logConfig: unknown): Fields {
  return logConfig === undefined ? { enable: false } : { enable: true, ...omitEmpty(fieldsOf(logConfig)) };
}
