//! `stock_proxy LISTEN UPSTREAM`: a Pingora proxy as its own examples have it, without policy, for comparison.

use async_trait::async_trait;
use pingora::prelude::*;

struct Stock {
    upstream: String,
}

#[async_trait]
impl ProxyHttp for Stock {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(
            self.upstream.as_str(),
            false,
            String::new(),
        )))
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: stock_proxy LISTEN UPSTREAM");
        std::process::exit(2);
    };
    let Ok(mut server) = Server::new(None) else {
        eprintln!("stock_proxy: no server");
        std::process::exit(1);
    };
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Stock { upstream });
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever();
}
