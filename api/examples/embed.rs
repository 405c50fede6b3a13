//! Trainyard inside another actix application, beside a route of its own:
//! `cargo run -p trainyard-api --example embed -- 127.0.0.1:8080 DIRECTORY`, then `curl http://127.0.0.1:8080/training/healthz/live`.
//! Jobs are taken and queued here; an agent on the same parts would train them.
#![expect(clippy::print_stdout, reason = "the address and the first key are for the terminal")]

use std::error::Error;
use std::path::Path;

use actix_web::{App, HttpServer, web};
use tokio_util::sync::CancellationToken;
use trainyard_api::{ApiOptions, app};
use trainyard_plan::HostFacts;
use trainyard_scheduler::adapter::redis::RedisOptions;
use trainyard_scheduler::adapter::s3::S3Options;
use trainyard_scheduler::adapter::{open_objects, open_queue, open_store};
use trainyard_scheduler::{BaseModels, Parts, Scheduler, SchedulerConfig};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("name an address")?;
    let directory = arguments.next().ok_or("name a directory")?;
    // For a record in Redis, shared by several processes: `redis://HOST` in place of `sqlite:`.
    let redis = RedisOptions::default();
    let scheduler = Scheduler::new(Parts {
        store: open_store(&format!("sqlite:{directory}/trainyard.db"), &redis).await?,
        queue: open_queue("memory:", &[]).await?,
        objects: open_objects(&format!("file:{directory}/objects"), &S3Options::default()).await?,
        models: BaseModels::new(Path::new(&directory).join("models")),
        host: HostFacts::of_processor(
            &std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default(),
            8 << 30,
        ),
        inspector: None,
        config: SchedulerConfig::default(),
    });
    let key = scheduler.bootstrap_key().await?.unwrap_or_default();
    let stop = CancellationToken::new();
    let (loops, token) = (scheduler.clone(), stop.clone());
    let loops = actix_web::rt::spawn(async move { loops.run(token).await });
    let options = ApiOptions { prefix: "/training".to_string(), ..ApiOptions::default() };
    let server = HttpServer::new(move || {
        App::new()
            .route("/hello", web::get().to(async || "hello from the application"))
            .service(app(scheduler.clone(), options.clone()))
    })
    .bind(address)?;
    println!("http://{} {key}", server.addrs()[0]);
    // Ends at SIGTERM, when the requests under way are answered.
    server.run().await?;
    stop.cancel();
    Ok(loops.await?)
}
