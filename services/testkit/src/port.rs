//! Ports for programs under test that must be told where to listen.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// Returns a port of 127.0.0.1 on which nobody listens, and which the kernel gives to nobody else for a minute.
///
/// One connection is opened and closed from the listening side, which leaves the port in TIME_WAIT: for that long
/// the kernel does not pick it for port 0, while a program that asks for it by number and sets `SO_REUSEADDR` (as the
/// standard library, Tokio, PostgreSQL and Redis do) gets it.
///
/// # Panics
/// When loopback has no port left.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let addr = listener.local_addr().expect("a bound socket has an address");
    let client = TcpStream::connect(addr).expect("our own listener takes a connection");
    let (server, _) = listener.accept().expect("our own connection is waiting");
    // The side that closes first is the one that keeps TIME_WAIT.
    drop(server);
    drop(client);
    addr.port()
}
