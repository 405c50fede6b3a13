/** The installed package against the real server. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import {
  AuthenticationError,
  BadRequestError,
  ConflictError,
  ConnectionFailedError,
  IntegrityError,
  JobCancelledError,
  JobFailedError,
  NotFoundError,
  RateLimitError,
  Trainyard,
  WaitTimeoutError,
  type Job,
} from "trainyard";
import { downloadFile, downloadModel, fileFromPath } from "trainyard/node";

import { chat, long, short } from "./data.js";
import { FaultyProxy } from "./proxy.js";
import { Server } from "./server.js";

let server: Server;
let proxy: FaultyProxy;
let client: Trainyard;
let through: Trainyard;
let path: string;
let trainingFile: string;

before(async () => {
  server = await Server.start();
  proxy = await FaultyProxy.start(server.url);
  client = new Trainyard({ baseUrl: `${server.url}/v1`, apiKey: server.key });
  through = new Trainyard({ baseUrl: proxy.url, apiKey: server.key });
  path = join(server.directory, "train.jsonl");
  writeFileSync(path, chat(40));
  trainingFile = (await client.files.upload(await fileFromPath(path))).id;
});

after(async () => {
  proxy?.stop();
  await server?.stop();
});

async function reached(id: string, status: Job["status"], step = 0): Promise<Job> {
  for (let tries = 0; tries < 1200; tries++) {
    const job = await client.jobs.retrieve(id);
    if (job.status === status && (job.trainyard.progress.step ?? 0) >= step) return job;
    await sleep(50);
  }
  throw new Error(`job ${id} did not become ${status}`);
}

describe("a job", () => {
  let job: Job;

  before(async () => {
    const valid = await client.files.upload(new Blob([chat(8)]), { filename: "valid.jsonl" });
    const told: string[] = [];
    const made = await client.jobs.create(
      short(trainingFile, {
        validation_file: valid.id,
        suffix: "sums",
        seed: 5,
        metadata: { team: "sdk" },
        trainyard: { checkpoint: { every_steps: 2 }, precision: "fp32" },
      }),
    );
    job = await client.jobs.wait(made.id, {
      timeoutMs: 120_000,
      pollMs: 50,
      onProgress: (job) => told.push(`${job.status} ${JSON.stringify(job.trainyard.progress)}`),
    });
    assert.deepEqual([job.status, job.trainyard.progress.step, told.at(-1)?.split(" ")[0]], ["succeeded", 5, "succeeded"]);
    assert.ok(told.every((state, at) => state !== told[at - 1]), "told of nothing new");
  });

  test("is made as asked and succeeds", () => {
    assert.match(job.fine_tuned_model ?? "", /:sums:/);
    assert.deepEqual([job.seed, job.metadata, job.trainyard.precision], [5, { team: "sdk" }, "fp32"]);
    assert.equal(job.trainyard.result?.steps, 5);
  });

  test("has every event once, in pages and in a stream", async () => {
    const whole = await client.jobs.listEvents(job.id, { limit: 1000 }).page();
    assert.ok(!whole.has_more && whole.data.length > 6);
    const ids = whole.data.map((event) => event.id);
    assert.deepEqual((await client.jobs.listEvents(job.id, { limit: 3 }).all()).map((event) => event.id), ids);
    ids.reverse();
    assert.deepEqual(await streamed(client, job.id), ids);
    assert.deepEqual(await streamed(client, job.id, ids[2]), ids.slice(3));
    assert.deepEqual(await streamed(client, job.id, "unknown"), ids);
  });

  test("is found by its metadata", async () => {
    assert.deepEqual((await client.jobs.list({ metadata: { team: "sdk" } }).all()).map((found) => found.id), [job.id]);
    assert.deepEqual(await client.jobs.list({ metadata: { team: "nobody" } }).all(), []);
  });

  test("gives its adapter, checkpoints and results to disk", async () => {
    const out = join(server.directory, "out");
    const paths = await downloadModel(client, job.fine_tuned_model ?? "", join(out, "adapter"));
    assert.ok(paths.some((file) => file.endsWith("adapter_model.safetensors")));
    const checkpoints = await client.jobs.listCheckpoints(job.id, { limit: 1 }).all();
    assert.ok(checkpoints.length >= 2);
    await downloadModel(client, checkpoints[0]?.fine_tuned_model_checkpoint ?? "", join(out, "checkpoint"));
    const result = await downloadFile(client, job.result_files[0] ?? "", join(out, "result.csv"));
    assert.equal(readFileSync(result, "utf8"), await (await client.files.content(job.result_files[0] ?? "")).text());
    assert.deepEqual(readdirSync(out, { recursive: true }).filter((name) => String(name).endsWith(".partial")), []);
  });
});

test("an artifact that arrives changed is refused", async () => {
  const [model] = (await client.models.list().all()).filter((model) => model.id.startsWith("ft:"));
  const folder = join(server.directory, "changed");
  // The list of its files arrives whole, the first of them changed.
  proxy.faults.push({ cut: Infinity }, "flipped");
  await assert.rejects(downloadModel(through, model?.id ?? "", folder), (error: unknown) => {
    assert.ok(error instanceof IntegrityError && error.message.includes("SHA-256"));
    return true;
  });
  assert.deepEqual(readdirSync(folder), []);
});

describe("a running job", () => {
  test("is paused, resumed and cancelled", async () => {
    const made = await client.jobs.create(long(trainingFile));
    await reached(made.id, "running", 1);
    await client.jobs.pause(made.id);
    const paused = await reached(made.id, "paused");
    await client.jobs.resume(made.id);
    await reached(made.id, "running", (paused.trainyard.progress.step ?? 0) + 1);
    await client.jobs.cancel(made.id);
    await assert.rejects(client.jobs.wait(made.id, { timeoutMs: 30_000, pollMs: 50 }), JobCancelledError);
  });

  test("is waited for until a time or an abort", async () => {
    const made = await client.jobs.create(long(trainingFile));
    await assert.rejects(client.jobs.wait(made.id, { timeoutMs: 300, pollMs: 100 }), WaitTimeoutError);
    const signal = AbortSignal.timeout(300);
    await assert.rejects(client.jobs.wait(made.id, { pollMs: 30_000, signal, cancelOnAbort: true }), { name: "TimeoutError" });
    await reached(made.id, "cancelled");
  });

  test("is followed through broken connections", async () => {
    const made = await client.jobs.create(short(trainingFile));
    proxy.faults.push({ cut: 700 }, 503, { cut: 900 }, { cut: 0 });
    const ids = await streamed(through, made.id);
    assert.equal(proxy.faults.length, 0, "the faults did not happen");
    assert.ok(proxy.requests.at(-1)?.headers["last-event-id"]);
    assert.deepEqual(ids, (await client.jobs.listEvents(made.id).all()).map((event) => event.id).reverse());
  });

  test("is waited for while the server is away", async () => {
    const made = await client.jobs.create(short(trainingFile));
    let away = Array.from({ length: 6 }, () => 503);
    const onProgress = () => {
      proxy.faults.push(...away);
      away = [];
    };
    assert.equal((await through.jobs.wait(made.id, { timeoutMs: 120_000, pollMs: 50, onProgress })).status, "succeeded");
    assert.equal(proxy.faults.length, 0);
  });

  test("that fails says where", async () => {
    const broken = await client.files.upload(new Blob(['{"messages": [{"role": "nobody", "content": "x"}]}\n']));
    const made = await client.jobs.create(short(broken.id));
    await assert.rejects(client.jobs.wait(made.id, { pollMs: 50, timeoutMs: 60_000 }), (error: unknown) => {
      assert.ok(error instanceof JobFailedError && error.code && error.param === "training_file");
      return true;
    });
  });
});

describe("files", () => {
  const line = '{"prompt": "a line of a large file", "completion": "of 64 bytes"}\n';

  test("go up and come back", async () => {
    const file = await client.files.upload(await fileFromPath(path), { expiresAfterSeconds: 3600 });
    assert.deepEqual([file.filename, file.bytes, file.expires_at], ["train.jsonl", chat(40).length, file.created_at + 3600]);
    assert.equal(await (await client.files.content(file.id)).text(), chat(40));
    assert.ok((await client.files.delete(file.id)).deleted);
    await assert.rejects(client.files.retrieve(file.id), NotFoundError);
  });

  test("go in parts that are repeated", async () => {
    const large = join(server.directory, "large.jsonl");
    writeFileSync(large, line.repeat(10_000));
    proxy.faults.push({ cut: Infinity }, "lost", { cut: Infinity }, 503);
    const told: number[] = [];
    const file = await through.files.upload(await fileFromPath(large), {
      inPartsFrom: 1,
      partBytes: 200_000,
      onProgress: (sent) => told.push(sent),
    });
    assert.equal(proxy.faults.length, 0);
    assert.deepEqual([file.bytes, told.at(-1), told.length], [line.length * 10_000, line.length * 10_000, 4]);
    assert.equal(await (await client.files.content(file.id)).text(), line.repeat(10_000));
  });

  test("whose download breaks begin again", async () => {
    const target = join(server.directory, "again.jsonl");
    proxy.faults.push({ cut: 1000 }, { cut: 0 });
    await downloadFile(through, trainingFile, target);
    assert.equal(readFileSync(target, "utf8"), chat(40));
  });
});

describe("errors and repeats", () => {
  test("a refusal names field, code and request", async () => {
    const refused = async (body: object) => {
      const error: unknown = await client.jobs.create(body as never).catch((error: unknown) => error);
      assert.ok(error instanceof BadRequestError && error.requestId);
      return [error.status, error.code, error.param];
    };
    const base = { model: "tiny", training_file: trainingFile };
    assert.deepEqual(await refused({ ...base, hyperparameters: { n_epochs: 1000 } }), [400, "invalid_value", "hyperparameters.n_epochs"]);
    assert.deepEqual(await refused({ ...base, trainyard: { adaptor: {} } }), [400, "unknown_parameter", "trainyard.adaptor"]);
  });

  test("each status has its class", async () => {
    await assert.rejects(client.jobs.retrieve("ftjob-000000000000000000000000"), NotFoundError);
    await assert.rejects(new Trainyard({ baseUrl: server.url, apiKey: "tyk_wrong" }).models.list().all(), AuthenticationError);
    const made = await client.jobs.create(short(trainingFile));
    await client.jobs.wait(made.id, { pollMs: 50, timeoutMs: 60_000 });
    await assert.rejects(client.jobs.resume(made.id), ConflictError);
    const nowhere = new Trainyard({ baseUrl: "http://127.0.0.1:1", apiKey: "x", maxRetries: 0 });
    await assert.rejects(nowhere.health.live(), ConnectionFailedError);
    assert.throws(() => client.jobs.retrieve(""), TypeError);
  });

  test("busy answers are repeated after what they ask", async () => {
    proxy.faults.push(429, 503);
    const begin = Date.now();
    assert.equal((await through.models.list().all())[0]?.id, "tiny");
    assert.ok(Date.now() - begin >= 300);
    proxy.faults.push(429, 429, 429);
    await assert.rejects(through.models.list().page(), (error: unknown) => error instanceof RateLimitError && error.retryAfterMs === 150);
  });

  test("a lost answer makes no second job", async () => {
    proxy.faults.push("lost");
    const made = await through.jobs.create(short(trainingFile, { metadata: { lost: "answer" } }));
    const keys = proxy.requests.slice(-2).map((request) => request.headers["idempotency-key"]);
    assert.ok(keys[0] && keys[0] === keys[1]);
    assert.deepEqual((await client.jobs.list({ metadata: { lost: "answer" } }).all()).map((job) => job.id), [made.id]);
  });

  test("a key of one's own makes one job", async () => {
    const once = { idempotencyKey: "once-only" };
    const first = await client.jobs.create(short(trainingFile), once);
    assert.equal((await client.jobs.create(short(trainingFile), once)).id, first.id);
    await assert.rejects(client.jobs.create(short(trainingFile, { seed: 9 }), once), { code: "idempotency_key_reused" });
  });
});

async function streamed(from: Trainyard, id: string, lastEventId?: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const event of from.jobs.streamEvents(id, { lastEventId })) ids.push(event.id);
  return ids;
}
