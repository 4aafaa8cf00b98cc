/**
 * The holes of the original proxy, SDK and Terraform modules that our proxy could have too, and the tests which show that it has
 * not: or, where wire v1 itself has them, that `verify` and the docs say so. `holes.test.ts` asserts that all of these tests are
 * there, so that none can be deleted or renamed without a word here.
 */
export interface Hole {
  /** `1.5.n`: bug n of the original proxy; `Un`: of what the original puts around it. */
  readonly id: string;
  /** What the original does. */
  readonly hole: string;
  readonly tests: readonly TestOf[];
}

/** A test by its file, from the root of the repository, and by its name as it stands there. */
export type TestOf = readonly [file: string, name: string];

const here = (file: string): string => `test/original-holes/${file}`;
const VARIABLES = here("original-variables.test.ts");
const OPERATIONS = here("private-operations.test.ts");
const STREAMING = here("streaming.test.ts");
const ANSWERS = here("large-answers.test.ts");
const WIRE = here("wire-v1.test.ts");
const EVIDENCE = here("evidence.test.ts");
const ERRORS = here("errors.test.ts");
const HTTP = here("http.test.ts");
const DEPLOYED = here("deployed-stack.test.ts");
const ENVIRONMENT = "proxy/src/environment.test.ts";
const ATTACKS = "test/e2e/attacks.test.ts";
const MAN_IN_THE_MIDDLE = "test/trust/tls-man-in-the-middle.test.ts";
const FLAGS = "test/e2e/encryption-flags.test.ts";
const EXAMPLE = "test/examples/proxy.test.ts";

const RESIDUALS: TestOf = [
  DEPLOYED,
  "U5, 1.5.5, 1.5.6: verify names what is left open: other processes of this machine, replays, the response key",
];
const RESIDUALS_OF_WIRE_V1: readonly TestOf[] = [
  [
    WIRE,
    "1.5.5, 1.5.6: what wire v1 leaves open is a residual by name, but where TLS has the key of the evidence",
  ],
  [
    WIRE,
    "1.5.5, 1.5.6: SECURITY.md names both residuals, and says with docs/envelope.md what each of them is",
  ],
  RESIDUALS,
];
const HEADER_NAMES: readonly TestOf[] = [
  [
    VARIABLES,
    "1.5.1, U11: the variable of the secure header made two headers collide; here it renames that one, and both directions stay sealed",
  ],
  [VARIABLES, "1.5.1, U11: one name for two of the headers stops the start"],
  [ENVIRONMENT, "the original's header variable renames the secure header and nothing else"],
];

