//! Settings of webhooks.

use trainyard_scheduler::webhook::{Networks, Targets};

use super::layer::settings;

settings! {
    /// Where webhooks may go.
    Webhooks from WebhooksLayer, "Webhooks";
    fixed {
        /// Allow plain http and any port, for tests and intranets.
        webhook_allow_insecure: bool = "false", "TRAINYARD_WEBHOOK_ALLOW_INSECURE";
        /// Networks that webhooks may reach although they are not public, such as 10.1.0.0/16,fd12::/16.
        webhook_allow_networks: Networks = "none", "TRAINYARD_WEBHOOK_ALLOW_NETWORKS";
    }
    derived {}
}

impl Webhooks {
    /// The same as the scheduler and the client want it.
    pub(crate) fn targets(&self) -> Targets {
        let Self { webhook_allow_insecure, webhook_allow_networks } = self;
        Targets { insecure: *webhook_allow_insecure, networks: webhook_allow_networks.clone() }
    }
}
