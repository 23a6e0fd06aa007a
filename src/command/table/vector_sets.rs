//! Vector sets (Redis 8): rows of the command table, sorted by name. Data only.

use crate::command::table::{Row, at, cmd};

pub(super) const ROWS: &[Row] = &[
    cmd("vadd", -5, "write denyoom module", "").keys(&[at("RW access update", 1)]),
    cmd("vcard", 2, "readonly module fast", "").keys(&[at("RW access update", 1)]),
    cmd("vdim", 2, "readonly module fast", "").keys(&[at("RW access update", 1)]),
    cmd("vemb", -3, "readonly module fast", "").keys(&[at("RW access update", 1)]),
    cmd("vgetattr", 3, "readonly module fast", "").keys(&[at("RW access update", 1)]),
    cmd("vinfo", 2, "readonly module fast", "").keys(&[at("RW access update", 1)]),
    cmd("vismember", 3, "readonly module", "").keys(&[at("RW access update", 1)]),
    cmd("vlinks", -3, "readonly module fast", "").keys(&[at("RW access update", 1)]),
    cmd("vrandmember", -2, "readonly module", "").keys(&[at("RW access update", 1)]),
    cmd("vrange", -4, "readonly module", "").keys(&[at("RW access update", 1)]),
    cmd("vrem", 3, "write module", "").keys(&[at("RW access update", 1)]),
    cmd("vsetattr", 4, "write module fast", "").keys(&[at("RW access update", 1)]),
    cmd("vsim", -4, "readonly module", "").keys(&[at("RW access update", 1)]),
];
