//! How far ahead or behind a tenant may be when it joins those who wait for a pool.
//!
//! Shares alone would let a tenant with no usage take every device until it has caught up with a week of the others', and would let it
//! save up rights while it asks for nothing. So what a tenant has used decides whose turn it is, but when it begins to wait it is taken
//! to be at most [`CATCH_UP_SECONDS`] of the whole pool ahead of who is last, or behind who is first, among those who wait. From then on
//! they take turns by what they use. Kueue bounds the same with quotas that a newcomer cannot exceed; packet schedulers with the
//! virtual time at which a flow begins.

use std::collections::BTreeMap;

use trainyard_openapi::id::TenantId;

/// For how long a newcomer may have all devices of a pool to itself, in seconds, before turns are taken; as long may one be passed over.
pub const CATCH_UP_SECONDS: f64 = 6.0 * 3600.0;

/// How far apart two shares may be when a tenant joins: `devices` of a pool, among those who wait with `weights` together.
pub fn spread(devices: u32, weights: u32) -> f64 {
    CATCH_UP_SECONDS * f64::from(devices) / f64::from(weights.max(1))
}

/// What is added to the shares of those who wait. `before` are those who waited already, with what was added to theirs; `shares` are
/// all who wait now, with their shares to which nothing is added.
pub fn join(
    before: &BTreeMap<TenantId, f64>,
    shares: &BTreeMap<TenantId, f64>,
    spread: f64,
) -> BTreeMap<TenantId, f64> {
    let mut offsets: BTreeMap<TenantId, f64> = BTreeMap::new();
    let mut range: Option<(f64, f64)> = None;
    for (tenant, share) in shares {
        if let Some(offset) = before.get(tenant) {
            offsets.insert(tenant.clone(), *offset);
            range = Some(widened(range, share + offset));
        }
    }
    let mut joining: Vec<(&TenantId, f64)> = shares
        .iter()
        .filter(|(tenant, _)| !before.contains_key(*tenant))
        .map(|(tenant, share)| (tenant, *share))
        .collect();
    joining.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(b.0)));
    for (tenant, share) in joining {
        let place = match range {
            None => share,
            // Where the others have drifted further apart, between them.
            Some((first, last)) => {
                share.clamp((last - spread).min(first), (first + spread).max(last))
            }
        };
        offsets.insert(tenant.clone(), place - share);
        range = Some(widened(range, place));
    }
    offsets
}

fn widened(range: Option<(f64, f64)>, share: f64) -> (f64, f64) {
    range.map_or((share, share), |(first, last)| (first.min(share), last.max(share)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::sample;

    fn shares(figures: &[(&TenantId, f64)]) -> BTreeMap<TenantId, f64> {
        figures.iter().map(|(tenant, share)| ((*tenant).clone(), *share)).collect()
    }

    #[test]
    fn a_newcomer_is_a_little_ahead_and_a_heavy_user_a_little_behind() {
        let (heavy, new) = (sample::tenant(), sample::tenant());
        let before = shares(&[(&heavy, 0.0)]);
        let both = shares(&[(&heavy, 1e6), (&new, 0.0)]);
        assert_eq!(join(&before, &both, 100.0)[&new], 1e6 - 100.0);
        let before = shares(&[(&new, 0.0)]);
        assert_eq!(join(&before, &both, 100.0)[&heavy], 100.0 - 1e6);
        let together = join(&BTreeMap::new(), &both, 100.0);
        assert_eq!((together[&new], together[&heavy]), (0.0, 100.0 - 1e6));
    }

    #[test]
    fn who_is_close_is_left_alone_and_who_left_joins_anew() {
        let (one, two) = (sample::tenant(), sample::tenant());
        let both = shares(&[(&one, 50.0), (&two, 80.0)]);
        let offsets = join(&BTreeMap::new(), &both, 100.0);
        assert_eq!(offsets, shares(&[(&one, 0.0), (&two, 0.0)]));
        let gone = join(&offsets, &shares(&[(&one, 50.0)]), 100.0);
        assert_eq!(gone.len(), 1);
    }
}
