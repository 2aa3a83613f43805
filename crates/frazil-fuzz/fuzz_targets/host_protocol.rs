//! The protocol between agents and the host cache: whatever bytes come over the socket, as frames of both sides.

#![no_main]

use bytes::Bytes;
use frazil_cache::host::protocol::{
    Answer, HEADER_LEN, HELLO_LEN, Header, Hello, MAX_ANSWER_BODY, MAX_SHELVE_BODY, ProtocolError, Request,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(hello) = bytes.first_chunk::<HELLO_LEN>()
        && let Ok(hello) = Hello::decode(hello)
    {
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
    }
    frames(bytes, MAX_SHELVE_BODY, |header, body| {
        let request = Request::decode(header, &body)?;
        // What is understood says the same again, in the same bytes but for what is not looked at.
        let again = request.encode(header.id);
        assert_eq!(&again[HEADER_LEN..], &body);
        Ok(())
    });
    frames(bytes, MAX_ANSWER_BODY, |header, body| {
        let answer = Answer::decode(header, body)?;
        let (head, rest) = answer.clone().encode(header.id);
        let whole = Bytes::from([&head[..], &rest[..]].concat());
        let Some(again) = whole.first_chunk() else { panic!("a frame has a header") };
        let again = Header::decode(again, MAX_ANSWER_BODY)?;
        if let Answer::Error { message, .. } = &answer
            && message.len() > 1000
        {
            // Words that were not UTF-8, or too many, are not the same again.
            return Ok(());
        }
        assert_eq!(Answer::decode(&again, whole.slice(HEADER_LEN..)), Ok(answer));
        Ok(())
    });
});

/// Reads frames as a connection does, until the first that ends it.
fn frames(mut bytes: &[u8], limit: u32, read: impl Fn(&Header, Bytes) -> Result<(), ProtocolError>) {
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() {
        let Ok(header) = Header::decode(header, limit) else { return };
        let Some((body, rest)) = rest.split_at_checked(header.body_len as usize) else { return };
        match read(&header, Bytes::copy_from_slice(body)) {
            Ok(()) | Err(ProtocolError::UnknownKind(_)) => bytes = rest,
            Err(_) => return,
        }
    }
}
