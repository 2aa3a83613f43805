//! AWS KMS as the key provider, against moto's: no key file anywhere, what a second machine needs, and what the
//! service's own rules refuse.

use std::process::Command;

use serde_json::Value;

use crate::support::home::Home;
use crate::support::refusal::Refusal;
use crate::support::server::Server;
use crate::support::tool::{output, run, tool};

/// The image in the repository's `fixtures`, which is smaller than the others.
const HELLO: &str = concat!("oci-archive:", env!("CARGO_MANIFEST_DIR"), "/../../fixtures/hello.oci.tar");

/// A KMS that is gone when the story ends.
struct Kms(Server);

impl Kms {
    fn start() -> Self {
        Self(Server::cloud())
    }

    /// What the service itself says.
    #[track_caller]
    fn ask(&self, action: &str, request: &Value) -> Value {
        let script = "import sys, urllib.request as r\nq = r.Request(sys.argv[1], sys.argv[3].encode(), {'X-Amz-Target': \
             'TrentService.' + sys.argv[2], 'Content-Type': 'application/x-amz-json-1.1', 'Authorization': \
             'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kms/aws4_request, SignedHeaders=host, Signature=0'})\n\
             print(r.urlopen(q).read().decode())";
        let url = format!("http://{}/", self.0.address());
        let said = run(tool("python3").args(["-c", script, &url, action, &request.to_string()]));
        serde_json::from_str(&said).unwrap_or_default()
    }

    /// A new key, and the alias for it.
    fn key(&self, alias: &str) -> String {
        let made = self.ask("CreateKey", &serde_json::json!({}));
        let arn = made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
        self.ask("CreateAlias", &serde_json::json!({ "AliasName": alias, "TargetKeyId": arn }));
        arn
    }

    /// `frazil` of a home whose keys are in this KMS.
    fn frazil(&self, home: &Home, keys: &str, words: &[&str]) -> Command {
        let mut command = tool(env!("CARGO_BIN_EXE_frazil"));
        command
            .env("AWS_ENDPOINT_URL_KMS", format!("http://{}", self.0.address()))
            .env("AWS_ALLOW_HTTP", "true");
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command.env("AWS_REGION", "us-east-1");
        command.env("HOME", home.path("")).env("XDG_RUNTIME_DIR", home.path("runtime"));
        command.arg("--store").arg(home.store()).args(["--keys", keys]).args(words);
        command
    }
}

const KEYS: &str = "kms:alias/frazil-{tenant}";

#[test]
fn with_a_key_service_a_second_machine_needs_no_key_file() {
    let (kms, home) = (Kms::start(), Home::new());
    let key = kms.key("alias/frazil-acme");
    run(&mut kms.frazil(&home, KEYS, &["--tenant", "acme", "convert", "--name", "hello", HELLO]));
    // Another user, another home directory: the store and the right to use the key are all there is.
    let second = Home::with_store_at(home.store());
    let verified = run(&mut kms.frazil(&second, KEYS, &["--tenant", "acme", "verify", "--json", "hello"]));
    assert!(verified.contains("\"sound\": true"), "{verified}");
    let again = ["--tenant", "acme", "convert", "--json", "--name", "again", HELLO];
    let summary: Value = serde_json::from_str(&run(&mut kms.frazil(&second, KEYS, &again))).unwrap();
    assert_eq!((&summary["layers_ingested"], &summary["chunks_new"]), (&0.into(), &0.into()));
    let shown = run(&mut kms.frazil(&second, KEYS, &["--tenant", "acme", "inspect", "--json", "hello"]));
    assert!(shown.contains(&key), "{shown}");
    let scope = run(&mut kms.frazil(&second, KEYS, &["scope", "show", "acme"]));
    assert!(scope.contains(&format!("wrapped by {key}")), "{scope}");
    assert!(!home.keys().exists() && !second.keys().exists());
    assert!(!second.path(".config").exists());
}

