//! Routes and the OpenAPI document of a service, registered together: a route that is served is in the document, and what
//! the document says of path and method is what is served.
//!
//! A handler carries `#[utoipa::path(…)]`, which says what is special about it. What all have in common is added here: the
//! headers of every answer, problem+json for every error, and the errors that come from reading a query or a body.

use crate::http_server::HttpSettings;
use crate::problem::{self, ProblemBody};
use crate::{api_viewer, health, metrics};
use actix_web::Route;
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use std::collections::BTreeMap;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{HttpMethod, Operation, ParameterIn, Paths};
use utoipa::openapi::schema::{KnownFormat, Object, Schema, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    Response, ResponseBuilder,
};
use utoipa::{
    __dev::{SchemaReferences, Tags},
    PartialSchema, Path, ToSchema,
};

#[doc(hidden)]
pub use pastey;

/// The schema of an amount of money: text with two decimals. There are no values of this type.
pub enum Money {}

/// The schema of a time in UTC as in RFC 3339, with six decimals. There are no values of this type.
pub enum Time {}

impl ToSchema for Money {}

impl PartialSchema for Money {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(r"^-?[0-9]+\.[0-9]{2}$"));
        text.description(Some("An amount of money: text with two decimals.")).examples(["116.85"]).into()
    }
}

impl ToSchema for Time {}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        let text = ObjectBuilder::new().schema_type(Type::String).format(Some(format));
        text.description(Some("A time in UTC as in RFC 3339, with six decimals."))
            .examples(["2026-11-22T09:30:00.123456Z"])
            .into()
    }
}

/// The schema of a text that is one of these names.
pub fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build()
}

type Schemas = Vec<(String, RefOr<Schema>)>;

/// A handler with its route and its part of the document; made by [`route!`](crate::route).
pub struct Documented {
    path: String,
    method: HttpMethod,
    operation: Operation,
    schemas: Schemas,
    route: Route,
    is_limited: bool,
}

/// `route!(module::handler)`: the route of a handler that carries `#[utoipa::path(…)]`.
#[macro_export]
macro_rules! route {
    ($module:ident :: $handler:ident) => {
        $crate::api::pastey::paste! {
            $crate::api::Documented::of::<$module::[<__path_ $handler>]>(|route| route.to($module::$handler))
        }
    };
}

impl Documented {
    /// A route as `D` describes it, to which `with_handler` gives its handler.
    ///
    /// # Panics
    /// When the description has not exactly one method.
    pub fn of<D: Path + SchemaReferences + Tags<'static>>(with_handler: impl FnOnce(Route) -> Route) -> Self {
        let mut methods = D::methods().into_iter();
        let (Some(method), None) = (methods.next(), methods.next()) else {
            panic!("{} is described with other than one method", D::path())
        };
        let mut schemas = Schemas::new();
        D::schemas(&mut schemas);
        let route = with_handler(web::method(actix_method(&method)));
        let mut operation = D::operation();
        operation.tags = Some(D::tags().into_iter().map(str::to_owned).collect());
        Self { path: D::path(), method, operation, schemas, route, is_limited: false }
    }

    /// Puts a limit of so many requests a minute for each client around the route, and into its description.
    pub fn limited(mut self, per_minute: u32, around: impl FnOnce(Route) -> Route) -> Self {
        self.route = around(self.route);
        let refusal = format!("More than {per_minute} requests a minute of one client to the routes under this limit.");
        add_error(&mut self.operation, "429", refusal);
        self.is_limited = true;
        self
    }
}

/// The routes of a service and their document.
pub struct Routes {
    document: OpenApi,
    served: BTreeMap<String, Vec<(HttpMethod, Route)>>,
    max_body_bytes: usize,
    body_timeout_ms: u64,
}

impl Routes {
    /// No routes yet but those of every service.
    pub fn new(title: &str, description: &str, http: &HttpSettings) -> Self {
        let license = LicenseBuilder::new().name("GPL-3.0-or-later").identifier(Some("GPL-3.0-or-later")).build();
        let info = InfoBuilder::new()
            .title(title)
            .version(env!("CARGO_PKG_VERSION"))
            .description(Some(description))
            .license(Some(license))
            .build();
        let mut problem = Schemas::new();
        ProblemBody::schemas(&mut problem);
        problem.push((ProblemBody::name().into_owned(), ProblemBody::schema()));
        let components = ComponentsBuilder::new().schemas_from_iter(problem).build();
        let document = OpenApiBuilder::new().info(info).paths(Paths::new()).components(Some(components)).build();
        Self {
            document,
            served: BTreeMap::new(),
            max_body_bytes: http.max_body_bytes,
            body_timeout_ms: http.body_timeout_ms,
        }
        .with(route!(health::healthz))
        .with(route!(health::readyz))
        .with(route!(metrics::render))
    }

