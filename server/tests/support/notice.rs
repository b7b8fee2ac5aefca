//! A notice as a client sees it.

use serde_json::Value;

/// A notice with the members that tests ask for most, and the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Its id.
    pub id: String,
    /// Who receives it.
    pub receiver: String,
    /// Who sent it.
    pub sender: Option<String>,
    /// The text.
    pub message: String,
    /// Whether an earlier session had been handed it.
    pub redelivered: bool,
    /// All of it.
    pub json: Value,
}

impl Notice {
    /// Reads one; every notice has these members.
    #[track_caller]
    pub fn read(json: &Value) -> Self {
        let text = |member: &str| {
            let text = json[member].as_str();
            text.unwrap_or_else(|| panic!("no {member} in {json}"))
                .to_owned()
        };
        assert!(json["createdTime"].is_u64(), "no createdTime in {json}");
        assert!(json["read"].is_boolean(), "no read in {json}");
        Self {
            id: text("id"),
            receiver: text("receiverId"),
            sender: json["senderId"].as_str().map(ToOwned::to_owned),
            message: text("message"),
            redelivered: json["redelivered"] == true,
            json: json.clone(),
        }
    }
}
