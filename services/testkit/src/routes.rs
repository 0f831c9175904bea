//! The routes of an axum router, which tells them to nobody but a person who debugs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// Returns what a router (axum 0.8) answers, as `METHOD path`; a route that takes any method has the method `ANY`.
///
/// # Panics
/// If its `Debug` text is not as it was: then what is compared with it would be compared with nothing.
pub fn routes(router: &impl Debug) -> BTreeSet<String> {
    let text = format!("{router:?}");
    let (routes, rest) = text.split_once("node: Node { paths: {").expect("a router names its paths");
    let (paths, _) = rest.split_once("} }").expect("the list of paths ends");
    // `RouteId(1): MethodRouter(MethodRouter { get: Route, …, allow_header: Bytes(b"GET,HEAD") })`
    let routes: BTreeMap<&str, &str> =
        routes.split("RouteId(").skip(1).filter_map(|route| route.split_once("): ")).collect();
    // `RouteId(1): "/path"`
    let paths = paths.split("RouteId(").skip(1).filter_map(|path| path.split_once("): \""));
    let of_one = |(id, path): (&str, &str)| {
        let path = path.split_once('"').expect("a path is quoted").0.to_owned();
        let allowed = routes.get(id).expect("each path has a route").split_once("allow_header: Bytes(b\"");
        let methods = allowed.map_or("ANY", |(_, methods)| methods.split_once('"').expect("methods are quoted").0);
        methods
            .split(',')
            .filter(|method| *method != "HEAD")
            .map(|method| format!("{method} {path}"))
            .collect::<Vec<_>>()
    };
    let found: BTreeSet<String> = paths.flat_map(of_one).collect();
    assert!(!found.is_empty(), "a router without routes, or with another way to show them: {text}");
    found
}