    /// Adds a route of the service itself. Its document gets the errors that all of these have.
    pub fn route(self, mut documented: Documented) -> Self {
        let operation = &mut documented.operation;
        let in_query = |parameter: &RefOr<_>| match parameter {
            RefOr::T(utoipa::openapi::path::Parameter { parameter_in, .. }) => *parameter_in == ParameterIn::Query,
            RefOr::Ref(_) => false,
        };
        if operation.parameters.iter().flatten().any(in_query) {
            add_error(
                operation,
                "400",
                "A parameter is unknown, there twice or not as it must be; the detail names it.",
            );
        }
        if operation.request_body.is_some() {
            add_error(operation, "400", "The body or a header cannot be read.");
            add_error(operation, "408", format!("The body took longer than {} ms.", self.body_timeout_ms));
            add_error(operation, "413", format!("The body has more than {} bytes.", self.max_body_bytes));
        }
        add_error(operation, "500", "Something went wrong here; the log says what, under the request's id.");
        add_error(operation, "503", "The database or a queue takes nothing more just now: try again.");
        if documented.is_limited {
            answers(&mut documented.operation).for_each(add_limit_headers);
        }
        self.with(documented)
    }

    fn with(mut self, Documented { path, method, mut operation, schemas, route, .. }: Documented) -> Self {
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter {
                without_null(parameter.schema.as_mut());
            }
        }
        for (status, answer) in &mut operation.responses.responses {
            let RefOr::T(answer) = answer else { continue };
            complete(status, answer);
        }
        self.document.paths.add_path_operation(&path, vec![method.clone()], operation);
        self.document.components.get_or_insert_default().schemas.extend(schemas);
        self.served.entry(path).or_default().push((method, route));
        self
    }

    /// The document, as JSON.
    pub fn document(&self) -> String {
        self.document.to_json().unwrap_or_default()
    }

    /// Serves the routes, the document at `/openapi.json` and a viewer at `/docs`. A path asked for with another method
    /// is answered with 405 and the methods there are.
    pub fn serve(mut self, config: &mut ServiceConfig) {
        self = self.with(route!(api_viewer::openapi)).with(route!(api_viewer::docs));
        config.app_data(web::Data::new(api_viewer::Document(self.document())));
        config.configure(api_viewer::files);
        // Sorted, so that a fixed path comes before one with a parameter in its place.
        for (path, routes) in self.served {
            let mut allowed: Vec<String> = routes.iter().map(|(method, _)| actix_method(method).to_string()).collect();
            allowed.sort();
            let mut resource = web::resource(path);
            for (_, route) in routes {
                resource = resource.route(route);
            }
            config.service(resource.default_service(problem::only(allowed.join(", "))));
        }
    }
}

fn actix_method(method: &HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Delete => Method::DELETE,
        HttpMethod::Options => Method::OPTIONS,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Trace => Method::TRACE,
    }
}

fn answers(operation: &mut Operation) -> impl Iterator<Item = &mut Response> {
    operation.responses.responses.values_mut().filter_map(|answer| match answer {
        RefOr::T(answer) => Some(answer),
        RefOr::Ref(_) => None,
    })
}

/// What every answer of a route with a limit has, whatever it is.
fn add_limit_headers(answer: &mut Response) {
    for (name, meaning) in [
        ("RateLimit-Limit", "How many requests a client may make in a minute."),
        ("RateLimit-Remaining", "How many of them are left."),
        ("RateLimit-Reset", "After how many seconds all of them are there again; at least 1."),
    ] {
        add_header(answer, name, meaning, Type::Integer);
    }
}

/// Adds an error, unless the handler describes it itself.
fn add_error(operation: &mut Operation, status: &str, description: impl Into<String>) {
    let answer = ResponseBuilder::new().description(description).build();
    operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(answer));
}

/// What every answer has, and what every error has.
fn complete(status: &str, answer: &mut Response) {
    add_header(
        answer,
        "X-Request-Id",
        "The request's id, as in the log; the caller's own where that is fit for it.",
        Type::String,
    );
    add_header(answer, "X-Process-Time-Ms", "How long the request took here, in milliseconds.", Type::Number);
    if matches!(status, "429" | "503") && answer.content.is_empty() {
        add_header(answer, "Retry-After", "After how many seconds to try again; at least 1.", Type::Integer);
    }
    if status.starts_with(['4', '5']) && answer.content.is_empty() {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build();
        answer.content.insert(problem::CONTENT_TYPE.to_owned(), RefOr::T(problem));
    }
}

fn add_header(answer: &mut Response, name: &str, meaning: &str, kind: Type) {
    let schema = ObjectBuilder::new().schema_type(SchemaType::new(kind)).build();
    let header = HeaderBuilder::new().schema(Some(schema)).description(Some(meaning)).build();
    answer.headers.insert(name.to_owned(), RefOr::T(header));
}

/// A parameter that may be missing cannot be null: there is no null in a query.
fn without_null(schema: Option<&mut RefOr<Schema>>) {
    if let Some(RefOr::T(Schema::Object(object))) = schema
        && let SchemaType::Array(kinds) = &object.schema_type
        && let Some(kind) = kinds.iter().find(|kind| **kind != Type::Null)
    {
        object.schema_type = SchemaType::Type(kind.clone());
    }
}
