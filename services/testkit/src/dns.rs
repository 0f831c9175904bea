//! Targets that answer DNS questions over TCP, each with the same address.

use std::io;
use std::net::Ipv4Addr;

use tokio::net::TcpStream;

use crate::peer::Peer;
use crate::target::Target;

/// Bytes of a header (RFC 1035 section 4.1.1).
const HEADER_BYTES: usize = 12;

impl Target {
    /// Answers each question over TCP with one A record: this address, for 300 s.
    pub fn dns(address: Ipv4Addr) -> Self {
        Self::serve("dns", move |peer| serve(peer, address))
    }
}

async fn serve(mut peer: Peer<TcpStream>, address: Ipv4Addr) -> io::Result<()> {
    let mut heard: Vec<u8> = Vec::new();
    loop {
        let bytes = peer.read().await?;
        if bytes.is_empty() {
            return peer.finish().await;
        }
        heard.extend(bytes);
        while let Some((length, rest)) = heard.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(answer) = rest.get(..length).and_then(|query| dns_answer(query, address)) else { break };
            heard.drain(..length + 2);
            let size = u16::try_from(answer.len()).unwrap_or(u16::MAX).to_be_bytes();
            peer.send(&[&size, answer.as_slice()].concat()).await?;
        }
    }
}

/// Returns the message that answers a question with one A record; none if it is no question.
pub fn dns_answer(query: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let name = query.get(HEADER_BYTES..)?;
    // The name ends with a label of no length; type and class follow (RFC 1035 section 4.1.2).
    let mut end = 0;
    while let length @ 1.. = usize::from(*name.get(end)?) {
        end += length + 1;
    }
    let question = name.get(..end + 5)?;
    let mut answer = query.get(..2)?.to_vec();
    // An answer, recursion desired and available, no error; one question and one record.
    answer.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend(question);
    // The name is the one at byte 12 (section 4.1.4); type A, class IN, 300 s, four bytes.
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
    answer.extend(address.octets());
    Some(answer)
}
