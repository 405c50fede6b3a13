//! The scripts: one for each transition, which makes it whole or not at all, and a few that read.
//!
//! Each is put together from the pieces in `lua/` and run by its SHA-1; a server that has forgotten it is told it again. `#!lua`
//! makes the server refuse a script before it begins where it may not write: disk full, memory full, replica.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $flags:literal, [$($piece:literal),+];)*) => {$(
        $(#[$doc])*
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!("#!lua", $flags, "\n", include_str!("lua/names.lua"), $(include_str!(concat!("lua/", $piece, ".lua"))),+))
        });
    )*};
}

scripts! {
    /// One change of one job.
    COMMIT = "", ["nonce", "rows", "sha256", "change", "commit"];
    /// Documents and entries of the audit log.
    APPLY = "", ["nonce", "rows", "sha256", "change", "apply"];
    /// Adds a file.
    PUT_FILE = "", ["nonce", "rows", "sha256", "change", "put_file"];
    /// Removes a file or a model.
    DELETE_OWNED = "", ["nonce", "rows", "sha256", "change", "delete_owned"];
    /// Removes a checkpoint.
    DELETE_CHECKPOINT = "", ["nonce", "rows", "delete_checkpoint"];
    /// Takes a ticket out of the outbox.
    TICKET_SENT = "", ["nonce", "ticket_sent"];
    /// Removes some old answers.
    FORGET_ANSWERS = "", ["nonce", "forget_answers"];
    /// Removes some of what a tenant has.
    FORGET_TENANT = "", ["nonce", "rows", "forget_tenant"];
    /// Makes the record where there is none.
    OPEN = "", ["open"];
    /// A part of a list.
    PAGE = " flags=no-writes", ["page"];
    /// Jobs that take a slot.
    BUSY_JOBS = " flags=no-writes", ["busy_jobs"];
    /// Files whose time has come.
    EXPIRED_FILES = " flags=no-writes", ["expired_files"];
    /// Tickets that wait.
    OUTBOX = " flags=no-writes", ["outbox"];
    /// Days of a tenant.
    USAGE = " flags=no-writes", ["usage"];
}
