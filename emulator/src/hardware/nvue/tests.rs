use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use longhaul_topologies::Document;
use longhaul_topologies::hardware::{self, Login, Switch, Trust};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::played::{Age, Fault, PASSWORD, Played, USER};
use super::*;
use crate::hardware::place::at;

const WANTED: &str = "roce: lossless, adaptive_routing: {state: enabled, interfaces: [swp1]}, \
                      ecn: [{traffic_class: 3, min: 1000, max: 2000}]";
/// Long enough for a switch that answers at once, short enough to wait for one that does not.
const PATIENCE: Duration = Duration::from_millis(500);

/// Reads what a switch should be set to.
fn switch(wanted: &str, address: SocketAddr) -> Switch {
    let text = format!(
        "switches: [{{name: leaf1, login: {{nvue: {{url: 'http://{address}', user: {USER}, password: {{file: unread}}, certificate: unchecked}}}}, {wanted}}}]"
    );
    let document = Document::from_text("hardware.yaml", &text).unwrap();
    let settings = hardware::settings(&document, Path::new("")).unwrap();
    settings.switches.into_iter().next().unwrap()
}

fn login(switch: &Switch) -> NvueLogin {
    match switch.login() {
        Login::Nvue(nvue) => nvue.clone(),
        Login::Sonic(ssh) => panic!("{ssh:?}"),
    }
}

/// Logs in with `password`.
fn connect(mut login: NvueLogin, password: &str) -> Result<Nvue, NvueError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, format!("{password}\n")).unwrap();
    login.password = PasswordSource::File(file);
    Nvue::new(&login, PATIENCE)
}

/// Sets all of [`WANTED`]; what was noted meanwhile, too.
fn set(played: &Played) -> (Result<(), NvueError>, Vec<String>) {
    let switch = switch(WANTED, played.address);
    let nvue = connect(login(&switch), PASSWORD).unwrap();
    let config = wanted(&switch, &nvue.config(View::Effective).unwrap()).unwrap();
    let mut notes = Vec::new();
    let outcome = nvue.set(&config, &[], &mut |note| notes.push(note.to_owned()));
    (outcome, notes)
}

fn before() -> Value {
    json!({"system": {"hostname": "leaf1"}, "qos": {"roce": {"enable": "on", "mode": "lossy"}}})
}

#[test]
fn a_revision_is_made_filled_applied_and_looked_at_until_it_is_done() {
    let played = Played::start(before(), Age::UpTo514, Fault::None);
    let (outcome, notes) = set(&played);
    outcome.unwrap();
    assert_eq!(notes, [format!("revision 1 of http://{}", played.address)]);
    let expected = [
        "GET /?rev=applied",
        "POST /revision",
        "PATCH /?rev=1",
        "PATCH /revision/1",
        "GET /revision/1",
        "GET /revision/1",
    ];
    assert_eq!(played.requests(), expected);
    let applied = played.applied();
    assert_eq!(applied["system"]["hostname"], "leaf1");
    assert_eq!(at(&applied, "/qos/roce/mode"), "lossless");
    assert_eq!(
        at(&applied, "/interface/swp1/router/adaptive-routing/enable"),
        "on"
    );
    let ecn = at(
        &applied,
        "/qos/congestion-control/default-global/traffic-class/3",
    );
    let thresholds = json!({"ecn": "enable", "min-threshold": 1000, "max-threshold": 2000});
    assert_eq!(*ecn, thresholds);
}

#[test]
fn a_newer_switch_is_spoken_to_in_its_own_words() {
    let played = Played::start(json!({}), Age::From515, Fault::None);
    set(&played).0.unwrap();
    assert_eq!(at(&played.applied(), "/qos/roce/state"), "enabled");
    assert_eq!(
        at(&played.applied(), "/router/adaptive-routing/state"),
        "enabled"
    );
}

