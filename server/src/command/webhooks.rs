//! `trainyard webhooks`: create, list, show, change, test and delete endpoints; look at their deliveries.

use serde_json::{Map, Value, json};
use trainyard_openapi::page::Page;
use trainyard_openapi::webhook::{Webhook, WebhookDelivery};

use super::connection::{Connection, idempotency_key};
use super::models::deleted;
use crate::client::{ClientError, read};
use crate::exit::Exit;
use crate::output::{self, Format};

/// The commands on webhooks.
#[allow(clippy::doc_markdown, reason = "the doc comments are the help text")]
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Webhooks {
    /// Create a webhook; its secret is shown this once.
    Create {
        /// Where events are sent, by https.
        #[arg(id = "target", value_name = "WEBHOOK_URL")]
        url: String,
        /// Only this event, such as fine_tuning.job.succeeded; may be repeated [default: all].
        #[arg(long = "event", value_name = "EVENT")]
        events: Vec<String>,
        /// A text for people.
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List webhooks, newest first.
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// Show a webhook.
    Get(WebhookArgs),
    /// Change a webhook; what is not named stays.
    Update {
        /// The webhook's id.
        id: String,
        /// Where events are sent.
        #[arg(long = "target", id = "target", value_name = "WEBHOOK_URL")]
        url: Option<String>,
        /// Only this event; may be repeated.
        #[arg(long = "event", value_name = "EVENT")]
        events: Vec<String>,
        /// Whether events are sent.
        #[arg(long, value_name = "true|false")]
        enabled: Option<bool>,
        /// A text for people.
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Give a webhook a new secret, shown this once; the old one signs too for 24 hours.
    RotateSecret(WebhookArgs),
    /// Send a webhook a test event.
    Test(WebhookArgs),
    /// List a webhook's deliveries, newest first.
    Deliveries(WebhookArgs),
    /// Delete a webhook.
    Delete(WebhookArgs),
}

/// A webhook by its id.
#[derive(Debug, clap::Args)]
pub(crate) struct WebhookArgs {
    /// The webhook's id.
    id: String,
    #[command(flatten)]
    connection: Connection,
}

/// Carries a command out.
pub(crate) async fn run(command: Webhooks) -> Result<Exit, ClientError> {
    match command {
        Webhooks::Create { url, events, description, connection } => {
            let mut body = settings(events, description);
            body.insert("url".to_string(), json!(url));
            post(&connection, &["webhooks"], Some(body)).await?;
        }
        Webhooks::List { connection } => {
            let answer = connection.client()?.get(&["webhooks"], &[]).await?;
            list(&answer, connection.format())?;
        }
        Webhooks::Get(WebhookArgs { id, connection }) => {
            let answer = connection.client()?.get(&["webhooks", &id], &[]).await?;
            show(&answer, connection.format())?;
        }
        Webhooks::Update { id, url, events, enabled, description, connection } => {
            let mut body = settings(events, description);
            body.extend(url.map(|url| ("url".to_string(), json!(url))));
            body.extend(enabled.map(|enabled| ("enabled".to_string(), json!(enabled))));
            post(&connection, &["webhooks", &id], Some(body)).await?;
        }
        Webhooks::RotateSecret(WebhookArgs { id, connection }) => {
            post(&connection, &["webhooks", &id, "rotate_secret"], None).await?;
        }
        Webhooks::Test(WebhookArgs { id, connection }) => {
            let path = ["webhooks", &id, "test"];
            let answer = connection.client()?.post(&path, None, &idempotency_key()?).await?;
            match connection.format() {
                Format::Json => output::json(&answer)?,
                Format::Human => {
                    let delivery: WebhookDelivery = read(&answer)?;
                    output::line(&format!("queued {}", delivery.id))?;
                }
            }
        }
        Webhooks::Deliveries(WebhookArgs { id, connection }) => {
            let answer = connection.client()?.get(&["webhooks", &id, "deliveries"], &[]).await?;
            deliveries(&answer, connection.format())?;
        }
        Webhooks::Delete(WebhookArgs { id, connection }) => {
            let answer = connection.client()?.delete(&["webhooks", &id], &[]).await?;
            deleted(&answer, connection.format())?;
        }
    }
    Ok(Exit::Done)
}

fn settings(events: Vec<String>, description: Option<String>) -> Map<String, Value> {
    let mut body = Map::new();
    if !events.is_empty() {
        body.insert("events".to_string(), json!(events));
    }
    body.extend(description.map(|text| ("description".to_string(), json!(text))));
    body
}

async fn post(
    connection: &Connection,
    path: &[&str],
    body: Option<Map<String, Value>>,
) -> Result<(), ClientError> {
    let body = body.map(Value::Object);
    let answer = connection.client()?.post(path, body.as_ref(), &idempotency_key()?).await?;
    show(&answer, connection.format())
}

fn list(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let page: Page<Webhook> = read(answer)?;
    let row = |webhook: &Webhook| {
        let created = output::time(webhook.created_at);
        vec![webhook.id.to_string(), state(webhook), created, webhook.url.clone()]
    };
    let rows: Vec<_> = page.data.iter().map(row).collect();
    Ok(output::table(&["ID", "STATE", "CREATED (UTC)", "URL"], &rows)?)
}

fn state(webhook: &Webhook) -> String {
    let word = if webhook.enabled { "enabled" } else { "disabled" };
    match &webhook.disabled_reason {
        Some(reason) => format!("{word}: {reason}"),
        None => word.to_string(),
    }
}

fn show(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let webhook: Webhook = read(answer)?;
    let events = match &webhook.events {
        None => "all".to_string(),
        Some(events) => {
            let words = events.iter().map(|event| serde_json::to_value(event).unwrap_or_default());
            let words: Vec<_> =
                words.filter_map(|word| word.as_str().map(str::to_string)).collect();
            words.join(", ")
        }
    };
    let mut fields = vec![
        ("webhook", webhook.id.to_string()),
        ("state", state(&webhook)),
        ("url", webhook.url.clone()),
        ("events", events),
        ("created (UTC)", output::time(webhook.created_at)),
    ];
    fields.extend(webhook.description.clone().map(|text| ("description", text)));
    fields.extend(webhook.old_secret_until.map(|at| ("old secret until", output::time(at))));
    fields.extend(webhook.secret.clone().map(|secret| ("secret", secret.0)));
    Ok(output::fields(&fields)?)
}

fn deliveries(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let page: Page<WebhookDelivery> = read(answer)?;
    let word = |value: Value| value.as_str().unwrap_or_default().to_string();
    let row = |delivery: &WebhookDelivery| {
        vec![
            delivery.id.to_string(),
            word(serde_json::to_value(delivery.status).unwrap_or_default()),
            delivery.attempts.to_string(),
            delivery.next_attempt_at.map(output::time).unwrap_or_default(),
            word(serde_json::to_value(delivery.kind).unwrap_or_default()),
            delivery.last_error.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = page.data.iter().map(row).collect();
    Ok(output::table(&["ID", "STATUS", "TRIES", "NEXT (UTC)", "EVENT", "LAST ERROR"], &rows)?)
}
