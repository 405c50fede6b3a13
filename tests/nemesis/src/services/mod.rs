//! The servers that everything stands on: Redis, RabbitMQ, S3, each real and each of this run alone, with ways that can be made bad.

pub mod redis;

#[allow(dead_code, reason = "the scheduler's tests ask more of it")]
#[allow(clippy::unwrap_used, clippy::print_stdout, reason = "as in the tests that it is part of")]
#[path = "../../../../scheduler/tests/it/rabbitmq/broker.rs"]
mod broker;

use std::path::Path;

use lapin::options::{BasicPublishOptions, QueueDeleteOptions, QueuePurgeOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::json;
use trainyard_scheduler::adapter;
use trainyard_scheduler::adapter::s3::S3Options;
use trainyard_scheduler::port::objects::Objects;
use trainyard_tests::Rgw;
use trainyard_tests::rgw::{ACCESS_KEY_ID, BUCKET, SECRET_ACCESS_KEY};

use crate::proxy::Proxy;
use broker::Broker;
use redis::Redis;

/// The pool of all jobs, and its queue.
const POOL: &str = "default";
const QUEUE: &str = "trainyard.tickets.default";

/// Redis, RabbitMQ and S3, and a way to each.
pub struct Services {
    /// The record.
    pub redis: Redis,
    broker: Broker,
    rgw: Rgw,
    /// The way to the record.
    pub to_redis: Proxy,
    /// The way to the queue.
    pub to_broker: Proxy,
    /// The way to the objects.
    pub to_s3: Proxy,
}

impl Services {
    /// Starts them below `directory`; none where Ceph is not installed, which is said.
    ///
    /// # Panics
    /// Where one does not start.
    pub async fn start(directory: &Path, appendfsync: &'static str) -> Option<Self> {
        let rgw = Rgw::start()?;
        let redis = Redis::start(directory, appendfsync);
        let broker = Broker::start();
        let s3_port = rgw.endpoint.rsplit(':').next().and_then(|port| port.parse().ok());
        let to_redis = Proxy::to(redis.server.port()).await;
        let to_broker = Proxy::to(broker.port).await;
        let to_s3 = Proxy::to(s3_port.expect("a port")).await;
        Some(Self { redis, broker, rgw, to_redis, to_broker, to_s3 })
    }

    /// The record's URL, over its way.
    pub fn store_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.to_redis.port())
    }

    /// The queue's URL, over its way.
    pub fn queue_url(&self) -> String {
        self.broker.url_of(self.to_broker.port(), "%2f")
    }

    /// The URL of the S3 server, over its way.
    pub fn s3_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.to_s3.port())
    }

    /// The objects, on the straight way.
    ///
    /// # Panics
    /// Where they cannot be opened.
    pub async fn objects(&self) -> std::sync::Arc<dyn Objects> {
        let options = S3Options { endpoint: Some(self.rgw.endpoint.clone()), ..Default::default() };
        let options =
            S3Options { region: Some("us-east-1".into()), path_style: Some(true), ..options }
                .with_key(ACCESS_KEY_ID, SECRET_ACCESS_KEY);
        adapter::open_objects(&objects_url(), &options).await.expect("the bucket")
    }

    /// `kill -9` of the broker and a start on what it had, or on nothing.
    pub fn restart_broker(&mut self, wipe: bool) {
        self.broker.kill();
        if wipe {
            self.broker.wipe();
        }
        self.broker.start_again();
    }

    /// Takes every ticket out of the queue. Gives why not, where it could not.
    ///
    /// # Errors
    /// What the broker said.
    pub async fn purge(&self) -> Result<(), lapin::Error> {
        let (_connection, channel) = self.channel().await?;
        channel.queue_purge(QUEUE.into(), QueuePurgeOptions::default()).await?;
        Ok(())
    }

    /// Deletes the queue, under its consumers.
    ///
    /// # Errors
    /// What the broker said.
    pub async fn delete_queue(&self) -> Result<(), lapin::Error> {
        let (_connection, channel) = self.channel().await?;
        channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await?;
        Ok(())
    }

    /// Puts tickets into the queue as a broker would that delivers what is old, and twice: each of `jobs` with each of `seqs`.
    ///
    /// # Errors
    /// What the broker said.
    pub async fn publish(&self, jobs: &[String], seqs: &[u64]) -> Result<(), lapin::Error> {
        let (_connection, channel) = self.channel().await?;
        for job in jobs {
            for seq in seqs {
                let ticket = json!({"job": job, "seq": seq, "pool": POOL}).to_string();
                let options = BasicPublishOptions::default();
                let properties = BasicProperties::default();
                let sent = channel.basic_publish(
                    "".into(),
                    QUEUE.into(),
                    options,
                    ticket.as_bytes(),
                    properties,
                );
                sent.await?.await?;
            }
        }
        Ok(())
    }

    async fn channel(&self) -> Result<(Connection, Channel), lapin::Error> {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&self.broker.url(), properties).await?;
        let channel = connection.create_channel().await?;
        Ok((connection, channel))
    }
}

/// The URL of the objects.
pub fn objects_url() -> String {
    format!("s3://{BUCKET}/nemesis")
}
