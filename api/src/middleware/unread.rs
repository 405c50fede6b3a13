//! Bodies that were not read to their end.
//!
//! The HTTP library closes the connection after an answer to a request whose body is still wanted by somebody. One that nobody
//! wants any more and that comes in chunks it would read to its end, however long that takes. So the answer itself keeps
//! hold of what is unread.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures::{FutureExt, Stream, StreamExt};

/// A body that its reader may drop while it is kept here.
#[derive(Clone)]
pub(super) struct Kept(Rc<RefCell<State>>);

struct State {
    payload: Payload,
    ended: bool,
}

impl Kept {
    pub(super) fn new(payload: Payload) -> Self {
        Self(Rc::new(RefCell::new(State { payload, ended: false })))
    }

    /// Lets the answer keep what of the body is unread, so that the connection is closed behind it.
    pub(super) fn keep_in(mut self, response: HttpResponse) -> HttpResponse {
        // What has come already is no reason to close.
        while let Some(Some(Ok(_))) = self.next().now_or_never() {}
        if self.0.borrow().ended {
            return response;
        }
        response.map_body(|_, body| BoxBody::new(Keeper { body, _kept: self }))
    }
}

impl Stream for Kept {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.borrow_mut();
        let polled = state.payload.poll_next_unpin(context);
        state.ended |= matches!(polled, Poll::Ready(None));
        polled
    }
}

/// An answer's body with the request's.
struct Keeper {
    body: BoxBody,
    _kept: Kept,
}

impl MessageBody for Keeper {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
