/** When a request is tried again, and after how long. */

const FIRST_MS = 500;
const MOST_MS = 8_000;
/** A server that asks for more than this gets its error handed to the caller. */
const WAIT_MAX_MS = 120_000;
const REPEATED = new Set([408, 429, 500, 502, 503, 504]);

/** What `retry-after-ms` or `retry-after` (seconds or a date) asks for; `null` where neither can be read. */
export function retryAfterMs(headers: Headers, now = Date.now()): number | null {
  const milliseconds = Number.parseFloat(headers.get("retry-after-ms") ?? "");
  if (!Number.isNaN(milliseconds)) return Math.max(0, milliseconds);
  const text = headers.get("retry-after");
  if (text === null) return null;
  const value = /^\s*[\d.]+\s*$/.test(text) ? Number.parseFloat(text) * 1000 : Date.parse(text) - now;
  return Number.isNaN(value) ? null : Math.max(0, value);
}

/** Whether an answer may be asked for again: the server's `x-should-retry` decides, else the status. */
export function mayRepeat(status: number, headers: Headers): boolean {
  const said = headers.get("x-should-retry");
  return said === "true" || said === "false" ? said === "true" : REPEATED.has(status);
}

/** Milliseconds before the repeat after `attempt` (from 0); `null` where the server asks for too long a wait. */
export function pauseMs(attempt: number, asked: number | null = null): number | null {
  if (asked !== null) return asked <= WAIT_MAX_MS ? asked : null;
  return Math.min(FIRST_MS * 2 ** attempt, MOST_MS) * (0.75 + Math.random() / 4);
}

/** Sleeps; throws the signal's reason when it is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stopped = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stopped);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stopped, { once: true });
  });
}
