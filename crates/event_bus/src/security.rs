//! Who we are to Kafka and how we know that it is Kafka: SASL and TLS, by settings. Nothing here shows a password.

use rdkafka::ClientConfig;
use secrets::Secret;
use serde::{Deserialize, Serialize};
use validator::{Validate, ValidationError, ValidationErrors};

/// TLS and SASL. A text that is not needed is empty.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecuritySettings {
    /// With or without TLS (`ssl`), with or without a user (`sasl`).
    pub protocol: Protocol,
    /// How the user is proven, with `sasl_plaintext` and `sasl_ssl`.
    pub sasl_mechanism: SaslMechanism,
    /// The user, with `sasl_plaintext` and `sasl_ssl`.
    pub sasl_username: String,
    /// The user's password.
    pub sasl_password: Secret,
    /// A PEM file with the authorities that may vouch for the brokers; the system's where it is empty.
    pub ca_file: String,
    /// A PEM file with this client's own certificate, for brokers that ask for one.
    pub certificate_file: String,
    /// A PEM file with that certificate's key.
    pub key_file: String,
    /// What the key is encrypted with, if it is.
    pub key_password: Secret,
}

/// What a connection to Kafka is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Neither encrypted nor with a user.
    Plaintext,
    /// TLS.
    Ssl,
    /// A user, over a connection that everybody can read.
    SaslPlaintext,
    /// A user, over TLS.
    SaslSsl,
}

/// How a user is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaslMechanism {
    /// The password itself is sent: only over TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// The password is proven and not sent.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with a longer hash.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Protocol {
    fn has_user(self) -> bool {
        matches!(self, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }

    fn has_tls(self) -> bool {
        matches!(self, Protocol::Ssl | Protocol::SaslSsl)
    }

    fn name(self) -> &'static str {
        match self {
            Protocol::Plaintext => "plaintext",
            Protocol::Ssl => "ssl",
            Protocol::SaslPlaintext => "sasl_plaintext",
            Protocol::SaslSsl => "sasl_ssl",
        }
    }
}

