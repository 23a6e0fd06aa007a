//! Strings read as bits: rows of the command table, sorted by name. Data only.

use crate::command::key_search::KeySearch;
use crate::command::table::{Row, at, cmd, range};

pub(super) const ROWS: &[Row] = &[
    cmd("bitcount", -2, "readonly", "bitmap").keys(&[at("RO access", 1)]),
    cmd("bitfield", -2, "write denyoom", "bitmap")
        .keys(&[at("RW update access variable_flags", 1)])
        .search(KeySearch::BitField),
    cmd("bitfield_ro", -2, "readonly fast", "bitmap").keys(&[at("RO access", 1)]),
    cmd("bitop", -4, "write denyoom", "bitmap")
        .keys(&[at("OW update", 2), range("RO access", 3, -1, 1)]),
    cmd("bitpos", -3, "readonly", "bitmap").keys(&[at("RO access", 1)]),
    cmd("getbit", 3, "readonly fast", "bitmap").keys(&[at("RO access", 1)]),
    cmd("setbit", 4, "write denyoom", "bitmap").keys(&[at("RW access update", 1)]),
];
