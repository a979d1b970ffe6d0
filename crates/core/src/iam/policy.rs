//! Policies as values: statements with their limits, and how IAM spells them.

use serde_json::{Map, Value, json};

/// The version of IAM's policy language.
const VERSION: &str = "2012-10-17";

/// A policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Policy(pub(super) Vec<Statement>);

/// One statement of a policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    sid: &'static str,
    effect: &'static str,
    principal: Option<Value>,
    actions: Vec<&'static str>,
    resources: Vec<String>,
    conditions: Vec<(&'static str, String, Value)>,
}

impl Statement {
    /// Allows actions; on everything, until [`Statement::on`] says otherwise.
    pub(super) fn allow(sid: &'static str, actions: &[&'static str]) -> Self {
        Self {
            sid,
            effect: "Allow",
            principal: None,
            actions: actions.to_vec(),
            resources: vec!["*".to_owned()],
            conditions: Vec::new(),
        }
    }

    /// Forbids actions on everything, whoever else allows them.
    pub(super) fn deny(sid: &'static str, actions: &[&'static str]) -> Self {
        Self { effect: "Deny", ..Self::allow(sid, actions) }
    }

    /// Lets somebody take a role: there a statement has a principal and no resource.
    pub(super) fn trust(sid: &'static str, action: &'static str, principal: Value) -> Self {
        Self { principal: Some(principal), resources: Vec::new(), ..Self::allow(sid, &[action]) }
    }

    pub(super) fn on(mut self, resources: impl IntoIterator<Item = String>) -> Self {
        self.resources = resources.into_iter().collect();
        self
    }

    pub(super) fn when(mut self, operator: &'static str, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.conditions.push((operator, key.into(), value.into()));
        self
    }

    /// Only where something carries, or is given, these tags.
    pub(super) fn tagged(self, key: &str, tags: &[(&'static str, Vec<String>)]) -> Self {
        tags.iter().fold(self, |statement, (tag, values)| {
            // No name of skipper's has a star in it by itself.
            let operator = if values.iter().any(|value| value.contains('*')) { "StringLike" } else { "StringEquals" };
            statement.when(operator, format!("{key}/{tag}"), one_or_many(values))
        })
    }

    fn json(&self) -> Value {
        let mut json = Map::new();
        json.insert("Sid".to_owned(), json!(self.sid));
        json.insert("Effect".to_owned(), json!(self.effect));
        if let Some(principal) = &self.principal {
            json.insert("Principal".to_owned(), principal.clone());
        }
        json.insert("Action".to_owned(), one_or_many(&self.actions));
        if !self.resources.is_empty() {
            json.insert("Resource".to_owned(), one_or_many(&self.resources));
        }
        let mut conditions = Map::new();
        for (operator, key, value) in &self.conditions {
            let of = conditions.entry(*operator).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(of) = of {
                of.insert(key.clone(), value.clone());
            }
        }
        if !conditions.is_empty() {
            json.insert("Condition".to_owned(), Value::Object(conditions));
        }
        Value::Object(json)
    }
}

impl Policy {
    /// As IAM takes it.
    pub(super) fn json(&self) -> Value {
        json!({ "Version": VERSION, "Statement": self.0.iter().map(Statement::json).collect::<Vec<_>>() })
    }
}

fn one_or_many<T: serde::Serialize>(values: &[T]) -> Value {
    match values {
        [one] => json!(one),
        many => json!(many),
    }
}
