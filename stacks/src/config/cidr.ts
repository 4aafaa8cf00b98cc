import { isIP } from "node:net";

/**
 * Says what is wrong with an address range, or undefined if it is one.
 * Ranges are strict: `203.0.113.5/24` names a host inside a range, and the clouds' firewalls refuse it.
 *
 * @see RFC 4632 §3.1 (IPv4), RFC 4291 §2.3 (IPv6)
 */
export function findCidrProblem(text: string): string | undefined {
  const [address = "", prefixText, ...rest] = text.split("/");
  const family = address.includes("%") ? 0 : isIP(address);
  if (rest.length > 0 || family === 0) {
    return "expected an address range such as 203.0.113.0/24 or 2001:db8::/32";
  }
  const width = family === 4 ? 32 : 128;
  if (prefixText === undefined) return `expected a range; for one address write ${address}/${width}`;
  if (!/^(0|[1-9][0-9]{0,2})$/.test(prefixText) || Number(prefixText) > width) {
    return `expected a prefix length from 0 to ${width} after the slash`;
  }
  const hostBits = BigInt(width - Number(prefixText));
  if (addressToInteger(address, family) % (1n << hostBits) !== 0n) {
    return `expected the first address of the range, with zeros after the first ${prefixText} bits`;
  }
  return undefined;
}

function addressToInteger(address: string, family: number): bigint {
  if (family === 4) {
    return address.split(".").reduce((sum, octet) => sum * 256n + BigInt(octet), 0n);
  }
  // The URL parser writes every IPv6 address in one form: hexadecimal groups, at most one "::".
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = "", tail] = canonical.split("::");
  const before = head.split(":").filter((group) => group !== "");
  const after = (tail ?? "").split(":").filter((group) => group !== "");
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => "0");
  return [...before, ...zeros, ...after].reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n);
}
