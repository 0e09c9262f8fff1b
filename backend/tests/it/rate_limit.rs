//! How many requests a client may send, to all processes together.

use std::time::{Duration, Instant};

use backend::rate_limit::{Class, Key};

use crate::support::{Answer, Redis, Server, agent, provided, read, redis_url, until};

const PATH: &str = "/api/v1/programs?limit=1";

/// A server on that Redis, with that limit, behind a proxy.
fn server(redis: &str, limit: &str) -> Server {
    let changes = [("REDIS_URL", redis), ("RATE_LIMIT_MAX", limit), ("TRUST_PROXY", "1"), ("STARTUP_TIMEOUT", "1")];
    Server::start_with(&changes)
}

/// What a client at that address gets.
fn ask(server: &Server, client: &str, path: &str) -> Answer {
    read(agent().get(format!("{}{path}", server.url)).header("x-forwarded-for", client).call())
}

/// How many of so many requests are let through.
fn let_through(server: &Server, client: &str, requests: usize) -> usize {
    (0..requests).filter(|_| ask(server, client, PATH).status == 200).count()
}

/// How many the server says are left.
fn left(answer: &Answer) -> u32 {
    let standing = answer.header("ratelimit");
    let left = standing.strip_prefix("\"default\";r=").and_then(|rest| rest.split_once(";t="));
    left.unwrap_or_else(|| panic!("{standing}")).0.parse().unwrap()
}

#[test]
fn two_servers_share_one_limit_for_each_client() {
    let redis = redis_url();
    let (one, two) = (server(&redis, "20"), server(&redis, "20"));
    let first = ask(&one, "10.0.0.1", PATH);
    assert_eq!((first.status, first.header("ratelimit-policy")), (200, "\"default\";q=20;w=60"));
    assert_eq!(left(&first), 19);
    for (server, expected) in [(&two, 18), (&one, 17), (&one, 16), (&two, 15)] {
        assert_eq!(left(&ask(server, "10.0.0.1", PATH)), expected);
    }
    assert_eq!(let_through(&one, "10.0.0.1", 10) + let_through(&two, "10.0.0.1", 10), 15);
    for server in [&one, &two] {
        let refused = ask(server, "10.0.0.1", PATH);
        assert_eq!((refused.status, &refused.body["type"]), (429, &"/problems/too-many-requests".into()));
        let seconds: u32 = refused.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert_eq!(refused.header("ratelimit"), format!("\"default\";r=0;t={seconds}"));
        // Others are not in its way, and neither are probes and pages in this client's.
        assert_eq!(ask(server, "10.0.0.2", PATH).status, 200);
        for path in ["/health", "/health/live", "/api/v1/health", "/problems", "/problems/too-many-requests"] {
            let answer = ask(server, "10.0.0.1", path);
            assert_eq!((answer.status, answer.header("ratelimit")), (200, ""), "{path}");
        }
        assert_eq!(ask(server, "10.0.0.1", "/nothing/here").status, 429);
    }
}

#[test]
fn leases_keep_most_requests_from_redis_and_cost_a_client_little() {
    let redis = redis_url();
    let (one, two) = (server(&redis, "600"), server(&redis, "600"));
    let passed = let_through(&one, "10.0.0.1", 250) + let_through(&two, "10.0.0.1", 250);
    assert_eq!(passed, 500);
    let rest = let_through(&one, "10.0.0.1", 150) + let_through(&two, "10.0.0.1", 10);
    assert!((100 - 8..=100).contains(&rest), "{rest}");
    let mut connection = redis::Client::open(redis).unwrap().get_connection().unwrap();
    let commands: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    assert_eq!(commands, ["rate-limit:default:4a000001"]);
    let (count, expires): (u32, i64) =
        redis::pipe().get(&commands[0]).pttl(&commands[0]).query(&mut connection).unwrap();
    // Not one question for each of the 660 requests, and none for those that were refused.
    assert!((600..=600 + 16).contains(&count), "{count}");
    assert!((1..=60_000).contains(&expires), "{expires}");
}

#[test]
fn many_requests_at_once_get_the_limit_and_not_one_more() {
    let redis = redis_url();
    let servers = [server(&redis, "300"), server(&redis, "300")];
    let key = Key::of_name("ada");
    let passed = std::thread::scope(|scope| {
        let asking = servers.iter().map(|server| {
            scope.spawn(move || {
                server.runtime.block_on(async {
                    let many = (0..32).map(|_| {
                        let rate_limit = server.app.rate_limit.clone();
                        tokio::spawn(async move {
                            let mut passed = 0;
                            for _ in 0..20 {
                                passed += usize::from(rate_limit.check(Class::Default, key).await.is_ok());
                            }
                            passed
                        })
                    });
                    let mut passed = 0;
                    for one in many.collect::<Vec<_>>() {
                        passed += one.await.unwrap();
                    }
                    passed
                })
            })
        });
        asking.collect::<Vec<_>>().into_iter().map(|one| one.join().unwrap()).sum::<usize>()
    });
    assert_eq!(passed, 300);
}

