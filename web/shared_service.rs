//! Services whose clones share one instance.
//!
//! A middleware of axum clones everything below it for each request, so that many of them, one in
//! the other, would clone the innermost ones once for each of them, also where a cached page is the
//! response and none of those is called.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use tower::{Layer, Service, ServiceExt as _, util::Oneshot};

/// Makes the service below it cheap to clone: it is cloned when it is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedLayer;

impl<S> Layer<S> for SharedLayer {
    type Service = SharedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SharedService(Arc::new(inner))
    }
}

/// See [`SharedLayer`].
#[derive(Debug)]
pub(crate) struct SharedService<S>(Arc<S>);

impl<S> Clone for SharedService<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, R> Service<R> for SharedService<S>
where
    S: Service<R, Error = Infallible> + Clone,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Oneshot<S, R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The clone that is called waits until it is ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        S::clone(&self.0).oneshot(request)
    }
}
