/**
 * Base64 of RFC 4648 (§4 standard with padding, §5 URL-safe without), over bytes, without Buffer or atob.
 *
 * Decoding is canonical: one text per byte string. A decoder that skips blanks, missing padding or stray bits would let
 * a message be changed without any change of the bytes that are authenticated.
 */
const STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const PADDING = "=";

/** Standard base64 with padding. */
export function encodeBase64(bytes: Uint8Array): string {
  const text = encode(bytes, STANDARD);
  return text + PADDING.repeat((4 - (text.length % 4)) % 4);
}

/** Bytes of a standard base64 text with padding; `undefined` if the text is anything else. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length % 4 !== 0) return undefined;
  const paddingLength = text.endsWith("==") ? 2 : text.endsWith(PADDING) ? 1 : 0;
  return decode(text, text.length - paddingLength, STANDARD_VALUES);
}

/** URL-safe base64 without padding. */
export function encodeBase64Url(bytes: Uint8Array): string {
  return encode(bytes, URL_SAFE);
}

/** Bytes of a URL-safe base64 text without padding; `undefined` if the text is anything else. */
export function decodeBase64Url(text: string): Uint8Array<ArrayBuffer> | undefined {
  return decode(text, text.length, URL_SAFE_VALUES);
}

const STANDARD_VALUES = sextetTable(STANDARD);
const URL_SAFE_VALUES = sextetTable(URL_SAFE);

/** 0..63 for each ASCII code of the alphabet, -1 for the others. */
function sextetTable(alphabet: string): Int8Array {
  const table = new Int8Array(128).fill(-1);
  for (let value = 0; value < alphabet.length; value++) table[alphabet.charCodeAt(value)] = value;
  return table;
}

function encode(bytes: Uint8Array, alphabet: string): string {
  const codes = new Uint8Array(Math.ceil((bytes.length * 4) / 3));
  let at = 0;
  let bits = 0;
  let bitCount = 0;
  for (const byte of bytes) {
    bits = ((bits << 8) | byte) & 0x3fff;
    bitCount += 8;
    while (bitCount >= 6) {
      bitCount -= 6;
      codes[at++] = alphabet.charCodeAt((bits >> bitCount) & 63);
    }
  }
  if (bitCount > 0) codes[at] = alphabet.charCodeAt((bits << (6 - bitCount)) & 63);
  return new TextDecoder().decode(codes);
}

function decode(text: string, length: number, values: Int8Array): Uint8Array<ArrayBuffer> | undefined {
  // A single leftover character carries 6 bits: not a byte.
  if (length % 4 === 1) return undefined;
  const bytes = new Uint8Array(Math.floor((length * 3) / 4));
  let at = 0;
  let bits = 0;
  let bitCount = 0;
  for (let index = 0; index < length; index++) {
    const value = values[text.charCodeAt(index)] ?? -1;
    if (value < 0) return undefined;
    bits = ((bits << 6) | value) & 0x3fff;
    bitCount += 6;
    if (bitCount >= 8) {
      bitCount -= 8;
      bytes[at++] = (bits >> bitCount) & 255;
    }
  }
  const strayBits = bits & ((1 << bitCount) - 1);
  return strayBits === 0 ? bytes : undefined;
}
