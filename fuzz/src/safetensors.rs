//! Weight files: one `model.safetensors`, or an index that names shards.

use std::path::Path;

use trainyard_trainer::weights::safetensors::SafetensorsSource;
use trainyard_trainer::weights::{WeightSource, bytes_of, element_size, require};

/// A whole shard for an index to name: tensor `a` of two bytes.
const SHARD: &[u8] =
    b"\x35\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}\x01\x02";

/// Reads `bytes` as an index where they begin as JSON, else as weights.
///
/// # Panics
/// Where a tensor has another size than its shape says.
pub fn run(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).expect(name);
    if bytes.starts_with(b"{") {
        write("model.safetensors.index.json", bytes);
        write("model-00001-of-00001.safetensors", SHARD);
    } else {
        write("model.safetensors", bytes);
    }
    read(dir.path());
}

fn read(dir: &Path) {
    let Ok(source) = SafetensorsSource::open_dir(dir) else { return };
    for name in source.names() {
        // A format that libtorch lacks is refused here.
        let Ok(Some(tensor)) = source.tensor(&name) else { continue };
        let size = element_size(tensor.kind()).expect("a format that can be written");
        let bytes = bytes_of(&tensor).expect("bytes");
        assert_eq!(bytes.len(), tensor.numel() * size, "{name}");
        let mut copy = tensor.empty_like();
        assert!(require(&source, &name, &mut copy).is_ok(), "{name}");
        assert_eq!(bytes_of(&copy).expect("bytes"), bytes, "{name}");
        assert!(require(&source, "no such tensor", &mut copy).is_err());
    }
}
