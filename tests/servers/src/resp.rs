//! As much of Redis' protocol as commands of a test need.

use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What a command answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// There is nothing.
    Nil,
    /// A number.
    Int(i64),
    /// A status, or a value.
    Bytes(Vec<u8>),
    /// Several.
    List(Vec<Self>),
    /// A refusal inside of a list, such as `EXEC` answers; of a whole command it is [`Failed`].
    Refused(String),
}

/// Why a command was not answered.
#[derive(Debug)]
pub enum Failed {
    /// The server refuses: what it says, such as `NOAUTH Authentication required.`.
    Refused(String),
    /// Nobody listens, the server hung up, or it was silent for too long.
    Silent(Error),
}

/// A connection to a server's own socket.
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
}

// === impl Reply ===

impl Reply {
    /// As text; a list is joined by line breaks, nothing is empty.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Nil => String::new(),
            Self::Int(number) => number.to_string(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::List(items) => items.iter().map(Self::text).collect::<Vec<_>>().join("\n"),
            Self::Refused(why) => why.clone(),
        }
    }

    /// As a number, also if it is one in text.
    ///
    /// # Panics
    /// When it is not one.
    #[must_use]
    pub fn int(&self) -> i64 {
        self.text().parse().unwrap_or_else(|_| panic!("not a number: {self:?}"))
    }

    /// As a list; nothing is an empty one.
    ///
    /// # Panics
    /// When it is a single value.
    #[must_use]
    pub fn list(&self) -> &[Self] {
        match self {
            Self::Nil => &[],
            Self::List(items) => items,
            Self::Int(_) | Self::Bytes(_) | Self::Refused(_) => panic!("not a list: {self:?}"),
        }
    }

    /// The value of a `name:value` line, such as `INFO` and `CLUSTER INFO` answer.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        let text = self.text();
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
    }

    /// The value that follows `name` in a list of names and values, such as `SENTINEL MASTER` answers.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<String> {
        self.list().chunks(2).find(|pair| pair[0].text() == name)?.get(1).map(Self::text)
    }
}

// === impl Failed ===

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "the server refuses: {why}"),
            Self::Silent(why) => write!(f, "the server does not answer: {why}"),
        }
    }
}

impl std::error::Error for Failed {}

impl From<Error> for Failed {
    fn from(why: Error) -> Self {
        Self::Silent(why)
    }
}

// === impl Connection ===

impl Connection {
    /// Connects, and says who it is. No wait on it is longer than `patience`.
    pub(crate) fn open(socket: &Path, login: [&str; 2], patience: Duration) -> Result<Self, Failed> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let mut connection = Self { stream: BufReader::new(stream) };
        connection.command(&["AUTH", login[0], login[1]])?;
        Ok(connection)
    }

    /// Sends a command and waits for the answer.
    pub(crate) fn command(&mut self, words: &[&str]) -> Result<Reply, Failed> {
        self.send(words)?;
        match self.receive()? {
            Reply::Refused(why) => Err(Failed::Refused(why)),
            reply @ (Reply::Nil | Reply::Int(_) | Reply::Bytes(_) | Reply::List(_)) => Ok(reply),
        }
    }

    /// Sends a command, and does not wait.
    pub(crate) fn send(&mut self, words: &[&str]) -> Result<(), Failed> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
        }
        self.stream.get_mut().write_all(&bytes)?;
        Ok(())
    }

    /// Waits for the answer to what was sent.
    pub(crate) fn receive(&mut self) -> Result<Reply, Failed> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(garbled)?;
        let count = || rest.parse::<i64>().map_err(|_| garbled());
        Ok(match kind {
            "+" => Reply::Bytes(rest.as_bytes().to_vec()),
            "-" => Reply::Refused(rest.to_owned()),
            ":" => Reply::Int(count()?),
            "$" => match usize::try_from(count()?) {
                Err(_) => Reply::Nil,
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bytes(bytes)
                }
            },
            "*" => match usize::try_from(count()?) {
                Err(_) => Reply::Nil,
                Ok(length) => Reply::List((0..length).map(|_| self.receive()).collect::<Result<_, _>>()?),
            },
            _ => return Err(garbled().into()),
        })
    }

    fn line(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(whole) => Ok(whole.to_owned()),
            None => Err(Error::new(ErrorKind::UnexpectedEof, "the server hung up")),
        }
    }
}

fn garbled() -> Error {
    Error::new(ErrorKind::InvalidData, "the server does not speak Redis' protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server that sends these bytes and hangs up has answered.
    fn answer(bytes: &[u8]) -> Result<Reply, Failed> {
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(bytes).unwrap();
        far.shutdown(std::net::Shutdown::Write).unwrap();
        Connection { stream: BufReader::new(near) }.command(&["PING"])
    }

    #[test]
    fn replies_are_read() {
        let bytes = |text: &str| Reply::Bytes(text.as_bytes().to_vec());
        let nested =
            Reply::List(vec![Reply::Int(-1), Reply::List(vec![]), Reply::Refused("ERR no".to_owned())]);
        for (sent, expected) in [
            ("+OK\r\n", bytes("OK")),
            (":7\r\n", Reply::Int(7)),
            ("$5\r\na\r\nbc\r\n", bytes("a\r\nbc")),
            ("$0\r\n\r\n", bytes("")),
            ("$-1\r\n", Reply::Nil),
            ("*-1\r\n", Reply::Nil),
            ("*3\r\n:-1\r\n*0\r\n-ERR no\r\n", nested),
        ] {
            assert_eq!(answer(sent.as_bytes()).unwrap(), expected, "{sent:?}");
        }
        assert!(matches!(answer(b"-ERR no\r\n"), Err(Failed::Refused(why)) if why == "ERR no"));
    }

    #[test]
    fn half_a_reply_and_no_reply_are_failures() {
        for sent in ["", "+OK", "+OK\n", "$5\r\nabc", "*2\r\n:1\r\n", "?\r\n", "\r\n", ":x\r\n"] {
            assert!(matches!(answer(sent.as_bytes()), Err(Failed::Silent(_))), "{sent:?}");
        }
    }

    #[test]
    fn a_reply_is_looked_into() {
        let lines = Reply::Bytes(b"# Server\r\nrole:master\r\nslave0:ip=127.0.0.1,port=1\r\n".to_vec());
        assert_eq!(lines.field("role").as_deref(), Some("master"));
        assert_eq!(lines.field("slave0").as_deref(), Some("ip=127.0.0.1,port=1"));
        assert_eq!(lines.field("rol"), None);
        let pairs = Reply::List(["a", "b", "b", "c"].map(|t| Reply::Bytes(t.into())).to_vec());
        assert_eq!((pairs.named("b").as_deref(), pairs.named("c")), (Some("c"), None));
        assert_eq!(pairs.text(), "a\nb\nb\nc");
        assert_eq!(Reply::Bytes(b"12".to_vec()).int(), 12);
    }
}
