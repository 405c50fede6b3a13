/** Jobs: waiting for their end, and following their events. */

import {
  ApiError,
  ConnectionFailedError,
  JobCancelledError,
  JobFailedError,
  RateLimitError,
  ServerError,
  WaitTimeoutError,
  apiError,
} from "./errors.js";
import { JobsResource } from "./generated/resources.js";
import type { Job, JobEvent } from "./generated/types.js";
import { segment } from "./resource.js";
import { pauseMs, sleep } from "./retry.js";
import { Decoder, type Message } from "./sse.js";
import { failure } from "./transport.js";

/** The server says something every 15 s, so silence three times as long is a dead connection. */
const SILENCE_MS = 45_000;
const OUTAGE_MS = 120_000;
/** The status of errors that end a stream, which has answered 200 before. */
const ENDS: Record<string, number> = { invalid_api_key: 401, insufficient_scope: 403, tenant_suspended: 403, not_found: 404 };

/** How `wait` waits. */
export interface WaitOptions {
  /** Milliseconds to wait at most. */
  timeoutMs?: number;
  /** Milliseconds between two looks; 1000 where left out. */
  pollMs?: number;
  /** Called with the job at first and whenever its status or progress has changed. */
  onProgress?: (job: Job) => void;
  /** Ends the wait when it is aborted; the job goes on unless `cancelOnAbort`. */
  signal?: AbortSignal;
  /** Whether the job is cancelled when `signal` ends the wait. */
  cancelOnAbort?: boolean;
  /** Milliseconds that the server may be away; two minutes where left out. */
  outageMs?: number;
}

/** How `streamEvents` follows. */
export interface StreamOptions {
  /** Begin after this event. */
  lastEventId?: string;
  /** Ends the stream when it is aborted. */
  signal?: AbortSignal;
  /** Milliseconds that the server may be away; two minutes where left out. */
  outageMs?: number;
}

/** The operations of `client.jobs`. */
export class Jobs extends JobsResource {
  /**
   * Wait until a job has succeeded, and return it. A server that restarts meanwhile is waited for.
   *
   * @throws JobFailedError, JobCancelledError, WaitTimeoutError, or the signal's reason.
   */
  async wait(jobId: string, options: WaitOptions = {}): Promise<Job> {
    const { timeoutMs, pollMs = 1_000, onProgress, signal, cancelOnAbort = false, outageMs = OUTAGE_MS } = options;
    const begin = Date.now();
    let heard = begin;
    let seen = "";
    const look = { signal };
    try {
      let job = await this.retrieve(jobId, look);
      for (;;) {
        const state = JSON.stringify([job.status, job.trainyard.progress]);
        if (state !== seen) onProgress?.(job);
        seen = state;
        if (job.status === "succeeded") return job;
        if (job.status === "failed") throw new JobFailedError(job);
        if (job.status === "cancelled") throw new JobCancelledError(job);
        const left = timeoutMs === undefined ? pollMs : Math.min(pollMs, begin + timeoutMs - Date.now());
        if (timeoutMs !== undefined && left <= 0) throw new WaitTimeoutError(job, timeoutMs);
        await sleep(left, signal);
        try {
          job = await this.retrieve(jobId, look);
          heard = Date.now();
        } catch (error) {
          if (!transient(error) || Date.now() - heard > outageMs) throw error;
        }
      }
    } catch (error) {
      if (cancelOnAbort && signal?.aborted && error === signal.reason) await this.cancel(jobId);
      throw error;
    }
  }

  /**
   * Follow a job: its events so far, oldest first, and then each as it happens, until the job has ended. A connection that breaks
   * is made again after the last event, so that none is lost and none comes twice.
   */
  async *streamEvents(jobId: string, options: StreamOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
    const { signal, outageMs = OUTAGE_MS } = options;
    let last = options.lastEventId;
    let heard = Date.now();
    const seen = new Set<string>();
    for (let attempt = 0; ; attempt++) {
      let asked: number | null = null;
      try {
        for await (const message of this.messages(jobId, last, signal)) {
          heard = Date.now();
          attempt = 0;
          if (message === null) continue;
          if (message.data === "[DONE]") return;
          const event = eventOf(message);
          if (event === null || seen.has(event.id)) continue;
          seen.add(event.id);
          last = event.id;
          yield event;
        }
      } catch (error) {
        if (!transient(error) || Date.now() - heard > outageMs) throw error;
        if (error instanceof ApiError) asked = error.retryAfterMs;
      }
      await sleep(pauseMs(Math.min(attempt, 5), asked) ?? 8_000, signal);
    }
  }

  /** The messages of one connection; `null` for a sign of life. */
  private async *messages(jobId: string, last: string | undefined, signal?: AbortSignal): AsyncGenerator<Message | null> {
    const silent = new AbortController();
    const both = signal ? AbortSignal.any([signal, silent.signal]) : silent.signal;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const watch = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(new ConnectionFailedError(`silent for ${SILENCE_MS} ms`)), SILENCE_MS);
    };
    try {
      watch();
      const response = await this.transport.send(
        {
          method: "GET",
          path: `/v1/fine_tuning/jobs/${segment(jobId)}/events`,
          query: { stream: true },
          headers: { accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}) },
        },
        { signal: both, maxRetries: 0 },
      );
      const decoder = new Decoder();
      const reader = response.body?.getReader();
      if (!reader) return;
      try {
        for (;;) {
          watch();
          const { done, value } = await reader.read();
          if (done) return;
          yield null;
          yield* decoder.feed(value);
        }
      } finally {
        await reader.cancel().catch(() => undefined);
      }
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw error instanceof ApiError ? error : failure(error);
    } finally {
      clearTimeout(timer);
    }
  }
}

function transient(error: unknown): boolean {
  return error instanceof ConnectionFailedError || error instanceof ServerError || error instanceof RateLimitError;
}

/** The job's event in a message; `null` where it is another message; throws where the server ended the stream with an error. */
function eventOf(message: Message): JobEvent | null {
  if (message.event === "error") {
    const body = JSON.parse(message.data) as { error?: { code?: string } };
    throw apiError(ENDS[body.error?.code ?? ""] ?? 500, body);
  }
  return message.event === "fine_tuning.job.event" ? (JSON.parse(message.data) as JobEvent) : null;
}
