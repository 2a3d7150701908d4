//! Random bytes that are counted.

use std::sync::atomic::{AtomicU64, Ordering};

use statuspulse_app::{Entropy, env::NoEntropy};

/// One count for the whole process: two instances on one database must not make the same ids.
static DRAWN: AtomicU64 = AtomicU64::new(0);

/// Bytes that look random, never repeat within the process and are the same in each run of a test that runs alone.
#[derive(Debug, Default)]
pub struct CountingEntropy;

impl Entropy for CountingEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoEntropy> {
        for part in buffer.chunks_mut(8) {
            let bytes = mixed(DRAWN.fetch_add(1, Ordering::Relaxed)).to_le_bytes();
            for (byte, drawn) in part.iter_mut().zip(bytes) {
                *byte = drawn;
            }
        }
        Ok(())
    }
}

/// The finish of SplitMix64, a bijection: different numbers stay different.
fn mixed(number: u64) -> u64 {
    let step = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let step = (step ^ (step >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let step = (step ^ (step >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    step ^ (step >> 31)
}
