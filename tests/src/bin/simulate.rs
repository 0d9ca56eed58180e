//! A year of three providers in seconds: `cargo xtask simulate`.

use std::{process::ExitCode, time::Instant};

use sigillo_tests::simulation::year;

const USAGE: &str = "usage: simulate SEED LETTERS SEEDS";

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [first, letters, seeds] = numbers[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    let Ok(letters) = usize::try_from(letters) else { return ExitCode::from(64) };
    for seed in first..first.saturating_add(seeds) {
        println!("seed {seed}, {letters} letters");
        let begin = Instant::now();
        match year(seed, letters) {
            Ok(year) => {
                let took_s = begin.elapsed().as_secs_f64();
                for (outcome, times) in &year.outcomes {
                    println!("{times:>7}  {outcome}");
                }
                let days = f64::from(u32::try_from(year.simulated_s / 86_400).unwrap_or(u32::MAX));
                println!(
                    "{days:.0} days in {took_s:.1} s ({:.0} days a second), {} jobs, {} of them broken",
                    days / took_s,
                    year.jobs,
                    year.broken
                );
            }
            Err(verdict) => {
                eprintln!("{verdict}");
                eprintln!("again: cargo xtask simulate --seed {seed} --letters {letters}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
