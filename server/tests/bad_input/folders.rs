//! Data folders that can't be used, and disks that fill up. What needs a file system of its own mounts one, which
//! takes root; elsewhere those tests say so and end.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::Witness;
use super::support::{Exit, Folder, Handshake, Program, Response, eventually};

const MIB: usize = 1 << 20;

/// A small file system of its own, unmounted when it is dropped.
struct Disk {
    at: PathBuf,
    folder: Folder,
}

impl Disk {
    fn mount(mib: usize) -> Option<Self> {
        let folder = Folder::new();
        let at = folder.path().join("disk");
        fs::create_dir(&at).unwrap();
        let size = format!("size={mib}m");
        if !run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs"], &at) {
            println!("not tested here: mounting a small disk takes root");
            return None;
        }
        Some(Self { at, folder })
    }

    fn data(&self) -> String {
        self.at.join("data").display().to_string()
    }

    /// Takes all of its room but so much.
    fn fill_up_to(&self, free: usize) {
        let left = || usize::try_from(free_bytes(&self.at)).unwrap();
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(self.at.join("filler"))
            .unwrap();
        while left() > free {
            let count = (left() - free).min(MIB);
            if file.write_all(&vec![7; count]).is_err() {
                return;
            }
        }
    }

    fn free_again(&self) {
        fs::remove_file(self.at.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], &self.at);
    }
}

fn run(command: &str, arguments: &[&str], at: &Path) -> bool {
    let output = Command::new(command).args(arguments).arg(at).output();
    output.is_ok_and(|output| output.status.success())
}

fn free_bytes(at: &Path) -> u64 {
    let volume = rustix::fs::statvfs(at).unwrap();
    volume.f_bavail * volume.f_frsize
}

/// Starts a server on a folder where it must not start.
async fn refused(folder: &Folder) -> Exit {
    let data = folder.data().display().to_string();
    Program::run(folder, &[("NOTICE_DATA_DIR", &data)]).await
}

/// A refusal for a person to read: no success, no panic, and the folder's name in it.
#[track_caller]
fn says(exit: &Exit, words: &[&str]) {
    assert!(!exit.status.success(), "{exit:?}");
    assert!(!exit.output.contains("panicked"), "{exit:?}");
    for word in words {
        assert!(exit.output.contains(word), "{word:?} is not in {exit:?}");
    }
}

#[tokio::test]
async fn a_second_server_on_a_folder_is_turned_away_and_harms_nothing() {
    let folder = Folder::new();
    let first = Program::start(&folder, &[]).await;
    let witness = Witness::plant(&first).await;
    for _ in 0..3 {
        let second = refused(&folder).await;
        says(&second, &["in use", "process"]);
    }
    witness.survives(&first).await;
}

#[tokio::test]
async fn a_file_in_place_of_the_folder_is_left_alone() {
    let folder = Folder::new();
    fs::write(folder.data(), "not a folder").unwrap();
    says(&refused(&folder).await, &["is not a folder"]);
    assert_eq!(fs::read_to_string(folder.data()).unwrap(), "not a folder");
    let below = folder.data().join("below").display().to_string();
    says(
        &Program::run(&folder, &[("NOTICE_DATA_DIR", &below)]).await,
        &["is not a folder"],
    );
}

#[tokio::test]
async fn a_folder_of_something_else_is_left_alone() {
    let folder = Folder::new();
    fs::create_dir(folder.data()).unwrap();
    fs::write(folder.data().join("thesis.txt"), "years of work").unwrap();
    says(&refused(&folder).await, &["thesis.txt", "not a store"]);
    let names: Vec<_> = fs::read_dir(folder.data())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["thesis.txt"]);
}

#[tokio::test]
async fn a_read_only_disk_is_refused_with_the_reason_and_keeps_what_it_has() {
    let Some(disk) = Disk::mount(200) else { return };
    let data = disk.data();
    let settings = [
        ("NOTICE_DATA_DIR", data.as_str()),
        ("NOTICE_STORE_MIN_FREE_BYTES", "0"),
    ];
    let remount = |how: &str| {
        let how = format!("remount,{how}");
        assert!(run("mount", &["-o", &how], &disk.at), "{how}");
    };
    remount("ro");
    says(
        &Program::run(&disk.folder, &settings).await,
        &["can not be written", &data],
    );
    remount("rw");
    let server = Program::start(&disk.folder, &settings).await;
    let witness = Witness::plant(&server).await;
    server.kill().await;
    remount("ro");
    says(
        &Program::run(&disk.folder, &settings).await,
        &["can not be written", &data],
    );
    remount("rw");
    let server = Program::start(&disk.folder, &settings).await;
    witness.survives(&server).await;
}

/// Refused for want of room, with a time to come back.
#[track_caller]
fn is_refusal(answer: Response) -> String {
    let code = answer.json()["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(
        matches!(code.as_str(), "STORE_FULL" | "STORE_UNAVAILABLE"),
        "{answer:?}"
    );
    answer.expect_problem(503, &code);
    code
}

