/** Asks a token agent for a token: 64 lower-case hex characters, and the line feed behind them. */
export const NONCE = "0123456789abcdef".repeat(4);

/** What every token agent answers to anything else, on whatever target it runs. */
export const REFUSAL = "error REQUEST_INVALID expected 64 lowercase hex characters and a line feed\n";

export const REFUSED_TOKEN_REQUESTS: readonly (readonly [name: string, input: string | Buffer])[] = [
  ["an empty line", "\n"],
  ["63 characters", `${NONCE.slice(1)}\n`],
  ["65 characters", `${NONCE}0\n`],
  ["upper case", `${NONCE.toUpperCase()}\n`],
  ["not hex", `${NONCE.slice(1)}g\n`],
  ["a carriage return", `${NONCE.slice(1)}\r\n`],
  ["a space before", ` ${NONCE.slice(1)}\n`],
  ["something behind", `${NONCE}\nx`],
  ["two requests", `${NONCE}\n${NONCE}\n`],
  ["an audience behind", `${NONCE} //iam.googleapis.com/x\n`],
  ["a NUL character within", `${NONCE.slice(32)}\0${NONCE.slice(32)}\n`],
  ["a command", `$(touch /tmp/polaris-was-here)${NONCE.slice(30)}\n`],
  ["binary", Buffer.alloc(65, 0xff)],
  ["very much", Buffer.alloc(1024 * 1024, 0x61)],
  ["HTTP", "GET / HTTP/1.1\r\n\r\n"],
];
