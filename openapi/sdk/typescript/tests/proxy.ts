/** A proxy with faults on order: what stands in its list happens to the next requests, one after the other. */

import { createServer, request, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A status answered at once; the answer thrown away; its first byte changed; or the connection cut after so many bytes of its body. */
export type Fault = number | "lost" | "flipped" | { cut: number };

export class FaultyProxy {
  readonly faults: Fault[] = [];
  readonly requests: { method: string; path: string; headers: IncomingHttpHeaders }[] = [];

  private constructor(private readonly server: Server) {}

  static async start(target: string): Promise<FaultyProxy> {
    const server = createServer();
    const proxy = new FaultyProxy(server);
    server.on("request", (incoming, outgoing) => {
      const { method = "GET", url = "/", headers } = incoming;
      proxy.requests.push({ method, path: url, headers });
      const fault = proxy.faults.shift();
      if (typeof fault === "number") {
        incoming.resume();
        outgoing.writeHead(fault, { "retry-after-ms": "150" }).end();
        return;
      }
      const onward = request(target + url, { method, headers, agent: false }, (answer) => {
        if (fault === "lost") {
          answer.resume().on("end", () => outgoing.destroy());
          return;
        }
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        outgoing.flushHeaders();
        let left = typeof fault === "object" ? fault.cut : Infinity;
        let flipped = fault === "flipped";
        answer.on("data", (piece: Buffer) => {
          if (flipped) piece[0] = (piece[0] ?? 0) ^ 1;
          flipped = false;
          const passed = piece.subarray(0, left);
          left -= piece.length;
          outgoing.write(passed, () => {
            if (left <= 0) outgoing.destroy();
          });
        });
        answer.on("end", () => outgoing.end());
      });
      onward.on("error", () => outgoing.destroy());
      outgoing.on("close", () => onward.destroy());
      incoming.pipe(onward);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}
