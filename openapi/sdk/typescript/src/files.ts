/** Files: uploads, whole or in parts. */

import { IntegrityError } from "./errors.js";
import { FilesResource, UploadsResource } from "./generated/resources.js";
import type { File as TrainyardFile, UploadPart } from "./generated/types.js";
import { segment } from "./resource.js";
import type { RequestOptions, Transport } from "./transport.js";

/** Something to upload: in browsers a `File` or `Blob`; on Node what `fileFromPath` of `trainyard/node` gives. */
export interface UploadSource {
  /** The bytes, read while they are sent. */
  blob: Blob;
  /** The file's name. */
  name?: string;
  /** MD5 of the bytes in hexadecimal, which the server then checks; asked for where the file goes in parts. */
  md5?: () => Promise<string>;
}

/** How `upload` uploads. */
export interface UploadOptions extends RequestOptions {
  /** The file's name; that of the source where left out. */
  filename?: string;
  /** When the server deletes it by itself, 3600 to 2592000 seconds later; never where left out. */
  expiresAfterSeconds?: number;
  /** Bytes from which it goes in parts, 64 MiB where left out; one request takes 512 MiB at most. */
  inPartsFrom?: number;
  /** Bytes of a part, 32 MiB where left out, 64 MiB at most. */
  partBytes?: number;
  /** Called after each part with the bytes sent so far and all of them. */
  onProgress?: (sent: number, total: number) => void;
}

const PURPOSE = "fine-tune";

/** Uploads in parts. `client.files.upload` does all of it. */
export class Uploads extends UploadsResource {
  /** Add a part to an upload: up to 64 MiB. */
  addPart(uploadId: string, data: Blob, options: RequestOptions = {}): Promise<UploadPart> {
    const form = new FormData();
    form.append("data", data, "part");
    return this.transport.json<UploadPart>({ method: "POST", path: `/v1/uploads/${segment(uploadId)}/parts`, form }, options);
  }
}

/** The operations of `client.files`. */
export class Files extends FilesResource {
  private readonly uploads: Uploads;

  constructor(transport: Transport) {
    super(transport);
    this.uploads = new Uploads(transport);
  }

  /**
   * Upload training data. A large file goes in parts, each repeated by itself where the connection breaks.
   * An `idempotencyKey` counts only for a file that goes in one request.
   */
  async upload(source: Blob | UploadSource, options: UploadOptions = {}): Promise<TrainyardFile> {
    const { blob, name, md5 }: UploadSource = source instanceof Blob ? { blob: source, name: nameOf(source) } : source;
    const filename = options.filename ?? name ?? "data.jsonl";
    const { inPartsFrom = 64 * 2 ** 20, partBytes = 32 * 2 ** 20, expiresAfterSeconds: seconds, onProgress } = options;
    if (blob.size < inPartsFrom) {
      const form = new FormData();
      form.append("purpose", PURPOSE);
      if (seconds !== undefined) {
        form.append("expires_after[anchor]", "created_at");
        form.append("expires_after[seconds]", String(seconds));
      }
      form.append("file", blob, filename);
      const file = await this.transport.json<TrainyardFile>({ method: "POST", path: "/v1/files", form }, options);
      onProgress?.(blob.size, blob.size);
      return file;
    }
    const each: RequestOptions = { ...options, idempotencyKey: undefined };
    const expires = seconds === undefined ? {} : { expires_after: { anchor: "created_at", seconds } };
    const begin = { filename, purpose: PURPOSE, bytes: blob.size, mime_type: "application/jsonl", ...expires };
    const upload = await this.uploads.create(begin, each);
    try {
      const parts: string[] = [];
      for (let start = 0; start < blob.size; start += partBytes) {
        const end = Math.min(start + partBytes, blob.size);
        parts.push((await this.uploads.addPart(upload.id, blob.slice(start, end), each)).id);
        onProgress?.(end, blob.size);
      }
      const sum = md5 ? { md5: await md5() } : {};
      const done = await this.uploads.complete(upload.id, { part_ids: parts, ...sum }, each);
      if (!done.file) throw new IntegrityError(`upload ${upload.id} was completed without a file`);
      return done.file;
    } catch (error) {
      // The parts go at once rather than in an hour, if the server can be told.
      await this.uploads.cancel(upload.id, { timeoutMs: 5_000 }).catch(() => undefined);
      throw error;
    }
  }
}

function nameOf(blob: Blob): string | undefined {
  return "name" in blob && typeof blob.name === "string" ? blob.name : undefined;
}
