//! What becomes of a request in a database with a tag.
//!
//! Owns the form of the outcome. Data only.

use super::reply::Rename;
use crate::reply::handle::OnFailure;

/// A request that nodes get in another form.
pub(in crate::session) struct Tagged {
    /// All its bytes.
    pub(in crate::session) frame: Vec<u8>,
    /// What may be done with it when it comes back, where that is not what the command's row says.
    pub(in crate::session) on_failure: Option<OnFailure>,
    /// What is done with the reply.
    pub(in crate::session) rename: Option<Rename>,
}

/// What becomes of a request.
pub(in crate::session) enum Translation {
    /// It is the same in every database.
    AsItIs,
    /// It is another at the nodes.
    Tagged(Tagged),
    /// It cannot be in such a database; an error for the client.
    Refuse(String),
}
