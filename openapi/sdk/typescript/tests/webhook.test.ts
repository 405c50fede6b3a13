/** The signature of the example that the Standard Webhooks specification publishes, and what differs from it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { WebhookVerificationError, verifyWebhook } from "trainyard";

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const body = '{"test": 2432232314}';
const now = 1_614_265_330;
const headers = {
  "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
  "Webhook-Timestamp": String(now),
  "Webhook-Signature": "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
};

test("the published signature holds", async () => {
  assert.deepEqual(await verifyWebhook(body, headers, secret, { now }), { test: 2432232314 });
  assert.ok(await verifyWebhook(new TextEncoder().encode(body), new Headers(headers), secret, { now }));
});

test("nothing else does", async () => {
  const wrong: [string, Record<string, string>, string, number][] = [
    [body, headers, secret, now + 301],
    [body, headers, secret, now - 301],
    [body, { ...headers, "Webhook-Timestamp": "soon" }, secret, now],
    [body, { ...headers, "Webhook-Id": "msg_other" }, secret, now],
    [body, { ...headers, "Webhook-Signature": "" }, secret, now],
    [`${body} `, headers, secret, now],
    [body, headers, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", now],
  ];
  for (const [text, sent, key, at] of wrong) {
    await assert.rejects(verifyWebhook(text, sent, key, { now: at }), WebhookVerificationError);
  }
});
