//! A pooler in transaction mode, as little of one as is needed: every client signs in on a session of its own, and then
//! all of them speak with the session of the first.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use tokio::runtime::Runtime;

use crate::support::{Database, run, settings, text};

/// One message of the protocol: its kind, and all of its bytes. None at the end of the connection.
fn message(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).ok()?;
    let length = usize::try_from(u32::from_be_bytes(head[1..].try_into().unwrap())).unwrap();
    let mut bytes = head.to_vec();
    bytes.resize(length + 1, 0);
    stream.read_exact(&mut bytes[5..]).ok()?;
    Some((head[0], bytes))
}

/// Passes on what the server says until it is ready for a query.
fn relay(server: &mut TcpStream, client: &mut TcpStream) -> Option<()> {
    loop {
        let (kind, bytes) = message(server)?;
        client.write_all(&bytes).ok()?;
        match kind {
            b'Z' => return Some(()),
            // Authentication that waits for an answer; 0 and 12 do not.
            b'R' if !matches!(bytes[8], 0 | 12) => {
                let (_, answer) = message(client)?;
                server.write_all(&answer).ok()?;
            }
            _ => {}
        }
    }
}

/// Signs a client in on a session of its own.
fn sign_in(client: &mut TcpStream, server: &mut TcpStream) -> Option<()> {
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length).ok()?;
        let mut rest = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() - 4];
        client.read_exact(&mut rest).ok()?;
        // A request for TLS (80877103), which is not to be had here.
        if rest == 80_877_103_u32.to_be_bytes() {
            client.write_all(b"N").ok()?;
            continue;
        }
        server.write_all(&length).ok()?;
        server.write_all(&rest).ok()?;
        return relay(server, client);
    }
}

fn serve(mut client: TcpStream, address: &str, shared: &Mutex<Option<TcpStream>>) -> Option<()> {
    let mut own = TcpStream::connect(address).unwrap();
    sign_in(&mut client, &mut own)?;
    shared.lock().unwrap().get_or_insert_with(|| own.try_clone().unwrap());
    loop {
        let (kind, bytes) = message(&mut client)?;
        if kind == b'X' {
            return client.shutdown(Shutdown::Both).ok();
        }
        let mut session = shared.lock().unwrap();
        let session = session.as_mut().unwrap();
        session.write_all(&bytes).ok()?;
        if matches!(kind, b'Q' | b'S') {
            relay(session, &mut client)?;
        }
    }
}

/// Something that listens in the server's place, where the server itself is, and the URL that leads to the former.
fn in_between(database: &Database) -> (TcpListener, String, String) {
    let (sign_in, address) = database.url.rsplit_once('@').unwrap();
    let (address, name) = address.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("{sign_in}@{}/{name}", listener.local_addr().unwrap());
    (listener, address.to_owned(), url)
}

#[test]
fn a_pooler_in_transaction_mode_is_recognised_whatever_its_port_is() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let (listener, address, url) = in_between(&database);
    std::thread::spawn(move || {
        let shared = Arc::new(Mutex::new(None));
        for client in listener.incoming().map_while(Result::ok) {
            let (address, shared) = (address.clone(), Arc::clone(&shared));
            std::thread::spawn(move || serve(client, &address, &shared));
        }
    });
    for command in [&["migrate", "run"][..], &["serve"]] {
        let output = run(command, &settings(&database, &[("DATABASE_URL", &url)]));
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(said.contains("DATABASE_URL leads to a pooler in transaction mode"), "{said}");
    }
}

#[test]
fn a_server_that_goes_away_between_two_questions_of_the_start_is_waited_for() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let (listener, address, url) = in_between(&database);
    let served = std::thread::spawn(move || {
        for (number, mut client) in listener.incoming().map_while(Result::ok).enumerate() {
            // The second one, which the start asks whether it has a session of its own.
            if number == 1 {
                drop(client);
                continue;
            }
            let mut server = TcpStream::connect(&address).unwrap();
            let (mut to_client, mut from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
            std::thread::spawn(move || std::io::copy(&mut client, &mut server));
            if number >= 3 {
                return number;
            }
        }
        0
    });
    let output = run(&["migrate", "run"], &settings(&database, &[("DATABASE_URL", &url)]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(served.join().unwrap(), 3, "both are asked for again");
}
