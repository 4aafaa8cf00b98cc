import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface TokenAgentDouble extends AsyncDisposable {
  readonly socketPath: string;
  /** What it was asked so far. */
  readonly questions: string[];
}

/**
 * A token agent on a real Unix socket.
 *
 * @param answer  the bytes to answer a question with before the end; `undefined`: keeps silent
 */
export async function startTokenAgent(
  answer: (question: string) => string | undefined,
): Promise<TokenAgentDouble> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-agent-"));
  const socketPath = join(folder, "agent.sock");
  const questions: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("data", (question) => {
      questions.push(String(question));
      const text = answer(String(question));
      if (text !== undefined) socket.end(text);
    });
  });
  server.listen(socketPath);
  await once(server, "listening");
  return {
    socketPath,
    questions,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
      await rm(folder, { recursive: true });
    },
  };
}