#[test]
fn a_client_that_invents_addresses_stays_one_client() {
    let redis = redis_url();
    let changes = [("REDIS_URL", redis.as_str()), ("RATE_LIMIT_MAX", "3")];
    let server = Server::start_with(&changes);
    let statuses: Vec<u16> = (1..=5).map(|n| ask(&server, &format!("10.0.0.{n}"), PATH).status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}

#[test]
fn a_handler_counts_what_it_names_apart() {
    let redis = redis_url();
    let changes = [("REDIS_URL", redis.as_str()), ("RATE_LIMIT_PASSWORDS", "2")];
    let (one, two) = (Server::start_with(&changes), Server::start_with(&changes));
    let check = |server: &Server, name: &str| {
        server.runtime.block_on(server.app.rate_limit.check(Class::Account, Key::of_name(name))).is_ok()
    };
    assert!(check(&one, "ada") && check(&two, "ada"));
    assert!(!check(&one, "ada") && !check(&two, "ada"));
    assert!(check(&one, "grace"));
}

#[test]
fn without_redis_a_limit_of_the_same_size_holds_and_redis_is_told_of_it_when_it_is_back() {
    let redis = Redis::start();
    let (one, two) = (server(&redis.url(), "20"), server(&redis.url(), "20"));
    assert_eq!(let_through(&one, "10.0.0.1", 5), 5);
    let port = redis.port;
    drop(redis);
    // What it had left, and for a client that nobody knew a whole limit.
    assert_eq!(let_through(&one, "10.0.0.1", 20), 15);
    assert_eq!(let_through(&one, "10.0.0.2", 30), 20);
    assert_eq!(let_through(&one, "10.0.0.3", 12), 12);
    let redis = Redis::on(port);
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    // The server asks by itself, once a second.
    until("the count is in Redis", || {
        ask(&one, "10.0.0.3", PATH);
        redis::cmd("EXISTS").arg("rate-limit:default:4a000003").query::<bool>(&mut connection).unwrap()
    });
    let count: u32 = redis::cmd("GET").arg("rate-limit:default:4a000003").query(&mut connection).unwrap();
    assert!(count > 12, "{count}");
    until("the other server knows", || {
        let passed = let_through(&two, "10.0.0.3", 20);
        assert!(passed < 20 - 12, "{passed}");
        ask(&two, "10.0.0.3", PATH).status == 429
    });
}

#[test]
fn a_redis_that_hangs_costs_one_request_a_second_the_budget_and_the_others_nothing() {
    let redis = Redis::start();
    let server = server(&redis.url(), "1000000");
    assert_eq!(ask(&server, "10.0.0.1", PATH).status, 200);
    redis.signal("STOP");
    let begun = Instant::now();
    let mut slow = 0;
    let requests = 200_u32;
    for number in 0..requests {
        // Each is of a client that nobody knows, about which Redis has to be asked.
        let key = Key::of_name(&number.to_string());
        let asked = Instant::now();
        server.runtime.block_on(server.app.rate_limit.check(Class::Default, key)).unwrap();
        let took = asked.elapsed();
        assert!(took < Duration::from_millis(500), "{took:?}");
        slow += u64::from(took > Duration::from_millis(25));
    }
    // One each second, and the first.
    assert!((1..=begun.elapsed().as_secs() + 1).contains(&slow), "{slow} in {:?}", begun.elapsed());
    redis.signal("CONT");
    let woken = Instant::now();
    until("Redis is asked again", || {
        let known = Key::of_name("after");
        server.runtime.block_on(server.app.rate_limit.check(Class::Default, known)).unwrap();
        let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
        redis::cmd("EXISTS").arg(known.name("default")).query(&mut connection).unwrap()
    });
    assert!(woken.elapsed() < Duration::from_secs(2), "{:?}", woken.elapsed());
}

#[test]
fn a_redis_that_breaks_a_connection_is_asked_again_at_once() {
    let redis = redis_url();
    let number = redis.rsplit_once('/').unwrap().1.to_owned();
    let server = server(&redis, "20");
    assert_eq!(left(&ask(&server, "10.0.0.1", PATH)), 19);
    let mut admin = redis::Client::open(provided("TEST_REDIS_URL")).unwrap().get_connection().unwrap();
    let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut admin).unwrap();
    let ours = clients.lines().find(|line| line.contains(&format!(" db={number} "))).expect("the server's connection");
    let id = ours.strip_prefix("id=").unwrap().split(' ').next().unwrap();
    redis::cmd("CLIENT").arg("KILL").arg("ID").arg(id).exec(&mut admin).unwrap();
    assert_eq!(left(&ask(&server, "10.0.0.1", PATH)), 18);
    let mut connection = redis::Client::open(redis).unwrap().get_connection().unwrap();
    let count: u32 = redis::cmd("GET").arg("rate-limit:default:4a000001").query(&mut connection).unwrap();
    assert_eq!(count, 2);
}
