//! HyperLogLog: rows of the command table, sorted by name. Data only.

use crate::command::handling::Refusal;
use crate::command::table::{Row, at, cmd, range};

pub(super) const ROWS: &[Row] = &[
    cmd("pfadd", -2, "write denyoom fast", "hyperloglog").keys(&[at("RW insert", 1)]),
    cmd("pfcount", -2, "readonly may_replicate", "hyperloglog").keys(&[range(
        "RW access",
        1,
        -1,
        1,
    )]),
    cmd("pfdebug", 3, "write denyoom admin", "hyperloglog").keys(&[at("RW access", 2)]),
    cmd("pfmerge", -2, "write denyoom", "hyperloglog")
        .keys(&[at("RW access insert", 1), range("RO access", 2, -1, 1)]),
    cmd("pfselftest", 1, "admin", "hyperloglog").refuse(Refusal::ServerAdmin),
];
