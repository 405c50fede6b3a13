// Generated from the API's OpenAPI document by openapi/sdk/generate/typescript.py: do not change.

import { Pages } from "../pages.js";
import { Resource, segment } from "../resource.js";
import type { RequestOptions } from "../transport.js";
import type {
  Artifact,
  AuditEvent,
  CompleteUpload,
  CreateJob,
  CreateKey,
  CreateTenant,
  CreateUpload,
  CreateWebhook,
  Deleted,
  DeletedFile,
  DeletedTenant,
  ErasureReceipt,
  File,
  FilePrivacy,
  Health,
  Job,
  JobCheckpoint,
  JobEvent,
  Lineage,
  Link,
  Model,
  ModelLineage,
  Order,
  Preflight,
  Purpose,
  RotateKey,
  SetPrivacyBudget,
  Tenant,
  TenantKey,
  UpdateTenant,
  UpdateWebhook,
  Upload,
  Usage,
  Webhook,
  WebhookDelivery,
} from "./types.js";

/** The operations of `client.health`. */
export class HealthResource extends Resource {
  /**
   * Is the process alive?
   *
   * Touches nothing else: a store that does not answer is no reason to restart the server.
   */
  live(options: RequestOptions = {}): Promise<Health> {
    return this.transport.json<Health>({ method: "GET", path: "/healthz/live" }, options);
  }

  /**
   * Can it serve requests?
   *
   * Yes where the store answers.
   */
  ready(options: RequestOptions = {}): Promise<Health> {
    return this.transport.json<Health>({ method: "GET", path: "/healthz/ready" }, options);
  }
}

/** The operations of `client.files`. */
export class FilesResource extends Resource {
  /**
   * List files.
   *
   * Newest first unless asked otherwise.
   *
   * @param query.purpose Only files with this purpose.
   * @param query.after The last id of the page before.
   * @param query.limit 1 to 10000; 10000 where left out.
   * @param query.order By time of upload; desc where left out.
   */
  list(query: { purpose?: Purpose; after?: string; limit?: number; order?: Order } = {}, options: RequestOptions = {}): Pages<File> {
    return new Pages<File>(this.transport, { method: "GET", path: "/v1/files", query }, options);
  }

  /**
   * Retrieve a file.
   *
   * What is known of it, without its content.
   */
  retrieve(fileId: string, options: RequestOptions = {}): Promise<File> {
    return this.transport.json<File>({ method: "GET", path: `/v1/files/${segment(fileId)}` }, options);
  }

  /**
   * Delete a file.
   *
   * Refused while a job that has not ended reads it. The answer names what was trained on the file, which stays: with `cascade=true` it
   * goes too, with checkpoints, models, result files, events and kept answers, and the answer holds a receipt. That takes the scopes
   * `models.write` and `jobs.write` as well. A repeat answers with the same receipt.
   *
   * @param query.cascade Whether all that was made of it goes too; false where left out.
   */
  delete(fileId: string, query: { cascade?: boolean } = {}, options: RequestOptions = {}): Promise<DeletedFile> {
    return this.transport.json<DeletedFile>({ method: "DELETE", path: `/v1/files/${segment(fileId)}`, query }, options);
  }

  /**
   * Download a file.
   *
   * The content as it was uploaded, or the result CSV of a job, whose columns `/docs` defines.
   */
  content(fileId: string, options: RequestOptions = {}): Promise<Response> {
    return this.transport.send({ method: "GET", path: `/v1/files/${segment(fileId)}/content` }, options);
  }

  /**
   * Retrieve a file's lineage.
   *
   * What came of it: the jobs that read it, their models, checkpoints and result files, and other files with the same content.
   */
  lineage(fileId: string, options: RequestOptions = {}): Promise<Lineage> {
    return this.transport.json<Lineage>({ method: "GET", path: `/v1/files/${segment(fileId)}/lineage` }, options);
  }

