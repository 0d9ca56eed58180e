//! A year of three providers, as some seeds have it (`cargo xtask simulate` runs others).

use sigillo_tests::simulation::year;

const LETTERS: usize = 120;

fn ends_as_it_must(seed: u64) {
    let year = year(seed, LETTERS);
    let year = year.unwrap_or_else(|verdict| panic!("seed {seed}, {LETTERS} letters: {verdict}"));
    assert!(year.broken > LETTERS / 10, "{year:?}");
    assert!(year.outcomes.len() > 6, "{:?}", year.outcomes);
}

#[test]
fn a_year_by_seed_1() {
    ends_as_it_must(1);
}

#[test]
fn a_year_by_seed_2() {
    ends_as_it_must(2);
}

#[test]
fn a_year_by_seed_3() {
    ends_as_it_must(3);
}
