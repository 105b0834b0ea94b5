//! Writes small files in the MaxMind DB format (version 2.0 of its specification), so that tests
//! can ask for any layout and any damage.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of this one")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::net::IpAddr;

/// When every file here was built: 2026-01-01T00:00:00Z.
pub const BUILT_AT_SECONDS: u64 = 1_767_225_600;

/// A value of a record.
#[derive(Clone)]
pub enum Value {
    /// Text.
    Text(&'static str),
    /// An unsigned number of 16 bits.
    U16(u16),
    /// An unsigned number of 32 bits.
    U32(u32),
    /// An unsigned number of 64 bits.
    U64(u64),
    /// A number with a fraction.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// A map.
    Map(Vec<(&'static str, Value)>),
    /// A list.
    List(Vec<Value>),
}

/// A file to be written.
pub struct Book {
    /// 4 or 6.
    pub ip_version: u16,
    /// What it calls itself.
    pub database_type: &'static str,
    /// When it was built.
    pub built_at_seconds: u64,
    nodes: Vec<[Slot; 2]>,
    data: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Slot {
    Empty,
    Node(usize),
    Record(usize),
}

/// A map.
pub fn map(fields: &[(&'static str, Value)]) -> Value {
    Value::Map(fields.to_vec())
}

impl Book {
    /// An empty file for both families.
    pub fn new(database_type: &'static str) -> Self {
        Self {
            ip_version: 6,
            database_type,
            built_at_seconds: BUILT_AT_SECONDS,
            nodes: vec![[Slot::Empty; 2]],
            data: Vec::new(),
        }
    }

    /// Adds a network, such as `192.0.2.0/24`. Networks must not overlap.
    pub fn put(mut self, network: &str, record: &Value) -> Self {
        let (address, length) = network.split_once('/').unwrap();
        let length: usize = length.parse().unwrap();
        let (bits, length) = match (address.parse().unwrap(), self.ip_version) {
            (IpAddr::V4(v4), 4) => (u128::from(v4.to_bits()) << 96, length),
            (IpAddr::V4(v4), _) => (u128::from(v4.to_bits()), length + 96),
            (IpAddr::V6(v6), _) => (v6.to_bits(), length),
        };
        let offset = self.data.len();
        encode(record, &mut self.data);
        let mut node = 0;
        for i in 0..length {
            let side = usize::from((bits >> (127 - i)) & 1 == 1);
            if i + 1 == length {
                self.nodes[node][side] = Slot::Record(offset);
                break;
            }
            node = match self.nodes[node][side] {
                Slot::Node(next) => next,
                Slot::Empty => {
                    self.nodes.push([Slot::Empty; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side] = Slot::Node(next);
                    next
                }
                Slot::Record(_) => panic!("`{network}` overlaps another network"),
            };
        }
        self
    }

    /// The bytes of the file.
    pub fn write(&self) -> Vec<u8> {
        let count = self.nodes.len();
        let number = |slot: Slot| match slot {
            Slot::Empty => count,
            Slot::Node(n) => n,
            Slot::Record(offset) => count + 16 + offset,
        };
        let nodes =
            self.nodes.iter().map(|[left, right]| [number(*left), number(*right)]).collect::<Vec<_>>();
        self.write_tree(&nodes)
    }

    /// The bytes of a file with a tree of one's own: each node has two numbers, where the count of
    /// nodes means nothing, and more than that plus 16 points at a record.
    pub fn write_tree(&self, nodes: &[[usize; 2]]) -> Vec<u8> {
        let mut file = Vec::new();
        for number in nodes.iter().flatten() {
            file.extend_from_slice(&u32::try_from(*number).unwrap().to_be_bytes()[1..]);
        }
        file.extend_from_slice(&[0; 16]);
        file.extend_from_slice(&self.data);
        file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        let metadata = map(&[
            ("binary_format_major_version", Value::U16(2)),
            ("binary_format_minor_version", Value::U16(0)),
            ("build_epoch", Value::U64(self.built_at_seconds)),
            ("database_type", Value::Text(self.database_type)),
            ("description", map(&[])),
            ("ip_version", Value::U16(self.ip_version)),
            ("languages", Value::List(Vec::new())),
            ("node_count", Value::U32(u32::try_from(nodes.len()).unwrap())),
            ("record_size", Value::U16(24)),
        ]);
        encode(&metadata, &mut file);
        file
    }
}

/// Type and size, then the value itself.
fn encode(value: &Value, out: &mut Vec<u8>) {
    let mut start = |kind: u8, size: usize| {
        let small = u8::try_from(size.min(29)).unwrap();
        if kind < 8 {
            out.push(kind << 5 | small);
        } else {
            out.push(small);
            out.push(kind - 7);
        }
        if size >= 29 {
            out.push(u8::try_from(size - 29).expect("a short value"));
        }
    };
    match value {
        Value::Text(text) => {
            start(2, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Value::U16(n) => {
            start(5, 2);
            out.extend_from_slice(&n.to_be_bytes());
        }
        Value::U32(n) => {
            start(6, 4);
            out.extend_from_slice(&n.to_be_bytes());
        }
        Value::U64(n) => {
            start(9, 8);
            out.extend_from_slice(&n.to_be_bytes());
        }
        Value::Double(n) => {
            start(3, 8);
            out.extend_from_slice(&n.to_be_bytes());
        }
        Value::Bool(flag) => start(14, usize::from(*flag)),
        Value::Map(fields) => {
            start(7, fields.len());
            for (name, value) in fields {
                encode(&Value::Text(name), out);
                encode(value, out);
            }
        }
        Value::List(values) => {
            start(11, values.len());
            for value in values {
                encode(value, out);
            }
        }
    }
}

/// MaxMind's country layout.
pub fn country() -> Book {
    let record = |country: &'static str, continent: &'static str| {
        map(&[
            ("continent", map(&[("code", Value::Text(continent)), ("geoname_id", Value::U32(6_255_148))])),
            (
                "country",
                map(&[("iso_code", Value::Text(country)), ("names", map(&[("en", Value::Text("x"))]))]),
            ),
            ("registered_country", map(&[("iso_code", Value::Text("CH"))])),
        ])
    };
    Book::new("GeoLite2-Country")
        .put("192.0.2.0/25", &record("DE", "EU"))
        .put("192.0.2.128/25", &record("FR", "EU"))
        .put("2001:db8::/32", &record("US", "NA"))
        // Nobody says where it is used, only who holds it.
        .put("198.51.100.0/24", &map(&[("registered_country", map(&[("iso_code", Value::Text("CH"))]))]))
        .put("203.0.113.0/24", &map(&[("country", map(&[("iso_code", Value::Text("BR"))]))]))
}

/// MaxMind's ASN layout.
pub fn asn() -> Book {
    let record = |number, name| {
        map(&[
            ("autonomous_system_number", Value::U32(number)),
            ("autonomous_system_organization", Value::Text(name)),
        ])
    };
    Book::new("GeoLite2-ASN")
        .put("192.0.2.0/24", &record(64_496, "Example Net"))
        .put("2001:db8::/32", &record(65_551, "Example Six"))
}

/// MaxMind's anonymizer layout.
pub fn anonymous() -> Book {
    Book::new("GeoIP2-Anonymous-IP").put(
        "192.0.2.0/25",
        &map(&[("is_anonymous", Value::Bool(true)), ("is_anonymous_vpn", Value::Bool(true))]),
    )
}
