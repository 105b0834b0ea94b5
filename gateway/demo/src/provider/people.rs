//! The people of the demo.

/// Someone who can be signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// The claim `sub`; the gateway calls the person `demo:<name>`.
    pub name: &'static str,
    /// The full name.
    pub full_name: &'static str,
    /// One line for the page and the tour.
    pub about: &'static str,
    /// The claim `groups`.
    pub groups: &'static [&'static str],
    /// The claim `roles`.
    pub roles: &'static [&'static str],
    /// The claim `employment`.
    pub employment: &'static str,
    /// The claim `country`.
    pub country: &'static str,
    /// The claim `department`.
    pub department: &'static str,
    /// How long the contract still runs, in days; none for employees.
    pub contract_days: Option<i64>,
}

/// Everybody.
pub const PEOPLE: [Person; 5] = [
    Person {
        name: "alice",
        full_name: "Alice Adler",
        about: "works in HR, employee in Germany",
        groups: &["hr-team"],
        roles: &["employee", "hr"],
        employment: "employee",
        country: "DE",
        department: "hr",
        contract_days: None,
    },
    Person {
        name: "bob",
        full_name: "Bob Brandt",
        about: "engineer, employee in Germany",
        groups: &["eng-team"],
        roles: &["employee", "engineer"],
        employment: "employee",
        country: "DE",
        department: "engineering",
        contract_days: None,
    },
    Person {
        name: "carol",
        full_name: "Carol Celik",
        about: "engineer, contractor with an end date",
        groups: &["eng-team"],
        roles: &["engineer"],
        employment: "contractor",
        country: "DE",
        department: "engineering",
        contract_days: Some(30),
    },
    Person {
        name: "dana",
        full_name: "Dana Dietz",
        about: "runs the platform, may use admin pages",
        groups: &["eng-team", "platform-team"],
        roles: &["employee", "engineer", "platform-admin"],
        employment: "employee",
        country: "DE",
        department: "platform",
        contract_days: None,
    },
    Person {
        name: "erin",
        full_name: "Erin Ekholm",
        about: "joins during the tour; signs in at /corp, and the directory says the rest",
        groups: &[],
        roles: &[],
        employment: "unknown",
        country: "ZZ",
        department: "",
        contract_days: None,
    },
];

impl Person {
    /// The person of that name.
    #[must_use]
    pub fn called(name: &str) -> Option<&'static Self> {
        PEOPLE.iter().find(|p| p.name == name)
    }

    /// How the gateway calls the person: `demo:alice`.
    #[must_use]
    pub fn user_id(&self) -> String {
        format!("{}:{}", super::ISSUER_ID, self.name)
    }
}

/// Every name, for a message.
pub(super) fn names() -> String {
    PEOPLE.map(|p| format!("`{}`", p.name)).join(", ")
}
