/** Fields of an update mask by the names of the document: clients write both spellings. */
export function maskFields(updateMask: string): readonly string[] {
  return updateMask
    .split(",")
    .filter((field) => field !== "")
    .map((field) => field.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()));
}
