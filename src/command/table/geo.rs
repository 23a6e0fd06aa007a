//! Places on a map: rows of the command table, sorted by name. Data only.

use crate::command::key_search::KeySearch;
use crate::command::table::{Row, after, at, cmd};

pub(super) const ROWS: &[Row] = &[
    cmd("geoadd", -5, "write denyoom", "geo").keys(&[at("RW update", 1)]),
    cmd("geodist", -4, "readonly", "geo").keys(&[at("RO access", 1)]),
    cmd("geohash", -2, "readonly", "geo").keys(&[at("RO access", 1)]),
    cmd("geopos", -2, "readonly", "geo").keys(&[at("RO access", 1)]),
    cmd("georadius", -6, "write denyoom", "geo")
        .keys(&[
            at("RO access", 1),
            after("OW update", "STORE", 6, 0, 0),
            after("OW update", "STOREDIST", 6, 0, 0),
        ])
        .search(KeySearch::GeoRadius),
    cmd("georadius_ro", -6, "readonly", "geo").keys(&[at("RO access", 1)]),
    cmd("georadiusbymember", -5, "write denyoom", "geo")
        .keys(&[
            at("RO access", 1),
            after("OW update", "STORE", 5, 0, 0),
            after("OW update", "STOREDIST", 5, 0, 0),
        ])
        .search(KeySearch::GeoRadius),
    cmd("georadiusbymember_ro", -5, "readonly", "geo").keys(&[at("RO access", 1)]),
    cmd("geosearch", -7, "readonly", "geo").keys(&[at("RO access", 1)]),
    cmd("geosearchstore", -8, "write denyoom", "geo")
        .keys(&[at("OW update", 1), at("RO access", 2)]),
];
