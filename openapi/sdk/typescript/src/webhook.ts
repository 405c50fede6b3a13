/** Webhooks on the side that receives them: the signature checked as Standard Webhooks has it, then the event. */

import { TrainyardError } from "./errors.js";
import type { EventType } from "./generated/types.js";

/** What arrived was not signed with the secret, or was signed too long ago: answer 400 and do nothing. */
export class WebhookVerificationError extends TrainyardError {}

/** What happened. It is thin: fetch the job for more. `id` is the same at every attempt, so that repeats can be told. */
export interface WebhookEvent {
  id: string;
  type: EventType;
  created_at: number;
  data: { id: string };
}

/** Headers as `fetch` has them, or as Node's `http` has them. */
export type WebhookHeaders = Headers | Record<string, string | string[] | undefined>;

/**
 * The event of a request, once its signature holds.
 *
 * @param body The body as it arrived, to the byte.
 * @param secret The endpoint's secret, `whsec_` and base64.
 * @param options.toleranceSeconds How far the time of the signature may be from now, on either side; 300 where left out.
 * @param options.now Unix seconds; the clock's where left out.
 */
export async function verifyWebhook(
  body: string | Uint8Array,
  headers: WebhookHeaders,
  secret: string,
  options: { toleranceSeconds?: number; now?: number } = {},
): Promise<WebhookEvent> {
  const { toleranceSeconds = 300, now = Date.now() / 1000 } = options;
  const [id, timestamp, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => header(headers, name));
  if (!id || !timestamp || !signatures) throw new WebhookVerificationError("the request lacks webhook-id, -timestamp or -signature");
  // Not a number is not within it either.
  if (!(Math.abs(now - Number(timestamp)) <= toleranceSeconds)) {
    throw new WebhookVerificationError(`the signature is more than ${toleranceSeconds} s away from now`);
  }
  const content = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const head = new TextEncoder().encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.length + content.length);
  signed.set(head);
  signed.set(content, head.length);
  const key = await crypto.subtle.importKey("raw", bytes(secret.replace(/^whsec_/, "")), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  // While a secret is being replaced there is one signature for each. `verify` takes the same time for every wrong one.
  for (const one of signatures.split(" ")) {
    if (one.startsWith("v1,") && (await crypto.subtle.verify("HMAC", key, bytes(one.slice(3)), signed))) {
      return JSON.parse(new TextDecoder().decode(content)) as WebhookEvent;
    }
  }
  throw new WebhookVerificationError("no signature of the request is that of the secret");
}

function header(headers: WebhookHeaders, name: string): string | undefined {
  if (headers instanceof Headers) return headers.get(name) ?? undefined;
  const found = Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  return Array.isArray(found) ? found.join(" ") : found;
}

function bytes(base64: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    throw new WebhookVerificationError("the secret or a signature is no base64");
  }
}
