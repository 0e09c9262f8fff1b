//! PostgreSQL's own programs: `initdb` and `postgres`. No client is needed, because portable packages have none.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::step::{Stdin, Step, User};
use crate::tool::version;
use crate::wait;

/// How long the server is given to answer one question.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(1);

/// The programs of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The folder with `initdb` and `postgres`.
    pub folder: PathBuf,
}

/// A data folder, the programs for it and the user who owns it.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The programs.
    pub programs: Programs,
    /// The data folder.
    pub data: PathBuf,
    /// Whom the server runs as, where that is not whoever runs xtask.
    pub user: Option<User>,
}

/// How careful the server is with what it stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As in production.
    Safe,
    /// Nothing survives a crash of the machine: for data that is thrown away.
    None,
}

impl Programs {
    /// The step that asks for the version.
    pub fn version(&self) -> Step {
        Step::new("ask PostgreSQL for its version", self.postgres()).arg("--version").isolated().only_reads()
    }

    fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    /// The server.
    pub fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    /// Whether both programs are there.
    pub fn are_complete(&self) -> bool {
        self.initdb().is_file() && self.postgres().is_file()
    }
}

/// The step that asks the client in a folder for its version.
pub fn client_version(folder: &Path) -> Step {
    Step::new("ask psql for its version", folder.join("psql")).arg("--version").isolated().only_reads()
}

/// The version in what `postgres --version` says, such as `15.18` in `postgres (PostgreSQL) 15.18 (Debian …)`.
pub fn parse_version(said: &str) -> Option<String> {
    let version = said.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
    version.bytes().next()?.is_ascii_digit().then(|| version.to_owned())
}

/// The lock file of the data, if it names a process of which this is true. Its first line is the number.
pub fn lock_file(data: &Path, is_so: fn(u32) -> bool) -> Option<PathBuf> {
    let path = data.join("postmaster.pid");
    let text = std::fs::read_to_string(&path).ok()?;
    text.lines().next()?.trim().parse().is_ok_and(is_so).then_some(path)
}

/// The major version that a data folder was made by; none where there is no data.
pub fn data_major(data: &Path) -> Option<u32> {
    version::major(std::fs::read_to_string(data.join("PG_VERSION")).ok()?.trim())
}

impl Cluster {
    fn step(&self, purpose: &str, program: PathBuf) -> Step {
        let folder = self.data.parent().unwrap_or(&self.data);
        Step::new(purpose, program).isolated().user(self.user.clone()).folder(folder)
    }

    /// Makes the data folder. Passwords are asked of everybody who connects; the superuser has none and so cannot
    /// connect at all.
    pub fn initialise(&self, locale: &str) -> Step {
        self.step("create the data folder", self.programs.initdb())
            .arg("--pgdata")
            .arg(&self.data)
            .args(["--username=postgres", "--encoding=UTF8"])
            .arg(format!("--locale={locale}"))
            // Without sockets nobody comes in locally; `peer` is there because initdb asks for a password otherwise.
            .args(["--auth-host=scram-sha-256", "--auth-local=peer"])
            // What fails here is made again, so that nothing is lost by not waiting for the disk.
            .args(["--no-sync", "--no-instructions"])
            .timeout(Duration::from_mins(2))
    }

    /// Runs SQL, a statement a line, in a server of its own that nobody can connect to.
    fn single(&self, purpose: &str, sql: String) -> Step {
        self.step(purpose, self.programs.postgres())
            .args(["--single", "-D"])
            .arg(&self.data)
            // Statements hold passwords, and an error must not print the statement.
            .args(["-c", "exit_on_error=true", "-c", "log_min_error_statement=panic", "-c", "log_checkpoints=off"])
            .arg("postgres")
            .stdin(Stdin::Text(sql))
            .timeout(Duration::from_mins(1))
    }

    /// Creates the role that owns the database, and the database.
    pub fn create_role_and_database(&self, role: &str, password: &str, database: &str) -> Step {
        let sql = format!(
            "CREATE ROLE {role} LOGIN CREATEDB PASSWORD '{password}'\nCREATE DATABASE {database} OWNER {role}\n"
        );
        self.single("create the role and the database", sql)
    }

    /// Runs a migration's SQL as the owner of the database.
    pub fn run_sql(&self, role: &str, database: &str, sql: &str) -> Step {
        // In this mode a blank line after a semicolon ends a command; without blank lines it is one from first to last.
        let lines: Vec<&str> = sql.lines().filter(|line| !line.trim().is_empty()).collect();
        let sql = format!("SET SESSION AUTHORIZATION {role};\n\n{}\n\n", lines.join("\n"));
        self.step("apply the migrations to an empty database", self.programs.postgres())
            .args(["--single", "-j", "-D"])
            .arg(&self.data)
            .args(["-c", "exit_on_error=true", "-c", "log_checkpoints=off"])
            .arg(database)
            .stdin(Stdin::Text(sql))
            .timeout(Duration::from_mins(1))
    }

    /// Gives the role another password.
    pub fn set_password(&self, role: &str, password: &str) -> Step {
        self.single("set the password of .env.docker", format!("ALTER ROLE {role} PASSWORD '{password}'\n"))
    }

    /// Serves on 127.0.0.1, and nowhere else.
    pub fn serve(&self, port: u16, durability: Durability) -> Step {
        let step = self
            .step("start PostgreSQL", self.programs.postgres())
            .env("TZ", "UTC")
            .arg("-D")
            .arg(&self.data)
            .arg("-p")
            .arg(port.to_string())
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", "log_timezone=UTC", "-c", "log_line_prefix=%m [%p] "]);
        match durability {
            Durability::Safe => step,
            Durability::None => step
                .args(["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off"])
                .args(["-c", "autovacuum=off", "-c", "max_connections=300"]),
        }
    }
}

/// Whether the server at `address` takes connections, asked as `pg_isready` does: by beginning a connection and
/// leaving at the question for the password. (PostgreSQL documentation, "Message Formats".)
pub fn ping(address: SocketAddr, role: &str, database: &str) -> Result<(), String> {
    let mut body = 196_608_u32.to_be_bytes().to_vec(); // protocol 3.0
    for word in ["user", role, "database", database, ""] {
        body.extend_from_slice(word.as_bytes());
        body.push(0);
    }
    let mut message = u32::try_from(body.len() + 4).map_err(|_| "the name is too long")?.to_be_bytes().to_vec();
    message.extend(body);
    let ask = || -> std::io::Result<(u8, Vec<u8>)> {
        let mut stream = TcpStream::connect_timeout(&address, QUESTION_TIMEOUT)?;
        stream.set_read_timeout(Some(QUESTION_TIMEOUT))?;
        stream.write_all(&message)?;
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        // To its end: a connection that is closed with something unread is reset, which the server notes in its log.
        let length = u64::from(u32::from_be_bytes([head[1], head[2], head[3], head[4]]));
        let mut rest = Vec::new();
        (&stream).take(length.clamp(4, 8192) - 4).read_to_end(&mut rest)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        Ok((head[0], rest))
    };
    match ask() {
        Ok((b'R', _)) => Ok(()),
        Ok((b'E', fields)) => {
            let message = fields.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"M"));
            Err(String::from_utf8_lossy(message.unwrap_or(b"it refuses connections")).into_owned())
        }
        Ok(_) => Err("what answers there is not PostgreSQL".to_owned()),
        Err(error) => Err(wait::describe_io(&error)),
    }
}

#[cfg(test)]
mod tests;
