/** What needs a file system: uploads from disk, downloads to disk. */

import { createHash } from "node:crypto";
import { createReadStream, openAsBlob } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";

import type { Trainyard } from "./client.js";
import { ConnectionFailedError, IntegrityError } from "./errors.js";
import type { UploadSource } from "./files.js";
import type { RequestOptions } from "./transport.js";

/** A file on disk for `client.files.upload`: read in pieces while it is sent, never whole. */
export async function fileFromPath(path: string): Promise<UploadSource> {
  return { blob: await openAsBlob(path), name: basename(path), md5: () => md5Of(path) };
}

/** Download a file, such as a job's result file, to `target`. It is there only when it is whole. */
export async function downloadFile(client: Trainyard, fileId: string, target: string, options: RequestOptions = {}): Promise<string> {
  await save(() => client.files.content(fileId, options), target, options.signal);
  return target;
}

/**
 * Download all files of a model or checkpoint into a directory, which is made where it is not there, each checked against its
 * SHA-256. A checkpoint goes by its `fine_tuned_model_checkpoint`. PEFT loads the directory as it is.
 */
export async function downloadModel(
  client: Trainyard,
  model: string,
  directory: string,
  options: RequestOptions = {},
): Promise<string[]> {
  await mkdir(directory, { recursive: true });
  const paths: string[] = [];
  for await (const { name } of client.models.listArtifacts(model, options)) {
    if (basename(name) !== name) throw new IntegrityError(`${JSON.stringify(name)} is no name of a file`);
    const target = join(directory, name);
    await save(() => client.models.artifactContent(model, name, options), target, options.signal);
    paths.push(target);
  }
  return paths;
}

/** Streams an answer to disk under another name, checks it, and gives it its own. One that broke in the middle begins again. */
async function save(fetched: () => Promise<Response>, target: string, signal?: AbortSignal): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const response = await fetched();
    try {
      return await write(response, target);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      // A broken stream is a TypeError of fetch; what the disk refuses has a code.
      if (!(error instanceof TypeError)) throw error;
      if (attempt === 2) throw new ConnectionFailedError(`${basename(target)}: the download broke (${String(error.cause)})`, { cause: error });
    }
  }
}

async function write(response: Response, target: string): Promise<void> {
  const partial = `${target}.partial`;
  const digest = createHash("sha256");
  let size = 0;
  const file = await open(partial, "w");
  try {
    for await (const piece of response.body ?? []) {
      digest.update(piece);
      size += piece.length;
      await file.writeFile(piece);
    }
    await file.sync();
    await file.close();
    const length = response.headers.get("content-length");
    if (length !== null && !response.headers.has("content-encoding") && Number(length) !== size) {
      throw new IntegrityError(`${basename(target)}: ${size} of ${length} bytes arrived`);
    }
    const tag = response.headers.get("etag")?.replaceAll('"', "") ?? "";
    const found = digest.digest("hex");
    if (/^[0-9a-f]{64}$/.test(tag) && tag !== found) {
      throw new IntegrityError(`${basename(target)}: SHA-256 is ${found}, the server's is ${tag}`);
    }
    await rename(partial, target);
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(partial, { force: true });
    throw error;
  }
}

async function md5Of(path: string): Promise<string> {
  const digest = createHash("md5");
  for await (const piece of createReadStream(path)) digest.update(piece as Buffer);
  return digest.digest("hex");
}
