//! What a model came of, and what came of it.

use std::collections::{BTreeSet, VecDeque};

use trainyard_openapi::id::JobId;
use trainyard_openapi::job::JobStatus;
use trainyard_openapi::limits::LINEAGE_NODES_MAX;
use trainyard_openapi::model::{
    LineageEdgeKind, LineageNodeKind, ModelLineage, ModelLineageEdge, ModelLineageNode,
};

use super::Scheduler;
use super::models::not_found;
use super::validation::file_id;
use crate::error::Result;
use crate::job::{JobRecord, JobState};
use crate::tenant::TenantContext;

/// A graph that grows up to its limit.
struct Graph {
    answer: ModelLineage,
    seen: BTreeSet<(LineageNodeKind, String)>,
}

impl Graph {
    fn of(name: &str) -> Self {
        let (id, object) = (name.to_string(), "model.lineage".to_string());
        let (nodes, edges, truncated) = (Vec::new(), Vec::new(), false);
        Self { answer: ModelLineage { id, object, nodes, edges, truncated }, seen: BTreeSet::new() }
    }

    fn has(&self, kind: LineageNodeKind, id: &str) -> bool {
        self.seen.contains(&(kind, id.to_string()))
    }

    /// Adds a node, where there is room.
    fn node(&mut self, kind: LineageNodeKind, id: &str, present: bool, status: Option<JobStatus>) {
        if self.has(kind, id) {
            return;
        }
        if self.seen.len() == LINEAGE_NODES_MAX {
            self.answer.truncated = true;
            return;
        }
        self.seen.insert((kind, id.to_string()));
        self.answer.nodes.push(ModelLineageNode { kind, id: id.to_string(), present, status });
    }

    fn edge(&mut self, kind: LineageEdgeKind, from: &str, to: &str) {
        let edge = ModelLineageEdge { kind, from: from.to_string(), to: to.to_string() };
        if !self.answer.edges.contains(&edge) {
            self.answer.edges.push(edge);
        }
    }

    /// The answer, without edges that lead to what is not shown.
    fn finish(mut self) -> ModelLineage {
        let shown: BTreeSet<&str> = self.seen.iter().map(|(_, id)| id.as_str()).collect();
        let both = |edge: &ModelLineageEdge| {
            shown.contains(edge.from.as_str()) && shown.contains(edge.to.as_str())
        };
        self.answer.edges.retain(both);
        self.answer
    }
}

impl Scheduler {
    /// What a model came of and what came of it. That of a model that was deleted can still be asked for, and that of a checkpoint too; a
    /// base model stands by itself.
    ///
    /// # Errors
    /// `model_not_found`.
    pub async fn model_lineage(&self, ctx: &TenantContext, name: &str) -> Result<ModelLineage> {
        let mut graph = Graph::of(name);
        if self.models_dir().get(name).is_some() {
            graph.node(LineageNodeKind::Model, name, true, None);
            return Ok(graph.finish());
        }
        let job = self.job_behind(ctx, name).await?.ok_or_else(|| not_found(name))?;
        let present = self.is_model(ctx, name).await?;
        if !present && !was_made(&job, name) {
            return Err(not_found(name).into());
        }
        graph.node(LineageNodeKind::Model, name, present, None);
        graph.edge(LineageEdgeKind::MadeBy, name, job.id.as_str());
        let mut next = VecDeque::from([job.id]);
        let mut seen: BTreeSet<JobId> = next.iter().cloned().collect();
        while let Some(id) = next.pop_front().filter(|_| !graph.answer.truncated) {
            let Some(job) = self.store().job(ctx.tenant(), &id).await? else { continue };
            self.add_job(ctx, &job, &mut graph).await?;
            let children = self.children_of(ctx.tenant(), &id).await?;
            let around = children.into_iter().map(|child| child.id);
            for other in job.parent.map(|parent| parent.job).into_iter().chain(around) {
                if seen.insert(other.clone()) {
                    next.push_back(other);
                }
            }
        }
        Ok(graph.finish())
    }

    /// Adds a job, what it made, what it read and what it began with.
    async fn add_job(&self, ctx: &TenantContext, job: &JobRecord, graph: &mut Graph) -> Result<()> {
        let id = job.id.as_str();
        graph.node(LineageNodeKind::Job, id, true, Some(job.state.status()));
        if let JobState::Succeeded { model, .. } = &job.state {
            self.add_model(ctx, model, graph).await?;
            graph.edge(LineageEdgeKind::MadeBy, model, id);
        }
        match &job.parent {
            None => {
                let present = self.models_dir().get(&job.model).is_some();
                graph.node(LineageNodeKind::Model, &job.model, present, None);
                graph.edge(LineageEdgeKind::Continues, id, &job.model);
            }
            Some(parent) => {
                self.add_model(ctx, &parent.model, graph).await?;
                graph.edge(LineageEdgeKind::Continues, id, &parent.model);
                graph.edge(LineageEdgeKind::MadeBy, &parent.model, parent.job.as_str());
            }
        }
        for input in job.inputs() {
            if !graph.has(LineageNodeKind::Dataset, input.id) {
                let file = self.store().file(ctx.tenant(), &file_id(job, input.id)?).await?;
                graph.node(LineageNodeKind::Dataset, input.id, file.is_some(), None);
            }
            if input.trained {
                graph.edge(LineageEdgeKind::TrainedOn, id, input.id);
            }
            if input.measured {
                graph.edge(LineageEdgeKind::ValidatedOn, id, input.id);
            }
        }
        Ok(())
    }

    async fn add_model(&self, ctx: &TenantContext, name: &str, graph: &mut Graph) -> Result<()> {
        if !graph.has(LineageNodeKind::Model, name) {
            let present = self.is_model(ctx, name).await?;
            graph.node(LineageNodeKind::Model, name, present, None);
        }
        Ok(())
    }

    /// Whether a result or checkpoint of this name is there.
    async fn is_model(&self, ctx: &TenantContext, name: &str) -> Result<bool> {
        Ok(self.store().model(ctx.tenant(), name).await?.is_some()
            || self.checkpoint_named(ctx, name).await?.is_some())
    }
}

/// Whether the job made this very result, which is gone.
fn was_made(job: &JobRecord, name: &str) -> bool {
    matches!(&job.state, JobState::Succeeded { model, .. } if model == name)
}
