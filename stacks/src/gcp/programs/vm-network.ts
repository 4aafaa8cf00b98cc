import * as pulumi from "@pulumi/pulumi";
import { Firewall } from "@pulumi/gcp/compute/firewall.js";
import { Network } from "@pulumi/gcp/compute/network.js";
import { Router } from "@pulumi/gcp/compute/router.js";
import { RouterNat } from "@pulumi/gcp/compute/routerNat.js";
import { Subnetwork } from "@pulumi/gcp/compute/subnetwork.js";
import type { EnabledServices } from "./enabled-services.ts";
import type { ExistingNetwork, OwnNetwork, ProxyFirewall } from "./part-inputs.ts";

export interface VmNetworkArgs {
  readonly project: string;
  readonly region: string;
  readonly description: string;
  readonly network: OwnNetwork | ExistingNetwork;
  readonly firewall: ProxyFirewall;
  readonly services: EnabledServices;
}

/** Where the machine stands: nobody reaches it but the allowed ranges, and those its proxy's port alone. No rule for SSH. */
export class VmNetwork extends pulumi.ComponentResource {
  /** "projects/P/global/networks/N" */
  readonly network: pulumi.Output<string>;
  /** "projects/P/regions/R/subnetworks/S" */
  readonly subnetwork: pulumi.Output<string>;

  constructor(name: string, args: VmNetworkArgs, opts: pulumi.ComponentResourceOptions) {
    super("polaris:gcp:VmNetwork", name, {}, opts);
    const { network } = args;
    if (network.kind === "own") {
      [this.network, this.subnetwork] = this.#createNetwork(name, args, network);
    } else {
      this.network = pulumi.output(network.network);
      this.subnetwork = pulumi.output(network.subnetwork);
      this.#createDenyRule(name, args, network);
    }
    // A rule without a source is refused by Google, and no rule is what "nobody" means.
    if (args.firewall.allowedIpv4Ranges.length > 0) {
      this.#createAllowRule(name, args, network.kind === "own" ? args.project : network.project);
    }
    this.registerOutputs({ network: this.network, subnetwork: this.subnetwork });
  }

  #createNetwork(
    name: string,
    { region, services }: VmNetworkArgs,
    { networkName, subnetworkName, ipv4Range, nat }: OwnNetwork,
  ): readonly [network: pulumi.Output<string>, subnetwork: pulumi.Output<string>] {
    const network = new Network(
      name,
      { name: networkName, autoCreateSubnetworks: false },
      { parent: this, dependsOn: services.of("compute.googleapis.com") },
    );
    const subnetwork = new Subnetwork(
      `${name}-subnet`,
      {
        name: subnetworkName,
        region,
        network: network.id,
        ipCidrRange: ipv4Range,
        // Images and tokens come from Google: a machine without an address of its own needs them too.
        privateIpGoogleAccess: true,
      },
      { parent: this },
    );
    if (nat !== undefined) this.#createNat(name, region, network, nat);
    return [network.id, subnetwork.id];
  }

  #createNat(name: string, region: string, network: Network, nat: NonNullable<OwnNetwork["nat"]>): RouterNat {
    const router = new Router(
      `${name}-router`,
      { name: nat.routerName, region, network: network.id },
      { parent: this },
    );
    return new RouterNat(
      `${name}-nat`,
      {
        name: nat.natName,
        region,
        router: router.name,
        natIpAllocateOption: "AUTO_ONLY",
        // The network is ours alone: its one subnet is all of them.
        sourceSubnetworkIpRangesToNat: "ALL_SUBNETWORKS_ALL_IP_RANGES",
        // Said, because Google fills it in, and the next preview would take that for a change.
        logConfig: { enable: false, filter: "ALL" },
      },
      { parent: this },
    );
  }

  #createAllowRule(
    name: string,
    { description, firewall, services }: VmNetworkArgs,
    project: string,
  ): Firewall {
    return new Firewall(
      `${name}-allow-proxy`,
      {
        name: firewall.allowRuleName,
        project,
        description,
        network: this.network,
        direction: "INGRESS",
        priority: 1000,
        allows: [{ protocol: "tcp", ports: [String(firewall.port)] }],
        sourceRanges: [...firewall.allowedIpv4Ranges],
        targetTags: [firewall.networkTag],
      },
      { parent: this, dependsOn: services.of("compute.googleapis.com") },
    );
  }

  /** The rules of a network that is not ours, such as `default-allow-ssh`, come after this one. */
  #createDenyRule(name: string, args: VmNetworkArgs, network: ExistingNetwork): Firewall {
    return new Firewall(
      `${name}-deny-others`,
      {
        name: network.denyRuleName,
        project: network.project,
        description: args.description,
        network: this.network,
        direction: "INGRESS",
        priority: 1001,
        denies: [{ protocol: "all" }],
        sourceRanges: ["0.0.0.0/0"],
        targetTags: [args.firewall.networkTag],
      },
      { parent: this, dependsOn: args.services.of("compute.googleapis.com") },
    );
  }
}
