//! What comes from outside and must do no harm: broken bodies, slow and endless requests, frames against the rules,
//! folders and disks that can't be used. After each of them a normal client is served, and nothing staged is lost.

#![cfg(test)]

mod support;

#[path = "bad_input/bodies.rs"]
mod bodies;
#[path = "bad_input/folders.rs"]
mod folders;
#[path = "bad_input/frames.rs"]
mod frames;
#[path = "bad_input/handshakes.rs"]
mod handshakes;
#[path = "bad_input/requests.rs"]
mod requests;
#[path = "bad_input/secrets.rs"]
mod secrets;

use support::Api;

/// Notices that were staged before the abuse.
struct Witness {
    ids: Vec<String>,
}

impl Witness {
    async fn plant(api: &Api) -> Self {
        Self {
            ids: api.stage_many("witness", "planted", 3).await,
        }
    }

    /// Checks that the server still serves, and has kept what it had.
    async fn survives(self, api: &Api) {
        api.admin_get("/readyz").await.expect(200);
        let mut v1 = api.connect("witness").await;
        let found: Vec<_> = v1
            .notices(3)
            .await
            .into_iter()
            .map(|notice| notice.id)
            .collect();
        assert_eq!(found, self.ids);
        v1.ack(&found).await;
        api.reaches_unread("witness", 0).await;
        let mut legacy = api.connect_legacy("witness").await;
        let id = api.stage("witness", "afterwards").await;
        assert_eq!(v1.notice().await.id, id);
        assert_eq!(legacy.notice().await.id, id);
        v1.close().await;
        legacy.close().await;
    }
}
