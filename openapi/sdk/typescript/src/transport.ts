/** Sends calls: authentication, repeats, typed errors. */

import { ApiError, ConnectionFailedError, RequestTimeoutError, apiError } from "./errors.js";
import { mayRepeat, pauseMs, retryAfterMs, sleep } from "./retry.js";

/** What every method takes. */
export interface RequestOptions {
  /** Ends the request, and waits between its repeats, when it is aborted. */
  signal?: AbortSignal;
  /** Milliseconds until the answer has to begin; that of the client where left out. Uploads have none unless it is given. */
  timeoutMs?: number;
  /** Of a POST: the same request under the same key is done once. Drawn for each call where left out. */
  idempotencyKey?: string;
  /** How often it is sent again; as the client says where left out. */
  maxRetries?: number;
}

/** A request as data, with all that a repeat needs. */
export interface Call {
  method: string;
  path: string;
  query?: Record<string, string | number | boolean | Record<string, string> | undefined>;
  body?: object;
  form?: FormData;
  headers?: Record<string, string>;
}

/** What a transport is made of. */
export interface TransportSettings {
  baseUrl: string;
  apiKey: string;
  timeoutMs: number;
  maxRetries: number;
  fetch: typeof fetch;
}

/** Sends requests to one server with one key. */
export class Transport {
  constructor(private readonly settings: TransportSettings) {}

  /** Sends the call and reads its JSON answer. */
  async json<T>(call: Call, options: RequestOptions = {}): Promise<T> {
    const response = await this.send(call, options);
    try {
      return (await response.json()) as T;
    } catch (error) {
      throw failure(error, options.signal);
    }
  }

  /** Sends the call, again where that may help, and gives the answer before its body is read. */
  async send(call: Call, options: RequestOptions = {}): Promise<Response> {
    const retries = options.maxRetries ?? this.settings.maxRetries;
    const headers: Record<string, string> = { ...call.headers, authorization: `Bearer ${this.settings.apiKey}` };
    if (call.body) headers["content-type"] = "application/json";
    // Once for all attempts, so that a repeat after a lost answer does nothing twice.
    if (call.method === "POST") headers["idempotency-key"] = options.idempotencyKey ?? randomKey();
    for (let attempt = 0; ; attempt++) {
      const last = attempt >= retries;
      let wait: number | null;
      try {
        const response = await this.once(call, headers, options);
        if (response.ok) return response;
        const error = await refused(response);
        wait = pauseMs(attempt, error.retryAfterMs);
        if (last || wait === null || !mayRepeat(response.status, response.headers)) throw error;
      } catch (error) {
        if (error instanceof ApiError) throw error;
        const failed = failure(error, options.signal);
        if (last || !(failed instanceof ConnectionFailedError)) throw failed;
        wait = pauseMs(attempt) ?? 0;
      }
      await sleep(wait, options.signal);
    }
  }

  private async once(call: Call, headers: Record<string, string>, options: RequestOptions): Promise<Response> {
    options.signal?.throwIfAborted();
    const timeoutMs = options.timeoutMs ?? (call.form ? undefined : this.settings.timeoutMs);
    const late = new AbortController();
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => late.abort(new RequestTimeoutError(`no answer within ${timeoutMs} ms`)), timeoutMs);
    try {
      const { fetch } = this.settings;
      return await fetch(this.url(call), {
        method: call.method,
        headers,
        body: call.body ? JSON.stringify(call.body) : (call.form ?? null),
        signal: options.signal ? AbortSignal.any([options.signal, late.signal]) : late.signal,
      });
    } finally {
      clearTimeout(timer);
    }
  }

  private url(call: Call): string {
    const pairs = new URLSearchParams();
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (typeof value === "object") {
        for (const [key, entry] of Object.entries(value)) pairs.append(`${name}[${key}]`, entry);
      } else if (value !== undefined) {
        pairs.append(name, String(value));
      }
    }
    const query = pairs.toString();
    return this.settings.baseUrl + call.path + (query ? `?${query}` : "");
  }
}

/** What is thrown where no answer came or it broke; an abort of the caller's own is left as it is. */
export function failure(error: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason;
  if (error instanceof ConnectionFailedError) return error;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return new ConnectionFailedError(`no answer from the server (${String(cause)})`, { cause: error });
}

async function refused(response: Response): Promise<ApiError> {
  const text = await response.text();
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = null;
  }
  return apiError(response.status, body, response.headers.get("x-request-id"), retryAfterMs(response.headers));
}

/** 128 random bits. Not `randomUUID`, which browsers have on secure pages alone. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