#[test]
fn the_key_service_is_told_whose_key_it_is_and_for_what_and_refuses_another_use() {
    let (kms, home) = (Kms::start(), Home::new());
    for tenant in ["acme", "evil"] {
        kms.key(&format!("alias/frazil-{tenant}"));
    }
    run(&mut kms.frazil(&home, KEYS, &["--tenant", "acme", "convert", "--name", "hello", HELLO]));
    run(&mut kms.frazil(&home, KEYS, &["--tenant", "evil", "convert", "--name", "hello", HELLO]));
    // What acme's manifest holds decrypts under acme's context, by the service's own word, and under no other.
    let (_, sealed) = crate::support::tenants::sealed(home.store(), "acme", "hello");
    let wrapped = sealed.wrapped_key();
    assert_eq!(wrapped.provider, "aws-kms");
    let script = format!(
        "import base64,sys;print(base64.b64encode(bytes.fromhex('{}')).decode())",
        hex::encode(&wrapped.bytes)
    );
    let blob = run(tool("python3").args(["-c", &script])).trim().to_owned();
    let decrypt = |context: Value| {
        let request = serde_json::json!({ "CiphertextBlob": blob, "EncryptionContext": context });
        std::panic::catch_unwind(|| kms.ask("Decrypt", &request)["Plaintext"].is_string()).unwrap_or(false)
    };
    assert!(decrypt(serde_json::json!({ "frazil:tenant": "acme", "frazil:image": "hello" })));
    assert!(!decrypt(serde_json::json!({ "frazil:tenant": "acme", "frazil:image": "other" })));
    assert!(!decrypt(serde_json::json!({ "frazil:tenant": "evil", "frazil:image": "hello" })));
    assert!(!decrypt(serde_json::json!({})));
    // A key that nobody named unwraps nothing, whatever the manifest says.
    let names = home.store().join("names");
    std::fs::copy(names.join("evil/hello"), names.join("acme/hello")).unwrap();
    let refused = output(&mut kms.frazil(&home, KEYS, &["--tenant", "acme", "verify", "hello"]));
    Refusal::of(&refused).is(1, "leads to the manifest of hello of tenant evil", "changed the reference");
    let others =
        output(&mut kms.frazil(&home, "kms:alias/frazil-acme", &["--tenant", "evil", "verify", "hello"]));
    Refusal::of(&others).is(1, "hello is sealed for key arn:", "--keys");
}

#[test]
fn keys_of_a_service_are_rotated_by_naming_the_new_one_first() {
    let (kms, home) = (Kms::start(), Home::new());
    let old = kms.key("alias/old");
    let new = kms.key("alias/new");
    run(&mut kms.frazil(&home, "kms:alias/old", &["convert", "--name", "hello", HELLO]));
    let refused = output(&mut kms.frazil(&home, "kms:alias/old", &["key", "rotate"]));
    Refusal::of(&refused).is(1, &format!("every image is already wrapped by {old}"), "kms:NEW,OLD");
    let both = "kms:alias/new,alias/old";
    let done = run(&mut kms.frazil(&home, both, &["key", "rotate", "--json"]));
    let done: Value = serde_json::from_str(&done).unwrap();
    assert_eq!((&done["key"], &done["rewrapped"]), (&new.as_str().into(), &1.into()));
    // The image no longer needs the old key.
    let verified = run(&mut kms.frazil(&home, "kms:alias/new", &["verify", "--json", "hello"]));
    assert!(verified.contains("\"sound\": true"), "{verified}");
    // The scope's secret is wrapped by the old one until it is rotated itself.
    let refused = output(&mut kms.frazil(&home, "kms:alias/new", &["convert", "--name", "more", HELLO]));
    assert!(!refused.status.success());
    run(&mut kms.frazil(&home, both, &["scope", "rotate", "default"]));
    run(&mut kms.frazil(&home, "kms:alias/new", &["convert", "--name", "more", HELLO]));
}

#[test]
fn a_key_service_that_refuses_or_is_away_says_so() {
    let (kms, home) = (Kms::start(), Home::new());
    let refused = output(&mut kms.frazil(&home, "kms:alias/nobody", &["convert", "--name", "hello", HELLO]));
    let refusal = Refusal::of(&refused);
    assert!(refusal.error.contains("the key service refuses to Encrypt alias/nobody"), "{}", refusal.error);
    let refused = output(&mut kms.frazil(&home, "kms:", &["images"]));
    assert!(refused.status.success(), "what needs no key asks for none");
    let refused = output(&mut kms.frazil(&home, "kms:a b", &["convert", "--name", "hello", HELLO]));
    Refusal::of(&refused).is(1, "not keys of a key service", "kms:KEY");
    kms.key("alias/frazil-default");
    run(&mut kms.frazil(&home, KEYS, &["convert", "--name", "hello", HELLO]));
    let mut away = kms.frazil(&home, KEYS, &["verify", "hello"]);
    away.env("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9");
    let refusal = Refusal::of(&output(&mut away));
    assert!(refusal.error.contains("the key service refuses to DescribeKey"), "{}", refusal.error);
}