#[tokio::test]
async fn with_its_reserve_reached_a_store_refuses_notices_and_does_everything_else() {
    let Some(disk) = Disk::mount(256) else { return };
    let reserve = (64 * MIB).to_string();
    let data = disk.data();
    let settings = [
        ("NOTICE_DATA_DIR", data.as_str()),
        ("NOTICE_STORE_MIN_FREE_BYTES", reserve.as_str()),
    ];
    let server = Program::start(&disk.folder, &settings).await;
    let witness = Witness::plant(&server).await;
    let mut live = server.connect("live").await;
    let ids = server.stage_many("u1", "before", 20).await;
    let token = server.token("u1").await;

    disk.fill_up_to(32 * MIB);
    let notice = json!({"receiverId": "u1", "message": "during"});
    let code = eventually("a refusal", async || {
        let answer = server.try_stage(&notice).await;
        if answer.status == 503 {
            Ok(is_refusal(answer))
        } else {
            Err(answer)
        }
    })
    .await;
    assert_eq!(code, "STORE_FULL");
    let several = server
        .try_stage(&json!([notice, notice]))
        .await
        .expect(200)
        .json();
    assert_eq!(several["results"][1]["code"], "STORE_FULL", "{several}");
    server.admin_get("/readyz").await.expect(200);
    // What is never stored needs no room: the live session is still served.
    let ephemeral = json!({"receiverId": "live", "message": "typing", "ttlSeconds": 0});
    let id = server.stage_body(&ephemeral).await;
    assert_eq!(live.notice().await.id, id);
    // Who comes now is let in, catches up, and acknowledges.
    let unread = server.unread("u1").await;
    let mut late = Handshake::v1(&token).open(server.public).await;
    let caught_up = late.notices(usize::try_from(unread).unwrap()).await;
    let caught_up: Vec<_> = caught_up.into_iter().map(|notice| notice.id).collect();
    assert_eq!(caught_up[..20], ids);
    late.ack(&ids[..10]).await;
    server.reaches_state(&ids[9], "read").await;
    assert_eq!(server.ack(&token, &ids[10..]).await, 10);
    assert_eq!(server.inbox(&token, "").await.len(), caught_up.len());
    server.recall(&witness.ids[0]).await.expect(204);

    disk.free_again();
    eventually("room again", async || {
        let answer = server.try_stage(&notice).await;
        if answer.status < 300 {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    let id = server.stage("live", "after").await;
    assert_eq!(live.notice().await.id, id);
    assert_eq!(server.state_name(&witness.ids[1]).await, "staged");
}

#[tokio::test]
async fn on_a_disk_that_is_full_to_the_last_byte_nothing_answered_is_lost() {
    let Some(disk) = Disk::mount(160) else { return };
    let data = disk.data();
    let settings = [
        ("NOTICE_DATA_DIR", data.as_str()),
        ("NOTICE_STORE_MIN_FREE_BYTES", "0"),
    ];
    let server = Program::start(&disk.folder, &settings).await;
    let witness = Witness::plant(&server).await;
    let mut live = server.connect("live").await;
    let mut answered = server.stage_many("u1", "before", 20).await;
    let token = server.token("u1").await;
    let message = "m".repeat(60_000);

    disk.fill_up_to(MIB);
    let refused = eventually("a refusal", async || {
        let answer = server
            .try_stage(&json!({"receiverId": "u1", "message": message}))
            .await;
        if answer.status == 503 {
            return Ok(is_refusal(answer));
        }
        let id = answer.expect(201).json()["id"].as_str().unwrap().to_owned();
        answered.push(id.clone());
        Err(id)
    })
    .await;
    println!("refused with {refused} after {} notices", answered.len());
    server.admin_get("/readyz").await.expect(200);
    for _ in 0..3 {
        let answer = server
            .try_stage(&json!({"receiverId": "u1", "message": message}))
            .await;
        match answer.status {
            201 => answered.push(answer.json()["id"].as_str().unwrap().to_owned()),
            _ => drop(is_refusal(answer)),
        }
    }
    assert_eq!(server.load().await["sessions"], 1, "the live session stays");

    disk.free_again();
    let id = eventually("room again", async || {
        let answer = server
            .try_stage(&json!({"receiverId": "live", "message": "after"}))
            .await;
        if answer.status == 201 {
            Ok(answer.json()["id"].as_str().unwrap().to_owned())
        } else {
            Err(answer)
        }
    })
    .await;
    assert_eq!(live.find("notice").await["notice"]["id"], id.as_str());
    server.kill().await;
    let server = Program::start(&disk.folder, &settings).await;
    let mut late = Handshake::v1(&token).open(server.public).await;
    let mut left: std::collections::BTreeSet<_> = answered.into_iter().collect();
    while !left.is_empty() {
        let notice = late.notice().await;
        left.remove(&notice.id);
        late.ack(&[notice.id]).await;
    }
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_store_at_its_own_bound_refuses_and_recovers_nothing_by_itself() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[("NOTICE_STORE_MAX_BYTES", "67108864")]).await;
    let witness = Witness::plant(&server).await;
    let message = "m".repeat(60_000);
    let batch: Vec<_> = (0..100)
        .map(|_| json!({"receiverId": "u1", "message": message}))
        .collect();
    let mut staged = 0;
    eventually("the bound", async || {
        let answer = server.try_stage(&json!(batch)).await.expect(200).json();
        let results = answer["results"].as_array().unwrap();
        staged += results
            .iter()
            .filter(|result| result["id"].is_string())
            .count() as u64;
        if results.iter().any(|result| result["code"] == "STORE_FULL") {
            Ok(())
        } else {
            Err(staged)
        }
    })
    .await;
    assert!(
        (500..3000).contains(&staged),
        "{staged} notices of 60 kB in 64 MiB"
    );
    assert_eq!(server.unread("u1").await, staged);
    drop(server);
    // With more room allowed it goes on.
    let server = Program::start(&folder, &[]).await;
    assert_eq!(server.unread("u1").await, staged);
    witness.survives(&server).await;
}