  /**
   * Link to a file's content.
   *
   * A URL at which the object store itself gives the content, without a key, for a while. Refused
   * with `not_available` where the server keeps its objects in a directory.
   */
  link(fileId: string, options: RequestOptions = {}): Promise<Link> {
    return this.transport.json<Link>({ method: "GET", path: `/v1/files/${segment(fileId)}/link` }, options);
  }

  /**
   * Retrieve a file's privacy budget.
   *
   * What private jobs have spent of the privacy of the file's content, what is left of its budget, and what each run was charged for. Files
   * with the same content share it, and a file that is deleted and uploaded again has spent what it had spent.
   */
  privacy(fileId: string, options: RequestOptions = {}): Promise<FilePrivacy> {
    return this.transport.json<FilePrivacy>({ method: "GET", path: `/v1/files/${segment(fileId)}/privacy` }, options);
  }

  /**
   * Set a file's privacy budget.
   *
   * What all private jobs on the file's content may spend together, those of before included. From then on jobs that read it must be private.
   * A budget below what was spent lets nothing more run.
   */
  setPrivacyBudget(fileId: string, body: SetPrivacyBudget, options: RequestOptions = {}): Promise<FilePrivacy> {
    return this.transport.json<FilePrivacy>({ method: "POST", path: `/v1/files/${segment(fileId)}/privacy`, body }, options);
  }

  /**
   * Retrieve the receipt of an erasure.
   *
   * What a deletion with `cascade` removed, and what it kept and why.
   */
  retrieveErasure(erasureId: string, options: RequestOptions = {}): Promise<ErasureReceipt> {
    return this.transport.json<ErasureReceipt>({ method: "GET", path: `/v1/erasures/${segment(erasureId)}` }, options);
  }
}

/** The operations of `client.uploads`. */
export class UploadsResource extends Resource {
  /**
   * Begin an upload in parts.
   *
   * For files of up to 8 GiB. It is given up an hour later unless it is completed before.
   */
  create(body: CreateUpload, options: RequestOptions = {}): Promise<Upload> {
    return this.transport.json<Upload>({ method: "POST", path: "/v1/uploads", body }, options);
  }

  /**
   * Complete an upload.
   *
   * The parts become a file in the order of `part_ids`. Their sizes must add up to the upload's `bytes`.
   */
  complete(uploadId: string, body: CompleteUpload, options: RequestOptions = {}): Promise<Upload> {
    return this.transport.json<Upload>({ method: "POST", path: `/v1/uploads/${segment(uploadId)}/complete`, body }, options);
  }

  /**
   * Cancel an upload.
   *
   * Its parts are removed. No part can be added after that.
   */
  cancel(uploadId: string, options: RequestOptions = {}): Promise<Upload> {
    return this.transport.json<Upload>({ method: "POST", path: `/v1/uploads/${segment(uploadId)}/cancel` }, options);
  }
}

/** The operations of `client.jobs`. */
export class JobsResource extends Resource {
  /**
   * Create a fine-tuning job.
   *
   * Checks the whole request, stores the job durably and answers with it; training follows. With an `Idempotency-Key` the same request
   * again answers with the same job. Without one, a request with `x-stainless-retry-count` above 0, as OpenAI's clients send it after a lost answer, answers with the job that the
   * same key made by the same body in a request with that header at 0 within the last ten minutes. Every other request makes a job.
   */
  create(body: CreateJob, options: RequestOptions = {}): Promise<Job> {
    return this.transport.json<Job>({ method: "POST", path: "/v1/fine_tuning/jobs", body }, options);
  }

  /**
   * Check a create request.
   *
   * A dry run: every `"auto"` resolved, every bad line with number and code, tokens counted by the model's own tokenizer and template,
   * memory, time, place in the queue, and what PEFT, vLLM and llama.cpp would make of the adapter. Nothing is stored. What a create
   * request is refused for is refused here too.
   */
  preflight(body: CreateJob, options: RequestOptions = {}): Promise<Preflight> {
    return this.transport.json<Preflight>({ method: "POST", path: "/v1/fine_tuning/jobs/preflight", body }, options);
  }

