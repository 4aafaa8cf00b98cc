/** What the simulated attester claims to run on: two words that nobody can take for hardware. */
export const simulatedHardware = {
  hardwareModel: "POLARIS_SIMULATED_NO_TEE",
  softwareName: "POLARIS_SIMULATED",
} as const;
