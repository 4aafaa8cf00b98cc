/** Reads answers of HTTP/1.1 as they stood on the wire, without the help of what is tested. */

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** Out of its chunks; in latin1, one character a byte. */
  readonly body: string;
  readonly trailers: readonly (readonly [name: string, value: string])[];
  /** False if the end of the body is missing, as far as the answer itself can tell. */
  readonly isWhole: boolean;
}

type Framed = Pick<RawAnswer, "body" | "trailers" | "isWhole"> & { readonly rest: string };

/** All answers in a text, interim ones too. @param wasHead  they answer HEAD, and so have no bodies */
export function parseAnswers(text: string, wasHead = false): RawAnswer[] {
  const answers: RawAnswer[] = [];
  let rest = text;
  while (rest !== "") {
    const headEnd = rest.indexOf("\r\n\r\n");
    if (headEnd < 0) throw new Error(`not an answer: ${JSON.stringify(rest.slice(0, 100))}`);
    const [statusLine = "", ...lines] = rest.slice(0, headEnd).split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]);
    const fields = lines.map(parseLine);
    const { rest: behind, ...framed } = readBody(rest.slice(headEnd + 4), fields, status, wasHead);
    answers.push({ status, fields, ...framed });
    rest = behind;
  }
  return answers;
}

/** Values of a field, in order. */
export function valuesOf(message: Pick<RawAnswer, "fields">, name: string): string[] {
  return message.fields.flatMap(([field, value]) => (field === name ? [value] : []));
}

function readBody(text: string, fields: RawAnswer["fields"], status: number, wasHead: boolean): Framed {
  if (wasHead || status < 200 || status === 204 || status === 304) {
    return { body: "", trailers: [], isWhole: true, rest: text };
  }
  if (valuesOf({ fields }, "transfer-encoding").join() === "chunked") return readChunks(text);
  const [length] = valuesOf({ fields }, "content-length");
  if (length === undefined) return { body: text, trailers: [], isWhole: true, rest: "" };
  const body = text.slice(0, Number(length));
  return { body, trailers: [], isWhole: body.length === Number(length), rest: text.slice(Number(length)) };
}

function readChunks(text: string): Framed {
  let body = "";
  let rest = text;
  for (;;) {
    const size = /^([0-9a-f]+)\r\n/i.exec(rest);
    if (size === null) return { body, trailers: [], isWhole: false, rest: "" };
    const start = size[0].length;
    const end = start + Number.parseInt(size[1] ?? "", 16);
    if (end === start) {
      const trailerEnd = `\r\n${rest.slice(start)}`.indexOf("\r\n\r\n");
      if (trailerEnd < 0) return { body, trailers: [], isWhole: false, rest: "" };
      const lines = rest.slice(start, start + trailerEnd).split("\r\n");
      const trailers = lines.filter((line) => line !== "").map(parseLine);
      return { body, trailers, isWhole: true, rest: rest.slice(start + trailerEnd + 2) };
    }
    body += rest.slice(start, end);
    if (rest.slice(end, end + 2) !== "\r\n") return { body, trailers: [], isWhole: false, rest: "" };
    rest = rest.slice(end + 2);
  }
}

function parseLine(line: string): [name: string, value: string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}
