//! Private jobs and the budgets of files, as clients see them.

use serde_json::{Value, json};
use trainyard_scheduler::port::control_plane::ControlPlane;

use crate::executor::claim;
use crate::server::Server;

const JOBS: &str = "/v1/fine_tuning/jobs";

fn lines(word: &str) -> String {
    (0..20).map(|number| format!("{{\"text\": \"{word} {number}\"}}\n")).collect()
}

fn private(file: &str, privacy: &Value) -> Value {
    json!({
        "model": "tiny", "training_file": file, "trainyard": {"privacy": privacy},
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 4, "n_epochs": 2}}},
    })
}

#[actix_web::test]
async fn the_field_at_fault_of_a_private_job_is_named() {
    let server = Server::start().await;
    let file = server.upload(&lines("a")).await;
    let of = |name: &str| format!("trainyard.privacy{name}");
    for (privacy, code, param) in [
        (json!({}), "invalid_value", of(".target_epsilon")),
        (json!({"target_epsilon": 0}), "invalid_value", of(".target_epsilon")),
        (json!({"target_epsilon": 1001}), "invalid_value", of(".target_epsilon")),
        (json!({"target_epsilon": "much"}), "invalid_value", of(".target_epsilon")),
        (
            json!({"target_epsilon": 8, "noise_multiplier": 1}),
            "invalid_value",
            of(".noise_multiplier"),
        ),
        (json!({"noise_multiplier": 0}), "invalid_value", of(".noise_multiplier")),
        (json!({"target_epsilon": 8, "delta": 0.06}), "invalid_value", of(".delta")),
        (json!({"target_epsilon": 8, "clip_norm": 0}), "invalid_value", of(".clip_norm")),
        (
            json!({"target_epsilon": 8, "clipping": "automatic", "clip_norm": 2}),
            "invalid_value",
            of(".clip_norm"),
        ),
        (json!({"target_epsilon": 8, "clipping": "hard"}), "invalid_value", of(".clipping")),
        (json!({"target_epsilon": 8, "unit": "person"}), "invalid_value", of(".unit")),
        (
            json!({"target_epsilon": 8, "unit": {"user_field": "text", "examples_per_unit": 1}}),
            "invalid_value",
            of(".unit.user_field"),
        ),
        (
            json!({"target_epsilon": 8, "unit": {"user_field": "author", "examples_per_unit": 1}}),
            "invalid_file",
            "training_file".to_string(),
        ),
        (json!({"epsilon": 8}), "unknown_parameter", of(".epsilon")),
    ] {
        for path in [JOBS.to_string(), format!("{JOBS}/preflight")] {
            let answer = server.post(&path, &private(&file, &privacy)).await;
            answer.refused(400, code, Some(&param));
        }
    }
    let good = json!({"target_epsilon": 8, "accountant": "rdp"});
    let mut body = private(&file, &good);
    body["trainyard"]["sequence"] = json!({"packing": true});
    let answer = server.post(JOBS, &body).await;
    answer.refused(400, "invalid_value", Some("trainyard.sequence.packing"));
    let mut body = private(&file, &good);
    let hyper = &mut body["method"]["supervised"]["hyperparameters"];
    hyper["batch_size"] = json!(21);
    let answer = server.post(JOBS, &body).await;
    let param = "method.supervised.hyperparameters.batch_size";
    answer.refused(400, "invalid_value", Some(param));
    let mut body = private(&file, &good);
    body["validation_file"] = json!(server.upload(&lines("a")).await);
    server.post(JOBS, &body).await.refused(400, "invalid_file", Some("validation_file"));
    let few = server.upload("{\"text\": \"a\"}\n").await;
    let answer = server.post(JOBS, &private(&few, &good)).await;
    answer.refused(400, "invalid_value", Some("trainyard.privacy.unit"));
    assert_eq!(server.get(JOBS).await.body["data"], json!([]));
}