  /**
   * List fine-tuning jobs.
   *
   * Newest first. `metadata[key]=value` keeps those with this pair; it may be given for several keys.
   *
   * @param query.after The last id of the page before.
   * @param query.limit 1 to 1000; 20 where left out.
   * @param query.metadata Pairs that the jobs have.
   */
  list(query: { after?: string; limit?: number; metadata?: Record<string, string> } = {}, options: RequestOptions = {}): Pages<Job> {
    return new Pages<Job>(this.transport, { method: "GET", path: "/v1/fine_tuning/jobs", query }, options);
  }

  /**
   * Retrieve a fine-tuning job.
   *
   * While it runs, `trainyard.progress` says how far it is.
   */
  retrieve(jobId: string, options: RequestOptions = {}): Promise<Job> {
    return this.transport.json<Job>({ method: "GET", path: `/v1/fine_tuning/jobs/${segment(jobId)}` }, options);
  }

  /**
   * Cancel a fine-tuning job.
   *
   * A running job ends at its next boundary; the answer waits up to 2.5 seconds for that.
   */
  cancel(jobId: string, options: RequestOptions = {}): Promise<Job> {
    return this.transport.json<Job>({ method: "POST", path: `/v1/fine_tuning/jobs/${segment(jobId)}/cancel` }, options);
  }

  /**
   * Pause a fine-tuning job.
   *
   * A running job writes a checkpoint first; its status is `paused` after that.
   */
  pause(jobId: string, options: RequestOptions = {}): Promise<Job> {
    return this.transport.json<Job>({ method: "POST", path: `/v1/fine_tuning/jobs/${segment(jobId)}/pause` }, options);
  }

  /**
   * Resume a fine-tuning job.
   *
   * It is queued again and goes on from its last checkpoint, to the same bits.
   */
  resume(jobId: string, options: RequestOptions = {}): Promise<Job> {
    return this.transport.json<Job>({ method: "POST", path: `/v1/fine_tuning/jobs/${segment(jobId)}/resume` }, options);
  }

  /**
   * List events of a fine-tuning job.
   *
   * Newest first. Events of type `metrics` carry the figures of a step in `data`. With `stream=true`, or where `Accept` asks for
   * `text/event-stream`: oldest first and then live, as server-sent events named `fine_tuning.job.event` with the event's id, up to
   * `data: [DONE]` after the job's last one. A client that connects again sends `Last-Event-ID`; one that is unknown is answered
   * with an event `trainyard.reset` and all events.
   *
   * @param query.after The last id of the page before.
   * @param query.limit 1 to 1000; 20 where left out; not with a stream.
   */
  listEvents(jobId: string, query: { after?: string; limit?: number } = {}, options: RequestOptions = {}): Pages<JobEvent> {
    return new Pages<JobEvent>(this.transport, { method: "GET", path: `/v1/fine_tuning/jobs/${segment(jobId)}/events`, query }, options);
  }

  /**
   * List checkpoints of a fine-tuning job.
   *
   * Newest first; as many as `trainyard.checkpoint.keep`. Each is a loadable adapter: its files are the artifacts of
   * `fine_tuned_model_checkpoint`.
   *
   * @param query.after The last id of the page before.
   * @param query.limit 1 to 1000; 10 where left out.
   */
  listCheckpoints(jobId: string, query: { after?: string; limit?: number } = {}, options: RequestOptions = {}): Pages<JobCheckpoint> {
    return new Pages<JobCheckpoint>(this.transport, { method: "GET", path: `/v1/fine_tuning/jobs/${segment(jobId)}/checkpoints`, query }, options);
  }
}

