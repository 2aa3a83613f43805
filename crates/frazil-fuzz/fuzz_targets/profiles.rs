//! Profiles: any bytes, and any body behind a right cipher. What opens can be sealed again, to the same values.

#![no_main]

#[allow(dead_code, reason = "each target uses a part")]
mod forge;

use forge::{SALT, derive, seal, take};
use frazil_format::{DataKey, FormatError, Profiles};
use libfuzzer_sys::fuzz_target;

const DATA_KEY: [u8; 32] = [1; 32];
const CHUNKS: usize = 300;

fuzz_target!(|input: &[u8]| {
    let _ = read(input);
    let Ok(profiles) = read(&forge_profiles(input)) else { return };
    let key = DataKey::from_bytes(DATA_KEY).profile_key();
    let again = profiles.seal(&key, CHUNKS).expect("what opens can be sealed");
    assert_eq!(read(&again).expect("what was sealed opens"), profiles);
});

fn read(bytes: &[u8]) -> Result<Profiles, FormatError> {
    Profiles::open(bytes, &DataKey::from_bytes(DATA_KEY).profile_key(), CHUNKS)
}

/// The input is the body, in the shortest file that holds it.
fn forge_profiles(input: &[u8]) -> Vec<u8> {
    let profile_key = derive("frazil profile key v1", &[&DATA_KEY]);
    let len = (input.len() + 64).next_power_of_two().max(4096);
    let body = take(&mut &*input, len - 64);
    let mut bytes = b"frazilPR".to_vec();
    bytes.extend(1u32.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(SALT);
    bytes.extend(seal(derive("frazil profiles v1", &[&profile_key, &SALT]), &body));
    bytes
}
