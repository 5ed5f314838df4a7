use std::env;
use tiny_http::{Response, Server};

fn main() {
    let host = env::var("BIND_ADDRESS").unwrap_or_else(|_| "127.0.0.1".into());
    let port = env::var("PORT").unwrap_or_else(|_| "5000".into());
    let release = env::var("RELEASE").unwrap_or_else(|_| "-".into());
    let server = Server::http(format!("{host}:{port}")).expect("cannot listen");
    for request in server.incoming_requests() {
        let text = format!("Hello from rust, release {release}\n");
        let _ = request.respond(Response::from_string(text));
    }
}
