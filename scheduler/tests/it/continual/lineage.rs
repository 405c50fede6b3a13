//! The graph of models, jobs and datasets.

use serde_json::json;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::model::{LineageEdgeKind, LineageNodeKind, ModelLineage};

use super::{Stream, file, made};
use crate::world::{World, code};

fn has(graph: &ModelLineage, kind: LineageEdgeKind, from: &str, to: &str) -> bool {
    graph.edges.iter().any(|edge| edge.kind == kind && edge.from == from && edge.to == to)
}

#[tokio::test]
async fn a_model_shows_what_it_came_of_and_what_came_of_it() {
    let world = World::new(1).await;
    let stream = Stream::of(&world, "x").await;
    let (first, model) = made(&world, &stream.training[0], stream.extra(json!({}))).await;
    let next = file(&world, "y").await;
    let (second, heir) = made(&world, &next, json!({"model": model})).await;
    let lineage = async |name: &str| world.scheduler.model_lineage(&world.ctx, name).await;
    for name in [&model, &heir] {
        let graph = lineage(name).await.unwrap();
        // Three models with the base, two jobs, six files.
        assert_eq!((graph.nodes.len(), graph.truncated), (11, false));
        assert_eq!((graph.nodes[0].kind, &graph.nodes[0].id), (LineageNodeKind::Model, name));
        let (first, second) = (first.as_str(), second.as_str());
        assert!(has(&graph, LineageEdgeKind::MadeBy, &model, first));
        assert!(has(&graph, LineageEdgeKind::MadeBy, &heir, second));
        assert!(has(&graph, LineageEdgeKind::Continues, second, &model));
        assert!(has(&graph, LineageEdgeKind::Continues, first, "tiny"));
        assert!(has(&graph, LineageEdgeKind::TrainedOn, first, stream.training[1].as_str()));
        assert!(has(&graph, LineageEdgeKind::ValidatedOn, first, stream.held_out.as_str()));
        assert!(has(&graph, LineageEdgeKind::TrainedOn, second, next.as_str()));
    }
    let base = lineage("tiny").await.unwrap();
    assert_eq!((base.nodes.len(), base.edges.len()), (1, 0));

    world.scheduler.delete_file(&world.ctx, &next).await.unwrap();
    world.scheduler.delete_model(&world.ctx, &model).await.unwrap();
    let graph = lineage(&model).await.unwrap();
    let gone: Vec<&str> =
        graph.nodes.iter().filter(|node| !node.present).map(|node| node.id.as_str()).collect();
    assert_eq!(gone, [model.as_str(), next.as_str()]);
    assert_eq!(code(lineage("ft:tiny:000000:x:0000").await), ErrorCode::ModelNotFound);
    let stranger = world.stranger().await;
    assert_eq!(
        code(world.scheduler.model_lineage(&stranger, &heir).await),
        ErrorCode::ModelNotFound
    );
}