/** The operations of `client.models`. */
export class ModelsResource extends Resource {
  /**
   * List models.
   *
   * Base models that jobs can start from, then the tenant's own fine-tuned models.
   */
  list(options: RequestOptions = {}): Pages<Model> {
    return new Pages<Model>(this.transport, { method: "GET", path: "/v1/models" }, options);
  }

  /**
   * Retrieve a model.
   *
   * A base model or a fine-tuned model of the tenant.
   */
  retrieve(model: string, options: RequestOptions = {}): Promise<Model> {
    return this.transport.json<Model>({ method: "GET", path: `/v1/models/${segment(model)}` }, options);
  }

  /**
   * Retrieve a model's lineage.
   *
   * What it came of, and what came of it: a graph of models, jobs and datasets. A job was `trained_on` and `validated_on` datasets and
   * `continues` a model; a model was `made_by` a job. An answer has 1000 nodes at most, and says `truncated` where there are more.
   */
  lineage(model: string, options: RequestOptions = {}): Promise<ModelLineage> {
    return this.transport.json<ModelLineage>({ method: "GET", path: `/v1/models/${segment(model)}/lineage` }, options);
  }

  /**
   * Delete a fine-tuned model.
   *
   * With its files. Base models are the operator's and cannot be deleted here.
   */
  delete(model: string, options: RequestOptions = {}): Promise<Deleted> {
    return this.transport.json<Deleted>({ method: "DELETE", path: `/v1/models/${segment(model)}` }, options);
  }

  /**
   * List a model's files.
   *
   * Those of a fine-tuned model or of a checkpoint by its name. Together they are a directory that PEFT loads.
   */
  listArtifacts(model: string, options: RequestOptions = {}): Pages<Artifact> {
    return new Pages<Artifact>(this.transport, { method: "GET", path: `/v1/models/${segment(model)}/artifacts` }, options);
  }

  /**
   * Download a model's file.
   *
   * The `ETag` is the SHA-256 of the content.
   */
  artifactContent(model: string, name: string, options: RequestOptions = {}): Promise<Response> {
    return this.transport.send({ method: "GET", path: `/v1/models/${segment(model)}/artifacts/${segment(name)}` }, options);
  }

  /**
   * Link to a model's file.
   *
   * A URL at which the object store itself gives the content, without a key, for a while. Refused with `not_available` where the server
   * keeps its objects in a directory.
   */
  linkArtifact(model: string, name: string, options: RequestOptions = {}): Promise<Link> {
    return this.transport.json<Link>({ method: "GET", path: `/v1/models/${segment(model)}/artifacts/${segment(name)}/link` }, options);
  }
}

/** The operations of `client.usage`. */
export class UsageResource extends Resource {
  /**
   * Retrieve usage.
   *
   * What the tenant has used day by day (UTC), this month unless the query says otherwise, and what it may use.
   *
   * @param query.from The first day, such as 2026-11-01.
   * @param query.to The last day.
   */
  retrieve(query: { from?: string; to?: string } = {}, options: RequestOptions = {}): Promise<Usage> {
    return this.transport.json<Usage>({ method: "GET", path: "/v1/usage", query }, options);
  }
}

/** The operations of `client.webhooks`. */
export class WebhooksResource extends Resource {
  /**
   * List webhooks.
   *
   * Newest first unless asked otherwise, without their secrets. Webhooks of single jobs stand in their jobs.
   *
   * @param query.after The last id of the page before.
   * @param query.limit 1 to 1000; 20 where left out.
   * @param query.order By time of creation; desc where left out.
   */
  list(query: { after?: string; limit?: number; order?: Order } = {}, options: RequestOptions = {}): Pages<Webhook> {
    return new Pages<Webhook>(this.transport, { method: "GET", path: "/v1/webhooks", query }, options);
  }

  /**
   * Create a webhook.
   *
   * The endpoint is told of every transition of the tenant's jobs, signed as Standard Webhooks has it. The answer holds the secret, once.
   */
  create(body: CreateWebhook, options: RequestOptions = {}): Promise<Webhook> {
    return this.transport.json<Webhook>({ method: "POST", path: "/v1/webhooks", body }, options);
  }

