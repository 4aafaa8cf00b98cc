/** A stack could not be ended: its folder must stay, for it says what runs. */
export class StillRunningError extends Error {
  constructor(project: string, options: ErrorOptions) {
    super(`something may still run: "polaris destroy --yes -C ${project}" ends it`, options);
  }
}
