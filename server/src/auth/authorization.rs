//! The `Authorization` header of an HTTP request.

use super::secret::Secret;

/// Shortest `Authorization` header with anything to read in it, in bytes.
const HEADER_BYTES_MIN: usize = 7;

/// A request's credentials. Nothing is verified yet.
#[derive(Clone)]
pub enum Credentials {
    /// Nothing: an anonymous caller.
    Nobody,
    /// An auth token.
    User(Secret<String>),
    /// An admin key, perhaps followed by `:` and the attributes of a user to act as.
    Admin(Secret<String>),
}

/// A header that cannot be read. Each is a bad request, never an anonymous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationError {
    #[error("The Authorization header is given more than once.")]
    Repeated,
    #[error("The Authorization header is too short or not text.")]
    Unreadable,
    #[error("The Authorization header has neither the scheme Bearer nor the scheme Convex.")]
    UnknownScheme,
}

impl AuthorizationError {
    /// The code that clients see, with status 400.
    pub fn code(self) -> &'static str {
        match self {
            AuthorizationError::Repeated | AuthorizationError::Unreadable => "InvalidHeaderFailure",
            AuthorizationError::UnknownScheme => "InvalidAdminKey",
        }
    }
}

/// Reads the values of all `Authorization` headers of a request, and its `adminKey` query parameter, which counts only
/// without a header.
pub fn parse_authorization<'a>(
    headers: impl IntoIterator<Item = &'a [u8]>,
    admin_key_parameter: Option<&str>,
) -> Result<Credentials, AuthorizationError> {
    let mut headers = headers.into_iter();
    let header = match (headers.next(), headers.next()) {
        (None, _) => {
            let key = admin_key_parameter.map(|key| Secret::new(key.to_owned()));
            return Ok(key.map_or(Credentials::Nobody, Credentials::Admin));
        }
        (Some(_), Some(_)) => return Err(AuthorizationError::Repeated),
        (Some(header), None) => header,
    };
    let header = std::str::from_utf8(header).map_err(|_| AuthorizationError::Unreadable)?;
    if header.len() < HEADER_BYTES_MIN {
        return Err(AuthorizationError::Unreadable);
    }
    let (scheme, rest) = header
        .split_once(' ')
        .ok_or(AuthorizationError::UnknownScheme)?;
    let value = Secret::new(rest.trim().to_owned());
    if scheme.eq_ignore_ascii_case("convex") {
        Ok(Credentials::Admin(value))
    } else if scheme.eq_ignore_ascii_case("bearer") {
        Ok(Credentials::User(value))
    } else {
        Err(AuthorizationError::UnknownScheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(headers: &[&[u8]], parameter: Option<&str>) -> String {
        match parse_authorization(headers.iter().copied(), parameter) {
            Ok(Credentials::Nobody) => "nobody".to_owned(),
            Ok(Credentials::User(token)) => format!("user {}", token.expose()),
            Ok(Credentials::Admin(key)) => format!("admin {}", key.expose()),
            Err(error) => error.code().to_owned(),
        }
    }

    #[test]
    fn each_header_is_read_as_clients_mean_it() {
        let cases: [(&[u8], &str); 12] = [
            (b"Bearer  a.b.c ", "user a.b.c"),
            (b"bearer a.b.c", "user a.b.c"),
            (b"Bearer ", "user "),
            (b"Convex name|00ff", "admin name|00ff"),
            (b"convex name|00ff:e30=", "admin name|00ff:e30="),
            (b"", "InvalidHeaderFailure"),
            (b"Bearer", "InvalidHeaderFailure"),
            (b"Convex\xff x", "InvalidHeaderFailure"),
            (b"Basic dXNlcjpwYXNz", "InvalidAdminKey"),
            (b"a.b.c.without.scheme", "InvalidAdminKey"),
            (b"Bearerx a.b.c", "InvalidAdminKey"),
            (b" Bearer a.b.c", "InvalidAdminKey"),
        ];
        for (header, expected) in cases {
            assert_eq!(parsed(&[header], None), expected, "{header:?}");
        }
    }

    #[test]
    fn the_query_parameter_counts_only_without_a_header() {
        assert_eq!(parsed(&[], None), "nobody");
        assert_eq!(parsed(&[], Some("name|00")), "admin name|00");
        assert_eq!(parsed(&[b"Bearer a.b.c"], Some("name|00")), "user a.b.c");
    }

    #[test]
    fn two_headers_are_a_bad_request() {
        let two: [&[u8]; 2] = [b"Bearer a.b.c", b"Bearer a.b.c"];
        assert_eq!(parsed(&two, None), "InvalidHeaderFailure");
    }
}
