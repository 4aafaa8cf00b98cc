import * as z from "zod";

/** A project id (Resource Manager, "Creating and managing projects"): 6 to 30 characters. */
const projectFormat = z.string().regex(/^[a-z][a-z0-9-]{4,28}[a-z0-9]$/, {
  error: "expected the id of a project: 6 to 30 characters of a-z, 0-9 and -, starting with a letter",
});

const zoneFormat = z.string().regex(/^[a-z]+-[a-z]+[0-9]+-[a-z]$/, {
  error: "expected a zone such as europe-west4-a",
});

/** Of Cloud KMS; HSM keys are not in all of them. */
const locationFormat = z.string().regex(/^[a-z]+(?:-[a-z]+[0-9]+)?$/, {
  error: "expected a location of Cloud KMS such as europe-west4 or europe",
});

const networkFormat = z
  .string()
  .regex(
    /^(?:projects\/[a-z][a-z0-9-]{4,28}[a-z0-9]\/global\/networks\/)?[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/,
    {
      error: "expected a network: its name, or projects/<project>/global/networks/<name> for a shared one",
    },
  );

const subnetworkFormat = z
  .string()
  .regex(
    /^(?:projects\/[a-z][a-z0-9-]{4,28}[a-z0-9]\/regions\/[a-z]+-[a-z]+[0-9]+\/subnetworks\/)?[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/,
    {
      error:
        "expected a subnetwork: its name, or projects/<project>/regions/<region>/subnetworks/<name> for a shared one",
    },
  );

const serviceAccountFormat = z
  .string()
  .regex(/^[a-z](?:[-a-z0-9]{4,28}[a-z0-9])@[a-z][a-z0-9-]{4,28}[a-z0-9]\.iam\.gserviceaccount\.com$/, {
    error: "expected the address of a service account: <name>@<project>.iam.gserviceaccount.com",
  });

const labelKeyFormat = z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, {
  error: "expected 1 to 63 characters of a-z, 0-9, _ and -, starting with a letter",
});
const labelValueFormat = z.string().regex(/^[a-z0-9_-]{0,63}$/, {
  error: "expected at most 63 characters of a-z, 0-9, _ and -",
});

const DISK_RULE = "expected a whole number of GB from 10 to 65536";

/** An AMD machine of the one family that has SEV-SNP. */
const machineTypeFormat = z.string().regex(/^n2d-(?:standard|highmem|highcpu)-[1-9][0-9]{0,2}$/, {
  error: "expected a machine type of the n2d family, such as n2d-standard-2: no other one has SEV-SNP",
});

/** `targets.gcp`: what only Google Cloud needs. */
export const gcpTarget = z.strictObject({
  project: projectFormat.meta({
    description: "Project of the machine.",
    examples: ["my-project"],
  }),
  projectNumber: z
    .string()
    .regex(/^[1-9][0-9]{5,18}$/, { error: "expected digits, in quotes" })
    .exactOptional()
    .meta({
      description:
        "Number of that project, which conditions and audiences contain. Without it, polaris lock asks the project for it.",
      examples: ["123456789012"],
    }),
  zone: zoneFormat.meta({
    description: "Zone of the machine. It has to have n2d machines with AMD Milan processors.",
    examples: ["europe-west4-a"],
  }),
  machineType: machineTypeFormat.default("n2d-standard-2").meta({
    description: "Machine type: of the n2d family, the only one with SEV-SNP.",
  }),
  bootDisk: z
    .strictObject({
      type: z.enum(["pd-balanced", "pd-ssd", "pd-standard"]).default("pd-balanced").meta({
        description: "Type of the boot disk.",
      }),
      sizeGb: z.int().min(10, { error: DISK_RULE }).max(65_536, { error: DISK_RULE }).default(20).meta({
        description: "Size of the boot disk in GB. It holds the images of workload and proxy.",
      }),
    })
    .prefault({})
    .meta({ description: "The machine's only disk, which is emptied when the machine is replaced." }),
  osImage: z
    .string()
    .regex(/^[a-z][a-z0-9-]{4,28}[a-z0-9]\/[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/, {
      error: "expected <project>/<family or image>, such as cos-cloud/cos-stable",
    })
    .default("cos-cloud/cos-stable")
    .meta({
      description:
        "Container-Optimized OS: project and family, or project and image. polaris lock writes down the one image that it is; the machine is never replaced because the family has a newer one.",
      examples: ["cos-cloud/cos-125-lts"],
    }),
  network: z
    .strictObject({
      network: networkFormat.meta({ description: "Network that is there already.", examples: ["vpc-1"] }),
      subnetwork: subnetworkFormat.meta({
        description: "Its subnetwork in the machine's region.",
        examples: ["apps-europe-west4"],
      }),
    })
    .exactOptional()
    .meta({
      description:
        "Network and subnetwork that are there already. Without it the stack gets its own, with nothing else in it.",
    }),
  address: z.enum(["ephemeral", "static", "none"]).default("ephemeral").meta({
    description:
      "Public address of the endpoint. ephemeral: another one after the machine was stopped. static: kept as long as the stack. none: only a private one.",
  }),
  nat: z.boolean().default(false).meta({
    description:
      "Cloud NAT for a machine without a public address, so that it can fetch images from beyond Google's own registries. Only with address none.",
  }),
  serviceAccount: serviceAccountFormat.exactOptional().meta({
    description:
      "Service account of the machine, if there is one already: nothing else may run as it. Without it the stack makes its own, with only what it needs.",
    examples: ["polaris-vm@my-project.iam.gserviceaccount.com"],
  }),
  keyProject: projectFormat.exactOptional().meta({
    description:
      "Project of the key and of the pool that says who may use it, if it is another one, with other owners.",
    examples: ["my-keys"],
  }),
  keyLocation: locationFormat.exactOptional().meta({
    description: "Location of the key ring: one where Cloud KMS has HSMs. Without it, the machine's region.",
    examples: ["europe"],
  }),
  mirrorWorkload: z.boolean().default(false).meta({
    description:
      "Whether the workload's image is copied into the stack's own registry, so that the machine needs no login for another one.",
  }),
  logs: z.boolean().default(false).meta({
    description:
      "Whether the machine sends what workload and proxy print to Cloud Logging, where whoever may read the project's logs reads it. polaris logs needs it.",
  }),
  labels: z
    .record(labelKeyFormat, labelValueFormat)
    .refine((labels) => Object.keys(labels).length <= 32, { error: "expected at most 32 labels" })
    .default({})
    .meta({ description: "Labels of all resources that take them.", examples: [{ team: "payments" }] }),
});

/** `attestation.gcp`: further conditions on the machine that may use the key. Nothing here can widen the built-in ones. */
export const gcpAttestation = z.strictObject({
  zone: z.boolean().default(true).meta({
    description: "Whether the machine has to be in the zone of targets.gcp.zone.",
  }),
  debugStatus: z.literal("disabled-since-boot").exactOptional().meta({
    description:
      "What the token has to say of debugging. Container-Optimized OS says enabled, so that with this nothing there gets the key: it is for images that say something else.",
  }),
});
