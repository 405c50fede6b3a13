/** The client. */

import { TrainyardError } from "./errors.js";
import { Files, Uploads } from "./files.js";
import { HealthResource, ModelsResource, TenantsResource, UsageResource, WebhooksResource } from "./generated/resources.js";
import { Jobs } from "./jobs.js";
import { Transport } from "./transport.js";

/** Where the server is and how requests go to it. */
export interface ClientOptions {
  /** The server, with or without `/v1`; else TRAINYARD_URL, else OPENAI_BASE_URL, else http://127.0.0.1:8420. */
  baseUrl?: string;
  /** The key; else TRAINYARD_API_KEY, else OPENAI_API_KEY where OPENAI_BASE_URL gave the server. */
  apiKey?: string;
  /** Milliseconds until an answer has to begin; 60,000 where left out. */
  timeoutMs?: number;
  /** How often a request is sent again after 408, 429, 5xx or a broken connection; 2 where left out. */
  maxRetries?: number;
  /** An own `fetch`, for proxies or certificates. */
  fetch?: typeof fetch;
}

/** A client of one server with one API key. */
export class Trainyard {
  readonly baseUrl: string;
  readonly files: Files;
  readonly uploads: Uploads;
  readonly jobs: Jobs;
  readonly models: ModelsResource;
  readonly usage: UsageResource;
  readonly webhooks: WebhooksResource;
  readonly tenants: TenantsResource;
  readonly health: HealthResource;

  constructor(options: ClientOptions = {}) {
    const { baseUrl, apiKey } = resolve(options);
    this.baseUrl = baseUrl;
    const transport = new Transport({
      baseUrl,
      apiKey,
      timeoutMs: options.timeoutMs ?? 60_000,
      maxRetries: options.maxRetries ?? 2,
      fetch: options.fetch ?? ((input, init) => fetch(input, init)),
    });
    this.files = new Files(transport);
    this.uploads = new Uploads(transport);
    this.jobs = new Jobs(transport);
    this.models = new ModelsResource(transport);
    this.usage = new UsageResource(transport);
    this.webhooks = new WebhooksResource(transport);
    this.tenants = new TenantsResource(transport);
    this.health = new HealthResource(transport);
  }
}

/** OPENAI_API_KEY counts only beside OPENAI_BASE_URL, so that OpenAI's key goes nowhere else. */
function resolve(options: ClientOptions): { baseUrl: string; apiKey: string } {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  const env = process?.env ?? {};
  let url = options.baseUrl || env.TRAINYARD_URL;
  let key = options.apiKey || env.TRAINYARD_API_KEY;
  if (!url && env.OPENAI_BASE_URL) {
    url = env.OPENAI_BASE_URL;
    key ||= env.OPENAI_API_KEY;
  }
  url = (url || "http://127.0.0.1:8420").replace(/\/+$/, "").replace(/\/v1$/, "");
  if (!/^https?:\/\//.test(url)) throw new TrainyardError(`the base URL has to begin with http:// or https://, not "${url}"`);
  if (!key) throw new TrainyardError("no API key: give apiKey, or set TRAINYARD_API_KEY (or OPENAI_BASE_URL and OPENAI_API_KEY)");
  return { baseUrl: url, apiKey: key };
}
