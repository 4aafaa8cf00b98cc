/** A real browser, and pages for it on loopback. */
import { existsSync } from "node:fs";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium } from "playwright-core";

/** For a machine on which all tests run at once. */
const TIMEOUT_MS = 120_000;

const EXECUTABLE = "/usr/bin/chromium";

/** The reason not to run a test of the browser here, or `false`. */
export const NO_CHROMIUM = existsSync(EXECUTABLE) ? false : "chromium is not installed here";

export interface Chromium extends AsyncDisposable {
  readonly context: BrowserContext;
}

/** Starts Chromium without a window, with a new and empty profile. */
export async function startChromium(): Promise<Chromium> {
  const profile = await mkdtemp(join(tmpdir(), "polaris-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: EXECUTABLE,
    headless: true,
    timeout: TIMEOUT_MS,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  context.setDefaultTimeout(TIMEOUT_MS);
  return {
    context,
    async [Symbol.asyncDispose]() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

export interface Site extends AsyncDisposable {
  readonly origin: string;
}

/**
 * A web site of its own origin: an empty page at `/` and the given scripts.
 *
 * @param scripts     by path
 * @param pageScript  the one that the page loads
 */
export async function startSite(
  scripts: Readonly<Record<string, Uint8Array>>,
  pageScript: string,
): Promise<Site> {
  const page = `<!doctype html><meta charset="utf-8"><title>page</title><script src="${pageScript}"></script>`;
  const server = createServer((request, response) => {
    const script = scripts[request.url ?? ""];
    if (script !== undefined) response.writeHead(200, { "content-type": "text/javascript" }).end(script);
    else if (request.url === "/") response.writeHead(200, { "content-type": "text/html" }).end(page);
    else response.writeHead(404).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
