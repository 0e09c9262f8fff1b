//! The kinds of problem that a client can tell apart, each with a page that its `type` leads to.

use axum::http::StatusCode;

/// A kind of problem. Its name and status never change: clients compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request cannot be understood as HTTP for this service.
    BadRequest,
    /// The body is not JSON.
    MalformedBody,
    /// A query parameter is not acceptable.
    InvalidParameter,
    /// Nobody is signed in, and somebody has to be.
    SignInRequired,
    /// Address and password do not belong together, or a refresh token is not good.
    InvalidCredentials,
    /// The actor may know of it and not do it.
    Forbidden,
    /// The account was disabled.
    AccountDisabled,
    /// Nothing is there, or nothing that this actor may know of.
    NotFound,
    /// There is another method for this.
    MethodNotAllowed,
    /// The body did not come in time.
    BodyTooSlow,
    /// Another program has the slug.
    SlugTaken,
    /// Another account has the handle.
    HandleTaken,
    /// The program takes no reports.
    ProgramNotOpen,
    /// Only triagers are members of programs.
    NotTriager,
    /// A report does not get from its state to that one.
    TransitionNotAllowed,
    /// What is to be changed is at another version than its sender has seen.
    PreconditionFailed,
    /// The body is larger than the route takes.
    BodyTooLarge,
    /// The body is not said to be JSON.
    UnsupportedMediaType,
    /// Members of the body are not acceptable.
    InvalidInput,
    /// The same key came with another request.
    IdempotencyKeyReused,
    /// The client has asked for more than it may.
    TooManyRequests,
    /// A fault of ours.
    Internal,
    /// What the service depends on does not answer.
    Unavailable,
    /// The service has more to do than it can.
    Overloaded,
}

/// What stands in a document of a kind.
struct Facts {
    name: &'static str,
    status: StatusCode,
    title: &'static str,
    page: &'static str,
}

macro_rules! facts {
    ($kind:expr, $($variant:ident $status:ident $name:literal $title:literal)*) => {
        match $kind {
            $(Kind::$variant => Facts {
                name: $name,
                status: StatusCode::$status,
                title: $title,
                page: include_str!(concat!("pages/", $name, ".md")),
            },)*
        }
    };
}

impl Kind {
    /// Every kind, by status.
    pub const ALL: [Self; 24] = [
        Self::BadRequest,
        Self::MalformedBody,
        Self::InvalidParameter,
        Self::SignInRequired,
        Self::InvalidCredentials,
        Self::Forbidden,
        Self::AccountDisabled,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BodyTooSlow,
        Self::SlugTaken,
        Self::HandleTaken,
        Self::ProgramNotOpen,
        Self::NotTriager,
        Self::TransitionNotAllowed,
        Self::PreconditionFailed,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidInput,
        Self::IdempotencyKeyReused,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
        Self::Overloaded,
    ];

    fn facts(self) -> Facts {
        facts!(self,
            BadRequest BAD_REQUEST "bad-request" "The request is not one that this service takes"
            MalformedBody BAD_REQUEST "malformed-body" "The body is not JSON"
            InvalidParameter BAD_REQUEST "invalid-parameter" "A query parameter is not acceptable"
            SignInRequired UNAUTHORIZED "sign-in-required" "Somebody has to be signed in for this"
            InvalidCredentials UNAUTHORIZED "invalid-credentials" "What was shown does not open a session"
            Forbidden FORBIDDEN "forbidden" "This is not allowed"
            AccountDisabled FORBIDDEN "account-disabled" "The account is disabled"
            NotFound NOT_FOUND "not-found" "There is no such thing"
            MethodNotAllowed METHOD_NOT_ALLOWED "method-not-allowed" "The method does not fit the address"
            BodyTooSlow REQUEST_TIMEOUT "body-too-slow" "The body did not come in time"
            SlugTaken CONFLICT "slug-taken" "Another program has this slug"
            HandleTaken CONFLICT "handle-taken" "Another account has this handle"
            ProgramNotOpen CONFLICT "program-not-open" "The program takes no reports at the moment"
            NotTriager CONFLICT "not-a-triager" "Only triagers are members of programs"
            TransitionNotAllowed CONFLICT "transition-not-allowed" "The report does not get from its state to that one"
            PreconditionFailed PRECONDITION_FAILED "precondition-failed" "It was changed since it was read"
            BodyTooLarge PAYLOAD_TOO_LARGE "body-too-large" "The body is too large"
            UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The body has to be JSON"
            InvalidInput UNPROCESSABLE_ENTITY "invalid-input" "The request holds values that are not acceptable"
            IdempotencyKeyReused UNPROCESSABLE_ENTITY "idempotency-key-reused" "The key was used for another request"
            TooManyRequests TOO_MANY_REQUESTS "too-many-requests" "There were too many requests"
            Internal INTERNAL_SERVER_ERROR "internal" "Something went wrong on our side"
            Unavailable SERVICE_UNAVAILABLE "unavailable" "The service cannot answer at the moment"
            Overloaded SERVICE_UNAVAILABLE "overloaded" "The service has too much to do at the moment"
        )
    }

    /// The last part of its `type`.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The status of every answer of this kind.
    pub fn status(self) -> StatusCode {
        self.facts().status
    }

    /// The kind in words.
    pub fn title(self) -> &'static str {
        self.facts().title
    }

    /// What it means and what to do, in Markdown.
    pub fn page(self) -> &'static str {
        self.facts().page
    }

    /// The kind that a layer or the router means by a status; none where the status has to say it all.
    pub fn of(status: StatusCode) -> Option<Self> {
        Some(match status {
            StatusCode::BAD_REQUEST => Self::BadRequest,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            StatusCode::INTERNAL_SERVER_ERROR => Self::Internal,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once_and_has_a_page_that_begins_with_its_title() {
        for kind in Kind::ALL {
            assert_eq!(Kind::ALL.iter().filter(|other| other.name() == kind.name()).count(), 1, "{kind:?}");
            assert!(kind.page().starts_with(&format!("# {}\n", kind.title())), "{kind:?}");
            assert!(kind.page().contains(kind.status().as_str()), "{kind:?}");
        }
        let pages = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/problem/pages")).unwrap().count();
        assert_eq!(pages, Kind::ALL.len(), "a page for each kind and no other");
    }
}
