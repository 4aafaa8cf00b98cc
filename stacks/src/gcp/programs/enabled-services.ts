import * as pulumi from "@pulumi/pulumi";
import { Service } from "@pulumi/gcp/projects/service.js";

/** APIs of a project, enabled and left enabled: others may use them by the time this stack goes. */
export class EnabledServices extends pulumi.ComponentResource {
  readonly #services: ReadonlyMap<string, Service>;

  constructor(name: string, services: readonly string[], opts: pulumi.ComponentResourceOptions) {
    super("polaris:gcp:EnabledServices", name, {}, opts);
    this.#services = new Map(
      services.map((service) => [
        service,
        new Service(
          `${name}-${service.split(".", 1)[0]}`,
          { service, disableOnDestroy: false },
          { parent: this },
        ),
      ]),
    );
    this.registerOutputs({});
  }

  /** What a resource of this API waits for: its own API and no other, so that nothing waits without a reason. */
  of(service: string): Service[] {
    const enabled = this.#services.get(service);
    return enabled === undefined ? [] : [enabled];
  }
}
