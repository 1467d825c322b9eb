//! kill -9 during a stream of requests: every answered prediction is in Postgres.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use system_tests::server::Options;
use system_tests::{images, postgres, tokens};

#[tokio::test]
async fn every_answered_id_is_found_after_kill_9() {
    let url = postgres::shared().database();
    let mut server = Options::on(&url).start_ready().await;
    let answered: Arc<Mutex<Vec<String>>> = Arc::default();
    let senders: Vec<_> = (0..6)
        .map(|sender| {
            let (client, target) = (server.client.clone(), format!("{}/v1/predictions", server.base));
            let (answered, image) = (answered.clone(), images::jpeg(sender, true));
            tokio::spawn(async move {
                loop {
                    let request =
                        client.post(&target).bearer_auth(tokens::token("predict")).body(image.clone());
                    let Ok(response) = request.send().await else { return };
                    let Ok(body) = response.json::<serde_json::Value>().await else { return };
                    let id = body["id"].as_str().expect("every answer has an id").to_owned();
                    answered.lock().unwrap().push(id);
                }
            })
        })
        .collect();
    while answered.lock().unwrap().len() < 40 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.signal("KILL");
    server.wait().await;
    for sender in senders {
        sender.await.unwrap();
    }
    let ids = answered.lock().unwrap().clone();
    let list = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
    let count = |condition: &str| {
        postgres::psql(&url, &format!("select count(*) from predictions where {condition}")).unwrap()
    };
    let found = count(&format!("id in ({list})"));
    println!("{} answered before kill -9, {found} of them found, {} rows in all", ids.len(), count("true"));
    assert_eq!(found, ids.len().to_string());
    // It starts again on the same data.
    let server = Options::on(&url).start_ready().await;
    let read = server.get(&format!("/v1/predictions/{}", ids[0]), "audit:read").await;
    assert!(read.status().is_success());
}