#[actix_web::test]
async fn a_budget_is_set_spent_and_shown() {
    let server = Server::start().await;
    let file = server.upload(&lines("a")).await;
    let path = format!("/v1/files/{file}/privacy");
    let nothing = server.get(&path).await.body;
    assert_eq!(
        (&nothing["object"], &nothing["file"]),
        (&json!("file.privacy"), &json!(file)),
        "{nothing}"
    );
    for name in ["unit", "units", "accountant", "budget", "remaining_epsilon", "delta"] {
        assert_eq!(nothing.get(name), Some(&Value::Null), "{name}: {nothing}");
    }
    assert_eq!((&nothing["spent_epsilon"], &nothing["jobs"]), (&json!(0.0), &json!([])));

    for (body, code, param) in [
        (json!({}), "missing_required_parameter", "budget"),
        (json!({"budget": {}}), "missing_required_parameter", "budget.epsilon"),
        (json!({"budget": {"epsilon": 0}}), "invalid_value", "budget.epsilon"),
        (json!({"budget": {"epsilon": 1001}}), "invalid_value", "budget.epsilon"),
        (json!({"budget": {"epsilon": 1, "delta": 0.06}}), "invalid_value", "budget.delta"),
        (json!({"budget": {"epsilon": 1, "delta": "some"}}), "invalid_value", "budget.delta"),
        (json!({"budget": {"epsilon": 1, "more": 1}}), "unknown_parameter", "budget.more"),
        (json!({"budget": {"epsilon": 1}, "unit": "person"}), "invalid_value", "unit"),
        (json!({"epsilon": 1}), "unknown_parameter", "epsilon"),
    ] {
        server.post(&path, &body).await.refused(400, code, Some(param));
    }
    assert_eq!(server.get(&path).await.body, nothing);
    let set = server.post(&path, &json!({"budget": {"epsilon": 9, "delta": 0.01}})).await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(set.body["budget"], json!({"epsilon": 9.0, "delta": 0.01}));
    assert_eq!((&set.body["units"], &set.body["unit"]), (&json!(20), &json!("example")));

    let plain = server.post(JOBS, &json!({"model": "tiny", "training_file": file})).await;
    plain.refused(400, "invalid_file", Some("training_file"));
    let privacy = json!({"target_epsilon": 8, "accountant": "rdp"});
    let made = server.post(JOBS, &private(&file, &privacy)).await;
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!(made.body["trainyard"]["privacy"]["steps"], 10, "{}", made.body);
    assert_eq!(made.body["trainyard"]["progress"]["privacy"], Value::Null);
    let lease = claim(&server).await;
    let given = server.scheduler.reserve_steps(&lease, 0, 10).await.unwrap();
    assert_eq!(given.until, 10);
    let spent = server.get(&path).await.body;
    let run = &spent["jobs"][0];
    assert_eq!((&run["job"], &run["state"]), (&made.body["id"], &json!("open")), "{spent}");
    assert_eq!((&run["steps_reserved"], &run["steps_committed"]), (&json!(10), &json!(0)));
    let sum =
        spent["spent_epsilon"].as_f64().unwrap() + spent["remaining_epsilon"].as_f64().unwrap();
    assert!((sum - 9.0).abs() < 1e-9, "{spent}");
    let id = made.body["id"].as_str().unwrap();
    let job = server.get(&format!("{JOBS}/{id}")).await.body;
    assert_eq!(job["trainyard"]["progress"]["privacy"]["steps"], 10, "{job}");

    let answer = server.post(JOBS, &private(&file, &privacy)).await;
    answer.refused(400, "privacy_budget_exceeded", Some("trainyard.privacy.target_epsilon"));
    assert_eq!(answer.header("x-should-retry"), "false");
    let dry = server.post(&format!("{JOBS}/preflight"), &private(&file, &privacy)).await.body;
    assert_eq!((&dry["valid"], &dry["privacy"]["fits"]), (&json!(false), &json!(false)), "{dry}");
    assert_eq!(dry["privacy"]["forecast"].as_array().unwrap().len(), 10);
}
