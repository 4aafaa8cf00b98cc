/** `T` with everything in it readonly, lists included. */
export type Immutable<T> = T extends readonly (infer Item)[]
  ? readonly Immutable<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Immutable<T[Key]> }
    : T;

/** Freezes a tree of plain objects and lists in place, and gives it back with the type that says so. */
export function freezeTree<T>(tree: T): Immutable<T> {
  if (typeof tree === "object" && tree !== null) {
    for (const child of Object.values(tree)) freezeTree(child);
    Object.freeze(tree);
  }
  return tree as Immutable<T>;
}
