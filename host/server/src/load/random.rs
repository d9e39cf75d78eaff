//! Choices that are the same again for the same seed.

use fastrand::Rng;

/// Names with weights, to choose from.
#[derive(Debug)]
pub struct Weighted {
    names: Vec<&'static str>,
    /// The sum of the weights up to and with each name.
    bounds: Vec<u32>,
    total: u32,
}

impl Weighted {
    /// Names and how often each is chosen, in proportion.
    pub fn new(weights: impl IntoIterator<Item = (&'static str, u32)>) -> Self {
        let (mut names, mut bounds, mut total) = (Vec::new(), Vec::new(), 0);
        for (name, weight) in weights {
            total += weight;
            names.push(name);
            bounds.push(total);
        }
        Self { names, bounds, total }
    }

    /// One of the names.
    pub fn pick(&self, random: &mut Rng) -> &'static str {
        let drawn = random.u32(0..self.total);
        self.names[self.bounds.partition_point(|bound| *bound <= drawn)]
    }
}

/// Another number for each number, far from those of its neighbours (the finalizer of SplitMix64).
pub fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
