// The smallest workload: it knows nothing of Polaris, keys or encryption.
import { createServer } from "node:http";

const server = createServer((request, response) => {
  if (request.method === "POST") {
    response.setHeader("content-type", request.headers["content-type"] ?? "application/octet-stream");
    request.pipe(response);
  } else {
    response.setHeader("content-type", "text/plain; charset=utf-8");
    response.end(`You asked for ${request.url}, and nobody on the way could read it.\n`);
  }
});

// On loopback unless told otherwise: nobody but the proxy needs to reach it.
server.listen(Number(process.env.PORT ?? 8000), process.env.HOST ?? "127.0.0.1", () => {
  console.log(`listening on ${server.address().address}:${server.address().port}`);
});
process.on("SIGTERM", () => server.close(() => process.exit(0)));
