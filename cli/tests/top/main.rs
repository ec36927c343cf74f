//! `top` through the binary: on a terminal, as a page, scraped and pushed, always with a lab that lives.

#[path = "../host/mod.rs"]
mod host;
mod page;
mod push;
mod scrape;
mod screen;
mod support;
