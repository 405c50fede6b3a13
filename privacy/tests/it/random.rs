//! Noise and sampling against their distributions.
//!
//! Keys come from the operating system, so every run draws other values and each test could fail by chance. Each bound below is set for
//! a false alarm in at most 1e-9 of runs; all of them together stay under 1e-7.

use trainyard_privacy::random::SecureRandom;

const COUNT: usize = 400_000;
/// What a standard normal variable exceeds in size with probability 1e-9.
const NINE_NINES: f64 = 6.11;

fn noise(deviation: f64) -> Vec<f32> {
    let mut values = vec![0.0; COUNT];
    SecureRandom::from_system().unwrap().fill_noise(deviation, &mut values).unwrap();
    values
}

fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

/// The Kolmogorov-Smirnov distance to a normal distribution, over its bound at 1e-9 (Massart: 2 e^(-2 n d^2)).
fn distance(values: &[f32], deviation: f64) -> f64 {
    let mut sorted: Vec<f64> = values.iter().map(|value| f64::from(*value) / deviation).collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let worst = sorted.iter().enumerate().fold(0.0_f64, |worst, (place, value)| {
        let expected = normal_cdf(*value);
        worst
            .max((expected - place as f64 / count).abs())
            .max((place as f64 + 1.0) / count - expected)
    });
    worst / ((2.0 / 1e-9_f64).ln() / (2.0 * count)).sqrt()
}

#[test]
fn noise_is_gaussian() {
    for deviation in [1.0, 0.037, 250.0] {
        let values = noise(deviation);
        assert!(distance(&values, deviation) < 1.0, "deviation {deviation}");
        // The same test sees noise that is 4 % too small or moved by a fortieth of its deviation.
        assert!(distance(&values, deviation * 1.04) > 1.0, "a test that cannot fail");
        let moved: Vec<f32> = values.iter().map(|v| v + (deviation * 0.025) as f32).collect();
        assert!(distance(&moved, deviation) > 1.0, "a test that cannot fail");
    }
}

#[test]
fn moments_and_tails_are_those_of_a_gaussian() {
    let values = noise(2.0);
    let count = COUNT as f64;
    let moment = |power: i32| {
        values.iter().map(|value| (f64::from(*value) / 2.0).powi(power)).sum::<f64>() / count
    };
    // Standard deviations of the sample's moments: sqrt(1, 2, 96) / sqrt(n). The fourth power has heavy tails: half again as much.
    assert!(moment(1).abs() < NINE_NINES / count.sqrt());
    assert!((moment(2) - 1.0).abs() < NINE_NINES * 2_f64.sqrt() / count.sqrt());
    assert!((moment(4) - 3.0).abs() < 1.5 * NINE_NINES * 96_f64.sqrt() / count.sqrt());
    // Beyond three deviations: 0.27 % expected, a binomial count.
    let beyond = values.iter().filter(|value| value.abs() > 6.0).count() as f64;
    let expected = count * 2.0 * normal_cdf(-3.0);
    assert!((beyond - expected).abs() < 1.1 * NINE_NINES * expected.sqrt(), "{beyond} {expected}");
}

#[test]
fn values_and_generators_are_independent() {
    let (first, second) = (noise(1.0), noise(1.0));
    let correlation = |a: &[f32], b: &[f32]| {
        let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        sum / (a.len() as f64).sqrt()
    };
    assert!(correlation(&first, &second).abs() < NINE_NINES, "two generators");
    for lag in [1, 2, 4, 1000] {
        assert!(correlation(&first, &first[lag..]).abs() < NINE_NINES, "lag {lag}");
    }
    // A generator used twice goes on and does not repeat.
    let mut generator = SecureRandom::from_system().unwrap();
    let (mut before, mut after) = ([0.0_f32; 64], [0.0_f32; 64]);
    generator.fill_noise(1.0, &mut before).unwrap();
    generator.fill_noise(1.0, &mut after).unwrap();
    assert_ne!(before, after);
}

#[test]
fn added_noise_moves_values_by_its_deviation() {
    // The last block is not whole, nor are its last lanes.
    let mut values = vec![3.0_f32; COUNT + 13];
    let squares = SecureRandom::from_system().unwrap().add_noise(0.5, 0.25, &mut values).unwrap();
    let own: f64 = values.iter().map(|value| (4.0 * f64::from(*value)).powi(2)).sum();
    assert!((squares / own - 1.0).abs() < 1e-6, "{squares} {own}");
    values.iter_mut().for_each(|value| *value = 4.0 * *value - 3.0);
    assert!(distance(&values, 0.5) < 1.0);
}

