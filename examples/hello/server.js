// The smallest workload: it knows nothing of Polaris, TLS, keys or encryption.
import { createServer } from "node:http";

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://workload");
  if (request.method === "GET" && pathname === "/hello") {
    response.setHeader("content-type", "text/plain; charset=utf-8");
    response.end("Hello from behind the Polaris Secure Proxy!\n");
  } else if (request.method === "POST" && pathname === "/echo") {
    response.setHeader("content-type", request.headers["content-type"] ?? "application/octet-stream");
    request.pipe(response);
  } else if (request.method === "GET" && pathname === "/healthz") {
    response.end("ok\n");
  } else {
    response.statusCode = 404;
    response.end("try GET /hello or POST /echo\n");
  }
});

// Polaris gives a free port on loopback; nobody but the proxy needs to know it.
server.listen(Number(process.env.PORT ?? 8000), process.env.HOST ?? "127.0.0.1", () => {
  console.log(`listening on ${server.address().address}:${server.address().port}`);
});
process.on("SIGTERM", () => server.close(() => process.exit(0)));