impl SaslMechanism {
    fn name(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Default for SecuritySettings {
    fn default() -> Self {
        Self {
            protocol: Protocol::Plaintext,
            sasl_mechanism: SaslMechanism::ScramSha512,
            sasl_username: String::new(),
            sasl_password: Secret::default(),
            ca_file: String::new(),
            certificate_file: String::new(),
            key_file: String::new(),
            key_password: Secret::default(),
        }
    }
}

/// By hand, because what is right for one setting depends on the others. A setting that would be ignored is refused: who
/// names a user or an authority means it to be used.
impl Validate for SecuritySettings {
    fn validate(&self) -> Result<(), ValidationErrors> {
        let mut errors = ValidationErrors::new();
        let mut refuse = |setting: &'static str, message: &'static str| {
            errors.add(setting, ValidationError::new("security").with_message(message.into()));
        };
        if self.protocol.has_user() {
            if self.sasl_username.is_empty() {
                refuse("sasl_username", "name the user, which sasl_plaintext and sasl_ssl need");
            }
            if self.sasl_password.is_empty() {
                refuse("sasl_password", "give the user's password, which sasl_plaintext and sasl_ssl need");
            }
        } else if !self.sasl_username.is_empty() || !self.sasl_password.is_empty() {
            refuse("protocol", "must be sasl_ssl or sasl_plaintext where sasl_username or sasl_password is set");
        }
        let files = [&self.ca_file, &self.certificate_file, &self.key_file];
        if !self.protocol.has_tls() && files.iter().any(|file| !file.is_empty()) {
            refuse("protocol", "must be ssl or sasl_ssl where ca_file, certificate_file or key_file is set");
        }
        if self.certificate_file.is_empty() != self.key_file.is_empty() {
            refuse("certificate_file", "goes with key_file: name both files or neither");
        }
        if self.key_file.is_empty() && !self.key_password.is_empty() {
            refuse("key_password", "goes with key_file: name that file too, or leave the password out");
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

impl SecuritySettings {
    /// Tells librdkafka. What does not belong to the protocol is not set at all: an empty path would be looked for.
    pub(crate) fn apply(&self, configuration: &mut ClientConfig) {
        configuration.set("security.protocol", self.protocol.name());
        if self.protocol.has_user() {
            configuration
                .set("sasl.mechanism", self.sasl_mechanism.name())
                .set("sasl.username", &self.sasl_username)
                .set("sasl.password", self.sasl_password.expose());
        }
        if self.protocol.has_tls() {
            let given = [
                ("ssl.ca.location", self.ca_file.as_str()),
                ("ssl.certificate.location", &self.certificate_file),
                ("ssl.key.location", &self.key_file),
                ("ssl.key.password", self.key_password.expose()),
            ];
            for (name, value) in given.into_iter().filter(|(_, value)| !value.is_empty()) {
                configuration.set(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(settings: &SecuritySettings) -> Vec<String> {
        let Err(errors) = settings.validate() else { return Vec::new() };
        let mut names: Vec<String> = errors.field_errors().keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn what_belongs_together_is_demanded_together_and_nothing_is_ignored() {
        let plain = SecuritySettings::default();
        let user = SecuritySettings {
            protocol: Protocol::SaslPlaintext,
            sasl_username: "claims".into(),
            sasl_password: "hunter2".into(),
            ..plain.clone()
        };
        let files = SecuritySettings {
            protocol: Protocol::Ssl,
            ca_file: "ca.pem".into(),
            certificate_file: "own.pem".into(),
            key_file: "own.key".into(),
            key_password: "hunter2".into(),
            ..plain.clone()
        };
        for right in [&plain, &user, &files, &SecuritySettings { protocol: Protocol::SaslSsl, ..user.clone() }] {
            assert_eq!(problems(right), Vec::<String>::new(), "{right:?}");
        }
        let wrong = [
            (SecuritySettings { protocol: Protocol::SaslSsl, ..plain.clone() }, vec!["sasl_password", "sasl_username"]),
            (SecuritySettings { sasl_username: String::new(), ..user.clone() }, vec!["sasl_username"]),
            (SecuritySettings { sasl_password: "".into(), ..user.clone() }, vec!["sasl_password"]),
            (SecuritySettings { protocol: Protocol::Plaintext, ..user.clone() }, vec!["protocol"]),
            (SecuritySettings { protocol: Protocol::Ssl, ..user.clone() }, vec!["protocol"]),
            (SecuritySettings { protocol: Protocol::Plaintext, ..files.clone() }, vec!["protocol"]),
            (SecuritySettings { ca_file: "ca.pem".into(), ..user }, vec!["protocol"]),
            (SecuritySettings { certificate_file: String::new(), ..files.clone() }, vec!["certificate_file"]),
            (SecuritySettings { key_file: String::new(), ..files }, vec!["certificate_file", "key_password"]),
        ];
        for (settings, named) in wrong {
            assert_eq!(problems(&settings), named, "{settings:?}");
        }
    }

    #[test]
    fn librdkafka_is_told_what_the_protocol_needs_and_no_more() {
        // rdkafka masks passwords in what it shows of itself.
        let told = |settings: SecuritySettings| {
            let mut configuration = ClientConfig::new();
            settings.apply(&mut configuration);
            let mut told: Vec<String> =
                configuration.config_map().iter().map(|(name, value)| format!("{name}={value}")).collect();
            told.sort();
            told
        };
        assert_eq!(told(SecuritySettings::default()), ["security.protocol=plaintext"]);
        let all = SecuritySettings {
            protocol: Protocol::SaslSsl,
            sasl_mechanism: SaslMechanism::ScramSha256,
            sasl_username: "claims".into(),
            sasl_password: "hunter2".into(),
            ca_file: "ca.pem".into(),
            certificate_file: "own.pem".into(),
            key_file: "own.key".into(),
            key_password: "hunter3".into(),
        };
        assert_eq!(
            told(all.clone()),
            [
                "sasl.mechanism=SCRAM-SHA-256",
                "sasl.password=[sanitized for safety]",
                "sasl.username=claims",
                "security.protocol=sasl_ssl",
                "ssl.ca.location=ca.pem",
                "ssl.certificate.location=own.pem",
                "ssl.key.location=own.key",
                "ssl.key.password=[sanitized for safety]",
            ]
        );
        let shown = format!("{all:?} {}", serde_json::to_string(&all).unwrap());
        assert!(shown.contains("claims") && !shown.contains("hunter"), "{shown}");
    }
}
