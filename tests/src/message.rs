//! HTTP/1.1 messages as bytes (RFC 9112): nothing is normalized, nothing is thrown away.

use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;

use crate::wire::Wire;

/// Everything before a body, as it came, with the empty line at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    raw: Vec<u8>,
}

/// A connection with what was read from it and not taken yet.
pub(crate) struct Buffered {
    pub(crate) wire: Wire,
    pub(crate) buffer: BytesMut,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Known(usize),
    Chunked,
    ToTheEnd,
}

// === impl Head ===

impl Head {
    pub(crate) fn new(raw: Vec<u8>) -> Self {
        Self { raw }
    }

    /// The bytes.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The bytes as text, for a message.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// The request line or the status line.
    #[must_use]
    pub fn first_line(&self) -> String {
        self.lines().next().unwrap_or_default()
    }

    /// The second word of the first line: a request's target.
    #[must_use]
    pub fn target(&self) -> String {
        self.first_line().split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// The second word of the first line: a response's status.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.target().parse().ok()
    }

    /// Every field as name and value, in the order and the case in which they came.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        let field = |line: String| line.split_once(':').map(|(n, v)| (n.to_owned(), v.trim().to_owned()));
        self.lines().skip(1).filter_map(field).collect()
    }

    /// The values of a field, one for each line.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<String> {
        let fields = self.fields().into_iter();
        fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).collect()
    }

    /// The value of a field that stands there once; none if it is absent or stands there twice.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        match self.values(name).as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        }
    }

    /// A token of a comma-separated field is there.
    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.values(name).iter().flat_map(|v| v.split(',')).any(|t| t.trim().eq_ignore_ascii_case(token))
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        let text = self.text();
        text.split("\r\n").filter(|l| !l.is_empty()).map(ToOwned::to_owned).collect::<Vec<_>>().into_iter()
    }

    /// The length that the fields tell; a request without any has no body, a response goes on to
    /// the end of the connection.
    pub(crate) fn length(&self, otherwise: Length) -> Length {
        if self.lists("transfer-encoding", "chunked") {
            return Length::Chunked;
        }
        self.values("content-length").first().and_then(|v| v.parse().ok()).map_or(otherwise, Length::Known)
    }
}

// === impl Buffered ===

impl Buffered {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, buffer: BytesMut::new() }
    }

    /// Reads more; false at the end of the connection, however it ended.
    pub(crate) async fn more(&mut self) -> bool {
        matches!(self.wire.read_buf(&mut self.buffer).await, Ok(n) if n > 0)
    }

    /// Up to and with a mark; none when the connection ends before.
    pub(crate) async fn through(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        let mut from = 0;
        loop {
            if let Some(at) = self.buffer[from..].windows(mark.len()).position(|w| w == mark) {
                return Some(self.buffer.split_to(from + at + mark.len()).to_vec());
            }
            from = self.buffer.len().saturating_sub(mark.len() - 1);
            if !self.more().await {
                return None;
            }
        }
    }

    /// So many bytes; none when the connection ends before.
    pub(crate) async fn exactly(&mut self, len: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < len {
            if !self.more().await {
                return None;
            }
        }
        Some(self.buffer.split_to(len).to_vec())
    }

    /// Whatever is there next; none at the end of the connection.
    pub(crate) async fn some(&mut self) -> Option<Vec<u8>> {
        self.some_of(usize::MAX).await
    }

    /// Whatever is there next, but not more than so many bytes.
    pub(crate) async fn some_of(&mut self, most: usize) -> Option<Vec<u8>> {
        if self.buffer.is_empty() && !self.more().await {
            return None;
        }
        let len = self.buffer.len().min(most);
        Some(self.buffer.split_to(len).to_vec())
    }

    /// The head that is there already; none while it is not whole.
    pub(crate) fn head_in(&mut self) -> Option<Head> {
        let end = self.buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        Some(Head::new(self.buffer.split_to(end).to_vec()))
    }

    /// The next head; none when the connection ends before.
    pub(crate) async fn head(&mut self) -> Option<Head> {
        self.through(b"\r\n\r\n").await.map(Head::new)
    }

    /// The next chunk's content, empty for the last one (whose trailers are read too); none when
    /// the connection ends before. `raw` gets everything as it came. Nothing is taken before all
    /// of it is there, so that a wait that is given up loses nothing.
    ///
    /// # Errors
    /// When what is there is no chunk: a sentence that says why. It stays where it is.
    pub(crate) async fn try_chunk(&mut self, raw: &mut Vec<u8>) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Some((all, content)) = chunk_in(&self.buffer)? {
                let bytes = self.buffer.split_to(all);
                raw.extend_from_slice(&bytes);
                return Ok(Some(bytes[content].to_vec()));
            }
            if !self.more().await {
                return Ok(None);
            }
        }
    }

    /// The same, where anything but a chunk ends the test.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        self.try_chunk(&mut Vec::new()).await.unwrap_or_else(|broken| panic!("{broken}"))
    }
}

/// The length of the chunk at the start of the buffer, and where in it its content is; none while
/// it is not all there.
fn chunk_in(buffer: &[u8]) -> Result<Option<(usize, std::ops::Range<usize>)>, String> {
    let line_end = |from: usize| Some(from + buffer.get(from..)?.windows(2).position(|w| w == b"\r\n")? + 2);
    let Some(start) = line_end(0) else { return Ok(None) };
    let line = String::from_utf8_lossy(&buffer[..start - 2]).into_owned();
    let size = line.split(';').next().unwrap_or_default();
    // What `from_str_radix` takes beside digits is for others to see too: `+5`, ` 5`.
    let digits = !size.is_empty() && size.bytes().all(|b| b.is_ascii_hexdigit());
    let size = usize::from_str_radix(size, 16).ok().filter(|_| digits);
    let end = size.and_then(|size| start.checked_add(size)?.checked_add(2));
    let (Some(size), Some(end)) = (size, end) else { return Err(format!("not a chunk size: {line:?}")) };
    if size > 0 {
        return match buffer.get(end - 2..end) {
            None => Ok(None),
            Some(b"\r\n") => Ok(Some((end, start..end - 2))),
            Some(after) => Err(format!("a chunk of {size} bytes goes on with {after:?}")),
        };
    }
    let mut at = start;
    while let Some(next) = line_end(at) {
        if next == at + 2 {
            return Ok(Some((next, start..start)));
        }
        at = next;
    }
    Ok(None)
}