/// What was partly set, and what was not there at all.
#[test]
fn what_was_not_set_is_unset_again() {
    for before in [before(), json!({"system": {"hostname": "leaf1"}})] {
        let played = Played::start(before.clone(), Age::UpTo514, Fault::None);
        let switch = switch(WANTED, played.address);
        let nvue = connect(login(&switch), PASSWORD).unwrap();
        let config = wanted(&switch, &nvue.config(View::Effective).unwrap()).unwrap();
        let set = nvue.config(View::Set).unwrap();
        let old: Config = config
            .keys()
            .map(|path| (path.clone(), at(&set, path).clone()))
            .collect();
        let wholes = config.keys().map(|path| path.rsplit_once('/').unwrap().0);
        let absent: Vec<String> = wholes
            .filter(|whole| at(&set, whole).is_null())
            .map(str::to_owned)
            .collect();
        nvue.set(&config, &absent, &mut |_| {}).unwrap();
        assert_ne!(played.applied(), before);
        nvue.set(&old, &absent, &mut |_| {}).unwrap();
        assert_eq!(played.applied(), before);
    }
}

#[test]
fn a_wrong_password_and_one_never_changed_are_told_apart() {
    let played = Played::start(before(), Age::UpTo514, Fault::None);
    let login = login(&switch(WANTED, played.address));
    let nvue = connect(login.clone(), "wrong").unwrap();
    let refused = nvue.config(View::Set).unwrap_err();
    assert!(
        matches!(refused, NvueError::Unauthorized { .. }),
        "{refused}"
    );
    assert!(!refused.to_string().contains("wrong"), "{refused}");

    played.set_fault(Fault::DefaultPassword);
    let nvue = connect(login, PASSWORD).unwrap();
    let refused = nvue.config(View::Set).unwrap_err();
    assert!(matches!(refused, NvueError::Forbidden { .. }), "{refused}");
}

#[test]
fn nothing_is_set_where_the_switch_says_so() {
    for (fault, expected) in [
        (Fault::Conflict, "conflicting (409); nothing of it is set"),
        (
            Fault::Invalid,
            "(invalid): Config invalid at qos.roce.mode: not on this switch.; nothing",
        ),
    ] {
        let played = Played::start(before(), Age::UpTo514, fault);
        let told = set(&played).0.unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
        assert!(told.contains("revision 1"), "{told}");
        assert_eq!(played.applied(), before());
    }
}

/// Nobody knows then whether it is set: the number of the revision and where to look are told, and were noted before.
#[test]
fn an_end_that_nobody_saw_is_told_as_one() {
    for fault in [Fault::Endless, Fault::HangsUp] {
        let played = Played::start(before(), Age::UpTo514, fault);
        let (outcome, notes) = set(&played);
        let told = outcome.unwrap_err();
        assert!(matches!(told, NvueError::Unsure { .. }), "{told}");
        let told = told.to_string();
        for expected in [
            "may or may not be set",
            "/nvue_v1/revision/1",
            "hardware restore",
        ] {
            assert!(told.contains(expected), "{told}");
        }
        assert_eq!(notes.len(), 1);
    }
}

#[test]
fn a_switch_that_is_busy_with_itself_is_waited_for() {
    let played = Played::start(before(), Age::UpTo514, Fault::Stumbles);
    set(&played).0.unwrap();
    assert_eq!(at(&played.applied(), "/qos/roce/mode"), "lossless");
}

#[test]
fn a_port_that_is_not_there_is_refused_before_anything_is_applied() {
    let played = Played::start(before(), Age::UpTo514, Fault::None);
    let switch = switch(
        "adaptive_routing: {state: enabled, interfaces: [swp99]}",
        played.address,
    );
    let nvue = connect(login(&switch), PASSWORD).unwrap();
    let config = wanted(&switch, &nvue.config(View::Effective).unwrap()).unwrap();
    let told = nvue.set(&config, &[], &mut |_| {}).unwrap_err().to_string();
    assert!(told.contains("/interface/swp99"), "{told}");
    assert!(!played.requests().contains(&"PATCH /revision/1".to_owned()));
}

/// That the played switch does refuse: without this the tests above would show little.
#[test]
fn the_played_switch_refuses_steps_out_of_order() {
    let played = Played::start(before(), Age::UpTo514, Fault::None);
    let nvue = connect(login(&switch(WANTED, played.address)), PASSWORD).unwrap();
    let order = json!({"state": "apply", "auto-prompt": {"ays": "ays_yes"}});
    let patch = json!({"qos": {"roce": {"mode": "lossless"}}});
    let ask = |method, path: &str, body| nvue.request(method, path, body);
    assert!(ask(Method::PATCH, "/revision/1", Some(&order)).is_err());
    assert!(ask(Method::PATCH, "/?rev=1", Some(&patch)).is_err());
    ask(Method::POST, "/revision", None).unwrap();
    // Nothing is in it yet.
    assert!(ask(Method::PATCH, "/revision/1", Some(&order)).is_err());
    ask(Method::PATCH, "/?rev=1", Some(&patch)).unwrap();
    ask(Method::PATCH, "/revision/1", Some(&order)).unwrap();
    // It is under way.
    assert!(ask(Method::PATCH, "/?rev=1", Some(&patch)).is_err());
    assert_eq!(played.applied(), before());
}

