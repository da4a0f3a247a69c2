//! Request bodies, which are refused if they do not arrive in time.

use std::{error::Error, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::Method,
    middleware::Next,
    response::Response,
};
use tokio::time::timeout;

use super::{error::WebError, router::MAX_BODY};

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Buffers the body before the handler runs, so that a slow client does not use up the handler's
/// time.
pub(crate) async fn buffer_body(request: Request, next: Next) -> Result<Response, WebError> {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    let body = receive(body, BODY_TIMEOUT).await?;
    Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
}

async fn receive(body: Body, limit: Duration) -> Result<axum::body::Bytes, WebError> {
    match timeout(limit, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_too_large(&error) => Err(WebError::TooLarge),
        Ok(Err(_)) => {
            Err(WebError::BadRequest("The request was interrupted. Send it again.".to_owned()))
        }
        Err(_) => Err(WebError::SlowBody),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending};

    use axum::body::Bytes;
    use futures_util::{StreamExt, stream};

    use super::*;

    #[tokio::test]
    async fn a_body_that_does_not_arrive_is_the_clients_own_delay() {
        let begun = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"email="))]);
        let never = stream::once(pending::<Result<Bytes, Infallible>>());
        let slow = Body::from_stream(begun.chain(never));
        assert_eq!(receive(slow, Duration::from_millis(20)).await, Err(WebError::SlowBody));
        assert_eq!(
            receive(Body::from("email=a"), Duration::from_secs(5)).await,
            Ok(Bytes::from_static(b"email=a"))
        );
        assert_eq!(
            receive(Body::from(vec![b'a'; MAX_BODY + 1]), Duration::from_secs(5)).await,
            Err(WebError::TooLarge)
        );
    }
}
