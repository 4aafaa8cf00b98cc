import { ComponentResource, CustomResource } from "@pulumi/pulumi";
import type { CustomResourceOptions } from "@pulumi/pulumi";
import type { ProbeType } from "./test-provider.ts";

/** For tests: a resource of the test provider. */
export class Probe extends CustomResource {
  // The inherited one is not for everybody, and has no type for what it makes.
  // oxlint-disable-next-line no-useless-constructor
  constructor(
    type: ProbeType,
    name: string,
    properties: Readonly<Record<string, unknown>>,
    options?: CustomResourceOptions,
  ) {
    super(type, name, { ...properties }, options);
  }
}

/** For tests: what groups resources, and is none itself. */
export class Group extends ComponentResource {
  constructor(name: string) {
    super("polaris:test:Group", name, {});
  }
}
