/**
 * Archives in the form `ustar` (POSIX.1-2017, pax, "ustar Interchange Format"). Our own few lines, because the digest of
 * an image hangs on each byte of them, and the next version of a library may write others.
 */

const BLOCK_BYTES = 512;

/** Eleven octal digits: 8 GiB for sizes, the year 2242 for times. */
export const MAX_ARCHIVE_NUMBER = 0o77777777777;

/** Longer ones would need extensions that readers disagree on. */
const MAX_PATH_BYTES = 100;

const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;

/** A file of an archive. */
export interface ArchiveFile {
  /** Relative, with slashes, of printable ASCII, at most 100 bytes. */
  readonly path: string;
  readonly content: Uint8Array;
}

/**
 * Files and the folders above them, in the order of their names: owned by root, files 0644, folders 0755. The same files
 * and time give the same bytes on every machine.
 *
 * @param mtimeSeconds  since 1970, of everything in the archive
 * @throws {RangeError} for a path or time that the form cannot hold, and for two files of one path
 */
export function writeArchive(files: readonly ArchiveFile[], mtimeSeconds: number): Uint8Array {
  const contents = new Map<string, Uint8Array | undefined>();
  for (const { path, content } of files) {
    for (const folder of foldersAbove(path)) contents.set(folder, undefined);
    if (contents.has(path)) throw new RangeError(`${path} is in the archive twice`);
    contents.set(path, content);
  }
  const blocks: Uint8Array[] = [];
  for (const path of [...contents.keys()].toSorted()) {
    const content = contents.get(path);
    if (contents.has(`${path}/`)) throw new RangeError(`${path} is a file and a folder of the archive`);
    if (content === undefined) blocks.push(formatFolder(path, mtimeSeconds));
    else blocks.push(formatFileHead(path, content.length, mtimeSeconds), content, paddingOf(content.length));
  }
  return Buffer.concat([...blocks, ARCHIVE_END]);
}

/** What stands before a file. @throws {RangeError} for a path, size or time that the form cannot hold */
export function formatFileHead(path: string, byteCount: number, mtimeSeconds: number): Uint8Array {
  return formatHead({ path, type: "0", mode: FILE_MODE, byteCount, mtimeSeconds });
}

/** What stands for a folder. @param path  with a slash at its end */
export function formatFolder(path: string, mtimeSeconds: number): Uint8Array {
  return formatHead({ path, type: "5", mode: FOLDER_MODE, byteCount: 0, mtimeSeconds });
}

/** What stands behind a file: everything is in whole blocks. */
export function paddingOf(byteCount: number): Uint8Array {
  return new Uint8Array((BLOCK_BYTES - (byteCount % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** What stands behind the last file. */
export const ARCHIVE_END = new Uint8Array(2 * BLOCK_BYTES);

/** Folders that a path leads through, the outermost first, each with a slash at its end. */
function foldersAbove(path: string): string[] {
  const names = path.split("/").slice(0, -1);
  return names.map((_, index) => `${names.slice(0, index + 1).join("/")}/`);
}

interface Head {
  readonly path: string;
  /** `0`: file, `5`: folder. */
  readonly type: "0" | "5";
  readonly mode: number;
  readonly byteCount: number;
  readonly mtimeSeconds: number;
}

function formatHead({ path, type, mode, byteCount, mtimeSeconds }: Head): Uint8Array {
  checkPath(path);
  const block = Buffer.alloc(BLOCK_BYTES);
  block.write(path, 0, "latin1");
  block.write(octal(mode, 7), 100, "latin1");
  block.write(octal(0, 7), 108, "latin1");
  block.write(octal(0, 7), 116, "latin1");
  block.write(octal(byteCount, 11), 124, "latin1");
  block.write(octal(mtimeSeconds, 11), 136, "latin1");
  block.write(" ".repeat(8), 148, "latin1");
  block.write(type, 156, "latin1");
  block.write("ustar", 257, "latin1");
  block.write("00", 263, "latin1");
  // The sum of all bytes, its own place counted as spaces.
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148, "latin1");
  return block;
}

function octal(value: number, digits: number): string {
  const text = Number.isSafeInteger(value) && value >= 0 ? value.toString(8) : "";
  if (text === "" || text.length > digits) {
    throw new RangeError(`an archive holds whole numbers of ${digits} octal digits, got ${value}`);
  }
  return text.padStart(digits, "0");
}

function checkPath(path: string): void {
  const names = path.replace(/\/$/, "").split("/");
  const isPlain = names.every((name) => /^[\x21-\x7e]+$/.test(name) && name !== "." && name !== "..");
  if (!isPlain || path.length > MAX_PATH_BYTES) {
    throw new RangeError(
      `expected a relative path of printable ASCII, at most ${MAX_PATH_BYTES} bytes, got ${path}`,
    );
  }
}
