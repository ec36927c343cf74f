//! Reed and Solomon's code, by registers whose content this machine keeps.

use longhaul_emulator::guest::registers;
use reed_solomon_simd::Error;
use reed_solomon_simd::engine::{DefaultEngine, Engine, NoSimd};
use reed_solomon_simd::rate::{DefaultRateDecoder, DefaultRateEncoder, RateDecoder, RateEncoder};

/// A shard and its index, among the data or among the parity.
pub(super) type Shard = (usize, Vec<u8>);

/// So many shards of parity for `block`, whose shards are of one length.
pub(super) fn parity(block: &[Vec<u8>], parity: usize) -> Result<Vec<Vec<u8>>, Error> {
    match registers::are_lost() {
        true => parity_by(NoSimd::new(), block, parity),
        false => parity_by(DefaultEngine::new(), block, parity),
    }
}

/// The shards that are missing from a block of `count`, by those that are known and those of its `parity` that came.
pub(super) fn restored(
    count: usize,
    parity: usize,
    known: &[Shard],
    came: &[Shard],
) -> Result<Vec<Shard>, Error> {
    match registers::are_lost() {
        true => restored_by(NoSimd::new(), count, parity, known, came),
        false => restored_by(DefaultEngine::new(), count, parity, known, came),
    }
}

fn parity_by(engine: impl Engine, block: &[Vec<u8>], parity: usize) -> Result<Vec<Vec<u8>>, Error> {
    let length = block.first().map_or(0, Vec::len);
    let mut encoder = DefaultRateEncoder::new(block.len(), parity, length, engine, None)?;
    for shard in block {
        encoder.add_original_shard(shard)?;
    }
    let coded = encoder.encode()?;
    Ok(coded.recovery_iter().map(<[u8]>::to_vec).collect())
}

fn restored_by(
    engine: impl Engine,
    count: usize,
    parity: usize,
    known: &[Shard],
    came: &[Shard],
) -> Result<Vec<Shard>, Error> {
    let length = came.first().map_or(0, |(_, shard)| shard.len());
    let mut decoder = DefaultRateDecoder::new(count, parity, length, engine, None)?;
    for (index, shard) in known {
        decoder.add_original_shard(*index, shard)?;
    }
    for (index, shard) in came {
        decoder.add_recovery_shard(*index, shard)?;
    }
    let decoded = decoder.decode()?;
    let restored = decoded.restored_original_iter();
    Ok(restored
        .map(|(index, shard)| (index, shard.to_vec()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_kind_of_registers_coded_another_restores() {
        let block: Vec<Vec<u8>> = (0..16_u8)
            .map(|shard| (0..130_u8).map(|at| shard.wrapping_mul(31) ^ at).collect())
            .collect();
        let plain = parity_by(NoSimd::new(), &block, 4).unwrap();
        assert_eq!(plain, parity_by(DefaultEngine::new(), &block, 4).unwrap());
        let known: Vec<Shard> = (0..).zip(block.clone()).skip(4).collect();
        let came: Vec<Shard> = (0..).zip(plain).collect();
        let lost: Vec<Shard> = (0..).zip(block).take(4).collect();
        for restored in [
            restored_by(NoSimd::new(), 16, 4, &known, &came).unwrap(),
            restored_by(DefaultEngine::new(), 16, 4, &known, &came).unwrap(),
        ] {
            assert_eq!(restored, lost);
        }
    }
}
