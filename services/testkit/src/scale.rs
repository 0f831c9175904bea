//! How much a test does: little every day, much where time does not matter (`make soak`).

/// Returns the first everyday, the second if `SOAK` is set.
pub fn at_scale<T>(everyday: T, soak: T) -> T {
    if std::env::var_os("SOAK").is_some() { soak } else { everyday }
}

/// Returns the seed in `SEED`, or a random one; prints it, so that a failure can be repeated.
///
/// # Panics
/// `SEED` is set and no number.
pub fn seed() -> u64 {
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().expect("SEED is a number"));
    println!("SEED={seed}");
    seed
}
