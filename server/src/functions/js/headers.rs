//! Headers as JavaScript sees them: pairs of texts, whose characters are the bytes of the values.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The pairs of `headers`, in their order.
pub(super) fn to_pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let pairs = headers.iter();
    pairs
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}

fn text(value: &HeaderValue) -> String {
    value
        .as_bytes()
        .iter()
        .map(|byte| char::from(*byte))
        .collect()
}

/// The headers of pairs; otherwise the text of the first invalid pair.
pub(super) fn from_pairs(pairs: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let bytes: Option<Vec<u8>> = value.chars().map(|c| u8::try_from(c).ok()).collect();
        let value = bytes.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok());
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(value);
        let (parsed, value) = parsed.ok_or_else(|| format!("Invalid header: {name}"))?;
        headers
            .try_append(parsed, value)
            .map_err(|_| "Too many headers".to_owned())?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bytes_and_repeated_names_stay_apart() {
        let pairs = [("set-cookie", "a=1"), ("set-cookie", "b=é"), ("x", "")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = from_pairs(&pairs).unwrap();
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies[1].as_bytes(), b"b=\xe9");
        assert_eq!(to_pairs(&headers), pairs);
        for (name, value) in [("a b", "x"), ("a", "x\ny"), ("a", "ł")] {
            assert!(from_pairs(&[(name.into(), value.into())]).is_err());
        }
    }
}