#[test]
fn each_unit_is_drawn_on_its_own() {
    let mut generator = SecureRandom::from_system().unwrap();
    let (units, steps, rate) = (500, 8000, 0.03);
    let mut of_unit = vec![0.0; units];
    let mut sizes = vec![];
    let mut together = 0.0;
    for _ in 0..steps {
        let drawn = generator.poisson_sample(rate, units).unwrap();
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]) && drawn.iter().all(|u| *u < units));
        drawn.iter().for_each(|unit| of_unit[*unit] += 1.0);
        together += drawn.windows(2).filter(|pair| pair[1] == pair[0] + 1).count() as f64;
        sizes.push(drawn.len() as f64);
    }
    let (units, steps) = (units as f64, f64::from(steps));
    let spread = |expected: f64| (expected * (1.0 - rate)).sqrt();
    let total: f64 = sizes.iter().sum();
    assert!((total - units * steps * rate).abs() < NINE_NINES * spread(units * steps * rate));
    // 500 units: each may stray with a five hundredth of the chance, 7.1 deviations.
    let expected = steps * rate;
    assert!(of_unit.iter().all(|drawn| (drawn - expected).abs() < 7.2 * spread(expected)));
    // The size of a batch varies as a binomial count does: a fixed size would not be Poisson sampling.
    let mean = units * rate;
    let variance = sizes.iter().map(|size| (size - mean).powi(2)).sum::<f64>() / steps;
    let expected = mean * (1.0 - rate);
    let deviation = expected * (2.0 / steps).sqrt();
    assert!((variance - expected).abs() < 1.3 * NINE_NINES * deviation, "{variance} {expected}");
    // Neighbours are drawn together as often as rate squared says.
    let expected = steps * (units - 1.0) * rate * rate;
    assert!((together - expected).abs() < 1.1 * NINE_NINES * expected.sqrt(), "{together}");
    assert_eq!(generator.poisson_sample(1.0, 5).unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn every_subset_is_as_likely() {
    let mut generator = SecureRandom::from_system().unwrap();
    let mut seen = std::collections::BTreeMap::new();
    let draws = 100_000;
    for _ in 0..draws {
        let subset = generator.subset(5, 2);
        assert!(subset.len() == 2 && subset[0] < subset[1] && subset[1] < 5);
        *seen.entry(subset).or_insert(0.0) += 1.0;
    }
    assert_eq!(seen.len(), 10);
    let expected = f64::from(draws) / 10.0;
    // Ten counts share the chance: 6.5 deviations.
    let spread = (expected * 0.9).sqrt();
    assert!(seen.values().all(|count| (count - expected).abs() < 6.5 * spread), "{seen:?}");
    assert_eq!(generator.subset(3, 7), [0, 1, 2]);
    assert_eq!(generator.subset(3, 0), Vec::<usize>::new());
}

#[test]
fn nothing_shows_the_key_and_no_step_goes_without_noise() {
    let mut generator = SecureRandom::from_system().unwrap();
    assert_eq!(format!("{generator:?}"), "SecureRandom { .. }");
    for deviation in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = generator.fill_noise(deviation, &mut [0.0]).unwrap_err().to_string();
        assert!(refused.starts_with("noise standard deviation"), "{refused}");
    }
    for rate in [0.0, 1.5, f64::NAN] {
        assert!(generator.poisson_sample(rate, 3).is_err());
    }
}

/// How fast noise comes: `cargo test --release -p trainyard-privacy speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, in release builds"]
fn noise_speed() {
    let mut generator = SecureRandom::from_system().unwrap();
    let mut values = vec![0.0_f32; 4_000_000];
    let best = (0..5)
        .map(|_| {
            let started = std::time::Instant::now();
            generator.fill_noise(1.0, &mut values).unwrap();
            started.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    println!("noise: {:.1} million f32 a second on one core", values.len() as f64 / best / 1e6);
    let started = std::time::Instant::now();
    let drawn = generator.poisson_sample(0.01, 4_000_000).unwrap().len();
    println!("sampling: 4 million units, {drawn} drawn, {:?}", started.elapsed());
}
