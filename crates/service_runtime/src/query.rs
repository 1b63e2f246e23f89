//! Parses the query string of a request into a struct. An error names the parameter and its allowed values, never the sent value.
//! The doc comments of the struct are also the API documentation.

use crate::problem::Problem;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::future::{Ready, ready};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

/// The parameters of a query, all of them optional. An extractor: it is parsed before the handler runs.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + IntoParams> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.query_string()).map(Query))
    }
}

/// Parses a query string.
///
/// # Errors
/// 400 for a parameter that is unknown, repeated, or cannot be parsed.
pub fn read<T: DeserializeOwned + IntoParams>(text: &str) -> Result<T, Problem> {
    let known = T::into_params(|| Some(ParameterIn::Query));
    let mut seen = BTreeSet::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let Some(parameter) = known.iter().find(|parameter| name(pair).as_deref() == Some(parameter.name.as_str()))
        else {
            let names: Vec<&str> = known.iter().map(|parameter| parameter.name.as_str()).collect();
            return Err(Problem::malformed(format!(
                "a parameter behind the '?' is not known here: there are {}",
                names.join(", ")
            )));
        };
        if !seen.insert(&parameter.name) {
            return Err(Problem::malformed(format!("{} is there twice: send it once", parameter.name)));
        }
        if pair.contains("%00") {
            return Err(Problem::malformed(format!("{} must have no NUL character", parameter.name)));
        }
        // Parsing each parameter alone finds the invalid one.
        if web::Query::<T>::from_query(pair).is_err() {
            return Err(Problem::malformed(format!(
                "{} cannot be read. It is: {}",
                parameter.name,
                described(parameter)
            )));
        }
    }
    web::Query::from_query(text)
        .map(web::Query::into_inner)
        .map_err(|_| Problem::malformed("the query cannot be read: check the names and values behind the '?'"))
}

fn name(pair: &str) -> Option<String> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(pair).ok()?.into_inner();
    pairs.into_iter().next().map(|(name, _)| name)
}

fn described(parameter: &Parameter) -> &str {
    parameter.description.as_deref().unwrap_or("not described")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, IntoParams)]
    struct Example {
        /// How many, 1 to 5.
        limit: Option<i64>,
        /// A name.
        name: Option<String>,
    }

    #[test]
    fn an_error_names_the_parameter_and_never_repeats_its_value() {
        let Example { limit, name } = read("name=a%20b&limit=3").unwrap();
        assert_eq!((limit, name.as_deref()), (Some(3), Some("a b")));
        assert!(read::<Example>("").unwrap().limit.is_none());
        for (query, expected) in [
            ("limit=secret", "limit cannot be read. It is: How many, 1 to 5."),
            ("name=x&limit=", "limit cannot be read"),
            ("secret=1", "a parameter behind the '?' is not known here: there are limit, name"),
            ("secret", "not known here"),
            ("name=a%00secret", "name must have no NUL character"),
            ("limit=1&limit=2", "limit is there twice"),
            ("limit=1&li%6Dit=2", "limit is there twice"),
        ] {
            let text = format!("{:?}", read::<Example>(query).unwrap_err());
            assert!(text.contains(expected) && !text.contains("secret"), "{query}: {text}");
        }
    }
}
