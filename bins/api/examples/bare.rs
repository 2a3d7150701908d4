//! A handler that does nothing, on the server library of the service: what `scripts/load` compares with.
//!
//! Prints its address; listens on loopback until it is ended.

use actix_web::{App, HttpResponse, HttpServer, web};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let server = HttpServer::new(|| App::new().default_service(web::to(|| async { HttpResponse::Ok().finish() })));
    let server = server.bind(("127.0.0.1", 0))?;
    for address in server.addrs() {
        println!("listening on {address}");
    }
    server.run().await
}