  /**
   * Retrieve a webhook.
   *
   * Without its secret. `disabled_reason` says why the server sends nothing any more, where it was the server that ended it.
   */
  retrieve(webhookId: string, options: RequestOptions = {}): Promise<Webhook> {
    return this.transport.json<Webhook>({ method: "GET", path: `/v1/webhooks/${segment(webhookId)}` }, options);
  }

  /**
   * Update a webhook.
   *
   * What the body leaves out stays. A webhook that was disabled is enabled again with `"enabled": true`.
   */
  update(webhookId: string, body: UpdateWebhook, options: RequestOptions = {}): Promise<Webhook> {
    return this.transport.json<Webhook>({ method: "POST", path: `/v1/webhooks/${segment(webhookId)}`, body }, options);
  }

  /**
   * Delete a webhook.
   *
   * Events that were not delivered yet are given up.
   */
  delete(webhookId: string, options: RequestOptions = {}): Promise<Deleted> {
    return this.transport.json<Deleted>({ method: "DELETE", path: `/v1/webhooks/${segment(webhookId)}` }, options);
  }

  /**
   * List a webhook's deliveries.
   *
   * Newest first unless asked otherwise: those under way, and those that ended in the last 7 days.
   *
   * @param query.after The last id of the page before.
   * @param query.limit 1 to 1000; 20 where left out.
   * @param query.order By time of the event; desc where left out.
   */
  listDeliveries(webhookId: string, query: { after?: string; limit?: number; order?: Order } = {}, options: RequestOptions = {}): Pages<WebhookDelivery> {
    return new Pages<WebhookDelivery>(this.transport, { method: "GET", path: `/v1/webhooks/${segment(webhookId)}/deliveries`, query }, options);
  }

  /**
   * Rotate a webhook's secret.
   *
   * The answer holds the new secret, once. The secret before it signs too for 24 hours: `webhook-signature` then has two signatures. To end
   * a secret at once, rotate twice.
   */
  rotateSecret(webhookId: string, options: RequestOptions = {}): Promise<Webhook> {
    return this.transport.json<Webhook>({ method: "POST", path: `/v1/webhooks/${segment(webhookId)}/rotate_secret` }, options);
  }

  /**
   * Test a webhook.
   *
   * Queues an event of the type `webhook.ping`; the list of deliveries says what came of it.
   */
  test(webhookId: string, options: RequestOptions = {}): Promise<WebhookDelivery> {
    return this.transport.json<WebhookDelivery>({ method: "POST", path: `/v1/webhooks/${segment(webhookId)}/test` }, options);
  }
}

/** The operations of `client.tenants`. */
export class TenantsResource extends Resource {
  /**
   * List tenants.
   *
   * Newest first unless asked otherwise.
   *
   * @param query.after The last id of the page before.
   * @param query.limit 1 to 1000; 20 where left out.
   * @param query.order By time of creation; desc where left out.
   */
  list(query: { after?: string; limit?: number; order?: Order } = {}, options: RequestOptions = {}): Pages<Tenant> {
    return new Pages<Tenant>(this.transport, { method: "GET", path: "/v1/admin/tenants", query }, options);
  }

  /**
   * Create a tenant.
   *
   * A tenant sees nothing of another. It has no key yet: make one with `createTenantKey`.
   */
  create(body: CreateTenant, options: RequestOptions = {}): Promise<Tenant> {
    return this.transport.json<Tenant>({ method: "POST", path: "/v1/admin/tenants", body }, options);
  }

  /**
   * Retrieve a tenant.
   *
   * Its name, status and quota.
   */
  retrieve(tenantId: string, options: RequestOptions = {}): Promise<Tenant> {
    return this.transport.json<Tenant>({ method: "GET", path: `/v1/admin/tenants/${segment(tenantId)}` }, options);
  }

