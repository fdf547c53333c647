//! stepgate asked by another proxy: the questions as bytes, and real proxies with what `stepgate snippets` prints.

mod asking;
mod caddy;
mod envoy;
mod nginx;
mod site;
