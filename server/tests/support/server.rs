//! The real server in the test's process.

use std::ops::Deref;
use std::thread;

use notice_server::app::App;
use notice_server::config::{self, Overrides};
use tokio::runtime::{Builder, Runtime};

use super::api::{Api, KEY};
use super::folder::Folder;

/// A running server. It has threads of its own, so that neither it nor the test's clients wait for the other. Dropped,
/// it ends in good order.
pub struct Server {
    api: Api,
    folder: Folder,
    settings: Vec<(String, String)>,
    running: Option<(Runtime, App)>,
}

impl Deref for Server {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Server {
    /// A server with the defaults, but for its ports, its folder and its API key.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// The same with more settings, by their names in the environment.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let settings = settings
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Self::on(Folder::new(), settings.collect())
    }

    fn on(folder: Folder, settings: Vec<(String, String)>) -> Self {
        let usual = [
            ("NOTICE_LISTEN", "127.0.0.1:0".to_owned()),
            ("NOTICE_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("NOTICE_NODE_NAME", "node-a".to_owned()),
            ("NOTICE_API_KEYS", KEY.to_owned()),
            ("NOTICE_DATA_DIR", folder.data().display().to_string()),
        ];
        let usual = usual.map(|(name, value)| (name.to_owned(), value));
        // Of a name given twice the last one counts.
        let all: std::collections::BTreeMap<_, _> =
            usual.into_iter().chain(settings.clone()).collect();
        let loaded = config::load(Overrides::default(), all).unwrap();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let starting = runtime.spawn(App::start(loaded.config));
        let (runtime, started) = elsewhere(move || {
            let started = runtime.block_on(starting);
            (runtime, started)
        });
        let app = started.unwrap().unwrap();
        let api = Api {
            public: app.public_address(),
            admin: app.admin_address(),
            key: KEY.to_owned(),
        };
        Self {
            api,
            folder,
            settings,
            running: Some((runtime, app)),
        }
    }

    /// Ends it in good order and starts another one on its folder, at other ports.
    pub fn restart(mut self) -> Self {
        self.end();
        Self::on(self.folder.clone(), self.settings.clone())
    }

    fn end(&mut self) {
        if let Some((runtime, app)) = self.running.take() {
            elsewhere(move || runtime.block_on(app.end()));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs what must not run inside the test's own runtime.
fn elsewhere<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(act).join().unwrap()
}
