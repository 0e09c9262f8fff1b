//! A server that the real CLI takes for Railway's API: a proxy that lets nothing out, TLS, and HTTP/1.1.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::platform::{BACKEND, ENVIRONMENT, POSTGRES, PROJECT, Platform};
use crate::schema::Schema;

/// Where the CLI believes to be.
const HOST: &str = "backboard.railway.com";

/// The server, and what it saw.
pub struct Server {
    /// The proxy.
    pub proxy: SocketAddr,
    /// The domain of the service: what answers is as the platform says.
    pub domain: SocketAddr,
    /// The authority that the CLI has to trust.
    pub authority: String,
    state: Arc<State>,
}

struct State {
    platform: Mutex<Platform>,
    schema: Schema,
    tls: Arc<ServerConfig>,
    /// What should not have been: other hosts, documents that the schema does not know.
    wrong: Mutex<Vec<String>>,
    /// The tokens that came.
    tokens: Mutex<Vec<String>>,
    /// The names of the files of the last upload.
    uploaded: Mutex<Vec<String>>,
}

impl Server {
    /// Serves that platform.
    pub fn start(platform: Platform) -> Self {
        let (authority, tls) = certificates();
        let state = Arc::new(State {
            platform: Mutex::new(platform),
            schema: Schema::load(),
            tls,
            wrong: Mutex::default(),
            tokens: Mutex::default(),
            uploaded: Mutex::default(),
        });
        let proxy = listen(&state, proxied);
        let domain = listen(&state, asked);
        Self { proxy, domain, authority, state }
    }

    /// What is served.
    pub fn platform(&self) -> MutexGuard<'_, Platform> {
        lock(&self.state.platform)
    }

    /// The names of the files of the last upload.
    pub fn uploaded(&self) -> Vec<String> {
        lock(&self.state.uploaded).clone()
    }

    /// Fails the test if something came that should not have.
    #[track_caller]
    pub fn expect_nothing_wrong(&self, token: &str) {
        let wrong = lock(&self.state.wrong);
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(lock(&self.state.tokens).iter().all(|one| one == token));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An authority in PEM, and a server that it vouches for. A certificate that signs itself would be refused.
fn certificates() -> (String, Arc<ServerConfig>) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().expect("a key");
    let certificate = authority.self_signed(&authority_key).expect("an authority");
    let issuer = Issuer::new(authority, authority_key);
    let mut leaf = CertificateParams::new([HOST.to_owned()]).expect("a name");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf_key = KeyPair::generate().expect("a key");
    let leaf = leaf.signed_by(&leaf_key, &issuer).expect("a certificate");
    let key = PrivateKeyDer::try_from(leaf_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(leaf.der().to_vec())], key)
        .expect("a certificate and its key");
    (certificate.pem(), Arc::new(config))
}

fn listen(state: &Arc<State>, serve: fn(&State, TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            std::thread::spawn(move || serve(&state, stream));
        }
    });
    address
}

/// The service's domain: `/health` as the platform says, and nothing else.
fn asked(state: &State, stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let Some(request) = Request::read(&mut stream) else { return };
    let commit = lock(&state.platform).answering().map(str::to_owned);
    let (status, body) = match commit {
        Some(commit) if request.path == "/health" => {
            (200, json!({ "status": "ok", "commit": commit, "version": "0.1.0" }))
        }
        _ => (404, json!({})),
    };
    respond(stream.get_mut(), status, &body);
}

