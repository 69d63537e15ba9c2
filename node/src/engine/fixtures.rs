//! What the engine's unit tests share.

use runnel_codec::{Epoch, Hello, Lineage, LinkNumber};

/// A hello of a process with boot epoch 1, of the fleet `lab`, that has nothing and expects nothing.
pub(super) fn empty_hello() -> Hello {
    Hello {
        fleet: "lab".parse().expect("a name"),
        link: LinkNumber::FIRST,
        boot: Epoch::from_random(1),
        store: None,
        receiver: None,
        expected_boot: None,
        expected_receiver: None,
        lineage: Lineage::default(),
        sent: vec![],
        journaled: vec![],
        settled: vec![],
        commands: vec![],
        features: 0,
        receive_window: 0,
        args_bytes_max: 0,
        payload_bytes_max: 0,
    }
}
