//! What a route needs of its caller, as a type: a handler cannot get a `TenantContext` without naming it.

use trainyard_openapi::tenant::Scope;

/// What a key must be allowed to do.
pub(crate) trait Permission {
    /// The scope.
    const SCOPE: Scope;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) enum $name {}

        impl Permission for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )*};
}

permissions! {
    /// Look at files.
    FilesRead;
    /// Change files.
    FilesWrite;
    /// Look at jobs.
    JobsRead;
    /// Change jobs.
    JobsWrite;
    /// Look at models.
    ModelsRead;
    /// Delete models.
    ModelsWrite;
    /// Read the tenant's usage.
    UsageRead;
    /// Look at webhooks.
    WebhooksRead;
    /// Change webhooks.
    WebhooksWrite;
    /// Operate the server.
    Admin;
}