/// A tunnel to Railway, and to nobody else.
fn proxied(state: &State, stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    drop(stream.read_line(&mut line));
    while stream.read_line(&mut String::new()).is_ok_and(|length| length > 2) {}
    if line.split_whitespace().nth(1) != Some(&format!("{HOST}:443")) {
        lock(&state.wrong).push(format!("it asks for {}", line.trim()));
        drop(stream.get_mut().write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"));
        return;
    }
    drop(stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
    let connection = ServerConnection::new(Arc::clone(&state.tls)).expect("a connection");
    let mut stream = BufReader::new(StreamOwned::new(connection, stream.into_inner()));
    while let Some(request) = Request::read(&mut stream) {
        lock(&state.tokens).push(request.token.clone());
        let (status, body) = if request.path.ends_with("/graphql/v2") {
            state.graphql(&request.body)
        } else if request.path.contains("/up?") {
            state.upload(&request.body)
        } else {
            lock(&state.wrong).push(format!("it asks for {}", request.path));
            (404, json!({}))
        };
        respond(stream.get_mut(), status, &body);
    }
}

fn respond(stream: &mut impl Write, status: u16, body: &Value) {
    let body = body.to_string();
    let head =
        format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    drop(stream.write_all(format!("{head}{body}").as_bytes()).and_then(|()| stream.flush()));
}

impl State {
    fn graphql(&self, body: &[u8]) -> (u16, Value) {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = request["query"].as_str().unwrap_or_default();
        if let Some(name) = request["operationName"].as_str() {
            return (200, of_the_cli(name, &lock(&self.platform)));
        }
        lock(&self.wrong).extend(self.schema.problems(text));
        let (status, body) = lock(&self.platform).answer(text, &request["variables"]);
        lock(&self.wrong).extend(self.schema.problems_of_answer(text, &body["data"]));
        (status, body)
    }

    fn upload(&self, archive: &[u8]) -> (u16, Value) {
        let folder = tempfile::tempdir().expect("a folder");
        unpack(archive, folder.path());
        let mut names = Vec::new();
        list(folder.path(), folder.path(), &mut names);
        names.sort();
        *lock(&self.uploaded) = names;
        let commit = std::fs::read_to_string(folder.path().join("backend/COMMIT")).unwrap_or_default();
        match lock(&self.platform).receive(commit.trim()) {
            Ok(id) => (200, json!({ "deploymentId": id, "url": "x", "logsUrl": "x", "deploymentDomain": "x" })),
            Err((status, message)) => (status, json!({ "message": message })),
        }
    }
}

/// The CLI's own questions.
fn of_the_cli(name: &str, platform: &Platform) -> Value {
    let named = |id: &str, name: &str| json!({ "id": id, "name": name });
    let environment = json!({ "id": ENVIRONMENT, "name": platform.environment, "canAccess": true, "deletedAt": null,
        "unmergedChangesCount": 0 });
    let edges =
        |nodes: &[Value]| json!({ "edges": nodes.iter().map(|node| json!({ "node": node })).collect::<Vec<_>>() });
    let data = match name {
        "ProjectToken" => json!({ "projectToken": { "id": "t", "project": named(PROJECT, "shop"),
            "environment": named(ENVIRONMENT, &platform.environment) } }),
        "Project" => json!({ "project": { "id": PROJECT, "name": "shop", "workspaceId": null, "deletedAt": null,
            "workspace": null, "buckets": edges(&[]), "environments": edges(&[environment]),
            "services": edges(&[named(BACKEND, "backend"), named(POSTGRES, "postgres")]) } }),
        _ => return json!({ "errors": [{ "message": format!("nobody plays {name}") }], "data": null }),
    };
    json!({ "data": data })
}

#[expect(clippy::disallowed_methods, reason = "the tests use the system's own tar")]
fn unpack(archive: &[u8], folder: &Path) {
    let mut tar =
        Command::new("tar").args(["-xzf", "-", "-C"]).arg(folder).stdin(Stdio::piped()).spawn().expect("tar runs");
    drop(tar.stdin.take().expect("it is piped").write_all(archive));
    assert!(tar.wait().expect("it ends").success());
}

fn list(root: &Path, folder: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(root, &path, names);
        } else {
            names.push(path.strip_prefix(root).expect("inside").display().to_string());
        }
    }
}

/// A request of HTTP/1.1, whole.
struct Request {
    path: String,
    token: String,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &mut impl BufRead) -> Option<Self> {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let path = line.split_whitespace().nth(1)?.to_owned();
        let (mut length, mut is_chunked, mut token) = (0, false, String::new());
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "transfer-encoding" => is_chunked = true,
                "project-access-token" | "authorization" => value.trim().clone_into(&mut token),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        while is_chunked {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let length = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut chunk = vec![0; length + 2];
            stream.read_exact(&mut chunk).ok()?;
            body.extend(&chunk[..length]);
            is_chunked = length > 0;
        }
        Some(Self { path, token, body })
    }
}
