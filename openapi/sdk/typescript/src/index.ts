/** Client of Trainyard for Node 20.3+ and browsers. What needs a file system is in `trainyard/node`. */

export { Trainyard, type ClientOptions } from "./client.js";
export * from "./errors.js";
export { type UploadOptions, type UploadSource } from "./files.js";
export type * from "./generated/types.js";
export { type StreamOptions, type WaitOptions } from "./jobs.js";
export { type Page, type Pages } from "./pages.js";
export { type RequestOptions } from "./transport.js";
export { WebhookVerificationError, verifyWebhook, type WebhookEvent, type WebhookHeaders } from "./webhook.js";
