//! `redis-server`, or `valkey-server`, its open successor.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::step::Step;
use crate::tool::version;
use crate::wait;

/// How long the server is given to answer one question.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(1);

/// The step that asks a server program for its version.
pub fn version(program: &Path) -> Step {
    Step::new("ask Redis for its version", program).arg("--version").isolated().only_reads()
}

/// The name and version in what `--version` says: `Redis server v=7.0.15 sha=…` or `Valkey server v=9.1.2 sha=…`.
pub fn parse_version(said: &str) -> Option<(String, String)> {
    let name = said.split_whitespace().next()?;
    let version = said.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    version::major(version)?;
    Some((name.to_owned(), version.to_owned()))
}

/// The server's configuration file: here and not on the command line, where everybody could read the password.
pub fn configuration(port: u16, password: &str, data: &Path, keeps_data: bool) -> String {
    let mut text = format!(
        "bind 127.0.0.1\nport {port}\nprotected-mode yes\nrequirepass {password}\ndir {}\ndaemonize no\nlogfile \"\"\n",
        double_quoted(data)
    );
    if keeps_data {
        text.push_str("save 60 1\nappendonly no\n");
    } else {
        // Every test takes a numbered database of its own.
        text.push_str("save \"\"\nappendonly no\ndatabases 4096\n");
    }
    text
}

/// Redis reads double-quoted words with C's escapes.
fn double_quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\""))
}

/// Serves as the configuration says.
pub fn serve(program: &Path, configuration: &Path) -> Step {
    let folder = configuration.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    Step::new("start Redis", program).arg(configuration).isolated().env("TZ", "UTC").folder(folder)
}

/// Whether the server at `address` answers with PONG.
pub fn ping(address: SocketAddr, password: &str) -> Result<(), String> {
    let ask = || -> std::io::Result<[String; 2]> {
        let mut stream = TcpStream::connect_timeout(&address, QUESTION_TIMEOUT)?;
        stream.set_read_timeout(Some(QUESTION_TIMEOUT))?;
        stream.write_all(format!("AUTH {password}\r\nPING\r\n").as_bytes())?;
        let mut answers = BufReader::new(stream).lines();
        let mut next = || answers.next().unwrap_or_else(|| Ok(String::new()));
        Ok([next()?, next()?])
    };
    match ask().map_err(|error| wait::describe_io(&error))? {
        [_, pong] if pong == "+PONG" => Ok(()),
        [refusal, _] if refusal.starts_with('-') => Err(refusal[1..].to_owned()),
        [_, other] if other.starts_with('-') => Err(other[1..].to_owned()),
        _ => Err("what answers there is not Redis".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_servers_say_their_version_alike() {
        let said = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0";
        assert_eq!(parse_version(said), Some(("Redis".to_owned(), "7.0.15".to_owned())));
        let said = "Valkey server v=9.1.2 sha=00000000:0 malloc=libc bits=64 build=8c3c5a3b8e5e1f1";
        assert_eq!(parse_version(said), Some(("Valkey".to_owned(), "9.1.2".to_owned())));
        assert_eq!(parse_version("redis-server: not found"), None);
    }

    #[test]
    fn the_password_is_in_the_configuration_and_in_no_argument() {
        let text = configuration(6380, "hunter2", Path::new("/a b/\"c\""), true);
        assert!(text.contains("\nrequirepass hunter2\n") && text.contains("dir \"/a b/\\\"c\\\"\"\n"), "{text}");
        let step = serve(Path::new("/usr/bin/redis-server"), Path::new("/s/redis.conf"));
        assert_eq!(step.to_string(), "cd /s && env -i PATH=\"$PATH\" TZ=UTC /usr/bin/redis-server /s/redis.conf");
    }

    fn answering(answer: &'static str) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn a_server_that_still_loads_is_not_ready() {
        assert_eq!(ping(answering("+OK\r\n+PONG\r\n"), "p"), Ok(()));
        let loading = "+OK\r\n-LOADING Redis is loading the dataset in memory\r\n";
        assert_eq!(ping(answering(loading), "p"), Err("LOADING Redis is loading the dataset in memory".to_owned()));
        assert_eq!(ping(answering("-WRONGPASS no\r\n-NOAUTH no\r\n"), "p"), Err("WRONGPASS no".to_owned()));
        assert_eq!(ping(answering("hello\r\n\r\n"), "p"), Err("what answers there is not Redis".to_owned()));
    }

    #[test]
    fn what_is_no_redis_has_no_version() {
        for said in ["", "Redis server", "Redis server v=x", "Redis server v=", "Redis server 7.0.15"] {
            assert_eq!(parse_version(said), None, "{said}");
        }
    }

    #[test]
    fn what_is_thrown_away_is_not_kept_and_has_room_for_every_test() {
        let kept = configuration(1, "p", Path::new("/d"), true);
        let thrown_away = configuration(1, "p", Path::new("/d"), false);
        assert!(kept.contains("save 60 1\n") && !kept.contains("databases"), "{kept}");
        assert!(thrown_away.contains("save \"\"\n") && thrown_away.contains("databases 4096\n"), "{thrown_away}");
        for text in [kept, thrown_away] {
            assert!(text.starts_with("bind 127.0.0.1\nport 1\nprotected-mode yes\n"), "{text}");
        }
    }

    #[test]
    fn an_answer_that_is_cut_is_no_readiness() {
        assert_eq!(ping(answering(""), "p"), Err("what answers there is not Redis".to_owned()));
        assert_eq!(ping(answering("+OK\r\n"), "p"), Err("what answers there is not Redis".to_owned()));
        // Without a password AUTH is refused, and PING answered.
        assert_eq!(ping(answering("-ERR no password is set\r\n+PONG\r\n"), "p"), Ok(()));
    }
}
