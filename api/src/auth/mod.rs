//! Who is asking. A handler of a tenant's route takes a [`Caller`] with the scope that it needs: there is no other way to a
//! `TenantContext`.

mod scope;

use std::marker::PhantomData;
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use futures::future::LocalBoxFuture;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::TenantId;
use trainyard_scheduler::{Scheduler, TenantContext};

use crate::error::Failure;

pub(crate) use scope::{
    Admin, FilesRead, FilesWrite, JobsRead, JobsWrite, ModelsRead, ModelsWrite, Permission,
    UsageRead, WebhooksRead, WebhooksWrite,
};

/// A caller whose key was found good and may do what `P` says.
pub(crate) struct Caller<P>(TenantContext, PhantomData<P>);

impl<P> Deref for Caller<P> {
    type Target = TenantContext;

    fn deref(&self) -> &TenantContext {
        &self.0
    }
}

/// Left in the request for the answer's headers.
pub(crate) struct Organization(pub(crate) TenantId);

impl<P: Permission> FromRequest for Caller<P> {
    type Error = Failure;
    type Future = LocalBoxFuture<'static, Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let key = bearer(request.headers())?;
            let scheduler = request.app_data::<web::Data<Scheduler>>();
            let scheduler = scheduler
                .ok_or_else(|| ApiError::new(ErrorCode::Internal, "no scheduler is mounted"))?;
            let ctx = scheduler.authenticate(&key).await?;
            request.extensions_mut().insert(Organization(ctx.tenant().clone()));
            if !ctx.may(P::SCOPE) {
                let scope = P::SCOPE.as_str();
                let text = format!("this API key may not do this: it has no scope '{scope}'");
                return Err(ApiError::new(ErrorCode::InsufficientScope, text).into());
            }
            Ok(Self(ctx, PhantomData))
        })
    }
}

/// The key of the one `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Result<String, ApiError> {
    let refused = |text: &str| ApiError::new(ErrorCode::InvalidApiKey, text);
    let mut all = headers.get_all(AUTHORIZATION);
    let Some(header) = all.next() else {
        return Err(refused(
            "You didn't provide an API key. Provide it in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)",
        ));
    };
    if all.next().is_some() {
        return Err(refused("more than one Authorization header"));
    }
    let text = header.to_str().map_err(|_| refused("the Authorization header is no plain text"))?;
    match text.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Ok(key.trim().to_string()),
        _ => Err(refused("the Authorization header must be 'Bearer' and the API key")),
    }
}
