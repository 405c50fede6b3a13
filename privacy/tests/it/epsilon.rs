//! Epsilon against Opacus and Google's PLD on the grid of `golden/gen/epsilon.py`.

use serde::Deserialize;
use trainyard_privacy::Phase;
use trainyard_privacy::prv::PrvAccountant;
use trainyard_privacy::rdp::{Orders, RdpAccountant};

#[derive(Deserialize)]
struct Row {
    phases: Vec<Settings>,
    delta: f64,
    /// Epsilon of Opacus' RDP accountant and the order it came from.
    rdp: f64,
    order: f64,
    /// Lower, estimate and upper of Opacus' PRV accountant; null where it gave up.
    prv: Option<[f64; 3]>,
    /// Epsilon of Google's PLD.
    pld: f64,
}

#[derive(Deserialize)]
struct Settings {
    noise_multiplier: f64,
    sampling_rate: f64,
    steps: u64,
}

impl Row {
    fn phases(&self) -> Vec<Phase> {
        let phase =
            |s: &Settings| Phase::new(s.noise_multiplier, s.sampling_rate, s.steps).unwrap();
        self.phases.iter().map(phase).collect()
    }
}

fn rows() -> Vec<Row> {
    let rows: Vec<Row> = serde_json::from_str(include_str!("../golden/epsilon.json")).unwrap();
    assert!(rows.len() >= 200, "{} rows", rows.len());
    rows
}

#[test]
fn rdp_equals_opacus() {
    let mut opacus = RdpAccountant::new(Orders::opacus());
    let mut extended = RdpAccountant::default();
    for row in rows() {
        let phases = row.phases();
        let ours = opacus.epsilon(&phases, row.delta).unwrap();
        let named = format!("{phases:?} delta {}", row.delta);
        assert!((ours.epsilon - row.rdp).abs() < 1e-6, "{named}: {ours:?}, opacus {}", row.rdp);
        assert!(ours.epsilon == 0.0 || (ours.order - row.order).abs() < 1e-9, "{named}: {ours:?}");
        // More orders only tighten, and never below the truth.
        let more = extended.epsilon(&phases, row.delta).unwrap();
        assert!(more.epsilon <= ours.epsilon + 1e-12, "{named}: {more:?}");
        assert!(more.epsilon >= row.pld - 1e-3, "{named}: {more:?}, pld {}", row.pld);
    }
}

#[test]
fn prv_equals_pld_and_bounds_it() {
    let mut prv = PrvAccountant::default();
    let mut slowest = std::time::Duration::ZERO;
    let (mut worst, mut bad) = (0.0_f64, vec![]);
    for row in rows() {
        let phases = row.phases();
        let started = std::time::Instant::now();
        let ours = prv.epsilon(&phases, row.delta).unwrap();
        if started.elapsed() > slowest {
            slowest = started.elapsed();
            println!("{slowest:?} for {} points, {} phases", ours.points, phases.len());
        }
        worst = worst.max((ours.estimate - row.pld).abs());
        let close = (ours.estimate - row.pld).abs() < 0.02
            && (ours.upper - row.pld).abs() < 0.02
            && row.prv.is_none_or(|prv| (ours.upper - prv[2]).abs() < 0.02);
        let sound = ours.lower <= row.pld && row.pld <= ours.upper;
        if !close || !sound {
            bad.push(format!("{phases:?} {}: {ours:?} pld {} {:?}", row.delta, row.pld, row.prv));
        }
    }
    println!("slowest {slowest:?}, estimate within {worst:.6} of PLD");
    assert!(bad.is_empty(), "{} rows:\n{}", bad.len(), bad.join("\n"));
}
