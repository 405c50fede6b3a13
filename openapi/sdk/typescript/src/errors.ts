/** What can go wrong. Every class is a `TrainyardError`. */

import type { Job } from "./generated/types.js";

/** Base of all errors of this package. */
export class TrainyardError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** What an error's answer says. */
export interface ApiErrorDetail {
  /** The HTTP status. */
  status: number;
  /** A sentence that names the field, the limit and the value seen. */
  message: string;
  /** The class of the error, such as `invalid_request_error`. */
  type?: string | null;
  /** The machine-readable code, such as `unknown_parameter`. */
  code?: string | null;
  /** The field at fault as a path, such as `trainyard.adapter.rank`. */
  param?: string | null;
  /** The request's id, by which the server's log has it. */
  requestId?: string | null;
  /** Milliseconds after which the server suggests to try again. */
  retryAfterMs?: number | null;
}

/** The server refused a request. */
export class ApiError extends TrainyardError {
  readonly status: number;
  readonly type: string | null;
  readonly code: string | null;
  readonly param: string | null;
  readonly requestId: string | null;
  readonly retryAfterMs: number | null;

  constructor(detail: ApiErrorDetail) {
    super(detail.message);
    this.status = detail.status;
    this.type = detail.type ?? null;
    this.code = detail.code ?? null;
    this.param = detail.param ?? null;
    this.requestId = detail.requestId ?? null;
    this.retryAfterMs = detail.retryAfterMs ?? null;
  }
}

/** 400, 413, 415 or 422: the request itself is wrong; `param` names the field. */
export class BadRequestError extends ApiError {}
/** 401: no key, or one that does not count. */
export class AuthenticationError extends ApiError {}
/** 403: the key may not do this. */
export class PermissionDeniedError extends ApiError {}
/** 404: it is not there, or not this tenant's. */
export class NotFoundError extends ApiError {}
/** 409: not in the state that it is in. */
export class ConflictError extends ApiError {}
/** 429: a rate limit or a quota; `retryAfterMs` says when to come back. */
export class RateLimitError extends ApiError {}
/** 5xx: the server's own trouble. */
export class ServerError extends ApiError {}
/** No answer: the server was not reached, or the connection broke. `cause` has the reason. */
export class ConnectionFailedError extends TrainyardError {}
/** No answer in time. */
export class RequestTimeoutError extends ConnectionFailedError {}
/** What arrived is not what was sent: a checksum or a size differs. */
export class IntegrityError extends TrainyardError {}

/** A job that was waited for ended without a model. */
export class JobEndedError extends TrainyardError {
  constructor(
    /** Its last state. */
    readonly job: Job,
    message: string,
  ) {
    super(message);
  }
}

/** The job failed; `code` and `param` are those of the job's own error. */
export class JobFailedError extends JobEndedError {
  readonly code: string | null;
  readonly param: string | null;

  constructor(job: Job) {
    super(job, `job ${job.id} failed: ${job.error?.message ?? "without a reason"}`);
    this.code = job.error?.code ?? null;
    this.param = job.error?.param ?? null;
  }
}

/** The job was cancelled. */
export class JobCancelledError extends JobEndedError {
  constructor(job: Job) {
    super(job, `job ${job.id} was cancelled`);
  }
}

/** The job had not ended in time; it goes on. */
export class WaitTimeoutError extends TrainyardError {
  constructor(
    /** Its last state. */
    readonly job: Job,
    ms: number,
  ) {
    super(`job ${job.id} is ${job.status} after ${ms / 1000} s of waiting`);
  }
}

const CLASSES: Record<number, typeof ApiError> = {
  400: BadRequestError,
  401: AuthenticationError,
  403: PermissionDeniedError,
  404: NotFoundError,
  409: ConflictError,
  413: BadRequestError,
  415: BadRequestError,
  422: BadRequestError,
  429: RateLimitError,
};

/** The error of an answer; `body` is its JSON, if it had any. */
export function apiError(status: number, body: unknown, requestId?: string | null, retryAfterMs?: number | null): ApiError {
  const detail = (body as { error?: Partial<ApiErrorDetail> } | null | undefined)?.error ?? {};
  const kind = CLASSES[status] ?? (status >= 500 ? ServerError : ApiError);
  return new kind({
    status,
    message: detail.message ?? `the server answered ${status} without a reason`,
    type: detail.type ?? null,
    code: detail.code ?? null,
    param: detail.param ?? null,
    requestId: requestId ?? null,
    retryAfterMs: retryAfterMs ?? null,
  });
}
