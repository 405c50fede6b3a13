//! The contract as a document and as a page. Both come from the program itself: nothing is fetched from elsewhere.

use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use trainyard_openapi::error::{ApiError, ErrorCode};

use crate::app::Mount;
use crate::error::Result;

const PAGE: &str = include_str!("../docs.html");
/// The page holds its own style and script, and reads the document beside it; nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'";

/// The document.
pub(crate) async fn document(mount: Data<Mount>) -> HttpResponse {
    let document = mount.document.clone();
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(document)
}

/// The page.
pub(crate) async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(PAGE)
}

/// Everything else.
pub(crate) async fn no_such_path(request: HttpRequest) -> Result<HttpResponse> {
    let path: String = request.path().chars().filter(|c| !c.is_control()).take(120).collect();
    let text = format!("Invalid URL ({} {path})", request.method());
    Err(ApiError::new(ErrorCode::NotFound, text).into())
}