export const HOLES: readonly Hole[] = [
  {
    id: "1.5.1",
    hole: "one variable names both the secure header and that of the response key, which breaks the protocol",
    tests: HEADER_NAMES,
  },
  {
    id: "1.5.2",
    hole: "the 4 or 6 private operations of a request run one after another on the event loop",
    tests: [
      [
        OPERATIONS,
        "1.5.2: the ${count} private operations of a ${method} went one by one; here all are asked for before one is answered",
      ],
      [
        OPERATIONS,
        "1.5.2: the event loop did the private operations; here it does none, and answers others while they are pending",
      ],
      [
        OPERATIONS,
        "1.5.2: with a key service a request took six round trips; here the service has all six calls before it answers one",
      ],
      ["proxy/src/keys/key-thread.test.ts", "the operations are not done by the thread of the event loop"],
      [
        "proxy/src/keys/ephemeral.test.ts",
        "two operations a core are begun, a bounded number waits, more are refused, and who gives up makes room",
      ],
    ],
  },
  {
    id: "1.5.3",
    hole: "bodies are collected whole in both directions, even with encryption off",
    tests: [
      [
        STREAMING,
        "1.5.3: a stream of events began when it had ended; here the first event is there while the workload holds the rest",
      ],
      [
        STREAMING,
        "1.5.3: a body reached the workload when it was all there; here its beginning does while the client holds the rest",
      ],
      ["proxy/src/streaming.test.ts", "a request and its answer go on at the same time"],
    ],
  },
  {
    id: "1.5.4",
    hole: "sealed answers have no limit, and fail above 402 MB after they have taken gigabytes of memory",
    tests: [
      [
        ANSWERS,
        "1.5.4: an answer without an end ate the memory; here it is refused at the limit, the workload is cut off and nothing stays held",
      ],
      [ANSWERS, "1.5.4: an answer as long as the limit is sealed, one byte more is not"],
      [
        ANSWERS,
        "1.5.4: all answers together have a limit too; who does not fit in hears when to come back, and the others get theirs",
      ],
      [ANSWERS, "1.5.4: base64 of the longest answer that can be set fits into a string"],
    ],
  },
  {
    id: "1.5.5",
    hole: "a sealed request can be sent again, and its parts can be mixed with others: wire v1 itself, said by verify and the docs",
    tests: [
      [ATTACKS, "known limit of wire v1: a recorded request is answered again"],
      [ATTACKS, "known limit of wire v1: parts of two requests can be recombined"],
      ...RESIDUALS_OF_WIRE_V1,
    ],
  },
  {
    id: "1.5.6",
    hole: "the response key is taken from the clear, whoever put it there: noticed where its sealed copy is, otherwise wire v1 itself",
    tests: [
      [
        ATTACKS,
        "somebody on the way cannot put a response key of his own, or none, in place of the client's",
      ],
      [
        WIRE,
        "1.5.6: known limit of wire v1: sealed headers of somebody on the way, with his own key in them, turn the answer to him",
      ],
      ...RESIDUALS_OF_WIRE_V1,
      [
        MAN_IN_THE_MIDDLE,
        "a man in the middle who forwards everything, the evidence included, is found by their key",
      ],
      [
        MAN_IN_THE_MIDDLE,
        "a man in the middle who comes after the verification gets not one byte of a request",
      ],
      [
        "test/e2e/tls-man-in-the-middle.test.ts",
        "verify and request refuse a man in the middle, and send nothing to them",
      ],
    ],
  },
  {
    id: "1.5.7",
    hole: "the public key is served without evidence",
    tests: [
      [
        EVIDENCE,
        "1.5.7: the public key came without evidence; here the route beside it has evidence that is bound to it and to one nonce",
      ],
      [EVIDENCE, "1.5.7: an endpoint that has a key and no evidence gets nothing of a request"],
      ["sdk/src/client.test.ts", "does not seal to a key that somebody put in between"],
    ],
  },
  {
    id: "1.5.8",
    hole: "every error is a 400 with the words of OpenSSL or V8, and is printed even with logging off",
    tests: [
      [
        ERRORS,
        "1.5.8: errors had the words of OpenSSL and V8; here each has a text of ours, and nothing of what came",
      ],
      [
        ERRORS,
        "1.5.8: every failure was a 400; here an outage is not the client's mistake, and a bug says no more than its id",
      ],
      [
        ERRORS,
        "1.5.8: each failure inside cryptography had a message of its own; here all look alike, to the client and in the log",
      ],
      [
        ERRORS,
        "1.5.8: errors were printed although logging was off; here a silent proxy writes nothing, whatever fails",
      ],
    ],
  },
  {
    id: "1.5.9",
    hole: "an upgrade is answered with a plain 200, gzip is decoded and coded anew, sealed hop-by-hop headers are forwarded",
    tests: [
      [
        HTTP,
        "1.5.9: a WebSocket got a plain 200; here it is passed on, both ways, where the exchange is in the clear",
      ],
      [
        HTTP,
        "1.5.9: a WebSocket that would have to be sealed is refused, and the workload never hears of it",
      ],
      [HTTP, "1.5.9: gzip of the workload was decoded and coded anew; here its bytes pass as they are"],
      [
        HTTP,
        "1.5.9: what is sealed is never coded; the workload is asked for plain bytes, and a coded answer is refused",
      ],
      [
        HTTP,
        "1.5.9: hop-by-hop headers inside the sealed ones reached the workload; here they end, and no second request comes out of a body",
      ],
    ],
  },
  {
    id: "1.5.10",
    hole: "CORS lacks PATCH and HEAD, and each of the first requests gets the key for itself",
    tests: [
      [
        VARIABLES,
        "1.5.10: the CORS list lacked PATCH and HEAD; with the original's switch a page may send them",
      ],
      [
        OPERATIONS,
        "1.5.10: each of the first requests got the key for itself; here they share one exchange and one fetch",
      ],
    ],
  },
  {
    id: "U3",
    hole: "the flags of input and output encryption are swapped, in both key modes",
    tests: [
      [
        VARIABLES,
        "U3: the encryption flags were swapped; each of the original's names is that of its own direction",
      ],
      [ENVIRONMENT, "input encryption is that of requests and output encryption that of responses"],
      [FLAGS, "proxy.encryption.${flag}: ${mode} is that of ${flag}, whatever the other direction has"],
      [FLAGS, "what is sealed is unreadable on the way, in the direction of its flag and in no other"],
    ],
  },
  {
    id: "U5",
    hole: "the workload's port is published beside the proxy's",
    tests: [
      [
        DEPLOYED,
        "U5: the workload's port was published beside the proxy's; here it listens at 127.0.0.1 alone",
      ],
      RESIDUALS,
      [
        "stacks/src/local/parts.test.ts",
        "nobody's variable moves the workload off the loopback interface or its port",
      ],
      [EXAMPLE, "compose: nothing but the proxy has a port, and the workload is on an internal network only"],
    ],
  },
  {
    id: "U11",
    hole: "the header of the response key has no variable of its own",
    tests: HEADER_NAMES,
  },
];