  /**
   * Update a tenant.
   *
   * What the body leaves out stays; `quota` is replaced as a whole. The keys of a suspended tenant do not work.
   */
  update(tenantId: string, body: UpdateTenant, options: RequestOptions = {}): Promise<Tenant> {
    return this.transport.json<Tenant>({ method: "POST", path: `/v1/admin/tenants/${segment(tenantId)}`, body }, options);
  }

  /**
   * Delete a tenant.
   *
   * Its keys stop working at once. One that has jobs, files or models is refused without `cascade=true`, which cancels its jobs and erases
   * all that it has; the audit log stays. The receipt says whether it is complete: a run that is being cancelled takes a moment, and the
   * server goes on by itself. A repeat answers with the same receipt.
   *
   * @param query.cascade Whether all that it has goes too; false where left out.
   */
  delete(tenantId: string, query: { cascade?: boolean } = {}, options: RequestOptions = {}): Promise<DeletedTenant> {
    return this.transport.json<DeletedTenant>({ method: "DELETE", path: `/v1/admin/tenants/${segment(tenantId)}`, query }, options);
  }

  /**
   * List a tenant's audit log.
   *
   * Oldest first: the order in which its hashes follow each other. `trainyard audit verify` follows them.
   *
   * @param query.after The id of the last entry of the page before.
   * @param query.limit 1 to 1000; 100 where left out.
   */
  listAuditEvents(tenantId: string, query: { after?: number; limit?: number } = {}, options: RequestOptions = {}): Pages<AuditEvent> {
    return new Pages<AuditEvent>(this.transport, { method: "GET", path: `/v1/admin/tenants/${segment(tenantId)}/audit`, query }, options);
  }

  /**
   * List a tenant's keys.
   *
   * Newest first, without their secrets; revoked and expired ones too.
   *
   * @param query.after The last id of the page before.
   * @param query.limit 1 to 1000; 20 where left out.
   */
  listKeys(tenantId: string, query: { after?: string; limit?: number } = {}, options: RequestOptions = {}): Pages<TenantKey> {
    return new Pages<TenantKey>(this.transport, { method: "GET", path: `/v1/admin/tenants/${segment(tenantId)}/keys`, query }, options);
  }

  /**
   * Create a tenant's key.
   *
   * The answer holds the whole key, once: only its hash is stored.
   */
  createKey(tenantId: string, body: CreateKey, options: RequestOptions = {}): Promise<TenantKey> {
    return this.transport.json<TenantKey>({ method: "POST", path: `/v1/admin/tenants/${segment(tenantId)}/keys`, body }, options);
  }

  /**
   * Retrieve a tenant's key.
   *
   * Without its secret.
   */
  retrieveKey(tenantId: string, keyId: string, options: RequestOptions = {}): Promise<TenantKey> {
    return this.transport.json<TenantKey>({ method: "GET", path: `/v1/admin/tenants/${segment(tenantId)}/keys/${segment(keyId)}` }, options);
  }

  /**
   * Revoke a tenant's key.
   *
   * It stops working at once, in other processes within 30 seconds. Its record stays.
   */
  revokeKey(tenantId: string, keyId: string, options: RequestOptions = {}): Promise<TenantKey> {
    return this.transport.json<TenantKey>({ method: "DELETE", path: `/v1/admin/tenants/${segment(tenantId)}/keys/${segment(keyId)}` }, options);
  }

  /**
   * Rotate a tenant's key.
   *
   * Answers with a new key of the same name and scopes. The old one works on for `overlap_seconds`.
   */
  rotateKey(tenantId: string, keyId: string, body: RotateKey, options: RequestOptions = {}): Promise<TenantKey> {
    return this.transport.json<TenantKey>({ method: "POST", path: `/v1/admin/tenants/${segment(tenantId)}/keys/${segment(keyId)}/rotate`, body }, options);
  }
}
