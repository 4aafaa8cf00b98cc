import type { Input } from "@pulumi/pulumi";

/** Outputs as a program gives them, some of them known only once the cloud has answered. */
export type ProgramOutputs<Outputs> = { readonly [Name in keyof Outputs]: Input<NonNullable<Outputs[Name]>> };

/** An inline program of the engine. Its inputs have been checked by the time it exists. */
export type PartProgram<Outputs> = () => Promise<ProgramOutputs<Outputs>>;
