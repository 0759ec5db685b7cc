//! Rules about keys that are good alone but not together, and what deserves a warning.

use super::environment::Environment;
use super::error::Problem;
use super::load::{Layers, Origin};
use super::table::KEYS;

impl Layers {
    pub(super) fn check_together(&mut self, environment: &Environment) {
        self.check_secrets();
        self.check_hmac(environment);
        self.check_doors();
        self.check_sizes();
        self.check_url();
    }

    /// A secret comes from one place: which of two would count is a guess that the user should not have to make.
    fn check_secrets(&mut self) {
        let (ingest, waldo) = (&self.config.ingest, &self.config.waldo);
        let pairs = [
            (
                "ingest.secret",
                ingest.secret.is_some(),
                "ingest.secret_file",
                ingest.secret_file.is_some(),
            ),
            (
                "waldo.api_key",
                waldo.api_key.is_some(),
                "waldo.api_key_file",
                waldo.api_key_file.is_some(),
            ),
            (
                "waldo.client_secret",
                waldo.client_secret.is_some(),
                "waldo.client_secret_file",
                waldo.client_secret_file.is_some(),
            ),
        ];
        for (text, has_text, file, has_file) in pairs {
            if has_text && has_file {
                let (a, b) = (self.told(text), self.told(file));
                self.conflict(
                    &[text, file],
                    format!("{a} and {b} are both set: keep one of them"),
                );
            }
        }
    }

    fn check_hmac(&mut self, environment: &Environment) {
        const HEADER: &str = "ingest.hmac_header";
        const FILE: &str = "ingest.hmac_key_file";
        let ingest = &self.config.ingest;
        let credential = environment.credential("hmac-key").is_some();
        match (ingest.hmac_header.is_some(), ingest.hmac_key_file.is_some()) {
            (true, false) if !credential => {
                let text = format!(
                    "{} is set without {FILE}: set both or neither",
                    self.told(HEADER)
                );
                self.conflict(&[HEADER, FILE], text);
            }
            (false, true) => {
                let text = format!(
                    "{} is set without {HEADER}: set both or neither",
                    self.told(FILE)
                );
                self.conflict(&[HEADER, FILE], text);
            }
            (false, false) if credential => self.warnings.push(format!(
                "the credential hmac-key is there but {HEADER} is not set: no HMAC is checked"
            )),
            _ => {}
        }
    }

    fn check_doors(&mut self) {
        const LISTEN: &str = "query.listen";
        const SOCKET: &str = "query.socket";
        if self.config.query.listen.is_empty() && self.config.query.socket.is_none() {
            let told = self.told(LISTEN);
            let text = format!(
                "{told} is empty and {SOCKET} is not set: apps could not read at all; set one of them"
            );
            self.conflict(&[LISTEN, SOCKET], text);
        }
        let backup = &self.config.backup;
        if backup.every.is_some() && backup.dir.is_none() {
            let text = format!(
                "{} is set without backup.dir: say where backups go",
                self.told("backup.every")
            );
            self.conflict(&["backup.every", "backup.dir"], text);
        }
    }

    /// A body that the queue can never hold would be refused with "try again later" for ever.
    fn check_sizes(&mut self) {
        const QUEUE: &str = "store.queue_bytes";
        const BODY: &str = "ingest.max_body";
        let (queue, body) = (self.config.store.queue_bytes, self.config.ingest.max_body);
        if queue < body {
            let (a, b) = (self.told(QUEUE), self.told(BODY));
            self.conflict(
                &[QUEUE, BODY],
                format!("{a} is {queue} but {b} is {body}: the queue must hold one body"),
            );
        }
    }

    fn check_url(&mut self) {
        let url = &self.config.waldo.api_url;
        let Some(authority) = url.strip_prefix("http://") else {
            return;
        };
        let local = authority.starts_with("127.") || authority.starts_with("[::1]");
        if !local && authority.split(':').next() != Some("localhost") {
            self.warnings.push(format!(
                "waldo.api_url is {url}: keys and personal data go unencrypted"
            ));
        }
    }

    /// Says nothing when one of the keys has a bad value: that problem is told already, and this one may be its echo.
    fn conflict(&mut self, keys: &[&str], text: String) {
        if !keys.iter().any(|key| self.bad.contains(*key)) {
            let typed = keys
                .iter()
                .any(|key| self.origin(key) == Some(Origin::Flag));
            self.problems.push(Problem::Conflict { text, typed });
        }
    }

    fn origin(&self, dotted: &str) -> Option<Origin> {
        let index = KEYS.iter().position(|key| key.dotted() == dotted)?;
        self.origins.get(index).copied()
    }

    /// A key with the place that set it.
    fn told(&self, dotted: &str) -> String {
        match self.origin(dotted) {
            Some(Origin::File { line }) => format!("{dotted} (file, line {line})"),
            Some(Origin::Environment) => format!("{dotted} (environment)"),
            Some(Origin::Flag) => format!("{dotted} (command line)"),
            Some(Origin::Default) | None => dotted.to_owned(),
        }
    }
}