#[test]
fn a_switch_that_does_not_show_how_it_switches_on_is_left_alone() {
    let switch = switch(WANTED, "127.0.0.1:1".parse().unwrap());
    let told = wanted(&switch, &json!({"qos": {}})).unwrap_err();
    assert!(matches!(told, NvueError::Dialect));
}

#[test]
fn nobody_there_and_no_password_are_told_with_the_place() {
    let login = login(&switch(WANTED, "127.0.0.1:1".parse().unwrap()));
    let nvue = connect(login.clone(), PASSWORD).unwrap();
    let told = nvue.config(View::Set).unwrap_err();
    assert!(matches!(told, NvueError::Unreachable { .. }), "{told}");
    for source in [
        PasswordSource::Env("LONGHAUL_NO_SUCH_VARIABLE".into()),
        PasswordSource::File("/no/such/file".into()),
    ] {
        let login = NvueLogin {
            password: source,
            ..login.clone()
        };
        let told = Nvue::new(&login, PATIENCE).err().unwrap();
        assert!(matches!(told, NvueError::Password { .. }), "{told}");
    }
}

/// Somebody who signs certificates, and a front with encryption before a switch.
struct Encrypted {
    folder: tempfile::TempDir,
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Encrypted {
    /// Certificates lie in `own.pem` and `signer.pem`.
    fn before(played: &Played) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let own = CertificateParams::new(names).unwrap();
        let own = own.signed_by(&key, &signer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("own.pem"), own.pem()).unwrap();
        fs::write(folder.path().join("signer.pem"), signer.pem()).unwrap();
        let chain = vec![CertificateDer::from(own.der().to_vec())];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let behind = played.address;
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await?;
                    let mut inner = TcpStream::connect(behind).await?;
                    tokio::io::copy_bidirectional(&mut stream, &mut inner).await
                });
            }
        });
        Encrypted {
            folder,
            address,
            _runtime: runtime,
        }
    }

    fn ask(&self, trust: Trust) -> Result<Value, NvueError> {
        let mut login = login(&switch(WANTED, self.address));
        login.url = format!("https://{}", self.address).parse().unwrap();
        login.certificate = trust;
        connect(login, PASSWORD)?.config(View::Set)
    }

    fn file(&self, name: &str) -> Trust {
        Trust::File(self.folder.path().join(name))
    }
}

#[test]
fn a_switch_is_believed_by_its_own_certificate_its_signers_or_unchecked() {
    let played = Played::start(before(), Age::UpTo514, Fault::None);
    let encrypted = Encrypted::before(&played);
    for trust in [
        encrypted.file("own.pem"),
        encrypted.file("signer.pem"),
        Trust::Anybody,
    ] {
        assert_eq!(encrypted.ask(trust).unwrap(), before());
    }
}

#[test]
fn another_certificate_gets_no_password() {
    let played = Played::start(before(), Age::UpTo514, Fault::None);
    let encrypted = Encrypted::before(&played);
    let other = Encrypted::before(&played);
    for name in ["own.pem", "signer.pem"] {
        let told = encrypted.ask(other.file(name)).unwrap_err();
        assert!(matches!(told, NvueError::Untrusted { .. }), "{told}");
    }
    assert_eq!(played.requests(), [""; 0]);
}

#[test]
fn a_file_without_certificates_is_told_by_its_name() {
    let played = Played::start(before(), Age::UpTo514, Fault::None);
    let encrypted = Encrypted::before(&played);
    fs::write(encrypted.folder.path().join("empty.pem"), "nothing\n").unwrap();
    for trust in [encrypted.file("empty.pem"), encrypted.file("missing.pem")] {
        let told = encrypted.ask(trust).unwrap_err().to_string();
        let folder: &Path = encrypted.folder.path();
        assert!(told.contains(&folder.display().to_string()), "{told}");
    }
}
