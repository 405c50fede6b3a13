//! Every limit on input, each with its reason.

/// Bytes of a JSON body: a create request with the largest allowed metadata is under 20 KiB.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Bytes of an uploaded file: OpenAI's limit.
pub const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Bytes of a file that is uploaded in parts: OpenAI's limit.
pub const UPLOAD_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// Bytes of a part of an upload: OpenAI's limit.
pub const UPLOAD_PART_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Parts of an upload: enough for 8 GiB in parts of 2 MiB; their ids fit a JSON body.
pub const UPLOAD_PARTS_MAX: u64 = 4096;
/// Characters of a MIME type: what RFC 6838 allows of both halves.
pub const MIME_TYPE_CHARS_MAX: usize = 255;
/// The shortest life of a file that expires, in seconds: OpenAI's limit.
pub const EXPIRES_AFTER_SECONDS_MIN: u64 = 3_600;
/// The longest life of a file that expires, in seconds: OpenAI's limit.
pub const EXPIRES_AFTER_SECONDS_MAX: u64 = 2_592_000;
/// Characters of a file name: what common file systems hold.
pub const FILENAME_CHARS_MAX: usize = 255;
/// Pairs of metadata: OpenAI's limit.
pub const METADATA_PAIRS_MAX: usize = 16;
/// Characters of a metadata key: OpenAI's limit.
pub const METADATA_KEY_CHARS_MAX: usize = 64;
/// Characters of a metadata value: OpenAI's limit.
pub const METADATA_VALUE_CHARS_MAX: usize = 512;
/// Characters of a suffix: OpenAI's limit.
pub const SUFFIX_CHARS_MAX: usize = 64;
/// The largest seed: OpenAI's limit.
pub const SEED_MAX: u64 = 2_147_483_647;
/// Examples in an effective batch: OpenAI's limit.
pub const BATCH_SIZE_MAX: u32 = 256;
/// Units in a step of a private job, on average: noise is spread over them, so that batches of thousands are usual.
pub const PRIVATE_BATCH_SIZE_MAX: u32 = 65_536;
/// Characters of the key that names the user of a line.
pub const USER_FIELD_CHARS_MAX: usize = 64;
/// Characters of a line's user.
pub const USER_CHARS_MAX: usize = 256;
/// Passes over the training file: OpenAI's limit.
pub const EPOCHS_MAX: u32 = 50;
/// Characters of a model name: ours, so that it fits a path segment.
pub const MODEL_NAME_CHARS_MAX: usize = 96;
/// The largest rank: the largest that vLLM serves.
pub const RANK_MAX: u32 = 512;
/// Names in `target_modules`: more than any architecture has kinds of layers.
pub const TARGET_MODULES_MAX: usize = 256;
/// Learned positions before a sequence: several times what the papers on them found of use (200 at most).
pub const VIRTUAL_TOKENS_MAX: u32 = 1_024;
/// Stages of a job, those of the models before it included: what the matrix of scores holds.
pub const STAGES_MAX: usize = 256;
/// Nodes of a model's lineage in one answer: each costs a look into the record.
pub const LINEAGE_NODES_MAX: usize = 1_000;
/// Items on a page of jobs, events or checkpoints.
pub const PAGE_LIMIT_MAX: u32 = 1_000;
/// Items on a page of files: OpenAI's limit.
pub const FILE_PAGE_LIMIT_MAX: u32 = 10_000;
/// Bytes of an idempotency key: as the IETF draft's users have it.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Characters of a tenant's or key's name: enough for people, too few to fill a log.
pub const TENANT_NAME_CHARS_MAX: usize = 64;
/// Largest weight of a tenant.
pub const TENANT_WEIGHT_MAX: u32 = 1000;
/// The shortest life of a key, in seconds.
pub const KEY_SECONDS_MIN: u64 = 60;
/// The longest life of a key that has an end, in seconds: ten years.
pub const KEY_SECONDS_MAX: u64 = 315_360_000;
/// The longest time for which a rotated key goes on working, in seconds: 30 days.
pub const KEY_OVERLAP_SECONDS_MAX: u64 = 2_592_000;
/// Endpoints of a tenant: each multiplies what every transition of a job writes.
pub const WEBHOOKS_MAX: usize = 20;
/// Bytes of a webhook's URL: what servers take in a request line.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2_048;
/// Characters of a webhook's description: enough for people.
pub const WEBHOOK_DESCRIPTION_CHARS_MAX: usize = 256;
/// The shortest signing secret in bytes: Standard Webhooks' limit.
pub const WEBHOOK_SECRET_BYTES_MIN: usize = 24;
/// The longest signing secret in bytes: Standard Webhooks' limit.
pub const WEBHOOK_SECRET_BYTES_MAX: usize = 64;
