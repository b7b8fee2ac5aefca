//! Debian's nginx in front of servers, with a configuration that a test writes.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use super::folder::Folder;
use super::wait::eventually;

/// What every configuration here begins with: one process, whose files are all in a folder of its own.
const FRAME: &str = r"
daemon off;
master_process off;
error_log stderr warn;
pid FOLDER/pid;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path FOLDER/body;
  proxy_temp_path FOLDER/proxy;
  fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi;
  scgi_temp_path FOLDER/scgi;
  upstream notice { UPSTREAMS }
  server { listen ADDRESS; LOCATIONS }
}
";

/// A running nginx, ended when dropped.
#[derive(Debug)]
pub struct Nginx {
    /// Where it listens.
    pub address: SocketAddr,
    process: Child,
    _folder: Folder,
}

impl Nginx {
    /// In front of `servers`, taken in turn, with these locations.
    pub async fn start(servers: &[SocketAddr], locations: &str) -> Self {
        let folder = Folder::new();
        let home = folder.data();
        fs::create_dir_all(&home).unwrap();
        let address = free_address();
        let upstreams: Vec<_> = servers.iter().map(|at| format!("server {at};")).collect();
        let config = FRAME
            .replace("FOLDER", &home.display().to_string())
            .replace("UPSTREAMS", &upstreams.join(" "))
            .replace("ADDRESS", &address.to_string())
            .replace("LOCATIONS", locations);
        let file = home.join("nginx.conf");
        fs::write(&file, config).unwrap();
        let program = std::env::var("NGINX_BIN").unwrap_or_else(|_| "nginx".to_owned());
        let process = Command::new(&program)
            .arg("-p")
            .arg(&home)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program}: {error}; install nginx, or set NGINX_BIN (scripts/tool nginx)")
            });
        let nginx = Self {
            address,
            process,
            _folder: folder,
        };
        eventually("nginx listens", async || TcpStream::connect(address).await).await;
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// An address that nobody had a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
