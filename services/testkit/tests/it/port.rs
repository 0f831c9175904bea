//! `free_port` gives ports that can be listened on and are not given twice.

use std::collections::HashSet;
use std::net::TcpListener;

use testkit::free_port;

#[test]
fn a_free_port_can_be_listened_on() {
    let listener = TcpListener::bind(("127.0.0.1", free_port()));
    assert!(listener.is_ok(), "{listener:?}");
}

#[test]
fn a_free_port_is_given_to_nobody_else() {
    let ours: HashSet<u16> = (0..200).map(|_| free_port()).collect();
    assert_eq!(ours.len(), 200, "a port was given twice");
    // Of the 28232 ports that the kernel chooses from (ip(7)): by chance alone five of ours would come again.
    let theirs: Vec<TcpListener> = (0..800).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
    for listener in theirs {
        assert!(!ours.contains(&listener.local_addr().unwrap().port()));
    }
}
