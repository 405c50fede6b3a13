//! Who is asking. A handler of a tenant's route takes a [`Caller`] with the scope that it needs: there is no other way to a
//! `TenantContext`.

mod authenticator;
mod oidc;
mod scope;

use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use futures::future::LocalBoxFuture;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::TenantId;
use trainyard_openapi::tenant::Scope;
use trainyard_scheduler::TenantContext;

use crate::error::Failure;
use crate::limits::{Limits, Standing};

pub(crate) use authenticator::{Authenticator, lacks};
pub use oidc::{Algorithms, JWKS_BYTES_MAX, JwksSource, Oidc, OidcSettings};
pub(crate) use scope::{
    Admin, FilesRead, FilesWrite, JobsRead, JobsWrite, ModelsRead, ModelsWrite, Permission,
    UsageRead, WebhooksRead, WebhooksWrite,
};

/// A caller whose key or token was found good and may do what `P` says.
pub(crate) struct Caller<P>(TenantContext, PhantomData<P>);

impl<P> Deref for Caller<P> {
    type Target = TenantContext;

    fn deref(&self) -> &TenantContext {
        &self.0
    }
}

/// Left in the request once the caller was found to have this scope.
pub(crate) struct Granted(pub(crate) Scope);

/// Left in the request for the answer's headers.
pub(crate) struct Organization(pub(crate) TenantId);

impl<P: Permission> FromRequest for Caller<P> {
    type Error = Failure;
    type Future = LocalBoxFuture<'static, Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let ctx = identify(&request).await?;
            note(&request, &ctx);
            count(&request, &ctx)?;
            if !ctx.may(P::SCOPE) {
                return Err(lacks(&ctx, P::SCOPE).into());
            }
            request.extensions_mut().insert(Granted(P::SCOPE));
            Ok(Self(ctx, PhantomData))
        })
    }
}

/// Leaves in the request whose it is, for the answer's headers and the log.
pub(crate) fn note(request: &impl HttpMessage, ctx: &TenantContext) {
    let organization = Organization(ctx.tenant().clone());
    if request.extensions_mut().insert(organization).is_none() {
        tracing::Span::current().record("tenant_id", ctx.tenant().as_str());
    }
}

/// Whose request it is. An address that sends bad credentials is barred for a while: what it sends then is not looked at. The
/// address is the connection's own; headers that claim another are not believed.
async fn identify(request: &HttpRequest) -> Result<TenantContext, Failure> {
    let authenticator = mounted::<Authenticator>(request)?;
    let limits = mounted::<Limits>(request)?;
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    limits.may_try(peer)?;
    let answer = match bearer(request.headers()) {
        Ok(credential) => {
            let found = authenticator.authenticate(&credential).await;
            found.map_err(|error| (error.to_api().code, error.into()))
        }
        Err(error) => Err((error.code, error.into())),
    };
    answer.map_err(|(code, failure)| match code {
        ErrorCode::InvalidApiKey => {
            limits.bad_credential(peer).err().map_or(failure, Failure::from)
        }
        _ => failure,
    })
}

/// Counts the request against the limits of its key and tenant, and leaves how they stand for the answer's headers.
fn count(request: &HttpRequest, ctx: &TenantContext) -> Result<(), Failure> {
    let counted = mounted::<Limits>(request)?.request(ctx);
    let standing = match &counted {
        Ok(standing) => Some(*standing),
        Err(reached) => reached.standing,
    };
    if let Some(standing) = standing {
        request.extensions_mut().insert::<Standing>(standing);
    }
    Ok(counted.map(|_| ())?)
}

fn mounted<T: 'static>(request: &HttpRequest) -> Result<&T, ApiError> {
    let data = request.app_data::<web::Data<T>>();
    let missing = || ApiError::new(ErrorCode::Internal, "the API is not mounted as a whole");
    data.map(|data| data.get_ref()).ok_or_else(missing)
}

/// The key or token of the one `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<String, ApiError> {
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
