//! One connection, from its opening to its end. It is never mended: a new one takes its place.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio::sync::watch;
use tokio::time::timeout;

use super::address::Address;
use super::fault::{ANSWER_MAX, Fault, answer};

/// How often the connection's state is looked at: not every end is told of.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A connection.
pub(super) struct Session {
    connection: Connection,
    blocked: watch::Sender<Option<String>>,
}

impl Session {
    /// Connects. The client library's own recovery stays off: it brings back a connection whose channels may be dead.
    pub(super) async fn open(address: &Address, purpose: &str) -> Result<Arc<Self>, Fault> {
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("trainyard {purpose}").into());
        let connecting = Connection::connect_uri(address.uri(), properties);
        let connection = answer("the connection", connecting).await?;
        Ok(Arc::new(Self { connection, blocked: watch::Sender::new(None) }))
    }

    /// A new channel.
    pub(super) async fn channel(&self) -> Result<Channel, Fault> {
        let channel = answer("channel.open", self.connection.create_channel()).await;
        if matches!(channel, Err(Fault::Silent(_))) && !self.is_blocked() {
            // Channels are the broker's front door: where that does not open, the connection is dead.
            self.close().await;
        }
        channel
    }

    /// Ends a channel, and with it what is pending on it.
    pub(super) async fn end(&self, channel: Channel) {
        if channel.status().connected()
            && let Err(fault) = answer("channel.close", channel.close(200, "done".into())).await
        {
            tracing::debug!(%fault, "the channel did not end in order");
        }
    }

    /// Waits while the broker takes no messages.
    ///
    /// # Errors
    /// [`Fault::Blocked`] where that lasts.
    pub(super) async fn unblocked(&self) -> Result<(), Fault> {
        let mut blocked = self.blocked.subscribe();
        match timeout(ANSWER_MAX, blocked.wait_for(Option::is_none)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Fault::Blocked(self.blocked.borrow().clone().unwrap_or_default())),
        }
    }

    /// Whether the broker takes no messages at present.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.borrow().is_some()
    }

    /// Says goodbye. Without an answer it is over just the same.
    pub(super) async fn close(&self) {
        let closed = answer("connection.close", self.connection.close(200, "done".into())).await;
        if let Err(fault) = closed {
            tracing::debug!(%fault, "the connection did not end in order");
        }
    }

    /// Waits for the connection's end and gives its reason; hears meanwhile whether the broker takes messages.
    pub(super) async fn ended(&self, address: &Address) -> String {
        let mut events = pin!(self.connection.events_listener());
        let mut last = "the connection was closed".to_string();
        while self.connection.status().connected() {
            match timeout(LOOK_EVERY, events.next()).await {
                Ok(Some(Event::ConnectionBlocked(reason))) => {
                    tracing::warn!(broker = %address, reason, "the broker blocks publishing: tickets wait in the record");
                    self.blocked.send_replace(Some(reason));
                }
                Ok(Some(Event::ConnectionUnblocked)) => {
                    tracing::info!(broker = %address, "the broker takes tickets again");
                    self.blocked.send_replace(None);
                }
                // Of the connection or of one channel; the state tells which.
                Ok(Some(Event::Error(error))) => last = error.to_string(),
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => break,
            }
        }
        last
    }
}
