use backend::cleanup;
use serde_json::json;

use crate::support::Server;

#[test]
fn what_is_over_is_removed_and_nothing_else() {
    let server = Server::start();
    server.program("acme");
    let user = server.user("nightjar", "researcher");
    let report = json!({ "program": "acme", "title": "x", "severity": "low", "description": "x" });
    for key in ["old", "new"] {
        let headers = [("idempotency-key", key)];
        assert_eq!(server.as_user(&user.access_token).post_with("/api/v1/reports", &report, &headers).status, 201);
        let sign_up = json!({ "handle": key, "email": format!("{key}@example.com"), "password": "a long password" });
        server.post("/api/v1/auth/sign-up", &sign_up);
        server.user(&format!("{key}-user"), "researcher");
        server.post("/api/v1/auth/password-reset", &json!({ "email": format!("{key}-user@example.com") }));
    }
    server.execute(
        "UPDATE sign_ups SET expires_at = now() - interval '1 second' WHERE handle = 'old';
         UPDATE password_resets SET expires_at = now() - interval '1 second'
         WHERE user_id = (SELECT id FROM users WHERE handle = 'old-user');
         UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'old';
         UPDATE sessions SET expires_at = now() - interval '31 days'
         WHERE user_id = (SELECT id FROM users WHERE handle = 'old-user')",
    );
    let left = || {
        server.value(
            "SELECT concat_ws(' ', (SELECT string_agg(handle, ',') FROM sign_ups), (SELECT count(*) FROM password_resets),
                              (SELECT string_agg(key, ',') FROM idempotency_keys),
                              (SELECT string_agg(u.handle, ',' ORDER BY u.handle) FROM sessions s JOIN users u ON u.id = s.user_id))",
        )
    };
    server.runtime.block_on(cleanup::remove(&server.app.database));
    assert_eq!(left(), "new 1 new new-user,nightjar,the-admin");
    server.runtime.block_on(cleanup::remove(&server.app.database));
    assert_eq!(left(), "new 1 new new-user,nightjar,the-admin");
}
