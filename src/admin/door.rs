//! Who may look at the page: everybody, or who knows the password.
//!
//! Owns the HTTP authentication (Basic, RFC 7617) of what people look at. Metrics and health ask for
//! none: what scrapes and probes has none to give. Must not know what is behind it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use subtle::ConstantTimeEq;
use tokio::time::sleep;

use super::Admin;

/// Before a wrong password is told to be wrong; the connections of this port are few.
const WRONG_PAUSE: Duration = Duration::from_secs(1);

/// Lets a request through, or asks for the password.
pub(super) async fn check(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(password) = &admin.gateway.config.admin.password else {
        return next.run(request).await;
    };
    match given(request.headers()) {
        Some(given) if bool::from(given.as_bytes().ct_eq(password.expose().as_bytes())) => {
            next.run(request).await
        }
        given => {
            if given.is_some() {
                sleep(WRONG_PAUSE).await;
            }
            let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"Slotway\", charset=\"UTF-8\"")];
            (
                StatusCode::UNAUTHORIZED,
                ask,
                "this needs the password of [admin]; any user will do\n",
            )
                .into_response()
        }
    }
}

/// The password of whatever user.
fn given(headers: &HeaderMap) -> Option<String> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok();
    let decoded = decoded.filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_basic_authentication_gives_a_password() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, text.parse().unwrap());
            given(&headers)
        };
        assert_eq!(of("Basic dTpwOnc=").as_deref(), Some("p:w"));
        assert_eq!(of("bASIC  Onc=").as_deref(), Some("w"));
        for text in ["Basic", "Basic ", "Basic !!", "Bearer Onc=", "Basic dQ==", "Basic //86/w=="] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(given(&HeaderMap::new()), None);
    }
}
