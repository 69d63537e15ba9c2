//! Which commands this node lets others run: rules by role, node and command name.
//!
//! Pure. The engine asks before a command counts as accepted; a refusal is the outcome `Rejected(Denied)`.

use runnel_certs::Role;
use runnel_codec::{CommandName, NodeId};
use serde::{Deserialize, Serialize};

/// Rules that are read in order: the first that fits decides. Where none fits, controllers may send any command and workers
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The rules. Default: none.
    ///
    /// Too few, every controller may run everything; too many, nobody sees which one decides.
    pub rules: Vec<Rule>,
}

/// One rule. It fits a command when all that it names fits; what it does not name always fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What becomes of commands that it fits.
    pub action: Action,
    /// The sender's role, from its certificate. Default: any.
    #[serde(default, with = "role_word", skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Names of senders, each with at most one `*` for any text, such as `build-*`. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<String>>,
    /// Names of command types, each with at most one `*`, such as `exec/1` or `sys.*`. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<String>>,
}

/// What a rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The command may run.
    Allow,
    /// It is rejected.
    Deny,
}

impl Policy {
    /// Decides about a command of `sender`. `None` is a sender whose role is not known: it may do nothing that no rule
    /// allows.
    ///
    /// # Errors
    ///
    /// Why it is refused, for its sender.
    pub fn decide(&self, sender: &NodeId, role: Option<Role>, command: &CommandName) -> Result<(), String> {
        match self.rules.iter().find(|rule| rule.fits(sender, role, command)) {
            Some(Rule { action: Action::Allow, .. }) => Ok(()),
            Some(Rule { action: Action::Deny, .. }) => {
                Err(format!("a rule of this node denies {command} to {sender}"))
            }
            None if role == Some(Role::Controller) => Ok(()),
            None => Err(format!("{sender} is not a controller, so it may not send commands")),
        }
    }
}

impl Rule {
    fn fits(&self, sender: &NodeId, role: Option<Role>, command: &CommandName) -> bool {
        self.role.is_none_or(|wanted| role == Some(wanted))
            && fits_any(self.nodes.as_deref(), sender.as_str())
            && fits_any(self.commands.as_deref(), command.as_str())
    }
}

fn fits_any(patterns: Option<&[String]>, text: &str) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| fits_pattern(pattern, text)))
}

fn fits_pattern(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => {
            text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
        }
    }
}

/// Roles in configuration are the words of certificates.
mod role_word {
    use runnel_certs::Role;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    // The shape is serde's.
    #[expect(clippy::ref_option, reason = "serde hands the field over by reference")]
    pub(super) fn serialize<S: Serializer>(role: &Option<Role>, serializer: S) -> Result<S::Ok, S::Error> {
        match role {
            Some(role) => serializer.serialize_some(role.as_str()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Role>, D::Error> {
        let word = Option::<String>::deserialize(deserializer)?;
        word.map(|word| word.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(action: Action) -> Rule {
        Rule { action, role: None, nodes: None, commands: None }
    }

    fn list(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|&word| word.to_owned()).collect())
    }

    #[track_caller]
    fn check(policy: &Policy, sender: &str, role: Role, command: &str, is_allowed: bool) {
        let sender = sender.parse().expect("a valid name");
        let command = command.parse().expect("a valid name");
        let decision = policy.decide(&sender, Some(role), &command);
        assert_eq!(decision.is_ok(), is_allowed, "{sender} {role} {command}: {decision:?}");
    }

    #[test]
    fn by_default_controllers_may_everything_and_workers_nothing() {
        check(&Policy::default(), "ctl", Role::Controller, "exec/1", true);
        check(&Policy::default(), "w1", Role::Worker, "sys.ping/1", false);
        let nobody = "x".parse().expect("a valid name");
        assert!(Policy::default().decide(&nobody, None, &"exec/1".parse().expect("a valid name")).is_err());
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let ping = Rule { commands: list(&["sys.*"]), ..rule(Action::Allow) };
        let policy = Policy { rules: vec![ping, rule(Action::Deny)] };
        check(&policy, "w1", Role::Worker, "sys.ping/1", true);
        check(&policy, "ctl", Role::Controller, "exec/1", false);
    }

    #[test]
    fn a_rule_fits_only_if_all_that_it_names_fits() {
        let narrow = Rule {
            role: Some(Role::Worker),
            nodes: list(&["build-*", "w1"]),
            commands: list(&["exec/1"]),
            ..rule(Action::Allow)
        };
        let policy = Policy { rules: vec![narrow] };
        check(&policy, "w1", Role::Worker, "exec/1", true);
        check(&policy, "build-7", Role::Worker, "exec/1", true);
        check(&policy, "w2", Role::Worker, "exec/1", false);
        check(&policy, "w1", Role::Worker, "sys.ping/1", false);
        let deny_controllers = Rule { role: Some(Role::Controller), ..rule(Action::Deny) };
        check(&Policy { rules: vec![deny_controllers] }, "ctl", Role::Controller, "exec/1", false);
    }

    #[test]
    fn a_star_stands_for_any_text_and_never_overlaps() {
        for (pattern, text, fits) in [
            ("*", "anything", true),
            ("a*", "a", true),
            ("*-x", "w-x", true),
            ("ab*ba", "aba", false),
            ("ab*ba", "abba", true),
            ("w1", "w10", false),
            ("", "w1", false),
        ] {
            assert_eq!(fits_pattern(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    #[cfg(feature = "daemon")]
    fn rules_are_read_from_a_configuration() {
        let text = "[[rules]]\naction = \"deny\"\nrole = \"controller\"\ncommands = [\"exec/1\"]\n";
        let policy: Policy = toml::from_str(text).expect("valid");
        let expected =
            Rule { role: Some(Role::Controller), commands: list(&["exec/1"]), ..rule(Action::Deny) };
        assert_eq!(policy, Policy { rules: vec![expected] });
        for wrong in ["[[rules]]\n", "[[rules]]\naction = \"allow\"\nrole = \"boss\"\n", "rule = []\n"] {
            assert!(toml::from_str::<Policy>(wrong).is_err(), "{wrong}");
        }
    }
}
