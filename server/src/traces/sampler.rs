//! Which traces are recorded. A run is a trace of its own that links to the request that made the job: where callers decide, the one of that
//! request decides for the run too, so that none of the two is there without the other.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

use crate::config::{Roots, TracePlan};

/// The sampler that was asked for.
pub(super) fn of(plan: &TracePlan) -> Box<dyn ShouldSample> {
    let roots = match plan.sampler.roots {
        Roots::All => Sampler::AlwaysOn,
        Roots::None => Sampler::AlwaysOff,
        Roots::Share => Sampler::TraceIdRatioBased(plan.share),
    };
    match plan.sampler.parent_based {
        true => Box::new(CauseBased(Sampler::ParentBased(Box::new(roots)))),
        false => Box::new(roots),
    }
}

/// Decides as the cause of a trace was decided, then as the sampler inside.
#[derive(Debug, Clone)]
struct CauseBased(Sampler);

impl ShouldSample for CauseBased {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let root = !parent.is_some_and(|parent| parent.span().span_context().is_valid());
        match links.first().filter(|_| root) {
            Some(cause) => SamplingResult {
                decision: match cause.span_context.is_sampled() {
                    true => SamplingDecision::RecordAndSample,
                    false => SamplingDecision::Drop,
                },
                attributes: Vec::new(),
                trace_state: TraceState::default(),
            },
            None => self.0.should_sample(parent, trace, name, kind, attributes, links),
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags};

    use super::*;

    fn decided(roots: Sampler, cause: Option<TraceFlags>) -> SamplingDecision {
        let (trace, span) = (TraceId::from(1), SpanId::from(1));
        let of = |flags| SpanContext::new(trace, span, flags, true, TraceState::default());
        let links: Vec<_> = cause.map(|flags| Link::with_context(of(flags))).into_iter().collect();
        let sampler = CauseBased(Sampler::ParentBased(Box::new(roots)));
        sampler.should_sample(None, trace, "run", &SpanKind::Consumer, &[], &links).decision
    }

    #[test]
    fn a_run_is_recorded_where_the_request_was() {
        let (yes, no) = (SamplingDecision::RecordAndSample, SamplingDecision::Drop);
        assert_eq!(decided(Sampler::AlwaysOff, Some(TraceFlags::SAMPLED)), yes);
        assert_eq!(decided(Sampler::AlwaysOn, Some(TraceFlags::default())), no);
        assert_eq!(decided(Sampler::AlwaysOn, None), yes);
        assert_eq!(decided(Sampler::AlwaysOff, None), no);
    }
}
