/** A server in a process of its own, on a free loopback port, in a directory of its own, with the tiny model. */

import { spawn, type ChildProcess } from "node:child_process";
import { cpSync, mkdtempSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A running server; `stop` ends its process and nothing else. */
export class Server {
  private constructor(
    readonly url: string,
    readonly key: string,
    readonly directory: string,
    private readonly child: ChildProcess,
  ) {}

  static async start(): Promise<Server> {
    const { TRAINYARD_BIN: program, TINY_MODEL: model, PATH } = process.env;
    if (!program || !model) throw new Error("TRAINYARD_BIN names the server, TINY_MODEL the directory of the tiny model");
    const directory = mkdtempSync(join(tmpdir(), "trainyard-"));
    cpSync(model, join(directory, "data/models/tiny"), { recursive: true });
    const log = join(directory, "server.log");
    const flags = ["--listen", "127.0.0.1:0", "--data-dir", "data", "--bootstrap-key-file", "key", "--log-format", "json"];
    const child = spawn(program, ["serve", ...flags], {
      cwd: directory,
      stdio: ["ignore", "ignore", openSync(log, "w")],
      env: { PATH, OMP_NUM_THREADS: "1" },
    });
    for (let tries = 0; tries < 600 && child.exitCode === null; tries++) {
      for (const line of readFileSync(log, "utf8").split("\n")) {
        const fields = line.endsWith("}") ? (JSON.parse(line) as { fields?: { message?: string; address?: string } }).fields : undefined;
        if (fields?.message === "serving") {
          return new Server(`http://${fields.address}`, readFileSync(join(directory, "key"), "utf8").trim(), directory, child);
        }
      }
      await sleep(50);
    }
    child.kill();
    throw new Error(`the server did not start:\n${readFileSync(log, "utf8")}`);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill();
    await ended;
  }
}
